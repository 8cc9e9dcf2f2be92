"""Heterogeneity over groups of patients, by exchanging their group labels."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from segclf.evaluate.inference import permute_kernel
from segclf.evaluate.inference.heterogeneity import (
    Heterogeneity,
    judge,
    undefined,
    varies_within_patient,
)

PERMUTATION = "permutation of patients"
MAX_GROUPS = 255


def permute_auroc(
    score: np.ndarray,
    positive: np.ndarray,
    patient: np.ndarray,
    stratum_start: np.ndarray,
    group: np.ndarray,
    *,
    block: np.ndarray | None = None,
    n_permutations: int = 1999,
    seed: int = 0,
    n_threads: int = 1,
) -> Heterogeneity:
    """Whether the AUROC differs between groups of patients; NaN with fewer than two groups.

    Labels of groups are exchanged between patients of a stratum (fold and disease state). The
    null hypothesis is that scores are distributed alike in all groups, given the label. If only
    the AUROCs are alike, Q is nearly right (0.03 to 0.08 at 5 % with scores shifted or stretched
    by group, in simulations) and the gap is not (0.00 to 0.39).

    A group without an AUROC in the sample is left out with its patients.

    Args:
        score: (case,) higher means more likely positive.
        positive: (case,) bool.
        patient: (case,) codes; patients of a stratum are contiguous (`sample.number_patients`).
        stratum_start: (stratum + 1,) limits of the strata among the patients.
        group: (case,) codes; -1 is in no group. The same for all cases of a patient.
        block: (case,) codes of fold and seed; AUROCs are averaged over blocks. None is one block.
        n_permutations: Besides the sample itself; p is (b + 1) / (n + 1).
        seed: Of the permutations, 64 bits; the result depends on nothing else.
        n_threads: Batches at a time; the numbers do not depend on it.

    Raises:
        ValueError: The group varies within a patient; use `bootstrap_heterogeneity`.
    """
    block = np.zeros(len(score), np.int64) if block is None else block
    used = _use(patient, stratum_start, _keep_defined(group, positive, block))
    is_positive = positive[used.row]
    ranking = permute_kernel.make_ranking(score[used.row], is_positive, used.code, block[used.row])
    has_class = np.zeros((2, len(used.group)), bool)
    has_class[0, used.code[is_positive]] = True
    has_class[1, used.code[~is_positive]] = True
    count = partial(permute_kernel.rank_groups, ranking)
    return _permute(count, used, has_class, n_permutations, seed, n_threads)


def permute_mean(
    value: np.ndarray,
    patient: np.ndarray,
    stratum_start: np.ndarray,
    group: np.ndarray,
    *,
    n_permutations: int = 1999,
    seed: int = 0,
    n_threads: int = 1,
) -> Heterogeneity:
    """Whether the mean of a value over cases differs between groups of patients.

    For shares: 1 and 0 for right and wrong decisions of the positives compares sensitivities.
    All else as in `permute_auroc`.

    Args:
        value: (case,) what is averaged, of the cases that the mean is over and no others.
        patient: (case,) codes; patients of a stratum are contiguous.
        stratum_start: (stratum + 1,) limits of the strata among the patients.
        group: (case,) codes; -1 is in no group. The same for all cases of a patient.
        n_permutations: Besides the sample itself.
        seed: Of the permutations, 64 bits.
        n_threads: Batches at a time.

    Raises:
        ValueError: The group varies within a patient; use `bootstrap_heterogeneity`.
    """
    used = _use(patient, stratum_start, group)
    total = np.bincount(used.code, value[used.row], len(used.group))
    n_cases = np.bincount(used.code, minlength=len(used.group)).astype(np.float64)
    count = partial(permute_kernel.average_groups, total, n_cases)
    has_class = np.ones((1, len(used.group)), bool)
    return _permute(count, used, has_class, n_permutations, seed, n_threads)


_Count = Callable[[np.ndarray, np.ndarray], None]
"""Fills values (group, permutation) from groups (patient, permutation)."""


@dataclass(frozen=True)
class _Used:
    """The cases that are in a group, and their patients, renumbered without gaps."""

    row: np.ndarray
    """(case,) bool."""
    code: np.ndarray
    """(used case,) codes of patients, in the order given."""
    group: np.ndarray
    """(patient,) uint8."""
    stratum_start: np.ndarray


def _use(patient: np.ndarray, stratum_start: np.ndarray, group: np.ndarray) -> _Used:
    row = group >= 0
    if varies_within_patient(patient[row], group[row]):
        raise ValueError(
            "the group varies within a patient, so labels cannot be exchanged between patients: "
            "use the joint bootstrap."
        )
    if row.any() and group.max() >= MAX_GROUPS:
        raise ValueError(f"at most {MAX_GROUPS} groups: got the code {group.max()}.")
    seen = np.zeros(int(patient.max(initial=-1)) + 1, bool)
    seen[patient[row]] = True
    present = np.flatnonzero(seen)
    code = (np.cumsum(seen) - 1)[patient[row]]
    own = np.zeros(len(present), np.uint8)
    own[code] = group[row]
    return _Used(row, code, own, np.searchsorted(present, stratum_start))


def _keep_defined(group: np.ndarray, positive: np.ndarray, block: np.ndarray) -> np.ndarray:
    """(case,) the group, -1 where no block holds both classes of it."""
    n_groups = int(group.max(initial=-1)) + 1
    cell = np.unique(block, return_inverse=True)[1] * n_groups + group
    n_cells = int(cell.max(initial=-1)) + 1
    known = group >= 0
    counts = [
        np.bincount(cell[known & which], minlength=n_cells) for which in (positive, ~positive)
    ]
    both = np.unique(np.flatnonzero((counts[0] > 0) & (counts[1] > 0)) % max(n_groups, 1))
    return np.where(np.isin(group, both), group, -1)


def _permute(
    count: _Count, used: _Used, has_class: np.ndarray, n: int, seed: int, n_threads: int
) -> Heterogeneity:
    members = np.unique(used.group)
    if len(members) < 2:
        return undefined(len(members), PERMUTATION)
    value = np.empty((len(members), n + 1))
    n_patients = len(used.group)
    width = 64 if n_patients > 2**17 else 8  # narrow batches stay in the cache, if they can

    def run_batch(first: int) -> None:
        columns = slice(first, min(first + width, n + 1))
        shuffled = np.empty((n_patients, columns.stop - first), np.uint8)
        permute_kernel.shuffle_groups(
            used.group, used.stratum_start, np.uint64(seed), first, shuffled
        )
        found = np.empty((int(members[-1]) + 1, columns.stop - first))
        count(shuffled, found)
        value[:, columns] = found[members]

    with ThreadPoolExecutor(max_workers=n_threads) as pool:
        list(pool.map(run_batch, range(0, n + 1, width)))
    # Not variances but numbers of patients weigh the groups, the same in every permutation: the
    # variance of few patients is too noisy to weigh by, and half as many differences are found.
    by_class = [np.bincount(used.group[has])[members] for has in has_class]
    return judge(value, 1 / (1 / np.stack(by_class)).sum(axis=0), PERMUTATION)
