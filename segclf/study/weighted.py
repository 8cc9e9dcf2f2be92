"""Metrics of one list of scores under many weights at once, as resampling needs them."""

from functools import partial

import numpy as np

_MOST_AT_ONCE = 4_000_000
"""Weights of a pass, so that many cases do not fill the memory."""
_ROUNDING = 1e-9
"""Of a case: 0.1 times 30 negatives are 3, though floats say less."""


def weighted_aurocs(score: np.ndarray, label: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(resample,) weighted AUROC, ties half; NaN without a class or without scores.

    Args:
        score: (case,), higher means more likely positive.
        label: (case,) bool.
        weight: (resample, case), how often each case counts.
    """
    if np.isnan(score).any():
        return np.full(len(weight), np.nan)
    return _in_passes(_aurocs, score, label, weight)


def weighted_average_precisions(
    score: np.ndarray, label: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """(resample,) weighted average precision; NaN without a class or without scores.

    Args:
        score: (case,), higher means more likely positive.
        label: (case,) bool.
        weight: (resample, case), how often each case counts.

    Source:
        Sum over scores of (R_n - R_(n-1)) P_n. Witness: `sklearn.metrics.average_precision_score`.
    """
    if np.isnan(score).any():
        return np.full(len(weight), np.nan)
    return _in_passes(_average_precisions, score, label, weight)


def weighted_recalls_at(
    score: np.ndarray, label: np.ndarray, weight: np.ndarray, *, specificity: float
) -> np.ndarray:
    """(resample,) weighted recall at a specificity that is matched on these negatives.

    The largest recall of a threshold whose specificity is at least the one asked for; where equal
    scores leave no threshold at it, between the two next to it on the straight line of the ROC
    curve. NaN without a class or without scores.

    Args:
        score: (case,), higher means more likely positive.
        label: (case,) bool.
        weight: (resample, case), how often each case counts.
        specificity: 0 to 1, the same for whatever is compared.

    Source:
        Fawcett, Pattern Recognit Lett 27 (2006) 861. Witness: `sklearn.metrics.roc_curve`.
    """
    if np.isnan(score).any():
        return np.full(len(weight), np.nan)
    return _in_passes(partial(_recalls_at, specificity=specificity), score, label, weight)


def weighted_shares(is_hit: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(resample,) weighted share of hits; NaN without weight.

    Args:
        is_hit: (case,) 1, 0, or NaN where it is not known, which makes all NaN.
        weight: (resample, case), how often each case counts.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return (weight @ is_hit) / weight.sum(axis=1)


def _in_passes(metric, score, label, weight) -> np.ndarray:  # noqa: ANN001 (of the callers)
    if not len(score):
        return np.full(len(weight), np.nan)
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0])
    n_rows = max(_MOST_AT_ONCE // len(score), 1)
    parts = []
    for first in range(0, len(weight), n_rows):
        ranked = weight[first : first + n_rows, order]
        positive, negative = ranked * label[order], ranked * ~label[order]
        if len(starts) < len(score):
            positive = np.add.reduceat(positive, starts, axis=1)
            negative = np.add.reduceat(negative, starts, axis=1)
        parts.append(metric(positive, negative))
    return np.concatenate(parts)


def _aurocs(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Of (resample, distinct score) weights of the classes, lowest score first."""
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (positive * below).sum(axis=1) / pairs


def _average_precisions(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Of (resample, distinct score) weights of the classes, lowest score first."""
    found = np.cumsum(positive[:, ::-1], axis=1)
    called = found + np.cumsum(negative[:, ::-1], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(called > 0, found / called, 0.0)
        value = (positive[:, ::-1] * precision).sum(axis=1) / found[:, -1]
    return np.where(negative.sum(axis=1) > 0, value, np.nan)


def _recalls_at(positive: np.ndarray, negative: np.ndarray, *, specificity: float) -> np.ndarray:
    """Of (resample, distinct score) weights of the classes, lowest score first."""
    start = np.zeros((len(positive), 1))
    found = np.hstack([start, np.cumsum(positive[:, ::-1], axis=1)])
    wrong = np.hstack([start, np.cumsum(negative[:, ::-1], axis=1)])
    allowed = (1 - specificity) * wrong[:, -1:]
    row = np.arange(len(found))
    last = (wrong <= allowed + _ROUNDING).sum(axis=1) - 1
    after = np.minimum(last + 1, found.shape[1] - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (allowed[:, 0] - wrong[row, last]) / (wrong[row, after] - wrong[row, last])
        share = np.where(after > last, np.maximum(share, 0), 0)
        value = found[row, last] + share * (found[row, after] - found[row, last])
        return np.where(wrong[:, -1] > 0, value / found[:, -1], np.nan)
