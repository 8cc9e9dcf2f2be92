"""The whole comparison on a tiny phantom, and what a call that goes on keeps."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from segclf import pipeline
from segclf.cli import app
from segclf.core.atomic import read_json
from segclf.core.errors import IntegrityError, SegclfError, StoppedError, UsageError
from segclf.experiment import new_experiment, with_seed
from segclf.phantom import PhantomSettings, write_phantom
from segclf.study.compare import cells, numbers
from segclf.study.compare import flow as study
from segclf.study.compare.output import comparison_text, result_table

TINY = (
    "network.name=monai_unet",
    "network.options={channels: [8, 16], strides: [2], num_res_units: 1}",
    "train.steps=6",
    "train.batch_size=4",
    "train.validate_every=3",
    "train.checkpoint_every=6",
    "train.warmup_steps=1",
    "evaluate.n_boot=50",
    "evaluate.min_group=2",
    "evaluate.by=[sex]",
)
METHODS = ["mean", "softmax"]


def tiny_phantom() -> PhantomSettings:
    sizes = {"train": 20, "val": 16, "test": 24}
    settings = {"n_cases": sizes, "size_px": (32, 32), "area_fraction": 0.02, "area_spread": 0.1}
    return PhantomSettings.model_validate(settings)


def write_tiny(folder: Path) -> Path:
    write_phantom(folder, tiny_phantom())
    return folder / "recipe.yaml"


def with_settings(exp, **changes):
    settings = exp.recipe.summarize.model_copy(update=changes)
    return replace(exp, recipe=exp.recipe.model_copy(update={"summarize": settings}))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two seeds of two methods, trained, judged and shown."""
    home = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr("os.fsync", lambda _descriptor: None)
        exp = new_experiment(write_tiny(home / "data"), None, None, TINY)
        result = study.compare(exp, METHODS, n_seeds=2)
    return SimpleNamespace(home=home, result=result, folder=home / "runs/phantom/compare")


@pytest.fixture
def home(finished, monkeypatch):
    monkeypatch.chdir(finished.home)
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    return finished


def test_every_cell_has_run_and_all_files_are_there(home):
    cells = [row["cell"] for row in home.result["cells"] if row["state"] == "done"]
    again = [name for name in cells if name.endswith("@time")]
    assert cells == [
        "seed 0, segment", "seed 0, softmax", "seed 1, segment", "seed 1, softmax", *again,
    ]  # fmt: skip
    for name in ("cells.json", "plan.json", "table.csv", "table.parquet", "compare.json"):
        assert (home.folder / name).is_file(), name
    assert "data: phantom" in (home.folder / "index.html").read_text()
    assert read_json(home.folder / "compare.json")["reference"] == "softmax"
    assert read_json(home.folder / "plan.json")["references"] == ["softmax"]


def test_all_seeds_share_one_split_and_differ_in_their_weights(home):
    runs = [home.home / "runs" / name for name in ("phantom", "phantom-seed1")]
    one, other = (pd.read_parquet(run / "split.parquet") for run in runs)
    pd.testing.assert_frame_equal(one, other)
    cards = [read_json(run / "segment/model.json") for run in runs]
    assert [card["seed"] for card in cards] == [0, 1]
    assert cards[0]["sha256"] != cards[1]["sha256"]


@pytest.mark.parametrize("method", METHODS)
def test_the_table_holds_what_scikit_learn_gives_on_the_score_files(home, method):
    place = "compare/scores/mean" if method == "mean" else "classify/softmax"
    values = []
    for run in ("phantom", "phantom-seed1"):
        scores = pd.read_parquet(home.home / "runs" / run / place / "scores.parquet")
        test = scores[scores["split"] == "test"]
        values.append(roc_auc_score(test["label"], test["score"]))
    table = pd.read_parquet(home.folder / "table.parquet")
    row = table[(table["method"] == method) & (table["budget"] == "same steps")].iloc[0]
    assert row["auroc"] == pytest.approx(np.mean(values))
    assert (row["n_cases"], row["n_seeds"], row["data"]) == (24, 2, "phantom")
    shown = pd.read_csv(home.folder / "table.csv")
    assert list(shown["method"]) == list(table["method"])


def test_costs_are_those_of_the_trainings(home):
    mean, softmax = home.result["methods"]
    runs = [home.home / "runs" / name for name in ("phantom", "phantom-seed1")]
    spent = [read_json(run / "segment/cost.json")["cpu_s"] for run in runs]
    assert mean["cpu_s"] == pytest.approx(np.mean(spent))
    assert (mean["steps"], softmax["steps"]) == (6, 6)
    manifest = pd.read_csv(home.home / "data/manifest.csv").query("split == 'train'")
    assert softmax["labels"] == manifest.filter(like="label").notna().to_numpy().sum()
    assert mean["drawn_masks"] == (manifest.filter(like="label") == 1).to_numpy().sum()
    assert mean["free_masks"] == 20 - mean["drawn_masks"]
    assert min(mean["images_per_s"], softmax["images_per_s"]) > 0


def test_a_second_call_trains_nothing_and_says_the_same(home):
    models = sorted(home.home.glob("runs/**/model.safetensors"))
    before = [path.stat().st_mtime_ns for path in models]
    exp = new_experiment(home.home / "data/recipe.yaml", None, None, TINY)
    again = study.compare(exp, METHODS, n_seeds=2)
    assert [path.stat().st_mtime_ns for path in models] == before
    assert again["findings"] == home.result["findings"]
    assert again["equal_time"] == home.result["equal_time"]
    assert again["methods"] == home.result["methods"]


def test_a_failed_training_leaves_a_row_that_says_why(home, monkeypatch):
    train = cells.train_cell

    def fail(cell, exp, title):
        if (cell.network, cell.seed) == ("softmax", 1):
            raise StoppedError("the loss is NaN.", where="x", expected="x", fix="x")
        train(cell, exp, title)

    monkeypatch.setattr(cells, "train_cell", fail)
    exp = new_experiment(home.home / "data/recipe.yaml", None, None, TINY)
    result = study.compare(exp, METHODS, n_seeds=2, equal_time=False, speed=False)
    mean, softmax = result["methods"]
    assert mean["state"] == "done"
    assert softmax["state"] == "1 of 2 seeds; failed: the loss is NaN"
    assert result["exit_code"] == 6
    row = next(row for row in result["findings"][0]["rows"] if row["method"] == "softmax")
    assert row["n_seeds"] == 1
    assert "seed 1, softmax: failed: the loss is NaN" in comparison_text(result)
    assert result["equal_time"]["state"] == "not run: left out by --no-equal-time"


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (IntegrityError("no statistics.", where="x", expected="x", fix="x"), 5, "no statistics"),
        (ValueError("a library says no"), 6, "ValueError: a library says no"),
    ],
)
def test_a_rule_that_fails_counts_in_the_exit_code(home, monkeypatch, error, code, reason):
    def fail(*_args, **_more):
        raise error

    monkeypatch.setattr(numbers, "summarize", fail)
    exp = new_experiment(home.home / "data/recipe.yaml", None, None, TINY)
    result = study.compare(exp, METHODS, equal_time=False, speed=False)
    mean, softmax = result["methods"]
    assert (mean["state"], softmax["state"]) == (f"failed: {reason}", "done")
    assert result["exit_code"] == code


def test_scores_of_a_rule_that_the_user_made_stay_as_they_are(home):
    exp = new_experiment(home.home / "data/recipe.yaml", None, None, TINY)
    folder, _ = pipeline.summarize_masks(with_settings(exp, calibrate="isotonic"), "mean")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    study.compare(exp, METHODS, equal_time=False, speed=False)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    own = home.home / "runs/phantom/compare/scores/mean/scores.parquet"
    assert own.read_bytes() != before["scores.parquet"]


@pytest.mark.parametrize("stage", ["segment", "summarize/fc"])
def test_cases_that_were_set_aside_end_with_code_4(home, stage):
    path = home.home / f"runs/phantom-seed1/{stage}/quarantine.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"case_id": "train00000"}) + "\n")
    try:
        exp = new_experiment(home.home / "data/recipe.yaml", None, None, TINY)
        result = study.compare(exp, METHODS, n_seeds=2, equal_time=False, speed=False)
    finally:
        path.unlink()
    assert result["exit_code"] == 4


@pytest.fixture
def kept(home):
    """What was declared, and the results, as they were before the test."""
    paths = [home.folder / name for name in ("compare.json", "plan.json")]
    before = [path.read_bytes() for path in paths]
    yield
    for path, content in zip(paths, before, strict=True):
        path.write_bytes(content)


@pytest.mark.usefixtures("kept")
def test_a_reference_that_changes_is_remembered(home):
    exp = new_experiment(home.home / "data/recipe.yaml", None, None, TINY)
    result = study.compare(exp, METHODS, reference="mean", equal_time=False, speed=False)
    assert result["declared_references"] == ["softmax", "mean"]
    (row,) = [
        row
        for row in result["findings"][0]["differences"]
        if row["metric"] == "auroc" and row["group"] == "all"
    ]
    assert (row["first"], row["second"]) == ("softmax", "mean")
    assert result["seeds"] == [0]


@pytest.mark.usefixtures("kept")
def test_a_margin_that_comes_after_the_results_is_said_wherever_it_is_used(home):
    sets = (*TINY, "evaluate.margins.auroc=0.9")
    exp = new_experiment(home.home / "data/recipe.yaml", None, None, sets)
    result = study.compare(exp, METHODS, n_seeds=2, equal_time=False, speed=False)
    assert result["changed_late"]["margins"] == {}
    words = " ".join(result["findings"][0]["conclusion"]["Which method is better?"])
    assert "a margin of 0.9 that was set after there were results" in words
    assert "declared margin" not in words
    assert home.result["changed_late"] == {}


@pytest.mark.parametrize(
    ("methods", "setting", "wrong"),
    [
        ("mean,softmax", "evaluate.margins.aurocc=0.03", "no metric called 'aurocc'"),
        ("mean,softmax", "evaluate.shortcut=tubee", "tubee"),
        ("mean,softmax", "evaluate.by=[sexx]", "sexx"),
        ("mean,multihead", "seed=0", "no case has a category to learn"),
        ("mean,share", "seed=0", "the share of 'lesion' among lesion says nothing"),
    ],
)
def test_what_cannot_end_well_is_refused_before_anything_is_trained(
    home, monkeypatch, methods, setting, wrong
):
    monkeypatch.setattr(study, "run_cells", lambda *_: pytest.fail("a training began"))
    exp = new_experiment(home.home / "data/recipe.yaml", None, None, (*TINY, setting))
    with pytest.raises(SegclfError, match=wrong):
        study.compare(exp, [methods])


def test_a_seed_with_another_split_is_refused(home):
    exp = new_experiment(home.home / "data/recipe.yaml", None, None, TINY)
    other = with_seed(exp, 7)
    assert with_seed(exp, exp.recipe.seed) is exp
    split = pd.read_parquet(other.run.split)
    split.loc[0, "split"] = "test" if split.loc[0, "split"] != "test" else "val"
    split.to_parquet(other.run.split, index=False)
    with pytest.raises(IntegrityError, match="has another split than 'phantom'"):
        with_seed(exp, 7)


def test_what_has_not_run_reads_so_in_the_table():
    method = {"name": "tau", "family": "rule", "state": "not run", "steps": None}
    result = {"data": "user", "methods": [method], "findings": []}
    result |= {"equal_time": {"state": "not run", "findings": []}}
    (row,) = result_table(result).to_dict("records")
    assert (row["method"], row["state"]) == ("tau", "not run")


@pytest.fixture
def command(monkeypatch, tmp_path):
    """`segclf compare` whose trainings are left out; what it was asked, and what it returns."""
    asked, code = {}, [0]

    def compare(exp, methods, **options):
        asked.update(options, methods=list(methods), exp=exp)
        part = {"findings": [], "methods": [], "cells": [], "seeds": [0], "reference": "softmax"}
        part |= {"equal_time": {"state": "done", "findings": []}, "exit_code": code[0]}
        return part | {"outputs": {"page": "runs/phantom/compare/index.html"}}

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("segclf.study.compare.flow.compare", compare)
    monkeypatch.setattr("segclf.experiment.PhantomSettings", tiny_phantom)
    return SimpleNamespace(asked=asked, code=code, run=CliRunner())


def test_the_command_works_on_phantom_data_in_an_empty_folder(command):
    done = command.run.invoke(app, ["compare", "--methods", "tau,softmax", "--seeds", "3"])
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("data: phantom (synthetic)")
    assert command.asked["methods"] == ["tau,softmax"]
    assert (command.asked["n_seeds"], command.asked["equal_time"]) == (3, True)
    assert command.asked["exp"].folds() == [None]
    assert "wrote runs/phantom/compare/index.html" in done.stdout


def test_the_command_gives_one_object_and_the_worst_code(command):
    command.code[0] = 4
    done = command.run.invoke(app, ["compare", "--json", "--no-equal-time", "--reference", "tau"])
    assert done.exit_code == 4
    assert json.loads(done.stdout)["exit_code"] == 4
    assert (command.asked["equal_time"], command.asked["reference"]) == (False, "tau")


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (["--methods", "softmx"], "there is no method called 'softmx'"),
        (["--methods", "tau"], "one method alone cannot be compared"),
        (["--methods", "tau,mean", "--reference", "max"], "no compared method called 'max'"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_a_run_is_made(command, tmp_path, options, wrong):
    done = command.run.invoke(app, ["compare", *options])
    assert isinstance(done.exception, UsageError)
    assert wrong in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_folds_are_five_or_those_of_the_recipe(command, tmp_path, monkeypatch):
    recipe = write_tiny(tmp_path / "data")
    refused = command.run.invoke(app, ["compare", "--config", str(recipe), "--folds"])
    assert isinstance(refused.exception, UsageError)
    assert "so there are no folds" in str(refused.exception)
    assert not (tmp_path / "runs").exists()
    monkeypatch.setattr("segclf.manifest.split.check_counts", lambda *_: [])  # few cases
    manifest = tmp_path / "data" / "manifest.csv"
    pd.read_csv(manifest).drop(columns="split").to_csv(manifest, index=False)
    sets = ["--set", "name=three", "--set", "split.folds=3"]
    for more, n_folds in ((sets, 3), (["--set", "name=five"], 5)):
        done = command.run.invoke(app, ["compare", "--config", str(recipe), "--folds", *more])
        assert done.exit_code == 0, done.output
        assert len(command.asked["exp"].folds()) == n_folds
