"""Who belongs to which group: `--by` texts and shortcuts turned into codes per case."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from segclf.core.catalog import unknown_name
from segclf.core.errors import DataError, UsageError
from segclf.evaluate.bins import NUMBER, code_bins, is_number, parse_bins, suggest_bins

MAX_VALUES = 10
"""A numeric column with more distinct values needs bins."""
MAX_GROUPS = 50
"""More groups than this are not groups."""
MISSING, BLANK = "missing", "missing (blank)"
"""Name of the group of cases without a value; the second one where a value has the first."""
AND = " * "
"""Between the names of the parts of an intersection."""


@dataclass(frozen=True)
class Grouping:
    """One way to cut the cases into groups."""

    column: str
    names: tuple[str, ...]
    """The groups that were asked for, then those for the rest."""
    n_asked: int
    member: np.ndarray
    """(group, case + 1) bool; the last column is a case that the table does not hold."""
    positives_only: bool
    """The column is derived from the truth: it cuts the positives, and every group is compared
    with all negatives."""
    is_partition: bool = True
    """Every case is in one group; False for slices, which may overlap."""
    levels: np.ndarray | None = None
    """(group, factor) level in each part of an intersection; None for other groupings."""
    negatives: np.ndarray | None = None
    """Like `member`: the negatives that positives of a group are compared with, where only some
    parts of an intersection are derived; None is all."""

    def members(self, place: np.ndarray, positive: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Each group's name and rows; groups for the rest only where they are not empty.

        Args:
            place: (row,) the case of each row; -1 where the table does not hold it.
            positive: (row,) bool.
        """
        for i, name in enumerate(self.names):
            own = self.member[i][place] & (positive if self.positives_only else True)
            if i < self.n_asked or own.any():
                against = (
                    ~positive if self.negatives is None else self.negatives[i][place] & ~positive
                )
                yield name, own | against if self.positives_only else own


def group_cases(by: str, cases: pd.DataFrame, *, roles: Mapping[str, str]) -> Grouping:
    """The groups that one `--by` text asks for; cases without a value are the group 'missing'.

    Args:
        by: A column; a column with bins, `age_years:[0,40),[40,60),[60,)` or
            `age_years:quantiles=4`; an intersection of such, `sex*site`; or columns of 0 and 1
            whose cases with 1 are slices that may overlap, `tube+pacemaker`; blanks of a slice
            are a group of their own. A column of many
            numbers that is derived from the truth, such as a target size, is cut into quartiles;
            a size of 0 is no target, and quantiles leave it out.
        cases: One row per case.
        roles: Role of columns; `id` ones are refused, `derived` ones cut positives only.

    Raises:
        UsageError: A column is unknown, identifies cases, needs bins, or has too many values;
            the bins cannot be read, overlap, or are put on text; or a slice is not 0 and 1.
    """
    if by.partition(":")[0].strip() == "all":
        raise UsageError(
            "a column called 'all' cannot make groups.",
            where=f"--by {by}",
            expected="another name: rows of all cases are called 'all'",
            fix="rename the column",
        )
    if by not in cases.columns and "*" in by:
        return _intersect(by, [group_cases(part, cases, roles=roles) for part in by.split("*")])
    if by not in cases.columns and "+" in by and ":" not in by:
        return _overlap(by, cases, roles)
    column, bins_text = _parse_by(by, cases, roles)
    values = cases.loc[:, column]
    is_derived = roles.get(column) == "derived"
    if not bins_text and is_derived and is_number(values) and values.nunique() > MAX_VALUES:
        bins_text = "quantiles=4"
    sizes = values.mask(values == 0) if is_derived and is_number(values) else values
    bins = parse_bins(bins_text, sizes, where=f"--by {by}") if bins_text else ()
    names, code = code_bins(values, bins) if bins else _code_values(by, values)
    blank = BLANK if MISSING in names else MISSING
    all_names = (*names, blank)
    code = np.append(np.where(code < 0, len(names), code), len(names))
    member = code == np.arange(len(all_names))[:, None]
    n_asked = len(bins) or len(names)
    return Grouping(column, all_names, n_asked, member, positives_only=is_derived)


def _intersect(by: str, parts: list[Grouping]) -> Grouping:
    """Every combination of the parts' groups; those with a group for the rest come last."""
    combinations = list(product(*(range(len(part.names)) for part in parts)))
    asked = [
        all(level < part.n_asked for level, part in zip(combination, parts, strict=True))
        for combination in combinations
    ]
    if sum(asked) > MAX_GROUPS:
        raise UsageError(
            f"the intersection {by!r} has {sum(asked)} groups.",
            where=f"--by {by}",
            expected=f"at most {MAX_GROUPS} groups",
            fix="use fewer bins, or intersect fewer columns",
        )
    order = sorted(range(len(combinations)), key=lambda i: not asked[i])
    levels = np.array([combinations[i] for i in order])
    member = np.stack(
        [
            np.logical_and.reduce([p.member[k] for p, k in zip(parts, combination, strict=True)])
            for combination in levels
        ]
    )
    plain = [i for i, part in enumerate(parts) if not part.positives_only]
    negatives = None
    if plain and len(plain) < len(parts):
        negatives = np.stack(
            [
                np.logical_and.reduce([parts[i].member[combination[i]] for i in plain])
                for combination in levels
            ]
        )
    names = [
        AND.join(p.names[k] for p, k in zip(parts, combination, strict=True))
        for combination in levels
    ]
    return Grouping(
        column=AND.join(part.column for part in parts),
        names=tuple(names),
        n_asked=sum(asked),
        member=member,
        positives_only=any(part.positives_only for part in parts),
        is_partition=all(part.is_partition for part in parts),
        levels=levels,
        negatives=negatives,
    )


def _overlap(by: str, cases: pd.DataFrame, roles: Mapping[str, str]) -> Grouping:
    columns = [part.strip() for part in by.split("+")]
    present = [parse_shortcut(c, cases, roles=roles, option="--by")[1] for c in columns]
    asked = [np.append(values == 1, False) for values in present]
    rest = [np.append(np.isnan(values), True) for values in present]
    names = (*columns, *(f"{column} {MISSING}" for column in columns))
    is_derived = any(roles.get(column) == "derived" for column in columns)
    member = np.stack([*asked, *rest])
    return Grouping(by, names, len(columns), member, is_derived, is_partition=False)


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
    text: str, cases: pd.DataFrame, *, roles: Mapping[str, str], option: str = "--shortcut"
) -> tuple[str, np.ndarray]:
    """The name of a shortcut and, per case, 1.0 where present, 0.0 where absent, NaN where blank.

    Args:
        text: A column of 0 and 1, or `column=value` for the value that means present.
        cases: One row per case.
        roles: Role of columns; `id` ones are refused.
        option: Where the text comes from, for messages.

    Raises:
        UsageError: The column is unknown or identifies cases; it holds other values than 0 and 1
            and none was named; or the named value does not occur.
    """
    column, equals, wanted = text.partition("=")
    column, wanted = column.strip(), wanted.strip()
    _check_column(column, cases, roles, where=f"{option} {text}")
    shown, code = _named(cases.loc[:, column])
    if equals:
        if wanted not in shown and re.fullmatch(NUMBER, wanted):
            wanted = _name(float(wanted))
        if wanted not in shown:
            raise _no_value(f"{option} {text}", column, wanted, shown)
    elif not set(shown) <= {"0", "1"}:
        raise UsageError(
            f"the column {column!r} is not a column of 0 and 1.",
            where=f"{option} {text}",
            expected=f"0, 1 or blank; found {', '.join(shown[:8])}",
            fix=f"name the value that means present, e.g. {option} {column}={shown[-1]}",
        )
    is_present = np.array([*(name == (wanted or "1") for name in shown), np.nan], np.float64)
    return text if equals else column, is_present[code]


def _parse_by(by: str, cases: pd.DataFrame, roles: Mapping[str, str]) -> tuple[str, str]:
    """The column, and the text of its bins."""
    where = f"--by {by}"
    match = re.search(r":\s*(?=[\[(]|quantiles\s*=)", by) if by not in cases.columns else None
    column = (by if match is None else by[: match.start()]).strip()
    _check_column(column, cases, roles, where=where)
    return column, "" if match is None else by[match.end() :]


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


def _code_values(by: str, values: pd.Series) -> tuple[list[str], np.ndarray]:
    n_found = values.nunique()
    if is_number(values) and n_found > MAX_VALUES:
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
    ordered = sorted(found) if is_number(values) else sorted(found, key=str)
    names = list(dict.fromkeys(name for name in map(_name, ordered) if name))
    place = {name: i for i, name in enumerate(names)}
    return names, np.array([*(place.get(_name(value), -1) for value in found), -1])[code]


def _name(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, int | float | np.integer | np.floating):
        return f"{value:g}" if abs(value) < 1e6 else str(value)
    return str(value).strip()


def _no_value(where: str, column: str, wanted: str, shown: list[str]) -> UsageError:
    cause = unknown_name(wanted, shown[:MAX_GROUPS], kind=f"value of {column!r}")
    return UsageError(
        f"no case has {column} = {wanted}.",
        where=where,
        expected=cause.expected,
        fix=cause.fix,
    )
