"""Columns of texts to values; every cell that does not fit becomes a problem with its row."""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

import pandas as pd

from segclf.manifest.records import Problem

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
LEADING_ZERO = re.compile(r"[-+]?0\d.*")  # 007 is an id, not seven
PARTS = ("train", "val", "test")

T = TypeVar("T")


@dataclass(frozen=True)
class Column:
    """The cells of one column, stripped; blank ones are ''."""

    field: str
    """Header, as the user knows it."""
    rows: list[int]
    texts: list[str]

    def problem(self, expected: str, fix: str, reason: str) -> Problem:
        """A problem of this column that still lacks its row and what is wrong."""
        return Problem(None, None, self.field, "", expected, fix, reason=reason)


def parse_ids(column: Column, problems: list[Problem]) -> list[str]:
    """Ids as texts in Unicode's composed form; blank ids and control characters are problems."""
    ids = [text if text.isascii() else unicodedata.normalize("NFC", text) for text in column.texts]
    fix = f"fill it, or remove the column {column.field!r}"
    blank = column.problem("a text in every row", fix, "blank_id")
    _flag(problems, column, (text == "" for text in ids), blank, lambda _: "the id is blank.")
    odd = column.problem("printable text", "remove these characters", "bad_id")
    is_odd = (not text.isprintable() for text in ids)
    _flag(problems, column, is_odd, odd, lambda text: f"{text!r} holds control characters.")
    return ids


def parse_labels(column: Column, problems: list[Problem]) -> list[float]:
    """1.0, 0.0, or NaN where the cell is blank."""
    values = _each(column.texts, _label)
    bad = column.problem(
        "1, 0 or blank (not known)",
        "write 1 for present and 0 for absent; if the column is no label, say so: "
        f"roles: {{{column.field}: ignored}}",
        "bad_label",
    )
    is_bad = (value is None for value in values)
    _flag(problems, column, is_bad, bad, lambda text: f"the label is {text!r}.")
    return [math.nan if value is None else value for value in values]


def parse_counts(column: Column, problems: list[Problem]) -> list[int | None]:
    """Whole numbers from 0, None where the cell is blank."""
    values = _each(column.texts, _count)
    bad = column.problem("a whole number from 0, or blank", "correct the cell", "bad_number")
    is_bad = (text != "" and v is None for text, v in zip(column.texts, values, strict=True))
    _flag(problems, column, is_bad, bad, lambda text: f"{column.field} is {text!r}.")
    return values


def parse_parts(column: Column, problems: list[Problem]) -> list[str]:
    """`train`, `val` or `test`."""
    fix = "correct the cell, or remove the column to split by patient"
    bad = column.problem("train, val or test", fix, "bad_split")
    is_bad = (text not in PARTS for text in column.texts)
    _flag(problems, column, is_bad, bad, lambda text: f"the split is {text!r}.")
    return column.texts


def parse_spacings(
    column: Column, n_dims: int, problems: list[Problem]
) -> list[tuple[float, ...] | None]:
    """Distances per axis in mm, from texts like `0.5x0.5x5`; None where the cell is blank.

    Numbers are separated by x, comma, semicolon or spaces; one number holds for every axis.
    """
    values = _each(column.texts, lambda text: _spacing(text, n_dims))
    bad = column.problem(
        f"{n_dims} distances in mm, one per array axis, such as {'x'.join(['0.5'] * n_dims)}",
        "correct the cell; image.spatial_dims says how many axes there are",
        "bad_spacing",
    )
    is_bad = (text != "" and v is None for text, v in zip(column.texts, values, strict=True))
    _flag(problems, column, is_bad, bad, lambda text: f"the spacing is {text!r}.")
    return values


def parse_metadata(texts: list[str]) -> pd.Series:
    """Numbers if every cell that is not blank is one (and none looks like 007), else texts."""
    filled = {text for text in texts if text}
    if not filled or not all(_is_number(text) for text in filled):
        return pd.Series([text or None for text in texts], dtype="str")
    if all(re.fullmatch(r"[-+]?\d{1,18}", text) for text in filled) and "" not in texts:
        return pd.Series([int(text) for text in texts])
    return pd.Series([float(text) if text else math.nan for text in texts])


def _each(texts: list[str], parse: Callable[[str], T]) -> list[T]:
    """`parse` of each text, worked out once per distinct text."""
    known = {text: parse(text) for text in set(texts)}
    return [known[text] for text in texts]


def _is_number(text: str) -> bool:
    return NUMBER.fullmatch(text) is not None and LEADING_ZERO.fullmatch(text) is None


def _label(text: str) -> float | None:
    if text == "":
        return math.nan
    is_binary = NUMBER.fullmatch(text) is not None and float(text) in (0.0, 1.0)
    return abs(float(text)) if is_binary else None


def _count(text: str) -> int | None:
    return int(float(text)) if re.fullmatch(r"\d{1,15}(?:\.0*)?", text) else None


def _spacing(text: str, n_dims: int) -> tuple[float, ...] | None:
    parts = [part for part in re.split("[x\u00d7,;\\s]+", text.strip("[]() ")) if part]
    if not parts or not all(NUMBER.fullmatch(part) for part in parts):
        return None
    values = tuple(float(part) for part in parts) * (n_dims if len(parts) == 1 else 1)
    return values if len(values) == n_dims and 0 < min(values) <= max(values) < 1e6 else None


def _flag(
    problems: list[Problem],
    column: Column,
    is_bad: Iterable[bool],
    like: Problem,
    wrong: Callable[[str], str],
) -> None:
    """Add `like` for each row that is bad, with what is wrong there."""
    problems += [
        replace(like, row=row, wrong=wrong(text))
        for row, text, bad in zip(column.rows, column.texts, is_bad, strict=True)
        if bad
    ]
