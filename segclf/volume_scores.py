"""Scores of whole volumes from the scores of their slices, for methods without mask statistics.

A classifier, and a summarizer that is trained on maps, score slices alone. The highest or the mean
score of all slices is the score of the volume; its threshold is fitted on validation volumes.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.atomic import write_text
from segclf.core.catalog import lookup
from segclf.core.errors import UsageError
from segclf.core.runs import shown
from segclf.core.scoretable import empty_scores, read_scores, write_scores
from segclf.experiment import Experiment
from segclf.stages import note_stage, split_frame
from segclf.summarize.decide import decide_by_score
from segclf.summarize.finish import finish
from segclf.volumes import ENDING, QUARANTINE, volume_experiment

POOLS = {"max": "max", "mean": "mean"}
"""Rules for scores of slices."""
KEY = ["volume_id", "finding", "fold"]


def pool_scores(
    exp: Experiment, method: str, rule: str
) -> tuple[Experiment, Path, dict[str, Any], int]:
    """Score every volume by the scores of its slices.

    Args:
        exp: A run on slices.
        method: A classifier or summarizer of it that has scored its validation and test slices.
        rule: A name of `POOLS`.

    Returns:
        The experiment of the volumes, the folder of the scores, what was fitted, and how many
        volumes were left out because a slice has no score.

    Raises:
        UsageError: There is no such rule, or the method has no scores in this run.
        DataError: The cases are not slices of volumes.
    """
    pool = lookup(rule, POOLS, kind="rule for scores of slices")
    slices = _scores_of(exp, method)
    whole = volume_experiment(exp)
    volumes = _pooled(slices, exp.table.frame, pool)
    cases = split_frame(whole.split, whole.table).rename(columns={"case_id": "volume_id"})
    aside = _left_out(volumes, cases, exp.table.frame)
    volumes = volumes.loc[volumes["n_missing"] == 0]
    name, settings = f"{method}-{rule}{ENDING}", exp.recipe.summarize
    tables, fits = [empty_scores()], []
    for (finding, _), part in volumes.groupby(KEY[1:], sort=False, dropna=False):
        rows = _with_cases(part, cases, f"label_{finding}")
        decision = decide_by_score(rows, settings)
        table, fit = finish(
            rows, str(finding), decision, settings, method=name, seed=exp.recipe.seed
        )
        tables.append(table)
        fits.append(fit)
    record = {
        "rule": rule, "of": method, "unit": "volume", "seed": exp.recipe.seed, "fits": fits,
        "n_cases": volumes["volume_id"].nunique(), "n_volumes_left_out": len(aside),
        "cases_without_statistics": {}, "n_masks_without_case": 0, "image_px": None,
        "settings": settings.model_dump(mode="json"),
    }  # fmt: skip
    folder = whole.run.stage("summarize", name)
    write_scores(folder, pd.concat(tables, ignore_index=True), record)
    _write_aside(folder / QUARANTINE, aside)
    note_stage(whole, f"summarize/{name}")
    return whole, folder, record, len(aside)


def _scores_of(exp: Experiment, method: str) -> pd.DataFrame:
    kinds = ("classify", "summarize")
    stages = {path.name: path for kind in kinds for path in exp.run.path.glob(f"{kind}/*")}
    folder = lookup(method, stages, kind="method of the run")
    tables = [
        read_scores(path)
        for fold in dict.fromkeys([None, *exp.folds()])
        if (path := folder / ("" if fold is None else f"fold{fold}") / "scores.parquet").is_file()
    ]
    if not tables:
        raise UsageError(
            f"the method {method!r} has no scores of slices.",
            where=shown(folder),
            expected="scores.parquet, as segclf train-clf and segclf summarize write it",
            fix=f"run: segclf train-clf, or segclf summarize --rule {method}",
        )
    return pd.concat(tables, ignore_index=True)


def _pooled(slices: pd.DataFrame, frame: pd.DataFrame, pool: str) -> pd.DataFrame:
    """Per volume, finding and fold: the score, the label that slices give, and what is missing."""
    volume_of = frame.set_index("case_id")["volume_id"]
    rows = slices.assign(volume_id=volume_of.reindex(slices["case_id"]).to_numpy())
    groups = rows.groupby(KEY, sort=False, dropna=False)
    found = groups.agg(
        score=("score", pool), n_scored=("score", "count"),
        highest=("label", "max"), n_known=("label", "count"),
    ).reset_index()  # fmt: skip
    of_volume = _n_slices(frame)
    n_slices = np.array([of_volume[str(volume)] for volume in found["volume_id"]], dtype=int)
    highest = found["highest"].to_numpy(dtype=float)
    is_known = (highest == 1) | (found["n_known"].to_numpy() == n_slices)
    return found.assign(
        n_missing=n_slices - found["n_scored"].to_numpy(),
        of_slices=np.where(is_known, highest, np.nan),
    )


def _n_slices(frame: pd.DataFrame) -> dict[str, int]:
    return dict(Counter(map(str, frame["volume_id"])))


def _keys(rows: pd.DataFrame) -> list[tuple[str, int]]:
    """Volume and fold, -1 without folds."""
    folds = [-1 if pd.isna(fold) else int(fold) for fold in rows["fold"]]
    return list(zip(map(str, rows["volume_id"]), folds, strict=True))


def _with_cases(part: pd.DataFrame, cases: pd.DataFrame, label: str) -> pd.DataFrame:
    """Split, patient and label of each volume: the manifest's label, else that of the slices."""
    rows = part.merge(cases.astype({"fold": "Int64"}), on=["volume_id", "fold"], how="inner")
    own = rows[label] if label in rows else pd.Series(np.nan, index=rows.index)
    return rows.assign(case_id=rows["volume_id"], label=own.fillna(rows["of_slices"]))


def _left_out(
    volumes: pd.DataFrame, cases: pd.DataFrame, frame: pd.DataFrame
) -> list[dict[str, str]]:
    """Validation and test volumes of which a slice has no score."""
    n_slices = _n_slices(frame)
    held_out = cases.loc[cases["split"] != "train"]
    seen = {*_keys(volumes)}
    missing = {
        volume: n_slices[volume] for volume, fold in _keys(held_out) if (volume, fold) not in seen
    }
    for volume, n in zip(volumes["volume_id"], volumes["n_missing"], strict=True):
        if n > 0:
            missing[str(volume)] = int(n)
    return [
        {"case_id": volume, "reason": "slices_missing", "message": f"{n} slices have no score"}
        for volume, n in sorted(missing.items())
    ]


def _write_aside(path: Path, aside: list[dict[str, str]]) -> None:
    path.unlink(missing_ok=True)
    if aside:
        write_text(path, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in aside))
