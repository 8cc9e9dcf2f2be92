"""Figures: right numbers in the right place, the same bytes every time, names taken as text."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from matplotlib import rcParams

from segclf.core.settings import SummarizeSettings
from segclf.report.content import Plane, planes_of
from segclf.report.curves import KINDS, curve_figure
from segclf.report.forest import forest_figure
from segclf.report.planes import chosen_text, plane_caption, plane_figure
from segclf.report.points import roc_points
from segclf.report.rows import as_rows, where
from segclf.report.scored import scored_cases
from segclf.report.svg import INKS, inline_svg, svg_text
from segclf.report.training import training_figure
from segclf.summarize.plane import fit_plane

METHODS = ["tau", "sigmoid"]


@pytest.fixture
def plane():
    t = np.array([0.1, 0.5, 0.9])
    value = np.array([[0.1, 0.2, 0.3], [0.4, np.nan, 0.5], [0.6, 0.7, 0.8]])
    return Plane("lesion", t, np.array([0.0, 1.0, 10.0]), value, "J", "mm2", (0.5, 10.0))


def forest(metrics):
    rows = where(as_rows(metrics), finding="lesion")
    return forest_figure(
        rows, metric="auroc", axis_name="AUROC", methods=METHODS, unit_name="study"
    )


def roc_figure(scores, metrics):
    return curve_figure(KINDS["roc"], scored_cases(scores, "lesion", METHODS), metrics)


def words(figure):
    """Every text of a figure, as a reader of the SVG gets it."""
    tree = ET.fromstring(svg_text(figure))
    return [text.text for text in tree.iter("{http://www.w3.org/2000/svg}text")]


def test_the_roc_of_folds_is_the_mean_of_their_curves(scores, metrics):
    rng = np.random.default_rng(1)
    one = scores[scores["method"] == "tau"].assign(fold=pd.array([0] * 40, dtype="Int64"))
    two = one.assign(fold=pd.array([1] * 40, dtype="Int64"), score=rng.random(40) - 100)
    both = pd.concat([one, two])
    overall = where(as_rows(metrics), group_column="all")
    figure = roc_figure(both, overall)
    lines = figure.axes[0].get_lines()
    assert "tau  AUROC 0.900  mean of 2" in [line.get_label() for line in lines]
    thick = next(line for line in lines if len(line.get_xdata()) == 201)
    x = np.asarray(thick.get_xdata())
    curves = [roc_points(part["label"].to_numpy(), part["score"].to_numpy()) for part in (one, two)]
    expected = np.mean([np.interp(x, *curve) for curve in curves], axis=0)
    np.testing.assert_allclose(thick.get_ydata(), expected)
    assert any("sigmoid  not estimated" in str(line.get_label()) for line in lines)


def test_the_roc_shows_the_auroc_of_the_table_and_the_operating_point(scores, metrics):
    overall = where(as_rows(metrics), group_column="all")
    figure = roc_figure(scores, overall)
    lines = figure.axes[0].get_lines()
    assert "tau  AUROC 0.900" in [line.get_label() for line in lines]
    points = [line.get_data() for line in lines if line.get_marker() == "o"]
    assert [(float(x[0]), float(y[0])) for x, y in points] == [(0.4, 0.75)] * 2


def test_only_test_cases_with_a_label_and_a_score_enter_the_roc(scores, metrics):
    overall = where(as_rows(metrics), group_column="all")
    unknown = scores.assign(label=np.nan, score=9.0)
    unscored = scores.assign(score=np.nan)
    mixed = pd.concat([scores, scores.assign(split="val", score=0.0), unknown, unscored])
    plain, same = (svg_text(roc_figure(s, overall)) for s in (scores, mixed))
    assert plain == same


def test_the_forest_draws_each_estimate_with_its_interval(metrics):
    axes = forest(metrics).axes[0]
    bars = [line for line in axes.get_lines() if line.get_linestyle() == "-"]
    bars = [tuple(np.round(bar.get_xdata(), 3)) for bar in bars if bar.get_marker() == "None"]
    assert sorted(bars) == [(0.6, 0.95)] * 3 + [(0.8, 0.95)] * 2  # tau in M has no estimate
    points = [line.get_xdata()[0] for line in axes.get_lines() if line.get_marker() != "None"]
    assert sorted(np.round(points, 3)) == [0.7] * 3 + [0.9] * 2


def test_the_forest_says_n_and_why_a_row_is_missing(metrics):
    shown = words(forest(metrics))
    assert "16 pos., 24 neg., 20 studies" in shown
    assert "not estimated: 3 positive patients (fewer than 5)" in shown
    assert "0.900 [0.800, 0.950]" in shown
    assert "sex = F" in shown


def test_the_same_figure_gives_the_same_bytes_and_no_date(metrics):
    first, second = svg_text(forest(metrics)), svg_text(forest(metrics))
    assert first == second
    assert "<dc:date>" not in first
    assert "metadata" not in first


def test_drawing_leaves_the_global_settings_alone(metrics):
    before = dict(rcParams)
    svg_text(forest(metrics))
    assert dict(rcParams) == before


def test_names_are_text_in_figures_whatever_they_hold(metrics):
    hostile = "<img src=x onerror=alert(1)> $x^$ & --> 患者 ]]>"
    renamed = metrics.replace({"group": {"F": hostile}})
    text = svg_text(forest(renamed))
    assert "<img" not in text
    assert any("<img src=x onerror" in (word or "") for word in words(forest(renamed)))
    inline = inline_svg(text, name="f", title='"><script>')
    assert "<script" not in inline
    assert "&lt;script&gt;" in inline


def test_an_inline_figure_has_its_own_ids_and_the_colours_of_the_page(metrics):
    inline = inline_svg(svg_text(forest(metrics)), name="forest-3", title="Forest")
    ids = re.findall(r'\bid="([^"]*)"', inline)
    assert all(name.startswith("forest-3-") for name in ids)
    assert len(set(ids)) == len(ids)
    used = re.findall(r"url\(#([^)]*)\)", inline) + re.findall(r'href="#([^"]*)"', inline)
    assert set(used) <= set(ids)
    assert "var(--series-0)" in inline
    assert not any(value in inline for value in INKS.values())
    assert 'role="img" aria-labelledby="forest-3-title"' in inline
    assert "<?xml" not in inline
    assert "<style" not in inline


def test_training_curves_skip_what_is_undefined(content):
    figure = training_figure(content.training)
    auroc, dice = figure.axes[1], figure.axes[2]
    assert [len(line.get_xdata()) for line in auroc.get_lines()] == [1, 1, 0, 0]
    assert dice.get_lines()[0].get_ydata() == [0.2]
    assert "Image false-positive rate" in " ".join(filter(None, words(figure)))


def test_the_plane_marks_the_chosen_point(plane):
    axes = plane_figure(plane).axes[0]
    (x,), (y,) = axes.get_lines()[0].get_data()
    assert (x, y) == (1.0, 2.0)  # column of t = 0.5, row of tau = 10
    image = axes.get_images()[0].get_array()
    assert image[2, 0] == 0.3  # row tau = 10, column t = 0.1
    assert image.mask[1, 1]
    assert "tau: area that is not enough [mm²]" in words(plane_figure(plane))


def test_the_plane_is_described_in_words(plane):
    assert chosen_text([plane]) == ["lesion: t = 0.5, tau = 10 mm²"]
    assert plane_caption(plane) == (
        "J for every t and tau: lesion; grey where the target is not met"
    )


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (SummarizeSettings(), "Youden's J"),
        (SummarizeSettings(objective="cost", cost_ratio=3), "mean cost per case"),
        (
            SummarizeSettings(objective="sensitivity", target=0.8),
            "specificity at sensitivity >= 0.8",
        ),
        (
            SummarizeSettings(objective="specificity", target=0.8),
            "sensitivity at specificity >= 0.8",
        ),
    ],
)
def test_planes_come_out_of_the_record_of_a_rule(settings, name):
    rng = np.random.default_rng(0)
    label = (np.arange(30) % 2).astype(float)
    curve = np.sort(rng.integers(0, 40, (30, 129)) + (20 * label[:, None]).astype(int))[:, ::-1]
    t, tau, fit = fit_plane(lambda column: curve[:, column], label, settings, smallest_area=1.0)
    head = {"finding": "lesion", "fold": 1, "unit": "px", "t": t, "threshold": tau}
    record = {"rule": "tau", "fits": [head | fit, {"finding": "b", "reason": "no cases"}]}
    (plane,) = planes_of(record)
    assert (plane.title, plane.value_name) == ("lesion, fold 1, rule tau", name)
    assert plane.value.shape == (129, len(plane.tau))
    called = curve[:, 40] > plane.tau[9]
    sensitivity, specificity = called[label == 1].mean(), (~called)[label == 0].mean()
    expected = {
        "youden": sensitivity + specificity - 1,
        "cost": (3 * (~called & (label == 1)).sum() + (called & (label == 0)).sum()) / 30,
        "sensitivity": specificity if sensitivity >= 0.8 else np.nan,
        "specificity": sensitivity if specificity >= 0.8 else np.nan,
    }[settings.objective]
    np.testing.assert_allclose(plane.value[40, 9], expected)
    best = np.nanmin if settings.objective == "cost" else np.nanmax
    at_chosen = plane.value[np.abs(plane.t - plane.chosen[0]).argmin()]
    assert abs(best(at_chosen) - best(plane.value)) < 0.2
