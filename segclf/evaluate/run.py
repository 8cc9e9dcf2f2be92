"""The evaluation in one function: scores, labels and groups to rows of numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from segclf.core.catalog import lookup
from segclf.core.config import EvaluateSettings
from segclf.core.errors import DataError
from segclf.core.randomness import seed_of
from segclf.evaluate.estimates import Row
from segclf.evaluate.gaps import GAP_COLUMNS, gap_rows
from segclf.evaluate.groups import Grouping, check_cases, group_cases, parse_shortcut
from segclf.evaluate.ledger import are_independent, exclusion_rows, make_ledger
from segclf.evaluate.metrics import METRICS, Metric
from segclf.evaluate.resample import Slice, resample
from segclf.evaluate.rows import METRIC_COLUMNS, metric_rows
from segclf.evaluate.sample import Sample, make_sample, select_rows
from segclf.evaluate.shortcut import (
    GRID_COLUMNS,
    ROBUST_COLUMNS,
    shortcut_rows,
    shortcut_slices,
)

_TABLES = {
    "metrics": METRIC_COLUMNS,
    "gaps": GAP_COLUMNS,
    "robust": ROBUST_COLUMNS,
    "grid": GRID_COLUMNS,
    "exclusions": (),
}


@dataclass(frozen=True)
class Evaluation:
    """What was measured, and what was left out."""

    metrics: pd.DataFrame
    """One row per method, finding, group and metric."""
    gaps: pd.DataFrame
    """Worst group and gap per method, finding, group column and metric."""
    robust: pd.DataFrame
    """Robust and aligned AUROC per method and finding; empty without a shortcut."""
    grid: pd.DataFrame
    """AUROC by shortcut in positives and in negatives; empty without a shortcut."""
    ledger: Row
    """Settings, exclusions with counts, and notes; plain data."""


@dataclass(frozen=True)
class _Plan:
    """What is computed for each finding."""

    metrics: Mapping[str, Metric]
    groupings: Sequence[Grouping]
    shortcut: str
    present: np.ndarray | None
    """(case,) of the case table; None without a shortcut."""
    settings: EvaluateSettings
    seed: int
    unit: str
    n_threads: int


def evaluate_scores(
    scores: pd.DataFrame,
    cases: pd.DataFrame,
    *,
    by: Sequence[str] = (),
    shortcut: str | None = None,
    settings: EvaluateSettings | None = None,
    roles: Mapping[str, str] | None = None,
    seed: int = 0,
    metrics: Sequence[str] = tuple(METRICS),
    unit_name: str = "patient",
    data: str = "user",
    n_threads: int = 1,
) -> Evaluation:
    """Metrics of every method, finding and group on test cases, with intervals by patient.

    What cannot be estimated is a row with a reason. All methods and groups of a finding share
    the same resampled patients, so differences between them can be taken replicate by replicate.

    Args:
        scores: Score tables of one or more methods, one below the other.
        cases: One row per case, with `case_id` and the columns that `by` and `shortcut` name.
        by: Columns to group by, with bins for numbers: `sex`, `age:[0,40),[40,)`.
        shortcut: Column of a feature that should not matter, or `column=value`.
        settings: Resamples, confidence, and the smallest group.
        roles: Role of columns of `cases`; `derived` ones cut positives only.
        seed: Seed of the resampling.
        metrics: Names in METRICS, or of plug-ins in the group `segclf.metrics`.
        unit_name: The word for what `patient_id` identifies.
        data: `user` or `phantom`; carried into every output.
        n_threads: Batches of resamples at a time; the numbers do not depend on it.

    Raises:
        DataError: The score table or the case table cannot be used; the message says why.
        UsageError: A column, bins, shortcut or metric does not exist or does not fit.
    """
    settings, roles = settings or EvaluateSettings(), roles or {}
    check_cases(cases)
    rows, exclusions = select_rows(scores)
    unit = "image" if are_independent(rows) else unit_name
    case_ids = pd.Index(cases["case_id"].astype("str"))
    if by or shortcut:
        _check_match(rows, case_ids)
    name, present = parse_shortcut(shortcut, cases, roles=roles) if shortcut else ("", None)
    plan = _Plan(
        metrics={m: lookup(m, METRICS, kind="metric", group="segclf.metrics") for m in metrics},
        groupings=_groupings(by, cases, roles),
        shortcut=name,
        present=present,
        settings=settings,
        seed=seed,
        unit=unit,
        n_threads=n_threads,
    )
    tables: dict[str, list[Row]] = {key: [] for key in _TABLES}
    tables["exclusions"] += exclusions
    for finding in sorted(rows["finding"].unique()):
        sample = make_sample(rows, finding)
        place = case_ids.get_indexer(pd.Index(sample.case_ids, dtype="str"))[sample.case]
        for key, found in _evaluate_finding(sample, place, plan).items():
            tables[key] += found
    frames = {key: _frame(tables[key], columns) for key, columns in _TABLES.items() if columns}
    ledger = make_ledger(scores, rows, tables["exclusions"], settings, unit=unit)
    asked = {"data": data, "seed": seed, "by": list(by), "shortcut": shortcut}
    return Evaluation(**frames, ledger=asked | {"metrics": list(metrics)} | ledger)


def _check_match(rows: pd.DataFrame, case_ids: pd.Index) -> None:
    scored = pd.Index(rows["case_id"])
    if (case_ids.get_indexer(scored) < 0).all():
        raise DataError(
            f"no scored case is in the case table, not even {scored[0]!r}.",
            where="case_id of the score table and of the case table",
            expected=f"the same ids; the case table has {', '.join(map(repr, case_ids[:3]))}, ...",
            fix="evaluate with the manifest that the scores were made from",
        )


def _groupings(by: Sequence[str], cases: pd.DataFrame, roles: Mapping[str, str]) -> list[Grouping]:
    """One per text; a column that is cut in two ways goes by its texts, not by its name."""
    found = {text: group_cases(text, cases, roles=roles) for text in by}
    columns = [grouping.column for grouping in found.values()]
    return [
        replace(grouping, column=text) if columns.count(grouping.column) > 1 else grouping
        for text, grouping in found.items()
    ]


def _evaluate_finding(sample: Sample, place: np.ndarray, plan: _Plan) -> dict[str, list[Row]]:
    """The rows of one finding, by table; `place` is each row's place in the case table."""
    slices = [Slice("all", "all", np.ones(len(place), bool))]
    for grouping in plan.groupings:
        slices += _slices(sample, grouping, place)
    n_groups, feature = len(slices), None
    if plan.present is not None:
        feature = np.where(place >= 0, plan.present[place], np.nan)
        slices += shortcut_slices(sample, feature)
    drawn = resample(
        sample,
        slices,
        {"auroc": METRICS["auroc"], **plan.metrics},
        n_boot=plan.settings.n_boot,
        seed=seed_of(plan.seed, "evaluate", sample.finding),
        n_threads=plan.n_threads,
    )
    groups = drawn.of_slices(0, n_groups)
    estimated = list(
        metric_rows(sample, slices[:n_groups], plan.metrics, groups, plan.settings, unit=plan.unit)
    )
    found: dict[str, list[Row]] = {"metrics": [one.row for one in estimated]}
    found["gaps"] = list(gap_rows(estimated, plan.settings))
    found["exclusions"] = list(exclusion_rows(sample, place, plan.shortcut, feature))
    if feature is not None:
        rest = drawn.of_slices(n_groups, len(slices))
        found["robust"], found["grid"] = shortcut_rows(
            sample, plan.shortcut, slices[n_groups:], rest, plan.settings, unit=plan.unit
        )
    return found


def _frame(rows: list[Row], columns: tuple[str, ...]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=pd.Index(columns))
    return frame.astype({name: "Int64" for name in columns if name.startswith("n_")})


def _slices(sample: Sample, grouping: Grouping, place: np.ndarray) -> list[Slice]:
    """One slice per group; a case that is not in the case table belongs to 'missing'."""
    return [
        Slice(grouping.column, name, member, grouping.positives_only)
        for name, member in grouping.members(place, sample.positive)
    ]
