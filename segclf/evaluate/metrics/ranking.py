"""Metrics of scores: how well they rank positives above negatives."""

import numpy as np

from segclf.evaluate.metrics.record import check_arrays


def auroc(label: np.ndarray, score: np.ndarray, weight: np.ndarray) -> float:
    """Chance that a positive outranks a negative, ties counted half; in [0, 1].

    Undefined (NaN) without positives or without negatives.

    Args:
        label: 1 or 0 per case.
        score: Higher means more likely positive; any scale.
        weight: How often each case counts, at least 0.

    Raises:
        ValueError: A label is not 0 or 1, a score is NaN, or the lengths differ.

    Source:
        Hanley and McNeil, Radiology 143 (1982) 29. Witness: `sklearn.metrics.roc_auc_score`.
    """
    positive, negative = _by_score(label, score, weight)
    pairs = positive.sum() * negative.sum()
    if not pairs > 0:
        return float("nan")
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / pairs)


def average_precision(label: np.ndarray, score: np.ndarray, weight: np.ndarray) -> float:
    """Precision at every distinct score, weighted by the recall gained there; in [0, 1].

    Undefined (NaN) without positives or without negatives. Its value for a random score is the
    prevalence, so groups of different prevalence cannot be compared by it.

    Args:
        label: 1 or 0 per case.
        score: Higher means more likely positive; any scale.
        weight: How often each case counts, at least 0.

    Raises:
        ValueError: A label is not 0 or 1, a score is NaN, or the lengths differ.

    Source:
        Sum over scores of (R_n - R_(n-1)) P_n. Witness: `sklearn.metrics.average_precision_score`.
    """
    positive, negative = _by_score(label, score, weight)
    if not positive.sum() * negative.sum() > 0:
        return float("nan")
    found = np.cumsum(positive[::-1])
    called = np.cumsum((positive + negative)[::-1])
    precision = found / np.where(called > 0, called, 1.0)
    return float((positive[::-1] * precision).sum() / found[-1])


def _by_score(
    label: np.ndarray, score: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    check_arrays(label, score, weight)
    values, block = np.unique(score, return_inverse=True)
    n_values = len(values)
    positive = np.bincount(block, weight * (label == 1), n_values)
    return positive, np.bincount(block, weight * (label == 0), n_values)
