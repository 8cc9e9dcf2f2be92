"""Curves of scores and probabilities: ROC, precision and recall, calibration, net benefit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segclf.report.names import threshold_of
from segclf.report.points import (
    calibration_bins,
    net_benefit_points,
    precision_at,
    precision_recall_points,
    roc_points,
    thinned,
    treat_all_points,
)
from segclf.report.rows import Row, is_missing, one_per, where
from segclf.report.scored import Curve, Scored
from segclf.report.svg import DASHES, INKS, MARKERS, new_figure, series_ink, styled
from segclf.report.text import MISSING, count, number, plain

GRID = np.linspace(0, 1, 201)
FEW = 10
"""A bin of fewer cases is drawn hollow."""
STRIP = 0.16
"""Height of the counts below a reliability diagram."""
ROOM = 0.35
"""How far below 0 a net benefit is drawn, as a share of the prevalence."""
FARTHEST = 0.5
"""Highest threshold that is drawn where the evaluation declares no range."""


@dataclass(frozen=True)
class Kind:
    """A kind of curve."""

    title: str
    x_name: str
    y_name: str
    draw: Callable[[Axes, int, Scored, Mapping[str, Row]], None]
    """Draws one method: axes, place of the method, its cases, its rows by metric."""
    frame: Callable[[Axes, Mapping[str, Scored], Sequence[Row]], None]
    """Draws what belongs to no method, and sets the limits."""
    metrics: tuple[tuple[str, str], ...]
    """Metrics in the legend, each with the word before it."""
    is_square: bool = True
    height: float = 1.0
    """Height of the axes as a share of their width."""
    needs_probability: bool = False
    note: str = ""


def curve_figure(
    kind: Kind, cases: Mapping[str, Scored], rows: Sequence[Row], *, width_in: float = 4.6
) -> Figure:
    """One curve per method.

    Scores of different folds or seeds come from different networks: each has its thin curve, and
    the thick one is their mean.

    Args:
        kind: From `KINDS`.
        cases: Test cases by method; their order decides the colours.
        rows: Of the metrics of these cases, for the legend and the operating point.
        width_in: Width of the figure.
    """
    figure = new_figure(width_in, width_in * 0.82 * kind.height + 0.17 * len(cases))
    with styled():
        axes = figure.add_subplot()
        draw_curves(axes, kind, cases, rows)
        axes.set_title(kind.title)
        axes.set_xlabel(kind.x_name)
        axes.set_ylabel(kind.y_name)
        figure.legend(loc="outside lower left", fontsize=8.5)
    return figure


def draw_curves(axes: Axes, kind: Kind, cases: Mapping[str, Scored], rows: Sequence[Row]) -> None:
    """All methods in one pair of axes, with names for a legend."""
    kind.frame(axes, cases, rows)
    for place, (method, own) in enumerate(cases.items()):
        found = one_per(where(rows, method=method), "metric")
        style: Any = {"color": series_ink(place), "label": _label(kind, method, own, found)}
        axes.plot([], [], DASHES[place % len(DASHES)], **style)
        if can_draw(kind, own):
            kind.draw(axes, place, own, found)
    axes.grid()
    if kind.is_square:
        axes.set_aspect("equal")


def can_draw(kind: Kind, own: Scored) -> bool:
    """Whether these cases make a curve: both classes, and a probability where it needs one."""
    if kind.needs_probability:
        own = own.keep(np.isfinite(own.probability))
    return bool((own.label == 1).any() and (own.label == 0).any())


def _label(kind: Kind, method: str, own: Scored, found: Mapping[str, Row]) -> str:
    name = plain(method, 36)
    if kind.needs_probability and not own.has_probability:
        return f"{name}  no probability"
    if not can_draw(kind, own):
        return f"{name}  not estimated"
    known = [
        f"{word} {number(found[metric]['estimate']) if metric in found else MISSING}".strip()
        for metric, word in kind.metrics
    ]
    n = len(own.networks())
    return "  ".join([name, ", ".join(known), *([f"mean of {n}"] if n > 1 else [])]).rstrip()


def _plot(
    axes: Axes, place: int, curves: Sequence[Curve], mean: np.ndarray, drawstyle: str = "default"
) -> None:
    """The curve of the only network, or thin curves of several and their mean over GRID."""
    ink, dashes = series_ink(place), DASHES[place % len(DASHES)]
    style: Any = {"color": ink, "drawstyle": drawstyle}
    if len(curves) == 1:
        axes.plot(*thinned(*curves[0]), dashes, **style)
        return
    for curve in curves:
        axes.plot(*thinned(*curve), dashes, linewidth=0.6, alpha=0.45, **style)
    axes.plot(GRID, mean, dashes, **style)


def _ring(axes: Axes, place: int, x: float, y: float) -> None:
    if np.isfinite(x) and np.isfinite(y):
        style = {"markersize": 7, "markerfacecolor": "none", "markeredgewidth": 1.6}
        axes.plot([x], [y], "o", color=series_ink(place), **style)


def _estimate(found: Mapping[str, Row], metric: str) -> float:
    value = found[metric]["estimate"] if metric in found else None
    return float("nan") if is_missing(value) else float(value)  # type: ignore[arg-type] (a number)


def _draw_roc(axes: Axes, place: int, own: Scored, found: Mapping[str, Row]) -> None:
    curves = [roc_points(part.label, part.score) for part in own.networks()]
    curves = [curve for curve in curves if len(curve[0])]
    mean = np.mean([np.interp(GRID, x, y) for x, y in curves], axis=0) if curves else GRID
    _plot(axes, place, curves, mean)
    _ring(axes, place, 1 - _estimate(found, "specificity"), _estimate(found, "sensitivity"))


def _frame_roc(axes: Axes, cases: Mapping[str, Scored], rows: Sequence[Row]) -> None:
    _soft_line(axes, [0, 1], [0, 1])
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))


def _draw_pr(axes: Axes, place: int, own: Scored, found: Mapping[str, Row]) -> None:
    curves = [precision_recall_points(part.label, part.score) for part in own.networks()]
    curves = [curve for curve in curves if len(curve[0])]
    mean = np.mean([precision_at(GRID, curve) for curve in curves], axis=0)
    _plot(axes, place, curves, mean, "steps-pre")
    _ring(axes, place, _estimate(found, "sensitivity"), _estimate(found, "ppv"))


def _frame_pr(axes: Axes, cases: Mapping[str, Scored], rows: Sequence[Row]) -> None:
    shares = [float(np.mean(own.label)) for own in cases.values() if len(own.label)]
    for share in dict.fromkeys(shares):
        _soft_line(axes, [0, 1], [share, share])
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))


def _draw_calibration(axes: Axes, place: int, own: Scored, found: Mapping[str, Row]) -> None:
    known = own.keep(np.isfinite(own.probability))
    bins, ink = calibration_bins(known.label, known.probability), series_ink(place)
    style = {"color": ink, "markersize": 5}
    axes.plot(bins.mean, bins.share, DASHES[place % len(DASHES)], color=ink, linewidth=1.1)
    marker, many = MARKERS[place % len(MARKERS)], bins.n >= FEW
    axes.plot(bins.mean[many], bins.share[many], marker, **style)
    few = {"markerfacecolor": "none", "markeredgewidth": 1.1}
    axes.plot(bins.mean[~many], bins.share[~many], marker, **style, **few)
    all_n = np.zeros(10)
    all_n[np.round(bins.left * 10).astype(int)] = bins.n
    height = -STRIP + (STRIP - 0.03) * all_n / all_n.max()
    axes.stairs(height, np.linspace(0, 1, 11), baseline=-STRIP, color=ink, linewidth=0.9)


def _frame_calibration(axes: Axes, cases: Mapping[str, Scored], rows: Sequence[Row]) -> None:
    _soft_line(axes, [0, 1], [0, 1])
    axes.axhline(-0.015, color=INKS["rule"], linewidth=0.8)
    axes.set(xlim=(-0.01, 1.01), ylim=(-STRIP - 0.01, 1.01))
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])


def _draw_benefit(axes: Axes, place: int, own: Scored, found: Mapping[str, Row]) -> None:
    grid = _thresholds(list(found.values()))
    known = own.keep(np.isfinite(own.probability))
    parts = [net_benefit_points(p.label, p.probability, grid) for p in known.networks()]
    ink, dashes = series_ink(place), DASHES[place % len(DASHES)]
    if len(parts) > 1:
        for part in parts:
            axes.plot(grid, part, dashes, color=ink, linewidth=0.6, alpha=0.45)
    axes.plot(grid, np.mean(parts, axis=0), dashes, color=ink)
    for metric, row in found.items():
        threshold = threshold_of(metric)
        if threshold is not None and not is_missing(row["lo"]):
            x = threshold + (grid[-1] - grid[0]) * 0.004 * place  # bars of methods stay apart
            axes.plot([x, x], [row["lo"], row["hi"]], color=ink, linewidth=0.8, alpha=0.7)


def _frame_benefit(axes: Axes, cases: Mapping[str, Scored], rows: Sequence[Row]) -> None:
    grid, shares = _thresholds(rows), []
    for own in cases.values():
        known = own.label[np.isfinite(own.probability)]
        shares += [float(np.mean(known))] if len(known) else []
    for share in dict.fromkeys(shares):
        every = treat_all_points(share, grid)
        axes.plot(grid, every, color=INKS["soft"], linewidth=0.9, linestyle=(0, (1, 1)))
    axes.axhline(0, color=INKS["soft"], linewidth=0.9, linestyle=(0, (4, 2)))
    top = max(shares, default=0.1)
    high = [row["hi"] for row in rows if threshold_of(row["metric"]) is not None]
    top = max([top, *(value for value in high if not is_missing(value))])
    axes.set(xlim=(0, grid[-1] * 1.02), ylim=(-ROOM * top, 1.08 * top))


def _thresholds(rows: Sequence[Row]) -> np.ndarray:
    """The declared range of thresholds; from 0.01 to 0.5 where none is declared."""
    declared = [threshold_of(row["metric"]) for row in rows]
    known = [threshold for threshold in declared if threshold is not None]
    ends = (min(known), max(known)) if len(set(known)) > 1 else (0.01, FARTHEST)
    return np.linspace(*ends, 100)


def _soft_line(axes: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    axes.plot(x, y, color=INKS["soft"], linewidth=0.8, linestyle=(0, (2, 2)))


def largest_bin(cases: Mapping[str, Scored]) -> str:
    """How many cases the highest bar of the counts stands for, over methods."""
    sizes = []
    for own in cases.values():
        known = own.keep(np.isfinite(own.probability))
        sizes += (
            [calibration_bins(known.label, known.probability).n.max()] if len(known.label) else []
        )
    return " or ".join(dict.fromkeys(count(n) for n in sizes))


KINDS = {
    "roc": Kind(
        "ROC", "False-positive rate (1 - specificity)", "True-positive rate (sensitivity)",
        _draw_roc, _frame_roc, (("auroc", "AUROC"),),
        note="The ring marks the operating point; the dotted line is chance.",
    ),
    "precision-recall": Kind(
        "Precision and recall", "Sensitivity (recall)", "PPV (precision)", _draw_pr, _frame_pr,
        (("average_precision", "average precision"),),
        note="The ring marks the operating point; the dotted line is the share of positives, which "
        "a score without information would reach. Heights depend on that share.",
    ),
    "calibration": Kind(
        "Calibration", "Mean probability", "Share of positives", _draw_calibration,
        _frame_calibration,
        (("calibration_slope", "slope"), ("calibration_intercept", "intercept")),
        height=1 + STRIP, needs_probability=True,
        note=f"Ten equal bins of probability; hollow: fewer than {FEW} cases. The steps at the "
        "foot show how the cases spread over the bins. On the dotted line probabilities are met.",
    ),
    "decision": Kind(
        "Decision curve", "Threshold of probability", "Net benefit", _draw_benefit, _frame_benefit,
        (), is_square=False, needs_probability=True,
        note="Dotted: all cases called positive; dashed at 0: none. Bars are intervals at declared "
        "thresholds. Heights depend on the share of positives.",
    ),
}  # fmt: skip
"""Name of a kind of curve, which names its files too, to how it is drawn."""
