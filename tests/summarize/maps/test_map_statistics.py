"""Statistics of map files against the definition in core.maskstats."""

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from scipy.special import expit, logit

from segclf.core.maskstats import SCALARS, SURFACE_SCALARS, THRESHOLDS, mask_statistics
from segclf.summarize.maps.statistics import EDGE, as_logits, as_probability, map_statistics

COUNTS = ("n_px", "area_curve", "overlap_curve", "largest_component_px", "n_components")


def smooth(shape, seed=0):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3)
    return expit(noise / (noise.std() or 1) * 5 - 3)


def assert_as_defined(values, probability, component_t=0.5):
    """`probability` is what the values mean, in float64; its logits are the witness's own."""
    kept = np.clip(probability, 2.0**-24, 1 - 2.0**-24)
    expected = mask_statistics(
        probability, logit(kept).astype(np.float32), px_size=0.25, component_t=component_t
    )
    found = map_statistics(values, px_size=0.25, component_t=component_t)
    assert set(found) == set(expected)
    assert set(found) == {*SCALARS, "area_curve", "overlap_curve"} - {
        "case_id", "finding", "fold", *SURFACE_SCALARS,
    }  # fmt: skip
    for name, value in expected.items():
        if name in COUNTS:
            np.testing.assert_array_equal(found[name], value, err_msg=name)
        elif value is pd.NA:
            assert found[name] is pd.NA
        else:
            assert found[name] == pytest.approx(value, rel=2e-6, abs=1e-6), name


@pytest.mark.parametrize("shape", [(61, 47), (12, 19, 15), (1, 1), (300, 301)])
@pytest.mark.parametrize("t", [0.5, THRESHOLDS[40]])
def test_levels_and_floats_give_what_the_definition_gives(shape, t):
    p = smooth(shape)
    for dtype in (np.uint8, np.uint16):
        top = np.iinfo(dtype).max
        level = np.rint(p * top).astype(dtype)
        assert_as_defined(level, level / top, t)
    assert_as_defined(p.astype(np.float32), p.astype(np.float32).astype(np.float64), t)
    half = p.astype(np.float16)
    half.flat[0] *= -0.0
    assert_as_defined(half, half.astype(np.float64), t)
    assert_as_defined(p > 0.5, (p > 0.5).astype(np.float64), t)


@pytest.mark.parametrize("value", [0.0, 1e-30, 0.3, 1.0])
def test_constant_maps_stay_finite_and_as_defined(value):
    p = np.full((70, 1000), value, dtype=np.float32)  # more than one block of sums
    assert_as_defined(p, p.astype(np.float64))
    found = map_statistics(p, px_size=1.0, component_t=0.5)
    assert all(np.isfinite(found[name]) for name in ("lse_logit", "sum_log1mp", "mean_logit"))


def test_floats_next_to_every_threshold_are_counted_alike():
    cut = THRESHOLDS.astype(np.float32)
    around = [cut]
    for _ in range(3):
        around.append(np.nextafter(around[-1], np.float32(1)))
        around.insert(0, np.nextafter(around[0], np.float32(0)))
    p = np.stack(around)
    assert_as_defined(p, p.astype(np.float64))


def test_a_level_of_zero_is_above_no_threshold_and_full_is_above_all():
    found = map_statistics(np.array([[0, 255, 1]], np.uint8), px_size=1.0, component_t=0.5)
    assert found["area_curve"].tolist() == [2 if t < 1 / 255 else 1 for t in THRESHOLDS]
    assert found["max_logit"] == pytest.approx(logit(1 - EDGE))


def test_levels_mean_shares_of_the_highest():
    assert as_probability(np.array([0, 51, 255], np.uint8)).tolist() == pytest.approx([0, 0.2, 1])
    assert as_probability(np.array([False, True])).tolist() == [0.0, 1.0]
    assert as_logits(np.array([0.0, 0.5, 1.0])).tolist() == pytest.approx(
        [-16.6355, 0, 16.6355], rel=1e-5
    )
