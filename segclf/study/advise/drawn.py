"""Which masks are real drawings, and which of them somebody had to draw."""

from collections.abc import Iterator

import pandas as pd

from segclf.core.records import MaskState
from segclf.manifest import CaseTable

PSEUDO = "pseudo"
"""`mask_source` of a mask that a network made: never truth."""
FULL = "full"


def drawn_masks(table: CaseTable) -> dict[str, tuple[int, ...]]:
    """Case id to the findings (by number) whose mask a person drew; cases without one are absent.

    Masks that `mask_source` calls pseudo are left out.
    """
    made = _named(table, "mask_source", PSEUDO)
    return _where(
        (case.case_id, k)
        for case in table.cases
        for k, source in enumerate(case.masks)
        if source.state is MaskState.DRAWN and (case.case_id, k) not in made
    )


def costly_masks(table: CaseTable) -> dict[str, tuple[int, ...]]:
    """The drawn masks that had to be drawn: the label alone does not say that they are empty."""
    drawn = drawn_masks(table)
    return _where(
        (case.case_id, k)
        for case in table.cases
        for k in drawn.get(case.case_id, ())
        if case.labels[k] != 0
    )


def coarse_masks(table: CaseTable) -> dict[tuple[str, int], str]:
    """(case id, finding) to its `mask_kind`, where this is not `full`: no outline to measure."""
    return {key: kind for key, kind in _texts(table, "mask_kind").items() if kind.lower() != FULL}


def pseudo_masks(table: CaseTable) -> set[tuple[str, int]]:
    """(case id, finding) of masks that a network made."""
    return _named(table, "mask_source", PSEUDO)


def _named(table: CaseTable, column: str, value: str) -> set[tuple[str, int]]:
    return {key for key, text in _texts(table, column).items() if text.lower() == value}


def _texts(table: CaseTable, column: str) -> dict[tuple[str, int], str]:
    """(case id, finding) to the cell of `column`, or of `column_<finding>`, which wins."""
    found: dict[tuple[str, int], str] = {}
    for name, ks in (
        (column, range(len(table.findings))),
        *((f"{column}_{finding}", (k,)) for k, finding in enumerate(table.findings)),
    ):
        if name not in table.frame:
            continue
        cells = zip(table.frame["case_id"], table.frame[name], strict=True)
        for case_id, cell in cells:
            if not pd.isna(cell) and str(cell).strip():
                found |= {(str(case_id), k): str(cell).strip() for k in ks}
    return found


def _where(pairs: Iterator[tuple[str, int]]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for case_id, k in pairs:
        found[case_id] = (*found.get(case_id, ()), k)
    return found
