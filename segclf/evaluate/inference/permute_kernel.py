"""The compiled part of the permutation test: group labels move, the order of scores stays.

Cases are sorted once. A permutation only says which group each patient is in, and one pass over
the sorted cases counts several permutations side by side. Permutation 0 is the sample itself.
"""

from typing import NamedTuple

import numpy as np

from segclf.evaluate.inference.kernel import _GOLDEN, _compiled, mix64

POSITIVE, COUNTS, TWICE = 1, 2, 4
"""Bits of an event: the case is positive; it enters the counts; what ranks above it counts two
halves. A positive that shares its score with a negative has two events of one half each."""


class Ranking(NamedTuple):
    """Cases in descending order of score, block after block; a block is a fold of a seed."""

    event_start: np.ndarray
    """(block + 1,) int64; where the events of each block begin."""
    patient: np.ndarray
    """(event,) int32; whose case it is."""
    kind: np.ndarray
    """(event,) uint8; see POSITIVE, COUNTS, TWICE."""


def make_ranking(
    score: np.ndarray, positive: np.ndarray, patient: np.ndarray, block: np.ndarray
) -> Ranking:
    """The cases in the order of the pass, which no permutation changes.

    Args:
        score: (case,) without NaN.
        positive: (case,) bool.
        patient: (case,) codes from 0.
        block: (case,) codes of fold and seed.
    """
    order = np.lexsort((-score, block))
    opens = np.ones(len(order), bool)
    opens[1:] = (np.diff(score[order]) != 0) | (np.diff(block[order]) != 0)
    tie = np.cumsum(opens) - 1
    n_positive, n_cases = np.bincount(tie, positive[order]), np.bincount(tie)
    is_shared = ((n_positive > 0) & (n_positive < n_cases))[tie]
    # Where classes share a score, positives have two events: they meet what ranks above the tie;
    # negatives enter; positives meet these as well, and enter.
    again = np.flatnonzero(is_shared & positive[order])
    place = np.concatenate([np.arange(len(order)), again])
    is_again = np.arange(len(place)) >= len(order)
    is_positive, is_whole = positive[order[place]], ~is_shared[place]
    enters = is_whole | is_again | ~is_positive
    kind = is_positive * POSITIVE + enters * COUNTS + is_whole * TWICE
    step = np.lexsort((2 * is_again + ~is_positive, tie[place]))
    row = order[place[step]]
    blocks, block = np.unique(block, return_inverse=True)
    return Ranking(
        event_start=np.searchsorted(block[row], np.arange(len(blocks) + 1)),
        patient=patient[row].astype(np.int32),
        kind=kind[step].astype(np.uint8),
    )


@_compiled
def shuffle_groups(
    group: np.ndarray,
    stratum_start: np.ndarray,
    seed: np.uint64,
    first: int,
    shuffled: np.ndarray,
) -> None:
    """Fill `shuffled` with permutation `first` and those after it (Fisher and Yates).

    Labels move within a stratum only. A permutation depends on the seed and its own number, so
    batches and threads change nothing.

    Args:
        group: (patient,) uint8.
        stratum_start: (stratum + 1,) int64; patients of a stratum are contiguous.
        seed: Any 64-bit number.
        first: Number of the first permutation; number 0 is the sample itself.
        shuffled: (patient, permutation) uint8, overwritten.
    """
    half = np.uint64(32)
    row = np.empty_like(group)
    for b in range(shuffled.shape[1]):
        row[:] = group
        state = mix64(seed ^ mix64(np.uint64(first + b) * _GOLDEN))
        for s in range(stratum_start.shape[0] - 1 if first + b > 0 else 0):
            for i in range(stratum_start[s + 1] - 1, stratum_start[s], -1):
                state += _GOLDEN
                span = np.uint64(i - stratum_start[s] + 1)
                j = stratum_start[s] + np.int64(((mix64(state) >> half) * span) >> half)
                row[i], row[j] = row[j], row[i]
        shuffled[:, b] = row


@_compiled
def rank_groups(ranking: Ranking, groups: np.ndarray, auroc: np.ndarray) -> None:
    """AUROC of every group under every permutation, averaged over the blocks that define it.

    NaN where no block has both classes in the group.

    Args:
        ranking: The cases.
        groups: (patient, permutation) uint8.
        auroc: (group, permutation) float64, overwritten.
    """
    n_groups, width = auroc.shape
    n_blocks = np.zeros((n_groups, width))
    auroc[:] = 0.0
    for k in range(ranking.event_start.shape[0] - 1):
        seen, lost = np.zeros((2, width, n_groups), np.int64), np.zeros((width, n_groups), np.int64)
        for e in range(ranking.event_start[k], ranking.event_start[k + 1]):
            p, bits = ranking.patient[e], ranking.kind[e]
            mine = 0 if bits & POSITIVE else 1
            if bits & POSITIVE:
                times = 2 if bits & TWICE else 1
                for w in range(width):
                    lost[w, groups[p, w]] += times * seen[1, w, groups[p, w]]
            if bits & COUNTS:
                for w in range(width):
                    seen[mine, w, groups[p, w]] += 1
        for w in range(width):
            for g in range(n_groups):
                pairs2 = 2.0 * seen[0, w, g] * seen[1, w, g]
                if pairs2 > 0:
                    auroc[g, w] += 1.0 - lost[w, g] / pairs2
                    n_blocks[g, w] += 1
    for g in range(n_groups):
        for w in range(width):
            auroc[g, w] = auroc[g, w] / n_blocks[g, w] if n_blocks[g, w] > 0 else np.nan


@_compiled
def average_groups(
    total: np.ndarray, n_cases: np.ndarray, groups: np.ndarray, mean: np.ndarray
) -> None:
    """Mean of a value over the cases of every group and permutation; NaN without a case.

    Args:
        total: (patient,) float64; sum of the value over the patient's cases.
        n_cases: (patient,) float64; number of these cases.
        groups: (patient, permutation) uint8.
        mean: (group, permutation) float64, overwritten.
    """
    n_groups, width = mean.shape
    part, whole = np.zeros((width, n_groups)), np.zeros((width, n_groups))
    for p in range(groups.shape[0]):
        for w in range(width):
            part[w, groups[p, w]] += total[p]
            whole[w, groups[p, w]] += n_cases[p]
    for w in range(width):
        for g in range(n_groups):
            mean[g, w] = part[w, g] / whole[w, g] if whole[w, g] > 0 else np.nan
