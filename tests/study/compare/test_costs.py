"""Costs by hand: labels, masks, steps and CPU-seconds of a tiny manifest."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from segclf.core.config import make_recipe
from segclf.core.records import Case, MaskSource, MaskState
from segclf.core.runs import Run
from segclf.experiment import Experiment
from segclf.study.compare import costs
from segclf.study.compare.costs import (
    count_truth,
    map_optimism,
    method_costs,
    steps_at_time,
    training_costs,
    used_truth,
)
from segclf.study.compare.methods import Method

NAN = float("nan")
TAU, SOFTMAX = Method("tau", "rule", "tau"), Method("softmax", "head", "softmax")
INIT = Method("softmax-init", "head", "softmax")
ON_VAL, FC = Method("fc-val", "trained", "fc"), Method("fc", "trained", "fc")
DRAWN, EMPTY, UNKNOWN = MaskState.DRAWN, MaskState.EMPTY, MaskState.UNKNOWN
ROWS = [
    ("a", "train", 1.0, DRAWN), ("b", "train", 1.0, UNKNOWN), ("c", "train", 0.0, EMPTY),
    ("d", "train", 0.0, EMPTY), ("e", "train", NAN, DRAWN), ("f", "val", 1.0, DRAWN),
    ("g", "val", 0.0, EMPTY), ("h", "test", 1.0, DRAWN), ("i", "train", 0.0, EMPTY),
]  # fmt: skip


@pytest.fixture
def exp(tmp_path):
    cases = tuple(
        Case(name, (), (MaskSource(state),), (label,), patient_id=name)
        for name, _, label, state in ROWS
    )
    frame = pd.DataFrame({"case_id": [r[0] for r in ROWS], "split": [r[1] for r in ROWS]})
    frame["fold"] = pd.array([pd.NA] * len(frame), dtype="Int64")
    run = Run(tmp_path / "runs" / "tiny")
    for network, steps, cpu_s in (("segment", 10, 8.0), ("classify/softmax", 10, 4.0)):
        folder = run.path / network
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(json.dumps({"n_steps": steps}))
        (folder / "cost.json").write_text(json.dumps({"cpu_s": cpu_s}))
        (folder / "quarantine.jsonl").write_text(json.dumps({"case_id": "i"}) + "\n")
    table = SimpleNamespace(cases=cases, findings=("lesion",), frame=frame)
    recipe = make_recipe({"manifest": "m.csv"}, where="test")
    return SimpleNamespace(table=table, split=frame, run=run, recipe=recipe, folds=lambda: [None])


def write_record(exp, method, head):
    folder = exp.run.path / "summarize" / method
    folder.mkdir(parents=True)
    (folder / "summarizer.json").write_text(json.dumps({"heads": [head]}))


def test_inner_segmenters_and_formulas_are_counted(exp):
    head = {"n_steps": None, "cpu_s": 1.0, "read_cpu_s": 0.5, "inner_cpu_s": [5.0, 6.0]}
    write_record(exp, "fc-oof", head)
    found = method_costs({0: exp}, Method("fc-oof", "trained", "fc"))
    assert (found["cpu_s"], found["steps"]) == (20.5, 10)


def test_maps_of_cases_to_fit_on_stand_beside_those_of_validation(exp):
    maps = {
        "fit": {"lesion": {"auroc_of_mean_p": 0.9}},
        "val": {"lesion": {"auroc_of_mean_p": 0.8}},
    }
    write_record(exp, "fc", {"maps": maps})
    (row,) = map_optimism({0: exp}, FC)
    assert (row["finding"], row["auroc_fitted"], row["auroc_validation"]) == ("lesion", 0.9, 0.8)


def test_labels_and_masks_are_counted_by_their_state(exp):
    assert count_truth(exp.table.cases) == {"labels": 8, "drawn_masks": 4, "free_masks": 4}


def test_each_family_uses_its_own_truth_without_the_cases_set_aside(exp):
    val = {"val_labels": 2}
    masks = {"drawn_masks": 2, "free_masks": 2}
    assert used_truth(exp, TAU, None) == {"labels": 2, **masks, **val}
    assert used_truth(exp, SOFTMAX, None) == {
        "labels": 4, "drawn_masks": 0, "free_masks": 0, **val,
    }  # fmt: skip
    assert used_truth(exp, FC, None) == {"labels": 4, **masks, **val}
    write_record(exp, "fc-val", {"fold": None, "n_labels": {"lesion": 1}})
    assert used_truth(exp, ON_VAL, None) == {"labels": 3, **masks, "val_labels": 1}  # 2 are free


def test_heads_of_class_columns_use_one_label_per_case_and_column_and_pairs_count(exp, monkeypatch):
    known = {"a": {"density": "L"}, "b": {"density": "H"}, "c": {"density": "L", "view": "pa"}}
    known |= {"f": {"density": "H"}, "h": {"density": "L"}, "i": {"density": "L"}}
    cases = [replace(case, classes=known.get(case.case_id, {})) for case in exp.table.cases]
    exp.table.cases = tuple(cases)
    card = {"n_steps": 10, "classes": {"density": ["H", "L"], "view": ["pa"]}}
    (exp.run.path / "classify/softmax/model.json").write_text(json.dumps(card))
    found = used_truth(exp, SOFTMAX, None)
    assert (found["labels"], found["val_labels"]) == (4, 1)  # a, b, c twice; f
    folder = exp.run.path / "classify" / "softmax-init"
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps(card))
    assert used_truth(exp, INIT, None)["labels"] == 5 + 3  # i is not set aside there; free masks
    metric = Method("metric", "head", "metric")
    folder = exp.run.path / "classify" / "metric"
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps({"n_steps": 10}))
    made = {"manifest": "m.csv", "classify": {"targets": ["density"], "metric": {"pairs": "p.csv"}}}
    exp.recipe = make_recipe(made, where="test")
    pairs = {("a", "b"): True, ("a", "c"): False, ("a", "f"): True, ("f", "g"): False}
    monkeypatch.setattr(costs, "read_pairs", lambda _text, _table: pairs)
    found = used_truth(exp, metric, None)
    assert (found["labels"], found["val_labels"]) == (4 + 2, 1 + 1)


def test_time_and_steps_are_those_of_all_networks_that_a_method_needs(exp):
    tau, softmax = method_costs({0: exp}, TAU), method_costs({0: exp}, SOFTMAX)
    assert (tau["cpu_s"], tau["steps"]) == (8.0, 10)
    assert (softmax["cpu_s"], softmax["steps"]) == (4.0, 10)
    write_record(exp, "fc", {"n_steps": 3, "cpu_s": 1.0, "read_cpu_s": 0.5, "inner_cpu_s": []})
    fc = method_costs({0: exp}, FC)
    assert (fc["cpu_s"], fc["steps"]) == (9.5, 13)
    assert fc["parts"] == {
        "segmenter": {"steps": 10, "cpu_s": 8.0},
        "fc": {"steps": 3, "cpu_s": 1.5},
    }


def test_every_training_is_counted_once_whoever_shares_it(exp):
    (exp.run.path / "segment" / "inner0").mkdir()
    (exp.run.path / "segment" / "inner0" / "cost.json").write_text(json.dumps({"cpu_s": 5.0}))
    again = exp.run.path / "compare/time/softmax/classify/softmax"
    again.mkdir(parents=True)
    (again / "cost.json").write_text(json.dumps({"cpu_s": 7.9}))
    oof = Method("fc-oof", "trained", "fc")
    head = {"fold": None, "cpu_s": 1.0, "read_cpu_s": 0.5, "inner_cpu_s": [5.0]}
    for name in ("fc", "fc-oof"):
        write_record(exp, name, head)
    methods = [TAU, FC, oof, SOFTMAX]
    whole = Experiment(exp.recipe, exp.table, exp.split, exp.run)
    finished = {method.name: {0: whole} for method in methods}
    found = training_costs(finished, methods, steps={"softmax": 20})
    assert sorted(found) == [1.5, 1.5, 4.0, 5.0, 7.9, 8.0]
    assert sorted(training_costs(finished, [TAU, FC], steps={})) == [1.5, 8.0]


def test_costs_that_were_not_recorded_are_missing_and_not_0(exp):
    (exp.run.path / "segment" / "cost.json").unlink()
    assert method_costs({0: exp}, TAU)["cpu_s"] is None


def test_cheaper_heads_get_as_many_steps_as_fit_the_time_of_the_segmenter(exp):
    needed = {m.name: method_costs({0: exp}, m) for m in (TAU, SOFTMAX)}
    steps, aim, why = steps_at_time([TAU, SOFTMAX], needed, steps=10)
    assert (steps, aim, why) == ({"softmax": 20}, 8.0, "")
    needed["softmax"]["cpu_s"] = 7.9
    assert steps_at_time([TAU, SOFTMAX], needed, steps=10)[::2] == ({}, "no head is cheaper")
    needed["softmax"]["cpu_s"] = None
    _, aim, why = steps_at_time([TAU, SOFTMAX], needed, steps=10)
    assert (aim, why) == (None, "no head has a recorded training time")


def test_without_a_segmenter_the_dearest_head_sets_the_time():
    sigmoid = Method("sigmoid", "head", "sigmoid")
    needed = {"softmax": {"cpu_s": 2.0}, "sigmoid": {"cpu_s": 5.0}}
    assert steps_at_time([SOFTMAX, sigmoid], needed, steps=100)[:2] == ({"softmax": 250}, 5.0)
