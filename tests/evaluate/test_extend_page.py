"""The example of docs/extend/metric.md is a metric that works."""

import re
from pathlib import Path

import pytest

from segclf.evaluate import METRICS, Metric, evaluate_scores
from segclf.evaluate.metrics import decision

PAGE = Path(__file__).parents[2] / "docs" / "extend" / "metric.md"


def test_the_example_is_listed_computed_and_has_a_worst_group(drawn, row, monkeypatch):
    function, entry, call = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    names = vars(decision) | {"Metric": Metric}
    exec(function, names)
    for name, metric in eval("{" + entry + "}", names).items():
        monkeypatch.setitem(METRICS, name, metric)
    scores, cases = drawn()
    names |= {"evaluate_scores": evaluate_scores, "scores": scores, "cases": cases}
    found = eval(call, names)
    rate = row(found.metrics, group="all", metric="false_alarm_rate")
    negatives = scores["label"] == 0
    assert rate["estimate"] == pytest.approx(scores["decision"][negatives].mean())
    gap = row(found.gaps, metric="false_alarm_rate")
    assert gap["worst"] > gap["best"]  # higher is worse
