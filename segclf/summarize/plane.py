"""The best point of the (t, tau) plane, exact over every distinct tau at every t."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from segclf.core.maskstats import THRESHOLDS
from segclf.core.settings import SummarizeSettings
from segclf.core.thresholds import (
    Cuts,
    best_runs,
    centres,
    describe_reached,
    known_cases,
    list_cuts,
    make_objective,
)

N_TAU_SHOWN = 48


@dataclass(frozen=True)
class Runs:
    """Best stretches of tau at one column of the area curve."""

    column: int
    ends: np.ndarray
    """(run, 2) lower (inclusive) and upper (exclusive) tau; the last may be infinite."""
    largest_area: float


def fit_plane(
    area_at: Callable[[int], np.ndarray],
    label: np.ndarray,
    settings: SummarizeSettings,
    *,
    smallest_area: float,
    columns: Sequence[int] = range(len(THRESHOLDS)),
    tau: float | None = None,
) -> tuple[float, float, dict[str, Any]]:
    """The (t, tau) that serves the objective best on validation cases, and how it was found.

    A case is called positive if its area above t is larger than tau, tau >= 0. Every distinct tau
    of every column is tried. Equally good points next to each other form a plateau: neighbouring
    taus at one t, and points of neighbouring t that share a tau. The plateau that spans the most
    t wins; t is the middle of its span and tau the centre of its stretch there, where an open end
    counts as the largest area. Ties go to the larger tau: between plateaus, between the two middle
    t of an even span (then to the larger t), and between stretches of one width. Undefined (NaN,
    `reason` in the record) unless there are cases of both classes.

    One column is in memory at a time, about 60 bytes per case beyond the area curve.

    Args:
        area_at: Column of the area curve to the (case,) areas of the validation cases there.
        label: (case,) 1, 0, or NaN for not known, which is left out and counted.
        settings: The objective.
        smallest_area: Area of one pixel, where the grid for the report starts.
        columns: Neighbouring columns of `THRESHOLDS` that t is chosen from.
        tau: Fixes tau, so that only t is chosen.

    Returns:
        t, tau, and a record of plain data; its `plane` holds counts of true positives and true
        negatives on a grid of t and tau, as arrays, for the report.
    """
    areas, positive, record = known_cases(area_at(columns[0]), label, settings)
    if record["reason"] is not None:
        return float("nan"), float("nan"), record
    objective = make_objective(
        settings, n_positive=record["n_positive"], n_negative=record["n_negative"]
    )
    known = ~np.isnan(label)
    shown = _shown_taus(smallest_area, float(areas.max()))
    best, found, counts = None, [], []
    for column in columns:
        areas = area_at(column)[known]
        cuts = list_cuts(areas, positive, floor=0.0)
        counts.append(_counts_at(cuts, shown))
        worth, ends = best_runs(cuts if tau is None else _only(cuts, tau), objective)
        if best is None or worth > best:
            best, found = worth, []
        if worth == best:
            ends = ends if tau is None else np.array([[tau, np.nextafter(tau, np.inf)]])
            found.append(Runs(column, ends, float(areas.max())))
    column, chosen_tau, plateau = choose_point(found)
    reached = describe_reached(area_at(column)[known] > chosen_tau, positive, settings)
    plane = {
        "t": THRESHOLDS[list(columns)],
        "tau": shown,
        "n_true_positive": np.array([n_tp for n_tp, _ in counts]),
        "n_true_negative": np.array([n_tn for _, n_tn in counts]),
    }
    t = float(THRESHOLDS[column])
    return t, chosen_tau, {**record, **reached, "plateau": plateau, "plane": plane}


def choose_point(found: Sequence[Runs]) -> tuple[int, float, dict[str, Any]]:
    """Column and tau at the centre of the best plateau, and the plateau as plain data.

    Args:
        found: Equally good stretches, by ascending column; see `fit_plane` for the rule.
    """
    column = np.concatenate([np.full(len(runs.ends), runs.column) for runs in found])
    largest = np.concatenate([np.full(len(runs.ends), runs.largest_area) for runs in found])
    ends = np.concatenate([runs.ends for runs in found])
    plateau = _plateaus(found)
    first = np.full(plateau.max() + 1, len(THRESHOLDS))
    last = np.full(plateau.max() + 1, -1)
    np.minimum.at(first, plateau, column)
    np.maximum.at(last, plateau, column)
    span = last - first
    is_middle = np.abs(2 * column - (first + last)[plateau]) <= 1
    at = np.flatnonzero(is_middle & (span[plateau] == span.max()))
    tau, width = centres(ends[at], lowest=0.0, highest=largest[at])
    # The widest stretch of each plateau and t comes last, then the larger tau.
    order = np.lexsort((tau, width, column[at], plateau[at]))
    group = np.column_stack([plateau[at], column[at]])[order]
    is_widest = np.append((group[1:] != group[:-1]).any(axis=1), True)
    order = order[is_widest]
    best = order[np.lexsort((column[at][order], tau[order]))[-1]]
    p, (low, high) = plateau[at[best]], ends[at[best]]
    described = {
        "n_t": int(span[p] + 1),
        "t": [float(THRESHOLDS[first[p]]), float(THRESHOLDS[last[p]])],
        "tau": [float(low), None if np.isinf(high) else float(high)],
        "n_plateaus": int(plateau.max() + 1),
    }
    return int(column[at[best]]), float(tau[best]), described


def _plateaus(found: Sequence[Runs]) -> np.ndarray:
    """Number of the plateau of each run: runs of neighbouring columns that share a tau."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    offset = np.cumsum([0, *(len(runs.ends) for runs in found)])
    left, right = [], []
    for i, (a, b) in enumerate(pairwise(found)):
        if b.column != a.column + 1:
            continue
        start = np.searchsorted(b.ends[:, 1], a.ends[:, 0], side="right")
        stop = np.searchsorted(b.ends[:, 0], a.ends[:, 1], side="left")
        n_shared = np.maximum(stop - start, 0)
        skipped = np.repeat(np.cumsum(n_shared) - n_shared, n_shared)
        left.append(offset[i] + np.repeat(np.arange(len(a.ends)), n_shared))
        right.append(
            offset[i + 1] + np.repeat(start, n_shared) + np.arange(n_shared.sum()) - skipped
        )
    n_runs = int(offset[-1])
    edges = (np.concatenate([[], *left]).astype(int), np.concatenate([[], *right]).astype(int))
    graph = coo_array((np.ones(len(edges[0])), edges), shape=(n_runs, n_runs))
    return connected_components(graph, directed=False)[1]


def _only(cuts: Cuts, tau: float) -> Cuts:
    """The one cut that `tau` belongs to."""
    i = int(np.searchsorted(cuts.start, tau, side="right")) - 1
    return Cuts(cuts.start[[i]], cuts.n_true_positive[[i]], cuts.n_true_negative[[i]])


def _shown_taus(smallest_area: float, largest_area: float) -> np.ndarray:
    top = max(largest_area, 2 * smallest_area)
    return np.append(0.0, np.geomspace(smallest_area, top, N_TAU_SHOWN - 1))


def _counts_at(cuts: Cuts, taus: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    i = np.searchsorted(cuts.start, taus, side="right") - 1
    return cuts.n_true_positive[i], cuts.n_true_negative[i]
