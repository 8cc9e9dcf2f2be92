"""Small groups drawn towards what their main effects predict; the variance between groups."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np


@dataclass(frozen=True)
class Shrunken:
    """Estimates of all groups, each as far from the fit as its own data can tell."""

    estimate: np.ndarray
    """(group,) NaN where the raw one is."""
    lo: np.ndarray
    hi: np.ndarray
    fit: np.ndarray
    """(group,) what the main effects alone give."""
    between_sd: float
    """Standard deviation of the groups around the fit, beyond sampling."""
    reason: str = ""


def shrink(
    estimate: np.ndarray, se: np.ndarray, design: np.ndarray, *, confidence: float = 0.95
) -> Shrunken:
    """Each group's estimate, drawn towards an additive fit by as much as sampling explains.

    A group's true value is taken as the fit plus a normal deviation (random-effects
    meta-regression). Undefined groups stay undefined, whatever the fit says of them; the same
    holds for all of them if there are no more defined groups than effects.

    Give shares and AUROCs on the logit scale, with se / (p (1 - p)), and transform the results
    back, so that main effects add up and intervals stay within 0 and 1.

    Args:
        estimate: (group,) raw estimates; NaN where undefined.
        se: (group,) their standard errors, above 0. Those of 0, from groups without an error,
            take the largest one.
        design: (group, effect) from `main_effects`; a column of ones shrinks to a common mean.
        confidence: Of the intervals.

    Source:
        Structured regression of intersections: Herlihy et al., arXiv:2401.14893. Intervals with
        the estimated variance between groups taken into account: Morris, J Am Stat Assoc 78
        (1983) 47. Witness of the fit: `statsmodels` WLS; of the variance between groups:
        `statsmodels.stats.meta_analysis.combine_effects`.
    """
    known = ~np.isnan(estimate) & ~np.isnan(se)
    missing = np.full(len(estimate), np.nan)
    x = design[known]
    n, n_effects = len(x), int(np.linalg.matrix_rank(x)) if known.any() else 0
    if n <= n_effects:
        reason = f"not shrunk: {n} groups for {n_effects} effects"
        return Shrunken(missing, missing, missing, missing, float("nan"), reason)
    y, spread = estimate[known], np.where(se[known] > 0, se[known], se[known].max())
    if not spread.max() > 0:
        raise ValueError("no group has a standard error above 0.")
    variance = spread**2
    between = between_variance(y, variance, x)
    weight = 1 / (variance + between)
    covariance = np.linalg.pinv((x * weight[:, None]).T @ x)
    fit = x @ (covariance @ (x.T @ (weight * y)))
    free = n - n_effects
    pulled = (free - 2) / free * variance * weight if free > 2 else variance * weight
    value = fit + (1 - pulled) * (y - fit)
    leverage = ((x @ covariance) * x).sum(axis=1)
    # The last term is the uncertainty of how much to shrink.
    uncertain = 2 / max(free - 2, 1) * pulled**2 * (y - fit) ** 2
    error = np.sqrt(variance * (1 - pulled) + pulled**2 * leverage + uncertain)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * error
    found = [missing.copy() for _ in range(4)]
    for whole, part in zip(found, (value, value - reach, value + reach, fit), strict=True):
        whole[known] = part
    return Shrunken(*found, between_sd=float(np.sqrt(between)))


def main_effects(codes: np.ndarray) -> np.ndarray:
    """(group, effect) design: a one, then one column per level but the first of each factor.

    Args:
        codes: (group, factor) integer levels, such as the sex and site of each intersection.
    """
    columns = [np.ones(len(codes))]
    for factor in codes.T:
        columns += [(factor == level).astype(np.float64) for level in np.unique(factor)[1:]]
    return np.column_stack(columns)


def between_variance(
    value: np.ndarray, variance: np.ndarray, design: np.ndarray | None = None
) -> float:
    """Variance of groups around their fit beyond sampling; 0.0 if that explains all.

    It makes the weighted squared distances from the fit as large as they should be.

    Args:
        value: (group,) estimates.
        variance: (group,) their sampling variances, above 0.
        design: (group, effect); a common mean if None.

    Source:
        Paule and Mandel, J Res NBS 87 (1982) 377.
    """
    x = np.ones((len(value), 1)) if design is None else design
    free = len(value) - int(np.linalg.matrix_rank(x))

    def excess(between: float) -> float:
        root = 1 / np.sqrt(variance + between)
        solution = np.linalg.lstsq(x * root[:, None], value * root, rcond=None)[0]
        return float(((root * (value - x @ solution)) ** 2).sum()) - free

    if free < 1 or excess(0.0) <= 0:
        return 0.0
    low, high = 0.0, float(np.var(value) * len(value) / free + variance.max())
    while excess(high) > 0:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high
