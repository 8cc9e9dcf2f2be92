"""Trainings that finished and still give nothing to judge a method by."""

import json
from types import SimpleNamespace

import pytest

from segclf.core.runs import Run
from segclf.study.compare.health import health, places
from segclf.study.compare.methods import Method

TAU, SOFTMAX = Method("tau", "rule", "tau"), Method("softmax", "head", "softmax")
FC, OOF = Method("fc", "trained", "fc"), Method("fc-oof", "trained", "fc")


@pytest.fixture
def exps(tmp_path):
    """Two seeds of two folds; the segmenter of seed 1, fold 1 collapsed, and an inner one."""
    found = {}
    for seed in (0, 1):
        run = Run(tmp_path / f"seed{seed}")
        for fold in (0, 1):
            for inner in ("", "inner0", "inner1"):
                folder = run.stage("segment", fold=fold) / inner
                folder.mkdir(parents=True, exist_ok=True)
                is_bad = (seed, fold, inner) in ((1, 1, ""), (0, 0, "inner1"))
                (folder / "model.json").write_text(json.dumps({"collapsed": is_bad}))
        found[seed] = SimpleNamespace(run=run, folds=lambda: [0, 1])
    return found


def write_heads(exp, method, *losses):
    folder = exp.run.stage("summarize", method)
    folder.mkdir(parents=True)
    heads = [{"fold": fold, **loss} for fold, loss in enumerate(losses)]
    (folder / "summarizer.json").write_text(json.dumps({"heads": heads}))


def test_whoever_reads_the_masks_of_a_collapsed_segmenter_is_told_where(exps):
    assert health(exps, TAU)["collapsed"] == [{"seed": 1, "fold": 1}]
    assert health(exps, FC)["collapsed"] == [{"seed": 1, "fold": 1}]
    assert health(exps, OOF)["collapsed"] == [{"seed": 0, "fold": 0}, {"seed": 1, "fold": 1}]
    assert health(exps, SOFTMAX) == {"collapsed": [], "unlearned": []}


def test_a_head_whose_loss_stayed_at_that_of_the_prior_learned_nothing(exps):
    write_heads(exps[0], "fc", {"loss": 0.68, "loss_of_prior": 0.693}, {"loss": None})
    write_heads(exps[1], "fc", {"loss": 0.55, "loss_of_prior": 0.693}, {})
    assert health(exps, FC)["unlearned"] == [{"seed": 0, "fold": 0}]
    assert health(exps, TAU)["unlearned"] == []


def test_places_are_seeds_or_folds_of_them():
    assert places([{"seed": 0, "fold": None}, {"seed": 3, "fold": None}]) == "seed 0 and 3"
    assert places([{"seed": 0, "fold": 2}]) == "seed 0, fold 2"
