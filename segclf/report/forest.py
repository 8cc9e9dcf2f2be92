"""Forest plot: one metric per group and method, with its interval and counts."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from segclf.core.text import plural
from segclf.report.rows import Row, distinct, is_missing, one_per, where
from segclf.report.svg import INKS, MARKERS, new_figure, series_ink, styled
from segclf.report.tables import group_name
from segclf.report.text import count, number, plain

LINE_IN = 0.2
PLOT = (0.27, 0.66)
TEXT_AT = 0.68
"""Places across the figure, as shares of its width: the axes, and the numbers beside them."""
CHANCE = 0.5


def forest_figure(
    rows: Sequence[Row], *, metric: str, axis_name: str, methods: Sequence[str], unit_name: str
) -> Figure:
    """Estimates and intervals of groups, a block of lines per group.

    A row that cannot be estimated keeps its place and says why. A hollow diamond is a shrunken
    estimate, where a row has one.

    Args:
        rows: Of `Evaluation.metrics`, of one finding: those of all cases, and of one group column.
        metric: Which one is drawn.
        axis_name: Its name for people.
        methods: Their order; it decides the colours.
        unit_name: The word for a patient.
    """
    rows = where(rows, metric=metric)
    groups = distinct(rows, "group_column", "group")
    n_lines = len(groups) * (len(methods) + 1)
    height_in = 0.7 + LINE_IN * n_lines
    figure = new_figure(8.6, height_in)
    figure.set_layout_engine("none")  # the texts beside the axes have places of their own
    with styled():
        axes = figure.add_axes((PLOT[0], 0.6 / height_in, PLOT[1] - PLOT[0], 1 - 0.65 / height_in))
        for place, (column, group) in enumerate(groups):
            own = one_per(where(rows, group_column=column, group=group), "method")
            y = place * (len(methods) + 1)
            beside(axes, y, group_name(column, group), x=0.0, weight="bold")
            beside(axes, y, _sizes(next(iter(own.values())), unit_name), x=TEXT_AT, ink="soft")
            for series, method in enumerate(methods):
                if method in own:
                    draw_row(axes, y + 1 + series, series, own[method])
        finish_forest(axes, rows, n_lines, axis_name, [CHANCE] if metric == "auroc" else [])
    return figure


def _sizes(row: Row, unit_name: str) -> str:
    shared = " (all)" if row.get("negatives") == "all" else ""
    return (
        f"{count(row['n_positive'])} pos., {count(row['n_negative'])} neg.{shared}, "
        f"{count(row['n_patients'])} {plural(plain(unit_name, 20))}"
    )


def draw_row(axes: Axes, y: float, series: int, row: Row) -> None:
    """Name, interval and numbers of a method on one line; or why there are none."""
    beside(axes, y, plain(row["method"], 34), x=0.012)
    if is_missing(row["estimate"]):
        beside(axes, y, f"not estimated: {plain(row['reason'], 70)}", x=PLOT[0], ink="soft")
        return
    ink, has_interval = series_ink(series), not is_missing(row["lo"])
    if has_interval:
        axes.plot([row["lo"], row["hi"]], [y, y], color=ink, solid_capstyle="butt")
    marker = MARKERS[series % len(MARKERS)]
    axes.plot([row["estimate"]], [y], marker, color=ink, markersize=5.5)
    if not is_missing(row.get("shrunken")):
        hollow = {"markerfacecolor": "none", "markersize": 7.5, "markeredgewidth": 1.1}
        axes.plot([row["shrunken"]], [y], "D", color=ink, **hollow)
    interval = f"[{number(row['lo'])}, {number(row['hi'])}]" if has_interval else "(no interval)"
    beside(axes, y, f"{number(row['estimate'])} {interval}", x=TEXT_AT)


def beside(
    axes: Axes, y: float, text: str, *, x: float, ink: str = "ink", weight: str = "normal"
) -> None:
    """A text at a share of the figure's width, in line with a row."""
    figure = axes.get_figure()
    assert figure is not None, "axes were added to a figure"
    place = blended_transform_factory(figure.transFigure, axes.transData)
    axes.text(
        x, y, text, transform=place, color=INKS[ink], va="center", fontsize=8.5, weight=weight
    )


def finish_forest(
    axes: Axes, rows: Sequence[Row], n_lines: int, axis_name: str, chance: Sequence[float]
) -> None:
    """Limits, the lines of chance, and the name of the axis."""
    ends = [row[key] for row in rows for key in ("estimate", "lo", "hi")]
    known = [*chance, *(end for end in ends if not is_missing(end))] or [0.0, 1.0]
    axes.set_xlim(max(-0.02, min(known) - 0.04), min(1.02, max(known) + 0.04))
    axes.set_ylim(n_lines - 0.4, -0.7)
    for value in chance:
        axes.axvline(value, color=INKS["soft"], linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.set_xlabel(axis_name)
