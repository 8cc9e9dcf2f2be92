"""What the page shows of groups: tests, worst groups, and each column with its curves."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from segclf.report.blocks import FigureFiles, Piece, Section, fold, tables
from segclf.report.cells import EXPLORATORY, Table, interval_kinds
from segclf.report.curves import KINDS
from segclf.report.differences import groups_table, heterogeneity_table, worst_table
from segclf.report.forest import forest_figure
from segclf.report.names import families, metric_name
from segclf.report.panels import Part, drawn_parts, group_parts, panels_figure
from segclf.report.rows import Row, distinct, is_missing, where
from segclf.report.scored import Scored
from segclf.report.tables import (
    crosstab_table,
    decomposition_table,
    masks_table,
    matrix_table,
    metrics_table,
    shrunken_table,
)
from segclf.report.text import plain

MOST_PAIRS = 12
"""Comparisons of groups that are shown unfolded."""


@dataclass(frozen=True)
class Shared:
    """What all sections of one finding use."""

    files: FigureFiles
    name: str
    anchor: str
    rows: Mapping[str, Sequence[Row]]
    """Name of a table to its rows of this finding."""
    cases: Mapping[str, Scored]
    """Test cases by method."""
    groups: Mapping[str, pd.Series]
    unit_name: str
    exploratory: bool


def group_sections(shared: Shared) -> Iterator[Section]:
    """The section that compares groups, then one per group column."""
    rows = shared.rows["metrics"]
    columns = [column for column in distinct(rows, "group_column") if column != "all"]
    if columns:
        yield from _differences(shared)
    for place, column in enumerate(columns, start=1):
        yield _column(shared, str(column), f"{shared.anchor}-by-{place}")


def _differences(shared: Shared) -> Iterator[Section]:
    comparisons, topics = shared.rows["comparisons"], set()
    pieces: list[Piece] = []
    tests = where(comparisons, kind="heterogeneity")
    worst, pairs = shared.rows["gaps"], where(comparisons, kind="groups")
    caption = f"{shared.name}: do the groups of a column differ?"
    pieces += _first_metric(tests, heterogeneity_table, caption, unit_name=shared.unit_name)
    pieces += _first_metric(worst, worst_table, f"{shared.name}: worst group and gap")
    notes = [plain(note, 300) for note in distinct(worst, "note") if not is_missing(note) and note]
    pieces += [("note", f"On gaps: {note}.") for note in notes]
    for metric in distinct(pairs, "metric"):
        own = where(pairs, metric=metric)
        caption = (
            f"{shared.name}: difference between groups in {metric_name(metric)}, first minus second"
        )
        table = tables(own, groups_table, caption)
        is_open = len(own) <= MOST_PAIRS and metric == "auroc"
        pieces += (
            table
            if is_open
            else fold(f"Pairs of groups: {metric_name(metric)} ({len(own)})", table)
        )
    topics |= {"heterogeneity"} if tests else set()
    topics |= {"worst"} if worst else set()
    topics |= {"pairs"} if pairs else set()
    if pieces:
        title = "Differences between groups"
        yield Section(f"{shared.anchor}-groups", title, pieces, frozenset(topics))


def _first_metric(
    rows: Sequence[Row], make: Callable[..., Table], caption: str, **options: object
) -> list[Piece]:
    """The table of AUROC, or else of the first metric, and one of the others, folded."""
    metrics = distinct(rows, "metric")
    if not metrics:
        return []
    first = "auroc" if "auroc" in metrics else metrics[0]
    shown = where(rows, metric=first)
    rest = [row for row in rows if row["metric"] != first]
    pieces = tables(shown, make, f"{caption} ({metric_name(first)})", **options)
    others = tables(rest, make, f"{caption} (other metrics)", **options)
    return [*pieces, *fold("The same for other metrics", others)]


def _column(shared: Shared, column: str, anchor: str) -> Section:
    every = shared.rows["metrics"]
    own = where(every, group_column=column)
    part = [*where(every, group_column="all"), *own]
    caption = f"{shared.name} by {plain(column)}"
    pieces: list[Piece] = []
    topics = {"groups"}
    pieces += _forest(shared, part, "auroc", caption)
    if distinct(own, "negatives") == ["all"]:
        topics.add("severity")
        pieces.append(
            ("note", "This column is derived from the truth: it cuts the positives, and each group "
            "is compared with all negatives. Groups share them, so their numbers go together.")
        )  # fmt: skip
    for place, (heading, metrics) in enumerate(families(distinct(own, "metric")).items()):
        rows = [row for row in part if row["metric"] in metrics]
        title = caption + (f", {heading.lower()}" if place else "")
        table = tables(rows, metrics_table, title, unit_name=shared.unit_name)
        pieces += table if place == 0 else fold(heading, table)
    pieces += fold("Forest plots of sensitivity and specificity", [
        *_forest(shared, part, "sensitivity", caption),
        *_forest(shared, part, "specificity", caption),
    ])  # fmt: skip
    shrunken = [row for row in own if not is_missing(row.get("shrunken"))]
    title = f"{caption}: raw and shrunken estimates"
    if shrunken:
        topics.add("shrunken")
        pieces += _first_metric(shrunken, shrunken_table, title, unit_name=shared.unit_name)
    if column in shared.groups:
        pieces += _curves(shared, column, own, caption)
        topics.add("group curves")
    pairs = where(shared.rows["decomposition"], group_column=column)
    if pairs:
        topics.add("decomposition")
        pieces += _decomposition(pairs, caption)
    masks = where(shared.rows["overlap"], group_column=column)
    title = f"{caption}: predicted masks against the truth"
    pieces += tables(masks, masks_table, title, unit_name=shared.unit_name)
    return Section(anchor, f"By {plain(column)}", pieces, frozenset(topics))


def _forest(shared: Shared, rows: Sequence[Row], metric: str, caption: str) -> list[Piece]:
    drawn = where(rows, metric=metric)
    if not drawn:
        return []
    name = metric_name(metric)
    figure = forest_figure(
        rows, metric=metric, axis_name=name, methods=list(shared.cases), unit_name=shared.unit_name
    )
    kinds = interval_kinds(drawn)
    note = f"Bars are intervals: {kinds}." if kinds else "No intervals."
    note += " The dotted line is chance." if metric == "auroc" else ""
    if any(not is_missing(row.get("shrunken")) for row in drawn):
        note += " Hollow diamonds are shrunken estimates."
    note += f" {EXPLORATORY}." if any(row.get("exploratory") for row in drawn) else ""
    return [("figure", shared.files.add("forest", figure, f"{name} of {caption}", note))]


def _curves(shared: Shared, column: str, rows: Sequence[Row], caption: str) -> list[Piece]:
    every = group_parts(shared.cases, shared.groups[column], rows)
    parts, left_out = drawn_parts(every)
    pieces: list[Piece] = [
        ("note", f"Groups without a panel ({len(names)}), {reason}: "
         f"{', '.join(plain(name, 60) for name in names)}.")
        for reason, names in left_out.items()
    ]  # fmt: skip
    for kind_name, kind in KINDS.items():
        figure = panels_figure(kind, parts) if parts else None
        if figure is not None:
            is_marked = shared.exploratory and not kind.needs_probability
            note = " ".join([kind.note, *([f"{EXPLORATORY}."] if is_marked else [])])
            title = f"{kind.title} of {caption}"
            shown = shared.files.add(f"{kind_name}-groups", figure, title, note)
            pieces += fold(f"{kind.title} per group", [("figure", shown)])
    table = _crosstab(shared, every, caption)
    return [*pieces, *fold("Decisions against labels per group", table)]


def _crosstab(shared: Shared, parts: Sequence[Part], caption: str) -> list[Piece]:
    rows = [(part.name, method, own) for part in parts for method, own in part.cases.items()]
    if not rows:
        return []
    title = f"{caption}: decisions against labels"
    return [("table", crosstab_table(rows, caption=title, exploratory=shared.exploratory))]


def _decomposition(rows: Sequence[Row], caption: str) -> list[Piece]:
    pieces = tables(rows, decomposition_table, f"{caption}: pooled AUROC taken apart")
    pieces.append(
        ("note", "The AUROC of all cases is the mean over pairs within groups and pairs across "
        "them. Where groups are ranked well but pairs across are not, scores of one group lie "
        "higher than those of another.")
    )  # fmt: skip
    matrices = [
        piece
        for method in distinct(rows, "method")
        for piece in tables(
            where(rows, method=method), matrix_table, f"{caption}: AUROC of pairs, {plain(method)}"
        )
    ]
    return [*pieces, *fold("AUROC for every pair of groups", matrices)]
