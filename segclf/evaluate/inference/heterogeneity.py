"""Do groups differ? Gap and Q of the sample among those of resamples without differences."""

from dataclasses import dataclass

import numpy as np

PRIOR_PATIENTS = 50
"""In the bootstrap, a group's own variance weighs as much as the common one when it has so many
patients of each class. With own variances alone, too noisy in small groups to weigh them by, a
test at 5 % rejected 0.23 of true null hypotheses in simulations."""
BOOTSTRAP = "joint bootstrap, centred"
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Heterogeneity:
    """How far groups lie apart, and how often they would if they did not differ."""

    gap: float
    """Largest minus smallest value."""
    p_gap: float
    q: float
    """Squared distances from the mean, weighted by what is known of each group; scaled so that
    its mean over the replicates is the number of groups minus 1, as that of Cochran's Q."""
    p_q: float
    """The one to report. The gap is ruled by the smallest groups: it misses a difference between
    large ones, and rejects where small ones are only harder to measure."""
    how: str
    """The test: `permute.PERMUTATION` or BOOTSTRAP."""
    n_groups: int
    n_replicates: int
    """Permutations or resamples in which two groups are defined."""
    n_left_out: int
    """Groups that are undefined in a permutation or resample, summed over these."""
    reason: str = ""


def bootstrap_heterogeneity(
    estimate: np.ndarray, replicates: np.ndarray, n_patients: np.ndarray
) -> Heterogeneity:
    """Whether a metric differs between groups that share patients or negatives.

    The resamples, moved so that all groups have the same mean, play the null hypothesis that
    the values are alike; scores may be distributed differently. NaN with fewer than two groups.

    Args:
        estimate: (group,) of the sample; groups with NaN are left out.
        replicates: (group, replicate) under the same resampled patients; NaN = undefined.
        n_patients: (class, group) patients of each class that the estimate rests on; one class
            for a metric of positives or of negatives alone.
    """
    n_patients = np.atleast_2d(n_patients)
    is_known = ~np.isnan(estimate) & ((~np.isnan(replicates)).sum(axis=1) > 1)
    is_known &= (n_patients > 0).all(axis=0)
    value, drawn, n_patients = estimate[is_known], replicates[is_known], n_patients[:, is_known]
    if len(value) < 2:
        return undefined(len(value), BOOTSTRAP)
    centred = drawn - np.nanmean(drawn, axis=1, keepdims=True)
    smoothed = smooth_variance(np.nanvar(drawn, axis=1, ddof=1), n_patients)
    weight = 1 / smoothed if smoothed.min() > 0 else np.ones(len(value))
    return judge(np.column_stack([value, centred]), weight, BOOTSTRAP)


def smooth_variance(variance: np.ndarray, n_patients: np.ndarray) -> np.ndarray:
    """(group,) variances of few patients drawn towards what is common to all groups.

    Args:
        variance: (group,) of each estimate.
        n_patients: (class, group), above 0; the common variance goes as the sum of 1 / n.
    """
    scale, n = (1 / n_patients).sum(axis=0), n_patients.min(axis=0)
    common = (variance / scale).mean() * scale
    return (PRIOR_PATIENTS * common + n * variance) / (PRIOR_PATIENTS + n)


def varies_within_patient(patient: np.ndarray, group: np.ndarray) -> bool:
    """Whether some patient has cases in two groups, so that labels cannot be exchanged.

    Args:
        patient: (case,) codes.
        group: (case,) codes; leave cases that are in no group out.
    """
    own = np.zeros(int(patient.max(initial=-1)) + 1, group.dtype)
    own[patient] = group  # of one case of each patient
    return bool((own[patient] != group).any())


def judge(value: np.ndarray, weight: np.ndarray, how: str) -> Heterogeneity:
    """Gap and Q of the sample, and how often replicates reach them; p is (b + 1) / (n + 1).

    Args:
        value: (group, 1 + replicate) the sample first; NaN groups are left out of a replicate.
        weight: (group,) inverse variance of each value, up to a common factor.
        how: The name of the test.
    """
    is_known = ~np.isnan(value)
    usable = is_known.sum(axis=0) > 1
    n_usable, n_left_out = int(usable[1:].sum()), int((~is_known[:, 1:]).sum())
    share = np.where(is_known, weight[:, None], 0)
    filled = np.where(is_known, value, 0)
    mean = (share * filled).sum(axis=0) / np.maximum(share.sum(axis=0), weight.min())
    q = (share * (filled - mean) ** 2).sum(axis=0)
    high, low = np.where(is_known, value, -np.inf), np.where(is_known, value, np.inf)
    gap = np.where(usable, high.max(axis=0) - low.min(axis=0), 0)

    def p_value(statistic: np.ndarray) -> float:
        reached = statistic[1:][usable[1:]] >= statistic[0] * (1 - _ROUNDING)
        return float((reached.sum() + 1) / (n_usable + 1))

    usual = q[1:][usable[1:]].mean() if n_usable else 0.0
    return Heterogeneity(
        gap=float(gap[0]),
        p_gap=p_value(gap),
        q=float(q[0] / usual * (len(value) - 1)) if usual > 0 else 0.0,
        p_q=p_value(q),
        how=how,
        n_groups=len(value),
        n_replicates=n_usable,
        n_left_out=n_left_out,
        reason=f"groups left out of a replicate, in all: {n_left_out}" if n_left_out else "",
    )


def undefined(n_groups: int, how: str) -> Heterogeneity:
    """No numbers, and why."""
    nan = float("nan")
    reason = f"undefined: {n_groups} groups with a value, and two are needed"
    return Heterogeneity(nan, nan, nan, nan, how, n_groups, 0, 0, reason)
