"""The figure of the study: measured separability with the laws and the bound."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from segclf.report.svg import DASHES, MARKERS, new_figure, series_ink, styled, svg_text
from segclf.study.theory.settings import CLEAR, HARD

Entry = Mapping[str, Any]
LEAST = 1e-6
TICKS = [1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0]
TITLES = {HARD: "lesion hard to see", CLEAR: "lesion that stands out"}
LINES = {
    "law image": ("image level, law", 0, 0),
    "law bound": ("image level, bound", 0, 1),
    "ideal small": ("small-target limit, sharp edges", 7, 3),
    "law pixel": ("pixel level, law", 1, 0),
}
"""Curve of a law to its label, ink and dashes."""
POINTS = {
    "image_part": ("image level, target's part", 0, 0),
    "image_classifier": ("image level, classifier", 5, 1),
    "pixel_classifier": ("pixel level, classifier", 1, 0),
    "pixel_knn": ("pixel level, neighbours", 3, 2),
}
"""Estimate to its label, ink and marker."""


def separability_svg(entry: Entry) -> str:
    """Panels: pixels of both regimes, embeddings, prevalence, and the weight of the shortcut.

    What has not run is said in its panel.

    Args:
        entry: Of `run_separability`.
    """
    figure = new_figure(10.5, 6.6)
    figure.patch.set_facecolor("white")
    figure.patch.set_alpha(1)
    with styled():
        grid = figure.subplots(2, 3)
        for axes, (regime, curves) in zip(grid[0], entry["pixels"].items(), strict=False):
            _draw_areas(axes, curves, "residual", LINES)
            axes.set_title(f"pixels: {TITLES.get(regime, regime)}")
        _draw_areas(grid[0, 2], entry["embeddings"], "pixels", {})
        grid[0, 2].set_title("features of trained segmenters")
        _draw_prevalence(grid[1, 0], entry)
        _draw_weights(grid[1, 1], entry)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        grid[1, 2].axis("off")
        grid[1, 2].legend(handles, labels, loc="center left", title="upper row")
        grid[0, 0].set_ylabel("KL divergence, nats")
    return svg_text(figure)


def _draw_areas(axes: Axes, curves: Entry, kind: str, lines: Mapping[str, Any]) -> None:
    alphas = np.array([np.nan if a is None else a for a in curves["alpha"]], float)
    if not np.isfinite(alphas).any():
        _say_not_run(axes)
        return
    for name, (label, ink, dash) in lines.items():
        means = _values(curves[name]["means"])
        axes.plot(alphas, means, DASHES[dash], color=series_ink(ink), label=label, linewidth=1.3)
    for name, (label, ink, marker) in POINTS.items():
        _points(axes, alphas, curves[f"{kind} {name}"]["means"], label, ink, marker)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(LEAST, 20)
    axes.minorticks_off()
    axes.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])  # powers would be math text
    axes.set_xticks(alphas, [f"{100 * a:.2g} %" for a in alphas])
    axes.set_xlabel("area fraction of the target")
    axes.grid(axis="y")


def _draw_prevalence(axes: Axes, entry: Entry) -> None:
    own, networks = entry["shortcut"], entry["embeddings"]
    x = np.array(entry["prevalences"], float)
    axes.set_title("KL(T || N) with the shortcut")
    if not own["n_cells"]:
        _say_not_run(axes)
        return
    axes.plot(x, _values(own["pixel law"]), "-", color=series_ink(0), label="pixels, law")
    _points(axes, x, own["pixel"], "pixels, classifier", 0, 0)
    _points(axes, x, networks["pixel"], "segmenter's features", 1, 1)
    without = own["pixel without"]["value"]
    axes.axhline(without, color=series_ink(7), linestyle=":", label="pixels, no shortcut")
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(x, [f"{100 * p:g} %" for p in x])
    axes.set_ylim(0, None)
    axes.set_xlabel("prevalence")
    axes.set_ylabel("KL divergence, nats")
    axes.legend(loc="best", fontsize=7.5)


def _draw_weights(axes: Axes, entry: Entry) -> None:
    own = entry["weights"]
    alphas = np.array(own["alphas"], float)
    axes.set_title("weight of KL(B1 || B0), image level")
    if not own["background"]["n"]:
        _say_not_run(axes)
        return
    axes.plot(alphas, own["most"], "--", color=series_ink(7), label="bound: 1 - area fraction")
    axes.plot(alphas, _values(own["law"]), "-", color=series_ink(0), label="law")
    _points(axes, alphas, own["measured"], "measured, classifier", 0, 0)
    axes.set_xlabel("area fraction of the target")
    axes.set_ylim(0 if min(_values(own["law"])) > 0 else None, 1.1)
    axes.legend(loc="lower left", fontsize=7.5)


def _points(
    axes: Axes, x: np.ndarray, means: Sequence[Entry], label: str, ink: int, marker: int
) -> None:
    value = _values(means)
    if not np.isfinite(value).any():
        return
    ends = [[value[k] if row[end] is None else row[end] for k, row in enumerate(means)]
            for end in ("lo", "hi")]  # fmt: skip
    is_log = axes.get_yscale() == "log"
    low = np.maximum(ends[0], LEAST) if is_log else np.array(ends[0])
    errors = np.maximum([value - low, np.array(ends[1]) - value], 0)
    axes.errorbar(
        x, value, yerr=errors, fmt=MARKERS[marker], markersize=4, capsize=2.5, linewidth=1,
        color=series_ink(ink), label=label, fillstyle="full" if marker == 0 else "none",
    )  # fmt: skip


def _values(means: Sequence[Entry]) -> np.ndarray:
    return np.array([np.nan if row["value"] is None else row["value"] for row in means], float)


def _say_not_run(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not run", transform=axes.transAxes, ha="center")
    axes.set_xticks([])
    axes.set_yticks([])
