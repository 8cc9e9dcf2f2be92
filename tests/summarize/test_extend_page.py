"""The example of docs/extend/summarizer.md runs, as it stands on the page."""

import importlib.util
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from segclf.core.catalog import EntryPoint
from segclf.core.maskstats import THRESHOLDS
from segclf.core.settings import SummarizeSettings
from segclf.summarize import summarize

PAGE = Path(__file__).parents[2] / "docs" / "extend" / "summarizer.md"


@pytest.fixture
def module(tmp_path):
    """The Python block of the page, imported."""
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)[1]
    (tmp_path / "certainty.py").write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("certainty", tmp_path / "certainty.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_rule_of_the_page_scores_by_its_formula(module, statistics):
    falling = (100 * (1 - THRESHOLDS)).astype(int)  # 96 px above 0.034, 50 px above 0.5
    stats = statistics([{"area": falling}, {"area": 0}, {"area": 5}])
    score = module.rule.score(stats, finding="lesion")
    np.testing.assert_allclose(score, [50 / 96, 0.0, 1.0])


def test_the_entry_point_of_the_page_makes_it_a_rule(module, statistics, cases, monkeypatch):
    name, target = re.search(r'^(\w+) = "(\S+:rule)"', PAGE.read_text(), flags=re.M).groups()
    monkeypatch.setattr(EntryPoint, "load", lambda self: module.rule)
    monkeypatch.setattr(
        "segclf.core.catalog.entry_points", lambda *, group: [EntryPoint(name, target, group)]
    )
    scores, _ = summarize(
        statistics([{"area": 5}]), cases(["test"], [1]), name, SummarizeSettings(), seed=0
    )
    assert (scores["method"][0], scores["score"][0]) == ("certainty", 1.0)


def test_the_rule_of_the_page_is_that_of_the_worked_example(module):
    example = PAGE.parent / "example_summarizer" / "src" / "segclf_example.py"
    assert inspect.getsource(module.certainty) in example.read_text(encoding="utf-8")
