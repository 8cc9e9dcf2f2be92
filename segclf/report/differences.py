"""Comparisons and worst groups as tables: both p values, their family, and a verdict."""

from collections.abc import Sequence

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
    is_blank,
    word,
)
from segclf.report.names import metric_name
from segclf.report.rows import Row, distinct, is_missing
from segclf.report.tables import group_name, percent
from segclf.report.text import MISSING, count, number, plain

VERDICTS = {
    "better": "first is better",
    "worse": "first is worse",
    "equivalent": "equivalent",
    "inconclusive": "inconclusive",
}


def methods_table(rows: Sequence[Row], *, caption: str) -> Table:
    """Pairs of methods on the same cases: first minus second, per group of cases and metric."""
    notes, table = Notes(), []
    for row in rows:
        where = Cell(group_name(row["group_column"], row["group"]), is_head=True)
        table.append([where, *_metric(row, rows), *_pair(row, notes)])
    return Table(caption, ["cases", *_metric_head(rows), *_PAIR], table, notes, _foot(rows))


def groups_table(rows: Sequence[Row], *, caption: str) -> Table:
    """Pairs of groups under one method: first minus second."""
    notes, table = Notes(), []
    for row in _by_column(rows):
        cells = [head(row["group_column"]), word(row["method"]), *_metric(row, rows)]
        table.append([*cells, *_pair(row, notes)])
    return Table(
        caption, ["groups by", "method", *_metric_head(rows), *_PAIR], table, notes, _foot(rows)
    )


def heterogeneity_table(rows: Sequence[Row], *, caption: str, unit_name: str) -> Table:
    """Do the groups of a column differ at all? One test per column, method and metric."""
    notes, table = Notes(), []
    for row in _by_column(rows):
        cells = [head(row["group_column"]), word(row["method"]), *_metric(row, rows)]
        sizes = f"{count(row['n_positive'])} pos., {count(row['n_negative'])} neg."
        cells += [Cell(count(row["n_cases"]), sizes), Cell(count(row["n_patients"]))]
        table.append([*cells, word(row["test"]), *_p_cells(row, notes)])
    patients = plural(plain(unit_name))
    names = [
        "groups by",
        "method",
        *_metric_head(rows),
        "cases",
        patients,
        "test",
        "p",
        "adjusted p",
    ]
    return Table(caption, names, table, notes, _foot(rows))


def relative_table(rows: Sequence[Row], *, caption: str) -> Table:
    """How much the first method improves on the second, as a share of the second's value."""
    notes, table = Notes(), []
    for row in rows:
        cells = [head(row["first"]), word(metric_name(row["metric"]))]
        cells += [Cell(number(row["estimate_first"])), word(row["second"])]
        cells += [Cell(number(row["estimate_second"])), _relative(row, notes)]
        table.append(cells)
    names = ["first", "metric", "value", "second", "value", "first over second"]
    return Table(caption, names, table, notes, _foot(rows))


def _relative(row: Row, notes: Notes) -> Cell:
    mark = notes.mark(row["reason"])
    if is_missing(row["difference"]):
        return Cell("not estimated", note=mark)
    ends = [_signed(row[end]) for end in ("lo", "hi") if not is_missing(row["lo"])]
    return Cell(_signed(row["difference"]), " to ".join(ends) or "no interval", mark)


def worst_table(rows: Sequence[Row], *, caption: str) -> Table:
    """Worst and best group, raw and corrected, and the spread of the groups."""
    notes = Notes()
    table = [
        [
            head(row["group_column"]),
            word(row["method"]),
            *_metric(row, rows),
            Cell(count(row["n_groups"])),
            word(row["worst_group"]),
            _corrected(row, "worst", notes),
            Cell(percent(row.get("worst_probability"))),
            Cell(number(row.get("worst_bound")), flag=_flag(row, "worst_bound")),
            word(row["best_group"]),
            Cell(number(row["best"]), flag=_flag(row, "best")),
            _corrected(row, "gap", notes),
            _corrected(row, "sd", notes),
            word("none" if is_blank(row["left_out"]) else row["left_out"], 300),
        ]
        for row in _by_column(rows)
    ]
    names = [
        "groups by", "method", *_metric_head(rows), "groups", "worst", "value", "P(worst)",
        "bound", "best", "value", "gap", "SD", "not estimated",
    ]  # fmt: skip
    foot = [
        "The first line of a cell is raw; corrected is without what the luck of noisy estimates "
        "adds. P(worst): probability that this group is the worst of its column. bound: of the "
        "worst group, one-sided, for all groups at once. SD: between groups.",
        *exploratory_foot(rows),
    ]
    return Table(caption, names, table, notes, foot)


def _corrected(row: Row, name: str, notes: Notes) -> Cell:
    """A raw value above its corrected one; the reason where there is none."""
    mark = notes.mark(row["reason"]) if is_missing(row.get(name)) else ""
    if is_missing(row.get(name)):
        return Cell("not estimated", note=mark)
    corrected = row.get(f"{name}_corrected")
    small = "not corrected" if is_missing(corrected) else f"corrected {number(corrected)}"
    return Cell(number(row[name]), small, notes.mark(row["reason"]), flag=_flag(row, name))


def _flag(row: Row, name: str) -> str:
    return DAGGER if row.get("exploratory") and not is_missing(row.get(name)) else ""


def _metric_head(rows: Sequence[Row]) -> list[str]:
    """The head of the column of metrics; none where the caption names the only one."""
    return ["metric"] if len(distinct(rows, "metric")) > 1 else []


def _metric(row: Row, rows: Sequence[Row]) -> list[Cell]:
    return [word(metric_name(row["metric"]))] if _metric_head(rows) else []


def _by_column(rows: Sequence[Row]) -> list[Row]:
    """Rows of one group column together."""
    columns = distinct(rows, "group_column")
    return sorted(rows, key=lambda row: columns.index(row["group_column"]))


_PAIR = ["first", "value", "second", "value", "difference", "p", "adjusted p", "verdict"]


def _pair(row: Row, notes: Notes) -> list[Cell]:
    difference = estimate_cell(row | {"estimate": row["difference"]}, notes)
    cells = []
    for side in ("first", "second"):
        spread = row.get(f"seed_sd_{side}")
        small = "" if is_missing(spread) else f"SD of seeds {number(spread)}"
        value = f"estimate_{side}"
        cells += [word(row[side]), Cell(number(row[value]), small, flag=_flag(row, value))]
    verdict = "" if is_blank(row["verdict"]) else str(row["verdict"])
    margin = "" if is_missing(row["margin"]) else f"margin {number(row['margin'])}"
    verdict = VERDICTS.get(verdict, plain(verdict)) or ("no margin" if not margin else MISSING)
    return [*cells, difference, *_p_cells(row, notes), Cell(verdict, margin, is_number=False)]


def _p_cells(row: Row, notes: Notes) -> list[Cell]:
    """Raw and adjusted p; the mark says the family, or why there is none."""
    reason = notes.mark(row["reason"]) if is_missing(row["p"]) else ""
    raw = Cell(p_text(row["p"]), note=reason)
    if is_missing(row["p_adjusted"]):
        return [raw, Cell("not adjusted" if not is_missing(row["p"]) else MISSING)]
    if row["n_tests"] == 1:
        return [raw, Cell(p_text(row["p_adjusted"]), "one test")]
    family = f"{plain(row['adjusted_by'])} over {count(row['n_tests'])} tests"
    family += "" if is_blank(row["family"]) else f" of the family: {plain(row['family'], 120)}"
    return [raw, Cell(p_text(row["p_adjusted"]), note=notes.mark(family))]


def p_text(value: object) -> str:
    """A p value to three digits, and never 0; a dash if it is missing."""
    if is_missing(value):
        return MISSING
    return "<\N{NO-BREAK SPACE}0.001" if float(value) < 0.0005 else number(float(value))  # type: ignore[arg-type] (a number)


def _signed(value: float) -> str:
    return f"{100 * value:+.1f} %"


def _foot(rows: Sequence[Row]) -> list[str]:
    intervals = interval_kinds(rows)
    tests = [plain(test) for test in distinct(rows, "test") if not is_blank(test)]
    foot = [f"Intervals: {intervals}."] if intervals else []
    foot += [f"Tests: {'; '.join(tests)}."] if tests else []
    return [*foot, *exploratory_foot(rows)]
