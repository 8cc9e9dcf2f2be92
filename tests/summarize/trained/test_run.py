"""Fitting and scoring through a frozen segmenter: repetition, leakage, folds within, bad input."""

import dataclasses
import errno
import json
import os
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from segclf.calibrating import calibrate_table
from segclf.cli import app
from segclf.core.config import make_recipe
from segclf.core.errors import ConfigError, ExitCode, IntegrityError, StoppedError, UsageError
from segclf.core.runs import Run
from segclf.core.scoretable import write_scores
from segclf.io import write_image, write_mask
from segclf.manifest import cases_of, make_split, read_manifest
from segclf.networks import Segmenter
from segclf.predict.engine import load_engine
from segclf.segment import train_segmenter
from segclf.summarize.trained import TRAINED, run
from segclf.summarize.trained.parts import plan_parts
from segclf.summarize.trained.represent import make_reader, read_kept
from segclf.summarize.trained.run import Job, score_other, score_own

ONE_OF_EACH = ("pool_fc", "shallow_simple", "deep_complex", "logistic")
NONE = [None]


def head_bytes(job):
    return next(job.folder(None).glob("head.*")).read_bytes()


def by_case(scores, part):
    rows = scores[scores["split"] == part]
    return rows.sort_values("case_id")["score"].to_numpy()


def truncate(rows, data, which):
    for row in rows:
        if row["split"] == which:
            path = data / row["image"]
            path.write_bytes(path.read_bytes()[:50])
            return row["case_id"]
    raise AssertionError(which)


@pytest.mark.parametrize("rule", ONE_OF_EACH)
def test_every_held_out_case_is_scored_and_the_record_says_what_was_fitted(rule, a_job):
    job, table, split = a_job(rule)
    before = (job.run.path / "segment" / "model.safetensors").read_bytes()
    scores, record = score_own(job, table, split, NONE)
    assert (job.run.path / "segment" / "model.safetensors").read_bytes() == before
    assert scores["split"].value_counts().to_dict() == {"val": 12, "test": 8}
    assert scores["score"].between(0, 1).all()
    head, fit = record["heads"][0], record["fits"][0]
    assert (head["n_fit"], head["n_val"], head["n_labels"]["square"]) == (16, 12, 16)
    assert head["n_unknown_labels"]["square"] == 0
    assert head["cpu_s"] >= 0
    val = scores.query("split == 'val'")
    auroc = roc_auc_score(val["label"], val["score"])
    assert head["validation_auroc"] == pytest.approx(auroc, abs=1e-9)
    assert fit["fitted_on"] == "val"
    assert (fit["n"], fit["calibration"]["n"]) == (12, 12)
    assert scores["probability"].notna().all()
    assert not record["uses_extra_labels"]
    assert set(head["maps"]) == {"fit", "val"}
    assert not (job.folder(None) / "store").exists()
    assert not (job.folder(None) / "checkpoints").exists()
    write_scores(job.folder(None), scores, record)


@pytest.mark.parametrize("rule", ["fc", "boosting"])
def test_the_same_bits_come_again_and_neither_rows_nor_metadata_matter(rule, a_job):
    def with_metadata(rows, _data):
        return [{**row, "age_years": str(i), "n_px": str(7 * i % 5)} for i, row in enumerate(rows)]

    def turned(rows, _data):
        return [{**row, "age_years": str(-i)} for i, row in enumerate(rows[::-1])]

    runs = [
        a_job(rule, name=f"run{i}", change=c) for i, c in enumerate((None, with_metadata, turned))
    ]
    scores = [score_own(job, table, split, NONE)[0] for job, table, split in runs]
    for (job, _, _), other in zip(runs[1:], scores[1:], strict=True):
        assert head_bytes(job) == head_bytes(runs[0][0])
        for part in ("val", "test"):
            np.testing.assert_array_equal(by_case(other, part), by_case(scores[0], part))
    job, table, split = runs[0]
    path = next(job.folder(None).glob("head.*"))
    before = path.stat().st_mtime_ns
    again, _ = score_own(job, table, split, NONE)
    assert path.stat().st_mtime_ns == before  # kept, not fitted anew
    pd.testing.assert_frame_equal(again, scores[0], check_exact=True)


def test_scores_of_the_same_heads_settings_and_cases_are_kept(a_job, monkeypatch):
    job, table, split = a_job("logistic")
    told = []
    job = dataclasses.replace(job, on_event=told.append)
    scores, record = score_own(job, table, split, NONE)
    write_scores(job.folder(None), scores, record)
    assert all(event["kind"] != "kept" for event in told)
    original = run._score
    monkeypatch.setattr(run, "_score", lambda *_: pytest.fail("the segmenter was asked again"))
    again, kept = score_own(job, table, split, NONE)
    pd.testing.assert_frame_equal(again, scores, check_exact=True)
    assert kept["heads"] == json.loads(json.dumps(record["heads"]))
    assert told[-1] == {"kind": "kept", "message": "the scores of logistic are kept"}
    monkeypatch.setattr(run, "_score", original)
    image = job.run.path.parent / "data" / "i35.png"
    os.utime(image, ns=(0, 0))
    told.clear()
    score_own(job, table, split, NONE)
    assert [event for event in told if event["kind"] == "score"]  # an image was touched
    settings = job.recipe.summarize.model_copy(update={"calibrate": "isotonic"})
    changed = dataclasses.replace(job, recipe=job.recipe.model_copy(update={"summarize": settings}))
    told.clear()
    score_own(changed, table, split, NONE)
    assert [event for event in told if event["kind"] == "score"]


def test_scores_that_were_calibrated_since_are_made_anew(a_job):
    job, table, split = a_job("logistic")
    told = []
    job = dataclasses.replace(job, on_event=told.append)
    scores, record = score_own(job, table, split, NONE)
    write_scores(job.folder(None), scores, record)
    calibrate_table(job.folder(None), method="none")
    told.clear()
    again, _ = score_own(job, table, split, NONE)
    assert again["probability"].notna().all()


def test_reading_leaves_weights_and_batch_norm_statistics_as_they_are(a_job):
    for rule in ("pool_fc", "deep_simple", "logistic"):
        job, table, split = a_job(rule)
        engine = load_engine(job.run.path / "segment", job.recipe)
        before = {name: tensor.clone() for name, tensor in engine.network.state_dict().items()}
        cases = cases_of(table, split, "train")
        reader = make_reader(engine, TRAINED[rule], cases)
        assert len(list(read_kept(engine, reader, cases))) > 1
        assert not engine.network.training
        after = engine.network.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("rule", ["pool_fc", "deep_simple", "logistic"])
def test_nothing_that_is_fitted_changes_with_the_test_cases(rule, a_job):
    def spoil(rows, data):
        for row in rows:
            if row["split"] == "test":
                row["label"] = "" if int(row["case_id"][1:]) % 3 else str(1 - int(row["label"]))
                noise = np.random.default_rng(1).integers(0, 255, (20, 20), dtype=np.uint8)
                Image.fromarray(noise).save(data / row["image"])
        truncate(rows[::-1], data, "test")

    found = []
    for name, change in (("clean", None), ("spoiled", spoil)):
        job, table, split = a_job(rule, name=name, change=change)
        scores, record = score_own(job, table, split, NONE)
        found.append(
            (head_bytes(job), by_case(scores, "val"), record["fits"], by_case(scores, "test"))
        )
    clean, spoiled = found
    assert clean[0] == spoiled[0]
    np.testing.assert_array_equal(clean[1], spoiled[1])
    assert clean[2] == spoiled[2]
    assert (len(clean[3]), len(spoiled[3])) == (8, 7)  # else nothing was spoiled
    assert record["cases_without_statistics"]["test"]["n"] == 1


@pytest.mark.parametrize("rule", TRAINED)
def test_training_labels_of_one_kind_give_missing_scores_with_the_reason(rule, a_job):
    def all_negative(rows, _data):
        for row in rows:
            if row["split"] == "train":
                row["label"] = "0" if int(row["label"]) == 0 else ""

    job, table, split = a_job(rule, change=all_negative)
    scores, record = score_own(job, table, split, NONE)
    assert len(scores) == 20
    assert scores[["score", "decision", "probability"]].isna().all().all()
    assert record["fits"][0]["reason"] == "all 8 cases to fit on are negative"
    assert record["heads"][0]["n_unknown_labels"] == {"square": 8}
    write_scores(job.folder(None), scores, record)


def test_cases_of_another_manifest_get_the_thresholds_of_the_run(a_job, tmp_path):
    job, table, split = a_job("pool_fc")
    with pytest.raises(UsageError, match="has not been fitted"):
        score_other(job, table, NONE, tmp_path)
    own, record = score_own(job, table, split, NONE)
    write_scores(job.run.stage("summarize", "pool_fc"), own, record)
    other, other_record = score_other(job, table, NONE, tmp_path)
    assert len(other) == 36
    assert set(other["threshold"]) == set(own["threshold"])
    together = own.query("split == 'test'").merge(other, on="case_id")
    np.testing.assert_allclose(together["score_x"], together["score_y"], rtol=1e-5)
    np.testing.assert_allclose(together["probability_x"], together["probability_y"], rtol=1e-5)
    assert other_record["fits"][0]["n"] == 12
    weights = job.run.path / "segment" / "model.safetensors"
    weights.unlink()
    (job.run.path / "segment" / "model.json").unlink()
    changed = job.recipe.model_copy(update={"seed": 1})
    (job.run.path / "segment" / "identity.json").unlink()
    train_segmenter(table, split, changed, job.run.path / "segment")
    with pytest.raises(IntegrityError, match="maps of another segmenter"):
        score_other(job, table, NONE, tmp_path)


def test_fitting_on_validation_cases_halves_them_by_patient(a_job):
    job, table, split = a_job("logistic", fit_on="val")
    parts = plan_parts(table, split, job.recipe, job.run, None, None)
    ((_, fit),) = parts.fit
    assert not {c.patient_id for c in fit} & {c.patient_id for c in parts.val}
    assert len(fit) + len(parts.val) == 12
    scores, record = score_own(job, table, split, NONE)
    assert set(scores["method"]) == {"logistic-val"}
    assert job.folder(None).name == "logistic-val"
    assert set(scores.query("split == 'val'")["case_id"]) == {c.case_id for c in parts.val}
    assert record["uses_extra_labels"]
    assert record["fits"][0]["n"] == len(parts.val)
    both = dataclasses.replace(job, recipe=a_job("fc", fit_on="val", out_of_fold=True)[0].recipe)
    with pytest.raises(UsageError, match=r"--fit-on val with --out-of-fold"):
        score_own(both, table, split, NONE)


def test_out_of_fold_maps_come_from_segmenters_that_never_saw_the_patient(a_job):
    job, table, split = a_job("pool_fc", out_of_fold=True, inner_folds=2)
    scores, record = score_own(job, table, split, NONE)
    assert set(scores["method"]) == {"pool_fc-oof"}
    parts = plan_parts(table, split, job.recipe, job.run, None, None)
    train = cases_of(table, split, "train")
    assert sorted(c.case_id for _, part in parts.fit for c in part) == [c.case_id for c in train]
    for folder, left_out in parts.fit:
        card = json.loads((folder / "model.json").read_text())
        assert card["n_train"] == len(train) - len(left_out)
        patients = {c.patient_id for c in left_out}
        others = [c for c in train if c not in left_out]
        assert patients.isdisjoint(c.patient_id for c in others)
    head = record["heads"][0]
    assert (head["n_segmenters"], head["n_fit"], len(head["inner_cpu_s"])) == (2, 16, 2)
    models = {f: (f / "model.safetensors").stat().st_mtime_ns for f, _ in parts.fit}
    score_own(job, table, split, NONE)
    assert all((f / "model.safetensors").stat().st_mtime_ns == t for f, t in models.items())


def test_an_interrupted_fit_is_continued_and_ends_with_the_same_bits(a_job):
    job, table, split = a_job("fc")
    score_own(job, table, split, NONE)
    seen = []

    def stop(event):
        seen.append(event["kind"])
        if event["kind"] == "checkpoint" and seen.count("checkpoint") == 1:
            raise KeyboardInterrupt

    again, _, _ = a_job("fc", name="two")
    with pytest.raises(KeyboardInterrupt):
        score_own(dataclasses.replace(again, on_event=stop), table, split, NONE)
    assert not (again.folder(None) / "store").exists()
    seen.clear()
    score_own(
        dataclasses.replace(again, on_event=lambda e: seen.append(e["kind"])), table, split, NONE
    )
    assert head_bytes(again) == head_bytes(job)
    assert seen.count("validate") < 2  # the first half was there


def test_a_case_that_cannot_be_read_is_set_aside(a_job):
    names = []
    job, table, split = a_job(
        "deep_simple", change=lambda rows, data: names.append(truncate(rows, data, "train"))
    )
    _, record = score_own(job, table, split, NONE)
    lines = (job.folder(None) / "quarantine.jsonl").read_text().splitlines()
    assert [json.loads(line)["case_id"] for line in lines] == names
    assert record["heads"][0]["n_fit"] == 15


def test_the_image_stands_beside_the_map_where_a_whole_network_reads_it(a_job):
    for rule, n_channels in (("squeezenet", 2), ("fc", 1)):
        job, table, split = a_job(rule, with_image=True)
        engine = load_engine(job.run.path / "segment", job.recipe)
        reader = make_reader(engine, TRAINED[rule], cases_of(table, split, "train"))
        assert reader.shape[0] == n_channels


def test_maps_that_need_more_room_than_allowed_are_refused_before_any_is_made(a_job):
    job, table, split = a_job("fc", grid_px=64, store_gib=1e-5)
    with pytest.raises(ConfigError, match=r"16 cases \(1 x 64 x 64 each\) needs .* GiB"):
        score_own(job, table, split, NONE)


def test_a_full_disk_stops_with_the_way_on_and_leaves_nothing(a_job, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, "no space")

    job, table, split = a_job("fc")
    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(StoppedError, match=r"the disk is full[\s\S]*GiB of maps"):
        score_own(job, table, split, NONE)
    assert not (job.folder(None) / "store").exists()


def test_a_segmenter_without_features_is_named(a_job, monkeypatch):
    job, table, split = a_job("deep_simple")
    engine = load_engine(job.run.path / "segment", job.recipe)

    def fail(self, image):
        raise RuntimeError("no decoder here")

    monkeypatch.setattr(Segmenter, "features", fail)
    with pytest.raises(ConfigError, match=r"no decoder here[\s\S]*--rule pool_fc"):
        make_reader(engine, TRAINED["deep_simple"], cases_of(table, split, "train"))


def test_a_run_without_a_segmenter_says_what_to_run(a_job):
    job, table, split = a_job("fc")
    (job.run.path / "segment" / "model.json").unlink()
    with pytest.raises(IntegrityError, match=r"no trained model[\s\S]*segclf train-seg"):
        score_own(job, table, split, NONE)


def test_each_fold_has_its_own_head_and_scores(a_job, tmp_path):
    job, table, one = a_job("shallow_simple")
    swapped = one["split"].map({"train": "train", "val": "test", "test": "val"})
    split = pd.concat([one.assign(fold=0), one.assign(split=swapped, fold=1)], ignore_index=True)
    split["fold"] = split["fold"].astype("Int64")
    for fold in (0, 1):
        folder = job.run.path / "segment" / f"fold{fold}"
        train_segmenter(table, split, job.recipe, folder, fold=fold)
    scores, record = score_own(job, table, split, [0, 1])
    assert scores.groupby(["fold", "split"]).size().to_dict() == {
        (0, "test"): 8, (0, "val"): 12, (1, "test"): 12, (1, "val"): 8,
    }  # fmt: skip
    assert [head["fold"] for head in record["heads"]] == [0, 1]
    assert [fit["fold"] for fit in record["fits"]] == [0, 1]
    assert all((job.folder(fold) / "head.safetensors").is_file() for fold in (0, 1))
    write_scores(job.run.stage("summarize", job.method), scores, record)
    other, _ = score_other(job, table, [0, 1], tmp_path)
    assert other.groupby("fold").size().to_dict() == {0: 36, 1: 36}
    assert other.groupby("fold")["threshold"].first().to_list() == [
        fit["threshold"] for fit in record["fits"]
    ]


def test_volumes_are_read_fitted_and_scored(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["case_id,image,mask,label,patient_id,split"]
    for i, part in enumerate(["train"] * 6 + ["val"] * 4 + ["test"] * 4):
        image, mask = rng.integers(0, 90, (8, 9, 8)).astype(np.uint8), np.zeros((8, 9, 8), np.uint8)
        if i % 2:
            mask[2:5, 2:5, 2:5] = 1
            image[mask == 1] += 90
        write_image(tmp_path / f"i{i}.nii.gz", image[None])
        write_mask(tmp_path / f"m{i}.nii.gz", mask)
        rows.append(f"c{i:02d},i{i}.nii.gz,m{i}.nii.gz,{i % 2},p{i},{part}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    options = {"channels": [8, 16], "strides": [2], "num_res_units": 1}
    recipe = make_recipe(
        {
            "manifest": "manifest.csv",
            "image": {"intensity": "minmax", "spatial_dims": 3},
            "network": {"name": "monai_unet", "options": options},
            "train": {"steps": 2, "batch_size": 2, "validate_every": 2, "warmup_steps": 0},
            "summarize": {"grid_px": 3},
        },
        where="test",
    )
    table = read_manifest(recipe, base=tmp_path)
    split = make_split(table, recipe.split, 0)
    run = Run(tmp_path / "run")
    train_segmenter(table, split, recipe, run.stage("segment"))
    for rule, shape in (
        ("fc", [1, 3, 3, 3]),
        ("deep_complex", [16, 3, 3, 3]),
        ("logistic", [1, 13]),
    ):
        scores, record = score_own(Job(rule, recipe, run, None), table, split, NONE)
        assert record["heads"][0]["shape"] == shape
        assert scores["score"].notna().sum() == 8
    with pytest.raises(ConfigError, match="no SqueezeNet for volumes"):
        score_own(Job("squeezenet", recipe, run, None), table, split, NONE)


@pytest.mark.parametrize("rule", ["logistic", "pool_fc"])
def test_labels_of_training_cases_are_fitted_and_those_of_validation_cases_are_not(rule, a_job):
    def invert(part):
        def change(rows, _data):
            for row in rows:
                if row["split"] == part:
                    row["label"] = str(1 - int(row["label"]))

        return change

    # one validation, at the end: the same weights are kept whatever it says
    jobs = [
        a_job(rule, steps=2, name=part, change=invert(part)) for part in ("none", "val", "train")
    ]
    for job, table, split in jobs:
        score_own(job, table, split, NONE)
    none, val, train = (head_bytes(job) for job, _, _ in jobs)
    assert none == val
    assert none != train


def test_the_command_says_that_cases_were_set_aside(tmp_path, monkeypatch):
    run = SimpleNamespace(path=tmp_path, stage=lambda *parts: tmp_path)
    exp = SimpleNamespace(run=run, recipe=SimpleNamespace(data="user"))
    record = {"rule": "fc", "fits": [], "n_quarantined": 2}
    monkeypatch.setattr("segclf.experiment.find_experiment", lambda *_, **__: exp)
    monkeypatch.setattr("segclf.pipeline.summarize_masks", lambda *_, **__: (tmp_path, record))
    monkeypatch.setattr("segclf.summarize.record_text", lambda _record: "")
    result = CliRunner().invoke(app, ["summarize", "--rule", "fc"])
    assert result.exit_code == ExitCode.QUARANTINED
    assert "2 cases set aside" in result.stderr
    record["n_quarantined"] = 0
    assert CliRunner().invoke(app, ["summarize", "--rule", "fc"]).exit_code == 0
