"""Figures of the page of results: learning curves with what came, and methods with few masks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from segclf.report.svg import new_figure, series_ink, styled, svg_text
from segclf.study.planner_proof import words_of
from segclf.study.semi_proof import BOOSTED, FEW, FULL

N_COLUMNS = 5
ENDS = (FEW, FULL)
Entry = Mapping[str, Any]


def planner_svg(entry: Entry) -> str:
    """A panel for each setting: trainings, curve with its band, interval, and what was measured.

    Args:
        entry: Of `run_planner`.
    """
    rows = entry["settings"]
    n_rows = -(-len(rows) // N_COLUMNS)
    figure = _on_white(new_figure(10.5, 0.5 + 2.1 * n_rows))
    with styled():
        panels = figure.subplots(n_rows, N_COLUMNS, squeeze=False, sharey=True).ravel()
        for axes, row in zip(panels, rows, strict=False):
            _draw_setting(axes, row)
        for axes in panels[len(rows) :]:
            axes.remove()
        figure.supylabel("AUROC", fontsize=9)
        figure.supxlabel("training masks", fontsize=9)
        figure.legend(
            *panels[0].get_legend_handles_labels(),
            loc="outside upper center",
            ncols=4,
        )
    return svg_text(figure)


def few_masks_svg(entry: Entry) -> str:
    """A line for each method: AUROC of every subset, and their mean; both ends as vertical lines.

    Args:
        entry: Of `run_semi`.
    """
    drawn = {name: row for name, row in entry["rows"].items() if row["auroc"] is not None}
    figure = _on_white(new_figure(7.2, 0.8 + 0.28 * len(drawn)))
    with styled():
        axes = figure.subplots()
        for place, (name, row) in enumerate(drawn.items()):
            ink = series_ink(7 if name in ENDS else int(name.endswith(BOOSTED)))
            axes.plot(row["each"], [place] * len(row["each"]), "o", ms=3.5, alpha=0.5, color=ink)
            axes.plot([row["auroc"]], [place], "|", ms=13, mew=2.2, color=ink)
        for name in ENDS:
            if name in drawn:
                axes.axvline(drawn[name]["auroc"], color=series_ink(7), linestyle=":", linewidth=1)
        axes.set_yticks(range(len(drawn)), list(drawn))
        axes.set_ylim(len(drawn) - 0.5, -0.5)
        axes.set_xlabel("AUROC on test cases (dots: subsets; line: their mean)")
    return svg_text(figure)


def _draw_setting(axes, row: Entry) -> None:  # noqa: ANN001 (matplotlib)
    sizes, lo, mid, hi = np.array(row["curve"]).T
    n_masks, auroc = np.array(row["trainings"]).T
    axes.fill_between(sizes, lo, hi, color=series_ink(0), alpha=0.15, linewidth=0)
    axes.plot(sizes, mid, color=series_ink(0), label="curve, 95 % band")
    axes.plot(n_masks, auroc, "o", ms=3, color=series_ink(7), label="trainings (validation cases)")
    axes.errorbar(
        [row["n_masks"]],
        [row["auroc"]],
        yerr=[[row["auroc"] - row["lo"]], [row["hi"] - row["auroc"]]],
        fmt="none",
        capsize=3,
        color=series_ink(0),
        label="predicted",
    )
    axes.plot(
        [row["n_masks"]],
        [row["measured"]],
        "D",
        ms=4.5,
        color=series_ink(1),
        fillstyle="full" if row["is_covered"] else "none",
        label="measured on test cases (hollow: not covered)",
    )
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(*[[round(n) for n in (sizes[0], row["n_masks"])]] * 2)
    axes.set_title("\n".join(words_of(row["setting"])), fontsize=7.5)


def _on_white(figure: Figure) -> Figure:
    figure.patch.set_facecolor("white")
    figure.patch.set_alpha(1)
    return figure
