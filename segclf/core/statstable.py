"""Statistics parts on disk: Parquet files, each vouched for by a commit record written last."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from segclf.core.atomic import atomic_path, hash_of, read_json, sha256_of, write_json
from segclf.core.errors import DataError, IntegrityError
from segclf.core.maskstats import CURVES, SCALARS, THRESHOLDS, MaskStatistics
from segclf.core.runs import shown

SCHEMA_VERSION = 3
IDENTITY_FILE = "identity.json"
_ARROW = {
    "string": pa.string(),
    "Int64": pa.int64(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
}
SCHEMA = pa.schema(
    [pa.field(name, _ARROW[dtype]) for name, dtype in SCALARS.items()]
    + [pa.field(name, pa.list_(pa.int64(), len(THRESHOLDS))) for name in CURVES]
)
"""Columns of a part: those of `SCALARS`, then both curves as lists of 129 counts."""


def part_path(folder: Path, index: int) -> Path:
    """The Parquet file of part `index`."""
    return folder / f"part-{index:05d}.parquet"


def commit_path(folder: Path, index: int) -> Path:
    """The commit record of part `index`: rows, SHA-256 of the part, input and identity hash."""
    return part_path(folder, index).with_suffix(".json")


def write_part(
    folder: Path, index: int, statistics: MaskStatistics, record: dict[str, Any]
) -> None:
    """Write one part and then, as the last thing, its commit record; both atomically.

    The same statistics give the same bytes.

    Args:
        folder: Where parts lie.
        index: Number of the part, from 0.
        statistics: The rows of the part; there may be none.
        record: What else the commit record says, e.g. `input`, `identity`, `quarantined`.
    """
    path = part_path(folder, index)
    with atomic_path(path) as part:
        pq.write_table(
            _to_table(statistics),
            part,
            compression="zstd",
            use_dictionary=False,
            column_encoding={f"{name}.list.element": "DELTA_BINARY_PACKED" for name in CURVES},
        )
        sha256 = sha256_of(part)
    rows = len(statistics.frame)
    write_json(
        commit_path(folder, index), {"part": path.name, "rows": rows, "sha256": sha256, **record}
    )


def read_commit(folder: Path, index: int) -> dict[str, Any] | None:
    """The commit record of a part, None if there is none or its part is missing or changed."""
    try:
        record = read_json(commit_path(folder, index))
        intact = sha256_of(part_path(folder, index)) == record["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if intact else None


def write_identity(folder: Path, identity: dict[str, Any], n_parts: int) -> None:
    """Say what made the parts of a folder and how many there will be; unchanged text stays."""
    path = folder / IDENTITY_FILE
    value = {"identity": identity, "hash": hash_of(identity), "n_parts": n_parts}
    if not path.exists() or read_json(path) != value:
        write_json(path, value)


def read_identity(folder: Path) -> dict[str, Any] | None:
    """What made the parts of a folder (`identity`, `hash`, `n_parts`); None for a fresh one.

    Raises:
        IntegrityError: The file is there but cannot be read.
    """
    path = folder / IDENTITY_FILE
    if not path.exists():
        return None
    try:
        value = read_json(path)
        if value["hash"] == hash_of(value["identity"]) and isinstance(value["n_parts"], int):
            return value
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise IntegrityError(
        "the record of what made these predictions was changed.",
        where=shown(path),
        expected="the file as prediction wrote it",
        fix=f"delete the folder {shown(folder)} and run `segclf predict` again",
    )


def read_statistics(folders: Path | Sequence[Path], *, partial: bool = False) -> MaskStatistics:
    """The mask statistics in one or more prediction folders, in the order of their parts.

    Args:
        folders: Folders of `segclf predict`, e.g. one for each fold.
        partial: Read what is there although prediction has not finished.

    Raises:
        DataError: A folder holds no predictions, or not all of them.
        IntegrityError: A part differs from its commit record, belongs to another model or recipe,
            or a case occurs twice.
    """
    folders = [folders] if isinstance(folders, Path) else folders
    parts = [part for folder in folders for part in _parts(folder, partial=partial)]
    statistics = _read_parts(parts)
    twice = statistics.frame.duplicated(["fold", "case_id", "finding"])
    if twice.any():
        row = statistics.frame[twice].iloc[0]
        raise IntegrityError(
            f"case {row['case_id']!r} has two predictions of {row['finding']!r} "
            f"({int(twice.sum())} rows too many).",
            where=", ".join(shown(folder) for folder in folders),
            expected="one row per case, finding and fold",
            fix="name each prediction folder once, and only folders of different cases or folds",
        )
    return statistics


def _parts(folder: Path, *, partial: bool) -> list[tuple[Path, int]]:
    """Path and number of rows of every part of a folder, each checked against its record."""
    plan = read_identity(folder)
    if plan is None:
        raise DataError(
            "there are no predictions here.",
            where=shown(folder),
            expected=f"a folder with {IDENTITY_FILE} and parts, as `segclf predict` writes",
            fix="run: segclf predict",
        )
    numbers = range(plan["n_parts"])
    missing = [index for index in numbers if not commit_path(folder, index).exists()]
    if missing and not partial:
        raise DataError(
            f"{len(missing)} of {plan['n_parts']} parts are missing "
            f"(the first is {part_path(folder, missing[0]).name}).",
            where=shown(folder),
            expected="every part with its commit record",
            fix="run the same `segclf predict` again; it continues where it stopped",
        )
    return [
        (part_path(folder, index), _checked(folder, index, plan["hash"])["rows"])
        for index in numbers
        if index not in set(missing)
    ]


def _checked(folder: Path, index: int, identity_hash: str) -> dict[str, Any]:
    record = read_commit(folder, index)
    if record is not None and record.get("identity") == identity_hash:
        return record
    path = part_path(folder, index)
    raise IntegrityError(
        "a part of the predictions is not what its commit record says."
        if record is None
        else "a part of the predictions was made by another model or recipe.",
        where=shown(path),
        expected=f"the SHA-256 in {path.with_suffix('.json').name} and the identity in "
        f"{IDENTITY_FILE}",
        fix="run the same `segclf predict` again; it makes damaged parts anew",
    )


def _read_parts(parts: Sequence[tuple[Path, int]]) -> MaskStatistics:
    """The rows of all parts; curves go straight to their place, as they are most of the memory."""
    n_rows = sum(rows for _, rows in parts)
    area, overlap = (np.empty((n_rows, len(THRESHOLDS)), dtype=np.int64) for _ in CURVES)
    scalars, start = [SCHEMA.empty_table().drop_columns(list(CURVES))], 0
    for path, rows in parts:
        table = pq.ParquetFile(path).read()
        extra = [name for name in table.column_names if name not in SCHEMA.names]
        if not table.schema.equals(_schema(extra)) or table.num_rows != rows:
            raise IntegrityError(
                f"a part has {table.num_rows} rows, or columns of another version.",
                where=shown(path),
                expected=f"{rows} rows in schema version {SCHEMA_VERSION}",
                fix="delete the folder and run `segclf predict` again",
            )
        for name, curve in zip(CURVES, (area, overlap), strict=True):
            column = table[name].combine_chunks().flatten()
            curve[start : start + rows] = column.to_numpy().reshape(rows, len(THRESHOLDS))
        scalars.append(table.drop_columns(list(CURVES)))
        start += rows
    table = pa.concat_tables(scalars, promote_options="default")
    extra = [name for name in table.column_names if name not in SCALARS]
    columns = SCALARS | dict.fromkeys(extra, "float64")
    frame = pd.DataFrame(
        {name: table[name].to_pandas().astype(dtype) for name, dtype in columns.items()}
    )
    return MaskStatistics(frame, area, overlap)


def _schema(extra: Sequence[str]) -> pa.Schema:
    """Columns of a part with the numbers of plug-ins behind them."""
    return pa.schema([*SCHEMA, *(pa.field(name, pa.float64()) for name in extra)])


def _to_table(statistics: MaskStatistics) -> pa.Table:
    frame = statistics.frame
    columns: list[pa.Array | pa.ChunkedArray] = [
        pa.array(frame[name].astype(dtype), type=_ARROW[dtype], from_pandas=True)
        for name, dtype in SCALARS.items()
    ]
    for curve in (statistics.area_curve, statistics.overlap_curve):
        flat = pa.array(np.ascontiguousarray(curve, dtype=np.int64).ravel())
        columns.append(pa.FixedSizeListArray.from_arrays(flat, len(THRESHOLDS)))
    extra = [str(name) for name in frame.columns if name not in SCALARS]
    columns += [pa.array(frame[name], type=pa.float64(), from_pandas=True) for name in extra]
    return pa.Table.from_arrays(columns, schema=_schema(extra))
