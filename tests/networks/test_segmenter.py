import copy

import pytest
import torch
from torch import nn

from segclf.core.config import NetworkSettings
from segclf.core.errors import ConfigError
from segclf.networks import Parts, Segmenter, Stages, Steps, build_classifier, build_segmenter
from segclf.networks.parts import dry_run

SMALL = NetworkSettings(name="basicunet", options={"features": [8, 8, 8, 8, 16, 8]})


def small():
    return build_segmenter(SMALL, n_channels=1, n_outputs=2, spatial_dims=2)


def test_a_single_pixel_is_an_image():
    network = small()
    assert network(torch.rand(1, 1, 1, 1)).shape == (1, 2, 1, 1)


def test_features_are_what_the_head_and_the_pooling_read():
    network = small().eval()
    image = torch.rand(2, 1, 40, 24)
    with torch.no_grad():
        logits, shallow, deep = network.features(image)
        assert torch.equal(logits, network(image))
        assert torch.equal(logits, network.head(shallow))
    assert shallow.shape == (2, 8, 40, 24)
    assert deep.shape == (2, 16, 3, 2)


def test_padding_does_not_change_the_far_side_of_the_image():
    network = small().eval()
    image = torch.rand(1, 1, 160, 32)
    with torch.no_grad():
        whole, cut = network.encoder.get_submodule("0")(image), image[:, :, :150]
        padded = network.encoder.get_submodule("0")(cut)
    # two 3 x 3 convolutions; group norm makes the rest depend on the whole map
    assert whole.shape[2] - padded.shape[2] == 10
    assert network(cut).shape == (1, 2, 150, 32)


def test_building_leaves_the_random_state_to_the_weights_alone():
    torch.manual_seed(0)
    first = small().state_dict()
    torch.manual_seed(0)
    second = small().state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    network = small()
    assert (threads, dtype) == (torch.get_num_threads(), torch.get_default_dtype())
    assert network.training
    assert all(p.device.type == "cpu" and p.isfinite().all() for p in network.parameters())


def test_a_copy_stands_on_its_own():
    network = small().eval()
    image = torch.rand(1, 1, 20, 20)
    twin = copy.deepcopy(network)
    with torch.no_grad():
        before = network(image)
        for weight in network.parameters():
            weight.zero_()
        assert torch.equal(twin(image), before)
        assert not torch.equal(network(image), before)


def test_a_batch_of_one_that_cannot_be_normalized_is_a_matter_of_the_recipe():
    network = build_segmenter(
        NetworkSettings(name="deeplabv3"), n_channels=1, n_outputs=1, spatial_dims=2
    )
    with pytest.raises(ConfigError, match=r"shape \(1, 1, 64, 64\) has too few values") as caught:
        network(torch.rand(1, 1, 64, 64))
    assert "train.batch_size" in caught.value.fix
    network.eval()
    assert network(torch.rand(1, 1, 64, 64)).shape == (1, 1, 64, 64)


def test_the_number_of_axes_must_fit():
    with pytest.raises(ValueError, match=r"got 3 spatial axes \(8, 8, 8\)"):
        small()(torch.rand(1, 1, 8, 8, 8))


def test_the_classifier_is_linear_in_the_pooled_deep_features():
    classifier = build_classifier(
        SMALL, n_channels=1, n_outputs=3, spatial_dims=2, dropout=0.5
    ).eval()
    image = torch.rand(2, 1, 40, 24)
    with torch.no_grad():
        embedding = classifier.embed(image)
        linear = classifier.head[1]
        assert embedding.shape == (2, 16)
        expected = embedding @ linear.weight.T + linear.bias
        torch.testing.assert_close(classifier(image), expected)
        classifier.train()
        assert not torch.equal(classifier(image), classifier(image))  # dropout draws


def test_the_classifier_holds_no_decoder():
    classifier = build_classifier(SMALL, n_channels=1, n_outputs=3, spatial_dims=2)
    assert {name.split(".")[0] for name, _ in classifier.named_parameters()} == {"encoder", "head"}
    segmenter = small()
    n_encoder = sum(p.numel() for p in segmenter.encoder.parameters())
    assert sum(p.numel() for p in classifier.parameters()) == n_encoder + 16 * 3 + 3


class Mean(nn.Module):
    """A step of a decoder: repeat the lower map and average it with the skip connection."""

    def forward(self, lower, skip):
        return (nn.functional.interpolate(lower, scale_factor=2) + skip) / 2


def test_stages_and_steps_make_a_u():
    encoder = Stages([nn.Identity(), nn.AvgPool2d(2), nn.AvgPool2d(2)])
    parts = Parts(encoder, Steps([Mean(), Mean()]), nn.Identity(), (4, 4))
    image = torch.zeros(1, 1, 4, 4)
    image[..., 0, 0] = 16.0
    logits = Segmenter(parts, n_channels=1, n_outputs=1)(image)
    # down: 16 -> 4 -> 1; up: (1 + 4) / 2 = 2.5, (2.5 + 16) / 2 = 9.25 at the bright pixel
    assert logits[0, 0, 0, :3].tolist() == [9.25, 1.25, 0.25]


def test_a_dry_run_finds_shape_and_unused_weights_without_touching_the_module():
    module = nn.ModuleDict({"used": nn.Conv2d(1, 4, 3), "idle": nn.Linear(2, 2)})
    module.forward = lambda image: (None, module["used"](image))
    weight = module["used"].weight.clone()
    found = dry_run(module, (2, 1, 9, 7), lambda output: output[1])
    assert found.shape == (2, 4, 7, 5)
    assert found.unused == ("idle.weight", "idle.bias")
    assert torch.equal(module["used"].weight, weight)
    assert module["used"].weight.grad is None
    assert module.training
