"""What the page shows of one finding: sections in the order in which they are read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from segclf.report.blocks import FigureFiles, Piece, Section, Shown, fold, tables
from segclf.report.cells import EXPLORATORY
from segclf.report.content import GalleryItem, ReportContent
from segclf.report.curves import KINDS, Kind, can_draw, curve_figure, largest_bin
from segclf.report.differences import methods_table, relative_table
from segclf.report.facts import alt_text, fact_lines
from segclf.report.gallery import explain_error
from segclf.report.groups import Shared, group_sections
from segclf.report.names import OF_DECISIONS, families, metric_name
from segclf.report.picture import Picture, draw_item
from segclf.report.rows import Row, as_rows, distinct, is_missing, where
from segclf.report.scored import Scored, scored_cases
from segclf.report.sizes import size_figure
from segclf.report.tables import (
    crosstab_table,
    grid_table,
    masks_table,
    metrics_table,
    robust_table,
    size_table,
    spread_table,
)
from segclf.report.text import plain


@dataclass(frozen=True)
class Finding:
    """Everything about one finding."""

    name: str
    anchor: str
    sections: list[Section]


@dataclass(frozen=True)
class Error:
    """One card of the gallery."""

    case_id: str
    method: str
    finding: str
    kind: str
    alt: str
    picture: Picture
    facts: list[tuple[str, str]]


def show_finding(
    files: FigureFiles,
    content: ReportContent,
    finding: str,
    tables_of: Mapping[str, Sequence[Row]],
    anchor: str,
) -> Finding:
    """Tables and figures of one finding.

    Args:
        files: Where figures are written.
        content: For the scores, groups and the ledger.
        finding: Which one.
        tables_of: Name of a table of `content` to its rows.
        anchor: Id of the finding on the page.
    """
    rows = {name: where(own, finding=finding) for name, own in tables_of.items()}
    methods = distinct(tables_of["metrics"], "method")
    shared = Shared(
        files=files,
        name=plain(finding),
        anchor=anchor,
        rows=rows,
        cases=scored_cases(content.scores, finding, methods),
        groups=content.groups,
        unit_name=content.unit_name,
        exploratory=bool(content.ledger.get("exploratory")),
    )
    sections = [
        *_shortcut(shared),
        *_overall(shared, bool(content.ledger.get("deploy_prevalence"))),
        *_methods(shared),
        *group_sections(shared),
        *_sizes(shared),
    ]
    return Finding(shared.name, anchor, sections)


def show_error(item: GalleryItem) -> Error:
    """One card: the picture of a wrong decision and its facts."""
    facts = explain_error(item)
    return Error(
        case_id=plain(item.case_id),
        method=plain(item.method),
        finding=plain(item.finding),
        kind=item.kind,
        alt=alt_text(item),
        picture=draw_item(item, facts),
        facts=fact_lines(item, facts),
    )


def _shortcut(shared: Shared) -> Iterator[Section]:
    robust, grid = shared.rows["robust"], shared.rows["grid"]
    relative = where(shared.rows["comparisons"], kind="relative improvement")
    pieces = tables(robust, robust_table, f"{shared.name}: AUROC and the shortcut")
    texts = [
        f"{r['quantity']}: {plain(r['definition'], 200)} ({plain(r['shortcut'])})" for r in robust
    ]
    pieces += [("list", list(dict.fromkeys(texts)))] if texts else []
    pieces += tables(relative, relative_table, f"{shared.name}: relative improvement")
    pieces += tables(grid, grid_table, f"{shared.name}: AUROC by shortcut in both classes")
    if pieces:
        title = "Does the ranking follow the shortcut?"
        yield Section(f"{shared.anchor}-shortcut", title, pieces, frozenset({"shortcut"}))


def _overall(shared: Shared, is_deployed: bool) -> Iterator[Section]:
    name, rows = shared.name, where(shared.rows["metrics"], group_column="all")
    pieces: list[Piece] = []
    for place, (heading, metrics) in enumerate(families(distinct(rows, "metric")).items()):
        own = [row for row in rows if row["metric"] in metrics]
        caption = f"{name}: all test cases" + (f", {heading.lower()}" if place else "")
        table = tables(own, metrics_table, caption, unit_name=shared.unit_name)
        pieces += table if place == 0 else fold(heading, table)
    pieces += [("figures", list(_curves(shared, rows)))]
    parts = [("all cases", method, own) for method, own in shared.cases.items()]
    caption = f"{name}: decisions against labels"
    pieces += [("table", crosstab_table(parts, caption=caption, exploratory=shared.exploratory))]
    spread = [row for row in rows if _is_spread(row)]
    pieces += fold(
        "Spread over folds and seeds", tables(spread, spread_table, f"{name}: over folds and seeds")
    )
    overlap = shared.rows["overlap"]
    masks = where(overlap, group_column="all")
    caption = f"{name}: predicted masks against the truth"
    pieces += tables(masks, masks_table, caption, unit_name=shared.unit_name)
    topics = {"estimates", "curves", "crosstab"}
    topics |= {"overlap"} if masks else set()
    topics |= {"spread"} if spread else set()
    topics |= {"deployed"} if is_deployed else set()
    yield Section(f"{shared.anchor}-all", "All test cases", pieces, frozenset(topics))


def _is_spread(row: Row) -> bool:
    ends = (row.get("fold_min"), row.get("seed_min"))
    is_main = row["metric"] in ("auroc", "average_precision", "sensitivity", "specificity")
    return is_main and any(not is_missing(end) for end in ends)


def _curves(shared: Shared, rows: Sequence[Row]) -> Iterator[Shown]:
    for kind_name, kind in KINDS.items():
        is_drawn = any(can_draw(kind, own) for own in shared.cases.values())
        if is_drawn or not kind.needs_probability:
            figure = curve_figure(kind, shared.cases, rows)
            caption = f"{kind.title} of {shared.name} on test cases"
            note = _note(kind, shared.cases, exploratory=shared.exploratory)
            yield shared.files.add(kind_name, figure, caption, note)


def _note(kind: Kind, cases: Mapping[str, Scored], *, exploratory: bool) -> str:
    note = kind.note
    if kind is KINDS["calibration"]:
        note += f" The highest step stands for {largest_bin(cases)} cases."
    if exploratory and not kind.needs_probability:
        note += f" Operating point: {EXPLORATORY}."
    return note


MAIN = ("auroc", "sensitivity", "specificity")
"""Metrics whose comparisons are shown without a click."""


def _methods(shared: Shared) -> Iterator[Section]:
    rows = where(shared.rows["comparisons"], kind="methods")
    overall = where(rows, group_column="all")
    grouped = [row for row in rows if row["group_column"] != "all"]
    if not rows:
        return
    pieces: list[Piece] = [
        ("text", "Methods are compared on the same cases; each row is the first minus the second.")
    ]
    by_metric = sorted(overall, key=lambda row: distinct(overall, "metric").index(row["metric"]))
    main = [row for row in by_metric if row["metric"] in MAIN]
    more = [row for row in by_metric if row["metric"] not in MAIN]
    caption = f"{shared.name}: methods on all test cases"
    pieces += tables(main, methods_table, caption)
    pieces += fold(f"More metrics ({len(more)})", tables(more, methods_table, caption))
    for metric in distinct(grouped, "metric"):
        own = where(grouped, metric=metric)
        caption = f"{shared.name}: methods in each group, {metric_name(metric)}"
        table = tables(own, methods_table, caption)
        pieces += fold(f"In each group: {metric_name(metric)} ({len(own)})", table)
    title = "Differences between methods"
    yield Section(f"{shared.anchor}-methods", title, pieces, frozenset({"comparisons"}))


def _sizes(shared: Shared) -> Iterator[Section]:
    rows = shared.rows["size_recall"]
    pieces: list[Piece] = []
    for column in distinct(rows, "column"):
        own = where(rows, column=column)
        caption = f"Sensitivity of {shared.name} by {plain(column)}"
        note = "Bars are intervals; ranges of sizes are evenly spaced."
        note += f" {EXPLORATORY}." if shared.exploratory else ""
        figure = size_figure(own, methods=list(shared.cases))
        pieces.append(("figure", shared.files.add("size", figure, caption, note)))
        table = tables(own, size_table, caption, unit_name=shared.unit_name)
        pieces += fold("The same as a table", table)
    if pieces:
        title = "Sensitivity by size of the target"
        yield Section(f"{shared.anchor}-size", title, pieces, frozenset({"size"}))


def rows_of(
    frame: pd.DataFrame | None, *, exploratory: bool, all_metrics: bool = False
) -> list[Row]:
    """The rows of a table; numbers of decisions are flagged if thresholds saw test cases."""
    rows = [] if frame is None or frame.empty else as_rows(frame)
    if exploratory:
        for row in rows:
            row["exploratory"] = all_metrics or row.get("metric") in OF_DECISIONS
    return rows
