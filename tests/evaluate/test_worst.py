"""The worst group against closed forms, SciPy and simulations with known truth."""

import numpy as np
import pytest
from scipy import stats

from segclf.evaluate.inference.worst import worst_group

MANY = np.full((2, 10), 10**6)
"""So many patients that variances are taken as they are."""


def normal_replicates(value, sd, n=2000, seed=0, shared=0.0):
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(len(value), n)) * np.asarray(sd)[:, None]
    return np.asarray(value)[:, None] + noise + shared * rng.normal(size=n)


def simulate(truth, sd, n_draws=250, seed=1, shared=0.0):
    """(draw, 4): raw and corrected error of worst and gap, for estimates with normal noise."""
    rng = np.random.default_rng(seed)
    truth, sd = np.asarray(truth, float), np.asarray(sd, float)
    noise = normal_replicates(0 * truth, sd, n=500, shared=shared)
    n_patients = np.full((2, len(truth)), 10**6)
    errors = []
    for _ in range(n_draws):
        value = truth + sd * rng.normal(size=len(truth)) + shared * rng.normal()
        found = worst_group(value, value[:, None] + noise, n_patients)
        low, gap = truth.min(), np.ptp(truth)
        row = (found.worst - low, found.worst_corrected - low, found.gap - gap)
        errors.append((*row, found.gap_corrected - gap))
    return np.array(errors)


def test_ten_equal_groups_read_much_too_low_and_the_correction_takes_most_of_it_back():
    raw, corrected, gap, gap_corrected = simulate(np.full(10, 0.85), np.full(10, 0.069)).mean(
        axis=0
    )
    # The smallest of ten standard normal numbers is -1.539 on average: 0.106 at this spread.
    assert raw == pytest.approx(-1.539 * 0.069, abs=0.007)
    assert -0.042 < corrected < -0.015
    assert gap == pytest.approx(3.078 * 0.069, abs=0.01)
    assert 0 < gap_corrected < 0.45 * gap


@pytest.mark.parametrize(("bad", "least", "most"), [(2, 0.5, 1.1), (6, -0.05, 0.15)])
def test_one_bad_group_is_left_alone_once_it_stands_out(bad, least, most):
    raw, corrected, *_ = simulate(np.r_[-bad, np.zeros(9)], np.ones(10)).mean(axis=0)
    assert least < corrected - raw < most


def test_groups_spread_evenly_are_read_without_bias():
    raw, corrected, _, gap_corrected = simulate(np.linspace(0, 3, 10), np.ones(10)).mean(axis=0)
    assert raw < -0.5
    assert abs(corrected) < 0.15
    assert abs(gap_corrected) < 0.3


def test_the_corrected_variance_between_groups_is_unbiased():
    # Lum et al.: the variance of estimates exceeds the true one by the mean sampling variance.
    rng = np.random.default_rng(3)
    sd = np.linspace(0.5, 1.5, 8)
    noise = normal_replicates(np.zeros(8), sd, n=500)
    raw, corrected = [], []
    for _ in range(300):
        value = rng.normal(0, 2.0, 8) + sd * rng.normal(size=8)
        found = worst_group(value, value[:, None] + noise, MANY[:, :8])
        raw.append(found.sd**2)
        corrected.append(found.sd_corrected**2)
    assert np.mean(raw) == pytest.approx(4 + (sd**2).mean(), rel=0.08)
    assert np.mean(corrected) == pytest.approx(4, rel=0.08)


def test_what_all_groups_share_is_no_difference_between_them():
    value = np.array([0.80, 0.84, 0.81, 0.90])
    alone = worst_group(value, normal_replicates(value, [0.02] * 4, 20_000), MANY[:, :4])
    shared = worst_group(
        value, normal_replicates(value, [0.02] * 4, 20_000, shared=0.1), MANY[:, :4]
    )
    assert shared.worst_corrected == pytest.approx(alone.worst_corrected, abs=0.004)
    assert shared.sd_corrected == pytest.approx(alone.sd_corrected, abs=0.004)


def test_large_differences_are_left_alone_and_the_worst_is_sure():
    value = np.array([0.9, 0.6, 0.8])
    found = worst_group(value, normal_replicates(value, [0.01] * 3), MANY[:, :3])
    assert (found.group, found.worst, found.undefined) == (1, 0.6, ())
    assert found.worst_corrected == pytest.approx(0.6, abs=0.002)
    assert found.gap == pytest.approx(0.3)
    np.testing.assert_allclose(found.probability, [0, 1, 0])
    assert found.sd == pytest.approx(np.std(value, ddof=1))


def test_equal_estimates_leave_open_which_group_is_the_worst():
    value = np.full(5, 0.8)
    found = worst_group(value, normal_replicates(value, [0.1, 0.2, 0.1, 0.1, 0.1]), MANY[:, :5])
    np.testing.assert_allclose(found.probability, 0.2)
    assert found.worst_corrected == pytest.approx(0.8, abs=1e-12)
    assert found.gap_corrected == pytest.approx(0.0, abs=1e-12)
    assert found.sd_corrected == 0.0


def test_the_probability_of_two_groups_is_that_of_the_normal_distribution():
    # With much more spread between groups than within, nothing is shrunk.
    value = np.array([0.0, 1.5, 40.0, -60.0 + 100, 80.0])
    found = worst_group(value, normal_replicates(value, np.ones(5), 40_000), MANY[:, :5])
    expected = stats.norm.cdf(1.5 / np.sqrt(2))
    assert found.probability[0] == pytest.approx(expected, abs=0.01)
    assert found.probability.sum() == pytest.approx(1)


def test_lower_is_better_mirrors_everything():
    value = np.array([0.10, 0.14, 0.11, 0.20])
    drawn = normal_replicates(value, [0.02] * 4)
    found = worst_group(value, drawn, MANY[:, :4], higher_is_better=False)
    mirrored = worst_group(1 - value, 1 - drawn, MANY[:, :4])
    assert found.group == mirrored.group == 3
    assert found.worst == pytest.approx(1 - mirrored.worst)
    assert found.worst_corrected == pytest.approx(1 - mirrored.worst_corrected)
    assert found.gap_corrected == pytest.approx(mirrored.gap_corrected)
    np.testing.assert_allclose(found.probability, mirrored.probability)


def test_replicates_that_lack_a_group_poison_nothing():
    value = np.array([0.8, 0.7, 0.75])
    drawn = normal_replicates(value, [0.03] * 3)
    holes = drawn.copy()
    holes[1, :500] = np.nan
    found = worst_group(value, holes, MANY[:, :3])
    expected = worst_group(value, drawn[:, 500:], MANY[:, :3])
    assert found.worst_corrected == expected.worst_corrected
    assert found.n_usable == 1500
    assert found.reason == "500 of 2000 replicates lack a group"


def test_a_perfect_group_has_a_spread_all_the_same():
    # Complete separation: every replicate is 1.0. Its own variance, 0, would say it is certain.
    value = np.array([0.8, 1.0, 0.85])
    drawn = normal_replicates(value, [0.05, 0.0, 0.05])
    found = worst_group(value, drawn, np.full((2, 3), 10))
    assert found.gap_corrected < found.gap - 0.005
    assert np.isfinite(found.probability).all()
    again = worst_group(value, drawn, np.full((2, 3), 10))
    assert again.worst_corrected == found.worst_corrected


def test_too_few_groups_or_replicates_correct_nothing():
    one = worst_group(np.array([0.8, np.nan]), np.full((2, 9), 0.8), np.full((1, 2), 5))
    assert (one.group, one.worst, one.undefined) == (0, 0.8, (1,))
    assert np.isnan([one.worst_corrected, one.gap, one.gap_corrected, one.sd]).all()
    assert one.probability[0] == 1.0
    assert one.reason == "a gap needs two groups: 1 has an estimate"
    none = worst_group(np.full(2, np.nan), np.full((2, 9), np.nan), np.full((1, 2), 5))
    assert (none.group, none.undefined) == (-1, (0, 1))
    assert np.isnan(none.worst)
    bare = worst_group(np.array([0.8, 0.9]), np.full((2, 3), np.nan), np.full((1, 2), 5))
    assert (bare.worst, bare.n_usable) == (0.8, 0)
    assert np.isnan(bare.worst_corrected)
    assert bare.reason == "not corrected: 0 replicates have every group"
    still = worst_group(np.array([1.0, 0.9]), np.tile([[1.0], [0.9]], 50), np.full((1, 2), 5))
    assert (still.worst, still.gap) == (0.9, pytest.approx(0.1))
    assert still.reason == "not corrected: all replicates are alike"
