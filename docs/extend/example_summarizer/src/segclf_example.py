"""Plug-ins of segclf: a rule on stored statistics, and a rule on a new measure of maps."""

import numpy as np

from segclf.core.maskstats import MaskStatistics, threshold_index
from segclf.summarize import Summarizer
from segclf.summarize.pixels import values_of


def certainty(stats: MaskStatistics, *, finding: str) -> np.ndarray:
    """Pixels with p > 0.5 over pixels with p > 0.034, per case; 0 where there are none."""
    rows = np.flatnonzero(stats.frame["finding"] == finding)
    certain = stats.area_curve[rows, threshold_index(0.5)].astype(float)
    possible = stats.area_curve[rows, threshold_index(0.03404)]
    return np.divide(certain, possible, out=np.zeros(len(rows)), where=possible > 0)


certainty_rule = Summarizer(
    certainty,
    score_range=(0.0, 1.0),
    invariant_to=frozenset({"flip", "padding", "scale"}),
    grows=False,  # a pixel that becomes possible lowers the share
)


def measure_edge(probability: np.ndarray, spacing_mm: tuple[float, ...] | None) -> dict[str, float]:
    """Steepest rise of the probability, per mm (per pixel where no spacing is known)."""
    steps = spacing_mm or (1.0,) * probability.ndim
    rises = [
        np.abs(np.diff(probability, axis=axis)).max(initial=0.0) / step
        for axis, step in enumerate(steps)
    ]
    return {"edge_per_mm": float(max(rises))}


def edge(stats: MaskStatistics, *, finding: str) -> np.ndarray:
    """Steepest rise of the probability anywhere in the map, (case,)."""
    return values_of(stats, finding, "edge_per_mm")


edge_rule = Summarizer(
    edge,
    score_range=(0.0, float("inf")),
    invariant_to=frozenset({"flip", "scale"}),  # the border of an image is no edge
    grows=False,  # a flat map has no edge, however probable
    needs=("edge",),  # the measure whose column it reads
)
