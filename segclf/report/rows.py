"""Rows of a result table as plain dicts."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

Row = dict[str, Any]


def as_rows(frame: pd.DataFrame) -> list[Row]:
    """The rows of a table; column to value."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def where(rows: Iterable[Row], **values: object) -> list[Row]:
    """The rows in which each of the named columns has the given value."""
    return [row for row in rows if all(row[key] == value for key, value in values.items())]


def distinct(rows: Iterable[Row], *columns: str) -> list[Any]:
    """The values of a column, or the tuples of several, each once and in order."""
    keys = (tuple(row[column] for column in columns) for row in rows)
    return list(dict.fromkeys(key[0] if len(columns) == 1 else key for key in keys))


def one_per(rows: Sequence[Row], column: str) -> dict[Any, Row]:
    """The rows by the value of a column; a later row of the same value wins."""
    return {row[column]: row for row in rows}


def is_missing(value: object) -> bool:
    """Whether a value of a table is blank: None, NA or NaN, which alone differs from itself."""
    return value is None or value is pd.NA or value != value
