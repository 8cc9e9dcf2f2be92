"""A column of the manifest as a feature that a case has or has not."""

import re
from typing import cast

import pandas as pd

from segclf.core.catalog import unknown_name
from segclf.evaluate.groups import parse_shortcut
from segclf.manifest import CaseTable
from segclf.study.science.pool import PoolError

LIMIT = re.compile(r"(>=|<=|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")


def feature_of(table: CaseTable, column: str, value: str | float | None = None) -> dict[str, bool]:
    """Whether each case has the feature; cases whose cell is blank are absent.

    Args:
        table: The cases.
        column: Of the manifest.
        value: The value that means present; `>60`, `>=60`, `<60` or `<=60` for a column of
            numbers; None for a column of 0 and 1.

    Raises:
        SegclfError: The column is unknown, holds no numbers, or never has the value.
    """
    limit = LIMIT.fullmatch(str(value).strip()) if value is not None else None
    if limit is None:
        text = column if value is None else f"{column}={_text(value)}"
        _, found = parse_shortcut(text, table.frame, roles=table.roles, option="the feature")
        known = zip(table.frame["case_id"], found, strict=True)
        return {str(case_id): bool(has) for case_id, has in known if has == has}
    if column not in table.frame:
        names = [str(name) for name in table.frame.columns]
        raise unknown_name(column, names, kind="column", where=f"the feature {column} {value}")
    cells = cast("pd.Series", table.frame[column])
    if not pd.api.types.is_numeric_dtype(cells):
        raise PoolError(
            f"the column {column!r} does not hold numbers alone.",
            where=f"the feature {column} {value}",
            expected="a column of numbers",
            fix="name the value that means present, or another column",
        )
    sign, number = limit[1], float(limit[2])
    own = {case_id: float(cell) for case_id, cell in zip(table.frame["case_id"], cells, strict=True)
           if not pd.isna(cell)}  # fmt: skip
    compare = {">": float.__gt__, ">=": float.__ge__, "<": float.__lt__, "<=": float.__le__}[sign]
    return {str(case_id): bool(compare(cell, number)) for case_id, cell in own.items()}


def name_of(column: str, value: str | float | None) -> str:
    """The feature, for people: `tube`, `site = B`, `age_years > 60`."""
    if value is None:
        return column
    limit = LIMIT.fullmatch(str(value).strip())
    return f"{column} {limit[1]} {limit[2]}" if limit else f"{column} = {_text(value)}"


def _text(value: str | float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).strip()
