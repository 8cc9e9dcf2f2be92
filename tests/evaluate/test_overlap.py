import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score, precision_score, recall_score

from segclf.core.errors import UsageError
from segclf.core.maskstats import SCALARS, THRESHOLDS, MaskStatistics
from segclf.core.settings import EvaluateSettings
from segclf.evaluate import overlap_rows

HALF = 64  # THRESHOLDS[64] is 0.5
FAST = EvaluateSettings(n_boot=50, min_group=1)


MASK_NAMES = (
    *("dice", "pixel_sensitivity", "pixel_precision", "surface_dice", "hd95_mm"),
    *("image_false_positive_rate", "false_positive_area_px"),
)


def statistics(area, overlap, true_px, *, fold=None, **columns):
    """Mask statistics of so many cases; the curves are flat, so every t gives the same."""
    n = len(area)
    values = {
        "case_id": [f"c{i}" for i in range(n)],
        "finding": "lesion",
        "fold": pd.array(fold or [pd.NA] * n, dtype="Int64"),
        "true_px": pd.array(true_px, dtype="Int64"),
        "px_size": np.nan,
        "is_volume": False,
        "component_t": 0.5,
        "surface_tolerance_mm": 2.0,
        "surface_dice": np.nan,
        "hd95_mm": np.nan,
        **columns,
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


def test_false_alarms_are_averaged_over_cases_and_not_over_patients(row):
    stats_ = statistics([0, 0, 12], [0, 0, 0], [0, 0, 0])  # two cases of patient a, one of b
    found = overlap_rows(stats_, frame_of(["a", "a", "b"]), 0.5, settings=FAST)
    assert row(found, metric="image_false_positive_rate")["estimate"] == pytest.approx(1 / 3)
    assert row(found, metric="false_positive_area_px")["estimate"] == pytest.approx(12 / 3)


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


def test_positives_and_negatives_have_metrics_of_their_own(row):
    # Case a: 4 true pixels, 6 predicted, 3 of both. Case b: empty, 8 predicted.
    stats_ = statistics([6, 8], [3, 0], [4, 0])
    found = overlap_rows(stats_, frame_of(["a", "b"]), 0.5, settings=FAST)
    assert tuple(found["metric"]) == MASK_NAMES
    of = {name: row(found, metric=name)["estimate"] for name in MASK_NAMES}
    assert of["dice"] == pytest.approx(2 * 3 / 10)
    assert of["pixel_sensitivity"] == pytest.approx(3 / 4)
    assert of["pixel_precision"] == pytest.approx(3 / 6)
    assert of["image_false_positive_rate"] == 1.0
    assert of["false_positive_area_px"] == 8.0
    assert set(found["n_negative"]) == {1}  # no metric of positives leaves a negative out


def test_pixels_are_shared_out_as_scikit_learn_does(row):
    rng = np.random.default_rng(3)
    masks = [(rng.random(50) < 0.4, rng.random(50) < 0.4) for _ in range(6)]
    counts = [(p.sum(), (p & truth).sum(), truth.sum()) for p, truth in masks]
    found = overlap_rows(
        statistics(*zip(*counts, strict=True)), frame_of(list("abcdef")), 0.5, settings=FAST
    )
    for name, witness in (
        ("pixel_sensitivity", recall_score),
        ("pixel_precision", precision_score),
        ("dice", f1_score),
    ):
        expected = np.mean([witness(truth, p) for p, truth in masks])
        assert row(found, metric=name)["estimate"] == pytest.approx(expected)


def test_a_case_without_a_predicted_pixel_has_no_precision_and_is_counted(row):
    # Patient a: precision 1/2, and a case where nothing is predicted; patient b: 1; c: nothing.
    stats_ = statistics([2, 0, 5, 0], [1, 0, 5, 0], [4, 4, 5, 5])
    frame = frame_of(["a", "a", "b", "c"], site=["x", "x", "x", "y"])
    found = overlap_rows(stats_, frame, 0.5, by=["site"], settings=FAST)
    precision = row(found, group="all", metric="pixel_precision")
    assert precision["estimate"] == pytest.approx((1 / 2 + 1) / 2)
    assert precision["reason"].startswith("wide")
    assert precision["reason"].endswith("2 of 4 cases left out: no pixel is predicted")
    assert (precision["n_positive"], precision["n_positive_patients"]) == (2, 2)
    sensitivity = row(found, group="all", metric="pixel_sensitivity")
    assert sensitivity["estimate"] == pytest.approx(((1 / 4 + 0) / 2 + 1 + 0) / 3)
    assert (sensitivity["n_positive"], sensitivity["n_positive_patients"]) == (4, 3)
    undefined = row(found, group="y", metric="pixel_precision")
    assert np.isnan([undefined[name] for name in ("estimate", "lo", "hi")]).all()
    assert undefined["reason"] == "1 of 1 case left out: no pixel is predicted"


def test_patients_who_are_left_out_do_not_make_a_group_large_enough(row):
    stats_ = statistics([3] * 4 + [0], [2] * 4 + [0], [3] * 5)
    found = overlap_rows(stats_, frame_of(list("abcde")), 0.5)
    assert row(found, metric="pixel_sensitivity")["estimate"] == pytest.approx(4 / 5 * 2 / 3)
    precision = row(found, metric="pixel_precision")
    assert np.isnan(precision["estimate"])
    assert precision["reason"] == (
        "4 positive patients (fewer than 5); 1 of 5 cases left out: no pixel is predicted"
    )


@pytest.mark.parametrize(
    ("px_size", "is_volume", "name", "expected"),
    [
        ([2.0, 0.5, 3.0], False, "false_positive_area_mm2", (10 * 2.0 + 40 * 0.5) / 2),
        ([2.0, 0.5, 3.0], True, "false_positive_volume_ml", (10 * 2.0 + 40 * 0.5) / 2 / 1000),
        ([2.0, 0.5, np.nan], True, "false_positive_area_px", (10 + 40) / 2),
    ],
)
def test_the_area_of_false_alarms_is_in_the_unit_that_all_images_have(
    px_size, is_volume, name, expected, row
):
    stats_ = statistics([10, 40, 7], [0, 0, 6], [0, 0, 6], px_size=px_size, is_volume=is_volume)
    found = overlap_rows(stats_, frame_of(list("abc")), 0.5, settings=FAST)
    assert [m for m in found["metric"] if m.startswith("false")] == [name]
    assert row(found, metric=name)["estimate"] == pytest.approx(expected)


def surfaces(**columns):
    """Four positives: two measured ones of patient a, a missed one of b, and c has no spacing."""
    values = {
        "px_size": [1.0, 1.0, 1.0, np.nan],
        "surface_dice": [0.5, 1.0, 0.0, np.nan],
        "hd95_mm": [12.0, 2.0, np.nan, np.nan],
    }
    return statistics([4, 4, 0, 4], [2, 3, 0, 4], [4] * 4, **values | columns)


def test_surfaces_are_averaged_where_they_are_defined_and_the_others_are_counted(row):
    found = overlap_rows(surfaces(), frame_of(list("aabc")), 0.5, settings=FAST)
    dice, distance = (row(found, metric=name) for name in ("surface_dice", "hd95_mm"))
    assert dice["estimate"] == pytest.approx((0.75 + 0.0) / 2)
    assert dice["reason"].endswith("1 of 4 cases left out: no spacing in mm")
    assert (dice["t"], dice["tolerance_mm"], dice["n_positive"]) == (0.5, 2.0, 3)
    assert distance["estimate"] == pytest.approx(7.0)
    assert distance["reason"].endswith(
        "1 of 4 cases left out: no pixel is predicted; 1 of 4 cases left out: no spacing in mm"
    )
    assert (distance["n_positive"], distance["n_positive_patients"]) == (2, 1)
    assert np.isnan(distance["tolerance_mm"])


def test_without_any_spacing_surfaces_are_missing_with_that_reason(row):
    found = overlap_rows(statistics([4], [2], [4]), frame_of(["a"]), 0.5, settings=FAST)
    for name in ("surface_dice", "hd95_mm"):
        assert np.isnan(row(found, metric=name)["estimate"])
        assert row(found, metric=name)["reason"] == "1 of 1 case left out: no spacing in mm"
    assert row(found, metric="dice")["reason"].startswith("bootstrap interval has no width")


def test_masks_whose_outlines_nobody_compared_say_so(row):
    stats_ = statistics([4], [2], [4], px_size=[1.0])
    found = overlap_rows(stats_, frame_of(["a"]), 0.5, settings=FAST)
    expected = "1 of 1 case left out: prediction did not compare outlines"
    assert row(found, metric="surface_dice")["reason"] == expected
    assert row(found, metric="hd95_mm")["reason"] == expected


def test_surfaces_name_their_own_threshold_where_it_is_another(row):
    t = float(THRESHOLDS[60])
    found = overlap_rows(surfaces(component_t=t), frame_of(list("aabc")), 0.5, settings=FAST)
    dice = row(found, metric="surface_dice")
    assert (dice["t"], row(found, metric="dice")["t"]) == (t, 0.5)
    assert dice["reason"].endswith(f"at t = {t:.4g}, where prediction compared outlines")


@pytest.mark.parametrize(
    ("column", "words"), [("component_t", "thresholds"), ("surface_tolerance_mm", "tolerances")]
)
def test_surfaces_of_different_definitions_are_not_averaged(column, words, row):
    stats_ = surfaces(**{column: [0.25, 0.25, 0.5, 0.5]})
    found = overlap_rows(stats_, frame_of(list("aabc")), 0.5, settings=FAST)
    dice = row(found, metric="surface_dice")
    assert np.isnan(dice["estimate"])
    assert dice["reason"].startswith(f"outlines were compared at several {words}: 0.25, 0.5")
    assert row(found, metric="dice")["estimate"] == pytest.approx((0.625 + 0 + 1) / 3)


def test_the_interval_of_a_distance_is_that_of_scipys_bootstrap_of_its_patients(row):
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 3)
    distance = rng.gamma(2, 3, 40)[patients]
    distance[::3] = np.nan  # one case of each patient is missed
    n, lost = 120, np.isnan(distance)
    stats_ = statistics(
        np.where(lost, 0, 10), np.zeros(n), np.full(n, 10), px_size=1.0,
        surface_dice=np.where(lost, 0, 0.5), hd95_mm=distance,
    )  # fmt: skip
    frame = frame_of([f"p{i}" for i in patients])
    found = overlap_rows(stats_, frame, 0.5, settings=EvaluateSettings(n_boot=10000))
    scipy = stats.bootstrap(
        (distance[1::3],),
        np.mean,
        n_resamples=10000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    own = row(found, metric="hd95_mm")
    assert [own["lo"], own["hi"]] == pytest.approx(list(scipy.confidence_interval), abs=0.06)
    assert own["interval"] == "percentile, patient bootstrap"
    assert own["n_boot_usable"] == 10000


def test_columns_of_a_user_may_have_the_names_of_statistics(row):
    stats_ = statistics([4, 2], [2, 2], [4, 2])
    names = ("area", "true_px", "px_size", "finding", "component_t")
    frame = frame_of(["a", "b"], **{name: ["x", "y"] for name in names})
    found = overlap_rows(stats_, frame, 0.5, by=names, settings=FAST)
    for name in names:
        assert row(found, group_column=name, group="y", metric="dice")["estimate"] == 1.0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 3)), min_size=1))
def test_groups_that_hold_one_patient_each_average_to_the_whole(cases):
    area, true_px, patients = (list(column) for column in zip(*cases, strict=True))
    overlap = [min(a, b) for a, b in zip(area, true_px, strict=True)]
    frame = frame_of([f"p{i}" for i in patients], who=[f"p{i}" for i in patients])
    found = overlap_rows(statistics(area, overlap, true_px), frame, 0.5, by=["who"], settings=FAST)
    for name in ("dice", "pixel_sensitivity", "pixel_precision"):
        own = found[found["metric"] == name].set_index("group")["estimate"]
        assert own["all"] == pytest.approx(own.drop("all").mean(), nan_ok=True)
    for name in ("image_false_positive_rate", "false_positive_area_px"):
        own = found[found["metric"] == name].set_index("group")
        total = (own["estimate"] * own["n_negative"]).drop("all").sum()
        n_negative = own.loc["all", "n_negative"]
        mean = total / n_negative if n_negative else np.nan
        assert own.loc["all", "estimate"] == pytest.approx(mean, nan_ok=True)
