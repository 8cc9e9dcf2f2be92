"""Rows of the evaluation as tables: counts in every row, and a reason for every gap."""

from collections.abc import Sequence
from dataclasses import replace

from segclf.core.text import plural
from segclf.report.cells import (
    DAGGER,
    Cell,
    Notes,
    Table,
    estimate_cell,
    exploratory_foot,
    head,
    interval_kinds,
    word,
)
from segclf.report.names import metric_name
from segclf.report.rows import Row, distinct, is_missing, one_per, where
from segclf.report.scored import Scored
from segclf.report.sizes import range_text
from segclf.report.text import MISSING, amount, count, number, plain

"""Pairs of cases in the decomposition: all, within groups, across groups."""


def metrics_table(rows: Sequence[Row], *, caption: str, unit_name: str) -> Table:
    """Groups and methods down, counts and metrics across, with intervals.

    The column of groups is left out where there is only one; with groups, the probability that a
    group has the worst AUROC of its column follows the AUROC.

    Args:
        rows: Of `Evaluation.metrics`, one finding.
        caption: What the table shows.
        unit_name: The word for a patient.
    """
    metrics, notes, table = distinct(rows, "metric"), Notes(), []
    groups = distinct(rows, "group_column", "group")
    with_worst = [m for m in metrics if _knows_worst(where(rows, metric=m)) and m == "auroc"]
    for column, group in groups:
        members = where(rows, group_column=column, group=group)
        methods = distinct(members, "method")
        first = [Cell(group_name(column, group), is_head=True, span=len(methods))]
        for method in methods:
            own = one_per(where(members, method=method), "metric")
            cells = []
            for metric in metrics:
                cells.append(estimate_cell(own.get(metric), notes))
                if metric in with_worst:
                    cells.append(Cell(percent(own.get(metric, {}).get("p_worst"))))
            sizes = _sizes(next(iter(own.values())), own.get("auroc", {}))
            is_first = method == methods[0] and len(groups) > 1
            name = Cell(plain(method), is_head=True, is_sub=len(groups) > 1)
            table.append([*(first if is_first else []), name, *sizes, *cells])
    names = []
    for metric in metrics:
        names += [metric_name(metric), *(["P(worst)" if metric in with_worst else ""])]
    shown = ["group", "method"] if len(groups) > 1 else ["method"]
    shown += ["cases", plural(plain(unit_name)), *filter(None, names)]
    return Table(caption, shown, table, notes, _metrics_foot(rows, bool(with_worst)))


def masks_table(rows: Sequence[Row], *, caption: str, unit_name: str) -> Table:
    """`metrics_table` of predicted masks; its caption says up to where outlines agree."""
    limits = {row["tolerance_mm"] for row in rows if not is_missing(row.get("tolerance_mm"))}
    if limits:
        shown = " or ".join(amount(value, "mm") for value in sorted(limits))
        caption = f"{caption} (outlines agree within {shown})"
    return metrics_table(rows, caption=caption, unit_name=unit_name)


def _metrics_foot(rows: Sequence[Row], has_worst: bool) -> list[str]:
    by_kind: dict[str, list[str]] = {}
    for metric in distinct(rows, "metric"):
        kinds = interval_kinds(where(rows, metric=metric))
        by_kind.setdefault(kinds, []).append(metric_name(metric))
    foot = [f"{', '.join(names)}: {kinds}" for kinds, names in by_kind.items() if kinds]
    foot = [f"Intervals: {'. '.join(foot)}."] if foot else []
    if has_worst:
        foot.append("P(worst): probability that the group has the lowest AUROC of its column.")
    return [*foot, *exploratory_foot(rows)]


def _knows_worst(rows: Sequence[Row]) -> bool:
    return any(not is_missing(row.get("p_worst")) for row in rows)


def percent(value: object) -> str:
    """A probability in percent; a dash if it is missing."""
    return MISSING if is_missing(value) else f"{100 * float(value):.0f} %"  # type: ignore[arg-type] (a number)


def _sizes(row: Row, auroc: Row) -> list[Cell]:
    """Cases with their classes, and patients; strata of positives share all negatives."""
    shared = " (all)" if row.get("negatives") == "all" else ""
    prevalence = row.get("prevalence")
    share = "" if is_missing(prevalence) else f" ({percent(prevalence)})"
    classes = f"{count(row['n_positive'])} pos.{share}, {count(row['n_negative'])} neg.{shared}"
    effect = auroc.get("design_effect")
    small = "" if is_missing(effect) else f"design effect {number(effect, 2)}"
    return [Cell(count(row["n_cases"]), classes), Cell(count(row["n_patients"]), small)]


def spread_table(rows: Sequence[Row], *, caption: str) -> Table:
    """Smallest and largest value over folds and over seeds, per method and metric."""
    table = []
    for row in rows:
        cells = [head(row["method"]), word(metric_name(row["metric"]))]
        cells.append(Cell(number(row["estimate"])))
        for kind in ("fold", "seed"):
            ends = [number(row.get(f"{kind}_{end}")) for end in ("min", "max")]
            is_known = not is_missing(row.get(f"{kind}_min"))
            cells.append(Cell(count(row.get(f"n_{kind}s"))))
            cells.append(Cell(" to ".join(ends) if is_known else MISSING))
        table.append(cells)
    names = ["method", "metric", "mean", "folds", "over folds", "seeds", "over seeds"]
    return Table(caption, names, table)


def robust_table(rows: Sequence[Row], *, caption: str) -> Table:
    """Methods down; robust AUROC, aligned AUROC and their difference across."""
    quantities, notes, table = distinct(rows, "quantity"), Notes(), []
    for method in distinct(rows, "method"):
        own = one_per(where(rows, method=method), "quantity")
        cells = [estimate_cell(own.get(quantity), notes) for quantity in quantities]
        counts = [_counts(own.get(quantity)) for quantity in quantities]
        shown = [_joined(cell, n) for cell, n in zip(cells, counts, strict=True)]
        table.append([head(method), *shown])
    return Table(caption, ["method", *map(plain, quantities)], table, notes, _foot(rows))


def grid_table(rows: Sequence[Row], *, caption: str) -> Table:
    """Methods down; AUROC for each of the four pairs of cases across."""
    pairs, notes, table = distinct(rows, "positives", "negatives"), Notes(), []
    for method in distinct(rows, "method"):
        cells = [head(method)]
        for positives, negatives in pairs:
            found = where(rows, method=method, positives=positives, negatives=negatives)
            row = found[0] if found else None
            cells.append(_joined(estimate_cell(row, notes), _counts(row)))
        table.append(cells)
    names = ["method", *(f"positives {p}, negatives {n}" for p, n in pairs)]
    return Table(caption, names, table, notes, _foot(rows))


def _foot(rows: Sequence[Row]) -> list[str]:
    kinds = interval_kinds(rows) if all("interval" in row for row in rows) else ""
    return [f"Intervals: {kinds}."] if kinds else []


def shrunken_table(rows: Sequence[Row], *, caption: str, unit_name: str) -> Table:
    """Intersections: the raw estimate beside the one that borrows from the other groups."""
    notes, table = Notes(), []
    for row in rows:
        shrunken = {"estimate": row["shrunken"], "lo": row["shrunken_lo"], "reason": ""}
        shrunken |= {"hi": row["shrunken_hi"], "exploratory": row.get("exploratory", False)}
        raw = _joined(estimate_cell(row, notes), _counts(row))
        cells = [Cell(group_name(row["group_column"], row["group"]), is_head=True)]
        cells += [word(row["method"]), word(metric_name(row["metric"]))]
        table.append([*cells, Cell(count(row["n_patients"])), raw, estimate_cell(shrunken, notes)])
    names = ["group", "method", "metric", plural(plain(unit_name)), "raw", "shrunken"]
    foot = [
        "Shrunken estimates come from an additive model of the single columns; they are steadier "
        "in small groups, and draw an exceptional one towards the others.",
        *exploratory_foot(rows),
    ]
    return Table(caption, names, table, notes, foot)


def decomposition_table(rows: Sequence[Row], *, caption: str) -> Table:
    """Methods down; pooled AUROC, and that of pairs within and across groups."""
    table = []
    for method in distinct(rows, "method"):
        cells = [head(method)]
        for pairs in ("all", "within", "across"):
            found = where(rows, method=method, pairs=pairs)
            cells.append(_pairs_cell(found[0] if found else None))
        table.append(cells)
    return Table(caption, ["method", "all pairs", "within groups", "across groups"], table)


def matrix_table(rows: Sequence[Row], *, caption: str) -> Table:
    """AUROC of the positives of each group (down) against the negatives of each (across)."""
    cells = where(rows, pairs="groups")
    groups, table = distinct(cells, "negatives"), []
    for positives in distinct(cells, "positives"):
        own = one_per(where(cells, positives=positives), "negatives")
        first = Cell(f"positives: {plain(positives)}", is_head=True)
        table.append([first, *(_pairs_cell(own.get(group)) for group in groups)])
    return Table(caption, ["", *(f"negatives: {plain(group, 40)}" for group in groups)], table)


def _pairs_cell(row: Row | None) -> Cell:
    if row is None or is_missing(row["auroc"]):
        return Cell(MISSING, "no pair")
    return Cell(number(row["auroc"]), f"{percent(row['share_of_pairs'])} of pairs")


def size_table(rows: Sequence[Row], *, caption: str, unit_name: str) -> Table:
    """Sensitivity per range of target sizes."""
    notes, table = Notes(), []
    for row in rows:
        shown = row | {"estimate": row["sensitivity"]}
        cells = [head(row["method"]), word(range_text(row)), Cell(count(row["n_positive"]))]
        table.append([*cells, Cell(count(row["n_patients"])), estimate_cell(shown, notes)])
    names = ["method", "size", "positive cases", plural(plain(unit_name)), "Sensitivity"]
    return Table(caption, names, table, notes, [*_foot(rows), *exploratory_foot(rows)])


def crosstab_table(
    parts: Sequence[tuple[str, str, Scored]], *, caption: str, exploratory: bool
) -> Table:
    """Decisions against labels, counted: per group and method.

    Args:
        parts: Group, method and cases.
        caption: What the table shows.
        exploratory: Thresholds were chosen on test cases.
    """
    table = []
    for group, method, own in parts:
        positive, called = own.label == 1, own.decision == 1
        known = ~(own.decision != own.decision)
        counts = [(positive & called), (positive & ~called & known), (~positive & called)]
        counts += [(~positive & ~called & known), ~known]
        cells = [Cell(count(int(n.sum()))) for n in counts]
        if exploratory:
            cells[:4] = [replace(cell, flag=DAGGER) for cell in cells[:4]]
        table.append([head(group), word(method), *cells])
    names = ["group", "method", "true positive", "missed", "false alarm", "true negative"]
    foot = ["Counts of scored rows: a case that several folds or seeds score counts each time."]
    foot += exploratory_foot([{"exploratory": exploratory}])
    return Table(caption, [*names, "no decision"], table, foot=foot)


def group_name(column: object, group: object) -> str:
    """How a group is called, e.g. `sex = F`."""
    return "all cases" if column == "all" else f"{plain(column, 28)} = {plain(group, 50)}"


def _counts(row: Row | None) -> str:
    if row is None or is_missing(row["n_positive"]):
        return ""
    return f"{count(row['n_positive'])} pos., {count(row['n_negative'])} neg."


def _joined(cell: Cell, counts: str) -> Cell:
    return replace(cell, small="; ".join(part for part in (cell.small, counts) if part))
