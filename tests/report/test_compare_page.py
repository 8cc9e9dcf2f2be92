"""The page of a comparison: everything is on it, foreign text is escaped, gaps are said."""

import copy
import re
from html.parser import HTMLParser

import pytest

from segclf.classify import HEADS
from segclf.report import write_comparison
from segclf.report.compare_names import name_rows
from segclf.report.compare_tables import cells_table, costs_table, results_table
from segclf.study.compare.methods import known_methods
from segclf.summarize import SUMMARIZERS
from segclf.summarize.trained import TRAINED

SIZES = {
    "n_cases": 60, "n_patients": 30, "n_positive": 32, "n_negative": 28, "n_positive_patients": 16,
    "n_negative_patients": 14,
}  # fmt: skip
LIMITS = {"interval": "percentile, patient bootstrap", "reason": ""}
EVIL = "<script>alert(1)</script>"


def metric(method, name, estimate):
    row = {"method": method, "finding": "lesion", "metric": name, "estimate": estimate}
    row |= {"group_column": "all", "group": "all", "lo": estimate - 0.1, "hi": estimate + 0.05}
    return row | SIZES | LIMITS | {"seed_min": estimate - 0.02, "seed_max": estimate + 0.02}


def difference(first, group="all", metric="auroc"):
    column = "all" if group == "all" else "shortcut: tube"
    row = {"kind": "methods", "finding": "lesion", "metric": metric, "group_column": column}
    row |= {"group": group, "method": "", "first": first, "second": "softmax"}
    row |= {"estimate_first": 0.9, "estimate_second": 0.8, "difference": 0.1, "lo": 0.02}
    row |= {"hi": 0.18, "p": 0.01, "p_adjusted": 0.02, "adjusted_by": "Holm", "n_tests": 2}
    row |= {"family": "differences from softmax", "margin": None, "verdict": "better"}
    row |= {"seed_sd_first": 0.01, "seed_sd_second": None, "test": "patients and seeds resampled"}
    return row | SIZES | LIMITS | {"interval": "patients and seeds resampled"}


def robust(method, quantity, estimate):
    row = {"method": method, "finding": "lesion", "shortcut": "tube", "quantity": quantity}
    row |= {"definition": "", "estimate": estimate, "lo": estimate - 0.1, "hi": estimate + 0.1}
    return row | SIZES | LIMITS


def entry(name, family, state="done", **more):
    row = {"name": name, "family": family, "phrase": name, "state": state, "notes": []}
    row |= {"n_seeds_done": 2 if state == "done" else 0, "uses_masks": family != "head"}
    return row | more


METHODS = [
    entry(
        "tau", "rule", labels=9, val_labels=24, drawn_masks=15, free_masks=9, steps=12, cpu_s=3.59,
        images_per_s=153.3, parts={"segmenter": {"steps": 12, "cpu_s": 3.59}},
    ),
    entry("fc-val", "trained", "failed: no case", notes=["uses extra labels: of validation cases"]),
    entry(
        "softmax", "head", labels=24, val_labels=24, drawn_masks=0, free_masks=0, steps=12,
        cpu_s=2.4, images_per_s=None, parts={"softmax": {"steps": 12, "cpu_s": 2.4}},
    ),
]  # fmt: skip
NAMES = ("auroc", "average_precision", "sensitivity", "specificity")
FOUND = {
    "finding": "lesion",
    "reference": "softmax",
    "metrics": [metric(m, n, v) for m, v in (("tau", 0.9), ("softmax", 0.8)) for n in NAMES],
    "differences": [
        difference("tau"), difference("tau", "robust"), difference("tau", metric="sensitivity"),
    ],
    "out_of_fold": [],
    "robust": [
        robust(m, q, v)
        for m, v in (("tau", 0.85), ("softmax", 0.4))
        for q in ("robust", "aligned - robust")
    ],
    "worst": [
        {"method": m, "group_column": "sex", "worst_group": "F", "worst": 0.7, "metric": "auroc"}
        for m in ("tau", "softmax")
    ],
    "dice": [],
    "rows": [
        {"method": "tau", "dice": 0.61, "dice_lo": 0.5, "dice_hi": 0.7}, {"method": "softmax"},
    ],
    "conclusion": {"Which method is better?": ["tau was better than softmax."]},
    "notes": [],
}  # fmt: skip
RESULT = {
    "name": "tiny", "data": "phantom", "unit_name": "patient", "seeds": [0, 1], "n_folds": None,
    "steps": 12, "reference": "softmax", "declared_references": ["softmax"], "shortcut": "tube",
    "by": ["sex"], "margins": {"auroc": 0.03}, "confidence": 0.95, "n_boot": 1000,
    "recipe": "name: tiny", "manifest_sha256": "abc", "versions": {"python": "3"},
    "hardware": {"cpu": "some"}, "methods": METHODS, "findings": [FOUND],
    "equal_time": {"state": "not run: left out by --no-equal-time", "findings": []},
    "maps": [
        {"method": "fc", "finding": "lesion", "auroc_fitted": 0.987, "auroc_validation": 0.912}
    ],
    "cells": [
        {"cell": "seed 0, segment", "network": "segment", "seed": 0, "fold": None,
         "state": "done", "minutes": 0.21},
        {"cell": "seed 0, fc-val", "network": "fc-val", "seed": 0, "fold": None,
         "state": "failed", "reason": "no case"},
    ],
}  # fmt: skip


class Parsed(HTMLParser):
    """Texts, ids and tags of a page."""

    def __init__(self, page):
        super().__init__()
        self.texts, self.ids, self.tags = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def write(tmp_path):
    def page(**changes):
        result = copy.deepcopy(RESULT) | changes
        return write_comparison(tmp_path, result).read_text(encoding="utf-8")

    return page


def test_the_page_says_what_each_method_is(write):
    texts = Parsed(write()).texts
    assert "What the names of methods mean" in texts
    assert "ordinary classifier: one class per image" in texts
    meaning = (
        "one weight per cell of a coarse probability map; fitted on labels of validation cases"
    )
    assert meaning in texts


def test_every_method_that_can_be_compared_has_a_meaning():
    known = [m for m in known_methods().values() if m.base in {*SUMMARIZERS, *TRAINED, *HEADS}]
    rows = name_rows([{"name": m.name, "family": m.family} for m in known])
    assert len(rows) > 40
    assert [row["method"] for row in rows if "plug-in" in row["what it is"]] == []
    (own,) = name_rows([{"name": "softmax-init@time", "family": "head"}])
    assert own["what it is"] == (
        "ordinary classifier: one class per image; trained as long as the segmenter; starts from "
        "the segmenter's encoder"
    )


def test_settings_that_changed_after_the_results_are_told_with_both_values(write):
    page = write(changed_late={"margins": {}, "seeds": [0]})
    assert "Settings were changed after there were results." in page
    assert "margins: none before, auroc 0.03 now; seeds: 0 before, 0, 1 now." in page
    assert "Settings were changed" not in write(changed_late={})


def test_the_conclusion_comes_first_and_every_part_is_there(write):
    page = write()
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == [
        "Conclusion", "Results: lesion", "At equal training time", "Costs", "Trainings",
        "How it was made",
    ]  # fmt: skip
    for text in (
        "tau was better than softmax.", "data: phantom.", "Masks, by a rule", "0.850", "sex = F",
        "Not run: left out by --no-equal-time", "Robust AUROC of lesion", "For research use",
        "1 of 2 trainings are missing.", "Holm over 2 tests", "margin of AUROC", "0.987",
    ):  # fmt: skip
        assert text in page, text


def test_the_page_needs_nothing_from_elsewhere_and_repeats_itself(write):
    page = write()
    assert page == write()
    assert "script" not in Parsed(page).tags
    assert not re.search(r'(src|href)="(?!#|data:)', page)
    ids = Parsed(page).ids
    assert len(ids) == len(set(ids))


def test_names_of_the_data_are_escaped(write):
    found = copy.deepcopy(FOUND) | {"finding": EVIL}
    page = write(name=EVIL, findings=[found], shortcut=EVIL, by=[EVIL])
    assert "script" not in Parsed(page).tags
    assert "&lt;script&gt;" in page


def test_a_user_s_data_are_not_called_phantom(write):
    assert "phantom" not in write(data="user")


def test_methods_without_numbers_keep_their_line_and_say_why(write):
    table = results_table(FOUND, METHODS, caption="x", n_seeds=2)
    failed = table.rows[1]
    assert [cell.text for cell in failed[:3]] == [
        "Masks, by a trained summarizer", "fc-val", "failed",
    ]  # fmt: skip
    assert table.notes[failed[2].note] == "no case; uses extra labels: of validation cases"
    assert {cell.text for cell in failed[3:]} <= {"\N{EN DASH}"}
    assert "not estimated: failed: no case" in write()


def test_results_show_value_interval_seeds_group_and_dice():
    table = results_table(FOUND, METHODS, caption="x", n_seeds=2)
    cells = dict(zip(table.head, table.rows[0], strict=True))
    assert (cells["AUROC"].text, cells["AUROC"].small) == ("0.900", "0.800\N{EN DASH}0.950")
    assert cells["over seeds"].text == "0.880 to 0.920"
    assert cells["robust AUROC"].text == "0.850"
    assert (cells["worst group"].text, cells["worst group"].small) == ("0.700", "sex = F")
    assert (cells["Dice of masks"].text, cells["Dice of masks"].small) == (
        "0.610", "0.500\N{EN DASH}0.700",
    )  # fmt: skip
    assert "over seeds" not in results_table(FOUND, METHODS, caption="x", n_seeds=1).head


def test_costs_are_shown_and_what_was_not_measured_is_a_dash():
    table = costs_table(METHODS, caption="x")
    tau, failed, softmax = table.rows
    assert [cell.text for cell in tau[2:]] == ["9", "24", "15", "9", "12", "3.59", "150"]
    assert {cell.text for cell in failed[2:]} == {"\N{EN DASH}"}
    assert softmax[-1].text == "\N{EN DASH}"
    assert table.notes[failed[2].note].startswith("uses extra labels")


def test_the_table_at_equal_time_has_the_time_of_every_method():
    methods = [METHODS[0] | {"time_note": "needs more than the aim"}, METHODS[2]]
    table = results_table(FOUND, methods, caption="x", n_seeds=2, has_time=True)
    place = table.head.index("CPU s of training")
    assert [row[place].text for row in table.rows] == ["3.59", "2.4"]
    assert table.notes[table.rows[0][place].note] == "needs more than the aim"


def test_cells_show_minutes_or_what_became_of_them():
    table = cells_table(RESULT["cells"], caption="Trainings")
    assert table.head == ["cell", "segment", "fc-val"]
    (row,) = table.rows
    assert [cell.text for cell in row] == ["seed 0", "0.2", "failed"]
    assert table.notes[row[2].note] == "no case"


def test_heads_trained_again_have_a_part_of_their_own(write):
    again = copy.deepcopy(FOUND) | {"reference": "softmax@time"}
    again["metrics"] = [metric("tau", n, 0.9) for n in NAMES]
    again["metrics"] += [metric("softmax@time", n, 0.82) for n in NAMES]
    part = {
        "state": "done", "aim_cpu_s": 3.6, "reference": "softmax@time", "findings": [again],
        "methods": [
            {"name": "softmax@time", "of": "softmax", "planned_steps": 18, "state": "done",
             "steps": 18, "cpu_s": 3.5}
        ],
    }  # fmt: skip
    page = write(equal_time=part)
    for text in ("Trained again", "softmax@time", "0.820", "18", "3.5"):
        assert text in page


def test_a_reference_that_was_changed_is_said(write):
    page = write(declared_references=["tau", "softmax"])
    assert "declared as tau before" in page
    assert "The reference is softmax, but was another before." in page
    assert "declared before there were results" not in page
    assert "declared before there were results" in write()
    assert "was changed" not in write()


def test_methods_that_were_changed_are_said(write):
    lists = [["tau", "mean"], ["tau", "fc-val", "softmax"]]
    page = write(declared_methods=lists)
    assert "The methods were changed." in page
    assert "Declared before were: tau, mean." in page
    assert "methods were changed" not in write(declared_methods=lists[1:])


def test_a_method_of_other_findings_says_below_the_table_what_it_scores():
    found = FOUND | {"unscored": {"softmax": "scores density=..., not lesion"}}
    table = results_table(found, METHODS, caption="x", n_seeds=2)
    assert "scores density=..., not lesion" in str(table)


def test_without_any_finished_method_the_page_says_so(write):
    open_ones = [method | {"n_seeds_done": 0} for method in METHODS]
    assert "No method has finished" in write(findings=[], cells=[], methods=open_ones)
    page = write(findings=[], cells=[])
    assert "No two methods score the same: there is nothing to conclude." in page
    assert "No network was trained." in page


def test_a_sentence_of_many_methods_is_not_cut(write):
    found = copy.deepcopy(RESULT["findings"])
    long = "; ".join(f"method {number} (0.885, 0.837 to 0.933)" for number in range(40))
    found[0]["conclusion"] = {"Which method is better?": [long]}
    assert long in write(findings=found)


def test_the_budget_of_each_family_is_said(write):
    page = write(steps=220, summarizer_steps=100)
    assert "heads take 220 steps with the same augmentation, trained summarizers 100 on" in page
    only_heads = [one for one in RESULT["methods"] if one["family"] == "head"]
    assert "trained summarizers" not in write(methods=only_heads, findings=[])
