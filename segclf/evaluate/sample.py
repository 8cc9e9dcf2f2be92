"""From a score table to the test rows that are evaluated, and the ledger of those that are not."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.errors import DataError


@dataclass(frozen=True)
class Sample:
    """The test rows of one finding as arrays; everything but `case_ids` is (row,) or scalar."""

    finding: str
    methods: tuple[str, ...]
    case_ids: np.ndarray
    """(case,) unique ids; `case` indexes them."""
    case: np.ndarray
    method: np.ndarray
    patient: np.ndarray
    """int32 codes; patients of one stratum (fold, has a positive) are contiguous."""
    score: np.ndarray
    positive: np.ndarray
    decision: np.ndarray
    """1.0, 0.0, or NaN where the table has none."""
    probability: np.ndarray
    """In [0, 1], or NaN where the table has none."""
    seed: np.ndarray
    fold: np.ndarray
    n_seeds: int
    n_folds: int
    stratum_start: np.ndarray
    """(stratum + 1,) int64; limits of the strata among the patients."""


@dataclass(frozen=True)
class Slice:
    """A set of cases that gets rows of its own."""

    column: str
    group: str
    member: np.ndarray
    """(row,) bool over the rows of a sample."""
    shares_negatives: bool = False
    """Its positives are compared with negatives that other slices have as well."""
    against: str = "of the group"
    """Which negatives these are: 'all', or those of a part of the group."""


def select_rows(scores: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The rows that can be evaluated, and one ledger entry per reason, method and finding.

    Test rows with a known label and a score stay. Nothing is dropped without an entry.

    Args:
        scores: A checked score table.

    Raises:
        DataError: A case has two labels or two patients, or no row is left.
    """
    blocks = {name: scores[name].fillna(-1).astype(np.int64) for name in ("fold", "seed")}
    rows = scores.assign(**blocks)
    ledger: list[dict[str, Any]] = []
    is_other = rows["split"].to_numpy() != "test"
    rows = _leave_out(rows, is_other, "not in the test split", ledger)
    rows = _leave_out(rows, np.isnan(rows["label"].to_numpy()), "label not known", ledger)
    rows = _leave_out(rows, np.isnan(rows["score"].to_numpy()), "score is NaN", ledger)
    if rows.empty:
        left_out = "; ".join(f"{entry['n_rows']} rows: {entry['reason']}" for entry in ledger)
        raise DataError(
            "no row of the score table can be evaluated.",
            where="score table",
            expected=f"rows with split = test, a label and a score; found {left_out or 'no row'}",
            fix="label test cases, or run the stage that writes the scores again",
        )
    _check_agreement(rows)
    return rows, ledger


def make_sample(rows: pd.DataFrame, finding: str) -> Sample:
    """The rows of one finding as arrays; patients are numbered by id, not by order of rows."""
    rows = rows.loc[rows["finding"] == finding]
    case, case_ids = pd.factorize(rows["case_id"], sort=True)
    method, methods = pd.factorize(rows["method"], sort=True)
    seed, seeds = pd.factorize(rows["seed"], sort=True)
    fold, folds = pd.factorize(rows["fold"], sort=True)
    owner, _ = pd.factorize(rows["patient_id"], sort=True)
    positive = rows["label"].to_numpy(dtype=np.float64) == 1
    patient, stratum_start = number_patients(owner, positive, fold)
    return Sample(
        finding=finding,
        methods=tuple(str(name) for name in methods),
        case_ids=np.asarray(case_ids, dtype=object),
        case=case,
        method=method,
        patient=patient,
        score=rows["score"].to_numpy(dtype=np.float64),
        positive=positive,
        decision=rows["decision"].to_numpy(dtype=np.float64),
        probability=rows["probability"].to_numpy(dtype=np.float64),
        seed=seed,
        fold=fold,
        n_seeds=len(seeds),
        n_folds=len(folds),
        stratum_start=stratum_start,
    )


def number_patients(
    owner: np.ndarray, positive: np.ndarray, fold: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Patients renumbered so that those of one fold and disease state are contiguous.

    Args:
        owner: (row,) code of the patient.
        positive: (row,) bool; one positive row makes the patient positive.
        fold: (row,) code of the fold; a patient counts in the first of theirs.

    Returns:
        (row,) int32 new codes, and (stratum + 1,) int64 limits of the strata among them.
    """
    n_patients = int(owner.max()) + 1
    has_positive = np.zeros(n_patients, bool)
    has_positive[owner[positive]] = True
    first_fold = np.full(n_patients, np.iinfo(np.int64).max)
    np.minimum.at(first_fold, owner, fold)
    stratum = 2 * first_fold + has_positive
    order = np.argsort(stratum, kind="stable")
    code = np.empty(n_patients, np.int32)
    code[order] = np.arange(n_patients, dtype=np.int32)
    _, size = np.unique(stratum, return_counts=True)
    return code[owner], np.concatenate([[0], np.cumsum(size)]).astype(np.int64)


def _leave_out(
    rows: pd.DataFrame, is_out: np.ndarray, reason: str, ledger: list[dict[str, Any]]
) -> pd.DataFrame:
    left = rows.loc[is_out, ["method", "finding", "case_id"]]
    counts = left.groupby(["method", "finding"], sort=True)["case_id"].agg(["size", "nunique"])
    for method, finding, n_rows, n_cases in counts.reset_index().itertuples(index=False):
        entry = {"method": method, "finding": finding, "reason": reason}
        ledger.append(entry | {"n_rows": int(n_rows), "n_cases": int(n_cases)})
    return rows.loc[~is_out]


def _check_agreement(rows: pd.DataFrame) -> None:
    for name, keys in (("label", ["finding", "case_id"]), ("patient_id", ["case_id"])):
        pairs = rows.loc[:, [*keys, name]].drop_duplicates()
        clash = pairs.loc[pairs.duplicated(subset=keys), "case_id"]
        if len(clash):
            raise DataError(
                f"{len(clash)} cases have two values of {name}, such as case {clash.iloc[0]!r}.",
                where="score tables",
                expected=f"one {name} per case in all tables",
                fix="evaluate only methods that were scored on the same manifest",
            )
