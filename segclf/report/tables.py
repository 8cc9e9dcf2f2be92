"""Rows of the evaluation as tables: counts in every row, and a reason for every gap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real

from segclf.core.text import plural
from segclf.report.rows import Row, distinct, is_missing, one_per, where
from segclf.report.text import MISSING, count, number, plain

METRIC_NAMES = {
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "balanced_accuracy": "Balanced accuracy",
    "dice": "Dice on positives",
    "image_false_positive_rate": "Image false-positive rate",
}
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Cell:
    """One cell; `small` stands below `text`, and `note` points to a reason."""

    text: str
    small: str = ""
    note: str = ""
    is_head: bool = False
    is_number: bool = True
    span: int = 1
    """Rows that a head stands for."""
    is_sub: bool = False
    """A head below another one."""


@dataclass(frozen=True)
class Table:
    """A table with the notes that its cells point to."""

    caption: str
    head: list[str]
    rows: list[list[Cell]]
    notes: dict[str, str] = field(default_factory=dict)
    """Mark to reason."""

    @property
    def columns(self) -> list[tuple[str, bool]]:
        """Name of each column, and whether it is read as numbers."""
        first = self.rows[0] if self.rows else []
        are_numbers = [cell.is_number and not cell.is_head for cell in first]
        return list(zip(self.head, are_numbers or [False] * len(self.head), strict=True))


class Notes(dict[str, str]):
    """Mark to reason, for the cells of one table; equal reasons share a mark."""

    def mark(self, reason: object) -> str:
        """The mark of a reason; empty if there is none."""
        text = "" if is_missing(reason) else plain(reason, 400)
        if not text:
            return ""
        known = next((mark for mark, other in self.items() if other == text), "")
        mark = known or _letters(len(self))
        self[mark] = text
        return mark


def metrics_table(rows: Sequence[Row], *, caption: str, unit_name: str) -> Table:
    """Groups and methods down, counts and metrics across, with intervals.

    The column of groups is left out where there is only one.

    Args:
        rows: Of `Evaluation.metrics`, one finding.
        caption: What the table shows.
        unit_name: The word for a patient.
    """
    metrics, notes, table = distinct(rows, "metric"), Notes(), []
    groups = distinct(rows, "group_column", "group")
    for column, group in groups:
        members = where(rows, group_column=column, group=group)
        methods = distinct(members, "method")
        head = [Cell(group_name(column, group), is_head=True, span=len(methods))]
        for method in methods:
            own = one_per(where(members, method=method), "metric")
            cells = [estimate_cell(own.get(metric), notes) for metric in metrics]
            sizes = _sizes(next(iter(own.values())))
            is_first = method == methods[0] and len(groups) > 1
            name = Cell(plain(method), is_head=True, is_sub=len(groups) > 1)
            table.append([*(head if is_first else []), name, *sizes, *cells])
    names = [METRIC_NAMES.get(metric, plain(metric)) for metric in metrics]
    first = ["group", "method"] if len(groups) > 1 else ["method"]
    return Table(caption, [*first, "cases", plural(plain(unit_name)), *names], table, notes)


def _sizes(row: Row) -> list[Cell]:
    """Cases with their classes, and patients; strata of positives share all negatives."""
    shared = " (all)" if row.get("negatives") == "all" else ""
    classes = f"{count(row['n_positive'])} pos., {count(row['n_negative'])} neg.{shared}"
    return [Cell(count(row["n_cases"]), classes), Cell(count(row["n_patients"]))]


def robust_table(rows: Sequence[Row], *, caption: str) -> Table:
    """Methods down; robust AUROC, aligned AUROC and their difference across."""
    quantities, notes, table = distinct(rows, "quantity"), Notes(), []
    for method in distinct(rows, "method"):
        own = one_per(where(rows, method=method), "quantity")
        cells = [estimate_cell(own.get(quantity), notes) for quantity in quantities]
        counts = [_counts(own.get(quantity)) for quantity in quantities]
        shown = [_joined(cell, n) for cell, n in zip(cells, counts, strict=True)]
        table.append([Cell(plain(method), is_head=True), *shown])
    return Table(caption, ["method", *map(plain, quantities)], table, notes)


def grid_table(rows: Sequence[Row], *, caption: str) -> Table:
    """Methods down; AUROC for each of the four pairs of cases across."""
    pairs, notes, table = distinct(rows, "positives", "negatives"), Notes(), []
    for method in distinct(rows, "method"):
        cells = [Cell(plain(method), is_head=True)]
        for positives, negatives in pairs:
            found = where(rows, method=method, positives=positives, negatives=negatives)
            row = found[0] if found else None
            cells.append(_joined(estimate_cell(row, notes), _counts(row)))
        table.append(cells)
    head = ["method", *(f"positives {p}, negatives {n}" for p, n in pairs)]
    return Table(caption, head, table, notes)


def gaps_table(rows: Sequence[Row], *, caption: str) -> Table:
    """Worst and best group and the gap between them, per grouping and method."""
    notes, table = Notes(), []
    for row in sorted(
        rows, key=lambda row: distinct(rows, "group_column").index(row["group_column"])
    ):
        worst: Row = {"estimate": row["worst"], "lo": row["worst_lo"], "hi": row["worst_hi"]}
        worst["reason"] = row["reason"] if is_missing(row["worst"]) else ""
        gap: Row = {key: row[key] for key in ("lo", "hi", "reason")} | {"estimate": row["gap"]}
        names = [
            MISSING if is_missing(row[k]) else plain(row[k]) for k in ("worst_group", "best_group")
        ]
        is_blank = is_missing(row["left_out"]) or not row["left_out"]
        table.append([
            Cell(plain(row["group_column"]), is_head=True),
            Cell(plain(row["method"]), is_number=False),
            Cell(count(row["n_groups"])),
            Cell(names[0], is_number=False),
            estimate_cell(worst, notes),
            Cell(names[1], is_number=False),
            Cell(number(row["best"])),
            estimate_cell(gap, notes),
            Cell("none" if is_blank else plain(row["left_out"], 300), is_number=False),
        ])  # fmt: skip
    head = [
        "groups by",
        "method",
        "groups",
        "worst",
        "AUROC",
        "best",
        "AUROC",
        "raw gap",
        "left out",
    ]
    return Table(caption, head, table, notes)


def plain_table(rows: Sequence[Mapping[str, object]], *, caption: str) -> Table:
    """Any table, as it is; the first column heads the rows."""
    head = list(rows[0]) if rows else []
    table = [
        [
            Cell(_shown(row[name]), is_head=name == head[0], is_number=isinstance(row[name], Real))
            for name in head
        ]
        for row in rows
    ]
    return Table(caption, [plain(name).replace("_", " ") for name in head], table)


def estimate_cell(row: Row | None, notes: Notes) -> Cell:
    """An estimate over its interval, with a mark for its reason.

    Args:
        row: With `estimate`, `lo`, `hi` and `reason`; None where nothing was computed.
        notes: Of the table; new reasons are added.
    """
    if row is None:
        return Cell(MISSING)
    mark = notes.mark(row["reason"])
    if is_missing(row["estimate"]):
        return Cell("not estimated", note=mark)
    return Cell(number(row["estimate"]), small=_interval(row), note=mark)


def _interval(row: Row) -> str:
    if is_missing(row["lo"]):
        return "no interval"
    joint = " to " if row["lo"] < 0 else "\N{EN DASH}"  # a dash beside a minus is hard to read
    return f"{number(row['lo'])}{joint}{number(row['hi'])}"


def group_name(column: object, group: object) -> str:
    """How a group is called, e.g. `sex = F`."""
    return "all cases" if column == "all" else plain(f"{column} = {group}")


def _counts(row: Row | None) -> str:
    if row is None or is_missing(row["n_positive"]):
        return ""
    return f"{count(row['n_positive'])} pos., {count(row['n_negative'])} neg."


def _joined(cell: Cell, counts: str) -> Cell:
    return Cell(cell.text, "; ".join(part for part in (cell.small, counts) if part), cell.note)


def _shown(value: object) -> str:
    if is_missing(value):
        return MISSING
    is_whole = isinstance(value, float) and value.is_integer()
    return count(value) if is_whole else number(value)


def _letters(place: int) -> str:
    head = _letters(place // len(LETTERS) - 1) if place >= len(LETTERS) else ""
    return head + LETTERS[place % len(LETTERS)]
