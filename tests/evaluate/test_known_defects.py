"""Defects measured in other tools, each with the test that keeps it out of this one."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control
from sklearn.metrics import roc_auc_score

from segclf.core.settings import EvaluateSettings
from segclf.evaluate import METRICS, evaluate_scores
from segclf.evaluate.inference.compare import compare_paired, mover
from segclf.evaluate.inference.decompose import decompose
from segclf.evaluate.inference.heterogeneity import bootstrap_heterogeneity
from segclf.evaluate.inference.multiplicity import benjamini_hochberg
from segclf.evaluate.inference.permute import permute_auroc
from segclf.evaluate.inference.simultaneous import simultaneous_bounds, simultaneous_level
from segclf.evaluate.inference.worst import worst_group
from segclf.evaluate.metrics.probability import net_benefit
from segclf.evaluate.sample import number_patients

FAST = EvaluateSettings(n_boot=60)
FRACTIONS = [name for name, metric in METRICS.items() if metric.is_fraction]


def replicates(value, sd, n=2000, seed=0):
    noise = np.random.default_rng(seed).normal(size=(len(value), n))
    return np.asarray(value)[:, None] + np.asarray(sd)[:, None] * noise


def test_undefined_groups_read_as_0():
    # SubpopBench and WILDS give 0 to a group without a class, which is then the worst group.
    value = np.array([np.nan, 0.8, 0.7, np.nan])
    drawn = replicates([0.5, 0.8, 0.7, 0.5], [0.03] * 4)
    found = worst_group(value, drawn, np.array([[0, 40, 40, 3], [9, 40, 40, 0]]))
    assert (found.undefined, found.group, found.worst) == ((0, 3), 2, 0.7)
    assert np.isnan(found.probability[[0, 3]]).all()
    assert found.probability[[1, 2]].sum() == pytest.approx(1)


@pytest.mark.parametrize("rounding", [0.0, 3e-16, -2e-15])
def test_identical_models_with_p_0(rounding):
    # MLstatkit's Delong_test(y, s, s) gives z = 0 and p = 0; pROC gives Z = 0 and p = 1.
    found = compare_paired(rounding, abs(rounding) * 1e-3)
    assert (found.z, found.p, found.reason) == (0.0, 1.0, "no difference in any case")
    assert np.isnan(found.lo)


def test_a_benjamini_hochberg_that_is_not_one():
    # Giskard takes argsort + 1 for the rank: 20 null p values then give a rejection in about
    # 66 % of the families at 0.10 instead of at most 10 %.
    p = np.random.default_rng(0).random((2000, 20))
    false_rank = np.argsort(p, axis=1) + 1
    assert (p <= 0.10 * false_rank / 20).any(axis=1).mean() > 0.5
    ours = np.array([benjamini_hochberg(row).min() <= 0.10 for row in p])
    assert 0.08 < ours.mean() < 0.12


def test_intervals_above_1():
    # confidenceinterval gives (0.61, 1.139) to an AUROC of two positives, and no width to 1.0.
    drawn = replicates([1.0, 0.98, 0.95], [0.0, 0.02, 0.03])
    n_patients = np.array([[2, 10, 10], [40, 90, 90]])
    lower = simultaneous_bounds(np.array([1.0, 0.98, 0.95]), drawn, n_patients)
    assert ((lower > 0) & (lower < [1.0, 0.98, 0.95])).all()
    lo, hi = mover((1.0, 0.8, 1.0), (0.0, 0.0, 0.1))
    assert -1 <= lo < hi <= 1


def test_nan_resamples_that_poison_a_quantile():
    # confidenceinterval: one resample with a single class makes (nan, nan) of an interval.
    value = np.array([0.8, 0.7, 0.75])
    drawn = replicates(value, [0.03] * 3)
    holes = drawn.copy()
    holes[1, ::7] = np.nan
    n_patients = np.full((2, 3), 40)
    level, whole = simultaneous_level(holes), simultaneous_level(drawn)
    assert level == pytest.approx(whole, abs=0.005)
    bounds = simultaneous_bounds(value, holes, n_patients)
    np.testing.assert_allclose(bounds, simultaneous_bounds(value, drawn, n_patients), atol=0.01)
    found = worst_group(value, holes, n_patients)
    assert (found.n_usable, found.reason) == (1714, "286 of 2000 replicates lack a group")
    assert np.isfinite([found.worst_corrected, found.gap_corrected]).all()
    test = bootstrap_heterogeneity(value, holes, n_patients)
    assert test.n_left_out == 286
    assert np.isfinite([test.p_gap, test.p_q]).all()


def test_auroc_on_arg_max_labels():
    # Thresholded before it is ranked, a score loses what the AUROC measures.
    rng = np.random.default_rng(1)
    positive = rng.random(400) < 0.3
    score = rng.normal(size=400) + 1.5 * positive
    found = decompose(score, positive, np.zeros(400, int), 1).pooled
    assert found == pytest.approx(roc_auc_score(positive, score), abs=1e-14)
    arg_max = (score > 0.75).astype(float)
    assert found - decompose(arg_max, positive, np.zeros(400, int), 1).pooled > 0.05


def test_a_net_benefit_that_multiplies():
    # MetricsReloaded's net_benefit_treated: tp / n * (fp / n) * (t / (1 - t)), 0.00043 at 0.10.
    n, tp, fp = 750, 24, 91
    family = np.repeat([1.0, 1.0, 0.0, 0.0], [24, 91, 81, 554])
    outcome = np.repeat([1, 0, 1, 0], [24, 91, 81, 554])
    assert tp / n * (fp / n) * (0.10 / 0.90) == pytest.approx(0.00043, abs=5e-6)
    ours = net_benefit(outcome, family, np.ones(n), thresholds=np.array([0.10]))[0]
    assert ours == pytest.approx(tp / n - fp / n * (0.10 / 0.90), abs=1e-15)
    assert ours == pytest.approx(0.01852, abs=5e-6)


def test_a_gap_that_cannot_be_0():
    # Fairlearn takes quantiles of the largest minus the smallest value of each resample: with
    # ten equal groups that interval never held 0. Here the corrected gap can be 0, and the test
    # of equal groups rejects about as often as it says.
    rng = np.random.default_rng(2)
    reject, corrected = [], []
    positive = np.tile(np.arange(10) < 2, 60)
    patient, start = number_patients(np.arange(600), positive, np.zeros(600, int))
    group = np.arange(600) // 60
    for seed in range(60):
        score = rng.normal(size=600) + 1.5 * positive
        test = permute_auroc(score, positive, patient, start, group, n_permutations=99, seed=seed)
        reject.append(test.p_q <= 0.05)
        value = np.diag(decompose(score, positive, group, 10).auroc)
        drawn = replicates(value, np.full(10, 0.07), n=300, seed=seed)
        assert np.quantile(np.ptp(drawn, axis=0), 0.025) > 0
        corrected.append(worst_group(value, drawn, np.full((2, 10), 12)).gap_corrected)
    assert np.mean(reject) < 0.15
    assert np.mean(np.array(corrected) < 1e-9) > 0.2


def test_undefined_groups_read_as_0_through_the_public_function(drawn, row):
    scores, cases = drawn(n=400)
    site = cases["site"].where(~((cases["site"] == "C") & (scores["label"] == 1)), "A")
    found = evaluate_scores(scores, cases.assign(site=site), by=["site"], settings=FAST)
    empty = found.metrics.loc[found.metrics["group"] == "C"].set_index("metric")
    for name in ("auroc", "partial_auroc", "average_precision", "sensitivity", "f1", "youden"):
        one = empty.loc[name]
        assert np.isnan([one["estimate"], one["lo"], one["hi"], one["p_worst"]]).all(), name
        assert one["reason"] == "0 positive patients (fewer than 5)", name
    gap = row(found.gaps, metric="auroc")
    assert gap["worst_group"] in ("A", "B")
    assert gap["left_out"] == "C: 0 positive patients (fewer than 5)"
    # Fairlearn's difference() reads 0.0 where one group is left: here there is no gap.
    alone = cases.assign(site=site.replace("B", "A"))
    gap = row(evaluate_scores(scores, alone, by=["site"], settings=FAST).gaps, metric="auroc")
    assert np.isnan([gap["gap"], gap["gap_corrected"]]).all()
    assert gap["reason"] == "a gap needs two groups"


def test_identical_models_with_p_0_through_the_public_function(drawn, row):
    scores, cases = drawn()
    both = pd.concat([scores, scores.assign(method="copy")])
    found = evaluate_scores(both, cases, by=["sex"], settings=FAST).comparisons
    methods = found.loc[found["kind"] == "methods"]
    assert {"auroc", "sensitivity", "specificity", "partial_auroc"} <= set(methods["metric"])
    assert (methods["difference"] == 0).all()
    assert (methods["p"] == 1).all()


def test_intervals_above_1_through_the_public_function(table):
    # Two positives; perfect separation; all ties: no limit leaves [0, 1], no width is 0.
    label = np.repeat([1, 0], [2, 42])
    separated = label + np.linspace(0, 0.5, 44)
    nearly = np.where(np.arange(44) == 1, 0.44, separated)
    settings = EvaluateSettings(n_boot=60, min_group=1)
    for interval in ("auto", "percentile", "bca", "delong"):
        for score in (separated, nearly, np.zeros(44)):
            options = settings.model_copy(update={"interval": interval})
            scores = table(label, score)
            found = evaluate_scores(scores, scores[["case_id"]], settings=options).metrics
            known = found.loc[found["metric"].isin(FRACTIONS) & found["lo"].notna()]
            assert ((known["lo"] >= 0) & (known["hi"] <= 1)).all(), interval
            assert (known["lo"] < known["hi"]).all(), interval
            assert (found.loc[found["lo"].isna(), "reason"] != "").all(), interval


def test_a_benjamini_hochberg_that_is_not_one_through_the_public_function(drawn):
    scores, cases = drawn(n=600, n_patients=600)
    found = evaluate_scores(scores, cases, by=["sex*site"], settings=FAST).comparisons
    own = found.loc[(found["kind"] == "groups") & (found["metric"] == "auroc")]
    assert set(own["adjusted_by"]) == {"Benjamini-Hochberg"}
    expected = false_discovery_control(own["p"].to_numpy(dtype=float))
    np.testing.assert_allclose(own["p_adjusted"], expected, atol=1e-14)
    false_rank = np.argsort(own["p"].to_numpy()) + 1
    assert not np.allclose(own["p"] * len(own) / false_rank, expected)


@pytest.mark.parametrize("interval", ["auto", "percentile", "bca"])
def test_nan_resamples_that_poison_a_quantile_through_the_public_function(table, row, interval):
    # 4 positives in a group of 44: resamples of all patients may leave the group without any.
    label = np.concatenate([np.repeat([1, 0], [4, 40]), np.tile([1, 0], 30)])
    rng = np.random.default_rng(5)
    scores = table(label, rng.normal(size=104) + label)
    cases = scores[["case_id"]].assign(site=np.repeat(["x", "y"], [44, 60]))
    settings = EvaluateSettings(n_boot=1500, min_group=2, interval=interval)
    found = evaluate_scores(scores, cases, by=["site"], settings=settings)
    expected = (1 - (30 / 34) ** 34) * (1 - (30 / 70) ** 70)
    for name in ("auroc", "average_precision", "youden"):
        one = row(found.metrics, group="x", metric=name)
        assert one["n_boot_usable"] / 1500 == pytest.approx(expected, abs=0.02)
        assert one["lo"] < one["estimate"] < one["hi"], name
    gap = row(found.gaps, metric="auroc")
    assert np.isfinite([gap["worst_corrected"], gap["gap_corrected"], gap["worst_bound"]]).all()
    assert gap["n_boot_usable"] < 1500


def test_auroc_on_arg_max_labels_through_the_public_function(drawn, row):
    scores, cases = drawn(n=400)
    found = row(evaluate_scores(scores, cases, settings=FAST).metrics, metric="auroc")
    label, score = scores["label"], scores["score"]
    assert found["estimate"] == pytest.approx(roc_auc_score(label, score), abs=1e-14)
    assert found["estimate"] - roc_auc_score(label, scores["decision"]) > 0.03


def test_a_net_benefit_that_multiplies_through_the_public_function(table, row):
    # The family-history table of dcurves: 24 of 115 with the history have the outcome.
    family = np.repeat([1.0, 1.0, 0.0, 0.0], [24, 91, 81, 554])
    outcome = np.repeat([1, 0, 1, 0], [24, 91, 81, 554])
    scores = table(outcome, family, probability=family)
    settings = EvaluateSettings(n_boot=50, net_benefit_at=(0.05, 0.1, 0.2))
    found = evaluate_scores(scores, scores[["case_id"]], settings=settings).metrics
    for t, published in ((0.05, 0.025614), (0.1, 0.018519), (0.2, 0.001667)):
        one = row(found, metric=f"net_benefit@{t}")
        assert one["estimate"] == pytest.approx(published, abs=1e-6)


def test_a_gap_that_cannot_be_0_through_the_public_function(drawn, row):
    # Ten equal groups: the corrected gap is 0 or near it, the raw one is not.
    scores, cases = drawn(n=1200, n_patients=1200)
    site = np.random.default_rng(0).choice(list("abcdefghij"), 1200)
    settings = EvaluateSettings(n_boot=200)
    gap = row(
        evaluate_scores(scores, cases.assign(site=site), by=["site"], settings=settings).gaps,
        metric="auroc",
    )
    assert gap["gap"] > 0.08
    assert gap["gap_corrected"] < gap["gap"] / 2
    assert gap["worst_corrected"] - gap["worst"] > 0.03
    assert gap["sd_corrected"] < gap["sd"] / 2
