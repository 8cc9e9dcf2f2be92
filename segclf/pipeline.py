"""The whole flow, stage by stage. Read this first.

Each function is one stage: it reads the files of earlier stages from the run folder and writes
its own, so that any stage can be run again alone. `run_all` is the flow in one piece.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from segclf.classify import train_classifier
from segclf.console import EventSink
from segclf.core.atomic import sha256_of, write_json
from segclf.core.errors import UsageError
from segclf.core.maskstats import joined
from segclf.core.provenance import record_stage
from segclf.core.scoretable import read_scores, write_scores
from segclf.core.statstable import read_statistics
from segclf.evaluate import (
    Evaluation,
    evaluate_scores,
    overlap_rows,
    read_outside,
    target_sizes,
    with_sizes,
    write_evaluation,
    write_table,
)
from segclf.experiment import Experiment
from segclf.manifest import CaseTable, cases_of
from segclf.other import as_test, other_name, other_table, renamed
from segclf.predict import PredictResult, predict_cases
from segclf.segment import train_segmenter
from segclf.summarize import find_summarizer, summarize
from segclf.training.runtime import is_first_rank

OWN = "own"
"""Name of the predictions of a run's own validation and test cases."""


def run_all(exp: Experiment, rules: Sequence[str], on_event: EventSink) -> Path:
    """Train, predict, summarize, compare with a classifier, evaluate; returns the report."""
    from segclf.reporting import make_report

    train_seg(exp, on_event)
    train_clf(exp, on_event)
    for rule in rules:
        summarize_masks(exp, rule)
    evaluate(exp)
    return make_report(exp, on_event)


def train_seg(
    exp: Experiment, on_event: EventSink, *, fold: int | None = None, resume: bool = False
) -> list[PredictResult]:
    """Train the segmenter of each fold and predict its validation and test cases."""
    results = []
    for each in exp.folds(fold):
        folder = exp.run.stage("segment", fold=each)
        train_segmenter(
            exp.table, exp.split, exp.recipe, folder, fold=each, resume=resume, on_event=on_event
        )
        if is_first_rank():
            results.append(predict_own(exp, on_event, fold=each))
    _record(exp, "segment")
    return results


def train_clf(
    exp: Experiment, on_event: EventSink, *, fold: int | None = None, resume: bool = False
) -> None:
    """Train the classifier of each fold on the same cases; it scores validation and test."""
    for each in exp.folds(fold):
        folder = exp.run.stage("classify", exp.recipe.classify.head, fold=each)
        train_classifier(
            exp.table, exp.split, exp.recipe, folder, fold=each, resume=resume, on_event=on_event
        )
    _record(exp, "classify")


def predict_own(
    exp: Experiment, on_event: EventSink, *, fold: int | None = None, save_maps: str | None = None
) -> PredictResult:
    """Mask statistics of the run's validation and test cases in one fold."""
    held_out = [
        *cases_of(exp.table, exp.split, "val", fold),
        *cases_of(exp.table, exp.split, "test", fold),
    ]
    return predict_cases(
        held_out,
        exp.run.stage("segment", fold=fold),
        exp.recipe,
        exp.run.stage("predict", OWN, fold=fold),
        fold=fold,
        save_maps=save_maps,
        on_event=on_event,
    )


def predict_other(
    exp: Experiment,
    manifest: Path,
    on_event: EventSink,
    *,
    fold: int | None = None,
    save_maps: str | None = None,
) -> tuple[list[PredictResult], int]:
    """Mask statistics of all cases of another manifest, by the segmenter of each fold.

    Returns:
        A result per fold, and the number of rows that name no usable case; why is in
        `skipped_rows.json`.
    """
    table, name = other_table(exp, manifest), other_name(manifest)
    skipped = [p.as_dict() for p in table.problems if p.severity == "error"]
    write_json(exp.run.stage("predict", name) / "skipped_rows.json", skipped)
    results = [
        predict_cases(
            table.cases,
            exp.run.stage("segment", fold=each),
            exp.recipe,
            exp.run.stage("predict", name, fold=each),
            fold=each,
            save_maps=save_maps,
            on_event=on_event,
        )
        for each in exp.folds(fold)
    ]
    return results, len({problem["row"] for problem in skipped})


def summarize_masks(
    exp: Experiment,
    rule: str,
    *,
    t: float | None = None,
    tau: str | None = None,
    manifest: Path | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Score every case by a rule; returns the folder of the scores and what was fitted.

    Thresholds come from the run's own validation cases. With `manifest`, the cases of that
    table are scored instead of the run's own.
    """
    name, _ = find_summarizer(rule)
    statistics = read_statistics(predicted_folders(exp))
    frame = split_frame(exp.split, exp.table)
    if manifest is not None:
        own, frame = renamed(statistics), frame.assign(case_id="own/" + frame["case_id"])
        other = read_statistics(predicted_folders(exp, other_name(manifest)))
        statistics = joined([own, other])
        frame = as_test(frame, other_table(exp, manifest), exp.folds())
    scores, record = summarize(
        statistics, frame, rule, exp.recipe.summarize, t=t, tau=tau, seed=exp.recipe.seed
    )
    parts = ["summarize", name]
    if manifest is not None:
        parts.append(other_name(manifest))
        scores = scores.query("split == 'test'").reset_index(drop=True)
    folder = exp.run.stage(*parts)
    write_scores(folder, scores, record)
    _record(exp, "/".join(parts))
    return folder, record


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
            expected="summarize/<rule>/scores.parquet or classify/<head>/scores.parquet",
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
    _record(exp, "/".join(parts))
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


def split_frame(split: pd.DataFrame, table: CaseTable) -> pd.DataFrame:
    """The split joined with labels and metadata: one row per case and fold."""
    metadata = table.frame.drop(columns=["patient_id", "split", "fold"], errors="ignore")
    return split.merge(metadata, on="case_id", how="left", validate="many_to_one")


def predicted_folders(exp: Experiment, cases: str = OWN) -> list[Path]:
    """Where the statistics of a set of cases lie, for the folds that were predicted."""
    folders = [exp.run.stage("predict", cases, fold=fold) for fold in exp.folds()]
    return [folder for folder in folders if any(folder.glob("part-*.json"))]


def set_aside(exp: Experiment, *folders: str) -> int:
    """How many cases the stages in these folders of the run set aside; each counts once."""
    files = [file for name in folders for file in exp.run.path.glob(f"{name}/**/quarantine.jsonl")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return len({json.loads(line)["case_id"] for line in lines})


def _record(exp: Experiment, stage: str) -> None:
    record_stage(
        exp.run.path / "run.json", exp.recipe, manifest_sha256=exp.table.sha256, stage=stage
    )
