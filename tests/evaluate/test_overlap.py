import numpy as np
import pandas as pd
import pytest
from scipy import stats

from segclf.core.errors import UsageError
from segclf.core.maskstats import SCALARS, THRESHOLDS, MaskStatistics
from segclf.core.settings import EvaluateSettings
from segclf.evaluate import overlap_rows

HALF = 64  # THRESHOLDS[64] is 0.5
FAST = EvaluateSettings(n_boot=50, min_group=1)


def statistics(area, overlap, true_px, *, fold=None):
    """Mask statistics of so many cases; the curves are flat, so every t gives the same."""
    n = len(area)
    values = {
        "case_id": [f"c{i}" for i in range(n)],
        "finding": "lesion",
        "fold": pd.array(fold or [pd.NA] * n, dtype="Int64"),
        "true_px": pd.array(true_px, dtype="Int64"),
    }
    frame = pd.DataFrame({name: values.get(name, 0) for name in SCALARS})
    curve = np.ones(len(THRESHOLDS), np.int64)
    return MaskStatistics(frame, np.outer(area, curve), np.outer(overlap, curve))


def frame_of(patients, **columns):
    n = len(patients)
    values = {"case_id": [f"c{i}" for i in range(n)], "patient_id": patients, "split": "test"}
    fold = pd.array([pd.NA] * n, dtype="Int64")
    return pd.DataFrame({**values, "fold": fold, **columns})


def test_dice_is_averaged_over_cases_of_a_patient_then_over_patients(row):
    # Dice 2*3/(4+4) = 0.75 and 2*1/(2+6) = 0.25 of patient a, 2*5/(5+5) = 1 of patient b.
    stats_ = statistics([4, 2, 5], [3, 1, 5], [4, 6, 5])
    found = overlap_rows(stats_, frame_of(["a", "a", "b"]), 0.5, settings=FAST)
    dice = row(found, metric="dice")
    assert dice["estimate"] == pytest.approx((0.5 + 1.0) / 2)
    assert (dice["n_positive"], dice["n_positive_patients"], dice["n_negative"]) == (3, 2, 0)
    assert dice["t"] == 0.5


def test_empty_cases_count_as_false_alarms_and_never_enter_dice(row):
    # One case with a target (Dice 0.5), three empty ones of which one has a predicted pixel.
    stats_ = statistics([2, 0, 7, 0], [1, 0, 0, 0], [2, 0, 0, 0])
    found = overlap_rows(stats_, frame_of(list("abcd")), 0.5, settings=FAST)
    assert row(found, metric="dice")["estimate"] == 0.5
    assert row(found, metric="image_false_positive_rate")["estimate"] == pytest.approx(1 / 3)


def test_a_missed_target_has_a_dice_of_0(row):
    found = overlap_rows(statistics([0], [0], [9]), frame_of(["a"]), 0.5, settings=FAST)
    assert row(found, metric="dice")["estimate"] == 0.0


def test_a_finding_without_positives_has_no_dice_and_says_why(row):
    found = overlap_rows(statistics([0, 1], [0, 0], [0, 0]), frame_of(["a", "b"]), 0.5)
    dice = row(found, metric="dice")
    assert np.isnan(dice["estimate"])
    assert dice["reason"] == "0 positive patients (fewer than 5)"


def test_cases_with_an_unknown_truth_are_left_out_and_counted(row):
    stats_ = statistics([2, 2, 9], [2, 2, -1], [2, 2, pd.NA])
    frame = frame_of(["a", "b", "c"], site=["x", "y", "y"])
    found = overlap_rows(stats_, frame, 0.5, by=["site"], settings=FAST)
    counts = {one["group"]: one["n_unknown"] for one in found.to_dict("records")}
    assert counts == {"all": 1, "x": 0, "y": 1}
    assert row(found, group="all", metric="dice")["n_cases"] == 2
    assert row(found, group="all", metric="dice")["estimate"] == 1.0


def test_only_test_cases_of_their_own_fold_are_used(row):
    # Case c0 is a test case in fold 0, case c1 in fold 1; each validates in the other fold,
    # where its mask was predicted as well, without any overlap.
    stats_ = statistics([2, 2, 2, 2], [2, 0, 0, 1], [2, 2, 2, 2], fold=[0, 0, 1, 1])
    stats_.frame["case_id"] = ["c0", "c1"] * 2
    frame = frame_of(["a", "b"] * 2, split=["test", "val", "val", "test"])
    frame = frame.assign(case_id=["c0", "c1"] * 2, fold=pd.array([0, 0, 1, 1], dtype="Int64"))
    found = overlap_rows(stats_, frame, 0.5, settings=FAST)
    dice = row(found, metric="dice")
    assert dice["estimate"] == pytest.approx(0.75)
    assert (dice["n_cases"], dice["n_folds"]) == (2, 2)
    assert (dice["fold_min"], dice["fold_max"]) == (0.5, 1.0)


def test_the_threshold_picks_its_point_of_the_curve(row):
    stats_ = statistics([0], [0], [4])
    area = stats_.area_curve.copy()
    area[0, :100] = 4
    stats_ = MaskStatistics(stats_.frame, area, area)
    low = overlap_rows(stats_, frame_of(["a"]), 0.5, settings=FAST)
    high = overlap_rows(stats_, frame_of(["a"]), float(THRESHOLDS[100]), settings=FAST)
    assert row(low, metric="dice")["estimate"] == 1.0
    assert row(high, metric="dice")["estimate"] == 0.0
    with pytest.raises(UsageError, match=r"0\.42 is not one of the thresholds"):
        overlap_rows(stats_, frame_of(["a"]), 0.42)


def test_the_interval_of_dice_is_that_of_scipys_bootstrap_of_patient_means(row):
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 3)
    overlap = rng.integers(0, 11, 40)[patients]  # of 10 and 10 pixels: Dice = overlap / 10
    stats_ = statistics(np.full(120, 10), overlap, np.full(120, 10))
    frame = frame_of([f"p{i}" for i in patients])
    found = overlap_rows(stats_, frame, 0.5, settings=EvaluateSettings(n_boot=20000))
    scipy = stats.bootstrap(
        (overlap[::3] / 10,),
        np.mean,
        n_resamples=20000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    dice = row(found, metric="dice")
    assert [dice["lo"], dice["hi"]] == pytest.approx(list(scipy.confidence_interval), abs=0.006)


def test_a_derived_column_cuts_dice_and_leaves_false_alarms_to_the_overall_row(row):
    stats_ = statistics([2, 2, 1], [2, 1, 0], [2, 2, 0])
    frame = frame_of(list("abc"), size=["small", "large", None])
    found = overlap_rows(stats_, frame, 0.5, by=["size"], roles={"size": "derived"}, settings=FAST)
    assert row(found, group="small", metric="dice")["estimate"] == 1.0
    assert row(found, group="large", metric="dice")["estimate"] == 0.5
    alarm = row(found, group="large", metric="image_false_positive_rate")
    assert "all strata share the negatives" in alarm["reason"]
