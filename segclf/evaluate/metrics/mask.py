"""Metrics of masks: agreement where there is a target, false alarms where there is none.

Each takes `has_target` (1 or 0 per case), one value per case, and `weight`, of shape (case,) or
(case, replicate). The two are never averaged together: an empty case has no overlap.
"""

import numpy as np

from segclf.evaluate.metrics.record import check_arrays


def dice(has_target: np.ndarray, overlap: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean Dice coefficient of the cases with a target; undefined without any.

    Args:
        has_target: 1 where the true mask has a pixel.
        overlap: Dice per case, 2 |A and B| / (|A| + |B|); any number where there is no target.
        weight: How often each case counts.

    Source:
        Dice, Ecology 26 (1945) 297.
    """
    check_arrays(has_target, overlap, weight)
    return _mean(overlap, weight, of=has_target == 1)


def image_false_positive_rate(
    has_target: np.ndarray, has_prediction: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Share of cases without a target in which any pixel is predicted; undefined without any.

    Args:
        has_target: 1 where the true mask has a pixel.
        has_prediction: 1 where the predicted mask has a pixel.
        weight: How often each case counts.
    """
    check_arrays(has_target, has_prediction, weight)
    return _mean(has_prediction, weight, of=has_target == 0)


def mean_on_positives(has_target: np.ndarray, value: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean of a value over the cases with a target; undefined without any.

    Args:
        has_target: 1 where the true mask has a pixel.
        value: Per case; any number where there is no target.
        weight: How often each case counts.
    """
    check_arrays(has_target, value, weight)
    return _mean(value, weight, of=has_target == 1)


def mean_on_negatives(has_target: np.ndarray, value: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean of a value over the cases without a target; undefined without any.

    Args:
        has_target: 1 where the true mask has a pixel.
        value: Per case; any number where there is a target.
        weight: How often each case counts.
    """
    check_arrays(has_target, value, weight)
    return _mean(value, weight, of=has_target == 0)


def _mean(value: np.ndarray, weight: np.ndarray, *, of: np.ndarray) -> np.ndarray:
    part = weight[of]
    whole = np.asarray(part.sum(axis=0), dtype=np.float64)
    return np.where(whole > 0, value[of] @ part / np.where(whole > 0, whole, 1.0), np.nan)
