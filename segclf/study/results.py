"""Run the recipes on real data, cell by cell, and write what they gave: `make results`.

A cell is the training of one network on one fold. Finished cells are kept in `runs/`, so that an
interrupted call goes on where it stopped. The numbers of a recipe are computed when all of its
cells have run, and kept in `docs/results.json`; `docs/results.md` is made from that file alone.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from segclf import judging, pipeline, stages
from segclf.console import progress, say
from segclf.core.atomic import read_json, write_json
from segclf.core.errors import SegclfError
from segclf.core.provenance import hardware, versions
from segclf.core.statstable import read_statistics
from segclf.evaluate import column_scores, evaluate_scores, overlap_rows
from segclf.experiment import Experiment, new_experiment
from segclf.study.experiments import write_page
from segclf.study.page import METRICS, measured_line

RULES = ("mean", "max", "tau")
METHODS = (*RULES, "sigmoid")
"""What is reported; a comparison in the same run may have added more."""
BASELINES: dict[str, tuple[tuple[str, bool], ...]] = {
    "ct_ich_2d": (("slice", False), ("slice_position", True)),
    "busi_lesion": (("orig_width", False),),
    "busi_malignant": (("lesion_area_fraction", False),),
    "ct_ich_3d": (("n_slices", False),),
}
"""Recipe to columns whose value alone is reported as a trivial baseline, and whether the distance
from a position that is fitted on validation cases ranks (True) or the value (False)."""
FOLDS: dict[str, tuple[int, ...]] = {"ct_ich_3d": (0,)}
"""Recipes of which only some folds are run; all others run every fold."""
STAGES = {"segment": pipeline.train_seg, "classify": pipeline.train_clf}
TABLE = Path("docs/results.json")

Results = dict[str, dict[str, Any]]


def main(names: list[str]) -> int:
    """Run the cells that are missing, of the recipes named or of all; returns an exit code."""
    if "SEGCLF_REALDATA" not in os.environ:
        say("SEGCLF_REALDATA does not name the folder with the image sets: nothing is run")
        return 2
    results: Results = read_json(TABLE) if TABLE.is_file() else {}
    code = 0
    for name in names or list(BASELINES):
        try:
            exp = new_experiment(Path(f"configs/{name}.yaml"), None, None, ())
        except SegclfError as error:
            say(f"{name}: {error}")
            code = error.exit_code
            continue
        folds = FOLDS.get(name) or tuple(exp.folds())
        entry = results.setdefault(name, {"cells": {}})
        for fold in folds:
            for stage in STAGES:
                entry["cells"].setdefault(cell_name(stage, fold), {})  # reads 'not run'
        for fold in folds:
            for stage in STAGES:
                try:
                    run_cell(exp, stage, fold, entry["cells"])
                    entry["cells"][cell_name(stage, fold)].pop("failed", None)
                except SegclfError as error:
                    say(f"{name} {stage} fold {fold}: {error}")
                    entry["cells"][cell_name(stage, fold)]["failed"] = error.wrong
                    code = error.exit_code
                finally:
                    save(results)
        done = [entry["cells"].get(cell_name(s, f), {}) for s in STAGES for f in folds]
        if all("minutes" in cell and "failed" not in cell for cell in done):
            entry |= measure(exp, BASELINES[name])
            save(results)
            say(f"{name}: {measured_line(entry)}")
    return code


def save(results: Results) -> None:
    """Write the table and the page that is made from it."""
    write_json(TABLE, results)
    write_page()


def cell_name(stage: str, fold: int | None) -> str:
    """The key of a cell in the table."""
    return stage if fold is None else f"{stage} fold {fold}"


def run_cell(exp: Experiment, stage: str, fold: int | None, cells: dict[str, Any]) -> None:
    """Train one network on one fold and note how long it took, over all calls that it needed.

    A finished one is kept if it was trained as the recipe says now, and refused if not.
    """
    cell = cells[cell_name(stage, fold)]
    spent = cell.pop("spent", 0.0)
    start = time.monotonic()
    try:
        with progress(f"{exp.recipe.name} {cell_name(stage, fold)}") as on_event:
            STAGES[stage](exp, on_event, fold=fold, resume=True)
    except BaseException:
        cell["spent"] = spent + (time.monotonic() - start) / 60
        raise
    cell.setdefault("minutes", round(spent + (time.monotonic() - start) / 60, 2))


def measure(exp: Experiment, baselines: tuple[tuple[str, bool], ...]) -> dict[str, Any]:
    """Out-of-fold numbers of every method of a run: AUROC, operating point, Dice."""
    for rule in RULES:
        pipeline.summarize_masks(exp, rule)
    frame = stages.split_frame(exp.split, exp.table)
    tables = [judging.score_tables(exp).query("method in @METHODS")]
    trained = set(tables[0]["fold"].dropna())
    finding = exp.table.findings[0]
    cases = exp.table.frame
    labels = pd.Series(cases[f"label_{finding}"].to_numpy(), index=cases["case_id"])
    if "slice" in cases:
        cases = cases.assign(slice_position=cases["slice"] / cases["n_slices"])
    for column, by_distance in baselines:
        scores = column_scores(
            cases, column, finding=finding, labels=labels, split=exp.split, by_distance=by_distance
        ).assign(seed=exp.recipe.seed)
        tables.append(scores.query("fold in @trained") if trained else scores)
    evaluation = evaluate_scores(
        pd.concat(tables, ignore_index=True),
        exp.table.frame,
        by=(),
        settings=exp.recipe.evaluate,
        roles=exp.table.roles,
        seed=exp.recipe.seed,
        metrics=METRICS,
        unit_name=exp.recipe.unit_name,
    )
    judging.evaluate(exp)
    rows = evaluation.metrics.query("group_column == 'all'")
    statistics = read_statistics(stages.predicted_folders(exp))
    overlap = overlap_rows(statistics, frame, t=0.5)
    return {
        "findings": list(exp.table.findings),
        "unit_name": exp.recipe.unit_name,
        "metrics": plain(rows),
        "overlap": plain(overlap.query("group_column == 'all'")),
        "steps": exp.recipe.train.steps,
        "versions": versions(),
        "hardware": hardware(),
    }


def plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain data; what is missing is None."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
