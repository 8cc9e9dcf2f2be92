"""Intervals of whatever was resampled: percentile, and bias-corrected and accelerated (BCa)."""

from statistics import NormalDist

import numpy as np


def percentile(
    replicates: np.ndarray, confidence: float, *, agreed: str = "every resample agrees"
) -> tuple[float, float, int, str]:
    """Percentile interval of resampled values, number of usable ones, and what is wrong with it.

    There is no interval (NaN) if fewer than half of the resamples are defined, or if all are the
    same: a width of zero would claim certainty. `agreed` says what they agree on.
    """
    tail = (1 - confidence) / 2
    return _between(replicates, (tail, 1 - tail), agreed)


def bca(
    estimate: float,
    replicates: np.ndarray,
    left_out: np.ndarray,
    confidence: float,
    *,
    stratum: np.ndarray | None = None,
    agreed: str = "every resample agrees",
) -> tuple[float, float, int, str]:
    """BCa interval of resampled values, number of usable ones, and what is wrong with it.

    There is no interval (NaN) where `percentile` gives none; if all resamples lie on one side of
    the estimate; or if leaving out a patient is undefined or never changes the estimate.

    Args:
        estimate: Of the sample itself.
        replicates: (replicate,) without the sample's own value; NaN = undefined.
        left_out: (patient,) the estimate without that patient.
        confidence: In (0, 1).
        stratum: (patient,) codes from 0 of the strata that were resampled apart; None is one.
        agreed: What the resamples agree on, if they do.

    Source:
        Efron, J. Am. Stat. Assoc. 82 (1987) 171; over strata, Efron and Tibshirani, An
        Introduction to the Bootstrap (1993). Witness: `scipy.stats.bootstrap`.
    """
    lo, hi, n, reason = percentile(replicates, confidence, agreed=agreed)
    if np.isnan(lo):
        return lo, hi, n, reason
    usable = replicates[~np.isnan(replicates)]
    below = ((usable < estimate).mean() + (usable <= estimate).mean()) / 2
    speed = _acceleration(left_out, np.zeros(len(left_out), int) if stratum is None else stratum)
    if not 0 < below < 1:
        return np.nan, np.nan, n, "no BCa interval: every resample lies on one side"
    if np.isnan(speed):
        return np.nan, np.nan, n, "no BCa interval: leaving out a patient is undefined or no change"
    normal = NormalDist()
    bias, z = normal.inv_cdf(float(below)), normal.inv_cdf((1 + confidence) / 2)
    shifted = [bias + (bias + side) / (1 - speed * (bias + side)) for side in (-z, z)]
    return _between(replicates, (normal.cdf(shifted[0]), normal.cdf(shifted[1])), agreed)


def _between(
    replicates: np.ndarray, shares: tuple[float, float], agreed: str
) -> tuple[float, float, int, str]:
    usable = replicates[~np.isnan(replicates)]
    n, n_all = len(usable), len(replicates)
    if n < max(n_all / 2, 2):
        return np.nan, np.nan, n, f"no interval: {n} of {n_all} resamples are defined"
    lo, hi = np.quantile(usable, shares)
    if hi - lo < 1e-12:
        return np.nan, np.nan, n, f"bootstrap interval has no width: {agreed}"
    reason = f"{n_all - n} of {n_all} resamples are undefined" if n < n_all else ""
    return float(lo), float(hi), n, reason


def _acceleration(left_out: np.ndarray, stratum: np.ndarray) -> float:
    """Skewness of the estimate over patients; NaN if undefined or if no patient matters."""
    cubes = squares = 0.0
    for code in np.unique(stratum):
        values = left_out[stratum == code]
        share = (len(values) - 1) / len(values)
        distance = share * (values.mean() - values)
        cubes += (distance**3).sum()
        squares += (distance**2).sum()
    return float(cubes / (6 * squares**1.5)) if squares > 1e-20 else np.nan  # rounding
