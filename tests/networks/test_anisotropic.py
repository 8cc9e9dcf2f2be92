"""A thin axis is not pooled away: strides by hand, and the feature maps that they give."""

import pytest
import torch

from segclf.core.config import NetworkSettings
from segclf.core.errors import ConfigError
from segclf.networks import build_segmenter, plan_strides

CT = {"patch_px": [96, 96, 32], "spacing_mm": [1.0, 1.0, 5.0]}


def test_fine_axes_are_halved_until_all_are_alike():
    strides, kernels = plan_strides(**CT)
    # spacing 1, 1, 5 -> 2, 2, 5 -> 4, 4, 5 -> 8, 8, 10 -> 16, 16, 20; then 6, 6, 8 elements: only
    # the last axis has 8, and alone it would need 12
    assert strides == [[1, 1, 1], [2, 2, 1], [2, 2, 1], [2, 2, 2], [2, 2, 2]]
    assert kernels == [[3, 3, 1], [3, 3, 1], [3, 3, 3], [3, 3, 3], [3, 3, 3]]


def test_equal_voxels_are_halved_alike_down_to_four_elements():
    strides, kernels = plan_strides([64, 64, 64], [1.0, 1.0, 1.0])
    assert strides == [[1] * 3] + [[2] * 3] * 4
    assert kernels == [[3] * 3] * 5
    assert plan_strides([7, 7], [1.0, 1.0])[0] == [[1, 1]]


def test_the_order_of_the_axes_does_not_matter():
    turned, _ = plan_strides([32, 96, 96], [5.0, 1.0, 1.0])
    assert [stride[::-1] for stride in turned] == plan_strides(**CT)[0]


def test_a_planned_network_keeps_slices_apart_where_equal_strides_do_not():
    deepest = {}
    for name, options in {
        "planned": {"plan": CT, "filters": [8] * 5},
        "equal": {"strides": [1, 2, 2, 2, 2], "filters": [8] * 5},
    }.items():
        settings = NetworkSettings(name="dynunet", options=options)
        network = build_segmenter(settings, n_channels=1, n_outputs=1, spatial_dims=3)
        with torch.no_grad():
            found = network.features(torch.zeros(1, 1, 32, 32, 8))
        assert found.logits.shape[2:] == (32, 32, 8)
        deepest[name] = tuple(found.deep.shape[2:])
    assert deepest == {"planned": (2, 2, 2), "equal": (2, 2, 1)}
    settings = NetworkSettings(name="dynunet", options={"plan": CT, "filters": [8] * 5})
    network = build_segmenter(settings, n_channels=1, n_outputs=1, spatial_dims=3)
    assert network.divisor_px == (16, 16, 4)


@pytest.mark.parametrize(
    "options",
    [
        {"plan": CT, "strides": [1, 2]},
        {"plan": [96, 96, 32]},
        {"plan": {"patch_px": [96, 96], "spacing_mm": [1, 1]}},
        {"plan": {"patch_px": [96, 96, 0], "spacing_mm": [1, 1, 1]}},
    ],
)
def test_a_plan_that_does_not_fit_says_what_it_should_hold(options):
    settings = NetworkSettings(name="dynunet", options=options)
    with pytest.raises(ConfigError, match="plan of the network") as caught:
        build_segmenter(settings, n_channels=1, n_outputs=1, spatial_dims=3)
    assert "patch_px" in str(caught.value)


def test_a_plan_of_nothing_is_refused():
    with pytest.raises(ValueError, match="positive number per axis"):
        plan_strides([8, 8], [1.0])
