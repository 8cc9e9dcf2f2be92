"""Decomposition against scikit-learn and the published definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from segclf.evaluate.inference.decompose import decompose, relative_improvement

CASES = st.lists(
    st.tuples(st.booleans(), st.integers(-3, 3), st.integers(-1, 3)), min_size=1, max_size=40
)


def unpack(cases):
    positive, score, group = (np.array(values) for values in zip(*cases, strict=True))
    return positive.astype(bool), score.astype(float), group


def auroc(positive, score):
    both = 0 < positive.sum() < len(positive)
    return roc_auc_score(positive, score) if both else np.nan


@settings(max_examples=60, deadline=None)
@given(CASES)
def test_every_pair_of_groups_is_scikit_learns_and_the_pooled_one_their_mixture(cases):
    positive, score, group = unpack(cases)
    found = decompose(score, positive, group, 4)
    for i in range(4):
        for j in range(4):
            rows = (positive & (group == i)) | (~positive & (group == j))
            expected = auroc(positive[rows], score[rows])
            np.testing.assert_allclose(found.auroc[i, j], expected, rtol=1e-13)
    known = group >= 0
    pooled = auroc(positive[known], score[known])
    np.testing.assert_allclose(found.pooled, pooled, rtol=1e-13)
    assert found.n_pairs.sum() == positive[known].sum() * (~positive[known]).sum()
    if not np.isnan(found.inside) and not np.isnan(found.across):
        n_inside = np.trace(found.n_pairs)
        n_across = found.n_pairs.sum() - n_inside
        mixture = (n_inside * found.inside + n_across * found.across) / (n_inside + n_across)
        assert mixture == pytest.approx(found.pooled, abs=1e-14)


def test_good_groups_can_be_poor_together():
    # Perfect inside both; the negatives of B score above the positives of A.
    score = np.array([2.0, 1.0, 4.0, 3.0])
    positive = np.array([True, False, True, False])
    found = decompose(score, positive, np.array([0, 0, 1, 1]), 2)
    np.testing.assert_array_equal(found.within, [1.0, 1.0])
    np.testing.assert_array_equal(found.auroc, [[1.0, 0.0], [1.0, 1.0]])
    assert (found.pooled, found.inside, found.across) == (0.75, 1.0, 0.5)


def test_groups_without_a_class_have_no_value_and_no_pairs():
    positive = np.array([True, False, True])
    found = decompose(np.array([1.0, 0.0, 2.0]), positive, np.array([0, 0, 1]), 3)
    assert np.isnan(found.within[1:]).all()
    np.testing.assert_array_equal(found.n_positive, [1, 1, 0])
    np.testing.assert_array_equal(found.n_negative, [1, 0, 0])
    empty = decompose(np.zeros(0), np.zeros(0, bool), np.zeros(0, int), 2)
    assert np.isnan([empty.pooled, empty.inside, empty.across]).all()


def test_the_published_relative_improvement():
    assert relative_improvement(0.84, 0.58) == pytest.approx(0.448, abs=5e-4)
    found = relative_improvement(np.array([0.8, 0.5, np.nan]), np.array([0.4, 0.0, 0.5]))
    np.testing.assert_array_equal(found, [1.0, np.nan, np.nan])


def test_many_pairs_do_not_overflow():
    # 150,000 x 150,000 pairs: pROC issue 19 overflowed 32-bit integers there.
    positive = np.repeat([True, False], 150_000)
    found = decompose(np.zeros(300_000), positive, np.zeros(300_000, int), 1)
    assert found.pooled == 0.5
    assert found.n_pairs[0, 0] == 150_000**2


def test_scores_and_codes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="1 NaN and the code 5"):
        decompose(np.array([np.nan]), np.array([True]), np.array([5]), 3)
