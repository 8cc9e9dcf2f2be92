"""Run the study cell by cell; a finished cell is kept, and a failed one costs no other.

Each cell is a row of `separability_cells.json`, with its numbers; `segclf.study.theory.summary`
makes the entry of the page from them.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from segclf.console import say
from segclf.core.atomic import read_json, write_json
from segclf.core.errors import SegclfError
from segclf.study.compare.cells import UNFIT, why_failed
from segclf.study.theory.cells import EMBEDDINGS, WEIGHTS, Cell, pixel_cell, plan_cells, weight_cell
from segclf.study.theory.settings import Separability
from segclf.study.theory.summary import summarize_cells

CELLS = "separability_cells.json"
Entry = dict[str, Any]
EventSink = Callable[[dict[str, Any]], None]
Measure = Callable[[Separability, Cell], Entry]


def run_separability(
    folder: Path,
    *,
    settings: Separability | None = None,
    on_event: EventSink | None = None,
    kinds: Iterable[str] | None = None,
    measures: Mapping[str, Measure] | None = None,
) -> Entry:
    """Run the cells that are missing; an entry of plain data for section and figure.

    Args:
        folder: Gets the table of cells, and the data of the networks; its name begins the names
            of their runs.
        settings: The study; None for the one of the documentation.
        on_event: Told each cell as `{"kind": "cell", "step": …, "of": …, "cell": …}`.
        kinds: Of cells to run (`pixels`, `weights`, `embeddings`); the others stay as they are.
        measures: For tests, by kind of cell.
    """
    study = settings or Separability()
    path = folder / CELLS
    table: dict[str, Entry] = read_json(path) if path.is_file() else {}
    cells = plan_cells(study)
    wanted = None if kinds is None else set(kinds)
    for step, cell in enumerate(cells, start=1):
        is_done = kept(table, study, cell).get("state") == "done"
        if not is_done and (wanted is None or cell.kind in wanted):
            # read again: another process may have finished other cells meanwhile
            row = run_cell(folder, study, cell, measures)
            table = (read_json(path) if path.is_file() else {}) | {cell.key: row}
            write_json(path, table)
        if on_event is not None:
            on_event({"kind": "cell", "step": step, "of": len(cells), "cell": cell.key})
    return summarize_cells(study, {cell: kept(table, study, cell) for cell in cells})


def run_cell(
    folder: Path, study: Separability, cell: Cell, measures: Mapping[str, Measure] | None = None
) -> Entry:
    """The row of one cell; reads and writes no table, so that processes may share the cells."""
    stamp = study.stamp()
    try:
        found = (measures or _measures(folder)).get(cell.kind, pixel_cell)(study, cell)
    except (SegclfError, *UNFIT) as error:
        say(f"{cell.key} failed: {error}")
        return {"state": "failed", "stamp": stamp, "reason": why_failed(error)[0]}
    return {"state": "done", "stamp": stamp, "found": found}


def kept(table: Mapping[str, Entry], study: Separability, cell: Cell) -> Entry:
    """The row of a cell, if it was run with these settings."""
    row = table.get(cell.key, {})
    return row if row.get("stamp") == study.stamp() else {"state": "not run"}


def _measures(folder: Path) -> dict[str, Measure]:
    def embed(study: Separability, cell: Cell) -> Entry:
        from segclf.study.theory.embedding import embedding_cell  # which needs torch

        return embedding_cell(study, cell, folder)

    return {WEIGHTS: weight_cell, EMBEDDINGS: embed}
