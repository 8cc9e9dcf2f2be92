"""Cells: order, what is kept, what fails alone, what an interruption leaves, and the code."""

import errno
from types import SimpleNamespace

import pytest

from segclf.core.atomic import read_json
from segclf.core.config import make_recipe
from segclf.core.errors import IntegrityError, StoppedError
from segclf.core.runs import Run
from segclf.experiment import Experiment
from segclf.study.compare import cells
from segclf.study.compare.cells import CellTable, plan_cells, run_cells, time_cells, with_method
from segclf.study.compare.methods import Method

TAU = Method("tau", "rule", "tau")
SOFTMAX, SIGMOID = Method("softmax", "head", "softmax"), Method("sigmoid", "head", "sigmoid")
INIT, FC = Method("softmax-init", "head", "softmax"), Method("fc", "trained", "fc")


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """Cells whose training only notes the call, fails or stops where the test says so."""
    calls, errors = [], {}

    def train(cell, _exp, _title):
        calls.append(cell.key)
        if cell.key in errors:
            raise errors[cell.key]

    monkeypatch.setattr(cells, "train_cell", train)
    exps = {seed: SimpleNamespace(folds=lambda: [None]) for seed in (0, 1)}
    return SimpleNamespace(calls=calls, errors=errors, exps=exps, folder=tmp_path)


def test_the_segmenter_of_a_seed_comes_first_and_trained_summarizers_last():
    cells = plan_cells([TAU, FC, SOFTMAX], [3, 4], [0, 1])
    assert [cell.key for cell in cells[:5]] == [
        "seed 3, fold 0, segment", "seed 3, fold 0, softmax", "seed 3, fold 1, segment",
        "seed 3, fold 1, softmax", "seed 3, fc",
    ]  # fmt: skip
    assert len(cells) == 10
    assert "segment" not in {cell.network for cell in plan_cells([SOFTMAX, SIGMOID], [0], [None])}


def test_a_failed_cell_costs_no_other_but_those_that_start_from_it(trained):
    trained.errors["seed 0, segment"] = StoppedError(
        "the loss is NaN.", where="", expected="", fix=""
    )
    cells = plan_cells([TAU, FC, SOFTMAX, INIT], [0, 1], [None])
    table = CellTable(trained.folder)
    run_cells(cells, trained.exps, table)
    assert trained.calls == [
        "seed 0, segment", "seed 0, softmax", "seed 1, segment", "seed 1, softmax",
        "seed 1, softmax-init", "seed 1, fc",
    ]  # fmt: skip
    state = {row["cell"]: row["state"] for row in table.rows()}
    assert state["seed 0, segment"] == "failed"
    assert state["seed 0, softmax-init"] == state["seed 0, fc"] == "not run"
    kept = read_json(trained.folder / "cells.json")["cells"]
    assert kept["seed 0, segment"]["reason"] == "the loss is NaN"
    assert kept["seed 0, fc"]["reason"] == "the segmenter that it needs is not there"
    assert table.exit_code() == 6
    trained.errors.clear()
    run_cells(cells, trained.exps, table)
    assert {row["state"] for row in table.rows()} == {"done"}
    assert "reason" not in table.cells["seed 0, segment"]
    assert table.exit_code() == 0


def test_the_exit_code_is_the_worst_and_errors_of_libraries_count_as_stopped(trained):
    wrong = {"where": "", "expected": "", "fix": ""}
    trained.errors["seed 0, softmax"] = IntegrityError("another recipe.", **wrong)
    table = CellTable(trained.folder)
    run_cells(plan_cells([SOFTMAX, SIGMOID], [0], [None]), trained.exps, table)
    assert table.exit_code() == 5
    trained.errors["seed 0, sigmoid"] = RuntimeError("out of memory\nmore")
    run_cells(plan_cells([SOFTMAX, SIGMOID], [0], [None]), trained.exps, table)
    assert table.cells["seed 0, sigmoid"]["reason"] == "RuntimeError: out of memory"
    assert table.exit_code() == 6


def test_an_interrupted_comparison_keeps_its_table_and_goes_on(trained):
    trained.errors["seed 0, sigmoid"] = KeyboardInterrupt()
    cells = plan_cells([SOFTMAX, SIGMOID], [0, 1], [None])
    with pytest.raises(KeyboardInterrupt):
        run_cells(cells, trained.exps, CellTable(trained.folder))
    kept = read_json(trained.folder / "cells.json")["cells"]
    assert [kept[cell.key]["state"] for cell in cells] == ["done", "not run", "not run", "not run"]
    minutes = kept["seed 0, softmax"]["minutes"]
    trained.errors.clear()
    table = CellTable(trained.folder)
    run_cells(cells, trained.exps, table)
    assert table.cells["seed 0, softmax"]["minutes"] == minutes
    assert {row["state"] for row in table.rows()} == {"done"}


def test_cells_of_another_call_are_kept_but_not_counted(trained):
    trained.errors["seed 1, softmax"] = StoppedError("full.", where="", expected="", fix="")
    run_cells(plan_cells([SOFTMAX], [0, 1], [None]), trained.exps, CellTable(trained.folder))
    table = CellTable(trained.folder)
    run_cells(plan_cells([SOFTMAX], [0], [None]), trained.exps, table)
    assert [row["cell"] for row in table.rows()] == ["seed 0, softmax"]
    assert table.exit_code() == 0
    assert "seed 1, softmax" in table.cells


def test_heads_are_trained_again_with_their_own_numbers_of_steps():
    cells = time_cells({"softmax": 40}, [TAU, SOFTMAX, SIGMOID], [0, 1], [None])
    assert [(cell.key, cell.steps) for cell in cells] == [
        ("seed 0, softmax@time", 40),
        ("seed 1, softmax@time", 40),
    ]


def test_a_head_starts_from_the_segmenter_only_where_its_name_says_so(tmp_path):
    # `train-clf --init-from other` writes its settings into the run's recipe.
    made = {"manifest": "m.csv", "classify": {"head": "sigmoid", "init_from": "other"}}
    recipe = make_recipe(made, where="test")
    exp = Experiment(table=None, split=None, recipe=recipe, run=Run(tmp_path / "runs" / "tiny"))  # pyright: ignore[reportArgumentType] (not read)
    plain = with_method(exp, SIGMOID).recipe.classify
    assert (plain.method, plain.init_from) == ("sigmoid", None)
    init = with_method(exp, INIT).recipe.classify
    assert (init.method, init.init_from) == ("softmax-init", "tiny")
    assert with_method(exp, TAU).recipe == recipe


def test_a_full_disk_stops_a_comparison_with_an_error_for_people(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cells, "write_json", full)
    with pytest.raises(StoppedError, match="the disk is full") as caught:
        CellTable(tmp_path).save()
    assert caught.value.expected == "room for the table of trainings"
    assert caught.value.fix == "free some space and run the same command again"
