"""Mask statistics against drawings counted by hand, brute force and SciPy."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit, logsumexp

from segclf.core.errors import UsageError
from segclf.core.maskstats import (
    LOGIT_SCALARS,
    LOGIT_THRESHOLDS,
    LOGIT_THRESHOLDS_FLOAT32,
    SCALARS,
    SURFACE_SCALARS,
    THRESHOLDS,
    components,
    make_statistics,
    mask_statistics,
    threshold_index,
    top_counts,
)


def drawn(picture: str) -> np.ndarray:
    """A map from a drawing: `#` is logit 2 (p = 0.88), `+` is 0 (p = 0.5), `.` is -4."""
    value = {"#": 2.0, "+": 0.0, ".": -4.0}
    return np.array([[value[c] for c in row] for row in picture.split()], dtype=np.float32)


def statistics(logits, **options):
    options = {"px_size": 1.0, "component_t": 0.5, **options}
    return mask_statistics(expit(logits.astype(np.float64)), logits, **options)


def test_a_drawing_gives_the_numbers_that_a_reader_counts():
    found = statistics(
        drawn("""
            ##...
            #..+.
            ....#
        """),
        truth=drawn("""
            ##...
            .....
            ....#
        """)
        > 0,
    )
    assert found["n_px"] == 15
    assert not found["is_volume"]
    # p = 0.5 is not above t = 0.5, so 4 pixels are, in components of 3 and 1
    assert found["area_curve"][64] == 4
    assert (found["largest_component_px"], found["n_components"]) == (3, 2)
    assert found["true_px"] == 3
    assert found["overlap_curve"][64] == 3
    assert found["overlap_curve"][0] == 3
    assert found["area_curve"][0] == 15  # p(-4) = 0.018 is above 0.001
    total_p = 4 * 0.8807970779778823 + 0.5 + 10 * 0.01798620996
    assert found["mean_p"] == pytest.approx(total_p / 15)
    assert found["max_p"] == pytest.approx(0.8807970779778823)
    assert found["top_3"] == pytest.approx(0.8807970779778823)  # 10 % of 15 px, rounded: 2 px


def test_every_threshold_counts_what_brute_force_counts():
    rng = np.random.default_rng(0)
    logits = rng.normal(-2, 4, (7, 9, 5)).astype(np.float32)
    truth = rng.random(logits.shape) < 0.3
    found = statistics(logits, truth=truth)
    assert found["is_volume"]
    p = expit(logits.astype(np.float64))
    assert found["area_curve"].tolist() == [int((p > t).sum()) for t in THRESHOLDS]
    assert found["overlap_curve"].tolist() == [int((p[truth] > t).sum()) for t in THRESHOLDS]


def test_a_logit_on_a_threshold_is_not_above_it():
    # float32 values on both sides of every threshold, compared in float64 by the witness
    below = LOGIT_THRESHOLDS_FLOAT32
    above = np.nextafter(below, np.float32(np.inf))
    logits = np.concatenate([below, above]).reshape(2, -1)
    wide = logits.astype(np.float64).ravel()
    expected = [int((wide > z).sum()) for z in LOGIT_THRESHOLDS]
    assert statistics(logits)["area_curve"].tolist() == expected
    assert expected == list(range(257, 0, -2))  # of 258: one step up the grid drops two


def test_sums_in_log_space_agree_with_scipy_where_p_rounds_to_0_and_1():
    logits = np.array([[-40.0, -1.0], [3.0, 60.0]], dtype=np.float32)
    found = statistics(logits)
    wide = logits.astype(np.float64)
    assert found["lse_logit"] == pytest.approx(logsumexp(wide), rel=1e-12)
    by_hand = np.log(expit(-wide)).sum()  # log(1 - p) = log(sigmoid(-z))
    assert found["sum_log1mp"] == pytest.approx(by_hand, rel=1e-12)
    assert statistics(np.full((2, 2), -40, np.float32))["sum_log1mp"] < 0


def test_pooled_logits_rank_maps_whose_probabilities_are_alike():
    found = [
        statistics(np.array([[z, z - 1.0], [-60.0, -50.0 - z]], dtype=np.float32))
        for z in (40.0, 45.0)
    ]
    assert found[0]["max_p"] == found[1]["max_p"] == 1.0  # float64 has nothing nearer to 1
    assert [row["max_logit"] for row in found] == [40.0, 45.0]
    assert [row["mean_logit"] for row in found] == [(79 - 150) / 4, (89 - 155) / 4]
    wide = np.random.default_rng(3).permutation(20_000).reshape(100, 200).astype(np.float32)
    tops = statistics(wide / 1e4)
    for column, n_top in (("top_logit_0", 2), ("top_logit_2", 200), ("top_logit_3", 2000)):
        middle = (20_000 - 1 - (n_top - 1) / 2) / 1e4  # of the n_top highest integers
        assert tops[column] == pytest.approx(middle, rel=1e-6)


def test_means_of_the_top_fractions_use_the_nearest_count_and_at_least_one_pixel():
    p = np.linspace(0.001, 0.999, 20_000)
    p = np.random.default_rng(1).permutation(p).reshape(100, 200)
    found = mask_statistics(p, logit(p).astype(np.float32), px_size=1, component_t=0.5)
    falling = np.sort(p.ravel())[::-1]
    for column, n_top in (("top_0", 2), ("top_1", 20), ("top_2", 200), ("top_3", 2000)):
        assert found[column] == pytest.approx(falling[:n_top].mean(), rel=1e-12)
    assert top_counts(18) == (1, 1, 1, 2)  # 10 % of 18 is 1.8
    tiny = statistics(np.array([[-1.0, 1.0]], dtype=np.float32))
    assert tiny["top_0"] == tiny["max_p"] == pytest.approx(expit(1.0))


@pytest.mark.parametrize("shape", [(24, 30), (10, 12, 8)])
def test_components_touch_by_faces_and_match_scipy_on_the_whole_map(shape):
    from scipy import ndimage

    mask = np.random.default_rng(2).random(shape) < 0.25
    mask[:3] = False  # so that the box around the mask is smaller than the map
    labels, n_components = ndimage.label(mask)
    largest_px = np.unique(labels[labels > 0], return_counts=True)[1].max()
    assert components(mask) == (largest_px, n_components)
    diagonal = np.eye(4, dtype=bool)
    assert components(diagonal) == (1, 4)


def test_an_empty_mask_has_no_component():
    found = statistics(drawn("... ..."))
    assert (found["largest_component_px"], found["n_components"]) == (0, 0)


def test_components_are_counted_at_the_threshold_asked_for():
    logits = drawn("#+#")
    low = statistics(logits, component_t=THRESHOLDS[60])
    assert (low["largest_component_px"], low["n_components"]) == (3, 1)
    assert statistics(logits)["n_components"] == 2
    assert low["component_t"] == THRESHOLDS[60]


def test_an_unknown_truth_is_missing_and_not_empty():
    found = statistics(drawn("#.."))
    assert found["true_px"] is pd.NA
    assert set(found["overlap_curve"]) == {-1}
    known_empty = statistics(drawn("#.."), truth=np.zeros((1, 3)))
    assert known_empty["true_px"] == 0
    assert set(known_empty["overlap_curve"]) == {0}


def test_the_keys_are_the_columns_of_the_table():
    found = statistics(drawn("#.."))
    of_prediction = {"case_id", "finding", "fold", *SURFACE_SCALARS}
    assert {*found} | of_prediction == {*SCALARS, "area_curve", "overlap_curve"}
    row = {**found, "case_id": "a", "finding": "lesion", "fold": pd.NA}
    record = make_statistics([row, row])
    assert {name: str(dtype) for name, dtype in record.frame.dtypes.items()} == {
        name: "string" if dtype == "string" else dtype for name, dtype in SCALARS.items()
    }
    assert record.area_curve.shape == (2, 129)
    assert record.frame[list(SURFACE_SCALARS)].isna().all(axis=None)
    measured = make_statistics([{**row, "surface_dice": 0.5}, row])
    assert measured.frame["surface_dice"].tolist() == pytest.approx([0.5, np.nan], nan_ok=True)
    assert make_statistics([]).area_curve.shape == (0, 129)
    bare = {name: value for name, value in row.items() if name not in LOGIT_SCALARS}
    mixed = make_statistics([{**bare, "roundness": 0.25}, row]).frame
    assert mixed["mean_logit"].isna().tolist() == [True, False]
    assert list(mixed.columns)[-1] == "roundness"
    assert mixed["roundness"].tolist() == pytest.approx([0.25, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("logits", "truth", "text"),
    [
        (np.zeros((2, 2)), np.zeros((2, 3)), r"\(2, 3\)"),
        (np.zeros((0, 2)), None, "at least one pixel"),
        (np.array([[np.nan, 0]]), None, "1 of 2 logits not finite"),
        (np.array([[np.inf, 0]]), None, "1 of 2 logits not finite"),
        (np.zeros((1, 2)), np.array([[0.5, 2]]), r"0 or 1; got \[0.5, 2.0\]"),
    ],
)
def test_maps_that_mean_nothing_are_refused_with_the_values(logits, truth, text):
    with pytest.raises(ValueError, match=text):
        mask_statistics(expit(logits), logits, px_size=1, truth=truth, component_t=0.5)


def test_a_threshold_is_found_as_stored_and_as_printed():
    assert threshold_index(0.5) == 64
    for index, t in enumerate(THRESHOLDS):
        for text in (f"{t:.4g}", f"{t:.6g}", f"{t:.4f}" if t > 0.1 else f"{float(t)!r}"):
            assert threshold_index(float(text)) == index


@pytest.mark.parametrize(
    ("t", "neighbours"),
    [
        (0.3, "0.2966 or 0.3196"),
        (0.29661, "0.2746 or 0.2966"),  # near is not on it: the count would be of another t
        (0.0005, "0.001"),
        (1.0, "0.999"),
        (float("nan"), "0.5"),
    ],
)
def test_a_threshold_off_the_grid_is_refused_with_its_neighbours(t, neighbours):
    with pytest.raises(UsageError) as caught:
        threshold_index(t)
    assert f"t = {t:g} is not one of the thresholds" in str(caught.value)
    assert caught.value.fix == f"use {neighbours}"


def test_the_grid_is_the_one_that_files_were_written_with():
    assert THRESHOLDS[[0, 64, 128]] == pytest.approx([0.001, 0.5, 0.999], rel=1e-12)
    expected = expit(np.linspace(logit(0.001), logit(0.999), 129))
    np.testing.assert_allclose(THRESHOLDS, expected, rtol=1e-12)
