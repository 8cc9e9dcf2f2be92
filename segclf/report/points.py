"""Points of curves on bare arrays: ROC, precision and recall, calibration, net benefit."""

from typing import NamedTuple

import numpy as np

STEPS = 2000
"""Points closer than one part of these in both directions are drawn as one."""


class Bins(NamedTuple):
    """Cases by equal bins of probability; empty bins are left out."""

    mean: np.ndarray
    """(bin,) mean probability."""
    share: np.ndarray
    """(bin,) share of positives."""
    n: np.ndarray
    """(bin,) cases."""
    left: np.ndarray
    """(bin,) lower end."""


def roc_points(label: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False-positive and true-positive rate at every threshold, from (0, 0) to (1, 1).

    Cases of equal score are called together. Undefined (two empty arrays) unless there are cases
    of both classes.

    Args:
        label: (case,) 1 or 0.
        score: (case,) finite; higher is more likely positive.
    """
    tp, called, n_positive = _called(label, score)
    if not n_positive or n_positive == len(label):
        return np.empty(0), np.empty(0)
    fp = np.append(0, called - tp)
    return fp / (len(label) - n_positive), np.append(0, tp) / n_positive


def precision_recall_points(label: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sensitivity and precision at every threshold, the highest threshold first.

    Undefined (two empty arrays) without positives.

    Args:
        label: (case,) 1 or 0.
        score: (case,) finite; higher is more likely positive.
    """
    tp, called, n_positive = _called(label, score)
    if not n_positive:
        return np.empty(0), np.empty(0)
    return tp / n_positive, tp / called


def precision_at(recall: np.ndarray, curve: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The precision of the highest threshold that reaches each sensitivity.

    Precision between two thresholds is that of the lower one, as in average precision: a straight
    line between them would promise what no threshold gives.

    Args:
        recall: Sensitivities in [0, 1].
        curve: From `precision_recall_points`.
    """
    place = np.searchsorted(curve[0], recall - 1e-12)
    return curve[1][np.minimum(place, len(curve[1]) - 1)]


def calibration_bins(label: np.ndarray, probability: np.ndarray, n_bins: int = 10) -> Bins:
    """Share of positives against mean probability in equal bins; the last one holds 1.

    Args:
        label: (case,) 1 or 0.
        probability: (case,) in [0, 1].
        n_bins: Number of bins.
    """
    place = np.minimum((probability * n_bins).astype(np.int64), n_bins - 1)
    n = np.bincount(place, minlength=n_bins)
    used = n > 0
    mean = np.bincount(place, probability, minlength=n_bins)[used] / n[used]
    share = np.bincount(place, label, minlength=n_bins)[used] / n[used]
    return Bins(mean, share, n[used], np.arange(n_bins)[used] / n_bins)


def net_benefit_points(
    label: np.ndarray, probability: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """(threshold,) true positives minus false positives, these times t / (1 - t), per case.

    A case is treated if its probability is at least t. Undefined (NaN) without cases.

    Args:
        label: (case,) 1 or 0.
        probability: (case,) in [0, 1].
        thresholds: (threshold,) in (0, 1).

    Source:
        Vickers and Elkin, Med Decis Making 26 (2006) 565.
    """
    if not len(label):
        return np.full(len(thresholds), np.nan)
    positive = np.sort(probability[label == 1])
    negative = np.sort(probability[label != 1])
    tp = len(positive) - np.searchsorted(positive, thresholds)
    fp = len(negative) - np.searchsorted(negative, thresholds)
    return (tp - fp * thresholds / (1 - thresholds)) / len(label)


def treat_all_points(prevalence: float, thresholds: np.ndarray) -> np.ndarray:
    """(threshold,) net benefit of calling every case positive."""
    return prevalence - (1 - prevalence) * thresholds / (1 - thresholds)


def thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points that a figure can show: neighbours that would coincide are left out.

    Args:
        x: (point,) in [0, 1]; the first and the last one stay.
        y: (point,) in [0, 1].
    """
    if len(x) < 3:
        return x, y
    cell = np.round(np.stack([x, y]) * STEPS)
    is_new = np.append(True, (np.diff(cell, axis=1) != 0).any(axis=0))
    is_new[-1] = True
    return x[is_new], y[is_new]


def _called(label: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """True positives and called cases per distinct score, from the highest, and all positives."""
    order = np.argsort(-score, kind="stable")
    positive, score = label[order] == 1, score[order]
    last = np.flatnonzero(np.append(score[1:] != score[:-1], np.ones(min(len(score), 1), bool)))
    return np.cumsum(positive)[last], last + 1, int(positive.sum())
