"""Defects measured in other tools, each with the test that keeps it out of this one."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from segclf.evaluate.inference.compare import compare_paired, mover
from segclf.evaluate.inference.decompose import decompose
from segclf.evaluate.inference.heterogeneity import bootstrap_heterogeneity
from segclf.evaluate.inference.multiplicity import benjamini_hochberg
from segclf.evaluate.inference.permute import permute_auroc
from segclf.evaluate.inference.simultaneous import simultaneous_bounds, simultaneous_level
from segclf.evaluate.inference.worst import worst_group
from segclf.evaluate.metrics.probability import net_benefit
from segclf.evaluate.sample import number_patients


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
