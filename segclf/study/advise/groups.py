"""The columns of a data set: their roles, the sizes of their groups, what goes with the label."""

from typing import Any

import numpy as np
import pandas as pd

from segclf.manifest.suggest import MAX_CATEGORIES, Answer, suggest_roles
from segclf.manifest.summary import STRUCTURE
from segclf.manifest.values import Values, values_of
from segclf.study.advise.association import Column, adjust, associate, column_of
from segclf.study.advise.look import Seen

SKIPPED = ("id", "ignored")
DERIVED = "derived"
STRUCTURAL = (*STRUCTURE, "n_findings")
N_BINS = 4
Row = dict[str, Any]


def columns_of(seen: Seen) -> dict[str, Row]:
    """Role of every metadata column: the recipe's, else the one that its values suggest."""
    table = seen.table
    labels = {f"label_{finding}" for finding in table.findings}
    own = [
        str(c)
        for c in table.frame.columns
        if c not in STRUCTURAL
        and c not in labels
        and not str(c).startswith(("mask_source_", "mask_kind_"))
    ]
    suggested = suggest_roles(table.frame, own, _answers(seen))
    found: dict[str, Row] = {}
    for column in own:
        if column in table.roles:
            found[column] = {"role": table.roles[column], "because": "the recipe says so"}
        elif column in suggested:
            one = suggested[column]
            found[column] = {"role": one.role, "because": one.because}
        else:
            found[column] = {"role": "not stated", "because": ""}
    return found


def group_sizes(seen: Seen, columns: dict[str, Row]) -> list[Row]:
    """Cases, patients and positives of every value of a column; numbers in quarters."""
    table = seen.table
    patient = values_of(table.frame, "patient_id").codes
    labels = {f: _label(table.frame, f) for f in table.findings}
    rows = []
    for column, about in columns.items():
        if about["role"] in SKIPPED:
            continue
        binned = binned_values(values_of(table.frame, column))
        if binned is None:
            continue
        codes, names = binned
        for code, name in enumerate(names):
            is_in = codes == code
            row: Row = {"column": column, "group": name, "role": about["role"]}
            row |= {"n_cases": int(is_in.sum()), "n_patients": _n(patient[is_in])}
            row["findings"] = {
                finding: {
                    "n_positive": int((is_in & (label == 1)).sum()),
                    "n_negative": int((is_in & (label == 0)).sum()),
                    "n_positive_patients": _n(patient[is_in & (label == 1)]),
                    "n_negative_patients": _n(patient[is_in & (label == 0)]),
                }
                for finding, label in labels.items()
            }
            rows.append(row)
    return rows


def associations(
    seen: Seen, columns: dict[str, Row], seed: int = 0, *, unit: str = "patient"
) -> list[Row]:
    """Every column that is not made from the answer against every label, adjusted together."""
    table = seen.table
    patient = values_of(table.frame, "patient_id").codes
    rows = []
    for column, about in columns.items():
        if about["role"] in (*SKIPPED, DERIVED):
            continue
        values = values_of(table.frame, column)
        as_number = values.numbers is not None and len(values.names) > MAX_CATEGORIES // 2
        if not as_number and len(values.names) > MAX_CATEGORIES:
            continue
        for finding in table.findings:
            one = column_of(values, _label(table.frame, finding), patient, as_number=as_number)
            row = {"column": column, "finding": finding, "role": about["role"]}
            rows.append(row | associate(one, seed, unit=unit) | {"shares": _shares(one)})
    return adjust(rows)


def derived_columns(columns: dict[str, Row]) -> list[Row]:
    """Columns that the label or the mask determines; they say nothing about shortcuts."""
    return [
        {"column": name, "because": about["because"]}
        for name, about in columns.items()
        if about["role"] == DERIVED
    ]


def binned_values(values: Values) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """Group of each case (-1 = blank) and the groups' names; None for texts of many values."""
    if values.numbers is None:
        is_few = len(values.names) <= MAX_CATEGORIES
        return (values.codes, values.names) if is_few else None
    if len(values.names) <= MAX_CATEGORIES // 2:
        return values.codes, values.names
    known = values.codes >= 0
    inner = np.unique(np.nanquantile(values.numbers, np.linspace(0, 1, N_BINS + 1)[1:-1]))
    codes = np.where(known, np.searchsorted(inner, values.numbers, side="left"), -1)
    edges = [f"{edge:g}" for edge in inner]
    lows, highs = [None, *edges], [*edges, None]
    names = tuple(
        f"up to {hi}" if lo is None else f"above {lo}" if hi is None else f"{lo} to {hi}"
        for lo, hi in zip(lows, highs, strict=True)
    )
    return codes, names


def _shares(column: Column) -> dict[str, float] | None:
    """Share of positive cases per value; None for numbers."""
    if column.numbers is not None or not len(column.codes):
        return None
    n = np.bincount(column.codes, minlength=len(column.names))
    hits = np.bincount(column.codes, column.label, minlength=len(column.names))
    return {name: float(h / k) for name, h, k in zip(column.names, hits, n, strict=True)}


def _answers(seen: Seen) -> list[Answer]:
    """What a column may have been made from: labels and areas."""
    answers = []
    for k, finding in enumerate(seen.table.findings):
        label = _label(seen.table.frame, finding)
        name = f"the label of {finding}"
        answers.append(Answer(name, label, absent=f"{name} is 0"))
        ids = [case.case_id for case in seen.table.cases]
        area = np.array([seen.area.get((i, k), np.nan) for i in ids])
        answers.append(Answer(f"the area of {finding}", np.where(label == 0, 0.0, area)))
    return answers


def _label(frame: pd.DataFrame, finding: str) -> np.ndarray:
    return frame[f"label_{finding}"].to_numpy(dtype=float)


def _n(codes: np.ndarray) -> int:
    return len(np.unique(codes))
