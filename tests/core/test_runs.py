import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclf.core.errors import UsageError
from segclf.core.runs import Run, find_run, named_run, safe_name, shown


@pytest.fixture
def runs(tmp_path):
    """`old` and `new` have predictions, `empty` has none but is the newest folder."""
    for name, age_s in (("old", 300), ("new", 200), ("empty", 0)):
        (tmp_path / name / "predict").mkdir(parents=True)
        if name != "empty":
            part = tmp_path / name / "predict" / "part.json"
            part.touch()
            os.utime(part, (1e9 - age_s, 1e9 - age_s))
    return tmp_path


def find(run, runs):
    return find_run(run, needs="predict/*.json", made_by="segclf predict", root=runs)


def test_the_newest_run_that_has_what_is_needed_is_found(runs):
    assert find(None, runs) == Run(runs / "new")


def test_a_run_is_found_by_name_and_by_folder(runs):
    assert find(Path("old"), runs) == Run(runs / "old")
    assert find(runs / "old", runs) == Run(runs / "old")


def test_a_data_folder_of_the_same_name_does_not_hide_the_run(runs, monkeypatch):
    monkeypatch.chdir(runs)
    (runs / "runs" / "phantom" / "predict").mkdir(parents=True)
    (runs / "runs" / "phantom" / "predict" / "a.json").touch()
    (runs / "phantom").mkdir()
    assert find(Path("phantom"), Path("runs")) == Run(Path("runs/phantom"))
    (runs / "phantom" / "config.yaml").touch()
    assert named_run(Path("phantom")) == Run(Path("phantom"))
    (runs / "data").mkdir()
    assert named_run(Path("data")) == Run(Path("runs/data"))
    assert named_run(Path("runs/phantom")) == Run(Path("runs/phantom"))
    assert named_run(Path("new name")) == Run(Path("runs/new_name"))


def test_a_named_run_that_lacks_it_is_an_error_with_the_command(runs):
    with pytest.raises(UsageError) as caught:
        find(Path("empty"), runs)
    assert caught.value.wrong == "the run 'empty' has no predict/*.json."
    assert caught.value.fix == "run: segclf predict --run empty"


def test_a_run_that_is_not_there_is_an_error_with_near_names(runs):
    (runs / "new" / "config.yaml").touch()
    with pytest.raises(UsageError) as caught:
        find(Path("neww"), runs)
    assert caught.value.wrong == "there is no run called 'neww'."
    assert caught.value.where == "--run neww"
    assert caught.value.fix == "did you mean 'new'?"


def test_without_any_run_the_error_says_what_makes_one(tmp_path):
    with pytest.raises(UsageError) as caught:
        find(None, tmp_path / "runs")
    assert caught.value.wrong == "no run has predict/*.json yet."
    assert caught.value.fix == "run: segclf predict"


def test_stages_have_their_folders_and_folds_their_own():
    run = Run(Path("runs/a"))
    assert run.config == Path("runs/a/config.yaml")
    assert run.split == Path("runs/a/split.parquet")
    assert run.stage("predict", "own") == Path("runs/a/predict/own")
    assert run.stage("segment", fold=0) == Path("runs/a/segment/fold0")


@given(st.text(max_size=30))
def test_a_safe_name_is_one_plain_file_name(text):
    name = safe_name(text)
    assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
    assert not name.startswith(".")
    assert safe_name(name) == name


def test_safe_names_of_usual_texts_are_readable():
    assert safe_name("new cases (2024).csv") == "new_cases_2024_.csv"
    assert safe_name("../../etc") == "_.._etc"
    assert safe_name("..") == "_"


def test_paths_are_shown_relative_where_that_is_shorter(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "runs" / "a") == os.path.join("runs", "a")
    assert shown(Path("/elsewhere/a")) == "/elsewhere/a"
