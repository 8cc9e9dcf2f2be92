"""The example of docs/extend/trained_summarizer.md runs, as it stands on the page."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from segclf.core.catalog import EntryPoint
from segclf.core.errors import UsageError
from segclf.summarize import find_summarizer
from segclf.summarize.trained import Trained, find_trained, is_trained
from segclf.summarize.trained.run import score_own

PAGE = Path(__file__).parents[3] / "docs" / "extend" / "trained_summarizer.md"


@pytest.fixture
def record(tmp_path, monkeypatch):
    """The record of the page's last Python block; its module is the first one."""
    first, second = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    (tmp_path / "halves.py").write_text(first, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("my_package.halves", tmp_path / "halves.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "my_package", type(sys)("my_package"))
    monkeypatch.setitem(sys.modules, "my_package.halves", module)
    arguments = re.search(r'Trained\("(\w+)", "([\w.:]+)", frozenset\(\{(.+)\}\)\)', second)
    return Trained(arguments[1], arguments[2], frozenset(re.findall(r"\w+", arguments[3])))


def test_the_example_of_the_page_is_fitted_as_a_plug_in(record, a_job, monkeypatch):
    monkeypatch.setattr(EntryPoint, "load", lambda self: record)
    monkeypatch.setattr(
        "segclf.core.catalog.entry_points",
        lambda *, group: [EntryPoint("halves", "my_package.halves:RECORD", group)],
    )
    assert is_trained("halves")
    assert find_trained("halves") is record
    job, table, split = a_job("halves")
    scores, found = score_own(job, table, split, [None])
    assert found["heads"][0]["shape"] == [1, 1, 2]
    assert np.isfinite(scores["score"]).all()


def test_a_name_that_is_almost_a_trained_rule_is_recognized():
    with pytest.raises(UsageError, match="did you mean 'squeezenet'"):
        find_summarizer("squeezenett")
    assert not is_trained("tau")
