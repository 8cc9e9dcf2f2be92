"""The compiled part of the bootstrap: draw patients, then count them in the order of scores.

Scores are sorted once. A replicate is a column of small integers, how often each patient was
drawn, and one pass over the sorted cases counts many replicates side by side, exactly, in whole
numbers. Replicate 0 is the sample itself (every weight is 1).
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

POSITIVE, OPENS, CLOSES = 1, 2, 4
"""Bits of a mark: the case is positive; it is the first, or last, of a block of tied scores
that holds a positive. A positive whose score nobody shares has all three."""
ALONE = POSITIVE | OPENS | CLOSES
NO_DECISION = 4
"""Outcome code of a case without a decision; 0 to 3 are tn, fp, fn, tp."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # nowhere to write the cache, e.g. a read-only container
        return numba.njit(nogil=True)(function)


@_compiled
def mix64(z: np.uint64) -> np.uint64:
    """The output function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@_compiled
def draw_weights(
    stratum_start: np.ndarray, seed: np.uint64, first: int, weights: np.ndarray
) -> None:
    """Fill `weights` with how often each patient is drawn in replicate `first` and those after it.

    In each stratum as many patients are drawn, with replacement, as it has. A replicate depends
    on the seed and its own number only, so batches and threads change nothing. The bias of the
    multiply-shift draw is below stratum size / 2**32.

    Args:
        stratum_start: (stratum + 1,) int64; patients of a stratum are contiguous.
        seed: Any 64-bit number.
        first: Number of the first replicate; number 0 is the sample itself.
        weights: (patient, replicate) uint8, overwritten.
    """
    # Draws land in one short row per replicate, which stays in the cache, and are transposed.
    drawn = np.zeros((weights.shape[1], weights.shape[0]), np.uint8)
    for b in range(weights.shape[1]):
        if first + b == 0:
            drawn[b] = np.uint8(1)
        else:
            _draw(drawn[b], stratum_start, mix64(seed ^ mix64(np.uint64(first + b) * _GOLDEN)))
    for tile in range(0, weights.shape[0], 64):
        for b in range(weights.shape[1]):
            for p in range(tile, min(tile + 64, weights.shape[0])):
                weights[p, b] = drawn[b, p]


@_compiled
def _draw(times: np.ndarray, stratum_start: np.ndarray, state: np.uint64) -> None:
    """Add one replicate to `times`, how often each patient was drawn."""
    low, half, one = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint8(1)
    # Numbers are made in blocks, which the compiler turns into vector instructions.
    first, second = np.empty(256, np.uint64), np.empty(256, np.uint64)
    for s in range(stratum_start.shape[0] - 1):
        part = times[stratum_start[s] : stratum_start[s + 1]]
        size, span = part.shape[0], np.uint64(part.shape[0])
        for block in range(0, (size + 1) // 2, 256):
            n = min((size + 1) // 2 - block, 256)
            for i in range(n):  # two draws from each 64-bit number
                z = mix64(state + np.uint64(i + 1) * _GOLDEN)
                first[i] = ((z & low) * span) >> half
                second[i] = ((z >> half) * span) >> half
            state += np.uint64(n) * _GOLDEN
            for i in range(n):
                part[np.uintp(first[i])] += one
            if block + n == (size + 1) // 2 and size % 2:
                n -= 1  # the last number gives one draw
            for i in range(n):
                part[np.uintp(second[i])] += one


@_compiled
def rank_cells(
    patient: np.ndarray,
    mark: np.ndarray,
    start: np.ndarray,
    weights: np.ndarray,
    auroc: np.ndarray,
    average_precision: np.ndarray,
    totals: np.ndarray,
) -> None:
    """AUROC and average precision of every cell and replicate, in one pass from the top score.

    NaN where a replicate holds no positive or no negative of the cell.

    Args:
        patient: (row,) int32; rows of a cell are contiguous, in descending order of score.
        mark: (row,) uint8; see POSITIVE, OPENS, CLOSES.
        start: (cell + 1,) int64; where each cell begins.
        weights: (patient, replicate) uint8.
        auroc: (cell, replicate) float64, overwritten.
        average_precision: (cell, replicate) float64, overwritten; without a row it is left out.
        totals: (cell, 2, replicate) int32, overwritten; numbers of negatives and of positives.
    """
    n, has_precision = weights.shape[1], average_precision.shape[0] > 0
    for c in range(start.shape[0] - 1):
        pos, neg = np.zeros(n, np.int32), np.zeros(n, np.int32)
        pos_before, neg_before = np.zeros(n, np.int32), np.zeros(n, np.int32)
        lost2 = np.zeros(n, np.float64)  # twice the pairs lost; whole numbers, exact to 2**53
        gain = np.zeros(n, np.float64)  # positives times the precision at their score
        for i in range(start[c], start[c + 1]):
            w, m = weights[patient[i]], mark[i]
            if m == ALONE and not has_precision:
                _add_alone(pos, neg, w, lost2)
                continue
            if m & OPENS:
                pos_before[:] = pos
                neg_before[:] = neg
            if m & POSITIVE:
                _add(pos, w)
            else:
                _add(neg, w)
            if m & CLOSES:
                _close_block(pos, neg, pos_before, neg_before, lost2)
                if has_precision:
                    _add_gain(pos, neg, pos_before, gain)
        _finish(pos, neg, lost2, auroc[c])
        if has_precision:
            for b in range(n):
                has_both = pos[b] > 0 and neg[b] > 0
                average_precision[c, b] = gain[b] / np.float64(pos[b]) if has_both else np.nan
        totals[c, 0], totals[c, 1] = neg, pos


@_compiled
def rank_top(
    patient: np.ndarray,
    mark: np.ndarray,
    start: np.ndarray,
    weights: np.ndarray,
    totals: np.ndarray,
    share: float,
    area: np.ndarray,
) -> None:
    """Area under the ROC curve where the false-positive rate is below `share`; at most `share`.

    Straight lines between the points. A cell is left as soon as all replicates are past `share`.

    Args:
        patient: As in `rank_cells`.
        mark: As in `rank_cells`.
        start: As in `rank_cells`.
        weights: (patient, replicate) uint8.
        totals: (cell, 2, replicate) int32 from `rank_cells`.
        share: In (0, 1].
        area: (cell, replicate) float64, overwritten; NaN without positives or negatives.
    """
    n = weights.shape[1]
    for c in range(start.shape[0] - 1):
        pos, neg = np.zeros(n, np.int64), np.zeros(n, np.int64)
        pos_before, neg_before = np.zeros(n, np.int64), np.zeros(n, np.int64)
        area[c, :] = 0.0
        limit = share * totals[c, 0]
        is_tied = False  # inside a block of ties that holds a positive; its negatives have no mark
        for i in range(start[c], start[c + 1]):
            w, m = weights[patient[i]], mark[i]
            is_tied = is_tied or m & OPENS > 0
            if m & OPENS or not is_tied:
                pos_before[:] = pos
                neg_before[:] = neg
            for b in range(n):
                if m & POSITIVE:
                    pos[b] += w[b]
                else:
                    neg[b] += w[b]
            if m & CLOSES or not is_tied:
                _add_trapezoid(pos, neg, pos_before, neg_before, limit, area[c])
            is_tied = is_tied and m & CLOSES == 0
            if i % 256 == 0 and (neg_before >= limit).all():  # also inside a block of ties
                break
        for b in range(n):
            pairs = np.float64(totals[c, 0, b]) * np.float64(totals[c, 1, b])
            area[c, b] = area[c, b] / pairs if pairs > 0 else np.nan


@_compiled
def _add_trapezoid(
    pos: np.ndarray,
    neg: np.ndarray,
    pos_before: np.ndarray,
    neg_before: np.ndarray,
    limit: np.ndarray,
    area: np.ndarray,
) -> None:
    """Add what lies between two points of the curve and left of the limit."""
    for b in range(pos.shape[0]):
        step = np.float64(neg[b] - neg_before[b])
        inside = min(step, limit[b] - neg_before[b])
        if inside > 0:
            rise = np.float64(pos[b] - pos_before[b]) * inside / step
            area[b] += inside * (np.float64(pos_before[b]) + rise / 2)


@_compiled
def _add(into: np.ndarray, w: np.ndarray) -> None:
    for b in range(w.shape[0]):
        into[b] += w[b]


@_compiled
def _add_alone(pos: np.ndarray, neg: np.ndarray, w: np.ndarray, lost2: np.ndarray) -> None:
    """A positive whose score nobody shares."""
    for b in range(w.shape[0]):
        pos[b] += w[b]
        lost2[b] += np.float64(w[b]) * (2.0 * np.float64(neg[b]))


@_compiled
def _close_block(
    pos: np.ndarray,
    neg: np.ndarray,
    pos_before: np.ndarray,
    neg_before: np.ndarray,
    lost2: np.ndarray,
) -> None:
    """Score the positives of a block of ties against the negatives above and inside it."""
    for b in range(pos.shape[0]):
        new = pos[b] - pos_before[b]
        lost2[b] += np.float64(new) * np.float64(neg_before[b] + neg[b])


@_compiled
def _add_gain(pos: np.ndarray, neg: np.ndarray, pos_before: np.ndarray, gain: np.ndarray) -> None:
    for b in range(pos.shape[0]):
        called = max(pos[b] + neg[b], 1)
        new = np.float64(pos[b] - pos_before[b])
        gain[b] += new * np.float64(pos[b]) / np.float64(called)


@_compiled
def _finish(pos: np.ndarray, neg: np.ndarray, lost2: np.ndarray, auroc: np.ndarray) -> None:
    for b in range(pos.shape[0]):
        pairs2 = 2.0 * np.float64(pos[b]) * np.float64(neg[b])
        auroc[b] = (pairs2 - lost2[b]) / pairs2 if pairs2 > 0 else np.nan


@_compiled
def count_cells(
    patient: np.ndarray,
    outcome: np.ndarray,
    start: np.ndarray,
    weights: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Weighted numbers of tn, fp, fn and tp of every cell and replicate.

    Args:
        patient: (row,) int32; rows of a cell are contiguous.
        outcome: (row,) uint8; 0 to 3, or NO_DECISION.
        start: (cell + 1,) int64; where each cell begins.
        weights: (patient, replicate) uint8.
        counts: (cell, 4, replicate) int32, overwritten.
    """
    counts[:] = 0
    for c in range(start.shape[0] - 1):
        for i in range(start[c], start[c + 1]):
            k = outcome[i]
            if k < 4:
                w = weights[patient[i]]
                into = counts[c, k]
                for b in range(w.shape[0]):
                    into[b] += w[b]
