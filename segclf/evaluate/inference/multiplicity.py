"""Adjusted p values: many comparisons find differences by chance, a family pays for that."""

from collections.abc import Callable

import numpy as np


def holm(p: np.ndarray) -> np.ndarray:
    """Adjusted p values in the order given; at most alpha: rejected, with family-wise error alpha.

    Valid whatever the dependence between the tests. NaN stays NaN and does not count: a
    comparison that could not be made is no member of the family, so declare the family by what
    is compared, not by what came out.

    Args:
        p: (test,) raw p values of one declared family.

    Raises:
        ValueError: A p value lies outside [0, 1], or `p` has not one axis.

    Source:
        Holm, Scand J Statist 6 (1979) 65. Witness: `statsmodels multipletests`.
    """
    return _adjust(p, lambda ranked, n: np.maximum.accumulate(ranked * np.arange(n, 0, -1)))


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Adjusted p values in the order given; at most q: a discovery, with false discovery rate q.

    Valid for tests that are independent or positively dependent, as those over groups of one
    sample mostly are. NaN stays NaN and does not count.

    Args:
        p: (test,) raw p values.

    Raises:
        ValueError: A p value lies outside [0, 1], or `p` has not one axis.

    Source:
        Benjamini and Hochberg, J R Statist Soc B 57 (1995) 289. Witness: the 15 p values of
        their table, `scipy.stats.false_discovery_control`.
    """

    def step_up(ranked: np.ndarray, n: int) -> np.ndarray:
        return np.minimum.accumulate((ranked * n / np.arange(1, n + 1))[::-1])[::-1]

    return _adjust(p, step_up)


def _adjust(p: np.ndarray, step: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    p = np.asarray(p, dtype=np.float64)
    odd = p[(p < 0) | (p > 1)]
    if p.ndim != 1 or odd.size:
        raise ValueError(
            f"p values are one list of numbers in [0, 1]: got {p.ndim} axes and {odd[:5].tolist()}."
        )
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(step(p[order], len(order)), 1.0)
    return adjusted
