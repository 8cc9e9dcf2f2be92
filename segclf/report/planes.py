"""The (t, tau) plane: what each pair of thresholds reaches on validation cases."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segclf.report.content import Plane
from segclf.report.svg import INKS, new_figure, styled
from segclf.report.text import amount, plain, probability

SHOWN_T = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
N_SHOWN_TAU = 7


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
    columns = [int(np.abs(_logit(plane.t) - _logit(np.array(t))).argmin()) for t in SHOWN_T]
    columns = sorted(set(columns))
    axes.set_xticks(columns, [f"{plane.t[c]:.3g}" for c in columns])
    axes.set_xlabel("t: probability above which a pixel counts")
    rows = np.unique(np.linspace(0, len(plane.tau) - 1, N_SHOWN_TAU).round().astype(int))
    axes.set_yticks(rows.tolist(), [amount(float(plane.tau[row])) for row in rows])
    unit = plane.unit.replace("mm2", "mm²")
    axes.set_ylabel(f"tau: area that is not enough [{unit}]")


def _mark_chosen(axes: Axes, plane: Plane, chosen: tuple[float, float]) -> None:
    t, tau = chosen
    x = float(np.interp(_logit(np.array(t)), _logit(plane.t), np.arange(len(plane.t))))
    y = float(np.interp(tau, plane.tau, np.arange(len(plane.tau))))
    for size, ink, width in ((13, "#000000", 4.0), (13, "#ffffff", 1.8)):
        axes.plot(
            [x], [y], "o", markersize=size, markerfacecolor="none", markeredgecolor=ink,
            markeredgewidth=width, clip_on=False,
        )  # fmt: skip
    axes.set_xlim(-0.5, len(plane.t) - 0.5)
    axes.set_ylim(-0.5, len(plane.tau) - 0.5)


def chosen_text(planes: Sequence[Plane]) -> list[str]:
    """What was chosen in each plane, in words."""
    return [
        f"{plain(plane.title, 60)}: t = {probability(plane.chosen[0])}, "
        f"tau = {amount(plane.chosen[1], plane.unit)}"
        for plane in planes
        if plane.chosen is not None
    ]


def _logit(p: np.ndarray) -> np.ndarray:
    return np.log(p) - np.log1p(-p)
