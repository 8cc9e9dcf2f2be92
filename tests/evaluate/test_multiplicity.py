"""Adjusted p values against statsmodels, SciPy and the published table."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control
from statsmodels.stats.multitest import multipletests

from segclf.evaluate.inference.multiplicity import benjamini_hochberg, holm

# Benjamini and Hochberg (1995), as printed in the documentation of SciPy.
PUBLISHED = (
    *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
    *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0),
)
ADJUSTED = (
    *(0.0015, 0.003, 0.0095, 0.035625, 0.0603, 0.06385714, 0.06385714, 0.0645),
    *(0.0765, 0.486, 0.58118182, 0.714875, 0.75323077, 0.81321429, 1.0),
)
P_VALUES = st.lists(st.sampled_from([0.0, 1e-9, 0.01, 0.02, 0.02, 0.3, 0.9, 1.0]), min_size=1)


def test_the_published_fifteen_values():
    np.testing.assert_allclose(benjamini_hochberg(np.array(PUBLISHED)), ADJUSTED, atol=5e-9)
    assert (benjamini_hochberg(np.array(PUBLISHED)) <= 0.05).sum() == 4
    assert (holm(np.array(PUBLISHED)) <= 0.05).sum() == 3


@settings(max_examples=8, deadline=None)  # statsmodels collects garbage at every call
@given(P_VALUES)
def test_both_equal_statsmodels_and_scipy_in_the_order_given(values):
    p = np.array(values)
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], rtol=1e-14)
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p), rtol=1e-14)


@settings(max_examples=100, deadline=None)
@given(P_VALUES)
def test_holm_is_at_least_bh_which_is_at_least_raw(values):
    p = np.array(values)
    assert (holm(p) >= benjamini_hochberg(p) * (1 - 1e-15)).all()
    assert (benjamini_hochberg(p) >= p * (1 - 1e-15)).all()


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_a_missing_p_stays_missing_and_is_not_counted(adjust):
    p = np.array([0.04, np.nan, 0.01, np.nan])
    found = adjust(p)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(p))
    np.testing.assert_allclose(found[[0, 2]], adjust(p[[0, 2]]))
    assert np.isnan(adjust(np.array([np.nan]))).all()
    assert adjust(np.array([])).shape == (0,)


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_numbers_that_are_no_p_values_are_refused_with_them(adjust):
    with pytest.raises(ValueError, match=r"\[1\.2, -0\.1\]"):
        adjust(np.array([0.5, 1.2, -0.1]))
    with pytest.raises(ValueError, match="2 axes"):
        adjust(np.ones((2, 2)))
