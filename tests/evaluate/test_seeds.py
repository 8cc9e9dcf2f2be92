"""Differences over seeds against hand calculation and the t distribution of SciPy."""

import numpy as np
import pytest
from scipy import stats

from segclf.evaluate.inference.seeds import compare_seeds


def make_values(first, second, n_replicates=4000, patient_sd=0.0, seed=0):
    """(2, seed, 1, 1 + replicate): values of each seed, moved together by the drawn patients."""
    noise = patient_sd * np.random.default_rng(seed).normal(size=n_replicates)
    n = max(len(first), len(second))
    values = np.full((2, n, 1, 1 + n_replicates), np.nan)
    for m, (own, moved) in enumerate(((first, 1.0), (second, 0.0))):
        for s, value in enumerate(own):
            values[m, s, 0, 0] = value
            values[m, s, 0, 1:] = value + moved * noise
    return values


def test_seeds_alone_give_welchs_t_test_of_the_two_samples_of_seeds():
    first, second = [0.80, 0.84, 0.79, 0.85], [0.74, 0.78, 0.70]
    found = compare_seeds(make_values(first, second, 40_000), n_patients=10**9)
    scipy = stats.ttest_ind(first, second, equal_var=False)
    assert found.difference == pytest.approx(np.mean(first) - np.mean(second))
    assert found.se == pytest.approx(scipy.statistic**-1 * found.difference, rel=0.01)
    assert found.df == pytest.approx(scipy.df, rel=0.03)
    assert found.p == pytest.approx(scipy.pvalue, rel=0.05)
    interval = scipy.confidence_interval()
    assert (found.lo, found.hi) == pytest.approx((interval.low, interval.high), abs=0.001)
    assert found.seed_sd == pytest.approx((np.std(first, ddof=1), np.std(second, ddof=1)))
    assert (found.n_seeds, found.n_usable, found.reason) == ((4, 3), 40_000, "")


def test_patients_and_seeds_add_up():
    first, second = [0.80, 0.84, 0.82], [0.74, 0.75, 0.70]
    found = compare_seeds(make_values(first, second, 40_000, patient_sd=0.02), n_patients=500)
    variance = 0.02**2 + np.var(first, ddof=1) / 3 + np.var(second, ddof=1) / 3
    assert found.se**2 == pytest.approx(variance, rel=0.03)
    few = 2 + (0.02**2 > 0)
    assert few < found.df < 500


def test_one_seed_is_the_plain_test_and_says_so():
    found = compare_seeds(make_values([0.8], [0.75], 20_000, patient_sd=0.02), n_patients=10**9)
    assert found.p == pytest.approx(2 * stats.norm.sf(0.05 / 0.02), rel=0.06)
    assert np.isnan(found.seed_sd).all()
    assert found.reason == (
        "one seed of the first and second method: its spread over seeds is not known"
    )


def test_folds_are_averaged_where_both_methods_have_them():
    values = np.full((2, 2, 3, 101), np.nan)
    values[0] = np.array([[0.9, 0.7, 0.5], [0.9, 0.7, 0.5]])[:, :, None]
    values[1, 0] = np.array([0.6, 0.6, np.nan])[:, None]
    found = compare_seeds(values, n_patients=50)
    assert found.difference == pytest.approx(0.8 - 0.6)
    assert found.n_seeds == (2, 1)


def test_identical_methods_have_p_1():
    found = compare_seeds(make_values([0.8, 0.8], [0.8, 0.8], 50), n_patients=50)
    assert (found.difference, found.p) == (0.0, 1.0)
    assert found.reason == "no difference in any case"


def test_what_cannot_be_compared_says_so():
    values = make_values([0.8, 0.9], [0.7, 0.6], 100)
    values[1] = np.nan
    found = compare_seeds(values, n_patients=50)
    assert np.isnan([found.difference, found.se, found.p]).all()
    assert found.reason == "undefined: no fold in which both methods have a value"
    values = make_values([0.8, 0.9], [0.7, 0.6], 100)
    values[0, :, 0, 1:70] = np.nan
    found = compare_seeds(values, n_patients=50)
    assert found.difference == pytest.approx(0.2)
    assert found.reason == "no interval: 31 of 100 replicates are defined"


def test_the_result_depends_on_the_seed_alone():
    values = make_values([0.80, 0.84], [0.74, 0.78], 200, patient_sd=0.01)
    assert compare_seeds(values, n_patients=9) == compare_seeds(values, n_patients=9)
    other = compare_seeds(values, n_patients=9, seed=1)
    assert other.se != compare_seeds(values, n_patients=9).se
