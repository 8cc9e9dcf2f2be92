"""Metrics under many weights, against scikit-learn."""

from functools import partial

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from segclf.study import weighted
from segclf.study.weighted import (
    weighted_aurocs,
    weighted_average_precisions,
    weighted_recalls_at,
    weighted_shares,
)


def recall_at(label, score, sample_weight):
    """On the straight lines of the ROC curve; its highest point where it rises there."""
    fpr, tpr, _ = roc_curve(label, score, sample_weight=sample_weight, drop_intermediate=False)
    inside = fpr <= 0.25 + 1e-9
    return max(tpr[inside].max(), np.interp(0.25, fpr, tpr))


PAIRS = [
    (weighted_aurocs, roc_auc_score),
    (weighted_average_precisions, average_precision_score),
    (partial(weighted_recalls_at, specificity=0.75), recall_at),
]


@pytest.mark.parametrize(("ours", "witness"), PAIRS)
@pytest.mark.parametrize("n_values", [12, 10**6])
def test_weighted_metrics_are_those_of_scikit_learn_with_ties_and_weights(ours, witness, n_values):
    rng = np.random.default_rng(0)
    label, score = rng.random(80) < 0.4, rng.integers(0, n_values, 80).astype(float)
    weight = rng.integers(0, 4, (6, 80)).astype(float)
    found = ours(score, label, weight)
    assert found == pytest.approx([witness(label, score, sample_weight=w) for w in weight])


@pytest.mark.parametrize("ours", [ours for ours, _ in PAIRS])
def test_without_a_class_or_a_score_a_metric_is_undefined(ours):
    label, score = np.array([True, True, False]), np.array([3.0, 1.0, 2.0])
    weight = np.array([[1.0, 1, 1], [0, 0, 2], [1, 1, 0]])
    assert np.isnan(ours(score, label, weight)).tolist() == [False, True, True]
    assert np.isnan(ours(np.array([3.0, np.nan, 2.0]), label, weight)).all()
    assert np.isnan(ours(score[:0], label[:0], weight[:, :0])).all()


def test_a_share_counts_cases_as_often_as_they_weigh():
    found = weighted_shares(np.array([1.0, 0, 1]), np.array([[1.0, 1, 1], [1, 3, 0], [0, 0, 0]]))
    assert found[:2] == pytest.approx([2 / 3, 1 / 4])
    assert np.isnan(found[2])


@pytest.mark.parametrize("ours", [ours for ours, _ in PAIRS])
def test_many_cases_are_weighed_in_passes(ours, monkeypatch):
    rng = np.random.default_rng(1)
    label, score = rng.random(40) < 0.5, rng.integers(0, 9, 40).astype(float)
    weight = rng.integers(0, 3, (7, 40)).astype(float)
    at_once = ours(score, label, weight)
    monkeypatch.setattr(weighted, "_MOST_AT_ONCE", 80)  # two rows a pass
    assert ours(score, label, weight) == pytest.approx(at_once, nan_ok=True)


def test_recall_is_read_where_the_specificity_is_the_same_for_whatever_is_compared():
    label = np.repeat([True, False], (4, 10))
    negative = np.arange(10.0)
    once = np.ones((1, 14))

    def at(positive, specificity):
        score = np.r_[positive, negative]
        return weighted_recalls_at(score, label, once, specificity=specificity)[0]

    assert at([9.5, 8.5, 8.5, 2.0], 0.9) == 3 / 4  # above 8, one negative of ten is
    assert at([9.5, 8.5, 8.5, 2.0], 1.0) == 1 / 4
    assert at([9.5, 8.5, 8.5, 2.0], 0.0) == 1
    assert at([9.0, 9.0, 0.0, 0.0], 0.95) == pytest.approx(1 / 4)  # halfway to 9, where both are
    negative = np.full(10, 5.0)
    assert at(np.full(4, 5.0), 0.9) == pytest.approx(0.1)  # as if called positive at random
