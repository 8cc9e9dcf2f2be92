"""The evaluation in one function: scores, labels and groups to rows of numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from segclf.core.catalog import lookup, unknown_name
from segclf.core.config import EvaluateSettings
from segclf.core.errors import DataError, UsageError
from segclf.core.scoretable import check_scores
from segclf.evaluate.bins import is_number
from segclf.evaluate.decide import decide, parse_source
from segclf.evaluate.decomposition import DECOMPOSITION_COLUMNS, SIZE_COLUMNS
from segclf.evaluate.estimates import Row
from segclf.evaluate.families import COMPARISON_COLUMNS, adjust
from segclf.evaluate.finding import Plan, evaluate_finding
from segclf.evaluate.gaps import GAP_COLUMNS
from segclf.evaluate.groups import Grouping, check_cases, group_cases, parse_shortcut
from segclf.evaluate.ledger import are_independent, make_ledger, nothing_of
from segclf.evaluate.metrics import METRICS, Metric, declared_metrics
from segclf.evaluate.rows import METRIC_COLUMNS
from segclf.evaluate.sample import make_sample, select_rows
from segclf.evaluate.shortcut import GRID_COLUMNS, ROBUST_COLUMNS

_TABLES = {
    "metrics": METRIC_COLUMNS,
    "gaps": GAP_COLUMNS,
    "comparisons": COMPARISON_COLUMNS,
    "robust": ROBUST_COLUMNS,
    "grid": GRID_COLUMNS,
    "decomposition": DECOMPOSITION_COLUMNS,
    "size_recall": SIZE_COLUMNS,
    "exclusions": (),
}


@dataclass(frozen=True)
class Evaluation:
    """What was measured, and what was left out."""

    metrics: pd.DataFrame
    """One row per method, finding, group and metric."""
    gaps: pd.DataFrame
    """Worst group and gap per method, finding, group column and metric."""
    comparisons: pd.DataFrame
    """Differences between methods and between groups, with raw and adjusted p values."""
    robust: pd.DataFrame
    """Robust and aligned AUROC per method and finding; empty without a shortcut."""
    grid: pd.DataFrame
    """AUROC by shortcut in positives and in negatives; empty without a shortcut."""
    decomposition: pd.DataFrame
    """The pooled AUROC by groups of its pairs."""
    size_recall: pd.DataFrame
    """Sensitivity by target size; empty without a size."""
    scores: pd.DataFrame
    """The score tables, with the decisions that were evaluated."""
    groups: pd.DataFrame
    """case_id and, per group column that cuts every case once, the name of its group."""
    ledger: Row
    """Settings, exclusions with counts, and notes; plain data."""


def evaluate_scores(
    scores: pd.DataFrame,
    cases: pd.DataFrame,
    *,
    by: Sequence[str] = (),
    shortcut: str | None = None,
    settings: EvaluateSettings | None = None,
    roles: Mapping[str, str] | None = None,
    seed: int = 0,
    metrics: Sequence[str] | None = None,
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
        by: Columns to group by, as `group_cases` reads them.
        shortcut: Column of a feature that should not matter, or `column=value`.
        settings: Intervals, thresholds, margins, and the smallest group.
        roles: Role of columns of `cases`; `derived` ones cut positives only.
        seed: Seed of the resampling.
        metrics: Names in METRICS, or of plug-ins in the group `segclf.metrics`; None is all of
            METRICS, and those that settings declare.
        unit_name: The word for what `patient_id` identifies.
        data: `user` or `phantom`; carried into every output.
        n_threads: Batches of resamples at a time; the numbers do not depend on it.

    Raises:
        DataError: The score table or the case table cannot be used; the message says why.
        UsageError: A column, bins, shortcut or metric does not exist or does not fit; or
            thresholds are to come from test cases.
    """
    settings, roles = settings or EvaluateSettings(), roles or {}
    check_cases(cases)
    scores = check_scores(scores, "score table")
    thresholds: list[Row] = []
    if settings.threshold_from is not None:
        source = parse_source(settings.threshold_from, exploratory=settings.exploratory)
        scores, thresholds = decide(scores, source)
    rows, exclusions = select_rows(scores)
    case_ids = pd.Index(cases["case_id"].astype("str"))
    rows = _with_unit(rows, cases, case_ids, settings.unit)
    unit = "image" if are_independent(rows) else unit_name
    unit = settings.unit if settings.unit == "volume" else unit
    if by or shortcut:
        _check_match(rows, case_ids)
    name, present = parse_shortcut(shortcut, cases, roles=roles) if shortcut else ("", None)
    groupings = _groupings(by, cases, roles)
    plan = Plan(
        metrics=_wanted(metrics, settings),
        groupings=groupings,
        sizes=_sizes(by, cases, roles),
        shortcut=name,
        present=present,
        settings=settings,
        seed=seed,
        unit=unit,
        n_threads=n_threads,
    )
    _check_declared(settings, plan.metrics, groupings)
    tables = _tables(rows, case_ids, plan)
    exclusions += tables["exclusions"]
    intersections = {name for name, grouping in groupings.items() if grouping.levels is not None}
    tables["comparisons"] = adjust(tables["comparisons"], settings, intersections=intersections)
    frames = {key: _frame(tables[key], columns) for key, columns in _TABLES.items() if columns}
    ledger = make_ledger(scores, rows, exclusions, settings, unit=unit)
    asked = {"data": data, "seed": seed, "by": list(by), "shortcut": shortcut}
    asked |= {"metrics": list(plan.metrics), "thresholds": thresholds}
    groups = _group_names(case_ids, groupings)
    return Evaluation(**frames, scores=scores, groups=groups, ledger=asked | ledger)


def _tables(rows: pd.DataFrame, case_ids: pd.Index, plan: Plan) -> dict[str, list[Row]]:
    """The rows of all tables, finding after finding."""
    tables: dict[str, list[Row]] = {key: [] for key in _TABLES}
    for finding in sorted(rows["finding"].unique()):
        sample = make_sample(rows, finding)
        absent = sorted(set(rows["method"]) - set(sample.methods))
        tables["exclusions"] += [nothing_of(method, finding) for method in absent]
        place = case_ids.get_indexer(pd.Index(sample.case_ids, dtype="str"))[sample.case]
        for key, found in evaluate_finding(sample, place, plan).items():
            tables[key] += found
    return tables


def _wanted(names: Sequence[str] | None, settings: EvaluateSettings) -> dict[str, Metric]:
    """The metrics of these names; without names all, and those that settings declare."""
    found = {
        name: lookup(name, METRICS, kind="metric", group="segclf.metrics")
        for name in (METRICS if names is None else names)
    }
    lacking = [n for n, m in found.items() if m.needs == "probability" and m.sums is None]
    if lacking:
        raise UsageError(
            f"the metric {lacking[0]!r} of probabilities cannot be resampled.",
            where="its Metric record",
            expected="a function `sums`",
            fix="write one as docs/extend/metric.md says",
        )
    return found | (declared_metrics(settings) if names is None else {})


def _check_declared(
    settings: EvaluateSettings, metrics: Mapping[str, Metric], groupings: Mapping[str, Grouping]
) -> None:
    """Refuse a margin of no metric, and a prespecified column that is not grouped by."""
    for name in settings.margins:
        if name not in metrics:
            raise unknown_name(name, list(metrics), kind="metric", where=f"--margin {name}")
    for column in settings.prespecified:
        if column not in groupings:
            where = f"evaluate.prespecified: {column}"
            raise unknown_name(column, list(groupings), kind="column of --by", where=where)


def _group_names(case_ids: pd.Index, groupings: Mapping[str, Grouping]) -> pd.DataFrame:
    """case_id and, per column that cuts every case once, the name of its group."""
    found = {
        column: np.array(grouping.names, dtype=object)[grouping.member.argmax(axis=0)[:-1]]
        for column, grouping in groupings.items()
        if grouping.is_partition
    }
    return pd.DataFrame({"case_id": case_ids, **found})


def _with_unit(
    rows: pd.DataFrame, cases: pd.DataFrame, case_ids: pd.Index, unit: str
) -> pd.DataFrame:
    """The rows with what is drawn independently as `patient_id`."""
    if unit == "patient":
        return rows
    if unit == "case":
        return rows.assign(patient_id=rows["case_id"])
    if "volume_id" not in cases.columns:
        raise unknown_name(
            "volume_id", [str(c) for c in cases.columns], kind="column", where="--unit volume"
        )
    place = case_ids.get_indexer(pd.Index(rows["case_id"]))
    volume = cases["volume_id"].astype("str").to_numpy()[place]
    is_missing = (place < 0) | cases["volume_id"].isna().to_numpy()[place]
    if is_missing.any():
        example = rows["case_id"].to_numpy()[is_missing][0]
        raise DataError(
            f"{int(is_missing.sum())} rows have no volume, such as case {example!r}.",
            where="column volume_id of the case table",
            expected="the volume of every scored case",
            fix="fill the column, or use --unit patient",
        )
    return rows.assign(patient_id=volume)


def _check_match(rows: pd.DataFrame, case_ids: pd.Index) -> None:
    scored = pd.Index(rows["case_id"])
    if (case_ids.get_indexer(scored) < 0).all():
        raise DataError(
            f"no scored case is in the case table, not even {scored[0]!r}.",
            where="case_id of the score table and of the case table",
            expected=f"the same ids; the case table has {', '.join(map(repr, case_ids[:3]))}, ...",
            fix="evaluate with the manifest that the scores were made from",
        )


def _groupings(
    by: Sequence[str], cases: pd.DataFrame, roles: Mapping[str, str]
) -> dict[str, Grouping]:
    """One per text; a column that is cut in two ways goes by its texts, not by its name."""
    found = {text: group_cases(text, cases, roles=roles) for text in by}
    columns = [grouping.column for grouping in found.values()]
    named = [
        replace(grouping, column=text) if columns.count(grouping.column) > 1 else grouping
        for text, grouping in found.items()
    ]
    return {grouping.column: grouping for grouping in named}


def _sizes(
    by: Sequence[str], cases: pd.DataFrame, roles: Mapping[str, str]
) -> dict[str, pd.Series]:
    """Numeric columns of `by` that follow from the truth, such as a target size."""
    names = [text.split(":")[0].strip() for text in by]
    columns = {name: pd.Series(cases[name]) for name in names if roles.get(name) == "derived"}
    return {name: values for name, values in columns.items() if is_number(values)}


def _frame(rows: list[Row], columns: tuple[str, ...]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=pd.Index(columns))
    return frame.astype({name: "Int64" for name in columns if name.startswith("n_")})
