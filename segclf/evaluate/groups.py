"""Who belongs to which group: `--by` texts and shortcuts turned into codes per case."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from segclf.core.catalog import unknown_name
from segclf.core.errors import DataError, UsageError

MAX_VALUES = 10
"""A numeric column with more distinct values needs bins."""
MAX_GROUPS = 50
"""More groups than this are not groups."""
MISSING, BLANK = "missing", "missing (blank)"
"""Name of the group of cases without a value; the second one where a value has the first."""
OUTSIDE = "outside the bins"

_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_BIN = re.compile(rf"\s*([\[(])\s*({_NUMBER})?\s*,\s*({_NUMBER})?\s*([\])])\s*(,|$)")


@dataclass(frozen=True)
class Bin:
    """An interval of numbers; `text` is how the user wrote it."""

    text: str
    low: float
    high: float
    holds_low: bool
    holds_high: bool

    def contains(self, values: np.ndarray) -> np.ndarray:
        """True where a value lies in the interval; NaN never does."""
        above = values >= self.low if self.holds_low else values > self.low
        return above & (values <= self.high if self.holds_high else values < self.high)


@dataclass(frozen=True)
class Grouping:
    """One way to cut the cases into groups."""

    column: str
    names: tuple[str, ...]
    """The groups that were asked for, then those for the rest; the last one is 'missing'."""
    n_asked: int
    code: np.ndarray
    """(case,) int16; index into `names`."""
    positives_only: bool
    """The column is derived from the truth: it cuts the positives, and every group is compared
    with all negatives."""

    def members(self, code: np.ndarray, positive: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Each group's name and rows; groups for the rest only where they are not empty.

        Args:
            code: (row,) index into `names`.
            positive: (row,) bool.
        """
        for i, name in enumerate(self.names):
            own = (code == i) & (positive if self.positives_only else True)
            if i < self.n_asked or own.any():
                yield name, own | ~positive if self.positives_only else own


def group_cases(by: str, cases: pd.DataFrame, *, roles: Mapping[str, str]) -> Grouping:
    """The groups that one `--by` text asks for; cases without a value are the group 'missing'.

    Args:
        by: A column, or a column with bins: `age_years:[0,40),[40,60),[60,)`.
        cases: One row per case.
        roles: Role of columns; `id` ones are refused, `derived` ones cut positives only.

    Raises:
        UsageError: The column is unknown, identifies cases, needs bins, or has too many values;
            or the bins cannot be read, overlap, or are put on text.
    """
    column, bins = _parse_by(by, cases, roles)
    values = cases.loc[:, column]
    names, code = _code_bins(by, values, bins) if bins else _code_values(by, values)
    blank = BLANK if MISSING in names else MISSING
    code = np.where(code < 0, len(names), code).astype(np.int16)
    is_derived = roles.get(column) == "derived"
    n_asked = len(bins) or len(names)
    return Grouping(column, (*names, blank), n_asked, code, positives_only=is_derived)


def check_cases(cases: pd.DataFrame) -> None:
    """Refuse a case table without `case_id`, or with a case twice.

    Raises:
        DataError: With the first offending case.
    """
    if "case_id" not in cases.columns:
        raise DataError(
            "the case table lacks the column 'case_id'.",
            where="case table",
            expected="one row per case",
            fix=f"rename one of its columns: {', '.join(map(str, cases.columns[:8]))}",
        )
    twice = cases.loc[cases["case_id"].duplicated(), "case_id"]
    if len(twice):
        raise DataError(
            f"{len(twice)} rows of the case table repeat a case, such as {twice.iloc[0]!r}.",
            where="case table",
            expected="one row per case",
            fix="keep one row per case; values per slice or visit need cases of their own",
        )


def parse_shortcut(
    text: str, cases: pd.DataFrame, *, roles: Mapping[str, str]
) -> tuple[str, np.ndarray]:
    """The name of a shortcut and, per case, 1.0 where present, 0.0 where absent, NaN where blank.

    Args:
        text: A column of 0 and 1, or `column=value` for the value that means present.
        cases: One row per case.
        roles: Role of columns; `id` ones are refused.

    Raises:
        UsageError: The column is unknown or identifies cases; it holds other values than 0 and 1
            and none was named; or the named value does not occur.
    """
    column, equals, wanted = text.partition("=")
    column, wanted = column.strip(), wanted.strip()
    _check_column(column, cases, roles, where=f"--shortcut {text}")
    shown, code = _named(cases.loc[:, column])
    if equals:
        if wanted not in shown and re.fullmatch(_NUMBER, wanted):
            wanted = _name(float(wanted))
        if wanted not in shown:
            raise _no_value(text, column, wanted, shown)
    elif not set(shown) <= {"0", "1"}:
        raise UsageError(
            f"the shortcut {column!r} is not a column of 0 and 1.",
            where=f"--shortcut {text}",
            expected=f"0, 1 or blank; found {', '.join(shown[:8])}",
            fix=f"name the value that means present, e.g. --shortcut {column}={shown[-1]}",
        )
    is_present = np.array([*(name == (wanted or "1") for name in shown), np.nan], np.float64)
    return text if equals else column, is_present[code]


def _parse_by(
    by: str, cases: pd.DataFrame, roles: Mapping[str, str]
) -> tuple[str, tuple[Bin, ...]]:
    where = f"--by {by}"
    match = re.search(r":\s*(?=[\[(])", by) if by not in cases.columns else None
    column = by if match is None else by[: match.start()].strip()
    _check_column(column, cases, roles, where=where)
    return column, () if match is None else _parse_bins(by[match.end() :], where=where)


def _check_column(
    column: str, cases: pd.DataFrame, roles: Mapping[str, str], *, where: str
) -> None:
    identifies = {"case_id", "patient_id", *(name for name, role in roles.items() if role == "id")}
    known = [str(name) for name in cases.columns if name not in identifies]
    if column in identifies:
        raise UsageError(
            f"the column {column!r} identifies cases, so it makes no groups.",
            where=where,
            expected=f"one of {', '.join(sorted(known)) or '(no other columns)'}",
            fix="group by what cases have in common; change `roles` if it is not an id",
        )
    if column not in known:
        raise unknown_name(column, known, kind="column", where=where)


def _parse_bins(text: str, *, where: str) -> tuple[Bin, ...]:
    bins, end = [], 0
    while end < len(text):
        match = _BIN.match(text, end)
        if match is None:
            raise _bad_bins(f"{text[end:]!r} is not an interval.", where=where)
        low = float(match[2]) if match[2] else -np.inf
        high = float(match[3]) if match[3] else np.inf
        new = Bin(match[0].rstrip(", "), low, high, match[1] == "[", match[4] == "]")
        if low > high or (low == high and not (new.holds_low and new.holds_high)):
            raise _bad_bins(f"the interval {new.text} is empty.", where=where)
        if bins and (bins[-1].high > low or (bins[-1].holds_high and bins[-1].high == low)):
            raise _bad_bins(f"{bins[-1].text} and {new.text} overlap or descend.", where=where)
        bins.append(new)
        end = match.end()
    return tuple(bins)


def _bad_bins(wrong: str, *, where: str) -> UsageError:
    return UsageError(
        wrong,
        where=where,
        expected="ascending intervals that do not overlap; a blank end is open",
        fix="write for example 'age_years:[0,40),[40,60),[60,)' (in quotes)",
    )


def _code_bins(by: str, values: pd.Series, bins: tuple[Bin, ...]) -> tuple[list[str], np.ndarray]:
    """Names of the bins and of the rest, and the code of each case; -1 where it has no value."""
    if not _is_number(values):
        example = next((str(value) for value in values.dropna()), "nothing")
        raise UsageError(
            "bins were given for a column that is not numeric.",
            where=f"--by {by}",
            expected=f"numbers only; found {example!r}",
            fix="leave the bins out, or correct the values",
        )
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    code = np.full(len(numbers), len(bins))
    for index, interval in enumerate(bins):
        code[interval.contains(numbers)] = index
    code[np.isnan(numbers)] = -1
    return [*(interval.text for interval in bins), OUTSIDE], code


def _code_values(by: str, values: pd.Series) -> tuple[list[str], np.ndarray]:
    n_found = values.nunique()
    if _is_number(values) and n_found > MAX_VALUES:
        raise UsageError(
            f"the column {by!r} holds {n_found} different numbers, so it needs bins.",
            where=f"--by {by}",
            expected=f"bins, or at most {MAX_VALUES} different numbers",
            fix=f"--by '{by}:{suggest_bins(values)}', or give categories as text",
        )
    if n_found > MAX_GROUPS:
        raise UsageError(
            f"the column {by!r} holds {n_found} different values.",
            where=f"--by {by}",
            expected=f"at most {MAX_GROUPS} groups",
            fix="merge rare values into a new column, or group by another column",
        )
    return _named(values)


def _named(values: pd.Series) -> tuple[list[str], np.ndarray]:
    """Distinct values in order as text, and the code of each case; -1 for missing or blank."""
    code, found = pd.factorize(values)
    ordered = sorted(found) if _is_number(values) else sorted(found, key=str)
    names = list(dict.fromkeys(name for name in map(_name, ordered) if name))
    place = {name: i for i, name in enumerate(names)}
    return names, np.array([*(place.get(_name(value), -1) for value in found), -1])[code]


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def suggest_bins(values: pd.Series) -> str:
    """Three bins of about equal size with round limits, as `--by` reads them."""
    numbers = values.dropna().astype(np.float64)
    cuts = sorted({float(f"{q:.2g}") for q in numbers.quantile([1 / 3, 2 / 3])})
    ends = ["", *(f"{cut:g}" for cut in cuts), ""]
    parts = [f"{'[' if low else '('}{low},{high})" for low, high in pairwise(ends)]
    return ",".join(parts)


def _name(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, int | float | np.integer | np.floating):
        return f"{value:g}" if abs(value) < 1e6 else str(value)
    return str(value).strip()


def _no_value(text: str, column: str, wanted: str, shown: list[str]) -> UsageError:
    cause = unknown_name(wanted, shown[:MAX_GROUPS], kind=f"value of {column!r}")
    return UsageError(
        f"no case has {column} = {wanted}.",
        where=f"--shortcut {text}",
        expected=cause.expected,
        fix=cause.fix,
    )
