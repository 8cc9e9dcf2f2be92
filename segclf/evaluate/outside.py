"""Score tables made elsewhere: their columns mapped, what they leave out filled in and said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from segclf.core.catalog import unknown_name
from segclf.core.errors import DataError, UsageError
from segclf.core.scoretable import COLUMNS, check_scores

IDS = ("case_id", "patient_id")
REQUIRED = ("case_id", "score", "label")
DEFAULTS = {
    "finding": "finding",
    "decision_value": "",
    "threshold": "",
    "decision": "",
    "probability": "",
    "split": "test",
    "fold": "",
    "seed": "",
}
"""What a column holds that an outside table does not have; blank is 'not known'."""


@dataclass(frozen=True)
class Outside:
    """Score tables from outside, and what they say about the cases."""

    scores: pd.DataFrame
    cases: pd.DataFrame
    """One row per case: `case_id` and every column that is not of the score table."""
    roles: dict[str, str]
    """`derived` for columns that are known for positives only."""
    notes: tuple[str, ...]
    """What was filled in, for people."""


def read_outside(
    paths: Sequence[Path], columns: Mapping[str, str] | None = None, *, finding: str = "finding"
) -> Outside:
    """Score tables of other tools, one below the other, as one checked score table.

    A file needs `case_id`, `score` and `label`; without `method` it is named after the file,
    without `patient_id` every case is its own patient. Other columns describe the cases.

    Args:
        paths: CSV (UTF-8) or Parquet files.
        columns: Column of the score table to the column of the files that holds it.
        finding: What the labels mean, where the files do not say.

    Raises:
        DataError: A file cannot be read, lacks a column, holds a value that does not fit, or
            contradicts another file about a case.
        UsageError: A mapped column does not exist, or the name is taken.
    """
    frames, filled = [], set[str]()
    read = [_read(path) for path in paths]
    _check_mapping(columns or {}, read, paths)
    for path, frame in zip(paths, read, strict=True):
        frame = _renamed(frame, columns or {}, path)
        missing = [name for name in REQUIRED if name not in frame.columns]
        if missing:
            raise _lacks(missing, frame, path)
        defaults: dict[str, object] = {**DEFAULTS, "finding": finding, "method": path.stem}
        if "patient_id" not in frame.columns:
            defaults["patient_id"] = frame["case_id"]
        absent = [name for name in defaults if name not in frame.columns]
        filled |= {name for name in absent if name in ("finding", "split", "patient_id")}
        frame = frame.assign(**{name: defaults[name] for name in absent})
        checked = check_scores(frame.loc[:, list(COLUMNS)], path.name)
        extra = frame.drop(columns=list(COLUMNS)).reset_index(drop=True)
        frames.append((checked, extra.assign(case_id=checked["case_id"]), path.name))
    scores = check_scores(pd.concat([f for f, _, _ in frames], ignore_index=True), "score tables")
    cases = _describe([(extra, name) for _, extra, name in frames])
    roles = _roles(cases, scores)
    return Outside(scores, cases, roles, tuple(_notes(filled, roles, finding)))


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".csv":
            return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"the score table cannot be read: {error.__class__.__name__}.",
            where=path.name,
            expected="a table as Parquet (.parquet) or CSV (.csv, UTF-8)",
            fix="check the path and the file",
        ) from None


def _check_mapping(
    columns: Mapping[str, str], frames: Sequence[pd.DataFrame], paths: Sequence[Path]
) -> None:
    for ours, theirs in columns.items():
        where = f"--columns {ours}={theirs}"
        if ours not in COLUMNS:
            raise unknown_name(ours, COLUMNS, kind="column of the score table", where=where)
        if not any(theirs in frame.columns for frame in frames):
            names = sorted({str(name) for frame in frames for name in frame.columns})
            files = ", ".join(path.name for path in paths)
            raise unknown_name(theirs, names, kind=f"column in {files}", where=where)


def _renamed(frame: pd.DataFrame, columns: Mapping[str, str], path: Path) -> pd.DataFrame:
    """The table with our names; a mapping is for the files that have the other name."""
    own = {ours: theirs for ours, theirs in columns.items() if theirs in frame.columns}
    for ours, theirs in own.items():
        if ours in frame.columns and ours != theirs:
            raise UsageError(
                f"{path.name} has a column {ours!r} already.",
                where=f"--columns {ours}={theirs}",
                expected=f"a table without {ours!r}, or no mapping for it",
                fix=f"rename or remove the column {ours!r} of the file",
            )
    renamed = frame.rename(columns={theirs: ours for ours, theirs in own.items()})
    ids = {name: _as_id(pd.Series(renamed[name])) for name in IDS if name in renamed.columns}
    return renamed.assign(**ids)


def _as_id(values: pd.Series) -> pd.Series:
    """Whole numbers that were stored with a decimal point, as in a column with blanks, without."""
    if not pd.api.types.is_float_dtype(values) or (values.dropna() % 1 != 0).any():
        return values
    return values.astype("Int64").astype("string")


def _lacks(missing: list[str], frame: pd.DataFrame, path: Path) -> DataError:
    known = ", ".join(map(str, frame.columns[:12]))
    return DataError(
        f"the score table has no column {', '.join(missing)}.",
        where=path.name,
        expected=f"{', '.join(REQUIRED)}; it has {known}",
        fix=f"name the column that holds it: --columns {missing[0]}=NAME",
    )


def _describe(tables: list[tuple[pd.DataFrame, str]]) -> pd.DataFrame:
    """One row per case; a value that one file leaves blank is taken from another."""
    known = [extra.assign(**_tidy(extra)) for extra, _ in tables]
    # A column is of numbers if it is so in every file: the text '40' of a CSV is the number 40.
    both = pd.concat(known, ignore_index=True)
    others = [name for name in both.columns if name != "case_id"]
    columns = {name: _as_numbers(pd.Series(both[name])) for name in others}
    both = both.assign(**columns)
    grouped = both.groupby("case_id", sort=False)
    n_values = grouped.nunique()
    one = grouped.first()
    is_clash = np.asarray((n_values.to_numpy() > 1).any(axis=1))
    if is_clash.any():
        case_id = one.index[int(np.argmax(is_clash))]
        column = str(n_values.columns[int(np.argmax(n_values.loc[case_id].to_numpy() > 1))])
        rows = pd.DataFrame(both.loc[both["case_id"] == case_id])
        found = [repr(value) for value in pd.Series(rows[column]).dropna().unique()[:2]]
        raise DataError(
            f"the case {case_id!r} is described in two ways: {column} is {' and '.join(found)}.",
            where=", ".join(name for _, name in tables),
            expected="one value per case in every column that describes cases",
            fix="correct the rows of that case, or take the column out of one file",
        )
    return one.reset_index()


def _tidy(extra: pd.DataFrame) -> dict[str, pd.Series]:
    """Columns besides the id; texts lose the blanks around them, and are missing if empty."""
    found = {}
    for name in extra.columns.drop("case_id"):
        values = pd.Series(extra[name])
        if not pd.api.types.is_numeric_dtype(values):
            text = values.astype("string").str.strip()
            values = text.mask(text == "").astype(object)
        found[str(name)] = values
    return found


def _as_numbers(values: pd.Series) -> pd.Series:
    """The column as numbers if every value that is known is one."""
    known = values.notna()
    numbers = pd.Series(pd.to_numeric(values, errors="coerce"))
    if pd.api.types.is_bool_dtype(values) or (numbers.isna() & known).any() or not known.any():
        return values
    return numbers


def _roles(cases: pd.DataFrame, scores: pd.DataFrame) -> dict[str, str]:
    """Columns of sizes: blank or 0 for every negative, above 0 for positives, follow from truth."""
    place = pd.Index(cases["case_id"]).get_indexer(pd.Index(scores["case_id"]))
    label = scores["label"].to_numpy()
    is_positive, is_negative = np.zeros((2, len(cases)), bool)
    is_positive[place[label == 1]] = True
    is_negative[place[label == 0]] = True
    is_negative &= ~is_positive
    found = {}
    for name in cases.columns[1:]:
        known = cases[name].notna().to_numpy()
        is_number = pd.api.types.is_numeric_dtype(cases[name])
        has = known & (cases[name].to_numpy(dtype=np.float64) != 0) if is_number else known
        says_more = not is_number or set(cases.loc[known, name].unique()) - {0, 1}
        is_size = is_negative.any() and has[is_positive].any() and not has[is_negative].any()
        if is_size and (says_more or not known[is_negative].any()):
            found[str(name)] = "derived"
    return found


def _notes(filled: set[str], roles: Mapping[str, str], finding: str) -> list[str]:
    notes = []
    if "split" in filled:
        notes.append("the tables have no column `split`: all rows are taken as test cases")
    if "finding" in filled:
        notes.append(f"the tables have no column `finding`: the labels are called {finding!r}")
    for name in roles:
        notes.append(
            f"{name} is blank or 0 for every negative case: it cuts the positives, each group of "
            "which is compared with all negatives"
        )
    return notes
