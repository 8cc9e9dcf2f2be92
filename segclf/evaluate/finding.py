"""The rows of one finding: every table, from the same resampled patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from segclf.core.config import EvaluateSettings
from segclf.core.errors import UsageError
from segclf.core.randomness import seed_of
from segclf.evaluate.decomposition import decomposition_rows, size_rows
from segclf.evaluate.estimates import Row, average_cells
from segclf.evaluate.exact import slice_aurocs
from segclf.evaluate.families import SHORTCUT
from segclf.evaluate.gaps import gap_rows
from segclf.evaluate.group_pairs import group_rows
from segclf.evaluate.groups import Grouping
from segclf.evaluate.ledger import exclusion_rows
from segclf.evaluate.method_pairs import method_rows
from segclf.evaluate.metrics import METRICS, Metric
from segclf.evaluate.resample import leave_out_each, resample
from segclf.evaluate.rows import Drawn, metric_rows
from segclf.evaluate.sample import Sample, Slice
from segclf.evaluate.shortcut import improvement_rows, shortcut_rows, shortcut_slices

MAX_BCA = 5000
"""Most patients for BCa intervals, whose time and memory grow as their square."""


@dataclass(frozen=True)
class Plan:
    """What is computed for each finding."""

    metrics: Mapping[str, Metric]
    groupings: Mapping[str, Grouping]
    sizes: Mapping[str, pd.Series]
    shortcut: str
    present: np.ndarray | None
    """(case,) of the case table; None without a shortcut."""
    settings: EvaluateSettings
    seed: int
    unit: str
    n_threads: int


def evaluate_finding(sample: Sample, place: np.ndarray, plan: Plan) -> dict[str, list[Row]]:
    """The rows of one finding, by table; `place` is each row's place in the case table."""
    settings, seed = plan.settings, seed_of(plan.seed, "evaluate", sample.finding)
    slices = [Slice("all", "all", np.ones(len(place), bool))]
    for grouping in plan.groupings.values():
        slices += _slices(sample, grouping, place)
    n_groups, feature = len(slices), None
    if plan.present is not None:
        feature = np.where(place >= 0, plan.present[place], np.nan)
        slices += shortcut_slices(sample, feature)
    every = _draw(sample, slices, {"auroc": METRICS["auroc"], **plan.metrics}, plan, seed)
    drawn = _part(every, slice(0, n_groups), plan.metrics)
    estimated = list(metric_rows(drawn, settings, unit=plan.unit))
    levels = {
        column: dict(zip(grouping.names, grouping.levels, strict=True))
        for column, grouping in plan.groupings.items()
        if grouping.levels is not None
    }
    found: dict[str, list[Row]] = {}
    found["gaps"] = list(gap_rows(estimated, settings, levels=levels, seed=seed))
    found["metrics"] = [one.row for one in estimated]
    found["exclusions"] = list(exclusion_rows(sample, place, plan.shortcut, feature))
    found["decomposition"] = list(decomposition_rows(sample, place, plan.groupings))
    found["size_recall"] = list(size_rows(sample, place, plan.sizes, settings))
    compared = drawn
    if feature is not None:
        rest = _part(every, slice(n_groups, len(slices)), plan.metrics)
        found["robust"], found["grid"] = shortcut_rows(
            sample, plan.shortcut, rest, settings, unit=plan.unit
        )
        named = replace(slices[n_groups], column=f"{SHORTCUT}{plan.shortcut}", group="robust")
        compared = _part(every, slice(0, n_groups + 1), plan.metrics)
        compared = replace(compared, slices=[*slices[:n_groups], named])
        robust = average_cells(METRICS["auroc"], "auroc", rest.replicates)[0][:, 0]
        found["comparisons"] = list(improvement_rows(compared, named, robust, settings))
    found.setdefault("comparisons", [])
    found["comparisons"] += method_rows(compared, settings, seed=seed, unit=plan.unit)
    found["comparisons"] += group_rows(
        drawn, estimated, plan.groupings, settings, seed=seed, n_threads=plan.n_threads
    )
    return found


def _draw(
    sample: Sample,
    slices: Sequence[Slice],
    metrics: Mapping[str, Metric],
    plan: Plan,
    seed: int,
) -> Drawn:
    n_threads, left_out = plan.n_threads, None
    if plan.settings.interval == "bca":
        _check_bca(int(sample.stratum_start[-1]), plan.unit)
        left_out = leave_out_each(sample, slices, metrics, n_threads=n_threads)
    n_boot = plan.settings.n_boot
    return Drawn(
        sample=sample,
        slices=slices,
        metrics=metrics,
        replicates=resample(sample, slices, metrics, n_boot=n_boot, seed=seed, n_threads=n_threads),
        left_out=left_out,
        aurocs=[slice_aurocs(sample, part.member, len(sample.methods)) for part in slices],
    )


def _check_bca(n_patients: int, unit: str) -> None:
    if n_patients > MAX_BCA:
        raise UsageError(
            f"BCa intervals leave out each {unit} in turn, and {n_patients:,} are too many.",
            where="--interval bca",
            expected=f"at most {MAX_BCA:,}",
            fix="--interval auto, or percentile: they hardly differ at this size",
        )


def _part(drawn: Drawn, which: slice, metrics: Mapping[str, Metric]) -> Drawn:
    """What was drawn of some of the slices, and of the metrics that were asked for."""
    left_out = drawn.left_out
    return replace(
        drawn,
        slices=drawn.slices[which],
        metrics=metrics,
        replicates=drawn.replicates.of_slices(which.start, which.stop),
        left_out=left_out and left_out.of_slices(which.start, which.stop),
        aurocs=drawn.aurocs[which],
    )


def _slices(sample: Sample, grouping: Grouping, place: np.ndarray) -> list[Slice]:
    """One slice per group; a case that is not in the case table belongs to 'missing'."""
    against = "of the group"
    if grouping.positives_only:
        against = "all" if grouping.negatives is None else "of the group but for its size"
    return [
        Slice(grouping.column, name, member, grouping.positives_only, against)
        for name, member in grouping.members(place, sample.positive)
    ]
