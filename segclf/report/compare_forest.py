"""Forest plot of a comparison: one number per method, in blocks of a family each."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from segclf.report.forest import CHANCE, LINE_IN, PLOT, beside, draw_row, finish_forest
from segclf.report.rows import Row
from segclf.report.svg import new_figure, styled


def methods_forest(
    blocks: Mapping[str, Sequence[Row]], *, axis_name: str, missing: Mapping[str, str]
) -> Figure:
    """Estimates and intervals of methods; a method without a number keeps its line and says why.

    Args:
        blocks: Title of a family to rows with `method`, `estimate`, `lo`, `hi` and `reason`.
        axis_name: What is drawn.
        missing: Method to what became of it, for those that have no row, under their family.
    """
    n_lines = sum(len(rows) + 1 for rows in blocks.values())
    height_in = 0.7 + LINE_IN * n_lines
    figure = new_figure(8.6, height_in)
    figure.set_layout_engine("none")  # the texts beside the axes have places of their own
    rows = [row for own in blocks.values() for row in own]
    with styled():
        axes = figure.add_axes((PLOT[0], 0.6 / height_in, PLOT[1] - PLOT[0], 1 - 0.65 / height_in))
        y = 0
        for series, (title, own) in enumerate(blocks.items()):
            beside(axes, y, title, x=0.0, weight="bold")
            for row in own:
                y += 1
                why = missing.get(row["method"])
                draw_row(axes, y, series, row if why is None else row | {"reason": why})
            y += 1
        finish_forest(axes, rows, n_lines, axis_name, [CHANCE])
    return figure
