"""Metrics under many weights, against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from segclf.study import weighted
from segclf.study.weighted import (
    weighted_aurocs,
    weighted_average_precisions,
    weighted_shares,
)

PAIRS = [
    (weighted_aurocs, roc_auc_score),
    (weighted_average_precisions, average_precision_score),
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
