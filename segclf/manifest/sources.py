"""Bytes on disk to a table of texts: manifests, side tables, and the paths of a recipe."""

import csv
import io
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from segclf.core.atomic import atomic_path
from segclf.core.errors import ConfigError, DataError

FIRST_ROW = 2  # the header is row 1, as a spreadsheet counts


@dataclass(frozen=True)
class Texts:
    """A table as texts."""

    rows: list[int]
    """Number of each row, as a spreadsheet counts."""
    columns: dict[str, list[str]]
    """Header to cells, in the order of the file."""


def expand(text: str, *, where: str) -> str:
    """`text` with each `${NAME}` replaced by that environment variable.

    Only paths written in a recipe are expanded, never a cell of a table.

    Raises:
        ConfigError: A variable is not set.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise ConfigError(
                f"the environment variable {match[1]} is not set.",
                where=f"{where} = {text!r}",
                expected=f"{match[1]} to hold a folder",
                fix=f"run: export {match[1]}=/path/to/data",
            )
        return os.environ[match[1]]

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", value, text)


def read_bytes(path: Path) -> bytes:
    """The content of a table file.

    Raises:
        DataError: It is missing, unreadable, or neither CSV nor Parquet.
    """
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise DataError(
            f"{path.name!r} is not a table that can be read.",
            where=path.name,
            expected="a .csv or .parquet file",
            fix="export the table as CSV in UTF-8",
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"the table {path.name!r} cannot be read: {error.strerror}.",
            where=os.path.relpath(path),
            expected="an existing file",
            fix="correct the path; one written in a recipe is relative to the recipe",
        ) from None


def parse_table(data: bytes, name: str) -> Texts:
    """The cells of a table as stripped texts, blank ones as ''.

    Nothing is guessed: `NA`, `007` and `1e5` stay these texts. Rows without any text are left
    out, and so are columns without a header.

    Args:
        data: Content of a CSV (UTF-8, with or without a byte-order mark) or Parquet file.
        name: File name; its suffix says which of the two.

    Raises:
        DataError: The bytes are not such a table, two headers are equal, a row has too few or
            too many cells, or there is no row.
    """
    headers, records = (_parquet if name.lower().endswith(".parquet") else _csv)(data, name)
    headers = [header.strip() for header in headers]
    for header in headers:
        if header and headers.count(header) > 1:
            raise _unusable(
                name,
                f"the header {header!r} stands {headers.count(header)} times.",
                expected="each column name once",
                fix="rename or remove one of these columns",
            )
    numbered = [(row, record) for row, record in enumerate(records, start=FIRST_ROW) if any(record)]
    if not numbered:
        raise _unusable(
            name, "the table has no rows.", expected="one row per case", fix="add the cases"
        )
    columns = zip(*(record for _, record in numbered), strict=True)
    named = zip(headers, columns, strict=True)
    return Texts(
        rows=[row for row, _ in numbered],
        columns={header: [text.strip() for text in texts] for header, texts in named if header},
    )


def _csv(data: bytes, name: str) -> tuple[list[str], list[list[str]]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unusable(
            name,
            f"the table is not UTF-8: byte {error.object[error.start]:#04x} at {error.start}.",
            expected="CSV in UTF-8",
            fix="save the table as 'CSV UTF-8'",
        ) from None
    if not text.strip():
        raise _unusable(
            name,
            "the table is empty.",
            expected="CSV: a header and one row per case",
            fix="export the table again, or correct the path",
        )
    try:
        headers, *records = csv.reader(io.StringIO(text, newline=""), strict=True)
    except (csv.Error, ValueError) as error:
        raise _unusable(
            name,
            f"the table cannot be parsed: {error}.",
            expected="CSV: a header and one row per case",
            fix="save it again as comma-separated values",
        ) from None
    if len(headers) == 1 and re.search("[;\t]", headers[0]):
        raise _unusable(
            name,
            f"the columns are not separated by commas: the header is {headers[0][:60]!r}.",
            expected="comma-separated values",
            fix="save the table with commas",
        )
    for row, record in enumerate(records, start=FIRST_ROW):
        if not any(record):
            record[:] = [""] * len(headers)
        if len(record) != len(headers):
            raise _unusable(
                f"{name}, row {row}",
                f"the row has {len(record)} cells, the header {len(headers)}.",
                expected="as many cells as the header",
                fix="quote cells that hold a comma; if cells are missing, the file may be cut",
            )
    return headers, records


def _parquet(data: bytes, name: str) -> tuple[list[str], list[tuple[str, ...]]]:
    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise _unusable(
            name,
            f"the Parquet file cannot be read: {str(error)[:200]}.",
            expected="a whole Parquet file",
            fix="write the table again",
        ) from None
    for header, kind in zip(table.column_names, table.schema.types, strict=True):
        if pa.types.is_nested(kind) or pa.types.is_binary(kind):
            raise _unusable(
                name,
                f"the column {header!r} holds {kind}.",
                expected="columns of texts, numbers or booleans",
                fix="write it as text",
            )
    columns = [_texts(column.to_pylist()) for column in table.columns]
    return list(table.column_names), list(zip(*columns, strict=True))


def _texts(values: list[Any]) -> list[str]:
    """Whole numbers without '.0', True as '1', null and NaN as ''."""
    known = [None if value is None or value != value else value for value in values]
    floats = [value for value in known if isinstance(value, float)]
    if floats and all(math.isfinite(value) and value == int(value) for value in floats):
        known = [None if value is None else int(value) for value in known]
    return [
        "" if value is None else str(int(value) if isinstance(value, bool) else value)
        for value in known
    ]


def write_side_table(path: Path, frame: pd.DataFrame) -> None:
    """Write columns that `read_manifest(side_tables=...)` lays over a manifest; atomically.

    Args:
        path: A `.parquet` file, by custom in the run folder. Paths in the table are relative to
            the folder of this file and confined to it.
        frame: A `case_id` column (each id once) and any of `mask_<finding>`,
            `label_<finding>`, `class_<head>`, `mask_source`, `mask_kind` or metadata. Blank or
            missing cells leave the manifest's own value.

    Raises:
        ValueError: There is no `case_id` column, an id stands twice, or the suffix is another.
    """
    if "case_id" not in frame or frame["case_id"].duplicated().any() or path.suffix != ".parquet":
        raise ValueError(
            "a side table is a .parquet file with each case_id once: got "
            f"{path.name!r} with the columns {list(frame.columns)}."
        )
    with atomic_path(path) as part:
        frame.to_parquet(part, index=False)


def _unusable(where: str, wrong: str, *, expected: str, fix: str) -> DataError:
    return DataError(wrong, where=where, expected=expected, fix=fix)
