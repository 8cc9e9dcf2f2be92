"""`segclf advise --measure`: train at nested subsets of masks and labels, cell by cell.

A finished cell is kept as long as its recipe and cases are the same; a failed one costs no other.
Each is judged on all validation cases, whose labels stay; test cases are never read.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf.console import progress, say
from segclf.core.atomic import atomic_path, hash_of, read_json, write_json
from segclf.core.errors import SegclfError, UsageError
from segclf.core.runs import Run
from segclf.core.sameness import SHARED_SETTINGS, flat_settings
from segclf.core.statstable import read_statistics
from segclf.evaluate.inference.auroc import auroc_of
from segclf.experiment import Experiment
from segclf.manifest import cases_of
from segclf.predict import predict_cases
from segclf.rounds import train_fold
from segclf.study.advise.allowed import MIN_SUBSETS, check_subsets, check_trainable
from segclf.study.advise.drawn import costly_masks
from segclf.study.advise.subsets import keep_subset
from segclf.study.compare.cells import DONE, FAILED, NOT_RUN, UNFIT, why_failed
from segclf.training.models import read_card
from segclf.training.runtime import full_disk_stops

FOLDER, CELLS, MEASURED = ("advise", "measure"), "cells.json", "measured.csv"
MODEL = "model.safetensors"
COLLAPSED = "its masks say nothing (collapsed)"
"""Why the AUROC of a finished training says little about masks."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """A share of the masks and of the training labels."""

    masks: float
    labels: float = 1.0

    @property
    def name(self) -> str:
        """For folders and the table of cells."""
        return f"masks{100 * self.masks:.6g}-labels{100 * self.labels:.6g}"


def parse_sizes(text: str, n_all: int, option: str = "--measure") -> list[float]:
    """Shares from `10,20,40` (percent) or `25masks` (a number of training masks), ascending.

    Args:
        text: As the user typed it.
        n_all: Training masks that had to be drawn, or labels for `25labels`.
        option: For the message.

    Raises:
        UsageError: A size is no number, not above 0, or more than there is.
    """
    shares = []
    for part in text.split(","):
        word = part.strip()
        number = word.removesuffix("masks").removesuffix("labels").removesuffix("%").strip()
        is_count = word.endswith(("masks", "labels"))
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        share = value / n_all if is_count else value / 100
        if not 0 < share <= 1:
            raise UsageError(
                f"{word!r} is not a size.",
                where=option,
                expected=f"per cent above 0 and at most 100, or at most {n_all} masks or labels",
                fix=f"write for example {option} 10,20,40 or {option} 25masks,50masks",
            )
        shares.append(share)
    return sorted(set(shares))


def n_costly(exp: Experiment, fold: int | None) -> tuple[int, int]:
    """Training masks that had to be drawn, and labelled training cases."""
    train, costly = cases_of(exp.table, exp.split, "train", fold), costly_masks(exp.table)
    known = sum(any(label in (0.0, 1.0) for label in case.labels) for case in train)
    return sum(case.case_id in costly for case in train), known


def measure(
    exp: Experiment,
    sizes: Sequence[Size],
    n_subsets: int = MIN_SUBSETS,
    *,
    fold: int | None = None,
    train: Callable[..., Row] | None = None,
) -> tuple[pd.DataFrame, int]:
    """Train what is missing; returns the measurements and the worst exit code of a cell.

    Args:
        exp: The run, to whose folder `advise/measure/` is added.
        sizes: What is kept of masks and labels.
        n_subsets: Subsets of each size; each has its own seed of weights as well.
        fold: The fold that is measured, with folds.
        train: For tests: `train_cell` by default.

    Raises:
        UsageError: Fewer than three subsets, or trainings that `check_trainable` refuses.
    """
    check_subsets(n_subsets)
    check_trainable(exp.recipe)
    path = exp.run.stage(*FOLDER) / CELLS
    table: dict[str, Row] = read_json(path) if path.is_file() else {}
    planned = [(number, size) for number in range(n_subsets) for size in sizes]
    prefix = "" if fold is None else f"fold{fold}-"
    keys = [f"{prefix}{size.name}-subset{number}" for number, size in planned]
    for key, (number, size) in zip(keys, planned, strict=True):
        identity = _identity(exp, size, number, fold)
        if table.get(key, {}).get("identity") != identity:
            place = {"masks": size.masks, "labels": size.labels, "subset": number, "fold": fold}
            table[key] = {**place, "identity": identity, "state": NOT_RUN}
    for n, (key, (number, size)) in enumerate(zip(keys, planned, strict=True), start=1):
        entry = table[key]
        if entry["state"] == DONE:
            continue
        _save(path, table)
        start = time.monotonic()
        try:
            with progress(f"{n}/{len(keys)} {key}") as on_event:
                folder = exp.run.stage(*FOLDER) / f"{key}-{entry['identity'][:8]}"
                found = (train or train_cell)(exp, size, number, folder, fold, on_event)
        except (SegclfError, *UNFIT) as error:
            reason, code = why_failed(error)
            entry.update(state=FAILED, reason=reason, exit_code=code)
            say(f"{key} failed: {error}")
        else:
            minutes = round((time.monotonic() - start) / 60, 2)
            entry.update(found, state=DONE, minutes=minutes)
            entry.pop("reason", None)
            entry.pop("exit_code", None)
        _save(path, table)
    rows = [{"cell": key, **table[key]} for key in keys]
    frame = _measured(rows, exp.table.findings)
    with atomic_path(path.with_name(MEASURED)) as part:
        frame.assign(data=exp.recipe.data).to_csv(part, index=False, lineterminator="\n")
    return frame, max((int(row.get("exit_code", 0)) for row in rows), default=0)


def train_cell(
    exp: Experiment,
    size: Size,
    number: int,
    folder: Path,
    fold: int | None,
    on_event: Callable[[Row], None],
    *,
    keep_model: bool = False,
) -> Row:
    """Train on one subset and score the validation cases; interrupted, it goes on.

    Args:
        exp: The run.
        size: What is kept.
        number: Which subset; its weights start from a seed of its own.
        folder: Of the training.
        fold: The fold, with folds.
        on_event: Told the progress.
        keep_model: The weights stay; else they are deleted once the cases are scored.
    """
    own = subset_experiment(exp, size, number, folder, fold)
    model, predicted = own.run.stage("segment", fold=fold), own.run.stage("predict", "val")
    val = cases_of(own.table, own.split, "val", fold)
    train_fold(own, on_event, fold, None, resume=True)
    predict_cases(val, model, own.recipe, predicted, fold=fold, on_event=on_event)
    kept = keep_subset(
        exp.table, exp.split, size.masks, exp.recipe.seed, number=number, fold=fold,
        labels=size.labels,
    )  # fmt: skip
    found = judged(own, predicted)
    collapsed = read_card(model, kind="segment").collapsed
    if not keep_model:
        (model / MODEL).unlink(missing_ok=True)
    return {
        "n_masks": kept.n_masks["train"],
        "n_val_masks": kept.n_masks["val"],
        "n_labels": kept.n_labels,
        "auroc": found,
        "collapsed": collapsed,
    }


def subset_experiment(
    exp: Experiment, size: Size, number: int, folder: Path, fold: int | None
) -> Experiment:
    """The experiment on one subset, in a folder of its own."""
    kept = keep_subset(
        exp.table, exp.split, size.masks, exp.recipe.seed, number=number, fold=fold,
        labels=size.labels,
    )  # fmt: skip
    recipe = exp.recipe.model_copy(update={"seed": exp.recipe.seed + number})
    return Experiment(recipe, kept.table, exp.split, Run(folder))


def judged(exp: Experiment, predicted: Path) -> dict[str, Row | None]:
    """Per finding, the AUROC of predicted cases by their mean probability, and its variance."""
    frame = read_statistics(predicted).frame
    cases = {case.case_id: case for case in exp.table.cases}
    result: dict[str, Row | None] = {}
    for k, finding in enumerate(exp.table.findings):
        own = frame.loc[np.asarray(frame["finding"] == finding)]
        ids = [str(case_id) for case_id in own["case_id"]]
        label = np.array([cases[i].labels[k] for i in ids])
        known = ~np.isnan(label)
        patient = np.array([cases[i].patient_id for i in ids])[known]
        if not (label == 1).any() or not (label == 0).any():
            result[finding] = None
            continue
        codes = np.unique(patient, return_inverse=True)[1]
        score = own["mean_p"].to_numpy(dtype=float)[known]
        one = auroc_of(score, label[known] == 1, codes)
        result[finding] = {
            "value": one.value,
            "variance": _number(one.variance),
            "variance_of_cases": _number(one.variance_of_cases),
            "n_positive": one.n_positive,
            "n_negative": one.n_negative,
        }
    return result


def _measured(rows: Sequence[Row], findings: Sequence[str]) -> pd.DataFrame:
    """One row per cell and finding."""
    names = ("cell", "masks", "labels", "subset", "state", "n_masks", "n_labels", "minutes")
    found = []
    for row in rows:
        for finding in findings:
            one = (row.get("auroc") or {}).get(finding) or {}
            place = {name: row.get(name) for name in names}
            reason = row.get("reason", COLLAPSED if row.get("collapsed") else "")
            if row["state"] == DONE and not one:
                reason = "no validation case is labelled positive, or none negative"
            found.append(
                {"finding": finding, **place, "auroc": one.get("value"), "reason": reason}
                | {n: one.get(n) for n in ("variance", "variance_of_cases")}
                | {n: one.get(n) for n in ("n_positive", "n_negative")}
            )
    return pd.DataFrame(found)


def _identity(exp: Experiment, size: Size, number: int, fold: int | None) -> str:
    semi = ("semi",) if exp.recipe.semi.method is not None else ()
    settings = flat_settings(exp.recipe, (*SHARED_SETTINGS, "loss", "segment", "predict", *semi))
    places = exp.split[["case_id", "split", "fold"]].astype(str).to_numpy().tolist()
    parts = (
        sorted(places),
        exp.table.sha256,
        hash_of(list(exp.table.findings)),
    )
    return hash_of([settings, size.name, number, fold, *parts])


def _save(path: Path, table: Row) -> None:
    with full_disk_stops(path.parent, room_for="the table of trainings", fix="run it again"):
        write_json(path, table)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
