"""McNemar's test against statsmodels, its clustered forms against enumeration and regression."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.api import OLS
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from segclf.evaluate.inference.mcnemar import mcnemar


def paired(both, first_only, second_only, neither):
    counts = (both, first_only, second_only, neither)
    first = np.repeat([True, True, False, False], counts)
    return first, np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize(("b", "c"), [(8, 2), (0, 6), (5, 5), (59, 6), (1, 0), (700, 800)])
def test_single_cases_give_the_plain_test(b, c):
    first, second = paired(20, b, c, 11)
    found = mcnemar(first, second, np.arange(len(first)))
    table = [[20, b], [c, 11]]
    exact = statsmodels_mcnemar(table, exact=True).pvalue
    plain = statsmodels_mcnemar(table, exact=False, correction=False)
    assert found.p_exact == pytest.approx(exact, rel=1e-9)
    assert found.chi2_patients == pytest.approx(plain.statistic, rel=1e-12)
    assert found.p_patients == pytest.approx(plain.pvalue, rel=1e-9)
    n = len(first)
    assert found.chi2_cases == pytest.approx(plain.statistic * (n - 1) / n, rel=1e-12)
    assert (found.n_first_only, found.n_second_only) == (b, c)
    assert found.difference == pytest.approx((b - c) / n)


CLUSTERED = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.integers(0, 7)), min_size=2, max_size=25
)


def unpack(cases):
    first, second, patient = (np.array(values) for values in zip(*cases, strict=True))
    return first, second, patient


@settings(max_examples=60, deadline=None)
@given(CLUSTERED)
def test_the_exact_p_counts_all_swaps_of_the_methods_within_patients(cases):
    first, second, patient = unpack(cases)
    gain = np.array([(first * 1 - second)[patient == p].sum() for p in np.unique(patient)])
    sums = [abs((gain * s).sum()) for s in itertools.product((1, -1), repeat=len(gain))]
    expected = np.mean(np.array(sums) >= abs(gain.sum()))
    assert mcnemar(first, second, patient).p_exact == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(CLUSTERED)
def test_by_cases_it_is_obuchowskis_formula_with_the_pooled_share(cases):
    first, second, patient = unpack(cases)
    ids = np.unique(patient)
    n = np.array([(patient == p).sum() for p in ids])
    x1, x2 = (np.array([x[patient == p].sum() for p in ids]) for x in (first, second))
    n_all, k = n.sum(), len(ids)
    pooled = (x1.sum() + x2.sum()) / (2 * n_all)
    d1, d2 = x1 - n * pooled, x2 - n * pooled
    scale = k / max(k - 1, 1) / n_all**2
    variance = scale * ((d1**2).sum() + (d2**2).sum() - 2 * (d1 * d2).sum())
    difference = (x1.sum() - x2.sum()) / n_all
    found = mcnemar(first, second, patient)
    if k > 1 and variance > 1e-12:
        assert found.chi2_cases == pytest.approx(difference**2 / variance, rel=1e-9)
    assert found.difference == pytest.approx(difference, abs=1e-15)


@settings(max_examples=60, deadline=None)
@given(CLUSTERED)
def test_by_patients_it_is_durkalskis_formula(cases):
    first, second, patient = unpack(cases)
    gains = [first[patient == p].mean() - second[patient == p].mean() for p in set(patient)]
    square = sum(gain**2 for gain in gains)
    expected = sum(gains) ** 2 / square if square > 0 else 0.0
    assert mcnemar(first, second, patient).chi2_patients == pytest.approx(expected, abs=1e-12)


def test_a_patient_whose_cases_all_agree_counts_once():
    # The same decisions k times: the clustered p stays, the plain one shrinks.
    rng = np.random.default_rng(2)
    first, second = rng.random(40) < 0.8, rng.random(40) < 0.6
    once = mcnemar(first, second, np.arange(40))
    often = mcnemar(np.repeat(first, 5), np.repeat(second, 5), np.repeat(np.arange(40), 5))
    for name in ("difference", "p_exact", "chi2_cases", "chi2_patients"):
        assert getattr(often, name) == pytest.approx(getattr(once, name), rel=1e-12)
    plain = mcnemar(np.repeat(first, 5), np.repeat(second, 5), np.arange(200))
    assert plain.p_exact < often.p_exact / 5


def test_the_chi2_by_cases_follows_from_a_cluster_robust_regression():
    # The regression centres each patient's gain, the test of a null hypothesis does not: with t
    # from statsmodels and K patients of three cases each, chi2 = t^2 (K - 1) / (K - 1 + t^2).
    rng = np.random.default_rng(4)
    patient = np.repeat(np.arange(400), 3)
    gain = np.repeat(rng.choice([-1, 0, 1], 400, p=[0.25, 0.45, 0.30]), 3)
    first, second = gain == 1, gain == -1
    fit = OLS((first * 1.0 - second), np.ones(1200)).fit(
        cov_type="cluster", cov_kwds={"groups": patient}
    )
    square = float(fit.tvalues[0]) ** 2
    found = mcnemar(first, second, patient)
    assert found.chi2_cases == pytest.approx(square * 399 / (399 + square), rel=1e-9)


def test_methods_that_never_differ_have_p_1():
    right = np.array([True, False, True])
    found = mcnemar(right, right, np.arange(3))
    assert (found.p_exact, found.p_cases, found.p_patients) == (1.0, 1.0, 1.0)
    assert found.n_discordant_patients == 0


def test_small_p_values_keep_their_digits_and_many_patients_stay_fast():
    first, second = paired(0, 900, 0, 0)
    assert mcnemar(first, second, np.arange(900)).p_exact == pytest.approx(2.0**-899, rel=1e-9)
    rng = np.random.default_rng(5)
    patient = rng.integers(0, 40_000, 120_000)
    first, second = rng.random(120_000) < 0.9, rng.random(120_000) < 0.9
    found = mcnemar(first, second, patient)
    assert found.p_exact == pytest.approx(found.p_cases, abs=0.01)


def test_what_cannot_be_tested_says_so():
    empty = np.zeros(0, bool)
    found = mcnemar(empty, empty, np.zeros(0, int))
    assert np.isnan([found.difference, found.p_exact, found.p_cases]).all()
    assert found.reason == "undefined: without cases"
    many = mcnemar(np.ones(2001, bool), np.zeros(2001, bool), np.zeros(2001, int))
    assert np.isnan(many.p_exact)
    assert many.reason == "no exact p: a patient has too many cases"
    with pytest.raises(ValueError, match="got 3 float64, 3 bool and 3 patients"):
        mcnemar(np.ones(3), np.ones(3, bool), np.arange(3))
