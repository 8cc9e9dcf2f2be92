"""The cells of a comparison: the training of one network, for one seed and fold.

A finished cell is kept if it was trained as the recipe says now; a failed one costs no other.
`cells.json` grows with them, so that an interrupted comparison goes on where it stopped.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segclf import pipeline
from segclf.console import progress, say
from segclf.core.atomic import read_json, write_json
from segclf.core.errors import ExitCode, SegclfError
from segclf.core.runs import Run
from segclf.experiment import Experiment
from segclf.study.compare.methods import AT_TIME, INIT, SEGMENT, Method
from segclf.training.runtime import full_disk_stops

CELLS, FOLDER = "cells.json", "compare"
NOT_RUN, DONE, FAILED = "not run", "done", "failed"
UNFIT = (RuntimeError, MemoryError, OSError, ValueError)
"""What a library raises where a network does not fit the machine or the data: the cell fails."""


@dataclass(frozen=True)
class Cell:
    """One training."""

    network: str
    """`segment`, or the method that is trained; `<head>@time` if again for longer."""
    seed: int
    fold: int | None
    """None without folds, and for summarizers, which are trained for all folds in one go."""
    method: Method | None = None
    """None for the segmenter."""
    steps: int | None = None
    """Optimizer steps, where they are not the recipe's."""

    @property
    def key(self) -> str:
        """Its name in `cells.json`."""
        fold = "" if self.fold is None else f", fold {self.fold}"
        return f"seed {self.seed}{fold}, {self.network}"


def plan_cells(
    methods: Sequence[Method], seeds: Sequence[int], folds: Sequence[int | None]
) -> list[Cell]:
    """Every cell in the order of running: a seed after the other, the segmenter first."""
    cells = []
    for seed in seeds:
        for fold in folds:
            if any(method.needs_segmenter for method in methods):
                cells.append(Cell(SEGMENT, seed, fold))
            cells += [Cell(m.name, seed, fold, m) for m in methods if m.family == "head"]
        cells += [Cell(m.name, seed, None, m) for m in methods if m.family == "trained"]
    return cells


def time_cells(
    steps_of: Mapping[str, int],
    methods: Sequence[Method],
    seeds: Sequence[int],
    folds: Sequence[int | None],
) -> list[Cell]:
    """The cells of the heads that are trained again, with their numbers of steps."""
    return [
        Cell(method.name + AT_TIME, seed, fold, method, steps_of[method.name])
        for seed in seeds
        for fold in folds
        for method in methods
        if method.name in steps_of
    ]


class CellTable:
    """What became of each cell, on disk after every change."""

    def __init__(self, folder: Path) -> None:
        """Go on with the table in `folder`, if there is one."""
        self.path = folder / CELLS
        known = read_json(self.path) if self.path.is_file() else {}
        self.cells: dict[str, dict[str, Any]] = known.get("cells", {})
        self.steps_at_time: dict[str, int] = known.get("steps_at_time", {})
        self.planned: list[str] = []

    def plan(self, cells: Sequence[Cell]) -> None:
        """List the cells; those that have not run read so."""
        for cell in cells:
            place = {"network": cell.network, "seed": cell.seed, "fold": cell.fold}
            self.cells.setdefault(cell.key, {**place, "state": NOT_RUN})
            self.planned += [cell.key] if cell.key not in self.planned else []
        self.save()

    def save(self) -> None:
        """Write the table."""
        table = {"cells": self.cells, "steps_at_time": self.steps_at_time}
        again = "run the same command again"
        with full_disk_stops(self.path.parent, room_for="the table of trainings", fix=again):
            write_json(self.path, table)

    def state(self, cell: Cell) -> str:
        """`done`, `failed` or `not run`."""
        return str(self.cells.get(cell.key, {}).get("state", NOT_RUN))

    def rows(self) -> list[dict[str, Any]]:
        """The planned cells, in order."""
        return [{"cell": key, **self.cells[key]} for key in self.planned]

    def exit_code(self) -> int:
        """The worst code of a planned cell that failed; 0 if none did."""
        failed = [row for row in self.rows() if row["state"] == FAILED]
        return max((int(row["exit_code"]) for row in failed), default=0)


def run_cells(cells: Sequence[Cell], exps: Mapping[int, Experiment], table: CellTable) -> None:
    """Train what is missing. Interruptions end it; all else is noted in the table.

    Args:
        cells: In the order of running.
        exps: The experiment of each seed.
        table: Written after every cell.
    """
    table.plan(cells)
    for number, cell in enumerate(cells, start=1):
        entry = table.cells[cell.key]
        if lacks := _lacks(cell, exps, table):
            entry.update(state=NOT_RUN, reason=lacks)
            table.save()
            continue
        spent, start = entry.pop("spent", 0.0), time.monotonic()
        try:
            train_cell(cell, exps[cell.seed], f"{number}/{len(cells)} {cell.key}")
        except (SegclfError, *UNFIT) as error:
            reason, code = why_failed(error)
            entry.update(state=FAILED, reason=reason, exit_code=code)
            entry["spent"] = spent + _minutes(start)
            say(f"{cell.key} failed: {error}")
        except BaseException:
            entry["spent"] = spent + _minutes(start)
            table.save()
            raise
        else:
            entry.setdefault("minutes", round(spent + _minutes(start), 2))
            entry["state"] = DONE
            entry.pop("reason", None)
            entry.pop("exit_code", None)
        table.save()


def train_cell(cell: Cell, exp: Experiment, title: str) -> None:
    """Train the network of a cell, or keep it if it was trained as the recipe says now."""
    with progress(title) as on_event:
        if cell.method is None:
            pipeline.train_seg(exp, on_event, fold=cell.fold, resume=True)
        elif cell.method.family == "trained":
            pipeline.summarize_masks(
                with_method(exp, cell.method), cell.method.base, on_event=on_event
            )
        else:
            exp = with_method(exp, cell.method)
            if cell.steps is not None:
                exp = at_time(exp, cell.method, cell.steps)
            pipeline.train_clf(exp, on_event, fold=cell.fold, resume=True)


def with_method(exp: Experiment, method: Method) -> Experiment:
    """The experiment with the settings that the method changes, for this call alone."""
    changes = {name: dict(values) for name, values in method.settings.items()}
    if method.family == "head" and method.name.endswith(INIT):
        changes["classify"]["init_from"] = exp.run.path.name
    recipe = exp.recipe.model_copy(
        update={
            name: getattr(exp.recipe, name).model_copy(update=values)
            for name, values in changes.items()
        }
    )
    return replace(exp, recipe=recipe)


def at_time(exp: Experiment, method: Method, steps: int) -> Experiment:
    """The experiment with so many steps, in a folder of its own inside the run's."""
    train = exp.recipe.train.model_copy(update={"steps": steps})
    folder = exp.run.path / FOLDER / "time" / method.name
    return replace(exp, recipe=exp.recipe.model_copy(update={"train": train}), run=Run(folder))


def _lacks(cell: Cell, exps: Mapping[int, Experiment], table: CellTable) -> str:
    """Why a cell cannot run: the segmenter that it starts from has failed."""
    if cell.method is None or not cell.method.needs_segmenter:
        return ""
    folds = exps[cell.seed].folds() if cell.fold is None else [cell.fold]
    bad = [fold for fold in folds if table.state(Cell(SEGMENT, cell.seed, fold)) != DONE]
    return "the segmenter that it needs is not there" if bad else ""


def why_failed(error: BaseException) -> tuple[str, int]:
    """The reason of an error in one line, and its exit code."""
    if isinstance(error, SegclfError):
        return error.wrong.rstrip("."), int(error.exit_code)
    first = (str(error).strip().splitlines() or [""])[0][:200]
    return f"{type(error).__name__}: {first}", int(ExitCode.STOPPED)


def _minutes(start: float) -> float:
    return (time.monotonic() - start) / 60
