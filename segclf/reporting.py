"""Gather what the stages of a run wrote, and make the report of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf import pipeline
from segclf.console import EventSink
from segclf.core.atomic import read_json
from segclf.core.config import recipe_yaml
from segclf.core.provenance import hardware, versions
from segclf.core.records import Case
from segclf.core.scoretable import read_record, read_scores
from segclf.data import read_truth
from segclf.experiment import Experiment
from segclf.io import read_image
from segclf.predict import predict_maps
from segclf.report import GalleryItem, ReportContent, pick_errors, planes_of, write_report
from segclf.report.text import plural

GALLERY_RULE = "tau"


def make_report(exp: Experiment, on_event: EventSink) -> Path:
    """Write the page of a run from the files of its stages; returns its path.

    The maps of the errors that the page shows are predicted anew.
    """
    evaluated = exp.run.stage("evaluate")
    tables = {
        name: pd.read_csv(evaluated / f"{name}.csv", keep_default_na=False, na_values=[""])
        for name in ("gaps", "robust", "grid", "overlap")
        if (evaluated / f"{name}.csv").is_file()
    }
    record_folder = exp.run.stage("summarize", GALLERY_RULE)
    has_rule = (record_folder / "scores.parquet").is_file()
    content = ReportContent(
        title=exp.recipe.name,
        data=exp.recipe.data,
        question=question(exp),
        counts=count_cases(exp),
        metrics=pd.read_parquet(evaluated / "metrics.parquet"),
        scores=pipeline.score_tables(exp),
        unit_name=exp.recipe.unit_name,
        planes=planes_of(read_record(record_folder)) if has_rule else (),
        training=dict(training_logs(exp)),
        gallery=list(worst_errors(exp, on_event)) if has_rule else (),
        recipe=recipe_yaml(exp.recipe),
        provenance={
            "versions": versions(),
            "hardware": hardware(),
            "manifest": {"sha256": exp.table.sha256},
        },
        ledger=read_json(evaluated / "ledger.json"),
        quarantined=list(quarantined_cases(exp)),
        **tables,
    )
    return write_report(exp.run.stage("report"), content)


def question(exp: Experiment) -> str:
    """The question of the experiment in a sentence."""
    findings = " and ".join(exp.table.findings)
    text = f"Is {findings} present, judged by a segmenter's masks or by an ordinary classifier?"
    shortcut = exp.recipe.evaluate.shortcut
    return text + (f" Does the answer lean on {shortcut}?" if shortcut else "")


def count_cases(exp: Experiment) -> pd.DataFrame:
    """Cases, patients and positives per part of the split (and fold)."""
    frame = pipeline.split_frame(exp.split, exp.table)
    keys = ["split"] if exp.folds() == [None] else ["fold", "split"]
    frame["split"] = pd.Categorical(frame["split"], ["train", "val", "test"])
    counts = frame.groupby(keys, sort=True, observed=True).agg(
        cases=("case_id", "nunique"),
        **{plural(exp.recipe.unit_name): ("patient_id", "nunique")},
        **{f"{name} positive": (f"label_{name}", "sum") for name in exp.table.findings},
        **{
            f"{name} not known": (f"label_{name}", lambda label: label.isna().sum())
            for name in exp.table.findings
        },
    )
    return counts.reset_index()


def training_logs(exp: Experiment) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Name of each trained network and the records of its `metrics.jsonl`."""
    for path in sorted(exp.run.path.glob("*/**/metrics.jsonl")):
        name = " ".join(path.parent.relative_to(exp.run.path).parts)
        lines = path.read_text(encoding="utf-8").splitlines()
        yield name, [json.loads(line) for line in lines if line.endswith("}")]


def quarantined_cases(exp: Experiment) -> Iterator[dict[str, Any]]:
    """Every case that a stage set aside."""
    for path in sorted(exp.run.path.glob("*/**/quarantine.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def worst_errors(exp: Experiment, on_event: EventSink) -> Iterator[GalleryItem]:
    """The most wrong test decisions of the tau rule, with their maps, for the first finding."""
    finding = exp.table.findings[0]
    folder = exp.run.stage("summarize", GALLERY_RULE)
    fits = {
        fit.get("fold"): fit for fit in read_record(folder)["fits"] if fit["finding"] == finding
    }
    rows = pick_errors(read_scores(folder / "scores.parquet"), method=GALLERY_RULE, finding=finding)
    cases = {case.case_id: case for case in exp.table.cases}
    maps: dict[str, np.ndarray] = {}
    for fold in exp.folds():
        chosen = [cases[row["case_id"]] for row in rows if _fold(row) == fold]
        if chosen:
            model = exp.run.stage("segment", fold=fold)
            maps |= dict(predict_maps(chosen, model, exp.recipe, on_event=on_event))
    for row in rows:
        if row["case_id"] in maps:
            case, probability = cases[row["case_id"]], maps[row["case_id"]][0]
            yield gallery_item(case, row, probability, fits[_fold(row)])


def gallery_item(
    case: Case, row: dict[str, Any], probability: np.ndarray, fit: dict[str, Any]
) -> GalleryItem:
    """One error with its image, its truth where it was drawn, and the decision that it got."""
    pictures = [read_image(path) for path in case.images]
    return GalleryItem(
        case_id=case.case_id,
        method=GALLERY_RULE,
        finding=fit["finding"],
        kind=row["kind"],
        image=np.concatenate([picture.array for picture in pictures]),
        probability=probability,
        truth=read_truth(case, probability.shape)[0],
        t=float(fit["t"]),
        tau=float(fit["threshold"]),
        unit=str(fit["unit"]),
        spacing_mm=pictures[0].spacing_mm or case.spacing_mm,
    )


def _fold(row: dict[str, Any]) -> int | None:
    return None if pd.isna(row["fold"]) else int(row["fold"])
