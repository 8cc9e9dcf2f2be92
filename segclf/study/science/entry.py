"""What came of a study as one entry of plain data: curves, differences, factors, cells."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from segclf.evaluate.inference.multiplicity import holm
from segclf.study.science.cells import Cell
from segclf.study.science.factor import factor
from segclf.study.science.feature import feature_of
from segclf.study.science.judge import curve, paired, trend
from segclf.study.science.plan import GRID, Study, grid, search_key
from segclf.study.science.source import open_pool

Row = dict[str, Any]
KEPT = (
    "regime", "level", "x", "arm", "seed", "fold", "state", "reason", "n_train",
    "n_train_positive", "n_val", "lr", "steps", "cpu_s", "exit_code",
)  # fmt: skip
"""What the entry tells of a cell."""


def entry_of(
    study: Study, cells: Sequence[Cell], rows: Mapping[str, Row], scores: pd.DataFrame
) -> Row:
    """The entry that `section` tells; what has not run is in its cells alone.

    Args:
        study: What was asked.
        cells: Those that confirm.
        rows: Of `run_cells`.
        scores: Of `read_scores_of`.
    """
    own = [rows[cell.key] for cell in cells]
    table = [{name: row.get(name) for name in KEPT} for row in own]
    entry: Row = {
        "about": study.about,
        "x_name": study.axis,
        "regimes": {regime.name: regime.about for regime in study.regimes},
        "claims": [asdict(claim) for claim in study.claims],
        "counts": _counts(cells),
        "search_edges": _search_edges(study, cells),
        "cells": table,
        "exit_code": max((int(row.get("exit_code") or 0) for row in own), default=0),
    }
    if scores.empty:
        return entry
    told = with_columns(study, cells, scores)
    entry["curves"], entry["paired"] = [], []
    for metric, group in study.metrics:
        entry["curves"] += curve(told, metric, group=group)
        entry["paired"] += _paired(study, told, metric, group)
    if study.is_size:
        first = study.regimes[0].arms[0].name
        entry["factor"] = factor(told, first, study.reference)
    if study.order:
        entry["trend"] = trend(told, list(study.order), study.metrics[0][0])
    return entry


def with_columns(study: Study, cells: Sequence[Cell], scores: pd.DataFrame) -> pd.DataFrame:
    """The scores with the columns `spurious` and `group` of their cases.

    Args:
        study: Names the columns of the manifest.
        cells: Whose regime and level say which table a case is of.
        scores: Of `read_scores_of`.
    """
    spurious = np.full(len(scores), np.nan)
    group = np.full(len(scores), None, dtype=object)
    places = {(cell.regime, cell.level): cell.source for cell in cells}
    for (regime, level), source in places.items():
        is_here = (scores["regime"] == regime) & (scores["level"] == level)
        index = np.flatnonzero(is_here.to_numpy(dtype=bool))
        table = open_pool(source).table
        ids = scores["case_id"].to_numpy()[index]
        if study.spurious is not None:
            present = feature_of(table, *study.spurious)
            spurious[index] = [float(present[i]) if i in present else np.nan for i in ids]
        if study.group is not None:
            present, name = feature_of(table, *study.group), group_name(study)
            words = {True: name, False: f"not {name}", None: None}
            group[index] = [words[present.get(i)] for i in ids]
    return scores.assign(spurious=spurious, group=group)


def group_name(study: Study) -> str:
    """The subgroup in words."""
    if study.group is None:
        return ""
    column, value = study.group
    return column if value is None else f"{column} {value}"


def _paired(study: Study, told: pd.DataFrame, metric: str, group: str | None) -> list[Row]:
    """Every arm minus the reference; p of all arms, regimes and levels are adjusted together."""
    arms = [arm for arm in dict.fromkeys(told["arm"]) if arm != study.reference]
    found = [row for arm in arms for row in paired(told, arm, study.reference, metric, group=group)]
    p = np.array([np.nan if row["p"] is None else row["p"] for row in found], dtype=float)
    for row, value in zip(found, holm(p), strict=True):
        row["p_adjusted"] = None if np.isnan(value) else float(value)
    return found


def _search_edges(study: Study, cells: Sequence[Cell]) -> dict[str, Row]:
    """Family to `n` searches and `n_at_edge`: how many chose the fastest rate or the most steps."""
    places = {(own.name, level.name): (own, level) for own in study.regimes for level in own.levels}
    most = tuple(max(factors) for factors in zip(*GRID, strict=True))
    at_edge: dict[str, dict[str, bool]] = {}
    for cell in cells:
        tried = grid(cell.source)
        if cell.overrides in tried:
            key = search_key(*places[cell.regime, cell.level], cell.arm, cell.fold)
            factors = GRID[tried.index(cell.overrides)]
            is_at_edge = any(own == end for own, end in zip(factors, most, strict=True))
            at_edge.setdefault(cell.arm.family, {})[key] = is_at_edge
    return {name: {"n": len(own), "n_at_edge": sum(own.values())} for name, own in at_edge.items()}


def _counts(cells: Sequence[Cell]) -> Row:
    """Counts of the first subset of each level, where the selection knows more than numbers."""
    told: Row = {}
    for cell in cells:
        notes = cell.selection.notes
        if cell.seed != cells[0].seed or "n_train_positive_with" not in notes:
            continue
        texts = []
        for part in ("train", "test"):
            own = [notes.get(f"n_{part}_{name}") for name in _CELLS]
            texts.append(f"{part} {'/'.join(map(str, own))}")
        phi = [notes.get(f"phi_{part}") for part in ("train", "test")]
        if None not in phi:
            texts.append(f"phi {phi[0]:+.2f} in training and {phi[1]:+.2f} in test")
        told[f"{cell.regime}, {cell.level} (positive with/without, negative with/without)"] = (
            ", ".join(texts)
        )
    return told


_CELLS = ("positive_with", "positive_without", "negative_with", "negative_without")
