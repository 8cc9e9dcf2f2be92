"""Pseudo-masks of a tiny run: files, tables, repetition, and what is never read."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segclf.manifest import cases_of
from segclf.predict import predict_maps
from segclf.pseudolabel import FILTERS, make_pseudo_masks


def table_of(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def undrawn(exp):
    """Training cases whose mask is neither drawn nor known to be empty."""
    return [c for c in cases_of(exp.table, exp.split, "train") if c.masks[0].state == "unknown"]


def maps_of(exp):
    return dict(predict_maps(undrawn(exp), exp.run.stage("segment"), exp.recipe))


def fit_of(exp):
    record = json.loads((exp.run.stage("summarize", "tau") / "summarizer.json").read_text())
    return record["fits"][0]["t"], record["fits"][0]["threshold"]


def test_boosted_masks_are_the_pixels_above_t_of_cases_with_enough_area(exp):
    folder = make_pseudo_masks(exp, filter_name="boosted")
    t, tau = fit_of(exp)
    maps, rows = maps_of(exp), {row["case_id"]: row for row in table_of(folder / "ledger.csv")}
    labels = {case.case_id: case.labels[0] for case in undrawn(exp)}
    positive = [case_id for case_id, label in labels.items() if label == 1]
    assert len(positive) == 8
    for case_id in positive:
        expected = maps[case_id][0].astype(float) > t
        if expected.sum() > tau:
            assert rows[case_id]["action"] == "kept"
            stored = np.asarray(Image.open(folder / rows[case_id]["mask"]))
            np.testing.assert_array_equal(stored, expected.astype(np.uint8))
        else:
            assert (rows[case_id]["action"], rows[case_id]["mask"]) == ("dropped", "")
    assert {rows[c]["action"] for c in positive} == {"kept", "dropped"}  # both are seen here


@pytest.mark.parametrize("name", FILTERS)
def test_the_ledger_lists_every_case_of_the_manifest_once_and_its_counts_add_up(exp, name):
    folder = make_pseudo_masks(exp, filter_name=name)
    rows = table_of(folder / "ledger.csv")
    assert [row["case_id"] for row in rows] == list(exp.table.frame["case_id"])
    counts = json.loads((folder / "record.json").read_text())["counts"]["lesion"]
    assert sum(sum(reasons.values()) for reasons in counts.values()) == len(exp.table.cases) == 44
    found = pd.DataFrame(rows).groupby(["action", "reason"]).size()
    assert {(a, r): n for a, reasons in counts.items() for r, n in reasons.items()} == dict(found)
    assert counts["held_out"] == {"val": 12, "test": 12}
    assert counts["drawn"] == {"drawn_mask": 3}
    assert all(row["why"] for row in rows)
