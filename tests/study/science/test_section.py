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
        "| 20 | 0.800 | at least 2 (1.4 and more) |",
        "An end that an interval does not have lies beyond the sizes of the study.",
        "Not run: 2 of 9 trainings: claimed, 20, segmentation: 2.",
        "Failed: 1 of 9 trainings: faded, 20, classifier (out of memory): 1.",
        "Cost: 6 trainings of 30 to 31 processor seconds, 3 min in all.",
    ):
        assert line in text.split("\n"), line
    assert "unbiased" not in text


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ({"lo": 1.4, "hi": 3}, "(1.4 to 3)"),
        ({"lo": None, "hi": 3}, "(3 and less)"),
        ({"lo": None, "hi": None, "reason": "no lower and no upper end"}, "(no interval)"),
        ({"lo": None, "hi": None, "reason": "undefined in 9 % of resamples"},
         "(no interval: undefined in 9 % of resamples)"),
    ],
)  # fmt: skip
def test_an_interval_of_a_factor_reads_plainly(entry, ends, words):
    entry["factor"][0] |= ends
    text = section("Label efficiency", entry)
    assert f"| 20 | 0.800 | at least 2 {words} |" in text
    assert "not measured" not in text
    is_beyond = None in ends.values() and "undefined" not in words
    assert ("An end that an interval does not have" in text) == is_beyond


def test_p_values_say_how_they_came_about_and_what_they_pay_for(entry):
    split = section("Label efficiency", entry)
    assert "95 % intervals draw trainings and patients anew together and are" in split
    assert "p: paired t test: difference over its standard error, both over trainings and" in split
    paid = "adjusted together for all comparisons, regimes and levels of one metric in one group"
    assert paid in split
    entry["cells"] = [own | {"fold": own["seed"]} for own in entry["cells"]]
    folded = section("Label efficiency", entry)
    assert "95 % intervals draw folds and patients anew together and are" in folded
    assert "whose noise counts about twice" in folded
    assert "one training" not in split + folded


def of_one(row):
    return row | {"seeds": [0]} | ({"p": None, "p_adjusted": None} if "p" in row else {})


def test_one_training_says_so_in_every_heading_and_sentence_and_shows_nothing(entry):
    for key in ("curves", "paired", "factor"):
        entry[key] = [of_one(row) for row in entry[key]]
    entry["paired"][0] |= {"p": 0.001, "p_adjusted": 0.002}  # as an older entry has it
    steps = [{"first": "b", "second": "a", **entry["paired"][0]}]
    rise = {"regime": "claimed", "level": "10", "order": ["a", "b"], "metric": "auroc"}
    entry["trend"] = [rise | {"group": None, "steps": steps, "is_rising": True}]
    text = section("Label efficiency", entry)
    alone = "of patients alone: one training"
    for words in (
        f"Values are means over 1 training; 95 % intervals are {alone} and are of one number each.",
        f"p with one training: none, and intervals are {alone}, whose noise is not known.",
        f"| segmentation; intervals {alone} | classifier; intervals {alone} |",
        f"| AUROC: difference; intervals {alone} |",
        f"| factor fewer for segmentation (95 %); intervals {alone} |",
        "at 10, 20, 40: whether AUROC of segmentation differs from that of classifier cannot be "
        f"said (differences -0.200 to +0.200; intervals are {alone}; no p: one training: its noise "
        "is not known).",
        f"fewer at 20 (by the interval of each factor, {alone}; not adjusted).",
        f"a rise of AUROC from a to b: at every step (by intervals {alone}).",
        f"(95 % interval 1.4 to beyond what was measured, {alone}) over 1 training",
    ):
        assert words in text, words
    for words in ("was higher", "was lower", "p at most", "paired t test"):
        assert words not in text, words


def test_a_heading_names_the_levels_with_one_training(entry):
    entry["paired"][1] = of_one(entry["paired"][1])
    text = section("Label efficiency", entry)
    assert "| AUROC: difference; intervals at 20 of patients alone: one training |" in text
    assert "p: paired t test" in text
    assert "p with one training: none" in text
    entry["curves"][0] = of_one(entry["curves"][0])
    drawn = "draw trainings and patients anew together (with one, of patients alone: one training)"
    assert drawn in section("Label efficiency", entry)


def test_searches_that_ended_at_an_edge_are_counted(entry):
    entry["settings"] = {"claimed, 10, segment": "train.lr=0.003 train.steps=200"}
    assert "searches" not in section("Label efficiency", entry)  # an entry made before
    edges = {"segment": {"n": 4, "n_at_edge": 2}, "classify": {"n": 4, "n_at_edge": 4}}
    lines = section("Label efficiency", entry | {"search_edges": edges}).split("\n")
    assert (
        "In 4 of 4 searches of classify and 2 of 4 of segment the longest or fastest setting won: "
        "more might do better." in lines
    )
    edges = {"segment": {"n": 4, "n_at_edge": 0}}
    lines = section("Label efficiency", entry | {"search_edges": edges}).split("\n")
    assert "In 0 of 4 searches of segment the longest or fastest setting won." in lines


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


def test_a_mean_without_an_interval_is_said_to_have_none():
    rows = [mean("1", arm, 0.6 + 0.1 * k) for k, arm in enumerate(("label", "box"))]
    assert "no interval" not in study_svg("Coarseness", rows, is_size=False)
    rows[1] |= {"lo": None, "hi": None}
    assert "no line: no interval" in study_svg("Coarseness", rows, is_size=False)


def test_one_panel_has_its_legend_beside_it_and_not_over_the_title(entry):
    one = study_svg("A title that is as long as titles of studies are", entry["curves"][:2])
    places = [float(x) for x in re.findall(r'x="([\d.]+)"[^>]*>(?:segmentation|classifier)<', one)]
    width = float(re.search(r'width="([\d.]+)pt"', one).group(1))
    assert len(places) == 2
    assert min(places) > 0.7 * width


def test_a_study_without_numbers_is_drawn_as_not_run(entry):
    assert "not run" in study_svg("Label efficiency", entry["curves"][3:])
