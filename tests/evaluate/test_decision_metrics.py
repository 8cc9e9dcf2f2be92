"""F1, Youden, MCC, predictive values at another prevalence and partial AUROC."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from segclf.evaluate.metrics.decision import f1, mcc, npv, ppv, youden
from segclf.evaluate.metrics.ranking import auroc, partial_auroc

RNG = np.random.default_rng(11)
LABEL = (RNG.random(300) < 0.25).astype(int)
SCORE = np.round(RNG.normal(size=300) + LABEL, 1)
DECISION = (SCORE > 0.6).astype(int)
WEIGHT = RNG.integers(0, 4, (300, 5))


@pytest.mark.parametrize(
    ("metric", "witness"),
    [
        (f1, sklearn.f1_score),
        (mcc, sklearn.matthews_corrcoef),
        (youden, lambda *a, **k: sklearn.balanced_accuracy_score(*a, **k, adjusted=True)),
    ],
)
def test_a_metric_equals_that_of_scikit_learn_for_every_replicate(metric, witness):
    found = metric(LABEL, DECISION, WEIGHT)
    expected = [witness(LABEL, DECISION, sample_weight=WEIGHT[:, b]) for b in range(5)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert metric(LABEL, DECISION, WEIGHT[:, 0]) == pytest.approx(expected[0])


@pytest.mark.parametrize("prevalence", [0.01, 0.5])
def test_predictive_values_at_a_prevalence_are_those_of_reweighted_classes(prevalence):
    n = LABEL @ WEIGHT, (1 - LABEL) @ WEIGHT
    weight = np.where(LABEL[:, None] == 1, prevalence / n[0], (1 - prevalence) / n[1]) * WEIGHT
    for metric, kind in ((ppv, 1), (npv, 0)):
        found = metric(LABEL, DECISION, WEIGHT, prevalence=prevalence)
        expected = [
            sklearn.precision_score(LABEL, DECISION, pos_label=kind, sample_weight=weight[:, b])
            for b in range(5)
        ]
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        as_sampled = metric(LABEL, DECISION, WEIGHT[:, 0], prevalence=n[0][0] / WEIGHT[:, 0].sum())
        assert as_sampled == pytest.approx(metric(LABEL, DECISION, WEIGHT[:, 0]))


def test_undefined_values_are_missing():
    ones, zeros, weight = np.ones(4, int), np.zeros(4, int), np.ones((4, 2))
    half = np.array([1, 1, 0, 0])
    assert np.isnan(f1(zeros, half, weight)).all()
    np.testing.assert_array_equal(f1(ones, zeros, weight), [0.0, 0.0])
    for label, decision in ((ones, half), (zeros, half), (half, ones), (half, zeros)):
        assert np.isnan(mcc(label, decision, weight)).all()
    assert np.isnan(youden(ones, half, weight)).all()
    assert np.isnan(ppv(zeros, half, weight, prevalence=0.1)).all()
    assert np.isnan(ppv(half, zeros, weight, prevalence=0.1)).all()
    assert np.isnan(npv(half, ones, weight, prevalence=0.1)).all()
    for metric in (f1, mcc, youden):
        assert np.isnan(metric(half, half, 0 * weight)).all()


def test_mcc_of_many_cases_does_not_overflow():
    label = np.tile([0, 1], 150_000)
    weight = np.ones(300_000, np.int64)
    assert mcc(label, label, weight) == pytest.approx(1.0)


@pytest.mark.parametrize("max_fpr", [0.05, 0.1, 0.37])
def test_the_standardized_partial_area_is_scikit_learns(max_fpr):
    weight = WEIGHT[:, 1]
    expected = sklearn.roc_auc_score(LABEL, SCORE, sample_weight=weight, max_fpr=max_fpr)
    found = partial_auroc(LABEL, SCORE, weight, low=1 - max_fpr, standardize=True)
    assert found == pytest.approx(expected, abs=1e-13)


def test_partial_areas_by_hand():
    # ROC points (false positives, sensitivity): (0, 0), (0, 1/2), (1/2, 1/2), (1/2, 1), (1, 1).
    label, score, weight = np.array([1, 0, 1, 0]), np.array([4.0, 3, 2, 1]), np.ones(4)
    assert partial_auroc(label, score, weight, low=0.9) == pytest.approx(0.05)
    assert partial_auroc(label, score, weight, low=0.25, high=0.75) == pytest.approx(0.375)
    of_sensitivity = partial_auroc(label, score, weight, low=0.9, of="sensitivity")
    assert of_sensitivity == pytest.approx(0.1 * 0.5)
    # By chance 0.1^2 / 2, at most 0.1: (1 + (0.05 - 0.005) / 0.095) / 2.
    standard = partial_auroc(label, score, weight, low=0.9, of="sensitivity", standardize=True)
    assert standard == pytest.approx((1 + 0.045 / 0.095) / 2)


SAMPLE = st.lists(st.tuples(st.booleans(), st.integers(-3, 3), st.integers(0, 3)), min_size=4)


@settings(max_examples=60, deadline=None)
@given(SAMPLE, st.floats(0.05, 0.95), st.sampled_from(["specificity", "sensitivity"]))
def test_parts_add_up_to_the_whole_and_swapping_classes_swaps_the_axes(cases, cut, of):
    label, score, weight = (np.array(values) for values in zip(*cases, strict=True))
    label, score = label.astype(int), score.astype(float)
    whole = auroc(label, score, weight)
    parts = [
        partial_auroc(label, score, weight, low=low, high=high, of=of)
        for low, high in ((0, cut), (cut, 1), (0, 1))
    ]
    np.testing.assert_allclose([parts[0] + parts[1], parts[2]], [whole, whole], atol=1e-12)
    other = "sensitivity" if of == "specificity" else "specificity"
    swapped = partial_auroc(1 - label, -score, weight, low=cut, of=other)
    np.testing.assert_allclose(swapped, parts[1], atol=1e-12)


def test_a_random_score_is_a_half_and_a_perfect_one_1():
    label, weight = np.tile([0, 1], 50), np.ones(100)
    flat = partial_auroc(label, np.zeros(100), weight, low=0.8, standardize=True)
    assert flat == pytest.approx(0.5)
    assert partial_auroc(label, 1.0 * label, weight, low=0.8, standardize=True) == 1.0
    assert np.isnan(partial_auroc(0 * label, weight, weight, low=0.8))


@pytest.mark.parametrize(("low", "high"), [(0.9, 0.9), (-0.1, 1), (0.5, 1.1)])
def test_an_empty_or_impossible_range_is_refused(low, high):
    with pytest.raises(ValueError, match=f"got {low} to {high}"):
        partial_auroc(LABEL, SCORE, np.ones(300), low=low, high=high)
