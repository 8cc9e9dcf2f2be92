"""Metrics of probabilities, resampled: terms summed by patient, times how often each was drawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segclf.evaluate.metrics import Metric
from segclf.evaluate.sample import Sample, Slice


@dataclass(frozen=True)
class SumCell:
    """One method, slice and seed, folds together: probabilities of folds are comparable."""

    place: tuple[int, int, int]
    """Method, slice, seed."""
    patient: np.ndarray
    """(own patient,) codes."""
    terms: np.ndarray
    """(own patient, term) sums over the patient's cases, the terms of all metrics side by side."""
    parts: dict[str, tuple[slice, Callable[[np.ndarray], np.ndarray]]]
    """Per metric, its terms and what makes a value of their sums."""
    reasons: dict[str, str]
    """Per metric without a value, why."""


def cut_sums(
    sample: Sample, slices: Sequence[Slice], metrics: Mapping[str, Metric]
) -> list[SumCell]:
    """A cell per method that has probabilities, slice and seed; none without such metrics."""
    wanted = {name: m for name, m in metrics.items() if m.sums is not None}
    known = ~np.isnan(sample.probability)
    cells = []
    for method in range(len(sample.methods)) if wanted else ():
        own = np.flatnonzero((sample.method == method) & known)
        for s, part in enumerate(slices) if len(own) else ():
            rows = own[part.member[own]]
            for seed in range(sample.n_seeds):
                members = rows[sample.seed[rows] == seed]
                if len(members):
                    cells.append(_cut(sample, members, wanted, (method, s, seed)))
    return cells


def _cut(
    sample: Sample, rows: np.ndarray, metrics: Mapping[str, Metric], place: tuple[int, int, int]
) -> SumCell:
    rows = rows[np.argsort(sample.patient[rows], kind="stable")]
    first = np.flatnonzero(np.diff(sample.patient[rows], prepend=-1))
    patient = sample.patient[rows][first]
    label, probability = sample.positive[rows].astype(np.int8), sample.probability[rows]
    columns, n, parts, reasons = [], 0, {}, {}
    for name, metric in metrics.items():
        assert metric.sums is not None
        try:
            terms, value_of = metric.sums(label, probability, sample.patient[rows])
        except ValueError as error:
            reasons[name] = str(error).removesuffix(".")
            continue
        columns.append(np.add.reduceat(terms, first, axis=0))
        parts[name] = (slice(n, n + terms.shape[1]), value_of)
        n += terms.shape[1]
    sums = np.concatenate(columns, axis=1) if columns else np.zeros((len(patient), 0))
    return SumCell(place, patient, sums, parts, reasons)


def values_of_sums(
    cells: Sequence[SumCell],
    totals: Sequence[np.ndarray],
    metrics: Mapping[str, Metric],
    shape: tuple[int, int, int],
    n_columns: int,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Values (method, slice, seed, replicate) and reasons (method, slice) of every metric.

    Args:
        cells: From `cut_sums`.
        totals: Per cell, (term, replicate) weighted sums.
        metrics: All metrics.
        shape: Numbers of methods, slices and seeds.
        n_columns: Replicates and the sample.
    """
    names = [name for name, metric in metrics.items() if metric.sums is not None]
    values = {name: np.full((*shape, n_columns), np.nan) for name in names}
    reasons = {name: np.full(shape[:2], "", object) for name in names}
    for cell, total in zip(cells, totals, strict=True):
        for name, (columns, value_of) in cell.parts.items():
            values[name][cell.place] = value_of(total[columns])
        for name, reason in cell.reasons.items():
            reasons[name][cell.place[:2]] = reason
    return values, reasons
