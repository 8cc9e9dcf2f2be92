"""AUROC and its covariance from one sort: DeLong's, and Obuchowski's for cases of one patient.

A *block* is a set of cases whose scores may be compared with each other: one method, seed and
fold. Cases are placed inside their block, estimates are means over blocks, and covariances come
from how far each patient pulls each estimate. A patient who appears in several folds, seeds or
methods is therefore counted as one patient.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Placed:
    """Blocks of cases, each case placed among those of the other class in its block."""

    positive: np.ndarray
    """(row,) bool."""
    block: np.ndarray
    """(row,) codes from 0."""
    value: np.ndarray
    """(row,) placement value, the share of the other class that the case is ranked rightly
    against, ties half; NaN where that class is absent."""
    pull: np.ndarray
    """(row,) what the case adds to the AUROC of its block beyond an average one; 0 if NaN."""
    auroc: np.ndarray
    """(block,) NaN where a block lacks a class."""


def place(score: np.ndarray, positive: np.ndarray, block: np.ndarray) -> Placed:
    """Every case placed inside its block, from one sort, counted in integers.

    Args:
        score: (row,) higher means more likely positive; no NaN.
        positive: (row,) bool.
        block: (row,) codes from 0.

    Raises:
        ValueError: A score is NaN, or the lengths differ.
    """
    if not len(score) == len(positive) == len(block):
        lengths = f"{len(score)}, {len(positive)}, {len(block)}"
        raise ValueError(f"score, positive and block differ in length: {lengths}.")
    if np.isnan(score).any():
        raise ValueError(f"{int(np.isnan(score).sum())} scores are NaN: leave them out and count.")
    positive = np.asarray(positive, bool)
    n_blocks = int(block.max()) + 1 if len(block) else 1
    n = np.stack([np.bincount(block[positive == kind], minlength=n_blocks) for kind in (0, 1)])
    order = np.argsort(score)  # the order inside a tie changes nothing
    if n_blocks > 1:
        code = block.astype(np.int16 if n_blocks < 2**15 else np.int64)  # 16 bits sort faster
        order = order[np.argsort(code[order], kind="stable")]
    right2 = np.empty(len(score), np.int64)
    right2[order] = _count_right2(score[order], positive[order], block[order], n)
    at = block if n_blocks > 1 else 0  # a number is quicker than an array of zeros
    with np.errstate(invalid="ignore"):  # 0 / 0: a class is absent
        total2 = np.bincount(block[positive], right2[positive], minlength=n_blocks)
        auroc = total2 / (2.0 * n[0] * n[1])
        value = right2 / np.where(positive, 2.0 * n[0][at], 2.0 * n[1][at])
    pull = np.where(np.isnan(value), 0.0, value - auroc[at])
    return Placed(positive, block, value, pull / np.where(positive, n[1][at], n[0][at]), auroc)


def _count_right2(
    score: np.ndarray, positive: np.ndarray, block: np.ndarray, n: np.ndarray
) -> np.ndarray:
    """Twice the cases of the other class that each row is ranked rightly against; a tie adds 1.

    Args:
        score: (row,) sorted by block, then ascending.
        positive: (row,) bool.
        block: (row,) codes.
        n: (2, block) numbers of negatives and of positives.
    """
    if not len(score):
        return np.zeros(0, np.int64)
    opens = np.ones(len(score), bool)
    opens[1:] = (score[1:] != score[:-1]) | (block[1:] != block[:-1])
    first = np.flatnonzero(opens)
    end = np.append(first[1:], len(score))
    at = block[first] if n.shape[1] > 1 else 0
    start = np.append(0, np.cumsum(n.sum(axis=0)))[at]  # of the block
    n_before = np.append(0, np.cumsum(positive))  # positives among the rows before
    # Up to the tie and up to its end at once: a case inside the tie is counted once, not twice.
    positives2 = n_before[first] + n_before[end] - 2 * n_before[start]
    negatives2 = first + end - 2 * start - positives2
    above2 = 2 * n[1][at] - positives2
    size = end - first
    return np.where(positive, np.repeat(negatives2, size), np.repeat(above2, size))


def influence(placed: Placed, owner: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """How far each owner pulls each weighted mean of blocks, beyond an average one.

    Args:
        placed: Cases placed inside their blocks.
        owner: (row,) codes from 0.
        weight: (block, column).

    Returns:
        (owner, column).
    """
    n_owners = int(owner.max()) + 1
    sums = [np.bincount(owner, w[placed.block] * placed.pull, n_owners) for w in weight.T]
    return np.stack(sums, axis=1)


def covariance(placed: Placed, owner: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Covariance between weighted means of the AUROCs of blocks.

    Undefined (NaN) for a column with a block where one owner has all cases of a class.

    Args:
        placed: Cases placed inside their blocks.
        owner: (row,) codes from 0 of what was drawn independently: patients give Obuchowski's
            variance, cases give DeLong's. An owner may appear in several blocks.
        weight: (block, column) each column's weights of the blocks.

    Returns:
        (column, column) covariance.

    Source:
        Obuchowski, Biometrics 53 (1997) 567, for one block. Over several, each deviation carries
        the square root of its block's n / (n - 1): the same where blocks share no owner.
    """
    n_codes = int(owner.max()) + 1
    seen = np.zeros((3, len(placed.auroc), n_codes), bool)
    seen[placed.positive.astype(np.int8), placed.block, owner] = True
    seen[2] = seen[0] | seen[1]
    n_owners = seen.sum(axis=2)
    factor = np.sqrt(n_owners / np.maximum(n_owners - 1, 1))

    def sums(rows: np.ndarray, factor: np.ndarray) -> np.ndarray:
        scale = weight * factor[:, None]
        block, pull, of = placed.block[rows], placed.pull[rows], owner[rows]
        return np.stack([np.bincount(of, s[block] * pull, n_codes) for s in scale.T], axis=1)

    negatives, positives = np.flatnonzero(~placed.positive), np.flatnonzero(placed.positive)
    alone = [sums(negatives, factor[0]), sums(positives, factor[1])]
    both = sums(negatives, factor[2]).T @ sums(positives, factor[2])
    found = alone[0].T @ alone[0] + alone[1].T @ alone[1] + both + both.T
    has_one_owner = (n_owners[:2] < 2).any(axis=0)  # no spread to see
    undefined = (weight[has_one_owner] != 0).any(axis=0)
    found[undefined], found[:, undefined] = np.nan, np.nan
    return found


def auroc_covariance(
    scores: np.ndarray, positive: np.ndarray, patient: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC of every column of scores of the same cases, and their covariance.

    Undefined (NaN) without positives or negatives; the covariance also where one patient has all
    positives, or all negatives.

    Args:
        scores: (row, column) higher means more likely positive; columns are methods or seeds.
        positive: (row,) bool; labels may be mixed within a patient.
        patient: (row,) codes from 0; None takes cases as independent, as DeLong does.

    Returns:
        (column,) AUROCs and (column, column) covariance.

    Raises:
        ValueError: A score is NaN, or the lengths differ.

    Source:
        DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837; with patients Obuchowski,
        Biometrics 53 (1997) 567. Witnesses: pROC, a published table, scikit-learn.
    """
    n, n_columns = scores.shape
    owner = np.arange(n) if patient is None else patient
    block = np.repeat(np.arange(n_columns), n)
    placed = place(scores.T.ravel(), np.tile(positive, n_columns), block)
    return placed.auroc, covariance(placed, np.tile(owner, n_columns), np.eye(n_columns))
