"""The whole flow, stage by stage. Read this first.

Each function is one stage: it reads the files of earlier stages from the run folder and writes
its own, so that any stage can be run again alone. `run_all` is the flow in one piece.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segclf.classify import train_classifier
from segclf.console import EventSink
from segclf.core.atomic import atomic_path
from segclf.core.errors import UsageError
from segclf.core.provenance import record_stage
from segclf.core.runs import safe_name
from segclf.core.scoretable import read_scores, write_scores
from segclf.core.statstable import read_statistics
from segclf.evaluate import Evaluation, evaluate_scores, overlap_rows, write_evaluation
from segclf.experiment import Experiment
from segclf.manifest import CaseTable, cases_of, read_manifest
from segclf.predict import PredictResult, predict_cases
from segclf.segment import train_segmenter
from segclf.summarize import summarize

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
    exp: Experiment, manifest: Path, on_event: EventSink, *, save_maps: str | None = None
) -> list[PredictResult]:
    """Mask statistics of all cases of another manifest, by the segmenter of each fold."""
    table = other_table(exp, manifest)
    return [
        predict_cases(
            table.cases,
            exp.run.stage("segment", fold=fold),
            exp.recipe,
            exp.run.stage("predict", other_name(manifest), fold=fold),
            fold=fold,
            save_maps=save_maps,
            on_event=on_event,
        )
        for fold in exp.folds()
    ]


def summarize_masks(
    exp: Experiment,
    rule: str,
    *,
    t: float | None = None,
    tau: str | None = None,
    manifest: Path | None = None,
) -> dict[str, object]:
    """Scores and decisions of one rule, fitted on validation cases; returns what was fitted.

    With `manifest`, the cases of that table are scored as test cases with what was fitted on
    the run's own validation cases.
    """
    folds = [fold for fold in exp.folds() if _is_predicted(exp, fold)]
    folders = predicted_folders(exp)
    frame = split_frame(exp.split, exp.table)
    name = rule
    if manifest is not None:
        name = f"{rule}-{other_name(manifest)}"
        folders += [exp.run.stage("predict", other_name(manifest), fold=fold) for fold in folds]
        frame = _as_test(frame, other_table(exp, manifest), folds)
    scores, record = summarize(
        read_statistics(folders), frame, rule, exp.recipe.summarize, t=t, tau=tau,
        seed=exp.recipe.seed,
    )  # fmt: skip
    write_scores(exp.run.stage("summarize", safe_name(name)), scores, record)
    _record(exp, f"summarize/{name}")
    return record


def score_tables(exp: Experiment, others: Sequence[Path] = ()) -> pd.DataFrame:
    """Every score table of the run (rules and classifiers) and `others`, one below the other."""
    paths = [
        *sorted(exp.run.path.glob("summarize/*/scores.parquet")),
        *sorted(exp.run.path.glob("classify/**/scores.parquet")),
        *others,
    ]
    if not paths:
        raise UsageError(
            "the run has no scores yet.",
            where=f"runs/{exp.run.path.name}",
            expected="summarize/<rule>/scores.parquet or classify/<head>/scores.parquet",
            fix="run: segclf summarize --rule tau",
        )
    return pd.concat([read_scores(path) for path in paths], ignore_index=True)


def evaluate(
    exp: Experiment,
    *,
    by: Sequence[str] = (),
    shortcut: str | None = None,
    scores: Sequence[Path] = (),
) -> Evaluation:
    """Metrics of every method per group on test cases, written to `evaluate/`."""
    shared: dict[str, Any] = {
        "by": tuple(by) or exp.recipe.evaluate.by,
        "settings": exp.recipe.evaluate,
        "roles": exp.table.roles,
        "seed": exp.recipe.seed,
        "unit_name": exp.recipe.unit_name,
    }
    evaluation = evaluate_scores(
        score_tables(exp, scores),
        exp.table.frame,
        shortcut=shortcut or exp.recipe.evaluate.shortcut,
        data=exp.recipe.data,
        **shared,
    )
    folder = exp.run.stage("evaluate")
    write_evaluation(folder, evaluation)
    if folders := predicted_folders(exp):
        frame = split_frame(exp.split, exp.table)
        rows = overlap_rows(read_statistics(folders), frame, t=0.5, **shared)
        with atomic_path(folder / "overlap.csv") as part:
            rows.to_csv(part, index=False)
    _record(exp, "evaluate")
    return evaluation


def split_frame(split: pd.DataFrame, table: CaseTable) -> pd.DataFrame:
    """The split joined with labels and metadata: one row per case and fold."""
    metadata = table.frame.drop(columns=["patient_id", "split", "fold"], errors="ignore")
    return split.merge(metadata, on="case_id", how="left", validate="many_to_one")


def other_table(exp: Experiment, manifest: Path) -> CaseTable:
    """Another manifest read with the run's recipe."""
    recipe = exp.recipe.model_copy(
        update={"manifest": manifest.name, "data_root": None, "findings": exp.table.findings}
    )
    return read_manifest(recipe, base=manifest.parent)


def other_name(manifest: Path) -> str:
    """Folder name for the predictions of another manifest."""
    return safe_name(f"{manifest.resolve().parent.name}-{manifest.stem}")


def _as_test(frame: pd.DataFrame, other: CaseTable, folds: list[int | None]) -> pd.DataFrame:
    """The run's validation rows and every case of `other` as test rows of each fold."""
    rows = [
        other.frame.assign(split="test", fold=pd.array([fold] * len(other.frame), dtype="Int64"))
        for fold in folds
    ]
    own = frame[frame["split"] == "val"]
    return pd.concat([own, *rows], ignore_index=True)


def predicted_folders(exp: Experiment) -> list[Path]:
    """Where the statistics of the run's own cases lie, for the folds that were predicted."""
    return [exp.run.stage("predict", OWN, fold=f) for f in exp.folds() if _is_predicted(exp, f)]


def _is_predicted(exp: Experiment, fold: int | None) -> bool:
    return any(exp.run.stage("predict", OWN, fold=fold).glob("part-*.json"))


def _record(exp: Experiment, stage: str) -> None:
    record_stage(
        exp.run.path / "run.json", exp.recipe, manifest_sha256=exp.table.sha256, stage=stage
    )
