"""Equivalence against statsmodels; the rule of the verdicts as a table."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import tost_proportions_2indep
from statsmodels.stats.weightstats import DescrStatsW

from segclf.evaluate.inference.compare import compare_paired, compare_t
from segclf.evaluate.inference.equivalence import equivalence_p, verdict_of_p


def test_one_mean_has_the_p_of_statsmodels():
    x = np.random.default_rng(1).normal(0.02, 0.1, 30)
    described = DescrStatsW(x)
    expected = described.ttost_mean(-0.05, 0.05)[0]
    found = equivalence_p(x.mean(), described.std_mean, 0.05, df=29)
    assert found == pytest.approx(expected, rel=1e-12)
    z = equivalence_p(x.mean(), described.std_mean, 0.05)
    assert z == pytest.approx(described.ztost_mean(-0.05, 0.05)[0], rel=1e-12)


def test_two_shares_have_the_p_of_statsmodels():
    a, n_a, b, n_b = 410, 500, 325, 400
    se = np.sqrt(a / n_a * (1 - a / n_a) / n_a + b / n_b * (1 - b / n_b) / n_b)
    expected = tost_proportions_2indep(
        a, n_a, b, n_b, -0.06, 0.06, compare="diff", method="wald"
    ).pvalue
    assert equivalence_p(a / n_a - b / n_b, se, 0.06) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.floats(-0.2, 0.2), st.floats(1e-3, 0.1), st.floats(0.01, 0.1))
def test_p_and_the_inner_interval_agree(difference, se, margin):
    inner = compare_t(difference, se**2, np.inf, confidence=0.90)
    is_inside = -margin < inner.lo and inner.hi < margin
    p = equivalence_p(difference, se, margin)
    if abs(p - 0.05) > 1e-9:
        assert (p <= 0.05) == is_inside
    outer = compare_paired(difference, se**2)
    side = "better" if outer.lo > 0 else "worse" if outer.hi < 0 else "inconclusive"
    if abs(p - 0.05) > 1e-9 and abs(outer.p - 0.05) > 1e-9:
        assert verdict_of_p(difference, outer.p, p) == ("equivalent" if is_inside else side)


def test_adjusted_p_values_can_take_a_verdict_back():
    assert verdict_of_p(0.02, 0.03) == "better"
    assert verdict_of_p(-0.02, 0.03) == "worse"
    assert verdict_of_p(0.02, 0.06) == "inconclusive"
    assert verdict_of_p(0.02, 0.03, 0.04) == "equivalent"
    assert verdict_of_p(0.02, np.nan, 0.04) == ""


def test_degenerate_spreads_and_missing_numbers():
    assert equivalence_p(0.01, 0.0, 0.03) == 0.0
    assert equivalence_p(0.03, 0.0, 0.03) == 1.0
    assert np.isnan(equivalence_p(np.nan, 0.1, 0.03))
    with pytest.raises(ValueError, match=r"got 0 and 0\.1"):
        equivalence_p(0.0, 0.1, 0)
