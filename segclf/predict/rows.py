"""Logits of a group of cases to the rows of the statistics table."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from segclf.core.errors import CaseError
from segclf.core.mapstats import extra_statistics, find_map_statistics
from segclf.core.maskstats import LOGIT_THRESHOLDS_FLOAT32, THRESHOLDS, threshold_index
from segclf.data import Sample
from segclf.predict.engine import Engine, Group
from segclf.predict.feed import MAX_BATCH_PX, Quarantined, Ready, set_aside, stack_truth
from segclf.predict.maps import write_maps
from segclf.predict.statistics import batch_statistics
from segclf.predict.surface import surface_statistics


@dataclass(frozen=True)
class CaseRows:
    """The rows of one case, one per finding."""

    index: int
    rows: list[dict[str, Any]]


def case_rows(
    engine: Engine,
    group: Group | Quarantined,
    *,
    fold: int | None,
    maps: tuple[Path, str] | None,
) -> list[CaseRows | Quarantined]:
    """The rows of each case of a group; its maps are written if `maps` names folder and kind."""
    if isinstance(group, Quarantined):
        return [group]
    columns = _columns(engine, group)
    n_findings = len(engine.card.findings)
    plugins = find_map_statistics(engine.recipe.predict.statistics)
    found: list[CaseRows | Quarantined] = []
    for position, ready in enumerate(group.cases):
        numbers = range(position * n_findings, (position + 1) * n_findings)
        if np.isnan(columns["mean_p"][numbers]).any():
            found.append(_not_finite(ready))
            continue
        fixed = _fixed(engine, ready, fold)
        rows = [
            fixed | {"finding": finding} | _row(columns, k)
            for finding, k in zip(engine.card.findings, numbers, strict=True)
        ]
        for row, logits, plane in zip(rows, group.logits[position], ready.truth, strict=True):
            row.update(_surfaces(engine, row, ready.sample, logits, plane))
        found.append(CaseRows(ready.index, rows))
        if maps is None and not plugins:
            continue
        probability = group.logits[position].sigmoid().cpu().numpy()
        for row, plane in zip(rows, probability, strict=True):
            row.update(extra_statistics(plugins, plane, ready.sample.spacing_mm))
        if maps is not None:
            try:
                write_maps(
                    maps[0],
                    ready.case,
                    ready.sample,
                    probability,
                    findings=engine.card.findings,
                    kind=maps[1],
                )
            except CaseError as error:  # the image went away or changed under our hands
                found[-1] = set_aside(ready.index, ready.case, error)
    return found


def is_large(group: Group | Quarantined) -> bool:
    """Whether a map has so many pixels that the next case has to wait for its statistics."""
    return isinstance(group, Group) and math.prod(group.logits.shape[2:]) > MAX_BATCH_PX


def _columns(engine: Engine, group: Group) -> dict[str, np.ndarray]:
    """Statistics of all maps of a group; of large ones one map after the other."""
    index = threshold_index(engine.recipe.predict.component_t)
    flat = group.logits.flatten(0, 1)
    if not is_large(group):
        truth = stack_truth(group.cases)
        truth = None if truth is None else truth.to(flat.device).flatten(0, 1)
        return batch_statistics(flat, truth, component_index=index)
    planes = [plane for ready in group.cases for plane in ready.truth] or [None] * len(flat)
    parts = []
    for one, plane in zip(flat, planes, strict=True):
        known = None if plane is None else torch.from_numpy(plane)[None].to(one.device)
        parts.append(batch_statistics(one[None], known, component_index=index))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _fixed(engine: Engine, ready: Ready, fold: int | None) -> dict[str, Any]:
    """What all rows of a case share."""
    sample = ready.sample
    spacing_mm = None if engine.recipe.nominal_spacing else sample.spacing_mm
    return {
        "case_id": ready.case.case_id,
        "fold": pd.NA if fold is None else fold,
        "n_px": math.prod(sample.input_shape),
        "px_size": math.nan if spacing_mm is None else math.prod(spacing_mm),
        "is_volume": engine.card.spatial_dims == 3,
        "component_t": THRESHOLDS[threshold_index(engine.recipe.predict.component_t)],
        "surface_tolerance_mm": engine.recipe.predict.surface_tolerance_mm,
    }


def _row(columns: dict[str, np.ndarray], k: int) -> dict[str, Any]:
    row = {name: column[k] for name, column in columns.items()}
    return row | {"true_px": pd.NA if row["true_px"] < 0 else row["true_px"]}


def _surfaces(
    engine: Engine, row: dict[str, Any], sample: Sample, logits: Tensor, truth: np.ndarray | None
) -> dict[str, float]:
    """Agreement of outlines; none, at no cost, without a true pixel or a spacing."""
    if truth is None or row["true_px"] == 0 or sample.spacing_mm is None:
        return {}
    if engine.recipe.nominal_spacing:
        return {}
    settings = engine.recipe.predict
    above = logits > float(LOGIT_THRESHOLDS_FLOAT32[threshold_index(settings.component_t)])
    return surface_statistics(
        above.cpu().numpy(),
        truth == 1,
        spacing_mm=sample.spacing_mm,
        tolerance_mm=settings.surface_tolerance_mm,
    )


def _not_finite(ready: Ready) -> Quarantined:
    return set_aside(
        ready.index,
        ready.case,
        CaseError(
            "nonfinite_logits",
            "the network answers with NaN or infinity.",
            where=f"case {ready.case.case_id}",
            expected="a finite logit at every pixel",
            fix="set predict.precision: fp32; if it stays, look at the image's intensities",
        ),
    )
