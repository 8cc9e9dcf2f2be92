"""Sections and figures of studies, from entries made by hand."""

import re
from dataclasses import asdict

import pytest

from segclf.report.svg import INKS
from segclf.study.science.claims import CLAIMS
from segclf.study.science.figures import study_svg
from segclf.study.science.section import section

PAIR = {"arm": "segmentation", "other": "classifier", "metric": "auroc", "group": None}
COUNTS = {
    "seeds": [0, 1], "n_cases": 90, "n_patients": 80, "n_positive": 30, "n_negative": 60,
    "n_set_aside": 0,
}  # fmt: skip


def mean(level, arm, value, regime="claimed", **more):
    row = {"regime": regime, "level": level, "x": float(level), "arm": arm, "metric": "auroc"}
    each = {"0": value - 0.01, "1": value + 0.01}
    ends = {"lo": value - 0.05, "hi": value + 0.05}
    return row | {"group": None, "value": value, **ends, "each": each} | COUNTS | more


def pair(level, value, p, regime="claimed"):
    ends = {"value": value, "lo": value - 0.1, "hi": value + 0.1}
    gain = {"value": 100 * value, "lo": -3.0, "hi": None}
    row = PAIR | {"regime": regime, "level": level, "x": float(level), "value": 0.9}
    row |= {"difference": ends, "relative": gain, "p": p, "p_adjusted": p}
    return row | COUNTS


def cell(level, arm, seed, state="done", regime="claimed", **more):
    row = {"study": "s", "regime": regime, "level": level, "x": float(level), "arm": arm}
    row |= {"seed": seed, "state": state, "reason": None, "n_train": int(level), "n_val": 20}
    return row | {"n_train_positive": int(level) // 5, "cpu_s": 30.0 + seed} | more


@pytest.fixture
def entry():
    return {
        "about": "A phantom of 64 px.", "x_name": "training images",
        "regimes": {"claimed": "small targets"},
        "claims": [asdict(CLAIMS["label-efficiency"])],
        "curves": [
            mean("10", "segmentation", 0.9), mean("10", "classifier", 0.7),
            mean("20", "classifier", 0.8),
            mean("20", "classifier", 0.5, "faded") | {
                "value": None, "lo": None, "hi": None, "reason": "no negative test case",
                "each": {}, "seeds": [],
            },
        ],
        "paired": [
            pair("10", 0.2, 0.01), pair("20", 0.05, 0.3), pair("40", -0.2, 0.0001),
            pair("80", 0.1, None) | {"value": None, "reason": "no training of both has a value"},
        ],
        "factor": [
            PAIR | {"regime": "claimed", "level": "20", "x": 20.0, "value": 2.0, "aim": 0.8,
                    "state": "at least", "lo": 1.4, "hi": None, **COUNTS},
        ],
        "cells": [
            *(cell(level, arm, k) for level, arm in (("10", "segmentation"), ("10", "classifier"),
                                                     ("20", "classifier")) for k in (0, 1)),
            cell("20", "segmentation", 0, "not run"),
            cell("20", "segmentation", 1, "not run"),
            cell("20", "classifier", 0, "failed", "faded", reason="out of memory"),
        ],
    }  # fmt: skip


def test_a_study_that_has_not_run_says_so():
    assert section("Prevalence", None) == "## Prevalence\n\nNot run.\n"
    text = section("Prevalence", {"about": "Soon.", "claims": [asdict(CLAIMS["shortcut"])]})
    assert "- Shortcut: not run." in text
    assert "Cost: nothing has run." in text


def test_the_claim_stands_first_and_the_answer_in_figures(entry):
    text = section("Label efficiency", entry)
    assert "**Claimed** (Hooper et al. 2023, abstract, in short): up to" in text
    assert (
        "- Label efficiency: not confirmed: segmentation reaches the AUROC of classifier with "
        "fewer images, by a factor of at least 2 (95 % interval 1.4 to beyond what was measured) "
        "over 2 trainings; the goal is 10, which is not reached." in text
    )
    assert "- Label efficiency, regime faded: not run." in text


def test_every_outcome_is_told_the_negative_ones_too(entry):
    text = section("Label efficiency", entry)
    for sentence in (
        "at 10: AUROC of segmentation was higher than that of classifier (differences +0.200;",
        "at 20: no difference in AUROC between segmentation and classifier could be shown "
        "(differences +0.050;",
        "at 40: AUROC of segmentation was lower than that of classifier (differences -0.200;",
        "at 80: AUROC of segmentation and classifier cannot be compared: no training of both",
        "segmentation needed training images: fewer at 20 (by the interval",
    ):
        assert sentence in text, sentence


def test_tables_have_means_counts_differences_and_what_is_missing(entry):
    text = section("Label efficiency", entry)
    for line in (
        "| training images | training cases (positive) | segmentation | classifier |",
        "| 10 | 10 (2) | 0.900 (0.850 to 0.950) | 0.700 (0.650 to 0.750) |",
        "| 20 | 20 (4) | not run | 0.800 (0.750 to 0.850) |",
        "AUROC. 90 test cases: 30 positives, 60 negatives.",
        "| 10 | segmentation - classifier | +0.200 (+0.100 to +0.300) | +20.0 % (-3.0 to no end) "
        "| 0.010 |",
        "| 40 | segmentation - classifier | -0.200 (-0.300 to -0.100) | -20.0 % (-3.0 to no end) "
        "| < 0.001 |",
        "| 20 | 0.800 | at least 2 (1.4 to not measured) |",
        "Not run: 2 of 9 trainings: claimed, 20, segmentation: 2.",
        "Failed: 1 of 9 trainings: faded, 20, classifier (out of memory): 1.",
        "Cost: 6 trainings of 30 to 31 processor seconds, 3 min in all.",
    ):
        assert line in text.split("\n"), line
    assert "unbiased" not in text


def markers(svg):
    """How often the figure places a marker that it has defined."""
    return len(re.findall(r"<use [^>]*href", svg))


def test_a_curve_has_a_mark_for_each_mean_and_a_dot_for_each_training(entry):
    two = study_svg("Label efficiency", entry["curves"][:2])
    orange = [mark for mark in re.findall(r"<use [^>]*>", two) if INKS["series-1"] in mark]
    assert len(orange) == 1 + 1 + 2 + 1  # band, mean, two trainings, mark of the legend
    assert "Label efficiency" in two
    assert "90 test cases, 2 trainings" in two
    assert study_svg("Label efficiency", entry["curves"][:2]) == two


def test_what_was_not_measured_has_no_mark_but_its_row():
    rows = [mean("1", arm, 0.6 + 0.1 * k) for k, arm in enumerate(("label", "box", "mask"))]
    whole = study_svg("Coarseness", rows, is_size=False)
    rows[1] |= {"value": None, "lo": None, "hi": None, "each": {}}
    holed = study_svg("Coarseness", rows, is_size=False)
    assert "not measured" not in whole
    assert "not measured" in holed
    without = [mean("1", "box", 0.6), mean("1", "mask", 0.8, "faded")]
    assert study_svg("Coarseness", without, is_size=False).count(">not measured<") == 2
    assert markers(whole) - markers(holed) == 1 + 2
    assert "box" in holed


def test_a_study_without_numbers_is_drawn_as_not_run(entry):
    assert "not run" in study_svg("Label efficiency", entry["curves"][3:])
