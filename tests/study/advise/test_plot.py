"""The planner's figure: plain numbers on its axes, a labelled band, a legend beside the lines."""

import numpy as np
import pandas as pd
import pytest

from segclf.report.svg import svg_text
from segclf.study.advise import plot
from segclf.study.advise.buy import Prices, Stock, cheapest
from segclf.study.advise.curve import fit_curve

STOCK, PRICES = Stock(100, 300, 0.4), Prices(3, 0.5)


@pytest.fixture(scope="module")
def figure():
    """Of curves through 15 trainings, with fewer labels in the last three."""
    masks, labels = np.repeat([12, 25, 50, 100, 100], 3), np.repeat([300, 120], [12, 3])
    auroc = 0.96 - 0.25 * (masks / 12) ** -0.6 - 0.05 * (labels / 300) ** -1.0
    auroc = auroc + np.tile([-0.01, 0, 0.01], 5)
    curve = fit_curve(masks, labels, auroc)
    measured = pd.DataFrame({"n_masks": masks, "n_labels": labels, "auroc": auroc})
    mix = cheapest(curve, 0.85, PRICES, STOCK, anew=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plot, "svg_text", lambda drawn: drawn)
        return plot.curve_svg(
            curve, measured, STOCK, name="lesion", target=0.85, prices=PRICES, mix=mix
        )


def test_numbers_on_the_axes_are_plain_and_few(figure):
    text = svg_text(figure)
    assert "$" not in text
    assert "mathdefault" not in text
    for axis in (figure.axes[0].xaxis, figure.axes[1].xaxis, figure.axes[1].yaxis):
        shown = [label.get_text() for label in axis.get_ticklabels()]
        assert 2 <= len(shown) <= 6
        assert all(float(number.replace(",", "")) > 0 for number in shown)
        assert not len(axis.get_minorticklocs())


def test_the_legends_lie_below_the_lines(figure):
    svg_text(figure)  # lays out
    for axes in figure.axes:
        assert axes.get_legend().get_window_extent().y1 < axes.get_window_extent().y0


def test_the_band_says_what_it_is_and_ends_where_no_positive_is_left_to_draw(figure):
    (band,) = figure.axes[1].collections
    assert band.get_label() == "25 to 75 % of the curves"
    (path,) = band.get_paths()
    labels, masks = path.vertices.T
    assert len(labels) > 20
    assert (masks <= STOCK.positives * labels * (1 + 1e-9)).all()
