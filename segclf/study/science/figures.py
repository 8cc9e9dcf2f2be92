"""Figures of the studies: what every arm reaches over sizes, or at every level by name."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segclf.core.text import counted
from segclf.report.svg import (
    DASHES,
    INKS,
    MARKERS,
    new_figure,
    series_ink,
    styled,
    svg_text,
)
from segclf.study.science.crossed import METRICS

Row = Mapping[str, Any]
FIRST = ("segmentation", "classifier")
"""Arms that have the same colour in every figure."""
CHANCE = {"auroc", "robust_auroc"}
SIZED = "line: mean of the trainings; band: 95 % interval; small dots: each training"
NAMED = "large mark: mean of the trainings; line: 95 % interval; small dots: each training"
MOST_TICKS = 7
_Y_PER_ROW_IN = 0.3


def study_svg(
    name: str,
    curves: Sequence[Row],
    *,
    x_name: str = "training images",
    is_size: bool = True,
    regimes: Mapping[str, str] | None = None,
) -> str:
    """One panel for each regime: means, 95 % intervals, and each training as a faint dot.

    Args:
        name: Of the study; the title.
        curves: Of `judge.curve`, of one metric.
        x_name: What `x` counts, or what the levels are.
        is_size: Levels are sizes on a logarithmic axis; otherwise they are named, one row each.
        regimes: Name of a regime to the words above its panel.
    """
    titles = {row["regime"]: row["regime"] for row in curves} | dict(regimes or {})
    arms = _arms(curves)
    metric = _metric_name(curves)
    panels = {regime: [r for r in curves if r["regime"] == regime] for regime in titles}
    panels = {regime: rows for regime, rows in panels.items() if rows}
    places = _places(curves, arms)
    figure = _figure(max(len(panels), 1), None if is_size else len(places))
    with styled():
        n_panels = max(len(panels), 1)
        every = figure.subplots(1, n_panels, squeeze=False, sharey=True, sharex=not is_size)[0]
        for axes, (regime, rows) in zip(every, panels.items(), strict=False):
            if is_size:
                _sized(axes, rows, arms)
            else:
                _named(axes, rows, arms, places)
            axes.set_title(f"{titles[regime]}\n{_tested(rows)}", fontsize=8.5)
            axes.set_xlabel(x_name if is_size else metric)
        if is_size:
            every[0].set_ylabel(metric)
        _legend(figure, every[0], name, has_arms=is_size or _levels(curves) > 1)
        told = SIZED if is_size else NAMED
        if any(row["value"] is not None and None in (row["lo"], row["hi"]) for row in curves):
            told += f"; no {'band' if is_size else 'line'}: no interval"
        figure.supxlabel(told, fontsize=7.5, color=INKS["soft"])
    return svg_text(figure)


def _figure(n_panels: int, n_rows: int | None) -> Figure:
    height = 4.1 if n_rows is None else 1.7 + _Y_PER_ROW_IN * n_rows
    figure = new_figure((1 if n_panels > 1 else 2.6) + 3.7 * n_panels, height)
    figure.patch.set_facecolor("white")
    figure.patch.set_alpha(1)
    return figure


def _arms(curves: Sequence[Row]) -> list[str]:
    """The arms, those of every study first, so that they have the same colours."""
    own = list(dict.fromkeys(row["arm"] for row in curves))
    return [arm for arm in FIRST if arm in own] + [arm for arm in own if arm not in FIRST]


def _style(arm: str, arms: Sequence[str]) -> tuple[str, str, str]:
    """Ink, dashes and marker."""
    others = [name for name in arms if name not in FIRST]
    number = FIRST.index(arm) if arm in FIRST else len(FIRST) + others.index(arm)
    return series_ink(number), DASHES[number % len(DASHES)], MARKERS[number % len(MARKERS)]


def _metric_name(curves: Sequence[Row]) -> str:
    names = {row["metric"] for row in curves}
    groups = {str(row["group"]) for row in curves if row.get("group") is not None}
    text = " and ".join(METRICS[name].name for name in sorted(names))
    return f"{text} in {' and '.join(sorted(groups))}" if groups else text


def _levels(curves: Sequence[Row]) -> int:
    return len({row["level"] for row in curves})


def _tested(rows: Sequence[Row]) -> str:
    """Test cases and trainings of a panel; a range where levels differ."""
    cases = sorted({row["n_cases"] for row in rows if row["value"] is not None})
    trainings = sorted({len(row["seeds"]) for row in rows if row["value"] is not None})
    if not cases:
        return "not run"
    texts = [
        counted(own[0], word) if len(own) == 1 else f"{own[0]} to {own[-1]} {word}s"
        for own, word in ((cases, "test case"), (trainings, "training"))
    ]
    return ", ".join(texts)


def _sized(axes: Axes, rows: Sequence[Row], arms: Sequence[str]) -> None:
    """Lines with bands over the logarithm of the size."""
    sizes = sorted({row["x"] for row in rows})
    for number, arm in enumerate(arms):
        own = sorted((row for row in rows if row["arm"] == arm), key=lambda row: row["x"])
        known = [row for row in own if row["value"] is not None]
        if not known:
            continue
        ink, dash, marker = _style(arm, arms)
        x = np.array([row["x"] for row in known]) * 1.025 ** (number - (len(arms) - 1) / 2)
        mean = np.array([row["value"] for row in known])
        ends = np.array([[row["lo"], row["hi"]] for row in known], dtype=float).T
        axes.fill_between(x, *ends, color=ink, alpha=0.13, linewidth=0)
        axes.plot(x, mean, color=ink, linestyle=dash, marker=marker, markersize=4.5, label=arm)
        for place, row in zip(x, known, strict=True):
            each = list(row["each"].values())
            axes.plot([place] * len(each), each, ".", ms=4, alpha=0.35, color=ink)
    axes.set_xscale("log")
    axes.minorticks_off()
    step = -(-len(sizes) // MOST_TICKS)
    shown = sizes[::-1][::step][::-1]
    axes.set_xticks(shown, [f"{size:,.4g}" for size in shown], fontsize=8)
    if _metric_of(rows) in CHANCE:
        _mark_chance(axes.axhline, axes.get_ylim())
    axes.grid(visible=True, axis="y")
    axes.set_axisbelow(True)


def _metric_of(rows: Sequence[Row]) -> str:
    return rows[0]["metric"]


def _mark_chance(line, limits: tuple[float, float]) -> None:  # noqa: ANN001 (of matplotlib)
    """The value of a random score, where the axis shows it."""
    if limits[0] < 0.5 < limits[1]:
        line(0.5, color=INKS["soft"], linestyle=":", linewidth=1, zorder=0, label="random score")


def _places(rows: Sequence[Row], arms: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of level and arm from top to bottom, with an empty one between levels."""
    levels = list(dict.fromkeys(row["level"] for row in rows))
    own = {(row["level"], row["arm"]) for row in rows}
    found: list[tuple[str, str]] = []
    for level in levels:
        here = [(level, arm) for arm in arms if (level, arm) in own]
        found += ([("", "")] if found and (len(here) > 1 or len(arms) > 1) else []) + here
    return found


def _named(
    axes: Axes, rows: Sequence[Row], arms: Sequence[str], places: Sequence[tuple[str, str]]
) -> None:
    """A row for each level and arm of the study: mean, interval and trainings."""
    known = {(row["level"], row["arm"]): row for row in rows}
    by_arm = len({level for level, _ in places if level}) == 1
    labelled: set[str] = set()
    ticks: dict[str, list[int]] = {}
    for y, (level, arm) in enumerate(places):
        if not level:
            continue
        row = known.get((level, arm))
        ticks.setdefault(arm if by_arm else level, []).append(y)
        ink, _, marker = _style(FIRST[0] if by_arm else arm, arms)
        if row is None or row["value"] is None:
            place = axes.get_yaxis_transform()
            axes.text(0.02, y, "not measured", transform=place, fontsize=7.5, va="center",
                      color=INKS["soft"])  # fmt: skip
            continue
        each = list(row["each"].values())
        axes.plot(each, [y + 0.26] * len(each), ".", ms=5, alpha=0.5, color=ink, mew=0)
        if row["lo"] is not None and row["hi"] is not None:
            axes.plot([row["lo"], row["hi"]], [y, y], "-", linewidth=1.8, color=ink)
        label = None if arm in labelled else arm
        axes.plot([row["value"]], [y], marker, ms=6, color=ink, label=label)
        labelled.add(arm)
    axes.set_yticks([float(np.mean(own)) for own in ticks.values()], list(ticks), fontsize=8.5)
    axes.set_ylim(len(places) - 0.3, -0.6)
    axes.grid(visible=True, axis="x")
    axes.set_axisbelow(True)
    if _metric_of(rows) in CHANCE:
        _mark_chance(axes.axvline, axes.get_xlim())


def _legend(figure: Figure, axes: Axes, name: str, *, has_arms: bool) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if not has_arms:
        kept = [k for k, label in enumerate(labels) if label == "random score"]
        handles, labels = [handles[k] for k in kept], [labels[k] for k in kept]
    figure.suptitle(name, fontsize=10.5, x=0.01, ha="left")
    if handles and len(figure.axes) == 1:  # beside the title there is no room
        figure.legend(handles, labels, loc="outside right upper")
    elif handles:
        figure.legend(handles, labels, loc="outside upper right", ncols=min(len(labels), 5))
