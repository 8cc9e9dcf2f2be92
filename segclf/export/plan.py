"""Which cases are exported, with which thresholds: the rows of a score table and what made them."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.errors import DataError, UsageError
from segclf.core.maskstats import threshold_index
from segclf.core.runs import shown
from segclf.core.scoretable import read_record, read_scores
from segclf.core.statstable import read_statistics
from segclf.experiment import Experiment
from segclf.export.records import Job, Score
from segclf.manifest import CaseTable
from segclf.stages import predicted_folders

Key = tuple[str, str, int | None]
"""Case, finding, fold."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What the user asked for."""

    method: str
    t: float | None = None
    """Probability threshold of the masks; None is that of the rule."""
    cases: tuple[str, ...] = ()
    """Ids; none is every test case."""
    fold: int | None = None


def make_jobs(
    exp: Experiment, table: CaseTable, cases: str, folder: Path, asked: Asked
) -> list[Job]:
    """The cases to export, in the order of the manifest.

    Args:
        exp: The run.
        table: The manifest that the scores are of.
        cases: Name of that set of cases under `predict/`.
        folder: Where its score table lies.
        asked: What the user asked for.

    Raises:
        UsageError: A case, fold or threshold that is not there, or a case with several rows.
        DataError: The maps were made elsewhere, or rows are missing.
    """
    record = read_record(folder)
    if "maps" in record:
        raise DataError(
            "the maps of this method were made elsewhere, so there is no network to make masks.",
            where=shown(folder),
            expected="a method of the run's own segmenter",
            fix="use the files that the other tool wrote",
        )
    chosen = _chosen(read_scores(folder), asked)
    fits = {(fit["finding"], fit.get("fold")): fit for fit in record.get("fits", ())}
    curves = _curves(exp, cases)
    of_case = {case.case_id: case for case in table.cases}
    jobs = []
    for case_id in sorted(chosen, key=[*of_case, *chosen].index):
        rows = {str(row["finding"]): row for row in chosen[case_id]}
        missing = [finding for finding in table.findings if finding not in rows]
        if missing or case_id not in of_case:
            raise DataError(
                f"the score table and the manifest differ in case {case_id!r}"
                + (f": there is no row of {', '.join(missing)}." if missing else "."),
                where=shown(folder),
                expected=f"a row for each of {', '.join(table.findings)}",
                fix="run the same `segclf summarize` again",
            )
        fold = chosen[case_id][0]["fold"]
        found = []
        for finding in table.findings:
            fit = fits.get((finding, fold), {})
            curve = curves.get((case_id, finding, fold))
            found.append(_score(exp, rows[finding], fit, asked, curve))
        jobs.append(Job(of_case[case_id], fold, tuple(found)))
    return jobs


def _chosen(scores: pd.DataFrame, asked: Asked) -> dict[str, list[Row]]:
    """The rows of each case asked for, by one network: test rows where there are some."""
    of_case: dict[str, list[Row]] = {}
    for row in scores.to_dict("records"):
        row = {str(key): value for key, value in row.items()}
        row["fold"] = None if pd.isna(row["fold"]) else int(row["fold"])
        is_asked = row["case_id"] in asked.cases if asked.cases else row["split"] == "test"
        if is_asked and asked.fold in (None, row["fold"]):
            of_case.setdefault(row["case_id"], []).append(row)
    missing = [case_id for case_id in asked.cases if case_id not in of_case]
    if missing or not of_case:
        raise UsageError(
            f"the score table has no {f'case {missing[0]!r}' if missing else 'test case'}"
            + (f" in fold {asked.fold}." if asked.fold is not None else "."),
            where="--case" if missing else "scores.csv",
            expected="cases that were scored: test cases, or others by name",
            fix="see the column case_id of scores.csv",
        )
    for case_id, rows in of_case.items():
        tested = [row for row in rows if row["split"] == "test"]
        of_case[case_id] = tested or rows
        folds = sorted({row["fold"] for row in of_case[case_id]})
        if len(folds) > 1:
            raise UsageError(
                f"case {case_id!r} was scored by the networks of the folds {folds}.",
                where="--fold",
                expected="one network for each case",
                fix=f"choose one, e.g. --fold {folds[0]}",
            )
    return of_case


def _score(
    exp: Experiment, row: Row, fit: dict[str, Any], asked: Asked, curve: np.ndarray | None
) -> Score:
    t = _threshold(exp, row["finding"], fit, asked)
    return Score(
        finding=row["finding"],
        t=t,
        score=row["score"],
        decision_value=row["decision_value"],
        threshold=row["threshold"],
        decision=row["decision"],
        probability=row["probability"],
        unit=fit.get("unit") or "",
        expected_px=None if curve is None else int(curve[threshold_index(t)]),
    )


def _threshold(exp: Experiment, finding: str, fit: dict[str, Any], asked: Asked) -> float:
    """The t of the masks: the one that decided, else the one asked for, else `component_t`."""
    own = fit.get("t")
    decides_at_t = fit.get("decision_value") == "area_above"
    if own is not None and asked.t is not None and not math.isclose(own, asked.t):
        raise UsageError(
            f"{finding} was decided by the area above t = {own:.4g}, not {asked.t:.4g}.",
            where=f"--t {asked.t:g}",
            expected="masks of the t that decides",
            fix=f"leave --t out, or first: segclf summarize --rule {asked.method} --t {asked.t:g}",
        )
    if own is None and decides_at_t:
        raise UsageError(
            f"{finding} has no threshold t: {fit.get('reason') or 'it was not fitted'}.",
            where=f"method {asked.method}",
            expected="a t that was fitted or given",
            fix=f"segclf summarize --rule {asked.method} --t 0.5 --tau 20px",
        )
    t = own if own is not None else asked.t
    return float(exp.recipe.predict.component_t if t is None else t)


def _curves(exp: Experiment, cases: str) -> dict[Key, np.ndarray]:
    """Pixels above each t when the cases were predicted; empty without statistics."""
    folders = predicted_folders(exp, cases)
    if not folders:
        return {}
    statistics = read_statistics(folders, partial=True)
    columns = [statistics.frame[name].to_list() for name in ("case_id", "finding", "fold")]
    return {
        (case_id, finding, None if pd.isna(fold) else int(fold)): curve
        for case_id, finding, fold, curve in zip(*columns, statistics.area_curve, strict=True)
    }
