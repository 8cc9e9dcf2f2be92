"""Differences over seeds against hand calculation and the t distribution of SciPy."""

from itertools import product

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


def test_the_same_seeds_alone_give_the_paired_t_test():
    first, second = [0.80, 0.84, 0.79, 0.85], [0.74, 0.78, 0.70, 0.81]
    found = compare_seeds(make_values(first, second, 40_000), n_patients=10**9)
    scipy = stats.ttest_rel(first, second)
    assert found.se == pytest.approx(found.difference / scipy.statistic, rel=0.01)
    assert found.df == pytest.approx(scipy.df, rel=0.03)
    assert found.p == pytest.approx(scipy.pvalue, rel=0.05)


@pytest.mark.parametrize(("second", "n"), [([0.74, 0.75, 0.70], 3), ([0.74, 0.75], 2)])
def test_patients_and_seeds_add_up(second, n):
    first = [0.80, 0.84, 0.82]
    found = compare_seeds(make_values(first, second, 40_000, patient_sd=0.02), n_patients=500)
    of_seeds = np.var(first, ddof=1) / 3 + np.var(second, ddof=1) / 2
    if n == 3:
        of_seeds = np.var(np.subtract(first, second), ddof=1) / 3
    assert found.se**2 == pytest.approx(0.02**2 + of_seeds, rel=0.03)
    assert 2 < found.df < 500
    assert found.n_seeds == (3, n)


def test_paired_seeds_are_those_of_every_draw_made_in_turn():
    rng = np.random.default_rng(5)
    values = np.tile(rng.normal(0.8, 0.03, (2, 3, 1, 1)), 4001)
    values[..., 1:] += rng.normal(0, 0.02, (2, 3, 1, 4000))
    found = compare_seeds(values, n_patients=40)
    paired = values[0, :, 0] - values[1, :, 0]
    mean = paired[:, 1:].mean(axis=0)
    every = [paired[list(seeds), 1:].mean(axis=0) for seeds in product(range(3), repeat=3)]
    stretched = mean + np.sqrt(3 / 2) * (np.stack(every) - mean)
    assert found.se**2 == pytest.approx(stretched.var(), rel=0.06)
    of_seeds = paired[:, 0].var(ddof=1) / 3
    of_patients = found.se**2 - of_seeds
    df = found.se**4 / (of_seeds**2 / 2 + of_patients**2 / 39)
    assert found.df == pytest.approx(df)
    reach = stats.t(df).ppf(0.975) * found.se
    middle = paired[:, 0].mean()
    assert (found.lo, found.hi) == pytest.approx((middle - reach, middle + reach))


def test_what_seeds_have_in_common_is_no_spread_of_the_difference():
    # Two rules on the same maps: far apart between seeds, alike within each.
    values = make_values([0.6, 0.9, 0.8], [0.6, 0.9, 0.8], 200, patient_sd=0.0)
    values[:, :, :, 1:] += 0.05 * np.random.default_rng(0).normal(size=200)
    found = compare_seeds(values, n_patients=50)
    assert (found.difference, found.se, found.p) == (0.0, 0.0, 1.0)
    assert found.reason == "no difference in any case"


@pytest.mark.parametrize("seed_sd", [0.0, 0.1])
def test_a_true_null_hypothesis_is_rejected_about_as_often_as_the_level_says(seed_sd):
    # A mean over patients instead of an AUROC; seeds of both methods share a part.
    rng, n_rejected, n_simulated = np.random.default_rng(1), 0, 300
    for _ in range(n_simulated):
        shared = 0.5 * rng.normal(size=(1, 3, 1)) + rng.normal(size=(1, 1, 30))
        own = seed_sd * rng.normal(size=(2, 3, 1)) + 0.5 * rng.normal(size=(2, 1, 30))
        weights = np.vstack([np.ones(30), rng.multinomial(30, np.full(30, 1 / 30), 100)])
        values = (shared + own + 0.2 * rng.normal(size=(2, 3, 30))) @ weights.T / 30
        found = compare_seeds(values[:, :, None], n_patients=30)
        n_rejected += found.p <= 0.05
    assert 0.01 <= n_rejected / n_simulated <= 0.09


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
