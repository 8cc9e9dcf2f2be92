"""Semi-supervised trainings in the one loop: what they change, and that a kill changes nothing."""

import json
import os
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from segclf.core.errors import ConfigError, DataError, UsageError
from segclf.data import CaseCache
from segclf.pseudolabel.semi import SEMI, make_scene, train_semi
from segclf.pseudolabel.semi.sampling import plan_mixed
from segclf.segment import load_segmenter, train_segmenter
from segclf.training import Prepared, loop

ARTEFACTS = ("model.safetensors", "model.json", "metrics.jsonl")
IN_ONE = [name for name, method in SEMI.items() if not method.has_rounds]
FIRST = [*IN_ONE, "two_step"]
"""Methods that learn from unlabelled cases in their first training."""


def train(arguments, folder, **options):
    return train_semi(*arguments, folder, first=True, **options)


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("method", FIRST)
def test_a_training_killed_and_resumed_ends_with_the_same_bytes(partly_drawn, tmp_path, method):
    """Teacher and second network included: the kill comes after the weights have changed."""
    semi = {"ramp": 0.25, "passes": 2, "confidence": 0.5}
    arguments = partly_drawn(method, semi={"method": method, **semi})
    straight = train(arguments, tmp_path / "straight")
    killed = tmp_path / "killed"
    child = os.fork()
    if child == 0:
        try:
            real = loop._step

            def last_step(training, batch):
                real(training, batch)
                if training.progress.step == 6:
                    os.kill(os.getpid(), signal.SIGKILL)

            loop._step = last_step
            train(arguments, killed)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert (killed / "checkpoints/LATEST").read_text() == "step-00000006\n"
    train(arguments, killed, resume=True)
    for name in ARTEFACTS:
        assert (killed / name).read_bytes() == (straight / name).read_bytes(), name
    before = {path: path.stat().st_mtime_ns for path in killed.rglob("*") if path.is_file()}
    train(arguments, killed, resume=True)  # a second run does nothing
    after = {path: path.stat().st_mtime_ns for path in killed.rglob("*") if path.is_file()}
    assert {k: v for k, v in after.items() if k.name != "identity.json"} == {
        k: v for k, v in before.items() if k.name != "identity.json"
    }


@pytest.mark.parametrize("method", FIRST)
def test_the_unlabelled_loss_changes_the_weights(partly_drawn, tmp_path, method):
    """Against the same training with weight 0, on the same batches."""
    folders = []
    for weight in (0.0, 5.0):
        semi = {"method": method, "weight": weight, "ramp": 0, "passes": 2, "confidence": 0.5}
        arguments = partly_drawn(semi=semi, train={"steps": 4})
        folders.append(train(arguments, tmp_path / f"weight{weight}"))
    off, on = map(weights, folders)
    assert off.keys() == on.keys()
    moved = [name for name in off if not torch.equal(off[name], on[name])]
    assert any(name.startswith("decoder.") for name in moved)


@pytest.mark.parametrize("method", FIRST)
def test_the_model_is_a_plain_segmenter(partly_drawn, tmp_path, method):
    arguments = partly_drawn(method, train={"steps": 4})
    folder = train(arguments, tmp_path / method)
    plain = train_segmenter(*partly_drawn(train={"steps": 4}), tmp_path / "plain")
    assert weights(folder).keys() == weights(plain).keys()
    network, card = load_segmenter(folder)
    assert network(torch.zeros(1, 1, 24, 24)).shape == (1, 1, 24, 24)
    assert card.recipe["semi"]["method"] == method
    identity, other = (json.loads((f / "identity.json").read_text()) for f in (folder, plain))
    assert identity["semi.method"] == method
    assert not [key for key in other if key.startswith("semi")]  # only where they have an effect


@pytest.fixture
def kept_checkpoints(monkeypatch):
    """A finished training keeps its checkpoints, to be looked at."""
    monkeypatch.setattr("segclf.training.models.shutil.rmtree", lambda *_, **__: None)


def test_the_teacher_is_what_is_validated_and_kept(partly_drawn, tmp_path, kept_checkpoints):
    folder = train(partly_drawn("mean_teacher"), tmp_path / "mt")
    (newest,) = sorted(folder.glob("checkpoints/step-*"))[-1:]
    student, teacher = (load_file(newest / f"{name}.safetensors") for name in ("model", "ema"))
    kept = weights(folder)
    step = json.loads((folder / "model.json").read_text())["best_step"]
    best = load_file(folder / f"checkpoints/step-{step:08d}/ema.safetensors")
    assert all(torch.equal(kept[name], best[name]) for name in kept)
    assert any(not torch.equal(student[name], teacher[name]) for name in student)


def test_the_two_networks_of_cps_start_differently_and_one_is_kept(
    partly_drawn, tmp_path, kept_checkpoints
):
    folder = train(partly_drawn("cps"), tmp_path / "cps")
    step = json.loads((folder / "model.json").read_text())["best_step"]
    both = load_file(folder / f"checkpoints/step-{step:08d}/model.safetensors")
    first = {n.removeprefix("first."): t for n, t in both.items() if n.startswith("first.")}
    second = {n.removeprefix("second."): t for n, t in both.items() if n.startswith("second.")}
    assert first.keys() == second.keys() == weights(folder).keys()
    assert all(torch.equal(tensor, first[name]) for name, tensor in weights(folder).items())
    assert any(not torch.allclose(first[name], second[name], atol=0.05) for name in first)


def scene_of(arguments):
    table, split, recipe = arguments
    parts = dict(zip(split["case_id"], split["split"], strict=True))
    cases = tuple(case for case in table.cases if parts[case.case_id] == "train")
    cache = CaseCache(cases, recipe, None)
    prepared = Prepared(cases, (), table.findings, None, {}, cache, 1, [])
    return make_scene(recipe, prepared, None)


def test_each_batch_has_its_share_of_unlabelled_cases_each_equally_often(partly_drawn):
    arguments = partly_drawn("cps", semi={"ratio": 0.25}, train={"batch_size": 8})
    scene = scene_of(arguments)
    assert scene.unknown == {"c1": (True,), "c5": (True,), "c8": (True,)}
    plan = plan_mixed(scene)
    names = [case.case_id for case in scene.known]
    seen = []
    for step in range(12):
        chosen = [names[index] for index, _ in plan.draw(step)]
        assert len(chosen) == 8
        assert [name in scene.unknown for name in chosen] == [False] * 6 + [True] * 2
        assert sum(int(name[1:]) % 2 for name in chosen[:6]) == 3  # train.positive_share
        seen += chosen[6:]
    assert {name: seen.count(name) for name in scene.unknown} == {"c1": 8, "c5": 8, "c8": 8}
    again = plan_mixed(scene_of(arguments))
    assert [plan.draw(step) for step in (7, 3)] == [again.draw(step) for step in (7, 3)]


def test_a_data_set_whose_masks_are_all_known_is_refused(partly_drawn):
    scene = scene_of(partly_drawn("cps"))
    with pytest.raises(DataError) as caught:
        plan_mixed(replace(scene, unknown={}))
    assert str(caught.value) == (
        "the masks of all 12 training cases are known: there is nothing to learn from without "
        "masks.\n  where:    semi.method = 'cps'\n"
        "  expected: training cases whose mask is blank and whose label is not 0\n"
        "  fix:      train on masks alone: leave out --semi (semi.method: null)"
    )
    alone = scene_of(partly_drawn("cps", train={"batch_size": 1}))
    with pytest.raises(ConfigError, match="a batch of 1 cannot hold"):
        plan_mixed(alone)


def test_an_unknown_method_is_refused_with_those_that_exist(partly_drawn, tmp_path):
    with pytest.raises(UsageError, match="there is no semi-supervised method called 'meen'") as no:
        train(partly_drawn("meen"), tmp_path / "x")
    assert "mean_teacher" in str(no.value)


@pytest.mark.parametrize("method", FIRST)
def test_test_images_masks_and_labels_that_are_nan_change_no_byte(partly_drawn, tmp_path, method):
    arguments = partly_drawn(method, train={"steps": 4})
    folder = train(arguments, tmp_path / "clean")
    table, _, recipe = partly_drawn(method, nan_test=True, train={"steps": 4})
    table = replace(table, sha256=arguments[0].sha256)
    spoiled = train((table, arguments[1], recipe), tmp_path / "nan")
    for name in ARTEFACTS:
        assert (folder / name).read_bytes() == (spoiled / name).read_bytes(), name
