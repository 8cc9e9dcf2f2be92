"""Curves: ROC on test cases, and what training looked like."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from segclf.report.rows import Row, one_per, where
from segclf.report.svg import DASHES, INKS, new_figure, series_ink, styled
from segclf.report.text import MISSING, number, plain

GRID = np.linspace(0, 1, 201)
PANELS = (
    ("loss", "Loss", "training (thin) and validation"),
    ("auroc", "AUROC of the image score", "validation"),
    ("dice_positives", "Dice on positives", "validation, mean of cases with a target"),
    ("false_positive_rate", "Image false-positive rate", "validation, cases without a target"),
)


def roc_points(label: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False-positive and true-positive rate at every threshold, from (0, 0) to (1, 1).

    Cases of equal score are called together. Undefined (two empty arrays) unless there are cases
    of both classes.

    Args:
        label: (case,) 1 or 0.
        score: (case,) finite; higher is more likely positive.
    """
    order = np.argsort(-score, kind="stable")
    positive, score = label[order] == 1, score[order]
    if not positive.any() or positive.all():
        return np.empty(0), np.empty(0)
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True))
    tp, called = np.cumsum(positive)[last], last + 1
    sensitivity = np.append(0, tp) / positive.sum()
    return np.append(0, called - tp) / (~positive).sum(), sensitivity


def roc_figure(
    scores: pd.DataFrame, metrics: Sequence[Row], *, finding: str, methods: Sequence[str]
) -> Figure:
    """ROC curve of every method on test cases.

    Scores of different folds or seeds come from different networks: each has its thin curve, and
    the thick one is their mean sensitivity at equal false-positive rate.

    Args:
        scores: Score tables of all methods.
        metrics: Rows of all cases, for the AUROC in the legend and the operating point.
        finding: Which finding.
        methods: Their order; it decides the colours.
    """
    figure = new_figure(5.4, 4.4 + 0.17 * len(methods))
    is_shown = (scores["finding"] == finding) & (scores["split"] == "test")
    is_known = np.isfinite(scores["label"]) & np.isfinite(scores["score"])
    rows = scores.loc[is_shown & is_known, ["method", "fold", "seed", "label", "score"]]
    with styled():
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=INKS["soft"], linewidth=0.8, linestyle=(0, (2, 2)))
        for series, method in enumerate(methods):
            own = rows.loc[rows["method"] == method]
            curves = [
                roc_points(part["label"].to_numpy(float), part["score"].to_numpy(float))
                for _, part in own.groupby(["fold", "seed"], dropna=False)
            ]
            found = one_per(where(metrics, method=method, finding=finding), "metric")
            _draw_roc(axes, series, method, [c for c in curves if len(c[0])], found)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.set_xlabel("False-positive rate (1 - specificity)")
        axes.set_ylabel("True-positive rate (sensitivity)")
        axes.grid()
        figure.legend(loc="outside lower left", fontsize=8.5)
    return figure


def _draw_roc(
    axes: Axes,
    series: int,
    method: str,
    curves: Sequence[tuple[np.ndarray, np.ndarray]],
    metrics: Mapping[str, Row],
) -> None:
    ink, dashes = series_ink(series), DASHES[series % len(DASHES)]
    name = plain(method, 40)
    if not curves:
        axes.plot([], [], dashes, color=ink, label=f"{name}  not estimated")
        return
    auroc = number(metrics["auroc"]["estimate"]) if "auroc" in metrics else MISSING
    if len(curves) > 1:
        for x, y in curves:
            axes.plot(x, y, dashes, color=ink, linewidth=0.6, alpha=0.45)
        mean = np.mean([np.interp(GRID, x, y) for x, y in curves], axis=0)
        label = f"{name}  AUROC {auroc}, mean of {len(curves)}"
        axes.plot(GRID, mean, dashes, color=ink, label=label)
    else:
        axes.plot(*curves[0], dashes, color=ink, label=f"{name}  AUROC {auroc}")
    if {"sensitivity", "specificity"} <= set(metrics):
        x, y = 1 - metrics["specificity"]["estimate"], metrics["sensitivity"]["estimate"]
        style = {"markersize": 7, "markerfacecolor": "none", "markeredgewidth": 1.6}
        axes.plot([x], [y], "o", color=ink, **style)


def training_figure(training: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Loss and validation numbers over the steps, one line per network.

    Dice on positives and the image false-positive rate on negatives stand side by side: a network
    that marks everything, or nothing, looks well in one of them alone.

    Args:
        training: Name of a network to the records of its `metrics.jsonl`.
    """
    figure = new_figure(8.6, 5.6 + 0.17 * len(training))
    with styled():
        for panel, axes in zip(PANELS, figure.subplots(2, 2).flat, strict=True):
            key, title, note = panel
            axes.set_title(f"{title}\n", color=INKS["ink"])
            axes.text(0, 1.03, note, transform=axes.transAxes, fontsize=8, color=INKS["soft"])
            for series, (name, records) in enumerate(training.items()):
                _draw_training(axes, series, name, records, key)
            if key != "loss":
                axes.set_ylim(-0.03, 1.03)
            axes.set_xlabel("step")
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            axes.grid()
        lines, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(lines, names, loc="outside lower left", fontsize=8.5)
    return figure


def _draw_training(
    axes: Axes, series: int, name: str, records: Sequence[Mapping[str, Any]], key: str
) -> None:
    ink, dashes = series_ink(series), DASHES[series % len(DASHES)]
    if key == "loss":
        train = [r for r in records if r["kind"] == "train" and r.get("loss") is not None]
        axes.plot([r["step"] for r in train], [r["loss"] for r in train], color=ink, linewidth=0.7)
    known = [r for r in records if r["kind"] == "validate" and r.get(key) is not None]
    steps, values = [r["step"] for r in known], [r[key] for r in known]
    axes.plot(steps, values, dashes, color=ink, marker="o", markersize=3.5, label=plain(name, 40))
    kept = [r for r in known if r.get("is_best")][-1:]
    axes.plot(
        [r["step"] for r in kept], [r[key] for r in kept], "o", color=ink, markersize=9,
        markerfacecolor="none",
    )  # fmt: skip
