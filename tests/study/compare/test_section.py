"""An entry of docs/results.json and its section: numbers, words, and what has not run."""

import json

import pytest

from segclf.phantom import PhantomSettings
from segclf.study.compare.figures import phrase
from segclf.study.compare.output import comparison_text, result_table
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


def test_the_spread_over_seeds_and_the_worst_group_are_shown():
    row = {**ROW, "auroc_seed_min": 0.81, "auroc_seed_max": 0.94}
    row |= {"worst_group": "sex: F", "worst_group_auroc": 0.7}
    result = RESULT | {"findings": [{**FOUND, "rows": [row]}]}
    text = section("T", entry_of(result))
    assert "| lesion | AUROC | over seeds | robust AUROC | worst group: AUROC |" in text
    assert "| tau | 0.900 (0.800 to 0.950) | 0.810 to 0.940 | 0.850 | 0.700 (sex: F) |" in text
    assert "by patient, for the trainings that were made; over seeds: smallest and largest" in text
    text = section("T", entry_of(result | {"seeds": [0]}))
    assert "over seeds" not in text


def test_a_collapsed_segmenter_marks_its_methods_in_every_table():
    tau = {"name": "tau", "family": "rule", "state": "done", **COSTS}
    tau |= {"collapsed": [{"seed": 1, "fold": None}], "notes": ["collapsed segmenter: seed 1"]}
    result = RESULT | {"methods": [tau]}
    text = section("T", entry_of(result))
    assert "| tau (collapsed segmenter: seed 1) | 0.900" in text
    assert "| tau (collapsed segmenter: seed 1) | 9 |" in text
    (line,) = [one for one in comparison_text(result).splitlines() if one.startswith("  tau ")]
    assert line.endswith("(collapsed segmenter)")


def test_differences_and_leans_stand_in_a_table_of_their_own():
    row = {**ROW, "difference": 0.329, "difference_lo": 0.281, "difference_hi": 0.378}
    row |= {"difference_p_adjusted": 0.0001, "robust_difference": 0.8}
    row |= {"robust_difference_p_adjusted": 0.31, "aligned_minus_robust": 0.069}
    other = {"method": "softmax", "auroc": 0.5, "aligned_minus_robust": 0.8}
    other |= {"aligned_minus_robust_lo": 0.7, "aligned_minus_robust_hi": 0.9}
    text = section("T", entry_of(RESULT | {"findings": [{**FOUND, "rows": [row, other]}]}))
    assert "| lesion | AUROC minus that of softmax | robust AUROC minus that of softmax |" in text
    assert (
        "| tau | 0.329 (0.281 to 0.378); adjusted p < 0.001 | 0.800; adjusted p 0.310 | 0.069 |"
        in text
    )
    assert "| softmax |  |  | 0.800 (0.700 to 0.900) |" in text


def test_what_was_changed_after_the_results_is_not_called_declared():
    more = {"declared_references": ["tau", "softmax"], "changed_late": {"margins": {}}}
    text = section("T", entry_of(RESULT | more))
    assert "reference `softmax`, another one at first." in text
    assert "Changed after there were results: margins." in text
    assert "declared before" not in text


def test_images_per_second_have_two_digits_and_the_range_of_their_rounds():
    tau = {"name": "tau", "family": "rule", "state": "done", **COSTS}
    tau |= {"images_per_s": 121.47, "images_per_s_range": [97.3, 1310.0]}
    text = section("T", entry_of(RESULT | {"methods": [tau]}))
    assert "| 3.6 | 120 (97 to 1,300) |" in text
    tau["images_per_s_range"] = None  # as earlier versions left it
    assert "| 3.6 | 120 |" in section("T", entry_of(RESULT | {"methods": [tau]}))


def test_the_trainings_are_added_up_in_processor_time():
    text = section("T", entry_of(RESULT | {"trainings_cpu_s": [52.4, None, 31.0]}))
    assert (
        "2 trainings took 1.4 CPU-minutes in all, the longest 52 CPU-seconds (1 more did not "
        "record it)." in text
    )
    assert "CPU-minutes" not in section("T", entry_of(RESULT))  # kept before it was


def test_optimism_of_maps_is_shown_with_the_differences_that_it_makes():
    maps = [
        {"method": name, "finding": "lesion", "auroc_fitted": fitted, "auroc_validation": 0.9}
        for name, fitted in (("fc", 0.998), ("logistic", 0.998), ("fc-oof", 0.95))
    ]
    pair = {"metric": "auroc", "group": "all", "first": "fc-oof", "second": "fc", "reason": ""}
    pair |= {"difference": 0.012, "lo": -0.002, "hi": 0.022, "p": 0.03, "p_adjusted": 0.06}
    others = [
        pair | {"group": "robust", "difference": None, "reason": "too few"},
        pair | {"metric": "sensitivity"},
    ]
    found = {**FOUND, "out_of_fold": [pair, *others]}
    entry = json.loads(json.dumps(entry_of(RESULT | {"findings": [found], "maps": maps})))
    text = section("T", entry)
    assert "### Are the maps that were fitted on optimistic?" in text
    assert "| fc, logistic | 0.998 | 0.900 |" in text
    assert "| fc-oof | 0.950 | 0.900 |" in text
    assert "| fc-oof minus fc: AUROC | 0.012 (-0.002 to 0.022) | adjusted p 0.060 |" in text
    assert "| fc-oof minus fc: robust AUROC | not estimated: too few |  |" in text
    assert "sensitivity" not in text
    older = {name: value for name, value in entry.items() if name != "maps"}
    older["findings"] = [
        {name: value for name, value in one.items() if name != "out_of_fold"}
        for one in entry["findings"]
    ]
    assert "optimistic" not in section("T", older)  # kept before these numbers were


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


def test_a_method_that_uses_extra_labels_is_marked_wherever_it_is_named():
    method = {"name": "fc-val", "family": "trained", "state": "done", **COSTS}
    method["notes"] = ["uses extra labels: it is fitted on labels of validation cases"]
    row = {**ROW, "method": "fc-val"}
    result = RESULT | {"methods": [method], "findings": [{**FOUND, "rows": [row]}]}
    text = section("T", entry_of(result))
    assert "| fc-val (uses extra labels) | 0.900" in text
    assert "| fc-val (uses extra labels) | 9 |" in text
    assert list(result_table(result)["extra_labels"]) == ["uses extra labels"]
    (line,) = [one for one in comparison_text(result).splitlines() if one.startswith("  fc-val")]
    assert line.endswith("(uses extra labels)")
    assert phrase("fc-val", "trained").endswith("fc-val (uses extra labels)")
    assert "extra" not in phrase("fc", "trained")


def test_the_table_at_equal_time_has_every_method_and_marks_those_over_the_aim():
    methods = [
        {"name": "tau", "family": "rule", "state": "done", **COSTS, "cpu_s": 8.0},
        {"name": "fc", "family": "trained", "state": "done", **COSTS, "cpu_s": 12.0},
        {"name": "softmax", "family": "head", "state": "done", **COSTS, "cpu_s": 4.0},
    ]
    again = {"name": "softmax@time", "of": "softmax", "state": "done", "cpu_s": 8.1, "steps": 24}
    time = {"state": "done", "aim_cpu_s": 8.0, "methods": [again], "findings": [FOUND]}
    table = result_table(RESULT | {"methods": methods, "equal_time": time})
    table = table[table["budget"] == "same training time"]
    assert list(table["method"]) == ["tau", "fc", "softmax@time"]
    assert list(table["cpu_s"]) == [8.0, 12.0, 8.1]
    assert list(table["time_note"]) == ["", "needs more than the aim", ""]
    assert table.iloc[0]["auroc"] == 0.9
