"""From cells to the entry of the page: curves and exponents, of which verdicts are made."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from segclf.study.theory.cells import EMBEDDINGS, PIXELS, WEIGHTS, WITHOUT, Cell
from segclf.study.theory.settings import HARD, Separability

Entry = dict[str, Any]
Rows = Mapping[Cell, Entry]
LAWS = ("image", "part", "bound", "small", "pixel", "target")
ESTIMATES = ("image_part", "image_classifier", "image_knn", "pixel_classifier", "pixel_knn")


def summarize_cells(study: Separability, cells: Rows) -> Entry:
    """The entry of plain data: what was measured, with means and intervals over seeds.

    Args:
        study: The settings.
        cells: Every planned cell with its row of the table.
    """
    states = {cell.key: {k: row[k] for k in ("state", "reason") if k in row}
              for cell, row in cells.items()}  # fmt: skip
    return {
        "n_seeds": study.n_seeds,
        "n_images": study.n_images,
        "rho": study.rho,
        "prevalences": list(study.prevalences),
        "cells": states,
        "pixels": {regime: _pixel_curves(study, cells, regime) for regime in study.contrasts},
        "shortcut": _shortcut(study, cells),
        "weights": _weights(study, cells),
        "embeddings": _embeddings(study, cells),
    }


def mean_of(values: Sequence[Any]) -> Entry:
    """Mean over seeds with Student's 95 % interval; None where there are too few."""
    known = np.array([v for v in values if v is not None and np.isfinite(v)], float)
    n = len(known)
    if not n:
        return {"value": None, "lo": None, "hi": None, "n": 0}
    mean = float(known.mean())
    if n == 1:
        return {"value": mean, "lo": None, "hi": None, "n": 1}
    half = float(stats.t.ppf(0.975, n - 1) * known.std(ddof=1) / np.sqrt(n))
    return {"value": mean, "lo": mean - half, "hi": mean + half, "n": n}


def exponent_of(alphas: np.ndarray, values: np.ndarray) -> Entry:
    """Slope of log value on log alpha, fitted for each seed; mean and interval over seeds.

    An area at which some seed's value is not above 0 is left out: nothing could be measured there.

    Args:
        alphas: (seed, area); NaN for what has not run.
        values: The same.
    """
    ran = np.isfinite(values).any(axis=0)
    usable = ran & (np.isnan(values) | (values > 0)).all(axis=0)
    left_out = {"n_areas": int(usable.sum()), "n_left_out": int((ran & ~usable).sum())}
    slopes = []
    for alpha, value in zip(alphas[:, usable], values[:, usable], strict=True):
        known = np.isfinite(value)
        if known.sum() >= 3 and known.all():
            slopes.append(float(np.polyfit(np.log(alpha), np.log(value), 1)[0]))
    found = mean_of(slopes) | left_out
    if not slopes and ran.any():
        found["reason"] = "fewer than 3 areas with a value above 0 in every seed"
    return found


def _table(
    cells: Rows, chosen: Callable[[Cell], bool], areas: Sequence[float], *path: str
) -> np.ndarray:
    """(seed, area) of one number of the chosen cells; NaN for what is not there."""
    seeds = sorted({cell.seed for cell in cells})
    table = np.full((len(seeds), len(areas)), np.nan)
    for cell, row in cells.items():
        if chosen(cell) and row["state"] == "done" and cell.area in areas:
            value: Any = row["found"]
            for name in path:
                value = value.get(name, np.nan)  # a law that the cell's run did not compute yet
            table[seeds.index(cell.seed), areas.index(cell.area)] = value
    return table


def _curves(
    cells: Rows, chosen: Callable[[Cell], bool], areas: Sequence[float], paths: dict[str, tuple]
) -> Entry:
    alphas = _table(cells, chosen, areas, "alpha")
    curves: Entry = {"alpha": [mean_of(column)["value"] for column in alphas.T]}
    for name, path in paths.items():
        values = _table(cells, chosen, areas, *path)
        own: Entry = {"means": [mean_of(column) for column in values.T]}
        curves[name] = own | {"exponent": exponent_of(alphas, values)}
    return curves


def _pixel_curves(study: Separability, cells: Rows, regime: str) -> Entry:
    paths = {f"{kind} {name}": (kind, name) for kind in ("ideal", "law") for name in LAWS}
    paths |= {f"{kind} {name}": (kind, name) for kind in ("residual", "patch")
              for name in ESTIMATES}  # fmt: skip
    curves = _curves(cells, lambda c: c.kind == PIXELS and c.regime == regime, study.areas, paths)
    ratios: dict[str, list[float]] = {"pixel_classifier": [], "pixel_knn": []}
    for own in _by_seed(cells, lambda c: c.kind == PIXELS and c.regime == regime):
        for name, values in ratios.items():
            each = [found["residual"][name] / found["law"]["pixel"] for found in own]
            values.append(float(np.mean(each)))
    return curves | {"to law": {name: mean_of(own) for name, own in ratios.items()}}


def _shortcut(study: Separability, cells: Rows) -> Entry:
    """With the bit of the image: means over seeds and areas, since areas hardly matter here."""
    rows = _found(cells, lambda c: c.kind == PIXELS and c.regime == HARD)
    measured = [row["context"] for row in rows]
    law = [row["context_law"] for row in rows]
    bounds = [row["alpha"] * own["target"] + (1 - row["alpha"]) * own["background"]
              for row, own in zip(rows, measured, strict=True)]  # fmt: skip
    per_seed = _by_seed(cells, lambda c: c.kind == PIXELS and c.regime == HARD)
    return {
        "n_cells": len(rows),
        "image to bound": mean_of(
            [np.mean([_image_to_bound(row) for row in own]) for own in per_seed]
        ),
        "bound": mean_of(bounds),
        "image": mean_of([row["image"] for row in measured]),
        "image law": mean_of([row["image"] for row in law]),
        "share": mean_of(
            [1 - np.mean([r["context_law"]["image_without"] / r["context_law"]["image"]
                          for r in own]) for own in per_seed]
        ),
        "pixel": _by_prevalence(study, per_seed, "context"),
        "pixel law": _by_prevalence(study, per_seed, "context_law"),
        "pixel without": mean_of(
            [np.mean([row["residual"]["pixel_classifier"] for row in own]) for own in per_seed]
        ),
        "rise": _rise(per_seed, "context"),
        "rise law": _rise(per_seed, "context_law"),
    }  # fmt: skip


def _image_to_bound(row: Entry) -> float:
    own, alpha = row["context"], row["alpha"]
    return own["image"] / (alpha * own["target"] + (1 - alpha) * own["background"])


def _by_prevalence(study: Separability, per_seed: list[list[Entry]], name: str) -> list[Entry]:
    return [
        mean_of([np.mean([row[name]["pixel"][k] for row in own]) for own in per_seed])
        for k in range(len(study.prevalences))
    ]


def _rise(per_seed: list[list[Entry]], name: str) -> Entry:
    """How much KL(T || N) is higher at the lowest than at the highest prevalence."""
    return mean_of(
        [np.mean([row[name]["pixel"][-1] - row[name]["pixel"][0] for row in own])
         for own in per_seed]
    )  # fmt: skip


def _weights(study: Separability, cells: Rows) -> Entry:
    rows = _found(cells, lambda c: c.kind == WEIGHTS)
    return {"alphas": list(study.mixed), "most": [1 - alpha for alpha in study.mixed]} | {
        name: [mean_of([row[name][k] for row in rows]) for k in range(len(study.mixed))]
        for name in ("measured", "law")
    } | {
        name: mean_of([row[name] for row in rows])
        for name in ("background", "background_law", "local", "local_law")
    }  # fmt: skip


def _embeddings(study: Separability, cells: Rows) -> Entry:
    paths = {f"pixels {name}": ("pixels", name) for name in ESTIMATES}
    paths |= {f"classifier {name}": ("classifier", name)
              for name in ("image_classifier", "image_knn")}  # fmt: skip
    curves = _curves(
        cells,
        lambda c: c.kind == EMBEDDINGS and c.rho == WITHOUT,
        study.trained_areas,
        paths,
    )
    per_seed = _by_seed(cells, lambda c: c.kind == EMBEDDINGS and c.rho != WITHOUT)
    middle = len(study.trained_areas) // 2
    return curves | {
        "image without": curves["pixels image_classifier"]["means"][middle],
        "shortcut": {
            name: mean_of([row["shortcut"][name] for own in per_seed for row in own])
            for name in ("image", "background", "target")
        },
        "pixel": _by_prevalence(study, per_seed, "shortcut"),
        "rise": _rise(per_seed, "shortcut"),
        "cpu_s": [s for row in _found(cells, lambda c: c.kind == EMBEDDINGS) for s in row["cpu_s"]],
    }


def _found(cells: Rows, chosen: Callable[[Cell], bool]) -> list[Entry]:
    return [row["found"] for c, row in cells.items() if chosen(c) and row["state"] == "done"]


def _by_seed(cells: Rows, chosen: Callable[[Cell], bool]) -> list[list[Entry]]:
    seeds = sorted({cell.seed for cell in cells})
    found = [_found(cells, lambda c, s=seed: chosen(c) and c.seed == s) for seed in seeds]
    return [own for own in found if own]
