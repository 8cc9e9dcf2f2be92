"""The (t, tau) plane: what each pair of thresholds reaches on validation cases."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segclf.report.content import Plane
from segclf.report.svg import INKS, new_figure, styled
from segclf.report.text import amount, plain, probability

SHOWN_T = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)


def plane_figure(plane: Plane) -> Figure:
    """The plane as a map, with the chosen point; grey where the objective's target is not met."""
    figure = new_figure(5.6, 3.9)
    with styled():
        axes = figure.add_subplot()
        axes.set_facecolor(INKS["rule"])
        image = axes.imshow(
            np.ma.masked_invalid(plane.value.T), origin="lower", aspect="auto", cmap="cividis",
            interpolation="nearest",
        )  # fmt: skip
        bar = figure.colorbar(image, ax=axes, shrink=0.9)
        bar.set_label(plane.value_name)
        bar.outline.set_visible(False)  # type: ignore[operator] (a spine, typed as a colorbar part)
        _label_axes(axes, plane)
        if plane.chosen is not None:
            _mark_chosen(axes, plane, plane.chosen)
        axes.set_title(plain(plane.title, 60))
    return figure


def _label_axes(axes: Axes, plane: Plane) -> None:
    ends = plane.t[0] - 1e-9, plane.t[-1] + 1e-9
    shown = [t for t in SHOWN_T if ends[0] <= t <= ends[1]] or [float(plane.t[0])]
    axes.set_xticks([_column(plane, t) for t in shown], [f"{t:.3g}" for t in shown])
    axes.set_xlabel("t: probability above which a pixel counts")
    powers = [10.0**k for k in range(-6, 10) if plane.tau[1] <= 10.0**k <= plane.tau[-1]]
    taus = [0.0, *(tau for tau in powers if _row(plane, tau) > 2)]  # 0 and 1 would overlap
    axes.set_yticks([_row(plane, tau) for tau in taus], [amount(tau) for tau in taus])
    unit = plane.unit.replace("mm2", "mm²")
    axes.set_ylabel(f"tau: area that is not enough [{unit}]")


def _mark_chosen(axes: Axes, plane: Plane, chosen: tuple[float, float]) -> None:
    x, y = _column(plane, chosen[0]), _row(plane, chosen[1])
    for ink, width in (("#000000", 4.0), ("#ffffff", 1.8)):
        axes.plot(
            [x], [y], "o", markersize=13, markerfacecolor="none", markeredgecolor=ink,
            markeredgewidth=width, clip_on=False,
        )  # fmt: skip
    axes.set_xlim(-0.5, len(plane.t) - 0.5)
    axes.set_ylim(-0.5, len(plane.tau) - 0.5)


def _column(plane: Plane, t: float) -> float:
    """Where a t lies between the columns of the map, which are evenly spaced in its logit."""
    logit = np.log(plane.t) - np.log1p(-plane.t)
    return float(np.interp(np.log(t) - np.log1p(-t), logit, np.arange(len(plane.t))))


def _row(plane: Plane, tau: float) -> float:
    """Where a tau lies between the rows: the lowest is 0, above it they are even in the log."""
    if tau <= 0:
        return 0.0
    log = np.log(plane.tau[1:])
    return 1.0 + float(np.interp(np.log(tau), log, np.arange(len(log))))


def plane_caption(plane: Plane) -> str:
    """What the figure of a plane shows."""
    unmet = "; grey where the target is not met" if np.isnan(plane.value).any() else ""
    return f"{plane.value_name} for every t and tau: {plain(plane.title, 60)}{unmet}"


def chosen_text(planes: Sequence[Plane]) -> list[str]:
    """What was chosen in each plane, in words."""
    return [
        f"{plain(plane.title, 60)}: t = {probability(plane.chosen[0])}, "
        f"tau = {amount(plane.chosen[1], plane.unit)}"
        for plane in planes
        if plane.chosen is not None
    ]
