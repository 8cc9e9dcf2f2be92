"""Tables as the page shows them: cells with intervals, and a mark for each reason."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real

from segclf.core.text import counted
from segclf.report.rows import Row, distinct, is_missing, where
from segclf.report.text import MISSING, count, number, plain

LETTERS = "abcdefghijklmnopqrstuvwxyz"
DAGGER = "\N{DAGGER}"
EXPLORATORY = (
    f"{DAGGER} exploratory: the threshold was chosen on test cases, so the number is too good"
)


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
    flag: str = ""
    """A warning beside the number."""


@dataclass(frozen=True)
class Table:
    """A table with the notes that its cells point to."""

    caption: str
    head: list[str]
    rows: list[list[Cell]]
    notes: dict[str, str] = field(default_factory=dict)
    """Mark to reason."""
    foot: list[str] = field(default_factory=list)
    """Sentences below the table: how its numbers were made."""

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


def word(value: object, longest: int = 60) -> Cell:
    """A cell of text; a dash where it is blank."""
    text = MISSING if is_blank(value) else plain(value, longest)
    return Cell(text, is_number=False)


def head(value: object) -> Cell:
    """A cell that heads its row."""
    return Cell(plain(value), is_head=True)


def is_blank(value: object) -> bool:
    """Whether a value is missing or an empty text."""
    return is_missing(value) or str(value) == ""


def estimate_cell(row: Row | None, notes: Notes) -> Cell:
    """An estimate over its interval, with a mark for its reason.

    Args:
        row: With `estimate`, `lo`, `hi` and `reason`; None where nothing was computed.
            `exploratory` (bool) flags it.
        notes: Of the table; new reasons are added.
    """
    if row is None:
        return Cell(MISSING)
    mark = notes.mark(row["reason"])
    if is_missing(row["estimate"]):
        return Cell("not estimated", note=mark)
    flag = DAGGER if row.get("exploratory") else ""
    return Cell(number(row["estimate"]), small=interval_text(row), note=mark, flag=flag)


def interval_text(row: Row) -> str:
    """The limits of a row; `no interval` where there are none."""
    if is_missing(row["lo"]):
        return "no interval"
    joint = " to " if row["lo"] < 0 else "\N{EN DASH}"  # a dash beside a minus is hard to read
    return f"{number(row['lo'])}{joint}{number(row['hi'])}"


def interval_kinds(rows: Iterable[Row]) -> str:
    """How the intervals of rows were made, with the number of rows where there are several ways.

    Args:
        rows: With `interval` and `lo`.
    """
    made = [row for row in rows if not is_missing(row.get("lo")) and not is_blank(row["interval"])]
    kinds = distinct(made, "interval")
    if len(kinds) < 2:
        return "".join(plain(kind) for kind in kinds)
    return "; ".join(
        f"{plain(kind)} ({counted(len(where(made, interval=kind)), 'row')})" for kind in kinds
    )


def exploratory_foot(rows: Iterable[Row]) -> list[str]:
    """What the dagger means, if one of the rows has it."""
    return [EXPLORATORY] if any(row.get("exploratory") for row in rows) else []


def plain_table(rows: Sequence[Mapping[str, object]], *, caption: str) -> Table:
    """Any table, as it is; the first column heads the rows."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = [
        [
            Cell(
                _shown(row.get(name)),
                is_head=name == names[0],
                is_number=isinstance(row.get(name), Real),
            )
            for name in names
        ]
        for row in rows
    ]
    return Table(caption, [plain(name).replace("_", " ") for name in names], table)


def _shown(value: object) -> str:
    if is_missing(value):
        return MISSING
    is_whole = isinstance(value, float) and value.is_integer()
    if isinstance(value, str):
        return plain(value, 300)
    return count(value) if is_whole else number(value)


def _letters(place: int) -> str:
    first = _letters(place // len(LETTERS) - 1) if place >= len(LETTERS) else ""
    return first + LETTERS[place % len(LETTERS)]
