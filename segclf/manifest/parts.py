"""Parts and folds that the user fixed, and whether a split has enough patients to be used."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from segclf.core.config import Recipe
from segclf.core.errors import DataError
from segclf.manifest.cells import PARTS, Column, parse_counts
from segclf.manifest.records import CaseTable, Problem, data_error
from segclf.manifest.sources import expand, parse_table, read_bytes

MIN_PATIENTS = 2
"""Fewest positive and negative patients that a part may hold."""

Assignment = dict[str, str]
"""Patient to train, val or test, or to a fold."""


def read_fold_file(recipe: Recipe, *, base: Path = Path(".")) -> pd.DataFrame | None:
    """Columns `patient_id` (text) and `fold` of the recipe's `split.fold_file`; None without one.

    Raises:
        DataError: The file cannot be read, lacks a column, or holds something else than folds.
    """
    if recipe.split.fold_file is None:
        return None
    path = base / expand(recipe.split.fold_file, where="split.fold_file")
    texts = parse_table(read_bytes(path), path.name)
    for name in ("patient_id", "fold"):
        if name not in texts.columns:
            raise DataError(
                f"the fold file has no column {name!r}.",
                where=f"{path.name}: columns {', '.join(texts.columns)}",
                expected="the columns patient_id and fold",
                fix="rename the columns",
            )
    problems: list[Problem] = []
    folds = parse_counts(Column("fold", texts.rows, texts.columns["fold"]), problems)
    if problems:
        raise data_error(problems, path.name)
    fold = pd.array(folds, dtype="Int64")
    return pd.DataFrame({"patient_id": texts.columns["patient_id"], "fold": fold})


def given_parts(table: CaseTable, column: str) -> Assignment:
    """The manifest's own parts or folds, the same for all cases of a patient."""
    assignment: Assignment = {}
    rows = table.rows or range(2, len(table.frame) + 2)
    for patient, text, row in zip(
        table.frame["patient_id"], table.frame[column], rows, strict=True
    ):
        if pd.isna(text) or assignment.setdefault(patient, str(text)) != str(text):
            raise DataError(
                "a fold is blank."
                if pd.isna(text)
                else f"a patient is in {assignment[patient]} and in {text}.",
                where=f"row {row}, column {column!r}",
                expected="one part for all cases of a patient",
                fix="move all cases of the patient to one part",
            )
    return assignment


def table_folds(table: CaseTable, fold_table: pd.DataFrame) -> Assignment:
    """The fold of each patient of the table, by a table with `patient_id` and `fold`."""
    fold_of: dict[str, str] = {}
    for patient, fold in zip(fold_table["patient_id"], fold_table["fold"], strict=True):
        if pd.isna(fold) or fold_of.setdefault(str(patient), str(fold)) != str(fold):
            raise DataError(
                "a fold is blank or a patient is in two folds.",
                where="the fold table",
                expected="one fold per patient",
                fix="correct the fold file",
            )
    missing = table.frame.loc[~table.frame["patient_id"].isin(list(fold_of)), "case_id"]
    if len(missing):
        raise DataError(
            f"the fold table lacks the patients of {len(missing)} cases.",
            where=f"case {missing.iloc[0]} and others",
            expected="a fold for each patient_id of the manifest",
            fix="complete the fold file; ids are compared as texts, so 7 is not 007",
        )
    return {patient: fold_of[patient] for patient in table.frame["patient_id"]}


def check_counts(
    table: CaseTable,
    patients: Mapping[str, tuple[float, ...]],
    parts: Mapping[int | None, Assignment],
) -> list[str]:
    """Refuse parts with too few patients of a kind; returns notes on what was not stratified."""
    notes = []
    has_both = [
        {0.0, 1.0} <= {labels[k] for labels in patients.values()}
        for k in range(len(table.findings))
    ]
    for k, finding in enumerate(table.findings):
        if all(np.isnan(labels[k]) for labels in patients.values()):
            notes.append(f"no label of {finding} is known: not stratified on it")
        elif not has_both[k] and any(has_both):
            notes.append(f"all known patients agree in {finding}: not checked for it")
        else:
            for fold, assignment in parts.items():
                _check_part(k, finding, patients, assignment, fold, "split" in table.frame)
    return notes


def _check_part(
    k: int,
    finding: str,
    patients: Mapping[str, tuple[float, ...]],
    assignment: Assignment,
    fold: int | None,
    is_given: bool,
) -> None:
    counts: dict[str, list[int]] = {part: [0, 0] for part in PARTS}
    n_patients: dict[str, int] = dict.fromkeys(PARTS, 0)
    for patient, part in assignment.items():
        n_patients[part] += 1
        if not np.isnan(patients[patient][k]):
            counts[part][int(patients[patient][k])] += 1
    short = [part for part in PARTS if min(counts[part]) < MIN_PATIENTS]
    if is_given and n_patients["test"] == 0:
        short = [part for part in short if part != "test"]  # tested on another manifest
    if not short:
        return
    listed = ", ".join(f"{part} {counts[part][1]} / {counts[part][0]}" for part in PARTS)
    raise DataError(
        f"the {short[0]} part has {counts[short[0]][1]} positive and {counts[short[0]][0]} "
        f"negative patients of {finding}.",
        where=("" if fold is None else f"fold {fold}; ")
        + f"positive / negative patients: {listed}",
        expected=f"at least {MIN_PATIENTS} positive and {MIN_PATIENTS} negative in each part",
        fix=_fix(finding, counts, is_given),
    )


def _fix(finding: str, counts: Mapping[str, list[int]], is_given: bool) -> str:
    """What to do about too few patients; where all learn from one label, no split helps."""
    known = [counts["train"][label] + counts["val"][label] for label in (0, 1)]
    if is_given and sum(known) and 0 in known:
        label = known.index(max(known))
        return (
            f"all {sum(known)} known patients of train and val have the label {label}, from which "
            f"nothing is learned: add some whose label is {1 - label} to both, or leave the "
            f"finding {finding} out"
        )
    if is_given:
        return "correct the manifest's split column"
    return "use fewer folds or a larger share for this part, or add patients"
