"""What every network of the catalog promises, whichever library it comes from."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from segclf.core.config import LossSettings, NetworkSettings
from segclf.losses import build_loss
from segclf.networks import (
    NETWORKS,
    build_classifier,
    build_segmenter,
    finding_logits,
    set_output_bias,
)

MONAI = ("monai_unet", "basicunet", "dynunet", "segresnet", "attentionunet", "swinunetr")
NARROW_DPT = {
    "decoder_intermediate_channels": [16, 32, 32, 32],
    "decoder_fusion_channels": 32,
    "num_classes": 0,
}
FAST = {("unet", 2), ("basicunet", 2)}
SLOW = ("swinunetr", 3)


def entries(*, slow):
    found = []
    for name in NETWORKS:
        for spatial_dims in (2, 3) if name in MONAI else (2,):
            marks = []
            if name == "swinunetr":
                marks.append(
                    pytest.mark.skipif(
                        find_spec("einops") is None, reason="MONAI's SwinUNETR needs einops"
                    )
                )
            if (slow and (name, spatial_dims) not in FAST) or (name, spatial_dims) == SLOW:
                marks.append(pytest.mark.nightly)
            found.append(
                pytest.param((name, spatial_dims), marks=marks, id=f"{name}-{spatial_dims}d")
            )
    return found


def settings_of(name):
    if name == "dpt":
        return NetworkSettings(name=name, encoder="tu-test_vit", options=NARROW_DPT)
    return NetworkSettings(name=name)


def built(entry, n_outputs=2, seed=0):
    name, spatial_dims = entry
    torch.manual_seed(seed)
    return build_segmenter(
        settings_of(name), n_channels=1, n_outputs=n_outputs, spatial_dims=spatial_dims
    )


def images(n, *space):
    return torch.rand(n, 1, *space, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module", params=entries(slow=False))
def entry(request):
    return request.param


@pytest.fixture(scope="module")
def network(entry):
    return built(entry)


@pytest.fixture(scope="module")
def fresh_encoder(network):
    """The encoder's weights before any test ran the network; the first test asks for them."""
    return {name: tensor.clone() for name, tensor in network.encoder.state_dict().items()}


def odd(network):
    return (33, 21) if len(network.divisor_px) == 2 else (17, 9, 6)


def test_segmenter_and_classifier_start_with_the_same_encoder(entry, network, fresh_encoder):
    name, spatial_dims = entry
    torch.manual_seed(0)
    classifier = build_classifier(
        settings_of(name), n_channels=1, n_outputs=2, spatial_dims=spatial_dims
    )
    theirs = classifier.encoder.state_dict()
    assert list(fresh_encoder) == list(theirs)
    assert all(torch.equal(fresh_encoder[key], theirs[key]) for key in theirs)
    image = images(2, *odd(network))
    network.eval()
    classifier.eval()
    with torch.no_grad():
        deep = network.features(image).deep
        assert classifier(image).shape == (2, 2)
        assert torch.equal(classifier.embed(image), deep.flatten(2).mean(2))


def test_logits_have_the_size_of_any_image(network):
    space = odd(network)
    network.eval()
    with torch.no_grad():
        logits, shallow, deep = network.features(images(2, *space))
    assert logits.shape == (2, 2, *space)
    assert logits.isfinite().all()
    for features in (shallow, deep):
        assert features.shape[0] == 2
        assert features.ndim == 2 + len(space)
        assert all(n <= size for n, size in zip(features.shape[2:], space, strict=True))
    assert deep.shape[2] < space[0]


def test_a_case_does_not_depend_on_its_neighbours_in_the_batch(network):
    image = images(2, *odd(network))
    network.eval()
    with torch.no_grad():
        together = network(image)
        alone = torch.cat([network(one[None]) for one in image])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-3  # the cases do differ


def test_every_trained_weight_gets_a_gradient(network):
    network.train()
    network.zero_grad()
    network(images(2, *odd(network))).square().mean().backward()
    trained = {n: p for n, p in network.named_parameters() if p.requires_grad}
    assert [n for n, p in trained.items() if p.grad is None] == []
    first = next(p for n, p in trained.items() if n.startswith("encoder."))
    assert first.grad.abs().max() > 0


def test_weights_survive_a_safetensors_file(network, entry, tmp_path):
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    other = built(entry, seed=7)
    image = images(1, *odd(network))
    network.eval()
    other.eval()
    with torch.no_grad():
        assert not torch.equal(other(image), network(image))
        other.load_state_dict(load_file(tmp_path / "model.safetensors"))
        assert torch.equal(other(image), network(image))


def test_the_start_is_at_the_prior(network):
    set_output_bias(network, [0.004, 0.2], exclusive=False)
    for training in (True, False):
        network.train(training)
        with torch.no_grad():
            raw = network(images(2, *odd(network)))
        mean = raw.sigmoid().transpose(0, 1).flatten(1).mean(1)
        assert mean.tolist() == pytest.approx([0.004, 0.2], rel=0.35)


def test_the_exclusive_start_is_at_the_prior(network):
    set_output_bias(network, [0.01], exclusive=True)
    network.eval()
    with torch.no_grad():
        raw = network(images(2, *odd(network)))
    assert float(raw.softmax(1)[:, 1].mean()) == pytest.approx(0.01, rel=0.35)
    assert float(finding_logits(raw, True).sigmoid().mean()) == pytest.approx(0.01, rel=0.35)


def phantom_like(spatial_dims):
    """Four cases, three with a lesion of their own place and size, on smoothed noise."""
    size = 64 if spatial_dims == 2 else 32
    draw = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*[np.arange(size)] * spatial_dims, indexing="ij"))
    image, target = [], []
    for radius in (size / 8, size / 6, size / 5, 0):
        noise = draw.normal(size=(size // 4,) * spatial_dims)
        for axis in range(spatial_dims):
            noise = noise.repeat(4, axis=axis)
        centre = draw.uniform(size / 4, size * 3 / 4, size=spatial_dims)
        distance = np.sqrt(((grid.T - centre).T ** 2).sum(0))
        target.append(distance < radius)
        image.append(0.4 + 0.08 * noise + 0.4 * target[-1])
    stack = [np.stack(arrays)[:, None].astype(np.float32) for arrays in (image, target)]
    return torch.from_numpy(stack[0]), torch.from_numpy(stack[1])


@pytest.mark.parametrize("entry", entries(slow=True))
def test_it_overfits_four_tiny_cases(entry):
    image, target = phantom_like(entry[1])
    network = built(entry, n_outputs=1)
    set_output_bias(network, [float(target.mean())], exclusive=False)
    loss_of = build_loss(LossSettings(), exclusive=False)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    dice = 0.0
    for step in range(1, 401):
        network.train()
        optimizer.zero_grad()
        loss_of(network(image), target).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if step % 10 == 0:
            network.eval()  # as in prediction: batch norm with its running statistics
            with torch.no_grad():
                mask = (network(image) > 0).float()
            dice = float(2 * (mask * target).sum() / (mask.sum() + target.sum()))
            print(f"{entry[0]} {entry[1]}D step {step}: Dice {dice:.3f}")
            if dice > 0.9:
                break
    assert dice > 0.9
