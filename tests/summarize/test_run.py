import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_curve

from segclf.core.catalog import EntryPoint
from segclf.core.errors import DataError, UsageError
from segclf.core.maskstats import THRESHOLDS
from segclf.core.scoretable import COLUMNS, read_record, read_scores, write_scores
from segclf.core.settings import SummarizeSettings
from segclf.summarize import Summarizer, record_text, summarize
from segclf.summarize.pixels import highest

YOUDEN = SummarizeSettings()
SPLIT = ["val"] * 4 + ["test"] * 3
LABEL = [0, 0, 1, 1, 0, 1, np.nan]


@pytest.fixture
def six(statistics):
    """Four validation and three test cases: areas 2, 4 against 10, 30 at every t."""
    areas = [2, 4, 10, 30, 7, 8, 0]
    return statistics(
        [{"area": area, "mean_p": area / 100, "max_p": 1 - 1 / (2 + area)} for area in areas]
    )


def table_of(scores):
    return scores.set_index("case_id")


def test_tau_ranks_by_the_mean_and_decides_by_the_area(six, cases):
    scores, record = summarize(six, cases(SPLIT, LABEL), "tau", YOUDEN, t=0.5, tau="7px", seed=3)
    assert list(scores) == list(COLUMNS)
    table = table_of(scores)
    assert table["score"].tolist() == [0.02, 0.04, 0.1, 0.3, 0.07, 0.08, 0.0]
    assert table["decision_value"].tolist() == [2, 4, 10, 30, 7, 8, 0]
    assert table["threshold"].unique().tolist() == [7.0]
    assert table["decision"].tolist() == [0, 0, 1, 1, 0, 1, 0]  # 7 px are not more than 7 px
    assert table["split"].tolist() == SPLIT
    assert table["patient_id"]["c5"] == "p5"
    assert table["seed"].unique().tolist() == [3]
    assert table["method"].unique().tolist() == ["tau"]
    assert table["fold"].isna().all()
    assert np.isnan(table["label"]["c6"])
    fit = record["fits"][0]
    assert (fit["t"], fit["threshold"], fit["unit"], fit["fitted_on"]) == (0.5, 7.0, "px", None)
    assert (fit["sensitivity"], fit["specificity"], fit["n"]) == (1.0, 1.0, 4)
    assert record["given"] == {"t": 0.5, "tau": "7px"}


def test_tau_is_fitted_on_validation_cases_for_the_objective(six, cases):
    scores, record = summarize(six, cases(SPLIT, LABEL), "tau", YOUDEN, seed=0)
    fit = record["fits"][0]
    # every t separates with the same gap [4, 10): one plateau, its middle is t = 0.5
    assert (fit["t"], fit["threshold"]) == (0.5, 7.0)
    assert fit["plateau"]["n_t"] == 129
    assert (fit["objective"], fit["value"]) == ("youden", 1.0)
    assert (fit["fitted_on"], fit["n"], fit["n_positive"]) == ("val", 4, 2)
    assert fit["decision_value"] == "area_above"
    assert table_of(scores)["decision"].tolist() == [0, 0, 1, 1, 0, 1, 0]


def test_test_labels_never_reach_the_fit(six, cases):
    reference, record = summarize(six, cases(SPLIT, LABEL), "tau", YOUDEN, seed=0)
    flipped = [0, 0, 1, 1, 1, 0, 0]
    scores, other = summarize(six, cases(SPLIT, flipped), "tau", YOUDEN, seed=0)
    drop = ["label"]
    pd.testing.assert_frame_equal(scores.drop(columns=drop), reference.drop(columns=drop))
    for plane in (record["fits"][0].pop("plane"), other["fits"][0].pop("plane")):
        assert plane["n_true_positive"].max() == 2
    assert other == record


@pytest.mark.parametrize("rule", ["mean", "max", "topk", "noisy_or", "lse", "largest_component"])
def test_other_rules_compare_their_score_with_a_fitted_threshold(six, cases, rule):
    six.frame["top_2"] = six.frame["mean_p"] * 2
    six.frame["sum_log1mp"] = -six.frame["mean_p"] * 5
    six.frame["lse_logit"] = six.frame["mean_p"] - 3
    six.frame["largest_component_px"] = six.area_curve[:, 0]
    scores, record = summarize(six, cases(SPLIT, LABEL), rule, YOUDEN, seed=0)
    value, label = scores["score"].to_numpy(), np.array(LABEL)
    assert (scores["decision_value"] == scores["score"]).all()
    threshold = scores["threshold"][0]
    assert threshold == pytest.approx((value[1] + value[2]) / 2)
    false_positive, true_positive, _ = roc_curve(label[:4], value[:4])
    assert record["fits"][0]["value"] == (true_positive - false_positive).max()
    assert scores["decision"].tolist() == (value > threshold).astype(float).tolist()


def test_avg_pool_is_the_mean(six, cases):
    frame = cases(SPLIT, LABEL)
    one, _ = summarize(six, frame, "avg_pool", YOUDEN, seed=0)
    other, _ = summarize(six, frame, "mean", YOUDEN, seed=0)
    pd.testing.assert_frame_equal(one, other)


def test_each_fold_is_fitted_on_its_own_validation_cases(statistics, cases):
    rows = [
        {"area": a, "mean_p": a / 100, "fold": 0, "case_id": f"c{i}"} for i, a in enumerate([2, 6])
    ]
    rows += [
        {"area": a, "mean_p": a / 100, "fold": 1, "case_id": f"c{i}"}
        for i, a in enumerate([40, 80])
    ]
    frame = pd.concat([cases(["val"] * 2, [0, 1], fold=fold) for fold in (0, 1)])
    scores, record = summarize(statistics(rows), frame, "tau", YOUDEN, seed=0)
    assert [(fit["fold"], fit["threshold"]) for fit in record["fits"]] == [(0, 4.0), (1, 60.0)]
    assert scores.groupby("fold")["threshold"].first().tolist() == [4.0, 60.0]


def test_each_finding_is_fitted_by_its_own_labels(statistics, cases):
    rows = [
        {"case_id": f"c{i}", "finding": finding, "area": area}
        for finding, areas in {"a": [1, 3], "b": [20, 10]}.items()
        for i, area in enumerate(areas)
    ]
    frame = cases(["val"] * 2, [0, 1], finding="a").assign(label_b=[1.0, 0.0])
    scores, record = summarize(statistics(rows), frame, "tau", YOUDEN, seed=0)
    assert [(fit["finding"], fit["threshold"]) for fit in record["fits"]] == [
        ("a", 2.0),
        ("b", 15.0),
    ]
    assert scores["finding"].tolist() == ["a", "a", "b", "b"]
    assert scores["decision"].tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("tau", "unit", "threshold", "decision"),
    [("3mm2", "mm2", 3.0, [0, 1]), ("0.1%", "%", 0.1, [0, 1]), ("6px", "px", 6.0, [0, 0])],
)
def test_a_given_tau_is_compared_in_its_own_unit(statistics, cases, tau, unit, threshold, decision):
    stats = statistics([{"area": 6, "px_size": s, "n_px": n} for s, n in [(0.5, 6000), (1.0, 600)]])
    scores, record = summarize(
        stats, cases(["test"] * 2, [0, 1]), "tau", YOUDEN, t=0.5, tau=tau, seed=0
    )
    assert scores["decision"].tolist() == decision
    assert scores["threshold"].tolist() == [threshold] * 2
    assert record["fits"][0]["unit"] == unit


def test_tau_is_fitted_in_the_unit_of_the_settings(statistics, cases):
    sizes = [(10, 1000), (20, 500), (9, 100), (45, 500)]  # 1, 4, 9 and 9 per cent
    stats = statistics([{"area": area, "n_px": n_px} for area, n_px in sizes])
    settings = SummarizeSettings(tau_unit="%")
    scores, record = summarize(stats, cases(["val"] * 4, [0, 0, 1, 1]), "tau", settings, seed=0)
    assert record["fits"][0]["threshold"] == 6.5
    assert scores["decision_value"].tolist() == [1.0, 4.0, 9.0, 9.0]
    assert record["image_px"] == [100, 1000]


def test_volumes_are_fitted_in_millilitres(statistics, cases):
    stats = statistics([{"area": area, "px_size": 10.0, "is_volume": True} for area in (100, 300)])
    settings = SummarizeSettings(tau_unit="mL")
    _, record = summarize(stats, cases(["val"] * 2, [0, 1]), "tau", settings, seed=0)
    assert record["fits"][0]["threshold"] == 2.0  # between 1 and 3 mL


def test_t_alone_or_tau_alone_leaves_the_other_to_fit(six, cases):
    frame = cases(SPLIT, LABEL)
    t = float(THRESHOLDS[10])
    fit = summarize(six, frame, "tau", YOUDEN, t=t, seed=0)[1]["fits"][0]
    assert (fit["t"], fit["threshold"], fit["fitted_on"]) == (t, 7.0, "val")
    fit = summarize(six, frame, "tau", YOUDEN, tau="20px", seed=0)[1]["fits"][0]
    assert (fit["threshold"], fit["sensitivity"], fit["specificity"]) == (20.0, 0.5, 1.0)


def test_without_validation_labels_there_is_no_decision_and_a_reason(six, cases):
    for label, reason in [
        ([np.nan] * 7, "no validation case has a known label"),
        ([1] * 7, "all 4 validation cases are positive"),
    ]:
        for rule in ("tau", "mean"):
            scores, record = summarize(six, cases(SPLIT, label), rule, YOUDEN, seed=0)
            assert scores[["threshold", "decision", "probability"]].isna().all(axis=None)
            assert scores["score"].notna().all()
            assert record["fits"][0]["reason"] == reason
            assert record["fits"][0]["calibration"]["reason"] == reason


def test_without_any_validation_case_there_is_no_decision_and_a_reason(six, cases):
    scores, record = summarize(six, cases(["test"] * 7, LABEL), "tau", YOUDEN, seed=0)
    assert scores["decision"].isna().all()
    assert record["fits"][0]["reason"] == "no validation case has a known label"


def test_cases_without_statistics_are_counted_and_get_no_row(six, cases):
    frame = cases([*SPLIT, "test", "val", "train"], [*LABEL, 1, 1, 1])
    scores, record = summarize(six, frame, "tau", YOUDEN, seed=0)
    assert len(scores) == 7
    assert record["cases_without_statistics"] == {
        "val": {"n": 1, "first_case_ids": ["c8"]},
        "test": {"n": 1, "first_case_ids": ["c7"]},
    }
    assert "1 test cases have no prediction and therefore no score" in record_text(record)


def test_masks_without_a_case_are_counted_and_left_out(six, cases):
    scores, record = summarize(six, cases(SPLIT[:5], LABEL[:5]), "tau", YOUDEN, seed=0)
    assert len(scores) == 5
    assert record["n_masks_without_case"] == 2


def test_a_score_that_is_missing_has_no_decision(six, cases):
    six.frame.loc[5, "mean_p"] = np.nan
    for rule in ("tau", "mean"):
        table = table_of(summarize(six, cases(SPLIT, LABEL), rule, YOUDEN, seed=0)[0])
        assert np.isnan(table["decision"]["c5"])
        assert np.isnan(table["probability"]["c5"])
        assert table["decision"].notna().sum() == 6


def test_masks_made_elsewhere_serve_every_fold(six, cases):
    other = [*SPLIT[::-1]]
    frame = pd.concat([cases(SPLIT, LABEL, fold=0), cases(other, LABEL, fold=1)])
    scores, record = summarize(six, frame, "mean", YOUDEN, seed=0)
    assert scores.groupby("fold").size().tolist() == [7, 7]
    assert [fit["fold"] for fit in record["fits"]] == [0, 1]


def test_new_cases_without_folds_meet_the_masks_of_every_fold(statistics, cases):
    rows = [{"case_id": "c0", "fold": fold, "mean_p": fold / 10} for fold in (0, 1)]
    scores, _ = summarize(statistics(rows), cases(["test"], [1]), "mean", YOUDEN, seed=0)
    assert scores["fold"].tolist() == [0, 1]
    assert scores["score"].tolist() == [0.0, 0.1]


def test_a_case_that_appears_twice_is_refused(statistics, cases):
    stats = statistics([{"case_id": "c0"}, {"case_id": "c0"}])
    with pytest.raises(DataError) as caught:
        summarize(stats, cases(["val"], [1]), "mean", YOUDEN, seed=0)
    assert caught.value.wrong == "1 rows repeat a case; the first is 'c0'."
    assert caught.value.where == "mask statistics of 'lesion'"
    frame = pd.concat([cases(["val"], [1], fold=2)] * 2)
    with pytest.raises(DataError, match="the first is 'c0' in fold 2"):
        summarize(statistics([{}]), frame, "mean", YOUDEN, seed=0)


def test_a_case_table_without_a_column_is_refused(six, cases):
    frame = cases(SPLIT, LABEL).rename(columns={"patient_id": "patient"})
    with pytest.raises(DataError) as caught:
        summarize(six, frame, "mean", YOUDEN, seed=0)
    assert caught.value.wrong == "there is no column called 'patient_id'."
    assert caught.value.fix == "did you mean 'patient' or 'case_id'?"


@pytest.mark.parametrize(
    ("rule", "options", "wrong"),
    [
        ("taw", {}, "there is no rule called 'taw'."),
        ("mean", {"t": 0.5}, "the rule 'mean' does not decide by an area."),
        ("max", {"tau": "3px"}, "the rule 'max' does not decide by an area."),
        ("tau", {"t": 0.49}, "t = 0.49 is not one of the thresholds"),
        ("tau", {"tau": "3 cm2"}, "'3 cm2' is not an area."),
        ("tau", {"tau": "3mL"}, "7 of 7 cases are 2D images, which have no size in mL."),
        ("share", {}, "the share of 'lesion' among lesion says nothing."),
    ],
)
def test_what_does_not_fit_is_refused(six, cases, rule, options, wrong):
    with pytest.raises(UsageError) as caught:
        summarize(six, cases(SPLIT, LABEL), rule, YOUDEN, seed=0, **options)
    assert caught.value.wrong.startswith(wrong)


def test_probability_comes_from_the_calibration_that_the_record_describes(six, cases):
    scores, record = summarize(six, cases(SPLIT, LABEL), "mean", YOUDEN, seed=0)
    c = record["fits"][0]["calibration"]
    z = (scores["score"] - c["shift"]) / c["scale"]
    by_hand = 1 / (1 + np.exp(-(c["slope"] * z + c["intercept"])))
    np.testing.assert_allclose(scores["probability"], by_hand)
    assert (c["n"], c["n_positive"], c["separated"]) == (4, 2, True)
    settings = SummarizeSettings(calibrate=False)
    scores, record = summarize(six, cases(SPLIT, LABEL), "mean", settings, seed=0)
    assert scores["probability"].isna().all()
    assert "switched off" in record["fits"][0]["calibration"]["reason"]


def test_the_settings_choose_the_calibration_and_add_operating_points(six, cases, tmp_path):
    settings = SummarizeSettings(
        calibrate="isotonic", operating_points={"rule_out": "sensitivity=1"}
    )
    scores, record = summarize(six, cases(SPLIT, LABEL), "tau", settings, seed=0)
    fit = record["fits"][0]
    assert fit["calibration"]["method"] == "isotonic"
    assert scores["probability"].between(0, 1).all()
    point = fit["operating_points"]["rule_out"]
    assert (point["sensitivity"], point["target_reached"]) == (1.0, True)
    write_scores(tmp_path, scores, record)
    row = pd.read_csv(tmp_path / "operating_points.csv").iloc[0]
    assert (row["point"], row["decision_value"], row["unit"]) == ("rule_out", "area_above", "px")
    assert row["threshold"] == point["threshold"]
    assert "rule_out above" in record_text(record)
    plain, without = summarize(six, cases(SPLIT, LABEL), "tau", SummarizeSettings(), seed=0)
    assert plain["decision"].equals(scores["decision"])
    write_scores(tmp_path, plain, without)
    assert not (tmp_path / "operating_points.csv").exists()


def test_true_and_false_still_name_a_calibration():
    assert SummarizeSettings(calibrate=True).calibrate == "platt"
    assert SummarizeSettings(calibrate=False).calibrate == "none"
    with pytest.raises(ValueError, match="'platt', 'isotonic', 'temperature' or 'none'"):
        SummarizeSettings(calibrate="beta")


def test_the_largest_component_may_be_compared_with_a_given_area(statistics, cases):
    stats = statistics([{"largest_component_px": 6, "px_size": 0.5}, {"largest_component_px": 9}])
    frame = cases(["test"] * 2, [0, 1])
    scores, record = summarize(stats, frame, "largest_component", YOUDEN, tau="3mm2", seed=0)
    assert scores["decision"].tolist() == [0, 1]
    assert scores["score"].tolist() == [6, 9]
    assert record["fits"][0]["decision_value"] == "component_area"


def test_a_rule_of_another_package_is_used(six, cases, monkeypatch):
    rule = Summarizer(highest, (0.0, 1.0), frozenset())
    monkeypatch.setattr(EntryPoint, "load", lambda self: rule)
    monkeypatch.setattr(
        "segclf.core.catalog.entry_points",
        lambda *, group: [EntryPoint("peak", "package:rule", group)],
    )
    scores, _ = summarize(six, cases(SPLIT, LABEL), "peak", YOUDEN, seed=0)
    assert scores["method"].unique().tolist() == ["peak"]
    assert scores["score"].tolist() == six.frame["max_p"].tolist()


def test_the_tables_and_the_record_go_to_disk_and_back(six, cases, tmp_path):
    scores, record = summarize(six, cases(SPLIT, LABEL), "tau", YOUDEN, seed=0)
    write_scores(tmp_path, scores, record)
    pd.testing.assert_frame_equal(read_scores(tmp_path), scores)
    fit = read_record(tmp_path)["fits"][0]
    assert fit["plane"]["n_true_positive"].shape == (129, 48)
    assert fit["threshold"] == 7.0


def test_no_statistics_give_an_empty_table(statistics, cases):
    scores, record = summarize(statistics([]), cases(["test"], [1]), "mean", YOUDEN, seed=0)
    assert scores.empty
    assert record["fits"] == []
    assert record["cases_without_statistics"]["test"]["n"] == 1


def test_the_record_in_words(six, cases):
    frame = cases(SPLIT, LABEL)
    text = record_text(summarize(six, frame, "tau", YOUDEN, seed=0)[1])
    assert text == (
        "lesion: t = 0.5, tau = 7px (fitted for youden; on 4 validation cases, 2 positive: "
        "sensitivity 1.000, specificity 1.000)"
    )
    text = record_text(summarize(six, frame, "tau", YOUDEN, t=0.5, tau="1%", seed=0)[1])
    assert text.startswith("lesion: t = 0.5, tau = 1% (given; on 4 validation cases")
    text = record_text(summarize(six, cases(SPLIT, [1] * 7), "mean", YOUDEN, seed=0)[1])
    assert text == "lesion: no threshold, because all 4 validation cases are positive"
    only_test = cases(["test"] * 7, LABEL)
    text = record_text(summarize(six, only_test, "tau", YOUDEN, t=0.5, tau="1px", seed=0)[1])
    assert text == "lesion: t = 0.5, tau = 1px (given)"


def test_images_of_several_sizes_are_pointed_out_for_a_tau_in_pixels(six, cases):
    six.frame["n_px"] = range(100, 107)
    text = record_text(summarize(six, cases(SPLIT, LABEL), "tau", YOUDEN, seed=0)[1])
    assert "images have 100 to 106 px" in text


def test_a_target_that_is_not_reached_is_said(statistics, cases):
    settings = SummarizeSettings(objective="sensitivity", target=1.0)
    stats = statistics([{"area": 0}, {"area": 0}, {"area": 3}])
    text = record_text(summarize(stats, cases(["val"] * 3, [0, 1, 1]), "tau", settings, seed=0)[1])
    assert "the target is not reached" in text
