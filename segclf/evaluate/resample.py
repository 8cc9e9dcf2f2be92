"""Resample patients: every slice, fold, seed and method counted under the same draws."""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from segclf.evaluate.inference import kernel
from segclf.evaluate.metrics import Metric
from segclf.evaluate.metrics.ranking import PARTIAL_SPECIFICITY, standardized
from segclf.evaluate.sample import Sample, Slice
from segclf.evaluate.sums import cut_sums, values_of_sums


@dataclass(frozen=True)
class Replicates:
    """Values under the resampled weights; replicate 0 is the sample itself.

    Leading axes: (method, slice, seed, fold); last axis: replicate.
    """

    values: dict[str, np.ndarray]
    """Per metric of scores, one number per cell and replicate; NaN where undefined."""
    counts: np.ndarray
    """(method, slice, seed, fold, 4, replicate): tn, fp, fn, tp; 0 if no metric needs them."""
    pooled: dict[str, np.ndarray]
    """Per metric of probabilities, (method, slice, seed, replicate); folds are pooled."""
    reasons: dict[str, np.ndarray]
    """Per metric of probabilities, (method, slice) why there is no value, or ''."""

    def of_slices(self, first: int, last: int) -> "Replicates":
        """The replicates of slices `first` up to, not including, `last`."""
        part = slice(first, last)
        return Replicates(
            {name: array[:, part] for name, array in self.values.items()},
            self.counts[:, part],
            {name: array[:, part] for name, array in self.pooled.items()},
            {name: array[:, part] for name, array in self.reasons.items()},
        )


@dataclass(frozen=True)
class _Cells:
    """Rows of all cells, cell after cell, in descending order of score."""

    row: np.ndarray
    patient: np.ndarray
    mark: np.ndarray
    outcome: np.ndarray
    start: np.ndarray


def resample(
    sample: Sample,
    slices: Sequence[Slice],
    metrics: Mapping[str, Metric],
    *,
    n_boot: int,
    seed: int,
    n_threads: int = 1,
) -> Replicates:
    """Every metric of scores, and the counts behind metrics of decisions, under every draw.

    Patients are drawn with replacement within strata (fold and whether a patient has a positive
    case), so that every replicate keeps their numbers.

    Args:
        sample: The rows of one finding.
        slices: The sets of cases to evaluate.
        metrics: What to compute.
        n_boot: Number of replicates besides the sample itself.
        seed: Seed of the draws, 64 bits; the result depends on nothing else.
        n_threads: Batches computed at a time; the numbers do not depend on it.

    Source:
        Patients stratified on their disease state: Rutter, Acad Radiol 7 (2000) 413.
    """
    n_patients = int(sample.stratum_start[-1])

    def draw(first: int, weights: np.ndarray) -> None:
        kernel.draw_weights(sample.stratum_start, np.uint64(seed), first, weights)

    return _count(sample, slices, metrics, draw, n_patients, n_boot + 1, n_threads)


def leave_out_each(
    sample: Sample, slices: Sequence[Slice], metrics: Mapping[str, Metric], *, n_threads: int = 1
) -> Replicates:
    """The same without each patient in turn: replicate 0 is the sample, p + 1 lacks patient p."""
    n_patients = int(sample.stratum_start[-1])

    def draw(first: int, weights: np.ndarray) -> None:
        weights[:] = 1
        out = np.arange(first, first + weights.shape[1]) - 1
        weights[out[out >= 0], np.flatnonzero(out >= 0)] = 0

    return _count(sample, slices, metrics, draw, n_patients, n_patients + 1, n_threads)


_Draw = Callable[[int, np.ndarray], None]
"""Fills weights (patient, replicate) uint8 of the replicates from a number on."""


def _count(
    sample: Sample,
    slices: Sequence[Slice],
    metrics: Mapping[str, Metric],
    draw: _Draw,
    n_patients: int,
    n_columns: int,
    n_threads: int,
) -> Replicates:
    cells, sums = _cut_cells(sample, slices), cut_sums(sample, slices, metrics)
    n_cells = len(cells.start) - 1
    kernels = {"auroc", "average_precision", "partial_auroc"}
    ranks = {
        name: np.full((n_cells, n_columns), np.nan) for name in kernels | _called(metrics).keys()
    }
    counts = np.zeros((n_cells, 4, n_columns), np.int32)
    totals = [np.zeros((len(cell.terms.T), n_columns)) for cell in sums]
    is_counted = any(metric.needs == "decision" for metric in metrics.values())
    wanted = {metric.kernel for metric in metrics.values() if metric.kernel is not None}
    buffers = threading.local()  # fresh memory for every batch costs more than the draws

    def run_batch(first: int) -> None:
        last = min(first + width, n_columns)
        weights = getattr(buffers, "weights", None)
        if weights is None or weights.shape[1] != last - first:
            buffers.weights = weights = np.empty((n_patients, last - first), np.uint8)
        draw(first, weights)
        _rank(cells, weights, slice(first, last), ranks, wanted)
        if is_counted:
            part = np.empty((n_cells, 4, last - first), np.int32)
            kernel.count_cells(cells.patient, cells.outcome, cells.start, weights, part)
            counts[:, :, first:last] = part
        for cell, total in zip(sums, totals, strict=True):
            total[:, first:last] = cell.terms.T @ weights[cell.patient].astype(np.float64)
        for name, metric in _called(metrics).items():
            ranks[name][:, first:last] = _call(metric, sample, cells, weights)

    width = batch_width(n_patients, len(cells.row))
    with ThreadPoolExecutor(max_workers=n_threads) as pool:
        list(pool.map(run_batch, range(0, n_columns, width)))
    shape = (len(sample.methods), len(slices), sample.n_seeds, sample.n_folds)
    values = {
        name: ranks[metric.kernel or name].reshape(*shape, n_columns)
        for name, metric in metrics.items()
        if metric.needs == "score"
    }
    pooled, reasons = values_of_sums(sums, totals, metrics, shape[:3], n_columns)
    return Replicates(values, counts.reshape(*shape, 4, n_columns), pooled, reasons)


def _rank(
    cells: _Cells,
    weights: np.ndarray,
    columns: slice,
    ranks: dict[str, np.ndarray],
    wanted: Collection[str],
) -> None:
    n_cells, n = len(cells.start) - 1, weights.shape[1]
    auroc, area = np.empty((2, n_cells, n))
    precision = np.empty((n_cells if "average_precision" in wanted else 0, n))
    totals = np.empty((n_cells, 2, n), np.int32)
    rows = (cells.patient, cells.mark, cells.start, weights)
    kernel.rank_cells(*rows, auroc, precision, totals)
    ranks["auroc"][:, columns] = auroc
    if "average_precision" in wanted:
        ranks["average_precision"][:, columns] = precision
    if "partial_auroc" in wanted:
        kernel.rank_top(*rows, totals, 1 - PARTIAL_SPECIFICITY, area)
        ranks["partial_auroc"][:, columns] = standardized(area, PARTIAL_SPECIFICITY, 1.0)


def batch_width(n_patients: int, n_rows: int) -> int:
    """Replicates counted side by side, 32 to 128, so that their weights stay in the cache.

    With many rows per patient, longer runs of replicates outweigh that.
    """
    budget = 2**22 if n_rows < 10 * n_patients else 2**24
    return 2 ** int(np.clip(np.round(np.log2(budget / n_patients)), 5, 7))


def _cut_cells(sample: Sample, slices: Sequence[Slice]) -> _Cells:
    """Cells in the order (method, slice, seed, fold)."""
    n_blocks = sample.n_seeds * sample.n_folds
    block = sample.seed * sample.n_folds + sample.fold
    rows, starts = [], [np.zeros(1, np.int64)]
    for method in range(len(sample.methods)):
        own = np.flatnonzero(sample.method == method)
        own = own[np.argsort(-sample.score[own])]  # the order inside a tie changes nothing
        for part in slices:
            members = own[part.member[own]]
            if n_blocks > 1:
                members = members[np.argsort(block[members], kind="stable")]
            rows.append(members)
            ends = np.searchsorted(block[members], np.arange(1, n_blocks + 1))
            starts.append(starts[-1][-1] + ends)
    row, start = np.concatenate(rows), np.concatenate(starts)
    decision, positive = sample.decision[row], sample.positive[row]
    called = np.where(np.isnan(decision), 0, decision).astype(np.uint8)
    outcome = np.where(np.isnan(decision), kernel.NO_DECISION, 2 * positive + called)
    return _Cells(
        row=row,
        patient=sample.patient[row],
        mark=_marks(sample.score[row], positive, start),
        outcome=outcome.astype(np.uint8),
        start=start,
    )


def _marks(score: np.ndarray, positive: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Which row is positive, and which opens or closes a block of ties that holds a positive."""
    opens = np.ones(len(score), bool)
    opens[1:] = score[1:] != score[:-1]
    opens[start[start < len(score)]] = True
    block = np.cumsum(opens) - 1
    holds = np.bincount(block, positive) > 0 if len(score) else np.zeros(0, bool)
    closes = np.ones(len(score), bool)
    closes[:-1] = opens[1:]
    mark = positive * kernel.POSITIVE + opens * kernel.OPENS + closes * kernel.CLOSES
    return np.where(holds[block], mark, 0).astype(np.uint8)


def _called(metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    return {n: m for n, m in metrics.items() if m.needs == "score" and m.kernel is None}


def _call(metric: Metric, sample: Sample, cells: _Cells, weights: np.ndarray) -> np.ndarray:
    """A metric that the compiled pass does not know, called per cell and replicate."""
    values = np.full((len(cells.start) - 1, weights.shape[1]), np.nan)
    label = sample.positive[cells.row].astype(np.int8)
    score = sample.score[cells.row]
    for c, (start, end) in enumerate(zip(cells.start[:-1], cells.start[1:], strict=True)):
        for b in range(weights.shape[1] if end > start else 0):
            weight = weights[cells.patient[start:end], b].astype(np.float64)
            values[c, b] = metric.function(label[start:end], score[start:end], weight)
    return values
