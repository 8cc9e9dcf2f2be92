"""The results page: numbers as they are in the table, and what has not run says so."""

import pytest

from segclf.study.page import measured_line, predictive_values, results_page


def metric(name, estimate, **more):
    row = {"method": "tau", "finding": "haemorrhage", "metric": name, "estimate": estimate}
    counts = {"n_cases": 10, "n_patients": 5, "n_positive": 4, "n_negative": 6}
    return row | counts | {"lo": None, "hi": None, "reason": ""} | more


def entry():
    return {
        "findings": ["haemorrhage"],
        "unit_name": "patient",
        "metrics": [
            metric("auroc", 0.875, lo=0.8, hi=0.95),
            metric("sensitivity", 0.9),
            metric("specificity", 0.8),
            metric("average_precision", None, reason="one class only"),
        ],
        "overlap": [
            metric("dice", 0.31) | {"method": "segmenter"},
            metric("hd95_mm", 12.5) | {"method": "segmenter"},
            metric("false_positive_area_mm2", 80.0) | {"method": "segmenter"},
        ],
        "cells": {"segment fold 0": {"minutes": 4.25}, "classify fold 0": {"failed": "no memory"}},
    }


def test_a_recipe_that_has_not_run_reads_not_run():
    page = results_page({})
    assert page.count("Out-of-fold numbers: not run.") == 4
    assert page.count("Cells: not run.") == 4


def test_numbers_intervals_reasons_and_times_are_those_of_the_table():
    page = results_page({"ct_ich_2d": entry()})
    row = next(line for line in page.splitlines() if line.startswith("| tau |"))
    assert "0.875 (0.800 to 0.950)" in row
    assert "not estimable: one class only" in row
    assert "| haemorrhage: dice | 0.310 | 4 |" in page
    assert "| haemorrhage: hd95 mm | 12.500 | 4 |" in page
    assert "| haemorrhage: false positive area mm2 | 80.000 | 6 |" in page
    assert "segment fold 0 4.2 min, classify fold 0 no memory" in page


def test_predictive_values_follow_bayes_by_hand():
    # of 1,000 with prevalence 10 %: 90 of 100 found, 180 of 900 false alarms
    assert predictive_values(0.9, 0.8, 0.1) == [f"{90 / 270:.3f}", f"{720 / 730:.3f}"]


@pytest.mark.parametrize("values", [(None, 0.8), (0.9, None)])
def test_predictive_values_without_decisions_are_not_estimable(values):
    assert predictive_values(*values, 0.1) == ["not estimable", "not estimable"]


def test_a_predictive_value_without_such_decisions_is_undefined():
    assert predictive_values(0.0, 1.0, 0.1)[0].startswith("undefined")


def test_the_line_of_a_recipe_has_mean_times_and_the_first_findings_numbers():
    own = entry()
    own["cells"] = {
        "segment fold 0": {"minutes": 4.0},
        "segment fold 1": {"minutes": 5.0},
        "classify fold 0": {"minutes": 1.5},
    }
    names = {"tau": 0.8, "mean": 0.7, "max": 0.6, "sigmoid": 0.5, "column:slice": 0.4}
    own["metrics"] = [metric("auroc", value) | {"method": name} for name, value in names.items()]
    own["metrics"].append(metric("auroc", 0.99) | {"method": "tau", "finding": "other"})
    own["overlap"] = [metric("dice", 0.31) | {"method": "segmenter"}]
    own["hardware"] = {"threads": "2"}
    assert measured_line(own) == (
        "segmenter 4.5 and classifier 1.5 min per fold (threads: 2); Dice on positives 0.310; "
        "AUROC mean 0.700, max 0.600, tau 0.800, sigmoid 0.500, column:slice 0.400"
    )
