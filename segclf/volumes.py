"""Whole volumes from the slices of a run: a run folder of its own, `runs/<name>/volumes/`.

Its cases are the volumes, its predictions the stacked statistics of their slices, and its score
tables have one row per volume, so that evaluation, calibration and report work on it as on any run.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.atomic import atomic_path, hash_of, write_text
from segclf.core.config import Recipe, SliceSettings
from segclf.core.errors import DataError, UsageError
from segclf.core.maskstats import MaskStatistics, joined
from segclf.core.runs import RUNS, Run
from segclf.core.scoretable import write_scores
from segclf.core.statstable import read_statistics, write_identity, write_part
from segclf.experiment import Experiment, experiment_below
from segclf.manifest import CaseTable, write_side_table
from segclf.manifest.slices import of_rows
from segclf.other import as_test, other_name, other_table, renamed
from segclf.stages import OWN, note_stage, predicted_folders, split_frame
from segclf.summarize import find_summarizer, summarize
from segclf.summarize.trained import is_trained
from segclf.summarize.volumes import stack_slices

FOLDER = "volumes"
ENDING = "-slices"
"""Methods made from slices are named so, beside those of a 3D network on the same volumes."""
OF_SLICES = ("volume_id", "slice_index", "split", "fold")
LABELS, MANIFEST, QUARANTINE = "labels.parquet", "volumes.csv", "quarantine.jsonl"


def summarize_volumes(
    exp: Experiment,
    rule: str,
    *,
    t: float | None = None,
    tau: str | None = None,
    manifest: Path | None = None,
) -> tuple[Experiment, Path, dict[str, Any], int]:
    """Score every volume by a rule, from the statistics of its slices.

    Thresholds come from the validation volumes of the run. With `manifest`, the volumes of that
    table are scored instead of the run's own.

    Args:
        exp: A run on slices whose validation and test cases were predicted.
        rule: A rule, not a trained summarizer.
        t: Probability threshold of a voxel; None fits it.
        tau: Area or volume, such as `1.5mL`; None fits it.
        manifest: Other volumes, predicted before.

    Returns:
        The experiment of the volumes, the folder of the scores, what was fitted, and how many
        volumes were left out because a slice has no statistics.

    Raises:
        UsageError: The rule is a trained one.
        DataError: The cases are not slices of volumes.
    """
    if is_trained(rule):
        raise UsageError(
            f"the summarizer {rule!r} reads maps, which are of single slices.",
            where="--unit volume",
            expected="a rule: tau, mean, max, topk, noisy_or, lse, largest_component, …",
            fix=f"pool its scores of slices: --rule max --of {rule} --unit volume",
        )
    name, _ = find_summarizer(rule)
    whole = volume_experiment(exp)
    n_out = stack_predictions(exp, whole)
    statistics = read_statistics(predicted_folders(whole))
    frame = split_frame(whole.split, whole.table)
    parts = ["summarize", f"{name}{ENDING}"]
    if manifest is not None:
        other = other_table(exp, manifest)
        if other.source is None or not exp.recipe.slices.cut:
            raise UsageError(
                "volumes of another manifest need slices.cut.",
                where=f"--manifest {manifest}",
                expected="a run on volumes that are cut into slices",
                fix="leave --unit volume out",
            )
        stacked, out = stack_slices(
            read_statistics(predicted_folders(exp, other_name(manifest))), other.frame
        )
        n_out = len(set(out["volume_id"]))
        statistics = joined([renamed(statistics), stacked])
        frame = frame.assign(case_id="own/" + frame["case_id"])
        frame = as_test(frame, other.source, exp.folds())
        parts.append(other_name(manifest))
    settings = exp.recipe.summarize
    scores, record = summarize(
        statistics, frame, rule, settings, t=t, tau=tau, seed=exp.recipe.seed
    )
    if manifest is not None:
        scores = scores.query("split == 'test'").reset_index(drop=True)
    scores["method"] = scores["method"].astype("str") + ENDING
    record |= {"unit": "volume", "n_volumes_left_out": n_out}
    folder = whole.run.stage(*parts)
    write_scores(folder, scores, record)
    note_stage(whole, "/".join(parts))
    return whole, folder, record, n_out


def volume_experiment(exp: Experiment) -> Experiment:
    """The run of the volumes below a run on slices; its split is that of the slices.

    Raises:
        DataError: The cases are not slices of volumes.
    """
    frame = exp.table.frame
    if "volume_id" not in frame or frame["volume_id"].isna().to_numpy().any():
        raise DataError(
            "the cases of the run are not slices of volumes.",
            where=f"run {exp.run.path.name}",
            expected="slices.cut: true, or the column volume_id filled in every row",
            fix="map it in the recipe: columns: {volume_id: HEADER}",
        )
    run = Run(exp.run.path / FOLDER)
    run.path.mkdir(parents=True, exist_ok=True)
    volume_of = frame.set_index("case_id")["volume_id"]
    split = exp.split.assign(case_id=volume_of.loc[exp.split["case_id"]].to_numpy())
    split = split.drop_duplicates(["case_id", "fold"]).reset_index(drop=True)
    with atomic_path(run.split) as part:
        split.to_parquet(part, index=False)
    recipe = _recipe_of_cut(exp, run) if exp.recipe.slices.cut else _recipe_of_files(exp, run)
    return experiment_below(exp, recipe, FOLDER)


def _recipe_of_cut(exp: Experiment, run: Run) -> Recipe:
    """The manifest's own rows, with labels where only the masks of the slices say them."""
    source = exp.table.source
    assert source is not None
    labels = _labels(exp.table)
    names = [f"label_{finding}" for finding in exp.table.findings]
    own = source.frame.set_index("case_id")[names]
    new = labels.loc[own.index, names].where(own.isna())
    sides = exp.recipe.side_tables
    if new.notna().to_numpy().any():
        known = new.dropna(how="all").rename_axis("case_id").reset_index()
        write_side_table(run.path / LABELS, known)
        sides = (*sides, f"{RUNS.name}/{exp.run.path.name}/{FOLDER}/{LABELS}")
    return _plain(of_rows(exp.recipe)).model_copy(update={"side_tables": sides})


def _recipe_of_files(exp: Experiment, run: Run) -> Recipe:
    """A manifest of the volumes of slices that are files: the middle slice stands for its image."""
    table = exp.table.source or exp.table
    images = [str(case.images[0].relative_to(table.root)) for case in table.cases]
    frame = table.frame.assign(image=images)
    order = [name for name in ("volume_id", "slice_index") if name in frame]
    groups = frame.sort_values(order, kind="stable").groupby("volume_id", sort=False)
    labels = _labels(table)
    own = {"case_id", "image", *OF_SLICES, *labels.columns}
    others = [name for name in frame if name not in own]
    same = [name for name in others if groups[name].nunique().to_numpy().max(initial=0) <= 1]
    rows = pd.DataFrame({name: groups[name].first() for name in same}).join(labels)
    rows.insert(0, "image", groups["image"].agg(lambda paths: paths.iloc[len(paths) // 2]))
    with atomic_path(run.path / MANIFEST) as part:
        rows.rename_axis("case_id").reset_index().to_csv(part, index=False)
    update = {
        "manifest": f"{FOLDER}/{MANIFEST}",
        "data_root": str(table.root),
        "findings": exp.table.findings,
        "columns": {},
        "mask_values": {},
        "mask_class": None,
        "mask_class_empty": (),
        "side_tables": (),
        "slices": SliceSettings(),
        "roles": {name: role for name, role in exp.recipe.roles.items() if name in rows},
    }
    return _plain(exp.recipe).model_copy(update=update)


def _plain(recipe: Recipe) -> Recipe:
    """Without what only a network needs, so that it fits volumes."""
    segment = recipe.segment.model_copy(update={"patch_px": None})
    predict = recipe.predict.model_copy(update={"patch_px": None})
    name = f"{recipe.name[: 64 - len(FOLDER) - 1]}-{FOLDER}"
    return recipe.model_copy(update={"name": name, "segment": segment, "predict": predict})


def _labels(table: CaseTable) -> pd.DataFrame:
    """Per volume and finding: 1 if a slice is positive, 0 if all are known not to be, else NaN."""
    names = [f"label_{finding}" for finding in table.findings]
    labels = table.frame[names].to_numpy(dtype=float)
    found: dict[str, np.ndarray] = {}
    for volume, rows in table.frame.groupby("volume_id", sort=False).indices.items():
        own = labels[rows]
        unknown = np.where(np.isnan(own).any(0), np.nan, 0.0)
        found[str(volume)] = np.where((own == 1).any(0), 1.0, unknown)
    return pd.DataFrame.from_dict(found, orient="index", columns=pd.Index(names))


def stack_predictions(exp: Experiment, whole: Experiment) -> int:
    """Write the stacked statistics of every predicted fold; returns how many volumes lack a slice.

    They are listed in `quarantine.jsonl` beside them.
    """
    out_of: set[str] = set()
    for fold in exp.folds():
        source = exp.run.stage("predict", OWN, fold=fold)
        if not any(source.glob("part-*.json")):
            continue
        statistics = read_statistics([source])
        held_out = _predicted(exp, fold)
        stacked, out = stack_slices(statistics, held_out)
        missing = _unseen(held_out, statistics)
        n_missing = dict(zip(out["volume_id"], out["n_missing"], strict=True)) | missing
        _write(whole.run.stage("predict", OWN, fold=fold), source, stacked, n_missing)
        out_of |= set(n_missing)
    return len(out_of)


def _predicted(exp: Experiment, fold: int | None) -> pd.DataFrame:
    """Slices of the validation and test cases of a fold."""
    split = exp.split if fold is None else exp.split[exp.split["fold"] == fold]
    ids = set(split.loc[split["split"] != "train", "case_id"])
    is_in = np.array([case_id in ids for case_id in exp.table.frame["case_id"]], dtype=bool)
    return pd.DataFrame(exp.table.frame.loc[is_in])


def _unseen(slices: pd.DataFrame, statistics: MaskStatistics) -> dict[str, int]:
    """Volumes without a single row of statistics, and the number of their slices."""
    seen = set(statistics.frame["case_id"])
    n_slices = Counter(map(str, slices["volume_id"]))
    pairs = zip(slices["case_id"], slices["volume_id"], strict=True)
    has_row = {str(volume) for case_id, volume in pairs if case_id in seen}
    return {volume: n for volume, n in n_slices.items() if volume not in has_row}


def _write(folder: Path, source: Path, stacked: MaskStatistics, n_missing: dict[str, int]) -> None:
    """A finished prediction folder of one part."""
    records = [json.loads(path.read_text("utf-8")) for path in sorted(source.glob("part-*.json"))]
    made_from = hash_of([record["sha256"] for record in records])
    identity = {"stacked_from": records[0]["identity"], "unit": "volume"}
    aside = [
        {"case_id": volume, "reason": "slices_missing", "message": f"{n} slices were set aside"}
        for volume, n in sorted(n_missing.items())
    ]
    folder.mkdir(parents=True, exist_ok=True)
    write_identity(folder, identity, 1)
    record = {"input": made_from, "identity": hash_of(identity), "maps": None}
    n_cases = stacked.frame["case_id"].nunique()
    write_part(folder, 0, stacked, record | {"cases": n_cases, "quarantined": aside})
    path = folder / QUARANTINE
    path.unlink(missing_ok=True)
    if aside:
        write_text(path, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in aside))
