"""Decomposition, recall by size, worst groups and declared metrics, through `evaluate_scores`."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from segclf.core.settings import EvaluateSettings
from segclf.evaluate import evaluate_scores

FAST = EvaluateSettings(n_boot=100)


def test_groups_of_pairs_add_up_to_the_pooled_auroc(drawn, row):
    scores, cases = drawn(n=400)
    found = evaluate_scores(scores, cases, by=["site"], settings=FAST).decomposition
    y, x, site = (values.to_numpy() for values in (scores["label"], scores["score"], cases["site"]))
    pooled = roc_auc_score(y, x)
    cells = found.loc[found["positives"].isin(list("ABC"))]
    assert len(cells) == 9
    assert cells["share_of_pairs"].sum() == pytest.approx(1)
    mixed = (cells["auroc"] * cells["share_of_pairs"]).sum()
    assert mixed == pytest.approx(pooled, abs=1e-14)
    for one in cells.to_dict("records"):
        kept = np.where(y == 1, site == one["positives"], site == one["negatives"])
        assert one["auroc"] == pytest.approx(roc_auc_score(y[kept], x[kept]), abs=1e-14)
        assert one["n_positive"] + one["n_negative"] == kept.sum()
    same, other, every = (row(found, pairs=name) for name in ("within", "across", "all"))
    assert every["auroc"] == pytest.approx(pooled, abs=1e-14)
    assert (same["share_of_pairs"] + other["share_of_pairs"], every["share_of_pairs"]) == (1, 1)
    both = sum(one["auroc"] * one["share_of_pairs"] for one in (same, other))
    assert both == pytest.approx(pooled, abs=1e-14)


def test_groups_ranked_well_on_different_scales_show_in_the_pairs_across(table, row):
    # Site B scores 10 higher: inside both sites ranking is perfect, across sites it is chance.
    label = np.tile([1, 0], 40)
    site = np.repeat(["A", "B"], 40)
    scores = table(label, label + 10.0 * (site == "B"))
    cases = scores[["case_id"]].assign(site=site)
    found = evaluate_scores(scores, cases, by=["site"], settings=FAST).decomposition
    assert row(found, pairs="within")["auroc"] == 1.0
    assert row(found, positives="A", negatives="B")["auroc"] == 0.0
    assert row(found, positives="B", negatives="A")["auroc"] == 1.0
    assert row(found, pairs="all")["auroc"] == 0.75


def test_pairs_are_those_inside_a_fold(drawn, row):
    scores, cases = drawn(n=300)
    fold = scores["patient_id"].str[1:].astype(int) % 3
    shifted = scores.assign(score=scores["score"] + 100 * fold, fold=fold.astype("Int64"))
    found = evaluate_scores(shifted, cases, by=["sex"], settings=FAST)
    means = [roc_auc_score(p["label"], p["score"]) for _, p in shifted.groupby("fold")]
    pooled = row(found.decomposition, pairs="all")["auroc"]
    assert pooled == pytest.approx(np.mean(means), abs=1e-12)


def test_columns_that_follow_from_the_truth_have_no_decomposition(drawn):
    roles = {"target_size": "derived"}
    found = evaluate_scores(*drawn(), by=["target_size"], roles=roles, settings=FAST)
    assert found.decomposition.empty


def test_recall_by_size_is_that_of_bins_of_equal_numbers(table):
    rng = np.random.default_rng(2)
    label = np.repeat([1, 0], [160, 80])
    size = np.where(label == 1, rng.permutation(240) + 10.0, np.nan)
    score = np.where(label == 1, (rng.random(240) < size / 250).astype(float), 0.0)
    scores = table(label, score)
    cases = scores[["case_id"]].assign(px=size)
    options = {"by": ["px"], "roles": {"px": "derived"}, "settings": FAST}
    found = evaluate_scores(scores, cases, **options).size_recall
    known = pd.Series(size[label == 1])
    expected = scores["decision"][:160].groupby(pd.qcut(known, 8).cat.codes).agg(["mean", "size"])
    assert found["n_positive"].tolist() == expected["size"].tolist() == [20] * 8
    np.testing.assert_allclose(found["sensitivity"], expected["mean"])
    limits = [proportion_confint(20 * p, 20, method="wilson") for p in expected["mean"]]
    np.testing.assert_allclose(found[["lo", "hi"]].astype(float), limits, atol=1e-12)
    assert (found["low"].iloc[0], found["high"].iloc[-1]) == (known.min(), known.max())
    assert (found["high"].to_numpy()[:-1] == found["low"].to_numpy()[1:]).all()


def test_a_size_bin_of_few_patients_says_so(table):
    label = np.repeat([1, 0], [24, 20])
    scores = table(label, label * 1.0, patient_id=[f"p{i // 6}" for i in range(44)])
    cases = scores[["case_id"]].assign(px=np.where(label == 1, np.arange(44.0), np.nan))
    options = {"by": ["px"], "roles": {"px": "derived"}, "settings": FAST}
    found = evaluate_scores(scores, cases, **options).size_recall
    assert len(found) == 8
    assert found["sensitivity"].isna().all()
    assert set(found["reason"]) <= {f"{n} patients (fewer than 5)" for n in (1, 2)}


def test_chances_of_being_the_worst_add_up_to_1_and_only_shrink_where_groups_intersect(drawn):
    scores, cases = drawn(n=900, n_patients=900)
    found = evaluate_scores(scores, cases, by=["site", "sex*site"], settings=FAST)
    metrics = found.metrics
    ranked = metrics.loc[(metrics["group_column"] != "all") & metrics["p_worst"].notna()]
    total = ranked.groupby(["group_column", "metric"])["p_worst"].sum()
    np.testing.assert_allclose(total, 1.0)
    assert {("site", "auroc"), ("sex * site", "specificity")} <= set(total.index)
    assert metrics.loc[metrics["group_column"] == "all", "p_worst"].isna().all()
    is_shrunken = metrics["shrunken"].notna()
    assert set(metrics.loc[is_shrunken, "group_column"]) == {"sex * site"}
    aurocs = metrics.loc[is_shrunken & (metrics["metric"] == "auroc")]
    assert len(aurocs) == 6
    # All groups are equal in truth: shrunken values lie closer together and intervals hold them.
    assert aurocs["shrunken"].std() < aurocs["estimate"].std()
    assert aurocs["shrunken"].between(aurocs["shrunken_lo"], aurocs["shrunken_hi"]).all()
    assert aurocs["shrunken"].between(0, 1).all()


def test_the_bound_of_the_worst_group_lies_below_it(drawn):
    gaps = evaluate_scores(*drawn(n=600), by=["site"], settings=FAST).gaps
    is_left = gaps["gap"].isna()
    assert gaps.loc[is_left, "reason"].str.startswith("not compared: it moves with the prev").all()
    gaps = gaps.loc[~is_left]
    bounded = gaps.loc[gaps["worst_bound"].notna()]
    assert {"auroc", "sensitivity", "specificity"} <= set(bounded["metric"])
    assert (bounded["worst_bound"] < bounded["worst"]).all()
    assert (gaps["gap_corrected"] <= gaps["gap"] + 1e-12).all()
    assert (gaps["worst_corrected"] >= gaps["worst"] - 1e-12).all()
    assert ((gaps["gap_corrected"] < gaps["gap"]).mean()) > 0.5


def test_where_less_is_better_the_worst_group_has_the_largest_value(drawn, row):
    scores, cases = drawn(n=600)
    probability = 1 / (1 + np.exp(0.5 - scores["score"]))
    poor = np.where(cases["site"] == "B", 1 - probability, probability)
    settings = EvaluateSettings(n_boot=100, deploy_prevalence=0.4)
    found = evaluate_scores(scores.assign(probability=poor), cases, by=["site"], settings=settings)
    gap = row(found.gaps, metric="brier_deployed")
    assert (gap["worst_group"], gap["worst_bound"] > gap["worst"]) == ("B", True)
    assert gap["worst"] == row(found.metrics, group="B", metric="brier_deployed")["estimate"]
    assert gap["worst_corrected"] <= gap["worst"]
    assert not {"calibration_intercept", "calibration_slope"} & set(found.gaps["metric"])


def test_ppv_and_npv_at_another_prevalence_follow_from_bayes_formula(drawn, row):
    scores, cases = drawn(n=500)
    settings = EvaluateSettings(n_boot=100, deploy_prevalence=0.02)
    found = evaluate_scores(scores, cases, by=["sex"], settings=settings).metrics
    for group in ("all", "F", "M"):
        own = (cases["sex"] == group) | (group == "all")
        y, d = scores["label"][own], scores["decision"][own]
        sensitivity, specificity = d[y == 1].mean(), 1 - d[y == 0].mean()
        called = 0.02 * sensitivity + 0.98 * (1 - specificity)
        ppv = 0.02 * sensitivity / called
        npv = 0.98 * specificity / (1 - called)
        for name, expected in (("ppv", ppv), ("npv", npv)):
            one = row(found, group=group, metric=f"{name}_deployed")
            assert one["estimate"] == pytest.approx(expected, abs=1e-14)
            assert one["lo"] < expected < one["hi"]
    assert row(found, group="all", metric="ppv")["estimate"] > 0.3  # as sampled, of 40 % positives


def test_net_benefit_and_brier_are_those_of_hand_at_both_prevalences(drawn, row):
    scores, cases = drawn(n=500)
    p = 1 / (1 + np.exp(0.5 - scores["score"]))
    settings = EvaluateSettings(n_boot=100, deploy_prevalence=0.02, net_benefit_at=(0.15, 0.4))
    found = evaluate_scores(scores.assign(probability=p), cases, settings=settings).metrics
    y = scores["label"]
    for t in (0.15, 0.4):
        treated, odds = p >= t, t / (1 - t)
        right, wrong = treated[y == 1].mean(), treated[y == 0].mean()
        share = y.mean()
        expected = share * right - (1 - share) * wrong * odds
        one = row(found, metric=f"net_benefit@{t}")
        assert one["estimate"] == pytest.approx(expected, abs=1e-14)
        assert one["lo"] < expected < one["hi"]
        deployed = row(found, metric=f"net_benefit_deployed@{t}")["estimate"]
        assert deployed == pytest.approx(0.02 * right - 0.98 * wrong * odds, abs=1e-14)
    loss = (p - y) ** 2
    deployed = 0.02 * loss[y == 1].mean() + 0.98 * loss[y == 0].mean()
    assert row(found, metric="brier_deployed")["estimate"] == pytest.approx(deployed, abs=1e-14)
    assert row(found, metric="brier")["estimate"] == pytest.approx(loss.mean(), abs=1e-14)


def test_a_group_called_other_is_not_the_summary_of_pairs(drawn, row):
    scores, cases = drawn(n=300)
    named = cases.assign(site=cases["site"].replace({"A": "other", "B": "within"}))
    found = evaluate_scores(scores, named, by=["site"], settings=FAST).decomposition
    usual = evaluate_scores(scores, cases, by=["site"], settings=FAST).decomposition
    for pairs in ("within", "across", "all"):
        assert row(found, pairs=pairs)["auroc"] == row(usual, pairs=pairs)["auroc"]
    assert len(found) == len(usual)


def test_equal_rankers_at_unequal_prevalence_have_no_worst_ppv(row):
    # Both groups have the same sensitivity and specificity, 5 and 40 % of positives.
    rng = np.random.default_rng(8)
    n = 2000
    group = np.repeat(["low", "high"], n // 2)
    label = rng.random(n) < np.where(group == "low", 0.05, 0.4)
    score = rng.normal(size=n) + 1.5 * label
    ids = [f"c{i}" for i in range(n)]
    blank = {"fold": pd.NA, "seed": pd.NA, "probability": np.nan, "split": "test"}
    scores = pd.DataFrame({"case_id": ids, "patient_id": ids, "label": label.astype(float)})
    scores = scores.assign(
        **blank, finding="f", method="m", score=score, decision_value=score, threshold=1.0
    ).assign(decision=(score > 1).astype(float))
    cases = pd.DataFrame({"case_id": ids, "g": group})
    settings = EvaluateSettings(n_boot=60, deploy_prevalence=0.2)
    found = evaluate_scores(scores, cases, by=["g"], settings=settings)
    for name in ("ppv", "f1", "average_precision", "mcc"):
        gap = row(found.gaps, metric=name)
        assert np.isnan(gap["gap"])
        assert "it moves with the prevalence, which is 0.0" in gap["reason"]
    assert row(found.gaps, metric="ppv_deployed")["gap"] < 0.2
    assert row(found.metrics, group="low", metric="ppv")["prevalence"] < 0.1
