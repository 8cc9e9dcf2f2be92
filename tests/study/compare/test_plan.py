"""What was declared before there were results, and what was changed afterwards."""

import json

from segclf.core.atomic import read_json
from segclf.study.compare.methods import choose_methods
from segclf.study.compare.plan import changed_late, declare

SETTINGS = {"seeds": [0], "n_folds": None, "shortcut": "tube", "by": ["sex"], "margins": {}}
SETTINGS |= {"confidence": 0.95}
CHOSEN = choose_methods(["tau,softmax"])


def with_results(folder, **settings):
    result = {"findings": ["some"], **SETTINGS, **settings}
    (folder / "compare.json").write_text(json.dumps(result))


def late(folder, **settings):
    plan = declare(folder, CHOSEN, CHOSEN[0], {**SETTINGS, **settings})
    assert plan == read_json(folder / "plan.json")
    return changed_late(plan["settings"])


def test_every_declaration_of_methods_is_kept(tmp_path):
    more = choose_methods(["tau,mean,softmax"])
    for chosen in (CHOSEN, CHOSEN, more):
        plan = declare(tmp_path, chosen, chosen[-1], SETTINGS)
    assert plan == read_json(tmp_path / "plan.json")
    assert plan["methods"] == [["tau", "softmax"], ["tau", "mean", "softmax"]]
    assert plan["references"] == ["softmax"]
    assert len(plan["settings"]) == 1
    old = {"methods": ["tau", "mean"], "references": ["tau"]}
    (tmp_path / "plan.json").write_text(json.dumps(old))
    plan = declare(tmp_path, CHOSEN, CHOSEN[0], SETTINGS)
    assert plan["methods"] == [["tau", "mean"], ["tau", "softmax"]]


def test_settings_may_change_until_there_are_results(tmp_path):
    assert late(tmp_path) == {}
    assert late(tmp_path, margins={"auroc": 0.05}) == {}
    with_results(tmp_path, margins={"auroc": 0.05})
    assert late(tmp_path, margins={"auroc": 0.05}) == {}
    assert late(tmp_path, margins={"auroc": 0.2}, seeds=[0, 1]) == {
        "margins": {"auroc": 0.05},
        "seeds": [0],
    }
    assert late(tmp_path, margins={"auroc": 0.05}, seeds=[0, 1]) == {"seeds": [0]}


def test_a_plan_of_an_earlier_version_is_completed_by_its_results(tmp_path):
    (tmp_path / "plan.json").write_text(json.dumps({"methods": [["tau"]], "references": ["tau"]}))
    with_results(tmp_path)
    assert late(tmp_path) == {}
    assert late(tmp_path, confidence=0.9) == {"confidence": 0.95}


def test_a_call_that_gave_no_results_declares_nothing_for_good(tmp_path):
    assert late(tmp_path) == {}
    (tmp_path / "compare.json").write_text(json.dumps({"findings": [], **SETTINGS}))
    assert late(tmp_path, margins={"auroc": 0.05}) == {}
