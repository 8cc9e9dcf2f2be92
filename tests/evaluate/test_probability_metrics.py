"""Metrics of probabilities against scikit-learn and published tables."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from segclf.evaluate.metrics.probability import (
    brier,
    brier_terms,
    calibration_error,
    calibration_error_of,
    calibration_error_terms,
    log_loss,
    log_loss_terms,
    loss_of,
    net_benefit,
    net_benefit_of,
    net_benefit_terms,
)

RNG = np.random.default_rng(12)
LABEL = (RNG.random(300) < 0.3).astype(int)
PROBABILITY = np.clip(RNG.beta(1 + LABEL, 2, 300), 0, 1)
WEIGHT = RNG.integers(0, 4, (300, 6))
THRESHOLDS = np.array([0.05, 0.10, 0.20])


@pytest.mark.parametrize(
    ("metric", "witness"), [(brier, sklearn.brier_score_loss), (log_loss, sklearn.log_loss)]
)
def test_a_loss_equals_that_of_scikit_learn_for_every_replicate(metric, witness):
    found = metric(LABEL, PROBABILITY, WEIGHT)
    expected = [witness(LABEL, PROBABILITY, sample_weight=WEIGHT[:, b]) for b in range(6)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert metric(LABEL, PROBABILITY, WEIGHT[:, 0]) == pytest.approx(expected[0])


@pytest.mark.parametrize("metric", [brier, log_loss])
def test_a_loss_at_a_prevalence_is_that_of_reweighted_classes(metric):
    n = LABEL @ WEIGHT, (1 - LABEL) @ WEIGHT
    weight = np.where(LABEL[:, None] == 1, 0.08 / n[0], 0.92 / n[1]) * WEIGHT
    found = metric(LABEL, PROBABILITY, WEIGHT, prevalence=0.08)
    np.testing.assert_allclose(found, metric(LABEL, PROBABILITY, weight), rtol=1e-12)


def test_a_sure_and_wrong_case_is_finite_as_in_scikit_learn():
    label, probability = np.array([1, 0]), np.array([0.0, 0.0])
    expected = sklearn.log_loss(label, probability)
    assert log_loss(label, probability, np.ones(2)) == pytest.approx(expected)


def test_the_calibration_error_that_torchmetrics_documents():
    # BinaryCalibrationError(n_bins=2, norm="l1"): 0.2900.
    probability, label = np.array([0.25, 0.25, 0.55, 0.75, 0.75]), np.array([0, 0, 1, 1, 1])
    assert calibration_error(label, probability, np.ones(5), n_bins=2) == pytest.approx(0.29)


@pytest.mark.parametrize("n_bins", [1, 10, 15])
def test_the_calibration_error_is_that_of_a_loop_over_bins(n_bins):
    probability = np.append(PROBABILITY, [0.0, 1.0])
    label, weight = np.append(LABEL, [0, 1]), np.append(WEIGHT[:, 0], [1, 2])
    total = 0.0
    for b in range(n_bins):
        is_last = b == n_bins - 1
        upper = (probability <= 1) if is_last else (probability < (b + 1) / n_bins)
        inside = (probability >= b / n_bins) & upper
        if weight[inside].sum():
            share = np.average(label[inside], weights=weight[inside])
            confidence = np.average(probability[inside], weights=weight[inside])
            total += weight[inside].sum() * abs(share - confidence)
    found = calibration_error(label, probability, weight, n_bins=n_bins)
    assert found == pytest.approx(total / weight.sum(), abs=1e-14)


# MSKCC-Epi-Bio/dcurves, r_dca_famhistory.csv: 750 patients, 105 with the outcome. Of the 115
# with a family history 24 have it, which follows from the published values.
FAMILY = np.repeat([1.0, 1.0, 0.0, 0.0], [24, 91, 81, 554])
OUTCOME = np.repeat([1, 0, 1, 0], [24, 91, 81, 554])


def test_net_benefit_has_the_published_values_of_dcurves():
    found = net_benefit(OUTCOME, FAMILY, np.ones(750), thresholds=THRESHOLDS)
    assert found == pytest.approx([0.025614, 0.018519, 0.001667], abs=5e-7)
    everybody = net_benefit(OUTCOME, np.ones(750), np.ones(750), thresholds=THRESHOLDS)
    assert everybody == pytest.approx([0.0947368, 0.0444444, -0.075], abs=5e-8)


def test_net_benefit_at_a_prevalence_is_that_of_reweighted_classes():
    n = LABEL.sum(), (1 - LABEL).sum()
    weight = np.where(LABEL == 1, 0.08 / n[0], 0.92 / n[1])
    found = net_benefit(LABEL, PROBABILITY, np.ones(300), thresholds=THRESHOLDS, prevalence=0.08)
    expected = net_benefit(LABEL, PROBABILITY, weight, thresholds=THRESHOLDS)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_case_at_the_threshold_is_treated():
    found = net_benefit(np.array([1]), np.array([0.2]), np.ones(1), thresholds=THRESHOLDS)
    np.testing.assert_array_equal(found, [1.0, 1.0, 1.0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_terms_by_patient_times_draws_are_the_metric_of_the_drawn_cases(seed):
    rng = np.random.default_rng(seed)
    patient = rng.integers(0, 12, 60)
    label, probability = rng.integers(0, 2, 60), rng.random(60)
    drawn = rng.multinomial(12, np.full(12, 1 / 12), 4).T
    cases = drawn[patient]

    def by_patient(terms):
        return np.stack([np.bincount(patient, t, 12) for t in terms.T], axis=1).T @ drawn

    benefit = by_patient(net_benefit_terms(label, probability, THRESHOLDS))
    pairs = [
        (loss_of(by_patient(brier_terms(label, probability))), brier(label, probability, cases)),
        (
            loss_of(by_patient(log_loss_terms(label, probability)), prevalence=0.2),
            log_loss(label, probability, cases, prevalence=0.2),
        ),
        (
            net_benefit_of(benefit, THRESHOLDS),
            net_benefit(label, probability, cases, thresholds=THRESHOLDS),
        ),
        (
            calibration_error_of(by_patient(calibration_error_terms(label, probability, 5))),
            calibration_error(label, probability, cases, n_bins=5),
        ),
    ]
    for found, expected in pairs:
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_undefined_values_are_missing():
    none, ones = np.zeros((3, 2)), np.ones((3, 2))
    label, probability = np.array([1, 1, 1]), np.array([0.2, 0.5, 0.9])
    for metric in (brier, log_loss, calibration_error):
        assert np.isnan(metric(label, probability, none)).all()
    assert np.isnan(brier(label, probability, ones, prevalence=0.1)).all()
    found = net_benefit(label, probability, ones, thresholds=THRESHOLDS, prevalence=0.1)
    assert found.shape == (3, 2)
    assert np.isnan(found).all()


def test_numbers_that_are_no_probabilities_are_refused_with_them():
    with pytest.raises(ValueError, match=r"lies in \[0, 1\]: got \[1\.5, -0\.2\]"):
        brier(np.array([0, 1, 1]), np.array([1.5, 0.3, -0.2]), np.ones(3))
    with pytest.raises(ValueError, match=r"thresholds lie in \(0, 1\): got \[1\.0\]"):
        net_benefit(LABEL, PROBABILITY, np.ones(300), thresholds=np.array([1.0]))
    with pytest.raises(ValueError, match="values are NaN"):
        log_loss(LABEL, PROBABILITY * np.nan, np.ones(300))
