"""One training of a study: its cases, its network, the scores of its test cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from segclf import pipeline
from segclf.console import EventSink
from segclf.core.atomic import hash_of
from segclf.core.sameness import SHARED_SETTINGS, flat_settings
from segclf.core.scoretable import read_scores
from segclf.core.settings import SummarizeSettings
from segclf.core.thresholds import fit_threshold
from segclf.evaluate.inference.auroc import auroc_of
from segclf.experiment import Experiment
from segclf.study.science.changed_files import write_changed
from segclf.study.science.selection import Selection
from segclf.study.science.source import Source, cell_experiment, open_pool

SPECIFICITY = 0.9
"""The operating point at which recall is compared; its threshold comes from validation cases."""
FULL = "full"
Row = dict[str, Any]


@dataclass(frozen=True)
class Arm:
    """One way of learning the same cases."""

    name: str
    family: Literal["segment", "classify"]
    masks: str = FULL
    """How the masks of training and validation cases are changed, see `write_changed`."""
    strict: bool = False
    """Changed masks are learned as if they were full ones (Saab et al. 2022)."""
    rules: tuple[str, ...] = ("mean",)
    """How maps become scores; each of several is an arm of its name."""

    @property
    def overrides(self) -> tuple[str, ...]:
        """What it changes in the recipe."""
        if self.family == "classify":
            return ("classify.head=softmax",)
        return ("segment.strict_coarse=true",) if self.strict else ()


@dataclass(frozen=True)
class Cell:
    """One training, and where it stands in the study; plain data for every process."""

    regime: str
    level: str
    x: float
    arm: Arm
    seed: int
    source: Source
    selection: Selection
    overrides: tuple[str, ...]
    """Learning rate and steps."""
    fold: int | None = None
    is_search: bool = False
    """It chooses the learning rate and the steps by validation cases; test cases are not read."""

    @property
    def key(self) -> str:
        """Its name in the table of cells."""
        place = [self.regime, self.level, self.arm.name, f"seed {self.seed}"]
        search = [" ".join(self.overrides)] if self.is_search else []
        return ", ".join([*place, *search])

    def identity(self) -> str:
        """Changes with whatever its scores depend on; where they stand in the study does not."""
        pool = open_pool(self.source)
        settings = flat_settings(
            pool.recipe, (*SHARED_SETTINGS, "findings", "loss", "segment", "classify", "predict")
        )
        chosen = [self.selection.train, self.selection.val, self.selection.test]
        arm = [self.arm.family, self.arm.masks, self.arm.strict, self.arm.rules]
        parts = [settings, self.overrides, chosen, arm, self.seed, pool.table.sha256]
        return hash_of([*parts, self.is_search])


def train_cell(cell: Cell, folder: Path, on_event: EventSink) -> tuple[pd.DataFrame, Row]:
    """Train, score and judge; returns the scores of test cases and what is noted of the cell.

    An interrupted training goes on. Of a search cell there are no scores, only the AUROC on
    validation cases.

    Args:
        cell: What is trained.
        folder: Of the training.
        on_event: Gets the progress.
    """
    change = None
    if cell.arm.masks != FULL and cell.arm.family == "segment":
        change = partial(_changed, how=cell.arm.masks, folder=folder, seed=cell.seed)
    selection = cell.selection
    if cell.is_search:
        selection = Selection(selection.train, selection.val, (), selection.notes)
    overrides = (*cell.arm.overrides, *cell.overrides, f"seed={cell.seed}")
    exp = cell_experiment(cell.source, selection, folder, overrides, change)
    scores = _scores(exp, cell.arm, on_event)
    row = {**_counts(exp), "steps": exp.recipe.train.steps, "lr": exp.recipe.train.lr}
    row["val_auroc"] = _val_auroc(scores)
    tested = [_tested(cell, own, name) for name, own in scores.items()]
    return pd.concat(tested, ignore_index=True), row


def _changed(table: Any, ids: Sequence[str], *, how: str, folder: Path, seed: int) -> Any:  # noqa: ANN401
    return write_changed(table, ids, how, folder, seed)


def _scores(exp: Experiment, arm: Arm, on_event: EventSink) -> Mapping[str, pd.DataFrame]:
    """Scores of validation and test cases by the name of the arm."""
    if arm.family == "classify":
        pipeline.train_clf(exp, on_event, resume=True)
        folder = exp.run.stage("classify", exp.recipe.classify.method)
        return {arm.name: read_scores(folder / "scores.parquet")}
    pipeline.train_seg(exp, on_event, resume=True)
    found = {}
    for rule in arm.rules:
        folder, _ = pipeline.summarize_masks(exp, rule, on_event=on_event)
        name = arm.name if len(arm.rules) == 1 else rule
        found[name] = read_scores(folder / "scores.parquet")
    return found


def _tested(cell: Cell, scores: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of the test cases, decided by a threshold from validation cases."""
    val, test = scores.query("split == 'val'"), scores.query("split == 'test'")
    point = SummarizeSettings(objective="specificity", target=SPECIFICITY)
    threshold, _ = fit_threshold(_column(val, "score"), _column(val, "label"), point)
    score = _column(test, "score")
    decision = np.where(np.isnan(score) | np.isnan(threshold), np.nan, score > threshold)
    return pd.DataFrame(
        {
            "arm": name,
            "seed": cell.seed,
            "fold": pd.array([cell.fold] * len(test), dtype="Int64"),
            "case_id": test["case_id"].astype(str).to_numpy(),
            "patient_id": test["patient_id"].astype(str).to_numpy(),
            "label": _column(test, "label"),
            "score": score,
            "decision": decision,
        }
    )


def _val_auroc(scores: Mapping[str, pd.DataFrame]) -> float | None:
    """AUROC of the first arm on validation cases; None without both classes."""
    val = next(iter(scores.values())).query("split == 'val'").dropna(subset=["score", "label"])
    label = _column(val, "label") == 1
    if label.all() or not label.any():
        return None
    patient = pd.factorize(val["patient_id"])[0]
    return auroc_of(_column(val, "score"), label, patient).value


def _counts(exp: Experiment) -> Row:
    label = {case.case_id: case.labels[0] for case in exp.table.cases}
    part = exp.split["split"].to_numpy()
    found = np.array([label[case_id] for case_id in exp.split["case_id"]])
    return {
        "n_train": int((part == "train").sum()),
        "n_train_positive": int(((part == "train") & (found == 1)).sum()),
        "n_val": int((part == "val").sum()),
    }


def _column(frame: pd.DataFrame, name: str) -> np.ndarray:
    return frame[name].to_numpy(dtype=float)
