"""Is a difference too small to matter? Two one-sided tests, and the verdict in one word."""

from typing import Literal

import numpy as np
from scipy import special

Verdict = Literal["better", "worse", "equivalent", "inconclusive", ""]


def equivalence_p(difference: float, se: float, margin: float, *, df: float = np.inf) -> float:
    """P value of the two one-sided tests of |difference| >= margin; small is equivalent.

    It is at most alpha exactly if the interval at confidence 1 - 2 alpha lies inside the margin.
    NaN if a number is missing; 0.0 or 1.0 without any spread.

    Args:
        difference: First minus second.
        se: Its standard error.
        margin: The smallest difference that would matter, above 0; set before the results.
        df: Degrees of freedom of the standard error; infinite for a z test.

    Raises:
        ValueError: The margin is not above 0, or the standard error is negative.

    Source:
        Schuirmann, J Pharmacokinet Biopharm 15 (1987) 657. For paired areas under the curve: Liu
        et al., Stat Med 25 (2006) 1219. Witness: `statsmodels.stats.weightstats.ztost`.
    """
    if not margin > 0 or se < 0:
        raise ValueError(f"a margin above 0 and a spread are needed: got {margin} and {se}.")
    if np.isnan(difference) or np.isnan(se):
        return float("nan")
    distance = margin - abs(difference)
    if se == 0:
        return 0.0 if distance > 0 else 1.0
    t = distance / se
    return float(special.ndtr(-t) if np.isinf(df) else special.stdtr(df, -t))


def verdict(
    lo: float,
    hi: float,
    margin: float | None = None,
    *,
    inner_lo: float = np.nan,
    inner_hi: float = np.nan,
) -> Verdict:
    """What the interval of a difference shows; '' if it is missing.

    - equivalent: the interval at 1 - 2 alpha lies inside the margin. This holds also if the
      difference is above or below 0 for sure: it is then shown to be too small to matter.
    - better, worse: otherwise, the interval at 1 - alpha lies above, or below, 0. The difference
      is real; it may still be smaller than the margin.
    - inconclusive: otherwise. It is not evidence that there is no difference.

    Without a margin nothing is equivalent. In a family, pass intervals at the adjusted level, or
    use `verdict_of_p` with adjusted p values.

    Args:
        lo: Lower bound of first minus second at confidence 1 - alpha; positive is better (turn
            the sign for metrics where lower is better).
        hi: Upper bound.
        margin: The smallest difference that would matter, above 0.
        inner_lo: Lower bound at confidence 1 - 2 alpha, for the margin.
        inner_hi: Upper bound.
    """
    if margin is not None and not margin > 0:
        raise ValueError(f"a margin is above 0: got {margin}.")
    if np.isnan(lo) or np.isnan(hi):
        return ""
    if margin is not None and -margin < inner_lo and inner_hi < margin:
        return "equivalent"
    return "better" if lo > 0 else "worse" if hi < 0 else "inconclusive"


def verdict_of_p(
    difference: float, p: float, p_equivalence: float = np.nan, *, alpha: float = 0.05
) -> Verdict:
    """The same rule from p values, which may be adjusted; '' if `p` is missing.

    Args:
        difference: First minus second; positive is better.
        p: Two-sided p value of no difference.
        p_equivalence: From `equivalence_p`; NaN without a margin.
        alpha: Level of both.
    """
    if np.isnan(p):
        return ""
    if p_equivalence <= alpha:
        return "equivalent"
    if p > alpha:
        return "inconclusive"
    return "better" if difference > 0 else "worse"
