"""Sensitivity over the size of the target."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from segclf.report.rows import Row, is_missing, where
from segclf.report.svg import DASHES, MARKERS, new_figure, series_ink, styled
from segclf.report.text import amount, count, plain

GAP = 0.09
"""Distance of two methods, as a share of the distance of two ranges of sizes."""


def size_figure(rows: Sequence[Row], *, methods: Sequence[str]) -> Figure:
    """Sensitivity with its interval per range of sizes, one line per method.

    Ranges are evenly spaced: sizes of targets differ by powers of ten.

    Args:
        rows: Of `size_recall`, of one finding and column.
        methods: Their order; it decides the colours.
    """
    ranges = sorted({_ends(row) for row in rows})
    figure = new_figure(max(4.6, min(8.8, 1.5 + 0.95 * len(ranges))), 3.6 + 0.17 * len(methods))
    with styled():
        axes = figure.add_subplot()
        for place, method in enumerate(methods):
            ink, shift = series_ink(place), GAP * (place - (len(methods) - 1) / 2)
            own = {_ends(r): r for r in where(rows, method=method)}
            known = [at for at in ranges if at in own and not is_missing(own[at]["sensitivity"])]
            x = [ranges.index(at) + shift for at in known]
            y = [own[at]["sensitivity"] for at in known]
            line = f"{MARKERS[place % len(MARKERS)]}{DASHES[place % len(DASHES)]}"
            axes.plot(x, y, line, color=ink, markersize=5, label=plain(method, 60))
            for left, at in zip(x, known, strict=True):
                if not is_missing(own[at]["lo"]):
                    axes.plot([left, left], [own[at]["lo"], own[at]["hi"]], color=ink, linewidth=1)
        shown = {at: [row for row in rows if _ends(row) == at] for at in ranges}
        names = [
            f"{range_text(own[0])}\n{count(max(row['n_positive'] for row in own))} pos."
            for own in shown.values()
        ]
        axes.set_xticks(range(len(ranges)), names, fontsize=7.5)
        axes.set(xlim=(-0.5, len(ranges) - 0.5), ylim=(-0.02, 1.02), ylabel="Sensitivity")
        axes.set_xlabel(plain(rows[0]["column"], 60))
        axes.grid(axis="y")
        figure.legend(loc="outside lower left", fontsize=8.5)
    return figure


def range_text(row: Row) -> str:
    """The sizes of a row: `12 to 40`."""
    low, high = _ends(row)
    if low == float("-inf"):
        return f"up to {amount(high)}"
    return f"{amount(low)} or more" if high == float("inf") else f"{amount(low)} to {amount(high)}"


def _ends(row: Row) -> tuple[float, float]:
    low = float("-inf") if is_missing(row["low"]) else float(row["low"])
    return low, float("inf") if is_missing(row["high"]) else float(row["high"])
