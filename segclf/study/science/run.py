"""`segclf study NAME`: run what is missing, judge it, write the page."""

from pathlib import Path
from typing import Any

import pandas as pd

from segclf.console import progress
from segclf.core.atomic import atomic_path, write_json, write_text
from segclf.core.catalog import lookup
from segclf.core.errors import UsageError
from segclf.study.science.entry import entry_of
from segclf.study.science.figures import study_svg
from segclf.study.science.flow import read_scores_of, run_cells, search_and_plan
from segclf.study.science.own import own_study
from segclf.study.science.own_levels import Question
from segclf.study.science.page import study_html
from segclf.study.science.plan import Study
from segclf.study.science.section import section
from segclf.study.science.source import Source, open_pool
from segclf.study.science.studies import STUDIES

Entry = dict[str, Any]
SEPARABILITY, THEORY = "separability", "How separable are the classes? Image level and pixel level"
PAGE, RESULT, TABLE, FIGURE = "index.html", "study.json", "cells.csv", "study.svg"


def listed() -> dict[str, str]:
    """Name of each study to what it asks."""
    return {name: study.title for name, study in STUDIES.items()} | {SEPARABILITY: THEORY}


def run_named(
    name: str, out: Path, source: Source | None, asked: Question, *, n_seeds: int, jobs: int
) -> tuple[Entry, Path, str]:
    """The entry of a study, its page, and its section as text.

    Args:
        name: In STUDIES.
        out: Folder of the studies.
        source: The user's data; None draws phantoms.
        asked: What a study of the user's data needs to know.
        n_seeds: Subsets, or folds at most.
        jobs: Processes.

    Raises:
        UsageError: There is no such study, or it needs more than it was told.
    """
    if name == SEPARABILITY:
        return _run_theory(out / SEPARABILITY, source)
    study = lookup(name, {**STUDIES}, kind="study")
    if source is not None:
        study = own_study(name, source, asked)
    entry = run_study(study, out, n_seeds=n_seeds, jobs=jobs)
    page = write_pages(study, entry, out / study.name)
    return entry, page, section(study.title, entry)


def run_study(study: Study, folder: Path, *, n_seeds: int, jobs: int = 1) -> Entry:
    """Train what is missing and judge it; finished cells in `folder` stay.

    Args:
        study: What is asked.
        folder: Of the studies; phantoms are shared between them.
        n_seeds: Subsets; with folds as many as there are, at most.
        jobs: Processes.
    """
    folds = open_pool(study.source).folds if study.source is not None else []
    seeds = range(min(n_seeds, len(folds)) if folds else n_seeds)
    cells, found = search_and_plan(study, folder, seeds, jobs)
    rows = run_cells(cells, folder / study.name, jobs=jobs)
    entry = entry_of(study, cells, rows, read_scores_of(cells, rows, folder / study.name))
    return entry | found


def _run_theory(folder: Path, source: Source | None) -> tuple[Entry, Path, str]:
    """The study of the theory, which needs laws that are known: phantoms alone."""
    from segclf.study.theory.figure import separability_svg
    from segclf.study.theory.run import run_separability
    from segclf.study.theory.section import separability_section

    if source is not None:
        raise UsageError(
            f"{SEPARABILITY} compares estimates with laws that are known of phantoms alone.",
            where=f"segclf study {SEPARABILITY} with data of your own",
            expected="no --manifest and no --config",
            fix="leave them out; docs/science.md says what it measures",
        )
    with progress(SEPARABILITY) as on_event:
        entry = run_separability(folder, on_event=on_event)
    figure, text = separability_svg(entry), separability_section(THEORY, entry)
    write_text(folder / FIGURE, figure)
    write_json(folder / RESULT, entry)
    write_text(folder / PAGE, study_html(THEORY, text, {FIGURE: figure}, "phantom"))
    return {"exit_code": 0, **entry}, folder / PAGE, text


def write_pages(study: Study, entry: Entry, folder: Path) -> Path:
    """The page of a study, its figure, a row per cell, its entry as JSON; returns the page."""
    data = "phantom" if study.source is None else open_pool(study.source).recipe.data
    figures = {FIGURE: figure_of(study, entry)} if entry.get("curves") else {}
    for name, svg in figures.items():
        write_text(folder / name, svg)
    write_json(folder / RESULT, entry | {"data": data})
    with atomic_path(folder / TABLE) as part:
        pd.DataFrame(entry["cells"]).assign(data=data).to_csv(
            part, index=False, lineterminator="\n"
        )
    text = section(study.title, entry | {"figures": [*figures]})
    write_text(folder / PAGE, study_html(study.title, text, figures, data))
    return folder / PAGE


def figure_of(study: Study, entry: Entry) -> str:
    """The study drawn, as SVG text: its first metric."""
    metric, group = study.metrics[0]
    own = [row for row in entry["curves"] if (row["metric"], row["group"]) == (metric, group)]
    return study_svg(
        study.title, own, x_name=study.axis, is_size=study.is_log, regimes=entry["regimes"]
    )
