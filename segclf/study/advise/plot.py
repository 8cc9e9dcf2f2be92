"""The learning curve with its band, and the mixes of masks and labels that reach the target."""

import numpy as np
import pandas as pd
from matplotlib import ticker

from segclf.report.svg import new_figure, series_ink, styled, svg_text
from segclf.study.advise.buy import Prices, Row, Stock
from segclf.study.advise.curve import Curve, errors_of, masks_needed

N_POINTS = 80
FURTHEST = 4.0
"""How many times the masks that are there the curve is drawn to."""
MOST_TICKS = 6
STEPS = ((1, 2, 5), (1, 3), (1,))
"""First digits of the numbers on a logarithmic axis: the first row that gives few enough."""


def curve_svg(
    curve: Curve,
    measured: pd.DataFrame,
    stock: Stock,
    *,
    name: str,
    target: float | None = None,
    prices: Prices | None = None,
    mix: Row | None = None,
) -> str:
    """The figure as SVG text; the second panel needs a target and prices.

    Args:
        curve: Of one finding.
        measured: Its trainings.
        stock: What there is.
        name: Of the finding.
        target: AUROC.
        prices: Minutes per mask and per label.
        mix: Of `cheapest`.
    """
    has_mix = target is not None and prices is not None
    figure = new_figure(7.6 if has_mix else 4.2, 3.9)
    with styled():
        axes = figure.subplots(1, 2 if has_mix else 1, squeeze=False)[0]
        _draw_curve(axes[0], curve, measured, stock, name, target)
        if target is not None and prices is not None:
            _draw_mix(axes[1], curve, stock, target, prices, mix)
    return svg_text(figure)


def _draw_curve(axes, curve, measured, stock, name, target) -> None:  # noqa: ANN001 (matplotlib)
    most = FURTHEST * max(stock.masks, curve.largest)
    masks = np.geomspace(curve.masks0, most, N_POINTS)
    auroc = 1 - errors_of(curve, masks, stock.labels)
    lo, mid, hi = np.quantile(auroc, (0.025, 0.5, 0.975), axis=0)
    axes.fill_between(masks, lo, hi, color=series_ink(0), alpha=0.15, linewidth=0)
    axes.plot(masks, mid, color=series_ink(0), label="curve, 95 % band")
    own = measured.dropna(subset=["auroc", "n_masks"])
    axes.plot(own["n_masks"], own["auroc"], "o", ms=3.5, color=series_ink(1), label="trainings")
    axes.axvline(stock.masks, color=series_ink(7), linestyle=":", linewidth=1)
    if target is not None:
        axes.axhline(target, color=series_ink(2), linestyle="--", linewidth=1, label="target")
    axes.set_xscale("log")
    _plain_ticks(axes.xaxis)
    axes.set_xlabel("training masks (dotted: what there is)")
    axes.set_ylabel("AUROC on validation cases")
    axes.set_title(name)
    _legend_below(axes)


def _draw_mix(axes, curve, stock, target, prices, mix) -> None:  # noqa: ANN001 (matplotlib)
    """Masks and labels that reach the target, and the cheapest point."""
    labels = np.geomspace(max(curve.labels0 / 8, 2), 8 * curve.labels0, N_POINTS)
    quantiles = np.full((3, N_POINTS), np.nan)
    for i, n in enumerate(labels if curve.has_labels else [curve.labels0] * N_POINTS):
        needed = masks_needed(curve, target, n)
        found = np.quantile(needed, (0.25, 0.5, 0.75), method="inverted_cdf")
        quantiles[:, i] = np.where(np.isfinite(found), found, np.nan)
    feasible = stock.positives * labels
    middle = np.where(quantiles[1] <= feasible, quantiles[1], np.nan)
    axes.plot(labels, feasible, color=series_ink(7), linestyle=":", label="every positive drawn")
    if np.isfinite(middle).any():
        axes.plot(labels, middle, color=series_ink(0), label=f"AUROC {target:g} reached")
    low, high = quantiles[0], np.fmin(quantiles[2], feasible)  # not reached: up to what can be
    if (low <= feasible).any():
        axes.fill_between(
            labels, low, high, where=low <= feasible, color=series_ink(0), alpha=0.15,
            linewidth=0, label="25 to 75 % of the curves",
        )  # fmt: skip
    axes.plot([stock.labels], [stock.masks], "s", color=series_ink(1), label="what there is")
    if mix and mix["minutes"] is not None:
        axes.plot(
            [mix["labels"]], [mix["masks"]], "*", ms=10, color=series_ink(3), label="cheapest"
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    _plain_ticks(axes.xaxis)
    _plain_ticks(axes.yaxis)
    axes.set_xlabel("training labels")
    axes.set_ylabel("training masks")
    axes.set_title(f"{prices.mask:g} min a mask, {prices.label:g} min a label")
    _legend_below(axes)


def _plain_ticks(axis) -> None:  # noqa: ANN001 (matplotlib)
    """A few plain numbers on a logarithmic axis."""
    low, high = axis.get_view_interval()
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.log10(high) + 1)
    ticks = powers
    for steps in STEPS:
        ticks = np.outer(powers, steps).ravel()
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        if len(ticks) <= MOST_TICKS:
            break
    axis.set_major_locator(ticker.FixedLocator(ticks.tolist()))
    axis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:,.12g}"))
    axis.set_minor_locator(ticker.NullLocator())


def _legend_below(axes) -> None:  # noqa: ANN001 (matplotlib)
    """Under the label of the axis, where it covers no line."""
    axes.legend(loc="upper left", bbox_to_anchor=(-0.05, -0.2), fontsize=8, ncols=2)
