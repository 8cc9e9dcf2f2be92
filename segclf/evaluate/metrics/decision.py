"""Metrics of decisions: counts of right and wrong calls, as shares.

Each takes `label` and `decision` (1 or 0 per case) and `weight`, of shape (case,) or
(case, replicate), and returns one value per replicate: NaN where its denominator is 0.
"""

import numpy as np

from segclf.evaluate.metrics.record import check_arrays


def sensitivity(label: np.ndarray, decision: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Share of positives that are called positive (recall); undefined without positives."""
    check_arrays(label, decision, weight)
    return _share(weight, of=label == 1, that=decision == 1)


def specificity(label: np.ndarray, decision: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Share of negatives that are called negative; undefined without negatives."""
    check_arrays(label, decision, weight)
    return _share(weight, of=label == 0, that=decision == 0)


def ppv(label: np.ndarray, decision: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Share of positive calls that are right (precision); undefined without positive calls."""
    check_arrays(label, decision, weight)
    return _share(weight, of=decision == 1, that=label == 1)


def npv(label: np.ndarray, decision: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Share of negative calls that are right; undefined without negative calls."""
    check_arrays(label, decision, weight)
    return _share(weight, of=decision == 0, that=label == 0)


def balanced_accuracy(label: np.ndarray, decision: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean of sensitivity and specificity; undefined without positives or negatives."""
    found = sensitivity(label, decision, weight)
    return (found + specificity(label, decision, weight)) / 2


def _share(weight: np.ndarray, *, of: np.ndarray, that: np.ndarray) -> np.ndarray:
    whole = np.asarray(weight[of].sum(axis=0), dtype=np.float64)
    part = weight[of & that].sum(axis=0)
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan)
