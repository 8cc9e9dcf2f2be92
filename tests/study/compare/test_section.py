"""An entry of docs/results.json and its section: numbers, words, and what has not run."""

import json

import pytest

from segclf.phantom import PhantomSettings
from segclf.study.compare.section import compare_phantom, entry_of, section

ROW = {"method": "tau", "auroc": 0.9, "auroc_lo": 0.8, "auroc_hi": 0.95, "robust_auroc": 0.85}
FOUND = {
    "finding": "lesion", "reference": "softmax", "rows": [ROW], "metrics": ["left out"],
    "conclusion": {"Which method is better?": ["tau was better than softmax."]},
}  # fmt: skip
COSTS = {
    "labels": 9, "drawn_masks": 15, "free_masks": 9, "steps": 12, "cpu_s": 3.59,
    "images_per_s": None,
}  # fmt: skip
RESULT = {
    "name": "tiny", "data": "phantom", "unit_name": "patient", "seeds": [0, 1], "n_folds": None,
    "steps": 12, "reference": "softmax", "shortcut": "tube", "margins": {}, "versions": {},
    "hardware": {}, "exit_code": 0, "recipe": "left out",
    "methods": [
        {"name": "tau", "family": "rule", "state": "done", **COSTS},
        {"name": "softmax", "family": "head", "state": "failed: the loss is NaN"},
    ],
    "findings": [FOUND],
    "equal_time": {"state": "not run: no head is cheaper", "findings": []},
    "cells": [
        {"cell": "seed 0, segment", "state": "done", "minutes": 0.21, "network": "segment"},
        {"cell": "seed 0, softmax", "state": "failed", "reason": "the loss is NaN"},
        {"cell": "seed 1, softmax", "state": "not run"},
    ],
}  # fmt: skip


def test_an_entry_is_plain_and_holds_no_more_than_the_section_needs():
    entry = json.loads(json.dumps(entry_of(RESULT), allow_nan=False))
    assert "recipe" not in entry
    assert "metrics" not in entry["findings"][0]
    assert section("T", entry) == section("T", entry_of(RESULT))


@pytest.mark.parametrize(
    "text",
    [
        "## Tiny phantom",
        "- tau was better than softmax.",
        "| tau | 0.900 (0.800 to 0.950) | 0.850 |",
        "| softmax | failed: the loss is NaN | failed: the loss is NaN |",
        "Not run: no head is cheaper.",
        "| tau | 9 | 15 | 9 | 12 | 3.6 | not recorded |",
        "seed 0, segment 0.2 min; seed 0, softmax failed: the loss is NaN; seed 1, softmax not run",
        "reference `softmax`, declared before the results",
    ],
)
def test_a_section_shows_numbers_words_costs_and_gaps(text):
    assert text in section("Tiny phantom", entry_of(RESULT))


def test_a_method_of_other_findings_says_so_in_its_row():
    found = {**FOUND, "rows": [ROW, {"method": "softmax", "auroc": None}]}
    found["unscored"] = {"softmax": "scores density=..., not lesion"}
    text = section("T", entry_of(RESULT | {"findings": [found]}))
    assert "| softmax | scores density=..., not lesion | scores density=..., not lesion |" in text


def test_a_comparison_that_was_never_called_reads_not_run():
    assert section("Later", None) == "## Later\n\nNot run.\n"


def test_a_phantom_is_written_once_and_compared_under_its_own_name(tmp_path, monkeypatch):
    calls = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "segclf.study.compare.section.compare",
        lambda exp, methods, **more: calls.append((exp, methods, more)),
    )
    sizes = {"train": 20, "val": 16, "test": 24}
    settings = PhantomSettings.model_validate({"n_cases": sizes, "size_px": (16, 16)})
    for _ in range(2):
        compare_phantom(
            tmp_path / "small", settings, ["tau", "softmax"], n_seeds=5,
            overrides=["train.steps=7"], speed=False,
        )  # fmt: skip
    exp, methods, more = calls[1]
    assert exp.run.path.name == "small"
    assert exp.recipe.train.steps == 7
    assert (methods, more) == (["tau", "softmax"], {"n_seeds": 5, "speed": False})
