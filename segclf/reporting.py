"""Gather what the stages of a run wrote, and make the report of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf import judging, stages
from segclf.console import EventSink
from segclf.core.atomic import hash_of, read_json
from segclf.core.config import Recipe, recipe_yaml
from segclf.core.errors import UsageError
from segclf.core.records import Case
from segclf.core.runs import shown
from segclf.core.scoretable import RECORD, read_record, read_scores
from segclf.core.text import plural
from segclf.data import own_pictures, read_truth
from segclf.evaluate import read_evaluation, read_table
from segclf.evaluate.groups import parse_shortcut
from segclf.experiment import Experiment
from segclf.io.guard import time_limit
from segclf.predict import predict_maps
from segclf.report import GalleryItem, ReportContent, pick_errors, planes_of, write_report

GALLERY_RULE = "tau"


def make_report(exp: Experiment, on_event: EventSink) -> Path:
    """Write the page of a run from the files of its stages; returns its path.

    The maps of the errors that the page shows are predicted anew.

    Raises:
        UsageError: Scores were made, or made again, after the evaluation.
    """
    evaluated = exp.run.stage("evaluate")
    evaluation = read_evaluation(evaluated)
    check_fresh(exp, evaluation["ledger"])
    overlap = evaluated / "overlap.csv"
    if overlap.is_file():
        evaluation["overlap"] = read_table(overlap)
    record_folder = exp.run.stage("summarize", GALLERY_RULE)
    has_rule = (record_folder / "scores.parquet").is_file()
    content = ReportContent(
        title=exp.recipe.name,
        data=exp.recipe.data,
        question=question(exp),
        counts=count_cases(exp),
        about=tuple(method_notes(exp)),
        unit_name=exp.recipe.unit_name,
        planes=planes_of(read_record(record_folder)) if has_rule else (),
        training=dict(training_logs(exp)),
        gallery=list(worst_errors(exp, on_event)) if has_rule else (),
        recipe=recipe_yaml(exp.recipe),
        provenance=provenance(exp),
        quarantined=list(quarantined_cases(exp)),
        **evaluation,
    )
    return write_report(exp.run.stage("report"), content)


def check_fresh(exp: Experiment, ledger: dict[str, Any]) -> None:
    """Refuse to show an evaluation beside scores that it was not made from."""
    evaluated, now = ledger["score_tables"], judging.score_hashes(exp)
    changed = sorted(name for name in {*evaluated, *now} if evaluated.get(name) != now.get(name))
    if changed:
        raise UsageError(
            f"the evaluation is not of the scores that lie there: {', '.join(changed)}.",
            where=shown(exp.run.stage("evaluate")),
            expected="an evaluation made after the last scores",
            fix=f"run: segclf eval-subgroups --run {exp.run.path.name}",
        )


def method_notes(exp: Experiment) -> Iterator[str]:
    """Where the thresholds come from, what a method says about itself, and what is not shown."""
    sources: dict[str | None, list[str]] = {}
    for path in judging.score_paths(exp):
        for file in (path.parent / RECORD, path.parent / "classifier.json"):
            record = read_json(file) if file.is_file() else {}
            if "about" in record:
                yield f"{record['method']}: {record['about']}"
            for fit in record.get("fits", ()):
                method = record.get("rule") or record["method"]
                sources.setdefault(fit["fitted_on"], []).append(method)
    for source, methods in sources.items():
        of_methods = f"{', '.join(dict.fromkeys(methods))}: the thresholds"
        if source is None:
            yield f"{of_methods} were given, not fitted."
        else:
            yield f"{of_methods} were fitted on cases of the split '{source}'."
    if not (exp.run.stage("summarize", GALLERY_RULE) / "scores.parquet").is_file():
        yield f"The worst errors are those of the rule {GALLERY_RULE}, which has not been run."


def provenance(exp: Experiment) -> dict[str, dict[str, object]]:
    """Versions and hardware of each stage, as it recorded them; equal ones are shown once."""
    record = read_json(exp.run.path / "run.json")
    found: dict[str, dict[str, object]] = {}
    for kind in ("versions", "hardware"):
        groups: dict[str, tuple[dict[str, object], list[str]]] = {}
        for name, stage in record["stages"].items():
            groups.setdefault(hash_of(stage[kind]), (stage[kind], []))[1].append(name)
        for values, names in groups.values():
            found[f"{kind} ({', '.join(names)})"] = values
    found["ended"] = {name: stage["ended"] for name, stage in record["stages"].items()}
    return found | {"manifest": {"sha256": record["manifest_sha256"]}}


def question(exp: Experiment) -> str:
    """The question of the experiment in a sentence."""
    findings = " and ".join(exp.table.findings)
    text = f"Is {findings} present, judged by a segmenter's masks or by an ordinary classifier?"
    shortcut = exp.recipe.evaluate.shortcut
    return text + (f" Does the answer lean on {shortcut}?" if shortcut else "")


def count_cases(exp: Experiment) -> pd.DataFrame:
    """Cases, patients and positives per part of the split (and fold)."""
    frame = stages.split_frame(exp.split, exp.table)
    keys = ["split"] if exp.folds() == [None] else ["fold", "split"]
    frame["split"] = pd.Categorical(frame["split"], ["train", "val", "test"])
    goes_along = {}
    if (name := agreement(exp, frame)) is not None:
        goes_along = {name: (name, lambda same: f"{same.mean():.0%} of {same.count()}")}
    counts = frame.groupby(keys, sort=True, observed=True).agg(
        cases=("case_id", "nunique"),
        **{plural(exp.recipe.unit_name): ("patient_id", "nunique")},
        **{f"{name} positive": (f"label_{name}", "sum") for name in exp.table.findings},
        **{
            f"{name} not known": (f"label_{name}", lambda label: label.isna().sum())
            for name in exp.table.findings
        },
        **goes_along,
    )
    return counts.reset_index()


def agreement(exp: Experiment, frame: pd.DataFrame) -> str | None:
    """Adds to `frame` whether the shortcut equals the label of the first finding.

    Returns:
        The name of the new column, or None without a shortcut.
    """
    if exp.recipe.evaluate.shortcut is None:
        return None
    finding = exp.table.findings[0]
    name, present = parse_shortcut(exp.recipe.evaluate.shortcut, frame, roles=exp.table.roles)
    label = frame[f"label_{finding}"].to_numpy(dtype=float, na_value=np.nan)
    known = ~(np.isnan(present) | np.isnan(label))
    column = f"{name} equals {finding}"
    frame[column] = np.where(known, present == label, np.nan)
    return column


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
    """The most wrong test decisions of the tau rule per finding, with their maps."""
    folder = exp.run.stage("summarize", GALLERY_RULE)
    scores, fits = read_scores(folder / "scores.parquet"), read_record(folder)["fits"]
    cases = {case.case_id: case for case in exp.table.cases}
    for number, finding in enumerate(exp.table.findings):
        fit_of = {fit.get("fold"): fit for fit in fits if fit["finding"] == finding}
        rows = pick_errors(scores, method=GALLERY_RULE, finding=finding)
        maps: dict[str, np.ndarray] = {}
        for fold in exp.folds():
            chosen = [cases[row["case_id"]] for row in rows if _fold(row) == fold]
            if chosen:
                model = exp.run.stage("segment", fold=fold)
                maps |= dict(predict_maps(chosen, model, exp.recipe, on_event=on_event))
        for row in rows:
            if row["case_id"] in maps:
                case, probability = cases[row["case_id"]], maps[row["case_id"]][number]
                fit = fit_of[_fold(row)]
                yield gallery_item(case, number, row, probability, fit, exp.recipe)


def gallery_item(
    case: Case,
    number: int,
    row: dict[str, Any],
    probability: np.ndarray,
    fit: dict[str, Any],
    recipe: Recipe = Recipe(),  # noqa: B008 (frozen)
) -> GalleryItem:
    """One error with its image, its truth where it was drawn, and the decision that it got."""
    with time_limit(recipe.image.decode_limit_s):
        pictures = own_pictures(case, recipe.slices.neighbours)
        stated_mm, affine = pictures[0].spacing_mm, pictures[0].affine
        truth = read_truth(case, probability.shape, spacing_mm=stated_mm, affine=affine)
    return GalleryItem(
        case_id=case.case_id,
        method=GALLERY_RULE,
        finding=fit["finding"],
        kind=row["kind"],
        image=np.concatenate([picture.array for picture in pictures]),
        probability=probability,
        truth=truth[number],
        t=float(fit["t"]),
        tau=float(fit["threshold"]),
        unit=str(fit["unit"]),
        spacing_mm=None if recipe.nominal_spacing else stated_mm or case.spacing_mm,
    )


def _fold(row: dict[str, Any]) -> int | None:
    return None if pd.isna(row["fold"]) else int(row["fold"])
