import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from segclf.core.errors import DataError, UsageError
from segclf.core.settings import EvaluateSettings
from segclf.evaluate import METRICS, Metric, evaluate_scores
from segclf.evaluate.metrics import declared_metrics
from segclf.evaluate.metrics.ranking import auroc

FAST = EvaluateSettings(n_boot=50)
DRAWN = EvaluateSettings(n_boot=50, interval="percentile")
BY_FORMULA = ("Newcombe 5 on effective n", "clustered DeLong, logit", "Wilson on effective n")
NOT_OF_PROBABILITIES = {name for name, m in METRICS.items() if m.needs != "probability"}
NO_PROBABILITY = "no probability: left out of metrics of probabilities"


def test_the_table_is_long_and_tidy(drawn):
    scores, cases = drawn()
    scores = scores.assign(probability=1 / (1 + np.exp(-scores["score"])))
    found = evaluate_scores(scores, cases, by=["sex", "site"], settings=FAST).metrics
    assert list(found.columns[:9]) == [
        *("method", "finding", "group_column", "group", "metric", "estimate", "lo", "hi"),
        "interval",
    ]
    names = METRICS | declared_metrics(FAST)
    assert len(found) == (1 + 2 + 3) * len(names)
    assert set(found["metric"]) == set(names)
    assert not found.duplicated(["method", "finding", "group_column", "group", "metric"]).any()
    assert (found["lo"] <= found["estimate"]).all()
    assert (found["estimate"] <= found["hi"]).all()
    assert (found["n_positive"] + found["n_negative"] == found["n_cases"]).all()
    assert set(found["interval"]) <= {*BY_FORMULA, "percentile, patient bootstrap"}
    resampled = evaluate_scores(scores, cases, by=["sex"], settings=DRAWN).metrics
    assert set(resampled["interval"]) == {"percentile, patient bootstrap"}


def test_without_probabilities_their_metrics_have_no_rows_and_the_ledger_says_so(drawn):
    found = evaluate_scores(*drawn(), settings=FAST)
    assert set(found.metrics["metric"]) == NOT_OF_PROBABILITIES
    (entry,) = found.ledger["exclusions"]
    assert (entry["reason"], entry["n_rows"]) == (NO_PROBABILITY, 240)


def test_a_patient_with_both_kinds_of_case_counts_in_both(table, row):
    scores = table([1, 0, 1, 0, 0], [3, 1, 2, 0, 4], patient_id=list("aabcc"))
    settings = EvaluateSettings(n_boot=10, min_group=1)
    found = evaluate_scores(scores, scores[["case_id"]], settings=settings).metrics
    overall = row(found, metric="auroc")
    counts = {name: overall[name] for name in found.columns if name.startswith("n_p")}
    assert counts == {"n_patients": 3, "n_positive": 2, "n_positive_patients": 2}
    assert (overall["n_negative"], overall["n_negative_patients"]) == (3, 2)


def test_the_order_of_rows_changes_nothing(drawn):
    scores, cases = drawn()
    shuffled = scores.sample(frac=1, random_state=1)
    one = evaluate_scores(scores, cases, by=["site"], shortcut="tube", settings=FAST)
    two = evaluate_scores(shuffled, cases[::-1], by=["site"], shortcut="tube", settings=FAST)
    for name in ("metrics", "gaps", "robust", "grid", "comparisons", "decomposition"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(two, name), check_exact=True)


def test_another_seed_gives_other_intervals_and_the_same_estimates(drawn):
    scores, cases = drawn()
    for settings in (FAST, DRAWN):
        parts = [evaluate_scores(scores, cases, settings=settings, seed=s).metrics for s in (0, 1)]
        one, two = (part.set_index("metric") for part in parts)
        assert one["estimate"].equals(two["estimate"])
        is_drawn = one["interval"].str.contains("bootstrap")
        assert (one["lo"] == two["lo"]).equals(~is_drawn)
        assert is_drawn["f1"]
        assert is_drawn["auroc"] == (settings is DRAWN)


def test_methods_share_the_draws(drawn):
    scores, cases = drawn()
    both = pd.concat([scores, scores.assign(method="same again")])
    found = evaluate_scores(both, cases, by=["sex"], settings=FAST).metrics
    first, second = (part.drop(columns="method") for _, part in found.groupby("method"))
    pd.testing.assert_frame_equal(first.reset_index(drop=True), second.reset_index(drop=True))


@pytest.mark.parametrize("m", ["auroc", "sensitivity", "npv"])
@pytest.mark.parametrize("settings", [FAST, DRAWN], ids=["auto", "percentile"])
def test_copies_of_images_leave_the_interval_of_patients_and_shrink_that_of_images(
    drawn, row, settings, m
):
    scores, _ = drawn(n_patients=240)
    if m != "auroc":  # Wilson's n is never above that of the images: one image per patient
        scores = scores.assign(patient_id=scores["case_id"].str.replace("c", "p"))
    copies = pd.concat([scores.assign(case_id=f"copy {k} of " + scores["case_id"]) for k in "123"])
    found = {
        name: row(evaluate_scores(part, part[["case_id"]], settings=settings).metrics, metric=m)
        for name, part in {
            "once": scores,
            "copies": copies,
            "copies as patients": copies.assign(patient_id=copies["case_id"]),
        }.items()
    }
    width = {name: one["hi"] - one["lo"] for name, one in found.items()}
    slack = 0.01 if settings is FAST and m != "auroc" else 1e-12  # n / (n - 1), of few cases
    assert width["copies"] == pytest.approx(width["once"], rel=slack)
    assert width["copies as patients"] < 0.8 * width["once"]


def test_a_group_with_few_patients_is_a_row_that_says_why(table, row):
    label = [1, 1, 1, 0, 0, 0, 0, 0] + [1, 0] * 10
    scores = table(label, np.arange(28) % 7)
    cases = scores[["case_id"]].assign(site=["small"] * 8 + ["large"] * 20)
    found = evaluate_scores(scores, cases, by=["site"], settings=FAST)
    small = row(found.metrics, group="small", metric="auroc")
    assert np.isnan([small["estimate"], small["lo"], small["hi"]]).all()
    assert small["reason"] == "3 positive patients (fewer than 5)"
    assert (small["n_positive_patients"], small["n_negative_patients"]) == (3, 5)
    # Specificity rests on the negatives alone, and there are enough of them.
    assert not np.isnan(row(found.metrics, group="small", metric="specificity")["estimate"])


def test_an_undefined_value_is_missing_and_never_0(table, row):
    label = [0] * 8 + [1, 0] * 8
    scores = table(label, np.arange(24) % 7)
    cases = scores[["case_id"]].assign(site=["no positives"] * 8 + ["both"] * 16)
    settings = EvaluateSettings(n_boot=50, min_group=1)
    found = evaluate_scores(scores, cases, by=["site"], settings=settings)
    for name in ("auroc", "average_precision", "sensitivity", "ppv", "balanced_accuracy"):
        one = row(found.metrics, group="no positives", metric=name)
        assert np.isnan(one["estimate"]), name
        assert one["reason"] == "0 positive patients (fewer than 1)", name
    gap = row(found.gaps, metric="auroc")
    assert np.isnan(gap["gap"])
    assert gap["reason"] == "a gap needs two groups"


def test_ppv_without_a_positive_call_is_undefined_with_the_reason(table, row):
    scores = table([1, 0] * 10, np.zeros(20))
    found = evaluate_scores(scores, scores[["case_id"]], settings=FAST).metrics
    ppv = row(found, metric="ppv")
    assert np.isnan(ppv["estimate"])
    assert ppv["reason"] == "undefined: without positive calls"
    assert row(found, metric="auroc")["estimate"] == 0.5


def test_a_perfect_separation_is_not_printed_as_certainty(table, row):
    scores = table([1] * 6 + [0] * 9, [1.0] * 6 + [0.0] * 9)
    found = evaluate_scores(scores, scores[["case_id"]], settings=FAST).metrics
    for name in ("auroc", "sensitivity", "specificity"):
        perfect = row(found, metric=name)
        assert (perfect["estimate"], perfect["hi"]) == (1.0, 1.0)
        assert 0.5 < perfect["lo"] < 0.9, name
    found = evaluate_scores(scores, scores[["case_id"]], settings=DRAWN).metrics
    perfect = row(found, metric="auroc")
    assert perfect["estimate"] == 1.0
    assert np.isnan([perfect["lo"], perfect["hi"]]).all()
    assert "no width: no errors among 6 positive and 9 negative patients" in perfect["reason"]
    assert "no errors among 6 positive patients" in row(found, metric="sensitivity")["reason"]


def test_an_interval_from_few_patients_is_flagged(drawn, row):
    scores, cases = drawn(n=240, n_patients=120)
    found = evaluate_scores(scores, cases, by=["site"], settings=DRAWN).metrics
    assert row(found, group="all", metric="auroc")["reason"] == ""
    n = row(found, group="A", metric="auroc")["n_positive_patients"]
    flag = f"wide, and likely still too narrow: {n} positive patients"
    assert row(found, group="A", metric="auroc")["reason"] == flag
    by_formula = evaluate_scores(scores, cases, by=["site"], settings=FAST).metrics
    assert row(by_formula, group="A", metric="auroc")["reason"] == ""
    assert row(by_formula, group="A", metric="f1")["reason"].startswith("wide, and likely")


def test_resamples_without_a_class_are_counted_and_do_not_poison_the_interval(table, row):
    # The group has 2 of 12 positive and 3 of 13 negative patients: some draws miss a class.
    label = [1, 1, 0, 0, 0] + [1, 0] * 10
    scores = table(label, [3, 1, 2, 0, 0] + [1, 0] * 10)
    cases = scores[["case_id"]].assign(site=["x"] * 5 + ["y"] * 20)
    settings = EvaluateSettings(n_boot=4000, min_group=2, interval="percentile")
    found = evaluate_scores(scores, cases, by=["site"], settings=settings).metrics
    small = row(found, group="x", metric="auroc")
    expected = (1 - (10 / 12) ** 12) * (1 - (10 / 13) ** 13)
    assert small["n_boot_usable"] / 4000 == pytest.approx(expected, abs=0.02)
    assert "of 4000 resamples are undefined" in small["reason"]
    assert 0 <= small["lo"] < small["hi"] <= 1


def test_a_table_without_decisions_says_so(drawn, row):
    scores, cases = drawn(decision=np.nan)
    found = evaluate_scores(scores, cases, settings=FAST).metrics
    assert row(found, metric="npv")["reason"] == "the score table has no decisions"
    assert not np.isnan(row(found, metric="auroc")["estimate"])


def test_strata_of_positives_face_all_negatives_and_the_row_says_so(drawn, row):
    scores, cases = drawn(n=400, n_patients=200)
    found = evaluate_scores(
        scores, cases, by=["target_size"], roles={"target_size": "derived"}, settings=FAST
    ).metrics
    label, size = scores["label"], cases["target_size"]
    kept = ((label == 0) | (size == "small")).to_numpy()
    small = row(found, group="small", metric="auroc")
    assert small["estimate"] == pytest.approx(roc_auc_score(label[kept], scores["score"][kept]))
    assert small["negatives"] == "all"
    assert small["n_negative"] == (label == 0).sum()
    sensitivity = row(found, group="small", metric="sensitivity")["estimate"]
    assert sensitivity == pytest.approx(scores["decision"][size == "small"].mean())
    assert "share the negatives" in row(found, group="small", metric="specificity")["reason"]
    for name in ("ppv", "npv", "average_precision"):
        assert "no prevalence" in row(found, group="small", metric=name)["reason"]
    assert set(found["group"]) == {"all", "small", "large"}


def test_equal_scores_in_two_groups_are_no_tie(table, row):
    # The lowest score of group A is the highest of group B; both belong to positives.
    label, score = [1, 0, 1, 0, 1, 0] * 4, [3, 5, 4, 4, 3, 6, 1, 2, 3, 1, 2, 2] * 2
    scores = table(label, score)
    cases = scores[["case_id"]].assign(site=(["A"] * 6 + ["B"] * 6) * 2)
    found = evaluate_scores(scores, cases, by=["site"], settings=FAST).metrics
    for site in "AB":
        own = cases["site"] == site
        expected = roc_auc_score(scores["label"][own], scores["score"][own])
        assert row(found, group=site, metric="auroc")["estimate"] == pytest.approx(expected)


def test_a_column_cut_in_two_ways_makes_two_sets_of_groups(drawn):
    bins = ["age_years:[20,40),[40,)", "age_years:[20,60),[60,)"]
    found = evaluate_scores(*drawn(), by=[*bins, "sex", "sex"], settings=FAST)
    assert found.gaps["group_column"].unique().tolist() == [*bins, "sex"]
    assert (found.gaps["n_groups"] == 2).all()


@pytest.mark.parametrize("label", [0, 1])
def test_a_test_set_of_one_class_is_rows_of_reasons_and_not_an_error(table, label):
    scores = table([label] * 12, np.arange(12) % 5)
    cases = scores[["case_id"]].assign(tube=[0, 1] * 6, site="A")
    found = evaluate_scores(scores, cases, by=["site"], shortcut="tube", settings=FAST)
    missing = found.metrics.loc[found.metrics["estimate"].isna()]
    assert {"auroc", "average_precision", "balanced_accuracy"} <= set(missing["metric"])
    reason = f"0 {'negative' if label else 'positive'} patients (fewer than 5)"
    assert (missing["reason"] == reason).all()
    assert found.robust["estimate"].isna().all()
    assert (found.robust["reason"] != "").all()


def test_a_metric_from_elsewhere_is_resampled_like_a_built_in_one(drawn, row, monkeypatch):
    scores, cases = drawn()
    slow = Metric(auroc, needs="score", undefined_for="without one of the classes")
    monkeypatch.setitem(METRICS, "slow", slow)
    found = evaluate_scores(
        scores, cases, by=["sex"], metrics=["auroc", "slow"], settings=DRAWN
    ).metrics
    for group in ("all", "F", "M"):
        one, two = (row(found, group=group, metric=name) for name in ("auroc", "slow"))
        assert two | {"metric": "auroc"} == pytest.approx(one, abs=1e-12, nan_ok=True)


def test_an_unknown_metric_gets_near_names(drawn):
    with pytest.raises(UsageError, match="did you mean 'auroc'"):
        evaluate_scores(*drawn(), metrics=["auc"])


def test_test_cases_alone_are_evaluated_and_the_rest_is_in_the_ledger(table, row):
    label = [1, 0] * 12 + [np.nan, 1, 0, 1]
    score = np.append(np.arange(27) % 5, np.nan)
    split = ["test"] * 24 + ["test", "val", "train", "test"]
    scores = table(label, score, split=split)
    cases = scores[["case_id"]].assign(sex="F")[:20]
    found = evaluate_scores(scores, cases, by=["sex"], settings=FAST)
    reasons = {e["reason"]: (e["n_rows"], e["n_cases"]) for e in found.ledger["exclusions"]}
    assert reasons == {
        "not in the test split": (2, 2),
        "label not known": (1, 1),
        "score is NaN": (1, 1),
        "not in the case table: group 'missing'": (4, 4),
        NO_PROBABILITY: (24, 24),
    }
    assert (found.ledger["n_rows"], found.ledger["n_rows_evaluated"]) == (28, 24)
    assert row(found.metrics, group="missing", metric="auroc")["n_cases"] == 4


def test_methods_that_scored_different_cases_are_noted(drawn):
    scores, cases = drawn()
    both = pd.concat([scores, scores[:200].assign(method="other")])
    found = evaluate_scores(both, cases, settings=FAST)
    entries = [e for e in found.ledger["exclusions"] if e["reason"] != NO_PROBABILITY]
    assert entries == [
        {
            "method": "other",
            "finding": "lesion",
            "reason": "scored by another method only: methods differ in cases",
            "n_rows": 0,
            "n_cases": 40,
        }
    ]


def test_cases_without_a_decision_leave_the_metrics_of_decisions_alone(drawn, row):
    scores, cases = drawn()
    blank = np.arange(240) % 3 == 0
    scores = scores.assign(decision=np.where(blank, np.nan, scores["decision"]))
    found = evaluate_scores(scores, cases, settings=FAST)
    sensitivity = row(found.metrics, metric="sensitivity")
    kept = (scores["label"] == 1) & ~blank
    assert sensitivity["estimate"] == pytest.approx(scores["decision"][kept].mean())
    assert "80 rows without a decision left out" in sensitivity["reason"]
    assert "without a decision" not in row(found.metrics, metric="auroc")["reason"]
    assert found.ledger["exclusions"][0]["n_rows"] == 80


def test_images_without_patients_are_said_to_be_independent(table):
    scores = table([1, 0] * 10, np.arange(20) % 7)
    scores["patient_id"] = scores["case_id"]
    found = evaluate_scores(scores, scores[["case_id"]], settings=FAST)
    assert found.ledger["images_independent"]
    assert "images are treated as independent" in found.ledger["notes"][0]
    assert set(found.metrics["interval"]) - set(BY_FORMULA) == {"percentile, image bootstrap"}


def test_the_unit_has_the_name_that_the_recipe_gives_it(drawn):
    found = evaluate_scores(*drawn(), settings=FAST, unit_name="duplicate group")
    resampled = set(found.metrics["interval"]) - set(BY_FORMULA)
    assert resampled == {"percentile, duplicate group bootstrap"}
    assert not found.ledger["images_independent"]


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda s: s.assign(split="val"), "no row of the score table can be evaluated"),
        (lambda s: pd.concat([s, s.assign(method="b", label=1 - s["label"])]), "values of label"),
        (lambda s: pd.concat([s, s.assign(method="b", patient_id="p")]), "values of patient_id"),
        (lambda s: pd.concat([s, s]), "twice|repeat|two rows|same"),
        (lambda s: s.drop(columns="label"), "label"),
    ],
)
def test_a_score_table_that_cannot_be_evaluated_is_refused(drawn, change, wrong):
    scores, cases = drawn()
    with pytest.raises(DataError, match=wrong):
        evaluate_scores(change(scores), cases)


def test_a_case_table_of_other_cases_is_refused_with_examples_of_both(drawn):
    scores, cases = drawn()
    other = cases.assign(case_id="x" + cases["case_id"])
    with pytest.raises(DataError, match="not even 'c0000'") as caught:
        evaluate_scores(scores, other, by=["sex"])
    assert "'xc0000', 'xc0001'" in str(caught.value)
    assert len(evaluate_scores(scores, other, settings=FAST).metrics) == len(NOT_OF_PROBABILITIES)


def test_a_score_table_without_test_rows_says_what_it_holds(drawn):
    scores, cases = drawn()
    with pytest.raises(DataError, match="found 240 rows: not in the test split"):
        evaluate_scores(scores.assign(split="val"), cases)


def test_a_metric_of_probabilities_without_sums_is_refused_with_what_it_lacks(drawn, monkeypatch):
    lacking = Metric(lambda y, p, w: p @ w, needs="probability", undefined_for="without cases")
    monkeypatch.setitem(METRICS, "mean_probability", lacking)
    with pytest.raises(UsageError, match="'mean_probability' of probabilities cannot be resampled"):
        evaluate_scores(*drawn(), metrics=["mean_probability"], settings=FAST)
