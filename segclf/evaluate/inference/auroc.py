"""An AUROC with everything its interval rests on: of one set of cases, over folds and seeds."""

from dataclasses import dataclass

import numpy as np

from segclf.evaluate.inference.delong import Placed, covariance, influence, place


@dataclass(frozen=True)
class Auroc:
    """An AUROC, and what its interval rests on."""

    value: float
    """NaN without positives or without negatives."""
    variance: float
    """Of patients drawn independently; NaN where one patient has all cases of a class."""
    variance_of_cases: float
    """DeLong's, as if every case were a patient."""
    n_informative: float
    """Patients that carry the variance: as many equal pulls would have the same ratio of the
    squared sum of squares to the sum of fourth powers. 0 where no patient pulls."""
    n_positive: int
    n_negative: int
    n_positive_patients: int
    n_negative_patients: int


def auroc_of(score: np.ndarray, positive: np.ndarray, patient: np.ndarray | None = None) -> Auroc:
    """The AUROC of one set of cases, with its clustered and its plain variance.

    Args:
        score: (row,) higher means more likely positive; no NaN.
        positive: (row,) bool; labels may be mixed within a patient.
        patient: (row,) codes from 0; None takes every case as a patient.

    Raises:
        ValueError: A score is NaN, or the lengths differ.
    """
    case = np.arange(len(score))
    placed = place(score, positive, np.zeros(len(score), np.int8))
    return aurocs_of(placed, np.ones((1, 1)), case if patient is None else patient, case)[0]


def aurocs_of(
    placed: Placed, weight: np.ndarray, patient: np.ndarray, case: np.ndarray
) -> list[Auroc]:
    """One weighted mean of blocks per column, such as a method averaged over folds and seeds.

    Args:
        placed: Cases placed inside their blocks.
        weight: (block, column) as from `mean_auroc`.
        patient: (row,) codes from 0.
        case: (row,) codes from 0; the same case under another seed or method has the same code.
    """
    if not len(case):
        return [Auroc(np.nan, np.nan, np.nan, 0.0, 0, 0, 0, 0)] * weight.shape[1]
    of_patients = np.diag(covariance(placed, patient, weight))
    of_cases = np.diag(covariance(placed, case, weight))
    squared = influence(placed, patient, weight) ** 2
    square, fourth = squared.sum(axis=0), (squared**2).sum(axis=0)
    found = []
    for c, is_used in enumerate(weight.T != 0):
        is_defined = is_used.any()
        rows = is_used[placed.block]
        positives, negatives = (
            np.flatnonzero(rows & (placed.positive == kind)) for kind in (True, False)
        )
        auroc = Auroc(
            value=float(weight[is_used, c] @ placed.auroc[is_used]) if is_defined else np.nan,
            variance=float(of_patients[c]) if is_defined else np.nan,
            variance_of_cases=float(of_cases[c]) if is_defined else np.nan,
            # Pulls of 1e-14 are what rounding leaves of nothing.
            n_informative=float(square[c] ** 2 / fourth[c]) if square[c] > 1e-28 else 0.0,
            n_positive=_n_distinct(case[positives]),
            n_negative=_n_distinct(case[negatives]),
            n_positive_patients=_n_distinct(patient[positives]),
            n_negative_patients=_n_distinct(patient[negatives]),
        )
        found.append(auroc)
    return found


def mean_auroc(by_block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROC averaged over the folds that define it, then over seeds, and the weights of blocks.

    Undefined (NaN) where no fold of any seed is defined.

    Args:
        by_block: (column, seed, fold) AUROC of each block; NaN where undefined. A column is
            whatever gets one estimate, such as a method.

    Returns:
        (column,) means, and (block, column) weights, with the blocks in the order of `by_block`.
    """
    known = ~np.isnan(by_block)
    n_folds = known.sum(axis=2, keepdims=True)
    n_seeds = (n_folds > 0).sum(axis=1, keepdims=True)
    share = known / np.maximum(n_folds, 1) / np.maximum(n_seeds, 1)
    mean = (share * np.where(known, by_block, 0.0)).sum(axis=(1, 2))
    n_columns = len(by_block)
    weight = np.zeros((n_columns, share[0].size, n_columns))
    index = np.arange(n_columns)
    weight[index, :, index] = share.reshape(n_columns, -1)
    return np.where(known.any(axis=(1, 2)), mean, np.nan), weight.reshape(-1, n_columns)


def _n_distinct(code: np.ndarray) -> int:
    seen = np.zeros(int(code.max()) + 1 if len(code) else 0, bool)
    seen[code] = True
    return int(seen.sum())
