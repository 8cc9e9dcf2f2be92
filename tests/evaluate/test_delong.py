"""Placement values and covariances: against SciPy, scikit-learn and statsmodels, and invariants."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, rankdata
from sklearn.metrics import roc_auc_score

from segclf.evaluate.inference.auroc import auroc_of, aurocs_of, mean_auroc
from segclf.evaluate.inference.delong import auroc_covariance, covariance, place

CASES = st.lists(
    st.tuples(st.booleans(), st.integers(-3, 3), st.integers(0, 5)), min_size=4, max_size=40
).filter(lambda cases: len({label for label, _, _ in cases}) == 2)


def placements(score, positive):
    placed = place(score, positive, np.zeros(len(score), np.int8))
    return float(placed.auroc[0]), placed.value


def unpack(cases):
    """Label, score and compact patient codes of drawn cases."""
    label, score, patient = (np.array(values) for values in zip(*cases, strict=True))
    return label.astype(bool), score.astype(float), np.unique(patient, return_inverse=True)[1]


def sample(n=300, n_patients=90, decimals=1, seed=3):
    """Clustered cases with ties; labels are mixed within patients."""
    rng = np.random.default_rng(seed)
    patient = np.unique(rng.integers(0, n_patients, n), return_inverse=True)[1]
    positive = rng.random(n) < 0.3
    shared = rng.normal(size=n_patients)[patient]
    scores = np.stack([shared + rng.normal(size=n) + e * positive for e in (1.0, 1.6)], axis=1)
    return np.round(scores, decimals), positive, patient


def by_ranks(score, positive):
    """Placement values by DeLong's definition, from SciPy's mid-ranks."""
    overall = rankdata(score)
    value = np.empty(len(score))
    for kind in (True, False):
        own, n_others = positive == kind, (positive != kind).sum()
        below = (overall[own] - rankdata(score[own])) / n_others
        value[own] = below if kind else 1 - below
    return value


@pytest.mark.parametrize("decimals", [0, 1, 9], ids=["many ties", "ties", "no ties"])
def test_placements_equal_those_from_mid_ranks_and_the_auroc_that_of_scikit_learn(decimals):
    scores, positive, _ = sample(decimals=decimals)
    auroc, value = placements(scores[:, 0], positive)
    np.testing.assert_allclose(value, by_ranks(scores[:, 0], positive), atol=1e-14)
    assert auroc == pytest.approx(roc_auc_score(positive, scores[:, 0]), abs=1e-15)
    u = mannwhitneyu(scores[positive, 0], scores[~positive, 0]).statistic
    assert auroc == pytest.approx(u / positive.sum() / (~positive).sum(), abs=1e-15)


def test_the_plain_covariance_is_that_of_placement_values():
    scores, positive, _ = sample()
    values = np.stack([by_ranks(column, positive) for column in scores.T])
    expected = sum(np.cov(values[:, rows]) / rows.sum() for rows in (positive, ~positive))
    _, found = auroc_covariance(scores, positive)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("is_mixed", [False, True], ids=["constant labels", "mixed labels"])
def test_the_clustered_variance_is_that_of_the_class_means_in_statsmodels(is_mixed):
    # Placement values regressed on the class: robust covariance of the two means by patient.
    scores, positive, patient = sample()
    if not is_mixed:
        has_positive = np.bincount(patient, positive) > 0
        positive = has_positive[patient]
    value = by_ranks(scores[:, 0], positive)
    design = np.stack([positive, ~positive], axis=1).astype(float)
    options = {"groups": patient, "use_correction": False}
    fitted = sm.OLS(value, design).fit(cov_type="cluster", cov_kwds=options).cov_params()
    n = [len(np.unique(patient[rows])) for rows in (positive, ~positive, positive | True)]
    scale = [count / (count - 1) for count in n]
    expected = fitted[0, 0] * scale[0] + fitted[1, 1] * scale[1] + 2 * fitted[0, 1] * scale[2]
    _, found = auroc_covariance(scores[:, :1], positive, patient)
    assert found[0, 0] == pytest.approx(expected, rel=1e-12)
    assert bool(fitted[0, 1]) == is_mixed


def test_the_clustered_covariance_of_two_methods_is_that_of_their_sum():
    # Var(a + b) = Var a + Var b + 2 Cov(a, b), where a + b is the mean over both blocks, doubled.
    scores, positive, patient = sample()
    n = len(patient)
    _, found = auroc_covariance(scores, positive, patient)
    placed = place(scores.T.ravel(), np.tile(positive, 2), np.repeat([0, 1], n))
    total = covariance(placed, np.tile(patient, 2), np.array([[1.0], [1.0]]))
    assert total[0, 0] == pytest.approx(found.sum(), rel=1e-12)
    assert found[0, 1] == found[1, 0] > 0


@settings(max_examples=60, deadline=None)
@given(CASES)
def test_patients_with_one_case_each_give_the_plain_covariance(cases):
    positive, score, _ = unpack(cases)
    scores = np.stack([score, score**2], axis=1)
    order = np.random.default_rng(0).permutation(len(score))
    found = auroc_covariance(scores, positive, order)[1]
    np.testing.assert_allclose(found, auroc_covariance(scores, positive)[1], atol=1e-14)


def test_one_patient_whose_pulls_cancel_tells_nothing():
    score, positive = np.array([0.0, 0, 0, 1]), np.array([False, False, True, True])
    for k in (1, 3):
        found = auroc_of(np.repeat(score, k), np.repeat(positive, k), np.zeros(4 * k, int))
        assert found.n_informative == 0.0


@settings(max_examples=60, deadline=None)
@given(CASES, st.integers(2, 4))
def test_copies_of_every_image_leave_the_clustered_variance_and_shrink_the_plain_one(cases, k):
    positive, score, patient = unpack(cases)
    one = auroc_of(score, positive, patient)
    many = auroc_of(np.repeat(score, k), np.repeat(positive, k), np.repeat(patient, k))
    assert many.value == pytest.approx(one.value, abs=1e-14)
    assert many.variance == pytest.approx(one.variance, abs=1e-14, nan_ok=True)
    assert many.n_informative == pytest.approx(one.n_informative, rel=1e-9)
    if one.variance_of_cases > 0:
        assert many.variance_of_cases < one.variance_of_cases / k


@settings(max_examples=60, deadline=None)
@given(CASES)
def test_scales_orders_and_mirrors_change_nothing(cases):
    positive, score, patient = unpack(cases)
    expected = auroc_of(score, positive, patient)
    order = np.random.default_rng(1).permutation(len(score))
    same = [
        auroc_of(np.exp(score), positive, patient),
        auroc_of(score[order], positive[order], patient[order]),
        auroc_of(score.astype(np.float32), positive, patient),
    ]
    mirrored = auroc_of(-score, ~positive, patient)
    for found in (*same, mirrored):
        assert found.value == pytest.approx(expected.value, abs=1e-14)
        assert found.variance == pytest.approx(expected.variance, abs=1e-14, nan_ok=True)
    assert (mirrored.n_positive, mirrored.n_negative) == (expected.n_negative, expected.n_positive)


def test_swapping_the_sign_mirrors_the_auroc_and_keeps_the_variance():
    scores, positive, patient = sample()
    found, mirrored = (auroc_of(sign * scores[:, 0], positive, patient) for sign in (1, -1))
    assert mirrored.value == pytest.approx(1 - found.value, abs=1e-15)
    assert mirrored.variance == pytest.approx(found.variance, rel=1e-12)


def test_150000_by_150000_pairs_do_not_overflow():
    # pROC's issue 19: 32-bit counts of pairs gave an interval from 1 to 1.
    n = 150_000
    positive = np.repeat([True, False], n)
    score = np.tile(np.arange(n, dtype=np.float64), 2)
    score[:n] += 0.5  # positive i beats the negatives 0 to i
    auroc, value = placements(score, positive)
    assert auroc == (n + 1) / (2 * n)
    assert value[0] == 1 / n
    # Placement values are evenly spread: the variance of 1/n, 2/n, ..., 1 is known.
    _, found = auroc_covariance(score[:, None], positive)
    assert found[0, 0] == pytest.approx(2 * (n + 1) / (12 * n) / n, rel=1e-9)


def test_scores_that_differ_in_the_last_bit_are_no_tie():
    # pROC's issue 25; 0.1 + 0.2 exceeds 0.3 by one bit.
    score = np.array([0.3, 0.1 + 0.2])
    assert placements(score, np.array([False, True]))[0] == 1.0
    assert placements(score, np.array([True, False]))[0] == 0.0
    assert placements(np.array([0.3, 0.3]), np.array([True, False]))[0] == 0.5


def test_scores_in_half_the_precision_are_compared_as_they_are():
    scores, positive, patient = sample(decimals=9)
    short = scores[:, 0].astype(np.float32)
    assert auroc_of(short, positive, patient) == auroc_of(short.astype(float), positive, patient)


def test_without_a_class_nothing_is_defined():
    for positive in (np.ones(4, bool), np.zeros(4, bool)):
        found = auroc_of(np.arange(4.0), positive)
        assert np.isnan([found.value, found.variance, found.variance_of_cases]).all()
        assert np.isnan(auroc_covariance(np.ones((4, 1)), positive)[1]).all()
    empty = auroc_of(np.zeros(0), np.zeros(0, bool))
    assert np.isnan(empty.value)
    assert empty.n_positive == 0


def test_one_patient_with_all_positives_has_no_variance():
    score, positive = np.array([3.0, 1.0, 2.0, 0.0]), np.array([True, True, False, False])
    found = auroc_of(score, positive, np.array([0, 0, 1, 2]))
    assert found.value == 0.75
    assert np.isnan(found.variance)
    assert found.variance_of_cases == pytest.approx(0.125)  # by hand: both classes add half


def test_a_nan_score_or_another_length_is_refused():
    with pytest.raises(ValueError, match="1 scores are NaN"):
        place(np.array([0.0, np.nan]), np.array([True, False]), np.zeros(2, int))
    with pytest.raises(ValueError, match="differ in length: 2, 1, 2"):
        place(np.zeros(2), np.array([True]), np.zeros(2, int))


def fold_mean(score, positive, patient, fold):
    """The mean over folds, of one method and one seed."""
    placed = place(score, positive, fold)
    mean, weight = mean_auroc(placed.auroc[None, None])
    (found,) = aurocs_of(placed, weight, patient, np.arange(len(score)))
    assert found.value == pytest.approx(mean[0], abs=1e-15)
    return found


def test_folds_are_averaged_and_their_variances_added():
    scores, positive, patient = sample()
    fold = patient % 3
    found = fold_mean(scores[:, 0], positive, patient, fold)
    alone = [
        auroc_of(scores[fold == f, 0], positive[fold == f], patient[fold == f]) for f in range(3)
    ]
    expected = [roc_auc_score(positive[fold == f], scores[fold == f, 0]) for f in range(3)]
    assert found.value == pytest.approx(np.mean(expected), abs=1e-14)
    assert found.variance == pytest.approx(sum(one.variance for one in alone) / 9, rel=1e-12)
    assert found.n_positive_patients == sum(one.n_positive_patients for one in alone)


def test_a_patient_in_several_folds_is_still_one_patient():
    # The same patients scored alike in both folds: the second fold adds nothing.
    scores, positive, patient = sample()
    once = auroc_of(scores[:, 0], positive, patient)
    fold = np.repeat([0, 1], len(patient))
    score, positive = np.tile(scores[:, 0], 2), np.tile(positive, 2)
    shared = fold_mean(score, positive, np.tile(patient, 2), fold)
    apart = fold_mean(score, positive, np.append(patient, patient + patient.max() + 1), fold)
    assert shared.variance == pytest.approx(once.variance, rel=1e-12)
    assert apart.variance == pytest.approx(once.variance / 2, rel=1e-12)
    assert shared.n_positive_patients == once.n_positive_patients
    assert shared.n_informative == pytest.approx(once.n_informative, rel=1e-9)


def test_the_mean_over_seeds_has_the_variance_of_the_mean_of_columns():
    scores, positive, patient = sample()
    _, joint = auroc_covariance(scores, positive, patient)
    n = len(patient)
    placed = place(scores.T.ravel(), np.tile(positive, 2), np.repeat([0, 1], n))
    _, weight = mean_auroc(placed.auroc.reshape(1, 2, 1))
    (found,) = aurocs_of(placed, weight, np.tile(patient, 2), np.tile(np.arange(n), 2))
    assert found.variance == pytest.approx(joint.mean(), rel=1e-12)
    assert found.n_positive == positive.sum()  # a case under two seeds is one case


def test_folds_without_a_class_are_left_out_of_the_mean():
    by_block = np.array([[[0.8, np.nan], [0.6, 0.7]], [[np.nan, np.nan], [np.nan, np.nan]]])
    mean, weight = mean_auroc(by_block)
    np.testing.assert_allclose(mean, [(0.8 + 0.65) / 2, np.nan])
    np.testing.assert_allclose(weight[:4, 0], [0.5, 0, 0.25, 0.25])
    assert not weight[:, 1].any()
    # Fold 1 holds no positive.
    score, fold = np.array([3.0, 1.0, 2.0, 0.0, 5.0]), np.array([0, 0, 0, 0, 1])
    positive = np.array([True, True, False, False, False])
    found = fold_mean(score, positive, np.arange(5), fold)
    assert (found.value, found.n_negative) == (0.75, 2)


def test_a_column_without_a_defined_block_is_undefined():
    placed = place(np.arange(4.0), np.ones(4, bool), np.array([0, 0, 1, 1]))
    (found,) = aurocs_of(placed, np.zeros((2, 1)), np.arange(4), np.arange(4))
    assert np.isnan([found.value, found.variance, found.variance_of_cases]).all()
