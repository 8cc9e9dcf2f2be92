"""Few masks, all labels: what share of the gap to all masks does each semi-supervised way close?

Run by `python -m segclf.study.experiments phantom_semi ct_ich_semi`; finished trainings are kept, a
failed one costs no other. A subset is a data set of its own in which the other masks do not exist;
with folds, subset k is one of fold k.
"""

from collections.abc import Callable, Mapping
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
from segclf.manifest.sources import expand
from segclf.phantom import PhantomSettings, write_phantom
from segclf.stages import OWN
from segclf.study.advise.subsets import keep_subset, write_subset
from segclf.study.compare.cells import UNFIT, why_failed
from segclf.study.gap import Scored, gap_closed, pair_gain
from segclf.training.cost import COST, read_cost

FEW, FULL = "supervised 10 %", "supervised 100 %"
SHARE, N_SUBSETS = 0.1, 5
METHODS = (
    "pseudo", "mean_teacher", "uncertainty_mean_teacher", "cps", "fixmatch", "two_step",
)  # fmt: skip
BOOSTED = "--boosted"
MOST_FEW, LEAST_FULL = 0.85, 0.95
"""The regime, fixed beforehand: AUROC with few and with all masks."""
CELLS = "semi_cells.json"
Entry = dict[str, Any]
Tested = dict[str, float]


@dataclass(frozen=True)
class FewMasks:
    """One study: on which data, how long, and which ways of using cases without a mask."""

    about: str
    methods: tuple[str, ...]
    overrides: tuple[str, ...]
    phantom: Mapping[str, Any] | None = None
    """Settings of the phantom; None takes the recipe `configs/<config>.yaml`."""
    config: str | None = None
    has_regime: bool = False
    """The two ends have to be as MOST_FEW and LEAST_FULL say."""

    @property
    def rows(self) -> tuple[str, ...]:
        """Every row of the table: the two ends, then the methods."""
        return (FEW, FULL, *self.methods)


PHANTOM = FewMasks(
    "data: phantom; its settings were chosen on three others, by the two ends alone.",
    tuple(f"{method}{end}" for method in METHODS for end in ("", f" {BOOSTED}")),
    (
        "train.steps=400",
        "train.validate_every=200",
        "train.warmup_steps=20",
        "network.options={encoder_depth: 3, decoder_channels: [48, 24, 16]}",
    ),
    phantom={
        "seed": 22,
        "size_px": [64, 64],
        "area_fraction": 0.01,
        "contrast": 0.33,
        "rho": {"train": 0.5, "val": 0.5, "test": 0.5},
        "n_cases": {"train": 300, "val": 160, "test": 600},
    },
    has_regime=True,
)
CT = FewMasks(
    "data: CT slices, intracranial haemorrhage; every subset belongs to another fold, whose test "
    "cases are scored.",
    ("pseudo", f"pseudo {BOOSTED}", f"cps {BOOSTED}"),
    ("train.steps=300", "train.validate_every=100"),
    config="ct_ich_2d",
)


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


def run_semi(
    study: FewMasks,
    folder: Path,
    n_subsets: int,
    *,
    train: Callable[[Experiment, int | None], None] | None = None,
) -> Entry:
    """Train what is missing on the first `n_subsets` subsets; an entry of the table of results.

    Args:
        study: What is trained.
        folder: Gets the data and the subsets; its name begins the names of the runs.
        n_subsets: Number of subsets, each with its own seed of weights.
        train: For tests; gets the run and its fold.
    """
    path = folder / CELLS
    table: dict[str, Entry] = read_json(path) if path.is_file() else {}
    scores: dict[str, list[Tested | None]] = {method: [] for method in study.rows}
    exp = _whole(study, folder)
    for subset in range(n_subsets):
        fold = subset if exp.recipe.split.folds else None
        few = _subset_recipe(exp, folder / f"subset{subset}", subset, fold)
        for method in study.rows:
            cell = Cell(method, subset)
            try:
                scored, cpu_s = _trained(study, cell, folder, few, fold, train or _train)
                scores[method].append(scored)
                table[cell.key] = {"state": "done", "cpu_s": cpu_s}
            except (SegclfError, *UNFIT) as error:
                reason, _ = why_failed(error)
                table[cell.key] = {"state": "failed", "reason": reason}
                scores[method].append(None)
                say(f"{cell.key} failed: {error}")
            write_json(path, table)
    entry: Entry = {"n_subsets": n_subsets, "cells": table, "overrides": list(study.overrides)}
    scored = _scored(exp, scores)
    if scored is None:
        return entry | {"rows": {}, "boosted": {}}
    plain = [m for m in study.methods if f"{m} {BOOSTED}" in study.methods]
    entry["n_test"] = {"cases": len(scored.label), "patients": int(scored.patient.max()) + 1}
    entry["rows"] = gap_closed(scored, FEW, FULL)
    entry["boosted"] = {m: pair_gain(scored, f"{m} {BOOSTED}", m) for m in plain}
    return entry | ({"regime": regime(entry["rows"])} if study.has_regime else {})


def regime(rows: dict[str, Entry]) -> Entry:
    """Whether the two ends are where they have to be for the question to have an answer."""
    few, full = rows[FEW].get("auroc"), rows[FULL].get("auroc")
    is_met = None if few is None or full is None else few <= MOST_FEW and full >= LEAST_FULL
    return {"few": few, "full": full, "is_met": is_met}


def _whole(study: FewMasks, folder: Path) -> Experiment:
    """The data set with all masks and labels, and its split."""
    recipe = folder / "recipe.yaml"
    if study.config is not None:
        recipe = Path(f"configs/{study.config}.yaml")
    elif not recipe.is_file():
        write_phantom(folder, PhantomSettings.model_validate(study.phantom))
    return new_experiment(recipe, None, f"{folder.name}-split", ())


def _subset_recipe(exp: Experiment, target: Path, subset: int, fold: int | None) -> Path:
    """The recipe of the data set with few masks; written once."""
    if not (target / "recipe.yaml").is_file():
        seed = exp.recipe.seed
        kept = keep_subset(exp.table, exp.split, SHARE, seed, number=subset, fold=fold)
        manifest = expand(str(exp.recipe.manifest), where="manifest")
        write_subset(kept, exp.run.path / manifest, target)
    return target / "recipe.yaml"


def _trained(
    study: FewMasks,
    cell: Cell,
    folder: Path,
    few: Path,
    fold: int | None,
    train: Callable[[Experiment, int | None], None],
) -> tuple[Tested, float | None]:
    """Scores of the test cases, by case, and processor seconds of all rounds."""
    whole = Path(f"configs/{study.config}.yaml") if study.config else folder / "recipe.yaml"
    words = cell.method.replace(" %", "").replace(BOOSTED, "boosted").split()
    name = "-".join([folder.name, f"s{cell.subset}", *words])
    seeds = (f"seed={cell.subset}", *(() if study.config else ("split.seed=0",)))
    recipe = whole if cell.method == FULL else few
    exp = new_experiment(recipe, None, name, (*study.overrides, *cell.settings, *seeds))
    train(exp, fold)
    costs = [read_cost(path.parent) for path in exp.run.path.rglob(COST)]
    known = [cost for cost in costs if cost is not None]
    return _test_scores(exp, fold), sum(known) if costs and known == costs else None


def _train(exp: Experiment, fold: int | None) -> None:
    with progress(exp.run.path.name) as on_event:
        pipeline.train_seg(exp, on_event, fold=fold, resume=True)


def _test_scores(exp: Experiment, fold: int | None) -> Tested:
    """Mean probability of each test case; NaN where it was set aside."""
    frame = read_statistics([exp.run.stage("predict", OWN, fold=fold)]).frame
    mean_p = dict(zip(frame["case_id"], frame["mean_p"], strict=True))
    test = cases_of(exp.table, exp.split, "test", fold)
    return {case.case_id: float(mean_p.get(case.case_id, np.nan)) for case in test}


def _scored(exp: Experiment, scores: Mapping[str, list[Tested | None]]) -> Scored | None:
    """All test cases, and which of them each subset was tested on; None if nothing was trained."""
    rows = [row for each in scores.values() for row in each]
    tested = set().union(*(row for row in rows if row))
    cases = [c for c in exp.table.cases if c.case_id in tested and c.labels[0] in (0, 1)]
    if not cases:
        return None
    n_subsets = len(next(iter(scores.values())))
    is_tested = np.zeros((n_subsets, len(cases)), bool)
    for each in scores.values():
        for subset, row in enumerate(each):
            is_tested[subset] |= [row is not None and c.case_id in row for c in cases]
    score = {
        method: np.array([[(row or {}).get(c.case_id, np.nan) for c in cases] for row in each])
        for method, each in scores.items()
    }
    patient = np.unique([c.patient_id for c in cases], return_inverse=True)[1]
    label = np.array([c.labels[0] == 1 for c in cases])
    return Scored(label, patient, score, None if is_tested.all() else is_tested)
