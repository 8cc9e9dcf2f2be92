import pytest
import segmentation_models_pytorch as smp
import torch

from segclf.core.config import NetworkSettings
from segclf.core.errors import ConfigError, UsageError
from segclf.networks import NETWORKS, build_classifier, build_segmenter


def build(n_outputs=1, spatial_dims=2, n_channels=1, **settings):
    return build_segmenter(
        NetworkSettings(**settings),
        n_channels=n_channels,
        n_outputs=n_outputs,
        spatial_dims=spatial_dims,
    )


def test_every_architecture_of_smp_is_in_the_catalog():
    assert set(smp.MODEL_ARCHITECTURES_MAPPING) <= set(NETWORKS)


@pytest.mark.parametrize("name", ["unet", "fpn", "deeplabv3plus"])
def test_the_parts_compute_what_the_whole_does(name):
    torch.manual_seed(0)
    theirs = smp.create_model(name, "resnet18", encoder_weights=None, in_channels=2, classes=3)
    torch.manual_seed(0)
    ours = build(name=name, n_channels=2, n_outputs=3)
    image = torch.rand(1, 2, 64, 32)
    with torch.no_grad():
        assert torch.equal(ours.eval()(image), theirs.eval()(image))


def test_options_go_to_the_architecture():
    network = build(name="unet", options={"encoder_depth": 3, "decoder_channels": [32, 16, 8]})
    assert network.divisor_px == (8, 8)
    assert network.features(torch.rand(2, 1, 20, 16)).shallow.shape == (2, 8, 20, 16)


@pytest.mark.parametrize("encoder", ["efficientnet-b0", "mit_b0", "tu-convnext_atto"])
def test_other_families_of_encoders_work(encoder):
    network = build(encoder=encoder).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 1, 33, 40)).shape == (1, 1, 33, 40)
    trained = [p for p in network.parameters() if p.requires_grad]
    network(torch.rand(1, 1, 33, 40)).sum().backward()
    assert all(p.grad is not None for p in trained)


def test_stages_that_an_architecture_never_calls_are_not_trained():
    segmenter = build(name="pspnet")
    frozen = {n for n, p in segmenter.named_parameters() if not p.requires_grad}
    assert {n.split(".")[1] for n in frozen} == {"layer3", "layer4"}
    classifier = build_classifier(
        NetworkSettings(name="pspnet"), n_channels=1, n_outputs=1, spatial_dims=2
    )
    assert frozen == {n for n, p in classifier.named_parameters() if not p.requires_grad}
    assert not [n for n, p in build(name="unet").named_parameters() if not p.requires_grad]


@pytest.mark.parametrize(
    ("settings", "wrong", "fix"),
    [
        ({"encoder": "resnet81"}, "no encoder called 'resnet81'", "resnet18"),
        ({"encoder": "tu-resnet81"}, r"Unknown model \(resnet81\)", "network.encoder"),
        ({"name": "dpt"}, "must start with 'tu-'", "tu-vit_tiny_patch16_224"),
        ({"name": "linknet", "encoder": "mit_b0"}, "not supported for Linknet", "network.encoder"),
        ({"options": {"classes": 3}}, "may not set classes", "settings of their own"),
        ({"options": {"activation": "sigmoid"}}, "may not set activation", "remove it"),
        ({"options": {"decoder_channels": [8, 4]}}, "refuses its settings", "network.options"),
        ({"options": {"encoder_output_stride": 4}, "name": "deeplabv3"}, "stride 8 or 16", "corr"),
        ({"options": {"upsampling": 2}, "name": "fpn"}, r"shape \(1, 32, 32\)", "upsampling"),
        (
            {"name": "dpt", "encoder": "tu-test_vit", "options": {"dynamic_img_size": False}},
            r"Input height .64. doesn't match model .160.",
            "img_size",
        ),
    ],
)
def test_a_refusal_is_relayed_with_a_fix(settings, wrong, fix):
    with pytest.raises(ConfigError, match=wrong) as caught:
        build(**settings)
    assert fix in caught.value.fix


def test_an_encoder_for_one_size_works_at_that_size():
    settings = NetworkSettings(
        name="dpt", encoder="tu-test_vit", options={"dynamic_img_size": False, "img_size": [64, 96]}
    )
    network = build_segmenter(
        settings, n_channels=1, n_outputs=1, spatial_dims=2, size_px=(64, 96)
    ).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 1, 64, 96)).shape == (1, 1, 64, 96)
    with pytest.raises(ConfigError, match="Input height"):
        build_segmenter(settings, n_channels=1, n_outputs=1, spatial_dims=2, size_px=(96, 96))


def test_a_2d_network_refuses_volumes():
    with pytest.raises(ConfigError, match="'unet' is 2D, but the images are 3D") as caught:
        build(spatial_dims=3)
    assert "basicunet" in caught.value.fix


def test_an_unknown_network_names_the_nearest():
    with pytest.raises(UsageError, match="no network called 'unett'") as caught:
        build(name="unett")
    assert "'unet'" in caught.value.fix
