"""Which patients train, validate and test: by patient, stratified, seeded."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from segclf.core.config import SplitSettings
from segclf.core.errors import ConfigError, DataError
from segclf.core.randomness import generator
from segclf.core.records import Case
from segclf.manifest.cells import PARTS
from segclf.manifest.parts import Assignment, check_counts, given_parts, table_folds
from segclf.manifest.records import CaseTable


def make_split(
    table: CaseTable,
    settings: SplitSettings,
    seed: int,
    *,
    fold_table: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Part of every case: columns `case_id, patient_id, split, fold`; cases of a patient agree.

    The first of these that is given decides: the manifest's `split` column, `fold_table`, the
    manifest's `fold` column, `settings.folds`, `settings.fractions`. With k folds there are k
    rows per case, one for each fold: fold f tests on its own patients, and a stratified share
    of the others validates. Without folds, `fold` is missing. What the reader should know
    (an unstratified split, a setting that was not used) is in `frame.attrs["notes"]`.

    Patients are stratified on their findings: those with a positive case, by which findings,
    apart from those with none. The same seed and patients give the same split, whatever the
    order of the rows.

    Args:
        table: Cases with their patients and labels.
        settings: Shares, number of folds.
        seed: Seed of the recipe.
        fold_table: Columns `patient_id` and `fold` (0 to k-1), honoured exactly.

    Raises:
        DataError: A patient is in two parts, a patient has no fold, or a part has fewer than 2
            positive or 2 negative patients.
        ConfigError: The shares do not add up to 1.
    """
    patients = patient_labels(table)
    notes: list[str] = []
    if "split" in table.frame:
        parts: dict[int | None, Assignment] = {None: given_parts(table, "split")}
        if settings.folds or fold_table is not None:
            notes.append("the manifest's split column was used; the recipe's folds were not")
    elif fold_table is not None or "fold" in table.frame:
        fold_of = (
            given_parts(table, "fold") if fold_table is None else table_folds(table, fold_table)
        )
        parts = _nested(patients, {p: int(fold) for p, fold in fold_of.items()}, settings, seed)
    elif settings.folds:
        shares = {str(fold): 1 / settings.folds for fold in range(settings.folds)}
        fold_of = deal(patients, shares, seed, "folds")
        parts = _nested(patients, {p: int(fold) for p, fold in fold_of.items()}, settings, seed)
    else:
        parts = {None: deal(patients, _shares(settings), seed, "split")}
    notes += check_counts(table, patients, parts)
    frames = [
        pd.DataFrame(
            {
                "case_id": table.frame["case_id"],
                "patient_id": table.frame["patient_id"],
                "split": [assignment[patient] for patient in table.frame["patient_id"]],
                "fold": pd.array([fold] * len(table.frame), dtype="Int64"),
            }
        )
        for fold, assignment in sorted(parts.items(), key=lambda item: item[0] or 0)
    ]
    frame = pd.concat(frames, ignore_index=True)
    frame.attrs["notes"] = notes
    return frame


def cases_of(
    table: CaseTable, split_frame: pd.DataFrame, part: str, fold: int | None = None
) -> tuple[Case, ...]:
    """The cases of one part (`train`, `val`, `test`), in the order of the table.

    Args:
        table: The cases.
        split_frame: From `make_split`.
        part: Name of the part.
        fold: Which fold; needed exactly if the split has folds.

    Raises:
        ValueError: The fold is missing or not there, or the part has another name.
    """
    folds = sorted(split_frame["fold"].dropna().unique())
    if part not in PARTS or (fold not in folds if folds else fold is not None):
        raise ValueError(f"no part {part!r} of fold {fold}: parts {PARTS}, folds {folds or None}.")
    is_in = split_frame["split"] == part
    if fold is not None:
        is_in &= split_frame["fold"] == fold
    wanted = set(split_frame["case_id"].to_numpy()[is_in.to_numpy(dtype=bool)])
    return tuple(case for case in table.cases if case.case_id in wanted)


def patient_labels(table: CaseTable) -> dict[str, tuple[float, ...]]:
    """Per patient and finding: 1 if a case is positive, 0 if known ones are not, NaN if none is."""
    names = [f"label_{finding}" for finding in table.findings]
    best = defaultdict(lambda: np.full(len(names), np.nan))
    for part in (table, table.source):  # a volume may be known to be positive where no slice is
        if part is not None:
            labels = part.frame[names].to_numpy(dtype=float)
            for patient, row in zip(part.frame["patient_id"], labels, strict=True):
                best[patient] = np.fmax(best[patient], row)
    return {patient: tuple(row.tolist()) for patient, row in best.items()}


def _shares(settings: SplitSettings) -> dict[str, float]:
    if abs(sum(settings.fractions) - 1) > 1e-6:
        raise ConfigError(
            f"the shares add up to {sum(settings.fractions):g}.",
            where=f"split.fractions = {list(settings.fractions)}",
            expected="train, val and test shares that add up to 1",
            fix="write for example [0.6, 0.2, 0.2]",
        )
    return dict(zip(PARTS, settings.fractions, strict=True))


def deal(
    patients: Mapping[str, tuple[float, ...]],
    shares: Mapping[str, float],
    seed: int,
    *key: str | int,
) -> Assignment:
    """Patients to parts: shuffled within each stratum, then dealt to the part that lags most.

    Args:
        patients: Labels per patient, from `patient_labels`.
        shares: Share of the patients in each part.
        seed: Seed of the recipe.
        key: What is dealt, so that two dealings of one seed differ.
    """
    strata: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for patient in sorted(patients):
        strata[_stratum(patients[patient])].append(patient)
    owed = dict.fromkeys(shares, 0.0)
    assignment: Assignment = {}
    for stratum in sorted(strata, reverse=True):
        members = strata[stratum]
        order = generator(seed, *key, *stratum).permutation(len(members))
        for index in order:
            for part, share in shares.items():
                owed[part] += share
            part = max(owed, key=lambda name: owed[name])
            owed[part] -= 1
            assignment[members[index]] = part
    return assignment


def _stratum(labels: Sequence[float]) -> tuple[int, ...]:
    """Any positive first, then which; all negative; nothing known."""
    known = [label for label in labels if not np.isnan(label)]
    first = -1 if not known else int(max(known))
    return (first, *(int(label == 1) for label in labels))


def _nested(
    patients: Mapping[str, tuple[float, ...]],
    fold_of: Mapping[str, int],
    settings: SplitSettings,
    seed: int,
) -> dict[int | None, Assignment]:
    """For each fold: its patients test, a stratified share of the others validates."""
    folds = sorted(set(fold_of.values()))
    if (
        folds != list(range(len(folds)))
        or len(folds) < 2
        or settings.folds not in (None, len(folds))
    ):
        raise DataError(
            f"the folds are {', '.join(map(str, folds))}.",
            where=f"split.folds = {settings.folds}",
            expected="at least two folds, numbered from 0 without a gap"
            + (f", {settings.folds} of them" if settings.folds else ""),
            fix="correct the fold column or file, or split.folds",
        )
    shares = {"train": 1 - settings.val_fraction, "val": settings.val_fraction}
    parts: dict[int | None, Assignment] = {}
    for fold in folds:
        others = {p: labels for p, labels in patients.items() if fold_of[p] != fold}
        dealt = deal(others, shares, seed, "val", fold)
        parts[fold] = {p: dealt.get(p, "test") for p in patients}
    return parts
