"""One kind of curve for each group: small multiples on equal axes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from segclf.report.curves import Kind, can_draw, draw_curves
from segclf.report.rows import Row, distinct, where
from segclf.report.scored import Scored, is_against_all, members, named
from segclf.report.svg import DASHES, INKS, new_figure, series_ink, styled
from segclf.report.text import count, plain

MOST = 8
"""Groups of one column that get panels of their own."""
PER_ROW = 4
WIDTH_IN, PANEL_IN = 8.8, 2.35


@dataclass(frozen=True, eq=False)
class Part:
    """The cases of one group."""

    name: str
    cases: Mapping[str, Scored]
    """By method; the order decides the colours."""
    rows: Sequence[Row]
    """Metrics of the group."""


def group_parts(cases: Mapping[str, Scored], names: pd.Series, rows: Sequence[Row]) -> list[Part]:
    """The cases of every group of a column.

    Args:
        cases: Of all groups, by method.
        names: Group by `case_id`.
        rows: Metrics of the groups of this column.
    """
    of_case, parts = named(cases, names), []
    for group in distinct(rows, "group"):
        own = where(rows, group=group)
        inside = members(cases, of_case, str(group), all_negatives=is_against_all(own))
        parts.append(Part(str(group), inside, own))
    return parts


def drawn_parts(parts: Sequence[Part]) -> tuple[list[Part], dict[str, list[str]]]:
    """The groups that get panels; of the others, reason to names."""
    drawn = [part for part in parts if _n_positive(part) and _has_negative(part)]
    ranked = sorted(drawn, key=_n_positive, reverse=True)[:MOST]
    left_out = {
        "no test cases of both classes": [part.name for part in parts if part not in drawn],
        f"not among the {MOST} groups with most positive cases": [
            part.name for part in drawn if part not in ranked
        ],
    }
    return [part for part in drawn if part in ranked], {k: v for k, v in left_out.items() if v}


def panels_figure(kind: Kind, parts: Sequence[Part]) -> Figure | None:
    """A panel per group with the curves of all methods; None if no curve can be drawn.

    Args:
        kind: From `KINDS`.
        parts: From `drawn_parts`, at least one.
    """
    if not any(can_draw(kind, own) for part in parts for own in part.cases.values()):
        return None
    n_rows = -(-len(parts) // PER_ROW)
    n_columns = min(len(parts), PER_ROW)
    methods = list(parts[0].cases)
    height_in = n_rows * (PANEL_IN * kind.height + 0.2) + 0.5 + 0.17 * len(methods)
    figure = new_figure(WIDTH_IN * max(n_columns, 2) / PER_ROW, height_in)
    with styled():
        grid = figure.subplots(n_rows, n_columns, squeeze=False)
        for place, (axes, part) in enumerate(zip(grid.flat, parts, strict=False)):
            draw_curves(axes, kind, part.cases, part.rows)
            axes.set_title(f"{plain(part.name, 26)}\n", fontsize=8.5)
            axes.text(
                0, 1.03, _sizes(part), transform=axes.transAxes, fontsize=7, color=INKS["soft"]
            )
            axes.tick_params(labelsize=7, labelleft=place % PER_ROW == 0)
            if place % PER_ROW == 0:
                axes.set_ylabel(kind.y_name, fontsize=7.5)
            if place + PER_ROW >= len(parts):
                axes.set_xlabel(kind.x_name, fontsize=7.5)
        if not kind.is_square:
            _widest(grid.flat[: len(parts)])
        for axes in grid.flat[len(parts) :]:
            axes.set_visible(False)
        for place, method in enumerate(methods):
            style = {"color": series_ink(place), "label": plain(method, 60)}
            grid.flat[0].plot([], [], DASHES[place % len(DASHES)], **style)
        lines, names = grid.flat[0].get_legend_handles_labels()
        own = slice(len(lines) - len(methods), None)
        figure.legend(lines[own], names[own], loc="outside lower left", fontsize=8)
    return figure


def _widest(panels: np.ndarray) -> None:
    """Give all panels the limits that hold each one's."""
    limits = np.array([axes.get_ylim() for axes in panels])
    for axes in panels:
        axes.set_ylim(limits[:, 0].min(), limits[:, 1].max())


def _sizes(part: Part) -> str:
    row = part.rows[0]
    shared = " (all)" if row.get("negatives") == "all" else ""
    return f"{count(row['n_positive'])} pos., {count(row['n_negative'])} neg.{shared}"


def _has_negative(part: Part) -> bool:
    return any((own.label == 0).any() for own in part.cases.values())


def _n_positive(part: Part) -> int:
    return max((int(own.label.sum()) for own in part.cases.values()), default=0)
