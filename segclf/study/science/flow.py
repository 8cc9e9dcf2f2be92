"""Run what is missing of a study, cell by cell and in several processes, and keep its table."""

import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import pandas as pd

from segclf.console import progress, say
from segclf.core.atomic import atomic_path, read_json, write_json
from segclf.core.errors import SegclfError, StoppedError
from segclf.study.compare.cells import DONE, FAILED, NOT_RUN, UNFIT, why_failed
from segclf.study.science.cells import Cell, train_cell
from segclf.study.science.plan import Study, choose, plan, plan_search
from segclf.training.runtime import full_disk_stops

CELLS, SCORES, TRAININGS = "cells.json", "scores", "trainings"
Row = dict[str, Any]


def run_cells(cells: Sequence[Cell], folder: Path, *, jobs: int = 1) -> dict[str, Row]:
    """Train what is missing; returns the table of cells, which is on disk after every one.

    A finished cell stays as long as its identity is the same; a failed one costs no other and is
    tried again by the next call. Weights are deleted once the cases are scored.

    Args:
        cells: In the order of running.
        folder: Of the study.
        jobs: Processes, each of which trains a cell.
    """
    path = folder / CELLS
    table: dict[str, Row] = read_json(path) if path.is_file() else {}
    identities = {cell.key: cell.identity() for cell in cells}
    done = {row["identity"]: row for row in table.values() if row.get("state") == DONE}
    todo: dict[str, Cell] = {}
    for cell in cells:
        identity = identities[cell.key]
        if identity not in done:
            todo.setdefault(identity, cell)
        row = done.get(identity, {"identity": identity, "state": NOT_RUN})
        table[cell.key] = row | _place(cell)
    _save(path, table)
    for n, (identity, row) in enumerate(_finished(todo, folder, jobs), start=1):
        for cell in cells:  # two levels may choose the same cases: one training is of both
            if identities[cell.key] == identity:
                table[cell.key] = {"identity": identity, **_place(cell), **row}
        say(f"{n}/{len(todo)} {todo[identity].key}: {_told(row)}")
        _save(path, table)
    return {cell.key: table[cell.key] for cell in cells}


def read_scores_of(cells: Sequence[Cell], rows: Mapping[str, Row], folder: Path) -> pd.DataFrame:
    """The test scores of all finished cells, one table; each cell says where its own stand."""
    parts = []
    for cell in cells:
        if rows[cell.key]["state"] == DONE:
            scores = pd.read_parquet(_scores_file(folder, rows[cell.key]["identity"]))
            arm = {"arm": cell.arm.name} if len(cell.arm.rules) == 1 else {}
            place = {"regime": cell.regime, "level": cell.level, "x": cell.x}
            parts.append(scores.assign(**place, **arm))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def search_and_plan(
    study: Study, folder: Path, seeds: Sequence[int], jobs: int
) -> tuple[list[Cell], Row]:
    """The cells that confirm, and what the search chose and cost; trains what it lacks."""
    place = folder / study.name
    tried = plan_search(study, folder, seeds)
    plan(study, folder, seeds, {key: () for key in tried})  # what a level cannot have ends it now
    rows = run_cells([cell for own in tried.values() for cell in own], place, jobs=jobs)
    val_auroc = {key: row.get("val_auroc") for key, row in rows.items()}
    chosen = choose(tried, val_auroc)
    told = {key: " ".join(settings) for key, settings in chosen.items()}
    spent = [row["cpu_s"] for row in rows.values() if row["state"] == DONE]
    search = {"n": len(spent), "cpu_s": round(sum(spent), 1)}
    return plan(study, folder, seeds, chosen), {"settings": told, "search": search}


def _finished(todo: Mapping[str, Cell], folder: Path, jobs: int) -> Iterator[tuple[str, Row]]:
    """Identities with their rows, as they end."""
    if jobs == 1:
        for identity, cell in todo.items():
            yield identity, run_cell(cell, identity, folder)
        return
    waiting = list(todo.items())
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_begin)
    try:
        running = {}
        while waiting or running:
            while waiting and len(running) < jobs:
                identity, cell = waiting.pop(0)
                running[pool.submit(run_cell, cell, identity, folder)] = identity
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except BrokenProcessPool as error:
        raise StoppedError(
            "a process that trained was ended from outside.",
            where=f"{folder.name}, one of {jobs} processes",
            expected="each process to end by itself; often there is too little memory for all",
            fix="run the same command again, with a smaller --jobs; finished trainings are kept",
        ) from error
    except KeyboardInterrupt:
        for process in active_children():  # they do not hear Ctrl-C
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def run_cell(cell: Cell, identity: str, folder: Path) -> Row:
    """Train one cell and keep its scores; an error becomes its row."""
    training = folder / TRAININGS / identity[:16]
    start_s = _processor_s()
    try:
        with progress(cell.key) as on_event:
            scores, row = train_cell(cell, training, on_event)
        with atomic_path(_scores_file(folder, identity)) as part:
            scores.to_parquet(part, index=False)
    except (SegclfError, *UNFIT) as error:
        reason, code = why_failed(error)
        return {"state": FAILED, "reason": reason, "exit_code": code}
    with suppress(OSError):
        shutil.rmtree(training)
    return {"state": DONE, **row, "cpu_s": round(_processor_s() - start_s, 1)}


def _processor_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _begin() -> None:
    """One thread; Ctrl-C is for the process that the user sees, which ends the others."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _scores_file(folder: Path, identity: str) -> Path:
    return folder / SCORES / f"{identity[:16]}.parquet"


def _place(cell: Cell) -> Row:
    return {
        "regime": cell.regime, "level": cell.level, "x": cell.x, "arm": cell.arm.name,
        "seed": cell.seed, "fold": cell.fold, "is_search": cell.is_search,
    }  # fmt: skip


def _told(row: Row) -> str:
    if row["state"] == FAILED:
        return f"failed: {row['reason']}"
    auroc = row.get("val_auroc")
    return f"done, AUROC {auroc:.3f} on validation cases" if auroc is not None else "done"


def _save(path: Path, table: Row) -> None:
    with full_disk_stops(path.parent, room_for="the table of trainings", fix="run it again"):
        write_json(path, table)
