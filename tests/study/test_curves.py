"""The figures of the page of results: what they show, from entries made by hand."""

import re

import pytest

from segclf.study.curves import few_masks_svg, planner_svg
from segclf.study.experiments import comparisons_page
from segclf.study.planner_proof import words_of
from segclf.study.semi_proof import FEW, FULL


def row(auroc, *each):
    return {"auroc": auroc, "each": list(each)}


@pytest.fixture
def setting():
    return {
        "setting": {"contrast": 0.5, "n_cases": {"train": 200}},
        "n_masks": 80.0, "auroc": 0.9, "lo": 0.85, "hi": 0.95, "measured": 0.8,
        "is_covered": False, "trainings": [[10.0, 0.7], [20.0, 0.8]],
        "curve": [[10.0, 0.65, 0.7, 0.75], [80.0, 0.85, 0.9, 0.95]],
    }  # fmt: skip


def markers(svg):
    """How often the figure places a marker that it has defined."""
    return len(re.findall(r"<use [^>]*href", svg))


def test_a_method_that_has_not_run_has_no_line_and_each_subset_is_a_dot():
    rows = {FEW: row(0.8, 0.8), FULL: row(0.96, 0.95, 0.97), "cps": row(None)}
    one = few_masks_svg({"rows": rows})
    assert FEW in one
    assert "cps" not in one
    more = few_masks_svg({"rows": rows | {"cps": row(0.9, 0.88, 0.9, 0.92)}})
    assert "cps" in more
    assert markers(more) - markers(one) >= 4  # three dots and the mark of their mean


def test_a_measured_value_outside_its_interval_is_hollow(setting):
    missed = planner_svg({"settings": [setting]})
    hit = planner_svg({"settings": [setting | {"is_covered": True}]})
    assert missed != hit
    assert "contrast 0.5" in missed
    assert "training cases 200" in missed
    assert planner_svg({"settings": [setting]}) == missed


def test_a_setting_is_read_in_words(setting):
    assert words_of(setting["setting"]) == ["contrast 0.5", "training cases 200"]


def test_the_page_shows_a_figure_only_of_what_has_run():
    entry = {"n_subsets": 1, "overrides": ["a=1"], "cells": {}, "rows": {}, "boosted": {}}
    assert "](ct_ich_semi.svg)" in comparisons_page({"ct_ich_semi": entry})
    assert ".svg" not in comparisons_page({})
