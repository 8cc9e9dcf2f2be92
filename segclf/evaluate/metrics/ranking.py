"""Metrics of scores: how well they rank positives above negatives."""

from typing import Literal

import numpy as np

from segclf.evaluate.metrics.record import check_arrays

PARTIAL_SPECIFICITY = 0.9
"""`partial_auroc` of the METRICS table covers specificities from here to 1."""


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


def partial_auroc(
    label: np.ndarray,
    score: np.ndarray,
    weight: np.ndarray,
    *,
    low: float,
    high: float = 1.0,
    of: Literal["specificity", "sensitivity"] = "specificity",
    standardize: bool = False,
) -> float:
    """Area under the ROC curve where specificity (or sensitivity) lies between two values.

    The area is as in pROC: sensitivity over a range of specificity, or specificity over a range
    of sensitivity, with straight lines between the points; at most `high` - `low`. Undefined
    (NaN) without positives or without negatives.

    Args:
        label: 1 or 0 per case.
        score: Higher means more likely positive; any scale.
        weight: How often each case counts, at least 0.
        low: Smallest value of the range, in [0, 1).
        high: Largest value of the range.
        of: What the range is of.
        standardize: Turn the area into 0.5 for a random score and 1.0 for a perfect one.

    Raises:
        ValueError: The range is empty or leaves [0, 1], or the arrays are as in `auroc`.

    Source:
        McClish, Med Decis Making 9 (1989) 190. Witness: `roc_auc_score(max_fpr=)`.
    """
    if not 0 <= low < high <= 1:
        raise ValueError(f"a range within 0 and 1 is needed: got {low} to {high}.")
    positive, negative = _by_score(label, score, weight)
    if not positive.sum() * negative.sum() > 0:
        return float("nan")
    sensitivity = np.append(0.0, np.cumsum(positive[::-1])) / positive.sum()
    false_positive = np.append(0.0, np.cumsum(negative[::-1])) / negative.sum()
    if of == "specificity":
        x, y, start, end = false_positive, sensitivity, 1 - high, 1 - low
    else:
        x, y, start, end = sensitivity, 1 - false_positive, low, high
    left, right = np.clip(x[:-1], start, end), np.clip(x[1:], start, end)
    steps = np.diff(x)
    slope = np.diff(y) / np.where(steps > 0, steps, 1.0)
    area = float(((right - left) * (y[:-1] + slope * ((left + right) / 2 - x[:-1]))).sum())
    if not standardize:
        return area
    return float(standardized(np.asarray(area), low, high))


def standardized(area: np.ndarray, low: float, high: float) -> np.ndarray:
    """A partial area as 0.5 for a random score and 1.0 for a perfect one; below 0.5 is worse.

    Args:
        area: Over specificities (or sensitivities) from `low` to `high`.
        low: In [0, 1).
        high: Above `low`, at most 1.

    Source:
        McClish, Med Decis Making 9 (1989) 190.
    """
    by_chance = ((1 - low) ** 2 - (1 - high) ** 2) / 2
    return (1 + (area - by_chance) / (high - low - by_chance)) / 2


def _by_score(
    label: np.ndarray, score: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    check_arrays(label, score, weight)
    values, block = np.unique(score, return_inverse=True)
    n_values = len(values)
    positive = np.bincount(block, weight * (label == 1), n_values)
    return positive, np.bincount(block, weight * (label == 0), n_values)
