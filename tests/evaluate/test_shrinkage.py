"""Shrinkage against statsmodels' weighted regression and meta-analysis, and known truth."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.api import WLS
from statsmodels.stats.meta_analysis import combine_effects

from segclf.evaluate.inference.shrinkage import between_variance, main_effects, shrink

CELLS = np.array(list(itertools.product(range(2), range(3), range(2))))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 3.0]))
def test_the_variance_between_groups_makes_the_weighted_squares_what_they_should_be(seed, tau):
    rng = np.random.default_rng(seed)
    variance = rng.uniform(0.1, 2, 7)
    value = rng.normal(0, np.sqrt(variance + tau**2))
    between = between_variance(value, variance)
    fit = WLS(value, np.ones(7), weights=1 / (variance + between)).fit()
    squares = fit.wresid @ fit.wresid
    assert squares == pytest.approx(6) if between > 0 else squares <= 6
    # The iteration of statsmodels starts at 0 and sometimes stays there.
    expected = combine_effects(value, variance, method_re="iterated", atol=1e-12).tau2
    if expected > 0:
        assert between == pytest.approx(expected, rel=1e-4)


def test_the_fit_is_statsmodels_weighted_regression():
    rng = np.random.default_rng(1)
    design = main_effects(CELLS)
    assert design.shape == (12, 5)
    se = rng.uniform(0.2, 1.0, 12)
    value = design @ rng.normal(size=5) + rng.normal(0, np.sqrt(se**2 + 0.5**2))
    found = shrink(value, se, design)
    fit = WLS(value, design, weights=1 / (se**2 + found.between_sd**2)).fit()
    np.testing.assert_allclose(found.fit, fit.fittedvalues, rtol=1e-8)
    assert fit.wresid @ fit.wresid == pytest.approx(12 - 5, rel=1e-6)
    # Each estimate lies between the raw one and the fit, nearer the fit where the error is large.
    share = (found.estimate - found.fit) / (value - found.fit)
    assert ((share > 0) & (share < 1)).all()
    order = np.argsort(se)
    assert (np.diff(share[order]) < 0).all()


def test_shrunken_estimates_are_closer_to_the_truth_and_their_intervals_hold_it():
    rng = np.random.default_rng(2)
    design = main_effects(CELLS)
    truth_fit = design @ np.array([2.0, 0.5, -0.4, 0.3, 0.2])
    raw_error, error, held = [], [], []
    for i in range(150):
        tau = (0.0, 0.3, 0.8)[i % 3]
        truth = truth_fit + rng.normal(0, tau, 12)
        se = rng.uniform(0.2, 0.8, 12)
        value = truth + se * rng.normal(size=12)
        found = shrink(value, se, design)
        raw_error.append((value - truth) ** 2)
        error.append((found.estimate - truth) ** 2)
        held.append((found.lo <= truth) & (truth <= found.hi))
    assert np.mean(error) < 0.75 * np.mean(raw_error)
    assert 0.93 < np.mean(held) < 0.98


def test_undefined_groups_stay_undefined():
    rng = np.random.default_rng(3)
    value, se = rng.normal(size=12), np.ones(12)
    value[4], se[7] = np.nan, np.nan
    found = shrink(value, se, main_effects(CELLS))
    keep = np.setdiff1d(np.arange(12), [4, 7])
    without = shrink(value[keep], se[keep], main_effects(CELLS)[keep])
    np.testing.assert_allclose(found.estimate[keep], without.estimate)
    assert np.isnan(found.estimate[[4, 7]]).all()
    assert np.isnan(found.lo[[4, 7]]).all()


def test_groups_without_an_error_take_the_largest_standard_error():
    value = np.array([1.0, 0.8, 0.7, 0.9])
    found = shrink(value, np.array([0.0, 0.05, 0.1, 0.05]), np.ones((4, 1)))
    expected = shrink(value, np.array([0.1, 0.05, 0.1, 0.05]), np.ones((4, 1)))
    np.testing.assert_array_equal(found.estimate, expected.estimate)
    with pytest.raises(ValueError, match="no group has a standard error"):
        shrink(value, np.zeros(4), np.ones((4, 1)))


def test_as_many_effects_as_groups_leave_nothing_to_shrink_with():
    found = shrink(np.array([0.1, 0.2]), np.ones(2), main_effects(np.array([[0], [1]])))
    assert np.isnan(found.estimate).all()
    assert found.reason == "not shrunk: 2 groups for 2 effects"
    assert np.isnan(shrink(np.full(3, np.nan), np.ones(3), np.ones((3, 1))).fit).all()
