"""What each part of the page shows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from segclf.core.atomic import write_text
from segclf.report.content import GalleryItem, ReportContent
from segclf.report.curves import roc_figure
from segclf.report.facts import alt_text, fact_lines
from segclf.report.forest import forest_figure
from segclf.report.gallery import explain_error
from segclf.report.picture import Picture, draw_item
from segclf.report.rows import Row, as_rows, distinct, is_missing, where
from segclf.report.svg import inline_svg, svg_text
from segclf.report.tables import (
    METRIC_NAMES,
    Table,
    gaps_table,
    grid_table,
    group_name,
    metrics_table,
    plain_table,
    robust_table,
)
from segclf.report.text import plain


@dataclass(frozen=True)
class Shown:
    """A figure in the page, and the file beside it."""

    svg: Markup
    file: str
    caption: str


@dataclass(frozen=True)
class Group:
    """One grouping of the cases."""

    forest: Shown
    table: Table


@dataclass(frozen=True)
class Finding:
    """Everything about one finding; what there is no data for is None."""

    name: str
    overall: Table
    roc: Shown
    robust: Table | None
    definitions: list[str]
    grid: Table | None
    overlap: Table | None
    groups: list[Group]
    gaps: Table | None
    gap_notes: list[str]


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


class FigureFiles:
    """Writes figures as files and numbers them, so that their names and ids are unique."""

    def __init__(self, folder: Path) -> None:
        """Write into `folder`."""
        self.folder = folder
        self.n_figures = 0

    def add(self, kind: str, figure: Figure, caption: str) -> Shown:
        """The figure for the page, after it has been written to a file."""
        self.n_figures += 1
        name = f"{kind}-{self.n_figures}"
        text = svg_text(figure)
        write_text(self.folder / f"{name}.svg", text)
        inline = inline_svg(text, name=name, title=caption)
        return Shown(Markup(inline), f"{name}.svg", caption)  # noqa: S704 (texts are escaped there)


def show_finding(
    files: FigureFiles, content: ReportContent, finding: str, methods: Sequence[str]
) -> Finding:
    """Tables and figures of one finding."""
    name, unit = plain(finding), content.unit_name
    rows = where(as_rows(content.metrics), finding=finding)
    overall = where(rows, group_column="all")
    robust = _of(content.robust, finding)
    gaps = _of(content.gaps, finding)
    columns = [column for column in distinct(rows, "group_column") if column != "all"]
    roc = roc_figure(content.scores, overall, finding=finding, methods=methods)
    return Finding(
        name=name,
        overall=metrics_table(overall, caption=f"{name}: all test cases", unit_name=unit),
        roc=files.add("roc", roc, f"ROC curves of {name} on test cases"),
        robust=maybe(robust, robust_table, f"{name}: AUROC and the shortcut"),
        definitions=_definitions(robust),
        grid=maybe(
            _of(content.grid, finding), grid_table, f"{name}: AUROC by shortcut in both classes"
        ),
        overlap=maybe(
            _of(content.overlap, finding),
            lambda own, caption: metrics_table(own, caption=caption, unit_name=unit),
            f"{name}: predicted masks against the truth",
        ),
        groups=[
            _show_group(files, rows, name, column, methods, unit)
            for column in columns
        ],
        gaps=maybe(
            where(gaps, metric="auroc"), gaps_table, f"{name}: worst group and gap in AUROC"
        ),
        gap_notes=[plain(note, 300) for note in distinct(gaps, "note")],
    )  # fmt: skip


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


def show_ledger(content: ReportContent) -> dict[str, Any]:
    """What was left out and why, and how intervals were made."""
    ledger, metrics = content.ledger, as_rows(content.metrics)
    intervals = ", ".join(str(name) for name in distinct(metrics, "interval"))
    if "confidence" in ledger:
        intervals = f"{ledger['confidence']:.0%} {intervals}, {ledger['n_boot']:,} resamples"
    missing = [row for row in metrics if is_missing(row["estimate"])]
    aside = [
        {key: row.get(key) for key in ("case_id", "reason", "message")}
        for row in content.quarantined
    ]
    return {
        "intervals": plain(intervals, 200),
        "notes": [plain(note, 300) for note in ledger.get("notes", ())],
        "exclusions": maybe(ledger.get("exclusions"), plain_table, "Left out of some numbers"),
        "quarantined": maybe(aside, plain_table, "Cases set aside"),
        "not_estimated": maybe(
            _summed_up(missing), plain_table, "Numbers that cannot be estimated"
        ),
    }


def maybe(rows: Sequence[Row] | None, make: Callable[..., Table], caption: str) -> Table | None:
    """The table of `rows`; None if there are none."""
    return make(rows, caption=caption) if rows else None


def _show_group(
    files: FigureFiles,
    rows: Sequence[Row],
    finding: str,
    column: str,
    methods: Sequence[str],
    unit_name: str,
) -> Group:
    part = [row for row in rows if row["group_column"] in ("all", column)]
    forest = forest_figure(
        part, metric="auroc", axis_name="AUROC", methods=methods, unit_name=unit_name
    )
    caption = f"{finding} by {plain(column)}"
    return Group(
        forest=files.add("forest", forest, f"AUROC of {caption}"),
        table=metrics_table(part, caption=caption, unit_name=unit_name),
    )


def _summed_up(missing: Sequence[Row]) -> list[Row]:
    """Missing numbers of one group with one reason in one row."""
    table = []
    for key in distinct(missing, "finding", "group_column", "group", "reason"):
        finding, column, group, reason = key
        own = where(missing, finding=finding, group_column=column, group=group, reason=reason)
        metrics = [METRIC_NAMES.get(metric, str(metric)) for metric in distinct(own, "metric")]
        named = {"finding": finding, "group": group_name(column, group)}
        named |= {"metrics": ", ".join(metrics), "methods": len(distinct(own, "method"))}
        table.append(named | {"reason": reason})
    return table


def _of(frame: pd.DataFrame, finding: str) -> list[Row]:
    return [] if frame.empty else where(as_rows(frame), finding=finding)


def _definitions(robust: Sequence[Row]) -> list[str]:
    texts = [f"{r['quantity']}: {r['definition']} ({plain(r['shortcut'])})" for r in robust]
    return list(dict.fromkeys(texts))
