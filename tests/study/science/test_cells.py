"""Cells of a study: chosen, trained, scored, kept."""

import json
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from segclf.core.errors import StoppedError, UsageError
from segclf.study.science import flow
from segclf.study.science.cells import Arm, Cell, train_cell
from segclf.study.science.plan import (
    GRID,
    Level,
    Regime,
    Study,
    choose,
    grid,
    plan,
    plan_search,
    search_key,
)
from segclf.study.science.source import cell_experiment, open_pool, phantom_source
from segclf.study.science.studies import BOTH, CLASSIFIER, SEGMENTATION, STUDIES, sized

TINY = {
    "size_px": [32, 32],
    "area_fraction": 0.02,
    "rho": {"train": 0.5, "val": 0.5, "test": 0.5},
    "n_cases": {"train": 40, "val": 40, "test": 24},
}
QUICK = (
    "train.steps=2",
    "train.validate_every=2",
    "train.batch_size=4",
    "network.options={encoder_depth: 3, decoder_channels: [16, 8, 8]}",
    "image.decode_limit_s=null",
)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("studies")


@pytest.fixture
def study():
    levels = (Level("12 images", 12, sized(12)), Level("20 images", 20, sized(20)))
    regime = Regime("claimed", "", levels, BOTH, TINY, searched="12 images")
    return Study("tiny", "Tiny", "images", (regime,), QUICK)


@pytest.fixture
def source(folder):
    return phantom_source(folder, {"seed": 3, **TINY}, QUICK)


@pytest.fixture
def cell(source):
    pool = open_pool(source)
    selection = sized(12)(pool, 0, None)
    return Cell("claimed", "12 images", 12, SEGMENTATION, 0, source, selection, ())


def test_the_search_tries_factors_of_the_recipes_rate_and_steps(source):
    assert grid(source) == [
        (f"train.lr={0.001 * rate:.6g}", f"train.steps={round(2 * length)}")
        for rate, length in GRID
    ]


def test_both_families_are_searched_alike_and_only_where_the_regime_says(study, folder):
    tried = plan_search(study, folder, [0])
    assert list(tried) == ["claimed, 12 images, segment", "claimed, 12 images, classify"]
    assert {len(cells) for cells in tried.values()} == {len(GRID)}
    assert all(cell.is_search for cells in tried.values() for cell in cells)
    a, b = ([cell.overrides for cell in cells] for cells in tried.values())
    assert a == b


def test_the_best_validation_auroc_is_chosen_and_a_failed_cell_never(study, folder):
    tried = plan_search(study, folder, [0])
    first, second = tried.values()
    val_auroc = {first[0].key: 0.7, first[1].key: 0.8, first[2].key: 0.8, second[1].key: 0.1}
    found = choose(tried, val_auroc)
    assert list(found.values()) == [first[1].overrides, second[1].overrides]


def test_what_is_confirmed_is_on_another_phantom_than_what_was_searched(study, folder):
    tried = plan_search(study, folder, [0])
    cells = plan(study, folder, [0, 1], choose(tried, {}))
    assert len(cells) == 2 * 2 * 2
    assert {c.source for c in cells}.isdisjoint({c.source for own in tried.values() for c in own})
    assert len({cell.identity() for cell in cells}) == len(cells)


def test_cases_that_were_not_chosen_do_not_exist_for_a_training(cell, tmp_path):
    exp = cell_experiment(cell.source, cell.selection, tmp_path, ("train.lr=0.5",))
    assert exp.recipe.train.lr == 0.5
    assert list(exp.split.query("split == 'train'")["case_id"]) == list(cell.selection.train)
    assert len(exp.split) == sum(len(getattr(cell.selection, p)) for p in ("train", "val", "test"))


@pytest.mark.parametrize("arm", [SEGMENTATION, CLASSIFIER])
def test_a_cell_scores_test_cases_and_its_threshold_comes_from_validation(arm, cell, tmp_path):
    scores, row = train_cell(replace(cell, arm=arm), tmp_path, lambda event: None)
    assert list(scores["case_id"]) == list(cell.selection.test)
    assert scores["label"].isin([0, 1]).all()
    [path] = tmp_path.glob("*/*/scores.parquet")
    own = pd.read_parquet(path)
    val, test = (own[own["split"] == part] for part in ("val", "test"))
    assert np.array_equal(scores["score"], test["score"].astype(float))
    assert row["val_auroc"] == pytest.approx(roc_auc_score(val["label"], val["score"]), abs=1e-6)
    negative = np.sort(val.loc[val["label"] == 0, "score"].astype(float))
    n_below = int(np.ceil(0.9 * len(negative) - 1e-9))
    least = negative[n_below - 1]
    assert (scores.loc[scores["decision"] == 1, "score"] > least).all()
    assert row["n_train"] == len(cell.selection.train)


def test_a_search_cell_never_reads_a_test_case(cell, tmp_path):
    scores, row = train_cell(replace(cell, is_search=True), tmp_path, lambda event: None)
    assert scores.empty
    assert row["val_auroc"] is not None
    [part] = tmp_path.glob("predict/own/part-*.parquet")
    assert set(pd.read_parquet(part)["case_id"]) == set(cell.selection.val)


def test_several_rules_on_one_segmenter_are_arms_of_their_names(cell, tmp_path):
    arm = Arm("all", "segment", rules=("mean", "max"))
    scores, _ = train_cell(replace(cell, arm=arm), tmp_path, lambda event: None)
    assert set(scores["arm"]) == {"mean", "max"}


def test_a_finished_cell_stays_and_a_failed_one_costs_no_other(cell, tmp_path, monkeypatch):
    cells = [cell, replace(cell, seed=1)]
    told = []

    def train(one, training, on_event):
        told.append(one.seed)
        training.mkdir(parents=True, exist_ok=True)
        if one.seed == 0 and len(told) == 1:
            raise UsageError("it broke.", where="w", expected="e", fix="f")
        return pd.DataFrame({"arm": [one.arm.name], "seed": [one.seed]}), {"val_auroc": 0.5}

    monkeypatch.setattr(flow, "train_cell", train)
    rows = flow.run_cells(cells, tmp_path)
    assert [row["state"] for row in rows.values()] == ["failed", "done"]
    assert rows[cell.key]["reason"] == "it broke"
    rows = flow.run_cells(cells, tmp_path)
    assert [row["state"] for row in rows.values()] == ["done", "done"]
    before = (tmp_path / "cells.json").read_bytes()
    flow.run_cells(cells, tmp_path)
    assert told == [0, 1, 0]
    assert (tmp_path / "cells.json").read_bytes() == before
    assert not any((tmp_path / "trainings").iterdir())
    assert list(flow.read_scores_of(cells, rows, tmp_path)["seed"]) == [0, 1]


def test_levels_that_choose_the_same_cases_share_one_training(cell, tmp_path, monkeypatch):
    again = replace(cell, regime="other", level="13 images", x=13.0)
    told = []

    def train(one, *_):
        told.append(one.key)
        ids = [*one.selection.test]
        return pd.DataFrame({"arm": one.arm.name, "seed": one.seed, "case_id": ids}), {}

    monkeypatch.setattr(flow, "train_cell", train)
    rows = flow.run_cells([cell, again], tmp_path)
    assert told == [cell.key]
    assert [row["state"] for row in rows.values()] == ["done", "done"]
    scores = flow.read_scores_of([cell, again], rows, tmp_path)
    own = scores.groupby(["regime", "level", "x"])["case_id"].apply(list)
    assert own.to_dict() == {
        ("claimed", "12 images", 12.0): [*cell.selection.test],
        ("other", "13 images", 13.0): [*cell.selection.test],
    }
    later = replace(cell, level="14 images")
    assert flow.run_cells([later], tmp_path)[later.key]["state"] == "done"
    assert len(told) == 1


def test_each_fold_has_a_search_of_its_own_that_reads_none_of_its_test_cases(folder):
    phantom = phantom_source(folder, {"seed": 3, **TINY}, QUICK)
    manifest = phantom.base / "without_split.csv"
    pd.read_csv(phantom.base / "manifest.csv").drop(columns="split").to_csv(manifest, index=False)
    source = replace(phantom, manifest=manifest, overrides=(*QUICK, "split.folds=3"))
    regime = Regime("own", "", (Level("12 images", 12, sized(12)),), (SEGMENTATION, CLASSIFIER))
    study = Study("tiny", "Tiny", "images", (regime,), (), source=source)
    tried = plan_search(study, folder, [0, 1, 2])
    assert len(tried) == 6
    cells = plan(study, folder, [0, 1, 2], {key: own[0].overrides for key, own in tried.items()})
    for cell in cells:
        key = search_key(regime, regime.levels[0], cell.arm, cell.fold)
        for searched in tried[key]:
            used = {*searched.selection.train, *searched.selection.val}
            assert searched.fold == cell.fold
            assert used.isdisjoint(cell.selection.test)


def test_a_cell_whose_settings_changed_is_trained_anew(cell, tmp_path, monkeypatch):
    done = {"val_auroc": 0.5}
    monkeypatch.setattr(flow, "train_cell", lambda *_: (pd.DataFrame({"seed": [0]}), done))
    flow.run_cells([cell], tmp_path)
    changed = replace(cell, overrides=("train.lr=0.5",))
    assert changed.key == cell.key
    known = json.loads((tmp_path / "cells.json").read_text())[cell.key]["identity"]
    rows = flow.run_cells([changed], tmp_path)
    assert rows[cell.key]["identity"] != known


def test_every_study_plans_its_cells_on_a_phantom(folder):
    for study in STUDIES.values():
        names = [regime.name for regime in study.regimes]
        assert names[0] == "claimed"
        for regime in study.regimes:
            known = {level.name for level in regime.levels}
            assert regime.searched is None or regime.searched in known
            assert {arm for level in regime.levels for arm in level.arms} <= {
                arm.name for arm in regime.arms
            }


def test_a_process_that_is_killed_ends_the_study_with_advice(cell, tmp_path, monkeypatch):
    class Broken:
        def __init__(self, *args, **kwargs):
            pass

        def submit(self, *args):
            future = Future()
            future.set_exception(BrokenProcessPool())
            return future

        def shutdown(self, **kwargs):
            pass

    monkeypatch.setattr(flow, "ProcessPoolExecutor", Broken)
    with pytest.raises(StoppedError, match="ended from outside") as caught:
        flow.run_cells([cell], tmp_path, jobs=2)
    assert "--jobs" in str(caught.value)


@pytest.mark.nightly
def test_two_processes_give_the_same_rows_as_one(cell, tmp_path):
    cells = [cell, replace(cell, seed=1)]
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    one = flow.run_cells(cells, tmp_path / "one")
    torch.set_num_threads(n_threads)
    two = flow.run_cells(cells, tmp_path / "two", jobs=2)
    for key, row in one.items():
        assert {**row, "cpu_s": 0} == {**two[key], "cpu_s": 0}
    scores = [
        flow.read_scores_of(cells, rows, tmp_path / name)
        for rows, name in ((one, "one"), (two, "two"))
    ]
    pd.testing.assert_frame_equal(*scores)
