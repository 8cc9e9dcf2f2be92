"""Taken apart and put together again, MONAI's networks compute what MONAI's `forward` does."""

from importlib.util import find_spec

import pytest
import torch
from monai.networks import nets

from segclf.core.config import NetworkSettings
from segclf.core.errors import ConfigError
from segclf.networks import build_segmenter

GROUP = ("group", {"num_groups": 4})
UNET = {"channels": [8, 16, 32], "strides": [2, 2], "norm": GROUP}
CASES = {
    "basicunet": (nets.BasicUNet, {"features": [8, 8, 8, 16, 16, 8], "norm": GROUP}),
    "dynunet": (
        nets.DynUNet,
        {
            "kernel_size": [3, 3, 3],
            "strides": [1, 2, 2],
            "upsample_kernel_size": [2, 2],
            "filters": [8, 16, 16],
            "norm_name": GROUP,
            "res_block": True,
        },
    ),
    "segresnet": (nets.SegResNet, {"init_filters": 8, "dropout_prob": 0.2}),
    "attentionunet": (nets.AttentionUnet, {"channels": [4, 8, 16], "strides": [2, 2]}),
    "swinunetr": (nets.SwinUNETR, {"feature_size": 12, "use_v2": True}),
}


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("name", CASES)
def test_the_parts_compute_what_the_whole_does(name, spatial_dims):
    if name == "swinunetr" and find_spec("einops") is None:
        pytest.skip("MONAI's SwinUNETR needs einops")
    network, options = CASES[name]
    torch.manual_seed(0)
    theirs = network(spatial_dims=spatial_dims, in_channels=2, out_channels=3, **options).eval()
    torch.manual_seed(0)
    settings = NetworkSettings(name=name, options=options)
    ours = build_segmenter(settings, n_channels=2, n_outputs=3, spatial_dims=spatial_dims).eval()
    image = torch.rand(1, 2, *(64, 32, 32)[:spatial_dims])
    with torch.no_grad():
        assert torch.equal(ours(image), theirs(image))


@pytest.mark.parametrize(("n_units", "strides"), [(0, [2, 2]), (2, [2, 2]), (2, [[1, 2], 2])])
def test_the_unet_is_that_of_monai_with_a_convolution_behind(n_units, strides):
    options = UNET | {"num_res_units": n_units, "strides": strides}
    torch.manual_seed(0)
    unet = nets.UNet(spatial_dims=2, in_channels=1, out_channels=8, **options)
    theirs = torch.nn.Sequential(unet, torch.nn.Conv2d(8, 2, 1)).eval()
    torch.manual_seed(0)
    settings = NetworkSettings(name="monai_unet", options=options)
    ours = build_segmenter(settings, n_channels=1, n_outputs=2, spatial_dims=2).eval()
    image = torch.rand(1, 1, 16, 24)
    with torch.no_grad():
        assert torch.equal(ours(image), theirs(image))


def test_strides_of_an_axis_decide_how_it_is_padded():
    options = UNET | {"strides": [[2, 2, 1], [2, 2, 1]]}
    settings = NetworkSettings(name="monai_unet", options=options)
    network = build_segmenter(settings, n_channels=1, n_outputs=1, spatial_dims=3)
    assert network.divisor_px == (4, 4, 1)
    assert network(torch.rand(1, 1, 9, 9, 5)).shape == (1, 1, 9, 9, 5)


@pytest.mark.parametrize(
    ("name", "options", "wrong", "fix"),
    [
        ("dynunet", {"deep_supervision": True}, "returns several maps", "remove deep_supervision"),
        ("basicunet", {"out_channels": 3}, "may not set out_channels", "settings of their own"),
        ("basicunet", {"depth": 3}, "unexpected keyword argument 'depth'", "remove that option"),
        ("segresnet", {"blocks_down": [1, 1], "blocks_up": [1, 1]}, "refuses", "correct"),
        ("dynunet", {"strides": [2, 2, 2]}, r"shape \(1, 32, 32\)", "leave out the options"),
        ("monai_unet", {"channels": [9, 18]}, "must be divisible by num_groups", "correct"),
    ],
)
def test_a_refusal_is_relayed_with_a_fix(name, options, wrong, fix):
    settings = NetworkSettings(name=name, options=options)
    with pytest.raises(ConfigError, match=wrong) as caught:
        build_segmenter(settings, n_channels=1, n_outputs=1, spatial_dims=2)
    assert fix in caught.value.fix
    assert "network.options" in str(caught.value)


@pytest.mark.skipif(find_spec("einops") is not None, reason="einops is installed")
def test_a_missing_package_of_monai_is_named():
    with pytest.raises(ConfigError, match="No module named 'einops'") as caught:
        build_segmenter(
            NetworkSettings(name="swinunetr"), n_channels=1, n_outputs=1, spatial_dims=2
        )
    assert "install" in caught.value.fix
