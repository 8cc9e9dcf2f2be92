"""The case table, and the problems that reading or checking it finds."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from segclf.core.config import Recipe
from segclf.core.errors import DataError
from segclf.core.records import Case

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a manifest or a file; never holds a patient id or a folder."""

    row: int | None
    """As a spreadsheet counts: the header is row 1. None for the table as a whole."""
    case_id: str | None
    field: str
    """Column or setting."""
    wrong: str
    expected: str
    fix: str
    severity: Severity = "error"
    """`error`: the case cannot be used as it is; `warning`: likely a mistake; `note`: to know."""
    reason: str = "bad_value"
    """Machine-readable code."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class CaseTable:
    """A manifest, read and checked: cases for the stages, a frame for tables and groups."""

    cases: tuple[Case, ...]
    frame: pd.DataFrame
    """One row per case: `case_id`, `patient_id`, `split` and `fold` if given, `label_<finding>`,
    `class_<head>`, then metadata under their own headers (numbers where all are numbers)."""
    findings: tuple[str, ...]
    roles: dict[str, str]
    """Role of metadata columns, as the recipe states them."""
    exclusive: bool
    sha256: str
    """Of the bytes of the manifest and of its side tables."""
    root: Path
    """The data root."""
    manifest_sha256: str = ""
    """Of the bytes of the manifest alone."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with rows that are not among `cases`, and warnings."""
    recipe: Recipe = field(default_factory=Recipe)
    rows: tuple[int, ...] = ()
    """Row of each case in the manifest."""
    mask_files: tuple[tuple[Path, ...], ...] = ()
    """Every mask file that the row of a case names, also where its state is EMPTY."""
    source: "CaseTable | None" = None
    """The table of the manifest's own rows, where `cases` are slices of its volumes or have their
    neighbours as channels; None where each case is a row."""
    has_patients: bool = True
    """Whether the manifest has a patient column; without it each case is its own patient."""


def data_error(problems: list[Problem], where: str) -> DataError:
    """The error for a table that cannot be used: its first problem, and how many more."""
    first, n_more = problems[0], len(problems) - 1
    place = f"{where}, row {first.row}" if first.row is not None else where
    return DataError(
        f"{first.wrong.rstrip('.')}" + (f" (and {n_more} more problems)." if n_more else "."),
        where=f"{place}, column {first.field!r}",
        expected=first.expected,
        fix=first.fix + ("; `segclf check` lists all problems" if n_more else ""),
    )
