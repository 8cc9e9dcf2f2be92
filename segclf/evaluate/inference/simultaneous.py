"""One-sided bounds that hold for all groups at once, and so for the worst one."""

import numpy as np
from scipy import special

from segclf.core.randomness import generator
from segclf.evaluate.inference.heterogeneity import PRIOR_PATIENTS


def simultaneous_level(
    replicates: np.ndarray, *, confidence: float = 0.95, higher_is_better: bool = True
) -> float:
    """One-sided confidence of each group at which all bounds hold together; NaN if undefined.

    With bounds at this confidence, 'every group is at least its bound' holds with `confidence`,
    and the smallest bound bounds the worst group. It is (0.95)^(1/n) for n independent groups
    and less for groups that share patients.

    Args:
        replicates: (group, replicate) under the same resampled patients; groups without any
            value are left out, then replicates with NaN.
        confidence: Of all bounds together.
        higher_is_better: Bounds are lower ones; else upper ones.

    Source:
        The largest of the groups' ranks instead of the largest t: Westfall and Young,
        Resampling-Based Multiple Testing (1993), min-p.
    """
    some = replicates[~np.isnan(replicates).all(axis=1)]
    complete = some[:, ~np.isnan(some).any(axis=0)]
    if not len(some) or complete.shape[1] < 2:
        return float("nan")
    # Equal values are ranked by chance in each group, so that they do not seem to go together.
    chance = generator(0, "ties").random(complete.shape)
    order = np.lexsort((chance, complete if higher_is_better else -complete), axis=1)
    rank = np.empty(order.shape)
    np.put_along_axis(rank, order, np.arange(1.0, order.shape[1] + 1)[None, :], axis=1)
    level = np.quantile(rank.max(axis=0), confidence) / (order.shape[1] + 1)
    return float(max(level, confidence))


def simultaneous_bounds(
    estimate: np.ndarray,
    replicates: np.ndarray,
    n_patients: np.ndarray,
    *,
    confidence: float = 0.95,
    higher_is_better: bool = True,
) -> np.ndarray:
    """(group,) bounds of shares or AUROCs that hold together; NaN for undefined groups.

    The smallest one bounds the worst group. Wilson's bounds on an effective number of cases,
    which each group shares in part with all others, so that a group without an error has a
    bound below 1. In simulations of ten groups with 10 to 50 positive patients all hold in 0.945
    to 1.0 instead of 0.95; percentiles of the replicates hold in 0.4 to 0.8.

    For the worst group alone, the smallest of bounds at an *unadjusted* level is valid as well,
    and higher: it fails only if the bound of the truly worst group does. Pass the intervals of
    the groups for that.

    Args:
        estimate: (group,) in [0, 1]; NaN where undefined.
        replicates: (group, replicate) under the same resampled patients; NaN = undefined.
        n_patients: (class, group) patients of each class that an estimate rests on.
        confidence: Of all bounds together.
        higher_is_better: Bounds are lower ones; else upper ones.

    Raises:
        ValueError: An estimate lies outside [0, 1].
    """
    odd = estimate[(estimate < 0) | (estimate > 1)]
    if odd.size:
        raise ValueError(f"shares and AUROCs lie in [0, 1]: got {odd[:5].tolist()}.")
    bounds = np.full(len(estimate), np.nan)
    n_patients = np.atleast_2d(n_patients)
    known = ~np.isnan(estimate) & ((~np.isnan(replicates)).sum(axis=1) > 1)
    known &= (n_patients > 0).all(axis=0)
    level = simultaneous_level(
        replicates[known], confidence=confidence, higher_is_better=higher_is_better
    )
    if np.isnan(level):
        return bounds
    value = estimate[known] if higher_is_better else 1 - estimate[known]
    n = _effective_n(value, np.nanvar(replicates[known], axis=1, ddof=1), n_patients[:, known])
    z2 = float(special.ndtri(level)) ** 2
    reach = np.sqrt(z2 * (value * (1 - value) / n + z2 / (4 * n**2)))
    lower = np.clip((value + z2 / (2 * n) - reach) / (1 + z2 / n), 0, 1)
    bounds[known] = lower if higher_is_better else 1 - lower
    return bounds


def _effective_n(value: np.ndarray, variance: np.ndarray, n_patients: np.ndarray) -> np.ndarray:
    """(group,) independent cases whose share would vary as much as the estimate does."""
    scale, own = (1 / n_patients).sum(axis=0), n_patients.min(axis=0)
    mean = np.average(value, weights=1 / scale)
    floor = 1e-12
    common = (variance / scale).mean() * scale / max(mean * (1 - mean), floor)
    binomial = value * (1 - value)
    alone = np.where(binomial > floor, variance / np.maximum(binomial, floor), common)
    inverse = (PRIOR_PATIENTS * common + own * alone) / (PRIOR_PATIENTS + own)
    return np.where(inverse > floor, 1 / np.maximum(inverse, floor), own)
