"""Calibration line and expected error against statsmodels, enumeration and simulation."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from statsmodels.api import GLM, add_constant, families

from segclf.evaluate.inference.bootstrap_intervals import percentile
from segclf.evaluate.inference.calibration import calibration_line, line_terms
from segclf.evaluate.inference.calibration_null import _distances, expected_error
from segclf.evaluate.metrics.probability import calibration_error
from segclf.evaluate.metrics.sums import excess_sums


def drawn(seed, n=400, slope=1.0, intercept=0.0):
    rng = np.random.default_rng(seed)
    probability = rng.beta(0.8, 2.0, n) * 0.98 + 0.01
    label = (rng.random(n) < expit(slope * logit(probability) + intercept)).astype(int)
    return label, probability


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.5, -1.0), (-0.3, 0.4)])
def test_the_line_is_that_of_statsmodels(slope, intercept):
    label, probability = drawn(1, slope=slope, intercept=intercept)
    weight = np.random.default_rng(2).integers(0, 4, len(label))
    binomial = families.Binomial()
    z = logit(probability)
    line = GLM(label, add_constant(z), family=binomial, freq_weights=weight).fit(tol=1e-12)
    large = GLM(label, np.ones(len(z)), family=binomial, freq_weights=weight, offset=z).fit(
        tol=1e-12
    )
    found = calibration_line(label, probability, weight)
    assert found.slope == pytest.approx(line.params[1], rel=1e-7)
    assert found.intercept == pytest.approx(large.params[0], rel=1e-7)
    assert found.reason == ""


def test_a_line_that_does_not_exist_has_a_reason():
    half = np.array([0.2, 0.4, 0.6, 0.8])
    one_class = calibration_line(np.zeros(4, int), half)
    assert np.isnan([one_class.intercept, one_class.slope]).all()
    assert one_class.reason == "undefined: without positives or without negatives"
    weightless = calibration_line(np.array([0, 0, 1, 1]), half, np.array([1, 1, 0, 0]))
    assert weightless.reason == one_class.reason
    sure = calibration_line(np.array([0, 1, 0, 1]), np.array([0.0, 0.4, 0.6, 1.0]))
    assert sure.reason == "undefined: 2 probabilities are 0 or 1, whose logit is infinite"
    for label in ([0, 0, 1, 1], [1, 1, 0, 0]):
        separated = calibration_line(np.array(label), half)
        assert np.isnan(separated.slope)
        assert np.isfinite(separated.intercept)
        assert separated.reason == "no slope: a cut separates the classes"
    same = calibration_line(np.array([0, 1, 1, 1]), np.full(4, 0.5))
    assert same.intercept == pytest.approx(np.log(3))
    assert same.reason == "no slope: all probabilities are the same"


def test_one_step_from_the_samples_line_is_close_to_a_full_fit():
    label, probability = drawn(3, n=600, slope=0.7, intercept=-0.3)
    terms = line_terms(label, probability)
    weight = np.random.default_rng(4).multinomial(600, np.full(600, 1 / 600), 200).T
    intercept, slope = terms.line_of(terms.terms.T @ weight)
    full = [calibration_line(label, probability, weight[:, b]) for b in range(200)]
    for found, exact in (
        (intercept, [f.intercept for f in full]),
        (slope, [f.slope for f in full]),
    ):
        assert np.corrcoef(found, exact)[0, 1] > 0.99
        assert found.std() == pytest.approx(np.std(exact), rel=0.05)
        np.testing.assert_allclose(np.mean(found), np.mean(exact), atol=0.02)
    unmoved = terms.line_of(terms.terms.T @ np.ones(600))
    assert unmoved == pytest.approx((terms.start.intercept, terms.start.slope), abs=1e-8)
    missing = terms.line_of(terms.terms.T @ (label == 1)[:, None].astype(float))
    assert np.isnan(missing).all()
    with pytest.raises(ValueError, match="a cut separates the classes"):
        line_terms(np.array([0, 0, 1, 1]), np.array([0.2, 0.4, 0.6, 0.8]))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_distances_of_a_small_bin_are_those_of_all_outcomes(values):
    p = np.array(values)
    distance, chance = _distances(p, float((p * (1 - p)).sum()))
    mean = 0.0
    for outcome in itertools.product((0, 1), repeat=len(p)):
        mean += np.prod(np.where(outcome, p, 1 - p)) * abs(sum(outcome) - p.sum())
    assert distance @ chance == pytest.approx(mean, abs=1e-10)


@pytest.mark.parametrize("n", [50, 500, 5000])
def test_a_perfectly_calibrated_method_shows_what_is_expected_of_chance(n):
    # With 15 bins the error of a perfect method reads far above 0 in small samples.
    rng = np.random.default_rng(5)
    probability = rng.beta(0.8, 2.0, n)
    label = rng.random((n, 2000 if n < 1000 else 500)) < probability[:, None]
    errors = np.array([calibration_error(y, probability, np.ones(n)) for y in label.T])
    found = expected_error(label[:, 0].astype(int), probability)
    assert found.expected == pytest.approx(errors.mean(), rel=0.02)
    assert found.limit == pytest.approx(np.quantile(errors, 0.95), rel=0.04)
    p = [expected_error(y, probability).p for y in label[:, :200].T]
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.06)


def test_cases_that_go_together_make_more_error_by_chance():
    rng = np.random.default_rng(6)
    patient = np.repeat(np.arange(150), 4)
    errors, expected, alone = [], [], []
    for _ in range(60):
        probability = np.repeat(rng.beta(0.8, 2.0, 150), 4)
        label = np.repeat(rng.random(150) < probability[::4], 4).astype(int)
        errors.append(calibration_error(label, probability, np.ones(600)))
        found = expected_error(label, probability, patient=patient)
        expected.append(found.expected)
        alone.append(expected_error(label, probability).expected)
    assert np.mean(expected) == pytest.approx(np.mean(errors), rel=0.08)
    assert np.mean(alone) == pytest.approx(np.mean(errors) / 2, rel=0.08)
    single = expected_error(label, probability, patient=np.arange(600))
    assert single.design_effect == pytest.approx(1.0)


def test_a_poorly_calibrated_method_exceeds_what_chance_makes():
    label, probability = drawn(7, n=800, slope=0.4, intercept=-0.8)
    found = expected_error(label, probability)
    assert calibration_error(label, probability, np.ones(800)) > found.limit
    assert found.p == pytest.approx(1 / 4001)


def test_the_interval_of_the_excess_holds_it():
    def excess(seed):
        label, probability = drawn(seed, n=300, slope=0.5, intercept=-0.5)
        observed = float(calibration_error(label, probability, np.ones(300)))
        return label, probability, observed - expected_error(label, probability).expected

    truth = np.mean([value for _, _, value in map(excess, range(1000, 1100))])
    rng, held = np.random.default_rng(8), []
    for seed in range(60):
        label, probability, value = excess(seed)
        weight = rng.multinomial(300, np.full(300, 1 / 300), 300).T
        terms, value_of = excess_sums(label, probability, np.arange(300))
        values = value_of(terms.T @ np.column_stack([np.ones(300), weight]))
        assert values[0] == pytest.approx(value, rel=0.1)
        assert values[1:].mean() == pytest.approx(values[0])  # resampling's own noise is taken out
        lo, hi, _, _ = percentile(values[1:], 0.95)
        held.append(lo <= truth <= hi)
    assert np.mean(held) >= 0.88


def test_no_cases_have_no_expectation():
    found = expected_error(np.zeros(0, int), np.zeros(0))
    assert np.isnan([found.expected, found.limit, found.p]).all()
