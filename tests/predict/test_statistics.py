"""The batch version of the statistics against their NumPy definition."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage
from scipy.special import expit

from segclf.core.maskstats import LOGIT_THRESHOLDS_FLOAT32, THRESHOLDS, mask_statistics
from segclf.predict import batch_statistics

EXACT = ("area_curve", "overlap_curve", "true_px", "largest_component_px", "n_components")


def smooth_maps(n, shape, seed=0):
    noise = np.random.default_rng(seed).normal(size=(n, *shape))
    smooth = ndimage.gaussian_filter(noise, (0, *[3] * len(shape)))
    return (smooth / smooth.std() * 4 - 3).astype(np.float32)


def assert_equal_to_the_definition(logits, truth, index=64, threshold=0.5):
    found = batch_statistics(
        torch.from_numpy(logits),
        None if truth is None else torch.from_numpy(truth),
        component_index=index,
    )
    for i, one in enumerate(logits):
        known = truth is not None and not np.isnan(truth[i]).any()
        expected = mask_statistics(
            expit(one.astype(np.float64)),
            one,
            px_size=1.0,
            truth=truth[i] if known else None,
            component_t=threshold,
        )
        assert set(found) == {*expected} - {"n_px", "px_size", "is_volume", "component_t"}
        for name, column in found.items():
            value = -1 if expected[name] is pd.NA else expected[name]
            if name in EXACT:
                np.testing.assert_array_equal(column[i], value, err_msg=name)
            else:
                assert column[i] == pytest.approx(value, rel=3e-7), name


@pytest.mark.parametrize("shape", [(37, 41), (9, 14, 11)])
def test_a_batch_gives_what_the_definition_gives(shape):
    logits = smooth_maps(5, shape)
    truth = (logits + np.random.default_rng(1).normal(size=logits.shape) > 0).astype(np.float32)
    truth[1] = np.nan
    truth[2] = 0
    assert_equal_to_the_definition(logits, truth)
    assert_equal_to_the_definition(logits, None, index=40, threshold=THRESHOLDS[40])


def test_logits_exactly_on_thresholds_are_counted_alike():
    around = [LOGIT_THRESHOLDS_FLOAT32]
    for to in (-np.inf, np.inf):
        around.append(np.nextafter(LOGIT_THRESHOLDS_FLOAT32, np.float32(to)))
    logits = np.stack(around)[None]
    assert_equal_to_the_definition(logits, (logits > 0).astype(np.float32))


def test_extreme_logits_keep_their_order_and_their_sums():
    logits = np.array([[[-60.0, 20.0]], [[-60.0, 21.0]], [[-80, -80]]], dtype=np.float32)
    assert_equal_to_the_definition(logits, None)
    found = batch_statistics(torch.from_numpy(logits), component_index=64)
    assert found["max_p"][0] < found["max_p"][1] < 1  # float32 would call both 1
    assert found["max_logit"].tolist() == [20.0, 21.0, -80.0]
    assert found["mean_logit"].tolist() == [-20.0, -19.5, -80.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_map_that_is_not_finite_is_marked_and_spoils_no_other(bad):
    logits = smooth_maps(3, (12, 13))
    expected = batch_statistics(torch.from_numpy(logits), component_index=64)["mean_p"]
    logits[1, 5, 5] = bad
    found = batch_statistics(torch.from_numpy(logits), component_index=64)["mean_p"]
    assert np.isnan(found[1])
    np.testing.assert_array_equal(found[[0, 2]], expected[[0, 2]])


def test_one_pixel_is_a_map():
    assert_equal_to_the_definition(np.array([[[1.5]]], np.float32), np.array([[[1.0]]], np.float32))
