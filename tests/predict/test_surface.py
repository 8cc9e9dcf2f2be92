"""Outlines of masks: measured as MONAI and SciPy measure them, and as drawn by hand."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from scipy import ndimage

from segclf.predict.surface import surface_statistics


def drawn(*rows):
    """A mask from its drawing."""
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def by_distance_transform(predicted, truth, spacing_mm, tolerance_mm):
    """The definitions over the whole image, by SciPy's distance transform."""
    cross = ndimage.generate_binary_structure(truth.ndim, 1)
    outlines = [mask & ~ndimage.binary_erosion(mask, cross) for mask in (predicted, truth)]
    to_other = [
        ndimage.distance_transform_edt(~other, sampling=spacing_mm)[one]
        for one, other in (outlines, outlines[::-1])
    ]
    near = np.concatenate(to_other) <= tolerance_mm
    return near.mean(), max(np.percentile(d, 95) for d in to_other)


def by_monai(predicted, truth, spacing_mm, tolerance_mm):
    batch = [torch.from_numpy(mask)[None, None] for mask in (predicted, truth)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of an argument that MONAI itself passes
        dice = compute_surface_dice(
            *batch, [tolerance_mm], include_background=True, spacing=spacing_mm
        )
        distance = compute_hausdorff_distance(
            *batch, include_background=True, percentile=95, spacing=spacing_mm
        )
    return dice.item(), distance.item()


def measured(predicted, truth, spacing_mm=(1.0, 1.0), tolerance_mm=1.0):
    found = surface_statistics(predicted, truth, spacing_mm=spacing_mm, tolerance_mm=tolerance_mm)
    assert list(found) == ["surface_dice", "hd95_mm"]
    return found["surface_dice"], found["hd95_mm"]


def test_two_points_are_as_far_apart_as_their_spacing_says():
    truth, predicted = drawn("#....", "....."), drawn(".....", "....#")
    # 1 row of 3 mm and 4 columns of 1 mm: 5 mm
    assert measured(predicted, truth, (3.0, 1.0), 4.9) == (0.0, 5.0)
    assert measured(predicted, truth, (3.0, 1.0), 5.0) == (1.0, 5.0)  # up to, and including


def test_a_line_that_is_too_long_agrees_in_part():
    truth, predicted = drawn("###......."), drawn("##########")
    # All 3 true pixels are covered. Of the 10 predicted ones, 4 lie within 1 px; distances are
    # 0 0 0 1 … 7, whose 95th percentile lies at place 0.95 * 9 = 8.55, between 6 and 7.
    assert measured(predicted, truth) == pytest.approx((7 / 13, 6.55))
    assert measured(truth, predicted) == pytest.approx((7 / 13, 6.55))


def test_the_inside_of_a_mask_is_no_outline():
    truth = np.zeros((9, 9), bool)
    truth[1:8, 1:8] = True
    predicted = truth.copy()
    predicted[4, 4] = False  # a hole in the middle makes 4 new pixels of the outline, 2 px deep
    dice, hd95_mm = measured(predicted, truth)
    assert dice == pytest.approx((24 + 24) / (24 + 24 + 4))
    assert hd95_mm == pytest.approx(np.percentile([0] * 24 + [2] * 4, 95))


def test_nothing_predicted_agrees_nowhere_and_has_no_distance():
    truth = drawn(".#.")
    dice, hd95_mm = measured(np.zeros_like(truth), truth)
    assert dice == 0.0
    assert math.isnan(hd95_mm)


def test_equal_masks_agree_without_distance():
    truth = drawn("##..", "####")
    assert measured(truth, truth, tolerance_mm=0.0) == (1.0, 0.0)


@pytest.mark.parametrize("shape", [(40, 50), (14, 20, 17)])
@pytest.mark.parametrize("tolerance_mm", [0.0, 1.3, 4.0])
def test_smooth_masks_are_measured_as_monai_and_scipy_measure_them(shape, tolerance_mm):
    spacing_mm = (0.7, 1.9, 3.0)[: len(shape)]
    for seed in range(4):
        noise = np.random.default_rng(seed).normal(size=(2, *shape))
        predicted, truth = ndimage.gaussian_filter(noise, (0, *[2] * len(shape))) > 0.05
        found = measured(predicted, truth, spacing_mm, tolerance_mm)
        for witness in (by_distance_transform, by_monai):
            expected = witness(predicted, truth, spacing_mm, tolerance_mm)
            assert found == pytest.approx(expected, rel=1e-6), witness


masks = st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)


@settings(max_examples=60, deadline=None)
@given(masks, st.sampled_from([0.0, 1.0, 2.5]))
def test_any_two_masks_are_measured_as_scipy_measures_them(pair, tolerance_mm):
    predicted, truth = pair
    predicted[0, 0] = truth[-1, -1] = True
    found = measured(predicted, truth, (1.0, 2.0), tolerance_mm)
    expected = by_distance_transform(predicted, truth, (1.0, 2.0), tolerance_mm)
    assert found == pytest.approx(expected, rel=1e-6)
    assert found == measured(truth, predicted, (1.0, 2.0), tolerance_mm)
    rim = np.pad(predicted, 3), np.pad(truth, 3)  # black around an image changes nothing
    assert found == measured(*rim, (1.0, 2.0), tolerance_mm)
    mm = measured(predicted, truth, (10.0, 20.0), 10 * tolerance_mm)
    assert mm == pytest.approx((found[0], 10 * found[1]))


def test_masks_that_do_not_fit_are_refused_with_their_shapes():
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 2\), and spacing_mm = \(1.0, 1.0\)"):
        measured(np.ones((2, 3), bool), np.ones((2, 2), bool))
    with pytest.raises(ValueError, match=r"spacing_mm = \(1.0,\)"):
        measured(np.ones((2, 2), bool), np.ones((2, 2), bool), (1.0,))
    with pytest.raises(ValueError, match="an empty one has no outline"):
        measured(np.ones((2, 2), bool), np.zeros((2, 2), bool))
