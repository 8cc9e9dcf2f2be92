"""The proofs of fewer masks and of the planner: what they train, count and tell."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from segclf.core.atomic import write_json, write_text
from segclf.core.config import load_recipe, recipe_yaml
from segclf.core.errors import StoppedError
from segclf.core.records import MaskState
from segclf.manifest import cases_of
from segclf.phantom import PhantomSettings, write_phantom
from segclf.study import planner_proof, semi_proof
from segclf.study.experiments import PROOFS, comparisons_page
from segclf.study.semi_section import semi_section

SIZES = {"train": 40, "val": 16, "test": 12}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    small = {"size_px": [16, 16], "n_cases": SIZES}
    monkeypatch.setattr(planner_proof, "BASE", planner_proof.BASE | small)
    monkeypatch.setattr(planner_proof, "SETTINGS", ({"area_fraction": 0.01}, {"noise": 0.08}))
    monkeypatch.setattr(semi_proof.Cell, "settings", property(lambda _cell: ()))
    return tmp_path


STUDY = replace(
    semi_proof.PHANTOM,
    methods=("pseudo", "pseudo --boosted", "cps"),
    phantom={**(semi_proof.PHANTOM.phantom or {}), "size_px": [16, 16], "n_cases": SIZES},
)


def scores_of(exp, rng):
    """Random scores that grow with the masks there are."""
    test = [case for case in exp.table.cases if case.case_id.startswith("test")]
    drawn = sum(
        case.masks[0].state is MaskState.DRAWN
        for case in exp.table.cases
        if not case.case_id.startswith("test")
    )
    return {c.case_id: drawn / 20 * c.labels[0] + rng.normal() for c in test}, drawn


def test_few_masks_are_data_sets_of_their_own_and_a_failure_costs_no_other(tiny, monkeypatch):
    seen = {}
    rng = np.random.default_rng(0)

    def train(exp, fold):
        assert fold is None
        name = exp.run.path.name
        if name.endswith("s1-cps"):
            raise StoppedError("the loss is NaN.", where="x", expected="y", fix="z")
        seen[name] = scores_of(exp, rng)
        for folder in ("rounds/0/segment", "segment"):  # a semi-supervised run has both
            write_json(exp.run.path / folder / "cost.json", {"cpu_s": 1.0})

    monkeypatch.setattr(semi_proof, "_test_scores", lambda exp, _: seen[exp.run.path.name][0])
    entry = semi_proof.run_semi(STUDY, Path("data/semi"), 2, train=train)
    drawn = {name: n for name, (_, n) in seen.items()}
    table = pd.read_csv("data/semi/manifest.csv")
    full = table.loc[table["split"] != "test", "mask"].notna().sum()
    assert drawn["semi-s0-supervised-100"] == full
    assert 0 < drawn["semi-s0-supervised-10"] <= 0.1 * full + 4
    assert drawn["semi-s0-supervised-10"] == drawn["semi-s0-pseudo"]
    first, second = (pd.read_csv(f"data/semi/subset{k}/manifest.csv") for k in (0, 1))
    assert not first["mask"].equals(second["mask"])
    assert first["label"].equals(table["label"])
    truth = table.loc[table["split"] == "test"].set_index("case_id")["label"]
    scores = [seen[f"semi-s{k}-pseudo"][0] for k in (0, 1)]
    values = [roc_auc_score(truth[[*one]], [*one.values()]) for one in scores]
    assert entry["rows"]["pseudo"]["auroc"] == pytest.approx(np.mean(values))
    assert entry["rows"]["cps"]["n_subsets"] == 1
    assert entry["cells"]["cps, subset 1"] == {"state": "failed", "reason": "the loss is NaN"}
    kept = json.loads(json.dumps(entry))
    text = semi_section(semi_proof.PHANTOM, "Few", kept)
    assert "Failed: cps, subset 1: the loss is NaN" in text
    assert "9 trainings of 2 to 2 processor seconds, 0 min in all." in text
    assert f"| pseudo | 2 | {np.mean(values):.3f} (" in text
    assert text in comparisons_page({"phantom_semi": kept}).replace(
        PROOFS["phantom_semi"].title, "Few"
    )


def test_with_folds_subset_k_is_one_of_fold_k_and_scored_on_its_test_cases(tiny, monkeypatch):
    phantom = PhantomSettings.model_validate({**STUDY.phantom, "n_cases": {"train": 60}})
    write_phantom(Path("data/all"), phantom)
    table = pd.read_csv("data/all/manifest.csv").drop(columns="split")
    table.to_csv("data/all/manifest.csv", index=False)
    recipe = load_recipe(Path("data/all/recipe.yaml"), ("split.folds=3",))
    recipe = recipe.model_copy(update={"manifest": "../data/all/manifest.csv"})
    write_text(Path("configs/folded.yaml"), recipe_yaml(recipe))

    def scores(exp, fold):
        return {case.case_id: 0.5 for case in cases_of(exp.table, exp.split, "test", fold)}

    monkeypatch.setattr(semi_proof, "_test_scores", scores)
    folds = []
    study = replace(STUDY, methods=("cps",), phantom=None, config="folded", has_regime=False)
    entry = semi_proof.run_semi(
        study, Path("data/ct"), 2, train=lambda exp, fold: folds.append((exp.run.path.name, fold))
    )
    assert {fold for name, fold in folds if "-s0-" in name} == {0}
    assert {fold for name, fold in folds if "-s1-" in name} == {1}
    assert entry["rows"]["cps"]["n_subsets"] == 2
    assert 0 < entry["n_test"]["cases"] < len(table)
    assert "regime" not in entry


def test_a_method_that_the_recipe_does_not_know_fails_alone():
    cell = semi_proof.Cell("pseudo --boosted", 0)
    assert cell.settings == ("semi.method=pseudo", "semi.boosted=true")
    assert semi_proof.Cell(semi_proof.FEW, 0).settings == ()
    assert len(semi_proof.PHANTOM.rows) == 2 + 2 * len(semi_proof.METHODS)


@pytest.mark.parametrize(
    ("few", "full", "is_met"), [(0.8, 0.96, True), (0.9, 0.96, False), (0.8, 0.9, False)]
)
def test_the_regime_is_judged_by_the_bounds_stated_before(few, full, is_met):
    rows = {semi_proof.FEW: {"auroc": few}, semi_proof.FULL: {"auroc": full}}
    assert semi_proof.regime(rows)["is_met"] is is_met


def test_the_prediction_is_written_before_the_first_training_it_is_judged_by(tiny, monkeypatch):
    order = []

    def measure(exp, sizes, n_subsets):
        rows = [
            {"masks": size.masks, "n_masks": 30 * size.masks, "n_labels": 40, "reason": ""}
            | {"auroc": 1 - 0.3 * (size.masks / 0.1) ** -0.7 + 0.01 * n}
            | {"variance": 2e-4, "variance_of_cases": 1e-4, "n_positive": 8, "n_negative": 8}
            for size in sizes
            for n in range(n_subsets)
        ]
        order.append("measure")
        return pd.DataFrame(rows), 0

    def measured(exp, subset):
        path = exp.run.stage("advise", "measure") / planner_proof.PROOF
        assert "predicted" in json.loads(path.read_text())
        order.append(subset)
        return {"auroc": 0.9 + 0.01 * subset}

    monkeypatch.setattr(planner_proof, "measure", measure)
    monkeypatch.setattr(planner_proof, "measured", measured)
    entry = planner_proof.run_planner(Path("data/plan"), 1)
    assert order == ["measure", 0, 1, 2] * 2
    assert planner_proof.run_planner(Path("data/plan"), 1) == entry
    assert order == ["measure", 0, 1, 2] * 2  # a second call trains nothing
    row = entry["settings"][0]
    assert row["measured"] == pytest.approx(0.91)
    assert row["is_covered"] == (row["lo"] <= 0.91 <= row["hi"])
    assert row["width"] == pytest.approx(row["hi"] - row["lo"])
    assert entry["n_covered"] == sum(one["is_covered"] for one in entry["settings"])
    text = planner_proof.planner_section("Plan", json.loads(json.dumps(entry)))
    assert f"{entry['n_covered']} of 2 covered" in text
    assert planner_proof.planner_section("Plan", None) == "## Plan\n\nNot run.\n"


@pytest.mark.parametrize(
    ("n_covered", "width", "is_reached"), [(8, 0.1, True), (7, 0.1, False), (10, 0.11, False)]
)
def test_the_goal_is_eight_of_ten_and_a_mean_width_of_a_tenth(n_covered, width, is_reached):
    rows = [{"is_covered": k < n_covered, "width": width} for k in range(10)]
    found = planner_proof.verdict_of(rows)
    assert (found["n_covered"], found["is_reached"]) == (n_covered, is_reached)
    assert planner_proof.verdict_of(rows[:5])["is_reached"] is None


def test_the_ten_settings_are_phantoms_and_differ():
    found = [planner_proof.settings_of(k) for k in range(10)]
    assert len({json.dumps(one, sort_keys=True) for one in found}) == 10
    for one in found:
        assert PhantomSettings.model_validate(one).size_px == (64, 64)
