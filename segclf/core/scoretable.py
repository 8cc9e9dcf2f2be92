"""The score table, where every method meets: its columns, and reading, checking, writing it."""

import csv
import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.atomic import atomic_path, read_json, write_json
from segclf.core.errors import DataError
from segclf.core.operating import POINTS_FILE, points_table
from segclf.core.runs import shown
from segclf.core.text import guarded, unguarded

COLUMNS = {
    "case_id": "str",
    "finding": "str",
    "method": "str",
    "score": "float64",  # ranks the cases; higher is more likely positive; NaN = no score
    "decision_value": "float64",  # compared with the threshold
    "threshold": "float64",  # NaN where none is defined
    "decision": "float64",  # 1 where decision_value > threshold, else 0; NaN where undefined
    "probability": "float64",  # by a recorded calibration alone, else NaN
    "split": "str",
    "fold": "Int64",  # missing without folds
    "seed": "Int64",
    "patient_id": "str",
    "label": "float64",  # 1, 0, or NaN for not known
}
"""Columns of a score table in their order, and the pandas type of each."""
KEY = ("case_id", "finding", "method", "fold", "seed")
"""No two rows agree in all of these."""
RECORD = "summarizer.json"
ARRAYS = "plane.npz"


def empty_scores() -> pd.DataFrame:
    """A score table without rows."""
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in COLUMNS.items()})


def check_scores(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """The table with its columns in order and typed; the values are those of `frame`.

    Missing scores are allowed (`missing_scores` counts them); they have no decision.

    Args:
        frame: Any table with the columns of `COLUMNS`; numbers may be text.
        where: The file or stage it comes from, for messages.

    Raises:
        DataError: A column is missing or foreign, a value does not fit its column, two rows have
            the same key, or a decision is not `decision_value > threshold`.
    """
    _check_columns(frame, where)
    typed = pd.DataFrame({name: _typed(pd.Series(frame[name]), where) for name in COLUMNS})
    column = {name: typed[name].to_numpy() for name in COLUMNS}
    known = {name: ~np.isnan(column[name]) for name in COLUMNS if COLUMNS[name] == "float64"}
    above = column["decision_value"] > column["threshold"]
    stated = known["decision"] & known["decision_value"] & known["threshold"]
    finite, binary = "finite numbers or blank", "1, 0 or blank"
    rules = [
        ("score", np.isinf(column["score"]), finite),
        ("decision_value", np.isinf(column["decision_value"]), finite),
        ("threshold", np.isinf(column["threshold"]), finite),
        ("probability", np.abs(column["probability"] - 0.5) > 0.5, "0 to 1, or blank"),
        ("decision", known["decision"] & ~np.isin(column["decision"], [0, 1]), binary),
        ("label", known["label"] & ~np.isin(column["label"], [0, 1]), binary),
        ("split", ~np.isin(column["split"], ["train", "val", "test"]), "train, val or test"),
        ("decision", known["decision"] & ~known["score"], "blank where the score is blank"),
        (
            "decision",
            stated & (column["decision"] != above),
            "1 where decision_value > threshold, else 0",
        ),
    ]
    for name, wrong, expected in rules:
        _refuse(wrong, column[name], name, where, expected=expected)
    _refuse_duplicates(typed, where)
    return typed


def missing_scores(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """How many rows have no score, per method, finding and split, with the first case ids.

    These rows stay in the table, and every metric leaves them out; the count says how many.
    """
    missing = scores.loc[scores["score"].isna(), ["method", "finding", "split", "case_id"]]
    groups: dict[tuple[str, str, str], list[str]] = {}
    for method, finding, split, case_id in missing.itertuples(index=False):
        groups.setdefault((method, finding, split), []).append(case_id)
    return [
        {
            "method": method,
            "finding": finding,
            "split": split,
            "n": len(case_ids),
            "first_case_ids": case_ids[:5],
        }
        for (method, finding, split), case_ids in groups.items()
    ]


def read_scores(path: Path) -> pd.DataFrame:
    """The checked score table in a Parquet or CSV file, or in a folder's `scores.parquet`.

    Raises:
        DataError: There is no such file, it cannot be read, or it is not a score table.
    """
    file = Path(path) / "scores.parquet" if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise _missing(file)
    try:
        if file.suffix == ".csv":
            frame = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
            texts = [name for name, dtype in COLUMNS.items() if dtype == "str"]
            for name in frame.columns.intersection(texts):
                frame[name] = frame[name].map(unguarded)
        else:
            frame = pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise DataError(
            f"the score table cannot be read: {error.__class__.__name__}.",
            where=shown(file),
            expected="a score table, as Parquet (.parquet) or CSV (.csv, UTF-8)",
            fix="check the path; `segclf summarize` and `segclf train-clf` write score tables",
        ) from None
    return check_scores(frame, shown(file))


def _missing(file: Path) -> DataError:
    return DataError(
        "there is no such score table.",
        where=shown(file),
        expected="a score table, as Parquet (.parquet) or CSV (.csv, UTF-8)",
        fix="check the path; `segclf summarize` and `segclf train-clf` write score tables",
    )


def write_scores(
    folder: Path, scores: pd.DataFrame, record: Mapping[str, Any], *, record_name: str = RECORD
) -> None:
    """Write `scores.parquet`, `scores.csv` and `summarizer.json` into `folder`, each atomically.

    Text in the CSV that a spreadsheet would run as a formula gets a leading apostrophe, which
    `read_scores` takes off again. NumPy arrays in the record go to `plane.npz` under their
    place in the record. The record is written last: where it is, the tables are complete.
    `record_name` is another name for its file. Operating points in the record's `fits` also go to
    `operating_points.csv`.

    Raises:
        DataError: `scores` is not a score table.
    """
    scores = check_scores(scores, shown(folder))
    arrays: dict[str, np.ndarray] = {}
    plain = _plain({**record, "missing_scores": missing_scores(scores)}, (), arrays)
    with atomic_path(folder / "scores.parquet") as part:
        scores.to_parquet(part, index=False)
    texts = [name for name, dtype in COLUMNS.items() if dtype == "str"]
    with atomic_path(folder / "scores.csv") as part:
        safe = scores.assign(**{name: scores[name].map(guarded) for name in texts})
        # Every text is quoted: a bare carriage return in one would end the line.
        safe.to_csv(
            part, index=False, encoding="utf-8", lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC
        )
    if arrays:
        with atomic_path(folder / ARRAYS) as part, open(part, "wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)  # pyright: ignore[reportArgumentType] (names are not keywords)
    else:
        (folder / ARRAYS).unlink(missing_ok=True)
    points = points_table(record.get("fits", []))
    if len(points):
        with atomic_path(folder / POINTS_FILE) as part:
            points.to_csv(part, index=False, encoding="utf-8", lineterminator="\n")
    else:
        (folder / POINTS_FILE).unlink(missing_ok=True)
    write_json(folder / record_name, plain)


def read_record(folder: Path, record_name: str = RECORD) -> dict[str, Any]:
    """What `write_scores` wrote about the scores in `folder`, with the arrays back in place."""
    record = read_json(Path(folder) / record_name)
    if not (Path(folder) / ARRAYS).exists():
        return record
    with np.load(Path(folder) / ARRAYS, allow_pickle=False) as arrays:
        return _with_arrays(record, dict(arrays))


def _check_columns(frame: pd.DataFrame, where: str) -> None:
    missing = [name for name in COLUMNS if name not in frame.columns]
    foreign = [str(name) for name in frame.columns if name not in COLUMNS]
    if missing:
        near = [m for name in missing for m in difflib.get_close_matches(name, foreign, n=1)]
        raise DataError(
            f"the score table has no column {', '.join(missing)}.",
            where=where,
            expected=", ".join(COLUMNS),
            fix=f"rename {', '.join(near)}" if near else "add it, blank where nothing is known",
        )
    if foreign:
        raise DataError(
            f"the score table has other columns: {', '.join(foreign)}.",
            where=where,
            expected=f"only {', '.join(COLUMNS)}",
            fix="take them out; metadata belong into the manifest",
        )


def _typed(column: pd.Series, where: str) -> pd.Series:
    name, dtype = str(column.name), COLUMNS[str(column.name)]
    column = column.reset_index(drop=True)
    values = column.to_numpy(dtype=object)
    if dtype == "str":
        blank = np.asarray(column.isna() | (column.astype("str").str.strip() == ""), dtype=bool)
        _refuse(blank, values, name, where, expected="a text in every row")
        return column.astype("str")
    if pd.api.types.is_numeric_dtype(column):
        number, blank = column, column.isna().to_numpy()
    else:
        blank = np.asarray(column.isna() | (column.astype("str").str.strip() == ""), dtype=bool)
        number = pd.Series(pd.to_numeric(column.mask(blank), errors="coerce"))
    value = number.to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = np.isnan(value) & ~blank
    if dtype == "Int64":
        wrong |= ~blank & (value != np.round(value))
    _refuse(wrong, values, name, where, expected="a number or blank in every row")
    return number.astype("Int64") if dtype == "Int64" else pd.Series(value)


def _refuse(wrong: np.ndarray, values: np.ndarray, name: str, where: str, *, expected: str) -> None:
    n_wrong = int(wrong.sum())
    if n_wrong == 0:
        return
    row = int(np.flatnonzero(wrong)[0])
    shown_value = values[row].item() if isinstance(values[row], np.generic) else values[row]
    raise DataError(
        f"{name} = {shown_value!r} does not fit"
        + (f" (and {n_wrong - 1} more rows)." if n_wrong > 1 else "."),
        where=f"{where}, row {row + 1}, column {name}",
        expected=expected,
        fix=f"correct {name} in that row",
    )


def _refuse_duplicates(typed: pd.DataFrame, where: str) -> None:
    again = typed.duplicated(list(KEY))
    if not again.any():
        return
    row = typed[again].iloc[0]
    key = ", ".join(f"{name} {row[name]}" for name in KEY if pd.notna(row[name]))
    raise DataError(
        f"{int(again.sum())} rows repeat an earlier one; the first is {key}.",
        where=f"{where}, row {int(np.flatnonzero(again)[0]) + 1}",
        expected=f"one row per {', '.join(KEY)}",
        fix="remove the repeated rows",
    )


def _plain(value: Any, place: tuple[str, ...], arrays: dict[str, np.ndarray]) -> Any:  # noqa: ANN401
    """Plain JSON data; arrays move into `arrays`, and NaN becomes null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v, (*place, str(k)), arrays) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, (*place, str(i)), arrays) for i, v in enumerate(value)]
    if isinstance(value, np.ndarray):
        arrays["/".join(place)] = value
        return {"array": "/".join(place)}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    json.dumps(value)  # anything else than plain data is our own mistake, seen here
    return value


def _with_arrays(value: Any, arrays: dict[str, np.ndarray]) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        return [_with_arrays(item, arrays) for item in value]
    if isinstance(value, dict):
        if set(value) == {"array"} and value["array"] in arrays:
            return arrays[value["array"]]
        return {key: _with_arrays(item, arrays) for key, item in value.items()}
    return value
