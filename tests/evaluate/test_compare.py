"""Comparisons against the published values of pROC's tests, SciPy and statsmodels."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp, ttest_ind_from_stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from segclf.evaluate.inference.compare import compare_independent, compare_paired, mover, mover_p

# xrobin/pROC, tests/testthat: test-auc.R, test-var.R and test-cov.R (aSAH, 113 patients).
WFNS, NDKA, S100B = 0.823678861788618, 0.611957994579946, 0.731368563685637
VARIANCE = {"wfns": 0.00146991470882363, "ndka": 0.0031908105493913, "s100b": 0.00266868245717244}
COVARIANCE = {"wn": -0.000532967856762438, "ns": -0.000756164938056579, "sw": 0.00119615567376754}
PAIRED = [
    # difference, variances, covariance, Z, p, bounds: test-roc.test.R
    (WFNS - S100B, "wfns", "s100b", "sw", 2.20898359144091, 0.0271757822291882,
     0.0104061769564846, 0.174214419249478),
    (WFNS - NDKA, "wfns", "ndka", "wn", 2.79777591868904, 0.00514557970691098,
     0.0634011709339876, 0.3600405634833566),
    (NDKA - S100B, "ndka", "s100b", "ns", -1.39077002573558, 0.164295175223054,
     -0.2876917446341914, 0.0488706064228094),
]  # fmt: skip


@pytest.mark.parametrize(("difference", "a", "b", "ab", "z", "p", "lo", "hi"), PAIRED)
def test_paired_methods_have_the_published_z_p_and_interval(difference, a, b, ab, z, p, lo, hi):
    variance = VARIANCE[a] + VARIANCE[b] - 2 * COVARIANCE[ab]
    found = compare_paired(difference, variance)
    assert [found.z, found.p, found.lo, found.hi] == pytest.approx([z, p, lo, hi], rel=1e-10)
    swapped = compare_paired(-difference, variance)
    assert (swapped.z, swapped.p, swapped.lo) == (-found.z, found.p, -found.hi)


@pytest.mark.parametrize(
    ("difference", "a", "b", "d", "p"),
    [
        (WFNS - S100B, "wfns", "s100b", 1.43490640926908, 0.152825378808796),
        (WFNS - NDKA, "wfns", "ndka", 3.10125096778969, 0.00220950791756457),
        (NDKA - S100B, "ndka", "s100b", -1.55995743389685, 0.120192832430845),
    ],
)
def test_independent_groups_have_the_published_d_and_p(difference, a, b, d, p):
    found = compare_independent(difference, (VARIANCE[a], VARIANCE[b]), (113, 113))
    assert [found.z, found.p] == pytest.approx([d, p], rel=1e-10)


def test_independent_groups_agree_with_welchs_t_test_of_scipy():
    found = compare_independent(0.3, (2.0**2 / 12, 3.0**2 / 7), (12, 7))
    scipy = ttest_ind_from_stats(0.3, 2.0, 12, 0.0, 3.0, 7, equal_var=False)
    assert [found.z, found.p] == pytest.approx([scipy.statistic, scipy.pvalue], rel=1e-12)


def test_few_patients_take_students_t():
    x = np.random.default_rng(3).normal(0.4, 1.0, 11)
    scipy = ttest_1samp(x, 0.0)
    found = compare_paired(x.mean(), x.var(ddof=1) / 11, df=10)
    assert [found.z, found.p] == pytest.approx([scipy.statistic, scipy.pvalue], rel=1e-12)
    interval = scipy.confidence_interval()
    assert [found.lo, found.hi] == pytest.approx([interval.low, interval.high], rel=1e-12)


def test_equal_estimates_of_different_methods_have_p_1_with_an_interval():
    found = compare_paired(0.0, 0.01)
    assert (found.z, found.p) == (0.0, 1.0)
    assert found.hi == pytest.approx(0.1 * NormalDist().inv_cdf(0.975))


def test_what_cannot_be_judged_is_missing_with_its_reason():
    no_spread = compare_paired(0.2, 0.0)
    assert np.isnan([no_spread.z, no_spread.p, no_spread.lo]).all()
    assert "variance of 0" in no_spread.reason
    missing = compare_paired(np.nan, 0.1)
    assert np.isnan(missing.p)
    assert missing.reason == "undefined: an estimate or its variance is missing"
    with pytest.raises(ValueError, match="got 1 and 9"):
        compare_independent(0.1, (0.1, 0.1), (1, 9))


def wilson(hits, n):
    def interval(level):
        return (hits / n, *proportion_confint(hits, n, 1 - level, method="wilson"))

    return interval


# Newcombe 1998b, method 10, as published.
@pytest.mark.parametrize(
    ("a", "n_a", "b", "n_b", "lo", "hi"),
    [
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (10, 10, 0, 20, 0.6791, 1.0),
    ],
)
def test_wilsons_intervals_combine_to_newcombes_hybrid(a, n_a, b, n_b, lo, hi):
    found = mover(wilson(a, n_a)(0.95), wilson(b, n_b)(0.95))
    assert found == pytest.approx((lo, hi), abs=6e-5)
    ours = confint_proportions_2indep(a, n_a, b, n_b, method="newcomb", compare="diff")
    assert found == pytest.approx(ours, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 30), st.integers(0, 20))
def test_the_p_value_of_mover_is_where_its_interval_touches_0(a, b):
    first, second = wilson(a, 30), wilson(b, 20)
    p = mover_p(first, second)
    if abs(a / 30 - b / 20) < 1e-12:
        assert p == 1.0
    else:
        if p > 1e-9:  # else 1 - p has too few digits
            bounds = mover(first(1 - p), second(1 - p))
            assert min(abs(bounds[0]), abs(bounds[1])) < 1e-6
        assert (p <= 0.05) == (not _holds_zero(first, second))


def _holds_zero(first, second):
    lo, hi = mover(first(0.95), second(0.95))
    return lo <= 0 <= hi


def test_symmetric_intervals_give_the_z_test_also_when_correlated():
    normal = NormalDist()

    def symmetric(value, se):
        def interval(level):
            reach = normal.inv_cdf((1 + level) / 2) * se
            return value, value - reach, value + reach

        return interval

    variance = 0.05**2 + 0.04**2 - 2 * 0.6 * 0.05 * 0.04
    plain = compare_paired(0.07, variance)
    first, second = symmetric(0.87, 0.05), symmetric(0.80, 0.04)
    found = mover(first(0.95), second(0.95), correlation=0.6)
    assert found == pytest.approx((plain.lo, plain.hi), abs=1e-12)
    assert mover_p(first, second, correlation=0.6) == pytest.approx(plain.p, rel=1e-9)
    assert mover_p(symmetric(9.0, 0.01), second) < 2e-15
    assert np.isnan(mover_p(symmetric(np.nan, 0.01), second))
    assert np.isnan(mover((np.nan, 0, 1), (0.5, 0, 1))).all()


def test_a_p_value_is_never_0():
    for df in (np.inf, 50_000.0):
        assert 0 < compare_paired(0.45, 1e-6, df=df).p < 1e-300
