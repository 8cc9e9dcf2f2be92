"""Two methods on the same cases, or two groups: difference, interval and p value."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy import special

ROUNDING = 1e-13
"""A smaller difference comes from rounding; one pair of 10^12 changes an AUROC by more."""
SMALLEST = float(np.finfo(np.float64).tiny)
"""A smaller p rounds to 0, which no p value is."""
Interval = tuple[float, float, float]
"""An estimate with its lower and upper bound."""


@dataclass(frozen=True)
class Comparison:
    """First minus second; what is missing (NaN) has a reason."""

    difference: float
    se: float
    lo: float
    hi: float
    z: float
    p: float
    """Two-sided."""
    reason: str = ""


def compare_paired(
    difference: float, variance: float, *, df: float = np.inf, confidence: float = 0.95
) -> Comparison:
    """Test of two methods on the same cases: Z, or Student's t where patients are few.

    Methods that agree everywhere have Z 0 and p 1, and no interval. A difference other than 0
    with a variance of 0 cannot be judged: Z, p and interval are NaN.

    The variance of few patients is itself uncertain. With ten positive patients a Z test at 5 %
    rejects 0.07 of true null hypotheses, and Holm's procedure over ten such groups 0.10 of its
    families; with the patients of the smaller class less one as degrees of freedom, 0.04 and
    0.02 (`benchmarks/errors.py`).

    Args:
        difference: First minus second.
        variance: Of the difference, v11 + v22 - 2 v12, from a covariance by patient.
        df: Degrees of freedom of the variance: patients of the smaller class less one.
            Infinite gives the Z test, as pROC does.
        confidence: Of the two-sided interval.

    Source:
        DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837. Witness: the values of
        pROC's tests (`roc.test`, paired).
    """
    return compare_t(difference, variance, df, confidence=confidence)


def compare_independent(
    difference: float,
    variances: tuple[float, float],
    n: tuple[int, int],
    *,
    confidence: float = 0.95,
) -> Comparison:
    """Welch's t test of two groups that share no patient; NaN as in `compare_paired`.

    Args:
        difference: First minus second.
        variances: Of the two estimates.
        n: Patients behind each estimate, less one its degrees of freedom. Those of the smaller
            class are safe; pROC takes all cases.
        confidence: Of the two-sided interval.

    Raises:
        ValueError: A group has fewer than two patients.

    Source:
        pROC's `roc.test(paired=FALSE)`; degrees of freedom after Welch and Satterthwaite.
    """
    if min(n) < 2:
        raise ValueError(f"both groups need two patients: got {n[0]} and {n[1]}.")
    parts = np.array(variances, dtype=np.float64)
    spread = float((parts**2 / (np.array(n) - 1)).sum())
    df = float(parts.sum() ** 2 / spread) if spread > 0 else np.inf
    return compare_t(difference, float(parts.sum()), df, confidence=confidence)


def compare_t(
    difference: float, variance: float, df: float, *, confidence: float = 0.95
) -> Comparison:
    """T test of a difference whose variance has `df` degrees of freedom; a Z test if infinite.

    Args:
        difference: First minus second.
        variance: Of the difference.
        df: Above 0.
        confidence: Of the two-sided interval.
    """
    missing = np.nan
    if np.isnan(difference) or np.isnan(variance):
        reason = "undefined: an estimate or its variance is missing"
        return Comparison(difference, missing, missing, missing, missing, missing, reason)
    if variance <= ROUNDING**2 or (abs(difference) <= ROUNDING and variance <= ROUNDING):
        if abs(difference) <= ROUNDING:
            return Comparison(0.0, 0.0, missing, missing, 0.0, 1.0, "no difference in any case")
        reason = "the difference has a variance of 0, so it cannot be judged"
        return Comparison(difference, 0.0, missing, missing, missing, missing, reason)
    se = float(np.sqrt(variance))
    z = difference / se
    if np.isinf(df):
        p, reach = 2 * special.ndtr(-abs(z)), special.ndtri((1 + confidence) / 2) * se
    else:
        p, reach = 2 * special.stdtr(df, -abs(z)), special.stdtrit(df, (1 + confidence) / 2) * se
    p = max(float(p), SMALLEST)
    return Comparison(difference, se, difference - reach, difference + reach, z, p)


def mover(first: Interval, second: Interval, *, correlation: float = 0.0) -> tuple[float, float]:
    """Interval of first minus second, recovered from the intervals of both.

    It keeps their asymmetry and stays within what they allow: with Wilson's intervals it is
    Newcombe's hybrid interval. NaN if one of the numbers is.

    Args:
        first: Estimate with its bounds.
        second: The same at the same confidence.
        correlation: Of the two estimates; 0 for groups that share no patient.

    Source:
        Newcombe, Stat Med 17 (1998) 873, method 10; Zou and Donner, Stat Med 27 (2008) 1693.
    """
    (a, a_lo, a_hi), (b, b_lo, b_hi) = first, second

    def reach(one: float, other: float) -> float:
        return float(np.sqrt(max(one**2 + other**2 - 2 * correlation * one * other, 0.0)))

    if np.isnan([*first, *second]).any():
        return np.nan, np.nan
    return a - b - reach(a - a_lo, b_hi - b), a - b + reach(a_hi - a, b - b_lo)


def mover_p(
    first: Callable[[float], Interval],
    second: Callable[[float], Interval],
    *,
    correlation: float = 0.0,
) -> float:
    """Two-sided p value that agrees with `mover`: 1 - the confidence at which 0 is a bound.

    1.0 for equal estimates; NaN if an estimate or a bound is.

    Args:
        first: From a confidence in (0, 1) to the estimate with its bounds, for instance
            `lambda level: (p, *wilson(k, n, level))`; wider at a higher confidence.
        second: The same for the other group.
        correlation: Of the two estimates.
    """
    normal = NormalDist()

    def holds_zero(z: float) -> bool:
        level = 1 - 2 * normal.cdf(-z)
        lo, hi = mover(first(level), second(level), correlation=correlation)
        return lo <= 0 <= hi

    a, b = first(0.5), second(0.5)
    if np.isnan([*a, *b]).any():
        return np.nan
    if abs(a[0] - b[0]) <= ROUNDING:
        return 1.0
    below, above = 1e-6, 8.0  # in standard errors; beyond 8 a confidence rounds to 1
    if not holds_zero(above):
        return 2 * normal.cdf(-above)
    for _ in range(50):
        middle = (below + above) / 2
        below, above = (below, middle) if holds_zero(middle) else (middle, above)
    return 2 * normal.cdf(-above)
