"""Few masks, all labels: what share of the gap to all masks does each semi-supervised way close?

Run by `python -m segclf.study.experiments phantom_semi`; finished trainings are kept, a failed one
costs no other. A subset is a data set of its own in which the other masks do not exist.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segclf import pipeline
from segclf.console import progress, say
from segclf.core.atomic import read_json, write_json
from segclf.core.errors import SegclfError
from segclf.core.statstable import read_statistics
from segclf.experiment import Experiment, new_experiment
from segclf.manifest import cases_of
from segclf.phantom import PhantomSettings, write_phantom
from segclf.stages import predicted_folders
from segclf.study.advise.subsets import keep_subset, write_subset
from segclf.study.compare.cells import UNFIT, why_failed
from segclf.study.gap import Scored, gap_closed, pair_gain

FEW, FULL = "supervised 10 %", "supervised 100 %"
SHARE, N_SUBSETS = 0.1, 5
METHODS = (
    "pseudo", "mean_teacher", "uncertainty_mean_teacher", "cps", "fixmatch", "two_step",
)  # fmt: skip
BOOSTED = "--boosted"
SETTINGS: dict[str, Any] = {
    "seed": 21,
    "size_px": [64, 64],
    "area_fraction": 0.01,
    "rho": {"train": 0.5, "val": 0.5, "test": 0.5},
    "n_cases": {"train": 400, "val": 160, "test": 600},
}
OVERRIDES = (
    "train.steps=200",
    "train.validate_every=100",
    "train.warmup_steps=20",
    "network.options={encoder_depth: 3, decoder_channels: [48, 24, 16]}",
)
MOST_FEW, LEAST_FULL = 0.85, 0.95
"""The regime, fixed beforehand: AUROC with few and with all masks."""
CELLS = "semi_cells.json"
Entry = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One training."""

    method: str
    subset: int

    @property
    def key(self) -> str:
        """Its name in the table of cells."""
        return f"{self.method}, subset {self.subset}"

    @property
    def settings(self) -> tuple[str, ...]:
        """What `train-seg --semi METHOD --boosted` stands for."""
        if self.method in (FEW, FULL):
            return ()
        boosted = ("semi.boosted=true",) if self.method.endswith(BOOSTED) else ()
        return (f"semi.method={self.method.removesuffix(BOOSTED).strip()}", *boosted)


def methods() -> tuple[str, ...]:
    """Every row of the table: the two ends, then each way without and with labels."""
    return (FEW, FULL, *(f"{m}{end}" for m in METHODS for end in ("", f" {BOOSTED}")))


def run_semi(
    folder: Path, n_seeds: int, *, train: Callable[[Experiment], None] | None = None
) -> Entry:
    """Train what is missing on the first `n_seeds` subsets; an entry of the table of results.

    Args:
        folder: Gets the data and the subsets; its name begins the names of the runs.
        n_seeds: Number of subsets, each with its own seed of weights.
        train: For tests: `pipeline.train_seg` by default.
    """
    if not (folder / "recipe.yaml").is_file():
        write_phantom(folder, PhantomSettings.model_validate(SETTINGS))
    path = folder / CELLS
    table: dict[str, Entry] = read_json(path) if path.is_file() else {}
    scores: dict[str, list[np.ndarray | None]] = {method: [] for method in methods()}
    truth: tuple[np.ndarray, np.ndarray] | None = None
    for subset in range(n_seeds):
        recipe = _subset_recipe(folder, subset)
        for method in methods():
            cell = Cell(method, subset)
            try:
                exp = _trained(cell, folder, recipe, train or _train)
                truth = truth or _truth(exp)
                scores[method].append(_test_scores(exp))
                table[cell.key] = {"state": "done"}
            except (SegclfError, *UNFIT) as error:
                reason, _ = why_failed(error)
                table[cell.key] = {"state": "failed", "reason": reason}
                scores[method].append(None)
                say(f"{cell.key} failed: {error}")
            write_json(path, table)
    entry: Entry = {"n_subsets": n_seeds, "cells": table, "overrides": list(OVERRIDES)}
    if truth is None:
        return entry | {"rows": {}, "boosted": {}}
    scored = Scored(*truth, {m: _stacked(own, len(truth[0])) for m, own in scores.items()})
    entry["rows"] = gap_closed(scored, FEW, FULL)
    entry["boosted"] = {m: pair_gain(scored, f"{m} {BOOSTED}", m) for m in METHODS}
    return entry | {"regime": regime(entry["rows"])}


def regime(rows: dict[str, Entry]) -> Entry:
    """Whether the two ends are where they have to be for the question to have an answer."""
    few, full = rows[FEW].get("auroc"), rows[FULL].get("auroc")
    is_met = None if few is None or full is None else few <= MOST_FEW and full >= LEAST_FULL
    return {"few": few, "full": full, "is_met": is_met}


def semi_section(title: str, entry: Entry | None) -> str:
    """The entry as Markdown; what has not run reads so."""
    if entry is None:
        return f"## {title}\n\nNot run.\n"
    lines = [
        f"## {title}\n",
        f"data: phantom; {entry['n_subsets']} nested subsets of whole patients with "
        f"{100 * SHARE:g} % of the masks of training and validation cases; all labels are known. "
        f"Settings: `{'`, `'.join(entry['overrides'])}`. Share of the gap closed: (m - b) / "
        "(full - b), with subsets and patients resampled together; the order is a finding.\n",
        f"Regime, stated before the results: AUROC with all masks at least {LEAST_FULL:g}, with "
        f"few at most {MOST_FEW:g}: {_regime(entry.get('regime'))}.\n",
        "| method | subsets | AUROC (range) | more than few masks (95 %) | share of the gap closed "
        "(95 %) | helps |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_line(name, row) for name, row in entry["rows"].items()]
    lines += ["", "| with labels minus without | AUROC (95 %) |", "|---|---|"]
    for name, row in entry["boosted"].items():
        text = row["reason"] if row["value"] is None else _value(row, "+.3f")
        lines.append(f"| {name} | {text} |")
    failed = {key: one for key, one in entry["cells"].items() if one["state"] == "failed"}
    reasons = "; ".join(f"{key}: {one['reason']}" for key, one in failed.items())
    lines.append(f"\n{len(entry['cells']) - len(failed)} trainings; failed: {reasons or 'none'}.")
    return "\n".join(lines) + "\n"


def _line(name: str, row: Entry) -> str:
    if row["auroc"] is None:
        return f"| {name} | 0 | {row['reason']} | | | |"
    own = f"{row['auroc']:.3f} ({row['lowest']:.3f} to {row['highest']:.3f})"
    if name in (FEW, FULL):
        return f"| {name} | {row['n_subsets']} | {own} | | | |"
    share = row["share"]
    text = _value(share, ".2f") if share else "undefined"
    text += f": {row['reason']}" if row.get("reason") else ""
    lo, hi = row["gain"]["lo"], row["gain"]["hi"]
    helps = "yes" if lo > 0 else "harms" if hi < 0 else "not shown"
    gain = _value(row["gain"], "+.3f")
    return f"| {name} | {row['n_subsets']} | {own} | {gain} | {text} | {helps} |"


def _value(row: Entry, how: str) -> str:
    if row.get("lo") is None:
        return format(row["value"], how)
    return f"{row['value']:{how}} ({row['lo']:{how}} to {row['hi']:{how}})"


def _regime(found: Entry | None) -> str:
    if not found or found["is_met"] is None:
        return "not run"
    state = "met" if found["is_met"] else "not met"
    return f"{state} ({found['full']:.3f} and {found['few']:.3f})"


def _subset_recipe(folder: Path, subset: int) -> Path:
    """The recipe of the data set with few masks; written once."""
    target = folder / f"subset{subset}"
    if not (target / "recipe.yaml").is_file():
        exp = new_experiment(folder / "recipe.yaml", None, f"{folder.name}-split", ())
        kept = keep_subset(exp.table, exp.split, SHARE, SETTINGS["seed"], number=subset)
        write_subset(kept, folder / "manifest.csv", target)
    return target / "recipe.yaml"


def _trained(
    cell: Cell, folder: Path, few: Path, train: Callable[[Experiment], None]
) -> Experiment:
    recipe = folder / "recipe.yaml" if cell.method == FULL else few
    words = cell.method.replace(" %", "").replace(BOOSTED, "boosted").split()
    name = "-".join([folder.name, f"s{cell.subset}", *words])
    seeds = (f"seed={cell.subset}", "split.seed=0")
    exp = new_experiment(recipe, None, name, (*OVERRIDES, *cell.settings, *seeds))
    train(exp)
    return exp


def _train(exp: Experiment) -> None:
    with progress(exp.run.path.name) as on_event:
        pipeline.train_seg(exp, on_event, resume=True)


def _truth(exp: Experiment) -> tuple[np.ndarray, np.ndarray]:
    """Label and patient of every test case, in the order of the table."""
    test = cases_of(exp.table, exp.split, "test")
    codes = np.unique([case.patient_id for case in test], return_inverse=True)[1]
    return np.array([case.labels[0] == 1 for case in test]), codes


def _test_scores(exp: Experiment) -> np.ndarray:
    """Mean probability of every test case, in the order of the table."""
    frame = read_statistics(predicted_folders(exp)).frame
    mean_p = dict(zip(frame["case_id"], frame["mean_p"], strict=True))
    test = cases_of(exp.table, exp.split, "test")
    return np.array([mean_p.get(case.case_id, np.nan) for case in test])


def _stacked(rows: list[np.ndarray | None], n_cases: int) -> np.ndarray:
    return np.stack([np.full(n_cases, np.nan) if row is None else row for row in rows])
