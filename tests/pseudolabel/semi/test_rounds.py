"""`pseudo` and `two_step`: trainings one after another, each a run folder of its own."""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segclf import pipeline, rounds
from segclf.core.config import recipe_yaml
from segclf.core.errors import DataError, UsageError
from segclf.core.statstable import read_statistics
from segclf.experiment import new_experiment
from segclf.pseudolabel.semi import train_semi
from segclf.training import loop

MODEL = ("model.safetensors", "model.json", "metrics.jsonl")


def ignore(_event):
    """No progress is shown in tests."""


@pytest.fixture
def opened(partly_drawn, tmp_path, monkeypatch):
    """An experiment in a folder of its own, whose run is `runs/run`."""

    def make(method, home="home", *, nan_test=False, **settings):
        place = tmp_path / home
        (place / "data").mkdir(parents=True)
        monkeypatch.chdir(place)
        *_, recipe = partly_drawn(folder=place / "data", **settings)
        semi = recipe.semi.model_copy(update={"method": method})
        recipe = recipe.model_copy(update={"semi": semi})
        (place / "data/recipe.yaml").write_text(recipe_yaml(recipe))
        exp = new_experiment(Path("data/recipe.yaml"), None, None, ())
        if nan_test:  # once the split is made
            partly_drawn(nan_test=True, folder=place / "data", **settings)
            exp = new_experiment(Path("data/recipe.yaml"), None, None, ())
        return exp

    return make


@pytest.fixture
def asked(monkeypatch):
    """Pseudo-masks that are squares in a corner, of c1 and c8, instead of predictions."""
    calls = []

    def make_pseudo_masks(exp, *, filter_name, fold, soft, on_event):
        fits = json.loads((exp.run.path / "summarize/tau/summarizer.json").read_text())["fits"]
        calls.append((exp.run.path.as_posix(), filter_name, soft, fits[0]["n"]))
        folder = exp.run.stage("pseudolabel", "own", fold=fold)
        folder.mkdir(parents=True, exist_ok=True)
        mask = np.zeros((24, 24), dtype=np.uint8)
        mask[3:9, 3:9] = 1
        names = {"c1": "one.png", "c8": "eight.png"}
        for name in names.values():
            Image.fromarray(mask).save(folder / name)
        side = pd.DataFrame({"case_id": list(names), "mask_square": list(names.values())})
        side.to_csv(folder / "side.csv", index=False)
        counts = {"square": {"kept": {"no_filter": 2}, "dropped": {"x": 1}, "drawn": {"y": 9}}}
        fitted = [{"finding": "square", "t": 0.25, "tau": 12.0, "unit": "px"}]
        record = {"counts": counts, "fitted": fitted}
        (folder / "record.json").write_text(json.dumps(record))
        return folder

    monkeypatch.setattr("segclf.pseudolabel.make_pseudo_masks", make_pseudo_masks)
    return calls


def model(folder):
    return {name: (folder / name).read_bytes() for name in MODEL}


def all_bytes(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_first_round_is_a_plain_training_and_the_last_learns_its_masks(opened, asked):
    exp = opened("pseudo")
    pipeline.train_seg(exp, ignore)
    plain = opened(None, "plain")
    pipeline.train_seg(plain, ignore)
    at = Path("..") / "home/runs/run"
    first = at / "rounds/0/segment"
    assert model(first) == model(plain.run.stage("segment"))
    assert asked == [("runs/run/rounds/0", "none", False, 6)]
    sha256 = json.loads((first / "model.json").read_text())["sha256"]
    last = json.loads((at / "segment/identity.json").read_text())
    assert (last["semi.method"], last["semi.taught_by"]) == ("pseudo", sha256)
    weights = "model.safetensors"
    assert (at / "segment" / weights).read_bytes() != (first / weights).read_bytes()
    rows = read_statistics([at / "rounds/0/predict/own"]).frame
    assert set(rows["case_id"]) == {f"c{i}" for i in range(12, 18)}  # validation cases alone


@pytest.mark.parametrize("boosted", [False, True])
def test_two_step_learns_soft_masks_of_a_training_with_consistent_features(opened, asked, boosted):
    exp = opened("two_step", semi={"boosted": boosted, "rounds": 2}, train={"steps": 4})
    pipeline.train_seg(exp, ignore)
    name = "boosted" if boosted else "none"
    assert asked == [(f"runs/run/rounds/{k}", name, True, 6) for k in (0, 1)]
    identities = [
        json.loads((exp.run.path / part / "segment/identity.json").read_text())
        for part in ("rounds/0", "rounds/1", ".")
    ]
    assert [one["semi.method"] for one in identities] == ["two_step"] * 3
    assert ["semi.taught_by" in one for one in identities] == [False, True, True]


def test_rounds_killed_and_resumed_end_with_the_same_bytes(opened, asked, monkeypatch):
    straight = opened("pseudo", "straight", semi={"rounds": 2})
    pipeline.train_seg(straight, ignore)
    expected = {part: model(Path(f"runs/run/{part}")) for part in ("rounds/1/segment", "segment")}
    exp = opened("pseudo", "killed", semi={"rounds": 2})
    child = os.fork()
    if child == 0:
        try:
            real = loop._step
            n_steps = []

            def last_step(training, batch):
                real(training, batch)
                n_steps.append(training.progress.step)
                if len(n_steps) == 13:  # of 8 steps a round: in the middle of the second
                    os.kill(os.getpid(), signal.SIGKILL)

            loop._step = last_step
            pipeline.train_seg(exp, ignore)
        finally:
            os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert not (exp.run.path / "segment/model.json").exists()
    pipeline.train_seg(exp, ignore, resume=True)
    assert {part: model(Path(f"runs/run/{part}")) for part in expected} == expected
    made = {p: p.stat().st_mtime_ns for p in exp.run.path.rglob("*/segment/model.*")}
    assert len(made) == 4
    before = all_bytes(exp.run.path)
    monkeypatch.setattr("segclf.core.provenance.package_version", lambda _name: "another")
    pipeline.train_seg(exp, ignore, resume=True)
    assert {p: p.stat().st_mtime_ns for p in made} == made
    assert all_bytes(exp.run.path) == before


def test_nan_test_cases_change_no_byte_of_any_round(opened, asked):
    found = []
    for home, nan_test in (("clean", False), ("nan", True)):
        exp = opened("pseudo", home, nan_test=nan_test, train={"steps": 4})
        pipeline.train_seg(exp, ignore)
        parts = sorted(path.parent for path in Path("runs/run").rglob("model.json"))
        tau = json.loads(Path("runs/run/rounds/0/summarize/tau/summarizer.json").read_text())
        found.append([{str(part): model(part) for part in parts}, tau["fits"]])
    assert set(found[0][0]) == {"runs/run/segment", "runs/run/rounds/0/segment"}
    assert found[0] == found[1]


def test_without_stand_ins_soft_masks_of_training_cases_alone_are_learned(opened, monkeypatch):
    exp = opened("two_step", train={"steps": 2})
    tables = []
    real = rounds.train_semi

    def spy(table, *arguments, **options):
        tables.append(table)
        return real(table, *arguments, **options)

    monkeypatch.setattr(rounds, "train_semi", spy)
    pipeline.train_seg(exp, ignore)
    (folder,) = Path("runs/run/rounds/0/pseudolabel").iterdir()
    assert {path.name for path in (folder / "masks").iterdir()} == {"c1", "c5", "c8"}
    first, last = ({case.case_id: case.masks[0] for case in table.cases} for table in tables)
    assert {name for name in first if first[name] != last[name]} == {"c1", "c5", "c8"}
    assert (last["c1"].kind.value, last["c1"].is_pseudo) == ("soft", True)


def test_the_known_masks_stay_apart_from_pseudo_masks_laid_over_them(opened, asked, monkeypatch):
    exp = opened("pseudo", train={"steps": 2})
    seen = []
    real = rounds.train_semi

    def spy(table, *arguments, known, **options):
        seen.append((table, known))
        return real(table, *arguments, known=known, **options)

    monkeypatch.setattr(rounds, "train_semi", spy)
    pipeline.train_seg(exp, ignore)
    ((table, known),) = seen
    states = [
        {case.case_id: case.masks[0].state for case in cases} for cases in (table.cases, known)
    ]
    changed = {case_id for case_id in states[0] if states[0][case_id] != states[1][case_id]}
    assert changed == {"c1", "c8"}


def test_a_filter_that_keeps_nothing_is_said(opened, asked, monkeypatch):
    exp = opened("pseudo", train={"steps": 2})
    folder = Path("empty")
    folder.mkdir()
    (folder / "side.csv").write_text("case_id,mask_square\nc1,\n")
    fitted = [{"finding": "square", "t": 0.5, "tau": 1.0, "unit": "px"}]
    (folder / "record.json").write_text(json.dumps({"counts": {"square": {}}, "fitted": fitted}))
    monkeypatch.setattr("segclf.pseudolabel.make_pseudo_masks", lambda *_, **__: folder)
    with pytest.raises(DataError) as caught:
        pipeline.train_seg(exp, ignore)
    assert str(caught.value) == (
        "none of the 3 training cases without a mask got a pseudo-mask.\n"
        "  where:    semi.method = 'pseudo'\n"
        "  expected: at least one that the filter keeps\n"
        "  fix:      see why in ledger.csv of the pseudo-masks; train longer, or without --boosted"
    )


def test_rounds_without_a_case_to_learn_from_are_refused_before_a_training(opened):
    exp = opened("pseudo")
    table = pd.read_csv("data/manifest.csv", dtype=str, keep_default_na=False)
    table["mask"] = [f"m{i}.png" for i in table.index]
    table.to_csv("data/manifest.csv", index=False)
    exp = new_experiment(Path("data/recipe.yaml"), None, None, ())
    with pytest.raises(DataError, match="the masks of all 12 training cases are known"):
        pipeline.train_seg(exp, ignore)
    assert not (exp.run.path / "rounds").exists()


def test_each_round_tells_what_it_learns(opened, asked):
    exp = opened("pseudo", semi={"rounds": 2}, train={"steps": 2})
    events = []
    pipeline.train_seg(exp, events.append)
    told = [event["message"] for event in events if "message" in event]
    assert [text for text in told if text.startswith("round")] == [
        "round 0 of 2: learns known masks",
        "round 1 of 2: square kept 2, dropped 1; t 0.25, tau 12 px",
        "round 2 of 2: square kept 2, dropped 1; t 0.25, tau 12 px",
    ]


def test_settings_that_do_not_go_together_are_refused(opened):
    exp = opened("mean_teacher", semi={"rounds": 2})
    with pytest.raises(UsageError, match="'mean_teacher' has no rounds") as caught:
        pipeline.train_seg(exp, ignore)
    assert "leave out --rounds, or use --semi pseudo" in str(caught.value)
    assert not (exp.run.path / "segment").exists()
    exp = opened("cps", "refine", segment={"refine_from": "other"})
    with pytest.raises(UsageError, match="'cps' starts from scratch, and refining from another"):
        pipeline.train_seg(exp, ignore)
    exp = opened("pseudo", "devices", train={"devices": 2})
    with pytest.raises(UsageError, match="makes pseudo-masks between its trainings"):
        pipeline.train_seg(exp, ignore)


def test_the_recipe_of_a_round_opens_by_itself(opened, asked):
    """It is a run folder: later commands work on it."""
    exp = opened("pseudo", train={"steps": 2})
    pipeline.train_seg(exp, ignore)
    shutil.rmtree("runs/run/rounds/0/summarize")
    inner = new_experiment(None, None, "runs/run/rounds/0", ())
    folder, record = pipeline.summarize_masks(inner, "mean")
    assert record["fits"][0]["n"] == 6
    assert folder.is_dir()


def test_the_whole_run_goes_on_like_any_other(opened, asked):
    exp = opened("pseudo", train={"steps": 2})
    pipeline.train_seg(exp, ignore)
    _, record = pipeline.summarize_masks(exp, "tau")
    assert record["n_cases"] == 10  # validation and test
    assert train_semi(  # finished: kept as it is
        exp.table, exp.split, exp.recipe, Path("runs/run/rounds/0/segment"), first=True, resume=True
    )
