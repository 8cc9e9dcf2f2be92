"""Simultaneous bounds against closed forms, statsmodels and simulated coverage."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from segclf.evaluate.inference.simultaneous import simultaneous_bounds, simultaneous_level


def test_the_level_of_independent_groups_is_sidaks_and_of_equal_ones_plain():
    drawn = np.random.default_rng(5).normal(size=(6, 40_000))
    assert simultaneous_level(drawn) == pytest.approx(0.95 ** (1 / 6), abs=0.001)
    assert simultaneous_level(drawn[[0, 0, 0]]) == pytest.approx(0.95, abs=1e-4)
    assert simultaneous_level(drawn, confidence=0.8) == pytest.approx(0.8 ** (1 / 6), abs=0.004)
    mirrored = simultaneous_level(-drawn, higher_is_better=False)
    assert mirrored == pytest.approx(simultaneous_level(drawn), abs=1e-12)
    assert np.isnan(simultaneous_level(np.full((3, 9), np.nan)))
    ties = np.floor(drawn)  # few distinct values do not make groups go together
    assert simultaneous_level(ties) == pytest.approx(0.95 ** (1 / 6), abs=0.001)
    holes = drawn.copy()
    holes[2] = np.nan
    assert simultaneous_level(holes) == simultaneous_level(drawn[[0, 1, 3, 4, 5]])


def test_bounds_at_the_level_hold_together():
    rng = np.random.default_rng(6)
    held, worst_alone = [], []
    mixing = 0.6 + 0.4 * np.eye(8)  # groups that share patients
    for _ in range(400):
        value = mixing @ rng.normal(size=8)
        drawn = value[:, None] + mixing @ rng.normal(size=(8, 1000))
        sd = np.sqrt((mixing**2).sum(axis=1))
        held.append((value - sd * stats.norm.ppf(simultaneous_level(drawn)) <= 0).all())
        worst_alone.append((value - sd * stats.norm.ppf(0.95)).min() <= 0)
    assert np.mean(held) == pytest.approx(0.95, abs=0.03)
    assert np.mean(worst_alone) >= 0.93


def shares(p, n, n_replicates, rng):
    """Estimates of independent groups, and replicates as a bootstrap of their cases."""
    estimate = rng.binomial(n, p) / n
    return estimate, rng.binomial(n[:, None], estimate[:, None], (len(n), n_replicates)) / n[
        :, None
    ]


def test_large_groups_have_wilsons_bounds_at_the_common_level():
    rng = np.random.default_rng(7)
    n = np.array([5000, 8000, 20_000])
    estimate, drawn = shares(np.array([0.8, 0.9, 0.7]), n, 20_000, rng)
    found = simultaneous_bounds(estimate, drawn, n)
    level = 0.95 ** (1 / 3)
    expected = [
        proportion_confint(p * k, k, 2 * (1 - level), method="wilson")[0]
        for p, k in zip(estimate, n, strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=4e-4)
    upper = simultaneous_bounds(1 - estimate, 1 - drawn, n, higher_is_better=False)
    np.testing.assert_allclose(upper, 1 - found, atol=1e-12)


def test_bounds_of_small_groups_hold_together():
    rng = np.random.default_rng(8)
    n = np.array([10, 10, 10, 20, 20, 50, 50, 100])
    held = []
    for _ in range(300):
        estimate, drawn = shares(np.full(8, 0.85), n, 400, rng)
        held.append((simultaneous_bounds(estimate, drawn, n) <= 0.85).all())
    assert 0.93 <= np.mean(held) <= 1.0


def test_groups_without_an_error_have_a_bound_below_1_and_undefined_ones_none():
    rng = np.random.default_rng(9)
    n = np.array([10, 40, 40, 0])
    drawn = np.stack([np.ones(500), *rng.binomial(40, 0.8, (2, 500)) / 40, np.full(500, np.nan)])
    found = simultaneous_bounds(np.array([1.0, 0.8, 0.8, np.nan]), drawn, n)
    assert 0.4 < found[0] < 0.9
    assert np.isnan(found[3])
    perfect = simultaneous_bounds(np.ones(2), np.ones((2, 50)), np.array([10, 20]))
    assert (perfect < 0.9).all()
    assert np.isnan(simultaneous_bounds(np.full(2, np.nan), drawn[:2], n[:2])).all()
    with pytest.raises(ValueError, match=r"got \[1\.2\]"):
        simultaneous_bounds(np.array([1.2, 0.5]), drawn[:2], n[:2])
