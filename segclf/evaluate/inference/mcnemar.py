"""Two methods' decisions on the same cases: McNemar's test, with patients as clusters."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

MAX_CASES = 2000
"""Most cases of one patient for which the exact distribution is computed."""


@dataclass(frozen=True)
class McNemar:
    """What differs between two methods' decisions, and how surprising that is."""

    difference: float
    """Share of cases that the first method has right, minus that of the second."""
    n_first_only: int
    n_second_only: int
    n_discordant_patients: int
    """Patients for whom one method has more cases right than the other."""
    p_exact: float
    """From all ways to swap the methods within patients."""
    chi2_cases: float
    """Obuchowski: every case counts the same."""
    p_cases: float
    chi2_patients: float
    """Durkalski: every patient counts the same."""
    p_patients: float
    reason: str = ""


def mcnemar(first: np.ndarray, second: np.ndarray, patient: np.ndarray) -> McNemar:
    """Tests whether two methods are right equally often; p is 1 where they never differ.

    Take positives alone to compare sensitivities, negatives alone for specificities. If every
    case is its own patient, the exact p is that of the binomial test and the chi2 by patients is
    McNemar's without continuity correction; the chi2 by cases is smaller by 1 - 1 / n, as
    published. Prefer the exact p: it holds at any size. Undefined (NaN) without cases; the exact
    p also if a patient's methods differ by more than MAX_CASES cases.

    Args:
        first: (case,) bool; the first method's decision is right.
        second: (case,) bool; the same for the second.
        patient: (case,) integer codes; cases of a patient are swapped together.

    Raises:
        ValueError: The arrays differ in length, or hold something else than True and False.

    Source:
        McNemar, Psychometrika 12 (1947) 153; Obuchowski, Stat Med 17 (1998) 1495, simplified
        as in Yang et al., Biom J 52 (2010) 638; Durkalski et al., Stat Med 22 (2003) 2417.
    """
    if not (len(first) == len(second) == len(patient) and first.dtype == second.dtype == bool):
        raise ValueError(
            f"two lists of True or False and a patient per case are needed: got {len(first)} "
            f"{first.dtype}, {len(second)} {second.dtype} and {len(patient)} patients."
        )
    nan = math.nan
    if not len(patient):
        return McNemar(nan, 0, 0, 0, nan, nan, nan, nan, nan, "undefined: without cases")
    _, owner, size = np.unique(patient, return_inverse=True, return_counts=True)
    gain = np.bincount(owner, first.astype(np.float64) - second)
    differing = np.abs(gain[gain != 0]).astype(np.int64)
    n = len(size)
    by_case = _chi2(gain) * (n - 1) / n
    by_patient = _chi2(gain / size)
    exact = nan if differing.max(initial=0) > MAX_CASES else _swap_p(differing, abs(gain.sum()))
    return McNemar(
        difference=float(gain.sum() / len(patient)),
        n_first_only=int((first & ~second).sum()),
        n_second_only=int((second & ~first).sum()),
        n_discordant_patients=len(differing),
        p_exact=exact,
        chi2_cases=by_case,
        p_cases=float(special.chdtrc(1, by_case)),
        chi2_patients=by_patient,
        p_patients=float(special.chdtrc(1, by_patient)),
        reason="no exact p: a patient has too many cases" if math.isnan(exact) else "",
    )


def _chi2(gain: np.ndarray) -> float:
    square = float((gain**2).sum())
    return float(gain.sum()) ** 2 / square if square > 0 else 0.0


def _swap_p(differing: np.ndarray, observed: float) -> float:
    """Chance that the sum of `differing`, each with a random sign, is at least as far from 0.

    The n patients that differ by j cases add j (2 X - n), X binomial; the sums over all j are
    convolved. All terms are positive, so that small p values keep their digits.
    """
    share, reach = np.ones(1), 0
    sizes, counts = np.unique(differing, return_counts=True)
    for j, n in zip(sizes.tolist(), counts.tolist(), strict=True):
        x = np.arange(n + 1)
        log_share = special.gammaln(n + 1) - special.gammaln(x + 1) - special.gammaln(n - x + 1)
        part = np.zeros(2 * j * n + 1)
        part[:: 2 * j] = np.exp(log_share - n * math.log(2))
        keep = int(np.flatnonzero(part)[0])  # what underflows is left out
        share = np.convolve(share, part[keep : len(part) - keep])
        reach += j * n - keep
    far = np.abs(np.arange(-reach, reach + 1)) >= observed
    return min(float(share[far].sum()), 1.0)
