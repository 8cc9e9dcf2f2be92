"""The end of the flow: the score tables of all methods of a run, compared on test cases."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from segclf.core.atomic import atomic_path, sha256_of
from segclf.core.errors import UsageError
from segclf.core.scoretable import read_scores
from segclf.core.statstable import read_statistics
from segclf.evaluate import (
    Evaluation,
    class_predictions,
    evaluate_scores,
    head_rows,
    overlap_rows,
    read_outside,
    target_sizes,
    with_sizes,
    write_evaluation,
    write_table,
)
from segclf.experiment import Experiment
from segclf.manifest import CaseTable
from segclf.other import as_test, other_name, other_table
from segclf.stages import OWN, note_stage, predicted_folders, split_frame


def score_paths(exp: Experiment, *, manifest: Path | None = None) -> list[Path]:
    """Every score table of the run (rules and classifiers); with `manifest`, those of its cases."""
    if manifest is not None:
        paths = sorted(exp.run.path.glob(f"summarize/*/{other_name(manifest)}/scores.parquet"))
    else:
        paths = sorted(exp.run.path.glob("summarize/*/scores.parquet"))
        paths += sorted(exp.run.path.glob("classify/**/scores.parquet"))
    return paths


def score_tables(
    exp: Experiment,
    others: Sequence[Path] = (),
    *,
    columns: Mapping[str, str] | None = None,
    manifest: Path | None = None,
) -> pd.DataFrame:
    """The score tables of `score_paths` and `others`, one below the other.

    Columns of `others` have their own names where `columns` says so.
    """
    paths = score_paths(exp, manifest=manifest)
    if not paths and not others:
        raise UsageError(
            "the run has no scores yet.",
            where=f"runs/{exp.run.path.name}",
            expected="summarize/<rule>/scores.parquet or classify/<method>/scores.parquet",
            fix="run: segclf summarize --rule tau",
        )
    tables = [read_scores(path) for path in paths]
    if columns and others:
        tables.append(read_outside(others, columns, finding=exp.table.findings[0]).scores)
    else:
        tables += [read_scores(path) for path in others]
    return pd.concat(tables, ignore_index=True)


def score_hashes(exp: Experiment, *, manifest: Path | None = None) -> dict[str, str]:
    """SHA-256 of each score table of the run, so that a report can tell a stale evaluation."""
    paths = score_paths(exp, manifest=manifest)
    return {path.relative_to(exp.run.path).as_posix(): sha256_of(path) for path in paths}


def evaluate(
    exp: Experiment,
    *,
    by: Sequence[str] = (),
    shortcut: str | None = None,
    scores: Sequence[Path] = (),
    columns: Mapping[str, str] | None = None,
    manifest: Path | None = None,
) -> tuple[Path, Evaluation]:
    """Metrics of every method per group on test cases, and the folder that they were written to.

    With `manifest`, on the cases of that table; the folder is then one of its own.
    """
    hashes = score_hashes(exp, manifest=manifest)
    table = exp.table if manifest is None else other_table(exp, manifest)
    parts = ["evaluate"] if manifest is None else ["evaluate", other_name(manifest)]
    folders = predicted_folders(exp, OWN if manifest is None else other_name(manifest))
    statistics = read_statistics(folders) if folders else None
    sizes, size_roles = target_sizes(statistics)
    shared: dict[str, Any] = {
        "by": tuple(by) or exp.recipe.evaluate.by or _no_groups(table),
        "settings": exp.recipe.evaluate,
        "roles": size_roles | exp.table.roles,
        "seed": exp.recipe.seed,
        "unit_name": exp.recipe.unit_name,
    }
    evaluation = evaluate_scores(
        score_tables(exp, scores, columns=columns, manifest=manifest),
        with_sizes(table.frame, sizes),
        shortcut=shortcut or exp.recipe.evaluate.shortcut,
        data=exp.recipe.data,
        n_threads=os.cpu_count() or 1,
        **shared,
    )
    evaluation.ledger["score_tables"] = hashes
    folder = exp.run.stage(*parts)
    write_evaluation(folder, evaluation)
    if statistics is not None:
        frame = split_frame(exp.split, exp.table)
        if manifest is not None:
            frame = as_test(frame.iloc[:0], table, exp.folds())
        rows = overlap_rows(statistics, with_sizes(frame, sizes), t=0.5, **shared)
        write_table(folder / "overlap.csv", rows, evaluation.ledger)
    note_stage(exp, "/".join(parts))
    return folder, evaluation


def _no_groups(table: CaseTable) -> NoReturn:
    ours = ("case_id", "patient_id", "split", "fold", "image", "mask", "label")
    columns = [str(name) for name in table.frame.columns if not str(name).startswith(ours)]
    raise UsageError(
        "no column was given to compare groups by.",
        where="--by",
        expected=f"a column of the manifest: {', '.join(columns) or '(it has no metadata)'}",
        fix=f"for example: segclf eval-subgroups --by {columns[0] if columns else 'sex'}",
    )


def write_head_rows(exp: Experiment) -> None:
    """Metrics and decisions per class column of a classifier, beside its scores, over its folds.

    `heads.csv` and `predictions.parquet`; not written if it learned findings.
    """
    folder = exp.run.stage("classify", exp.recipe.classify.method)
    paths = [exp.run.stage("classify", folder.name, fold=fold) / "scores.parquet"
             for fold in exp.folds()]  # fmt: skip
    scores = pd.concat([read_scores(path) for path in paths if path.is_file()])
    predictions = class_predictions(scores)
    if not len(predictions):
        return
    with atomic_path(folder / "predictions.parquet") as part:
        predictions.to_parquet(part, index=False)
    rows = head_rows(scores, exp.recipe.evaluate, seed=exp.recipe.seed)
    with atomic_path(folder / "heads.csv") as part:
        rows.to_csv(part, index=False)


def write_joint_masks(exp: Experiment) -> None:
    """Overlap of the masks of a joint classifier on test cases, over its folds: `masks.csv`."""
    folder = exp.run.stage("classify", exp.recipe.classify.method)
    parts = [exp.run.stage("classify", folder.name, "masks", fold=fold) for fold in exp.folds()]
    statistics = read_statistics([part for part in parts if any(part.glob("part-*.json"))])
    rows = overlap_rows(
        statistics, split_frame(exp.split, exp.table), t=0.5, settings=exp.recipe.evaluate,
        seed=exp.recipe.seed, unit_name=exp.recipe.unit_name,
    ).assign(method=folder.name)  # fmt: skip
    with atomic_path(folder / "masks.csv") as part:
        rows.to_csv(part, index=False)
