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


def verdict_of_p(
    difference: float, p: float, p_equivalence: float = np.nan, *, alpha: float = 0.05
) -> Verdict:
    """What a difference and its p values show, which may be adjusted; '' if `p` is missing.

    - equivalent: the difference is smaller than the margin. This holds also if it is above or below
      0 for sure: it is then shown to be too small to matter.
    - better, worse: otherwise, it is not 0. It may still be smaller than the margin.
    - inconclusive: otherwise. It is not evidence that there is no difference.

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
