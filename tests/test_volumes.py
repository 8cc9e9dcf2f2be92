"""Slices of volumes end to end: trained in 2D, summarized by volume, evaluated as any run."""

import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from segclf import judging, pipeline
from segclf.cli import app
from segclf.core.errors import DataError, UsageError
from segclf.core.maskstats import mask_statistics
from segclf.core.runs import Run
from segclf.core.scoretable import read_record, read_scores
from segclf.core.statstable import read_statistics
from segclf.core.strict_yaml import dump_yaml, read_yaml
from segclf.experiment import new_experiment, open_experiment
from segclf.io import volume_of
from segclf.phantom import PhantomSettings, write_phantom
from segclf.predict import predict_maps
from segclf.pseudolabel import make_pseudo_masks
from segclf.reporting import make_report
from segclf.rounds import teachings
from segclf.volumes import summarize_volumes, volume_experiment

TINY = {
    "train": {
        "steps": 4, "batch_size": 4, "validate_every": 2, "warmup_steps": 1, "precision": "fp32",
        "checkpoint_every": 4,
    },
    "network": {"name": "basicunet", "options": {"features": [8, 8, 8, 8, 8, 8]}},
    "predict": {"precision": "fp32"},
    "evaluate": {"n_boot": 50, "min_group": 2, "by": ["site"]},
}  # fmt: skip


def ignore(_event):
    """No progress is shown in tests."""


def write_data(folder: Path) -> Path:
    sizes = {"train": 14, "val": 14, "test": 14}
    settings = {
        "spatial_dims": 3, "size_px": (20, 24, 16), "spacing_mm": (1.0, 1.0, 4.0),
        "n_cases": sizes, "area_fraction": 0.03,
    }  # fmt: skip
    write_phantom(folder, PhantomSettings.model_validate(settings))
    path = folder / "recipe.yaml"
    recipe = read_yaml(path)
    recipe |= {**TINY, "image": {"spatial_dims": 2}, "slices": {"cut": True, "neighbours": 1}}
    recipe["augment"] = {"flip_axes": [1]}
    path.write_text(dump_yaml(recipe))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on the slices of a 3D phantom, trained and predicted."""
    home = tmp_path_factory.mktemp("volumes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        exp = new_experiment(write_data(home / "data"), None, "slices", ())
        pipeline.train_seg(exp, ignore)
        pipeline.summarize_masks(exp, "mean")
    return home


@pytest.fixture
def exp(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return open_experiment(Run(Path("runs/slices")))


def test_scores_of_volumes_are_those_of_the_stacked_maps(exp):
    whole, folder, record, n_out = summarize_volumes(exp, "mean")
    assert (n_out, record["unit"], folder.name) == (0, "volume", "mean-slices")
    scores = read_scores(folder / "scores.parquet")
    assert set(scores["method"]) == {"mean-slices"}
    manifest = pd.read_csv("data/manifest.csv").set_index("case_id")
    held_out = manifest[manifest["split"] != "train"]
    assert sorted(scores["case_id"]) == sorted(held_out.index)
    assert scores.set_index("case_id")["label"].to_dict() == held_out["label"].to_dict()

    name = str(scores["case_id"][0])
    own = [case for case in exp.table.cases if case.volume_id == name]
    maps = dict(predict_maps(own, exp.run.stage("segment"), exp.recipe))
    p = volume_of(np.stack([maps[case.case_id][0] for case in own]), own[0].cut.axis)
    p = np.clip(p.astype(np.float64), 1e-12, 1 - 1e-12)
    truth = nibabel.load(f"data/{manifest.loc[name, 'image']}").shape
    assert p.shape == truth == (20, 24, 16)
    expected = mask_statistics(p, np.log(p / (1 - p)), px_size=4.0, component_t=0.5)
    found = read_statistics(whole.run.stage("predict", "own")).frame.set_index("case_id").loc[name]
    for column in ("n_px", "px_size", "is_volume", "mean_p", "max_p", "lse_logit", "sum_log1mp"):
        assert found[column] == pytest.approx(expected[column], rel=1e-5)
    own_score = scores.set_index("case_id").loc[name, "score"]
    assert own_score == pytest.approx(p.mean(), rel=1e-6)


def test_volumes_are_evaluated_and_reported_as_any_run(exp):
    whole, *_ = summarize_volumes(exp, "tau", tau="0.002mL", t=0.5)
    folder, evaluation = judging.evaluate(whole)
    rows = evaluation.metrics.query("group_column == 'all' and metric == 'auroc'")
    assert rows["n_cases"].to_list() == [14] * len(rows)
    overlap = pd.read_csv(folder / "overlap.csv").query("metric == 'dice'")
    assert overlap.query("group_column == 'all'")["n_cases"].to_list() == [14]
    record = read_record(whole.run.stage("summarize", "tau-slices"))
    assert record["fits"][0]["unit"] == "mL"
    assert make_report(whole, ignore).is_file()


def test_the_command_names_the_run_of_volumes(exp):
    result = CliRunner().invoke(
        app, ["summarize", "--rule", "max", "--unit", "volume", "--run", "slices", "--json"]
    )
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["next"] == "segclf eval-subgroups --run runs/slices/volumes"
    bad = CliRunner().invoke(app, ["summarize", "--unit", "patient", "--run", "slices"])
    assert isinstance(bad.exception, UsageError)
    assert "'patient' is not a unit of scores" in str(bad.exception)


def test_other_volumes_are_cut_predicted_and_summarized(exp, trained):
    manifest = pd.read_csv(trained / "data/manifest.csv")
    other = manifest[manifest["split"] == "test"].drop(columns=["mask", "label"])
    path = trained / "data" / "other.csv"
    other.assign(case_id="new-" + other["case_id"]).to_csv(path, index=False)
    pipeline.predict_other(exp, path, ignore)
    _, folder, *_ = summarize_volumes(exp, "mean", manifest=path)
    scores = read_scores(folder / "scores.parquet").set_index("case_id")["score"]
    own = read_scores(summarize_volumes(exp, "mean")[1] / "scores.parquet")
    own = own.query("split == 'test'").set_index("case_id")["score"]
    assert len(scores) == 14
    np.testing.assert_allclose(scores.to_numpy(), own.loc[[n[4:] for n in scores.index]])


def test_a_volume_with_a_bad_slice_is_set_aside_with_a_reason(exp, trained):
    name = next(c.volume_id for c in exp.table.cases if c.volume_id)
    folder = exp.run.stage("predict", "own")
    statistics = read_statistics(folder)
    lost = next(iter(statistics.frame["case_id"]))
    name = lost.partition("#")[0]
    import segclf.volumes as module

    with pytest.MonkeyPatch.context() as patch:
        less = statistics.frame["case_id"] != lost
        from segclf.core.maskstats import MaskStatistics

        rest = MaskStatistics(
            statistics.frame[less].reset_index(drop=True),
            statistics.area_curve[less],
            statistics.overlap_curve[less],
        )
        plain = module.read_statistics
        patch.setattr(module, "read_statistics", lambda f: rest if f == [folder] else plain(f))
        whole, scored, record, n_out = summarize_volumes(exp, "mean")
    assert n_out == record["n_volumes_left_out"] == 1
    assert name not in set(read_scores(scored / "scores.parquet")["case_id"])
    line = json.loads((whole.run.stage("predict", "own") / "quarantine.jsonl").read_text())
    assert line == {
        "case_id": name, "reason": "slices_missing", "message": "1 slices were set aside",
    }  # fmt: skip


def test_labels_of_volumes_may_come_from_the_masks_of_their_slices(exp, trained):
    manifest = pd.read_csv(trained / "data/manifest.csv")
    positive = manifest["label"] == 1
    assert positive.any()
    assert manifest.loc[positive, "mask"].notna().all()
    manifest.loc[positive, "label"] = np.nan
    manifest.to_csv(trained / "data/unlabelled.csv", index=False)
    recipe = trained / "data/recipe.yaml"
    other = new_experiment(recipe, trained / "data/unlabelled.csv", "unlabelled", ())
    whole = volume_experiment(other)
    found = whole.table.frame.set_index("case_id")[f"label_{other.table.findings[0]}"]
    assert found.to_list() == positive.astype(float).to_list()
    assert volume_experiment(other).table.frame.equals(whole.table.frame)  # once more


def test_slices_that_are_files_have_volumes_too(exp, trained):
    rows = []
    for case in exp.table.cases:
        if case.slice_index in (4, 8, 11):
            image = nibabel.load(case.images[0]).dataobj[..., case.slice_index]
            path = trained / "data" / f"{case.volume_id}-{case.slice_index}.npy"
            np.save(path, np.asarray(image))
            row = exp.table.frame.set_index("case_id").loc[case.case_id]
            rows.append(
                {
                    "case_id": path.stem, "image": path.name, "label": case.labels[0],
                    "patient_id": case.patient_id, "volume_id": case.volume_id,
                    "slice_index": case.slice_index, "split": row["split"], "site": row["site"],
                }
            )  # fmt: skip
    pd.DataFrame(rows).to_csv(trained / "data/files.csv", index=False)
    other = new_experiment(
        trained / "data/recipe.yaml", trained / "data/files.csv", "files",
        ("slices.cut=false", "slices.neighbours=0"),
    )  # fmt: skip
    whole = volume_experiment(other)
    assert len(whole.table.cases) == 42
    labels = {}
    for row in rows:
        labels[row["volume_id"]] = max(labels.get(row["volume_id"], 0), row["label"])
    name = f"label_{other.table.findings[0]}"
    assert whole.table.frame.set_index("case_id")[name].to_dict() == labels
    assert whole.table.cases[0].images[0].name.endswith("-8.npy")  # the middle one
    assert "site" in whole.table.frame
    assert set(whole.split["case_id"]) == set(labels)


def test_what_is_no_volume_and_what_reads_maps_is_refused(exp, trained):
    with pytest.raises(UsageError, match="reads maps"):
        summarize_volumes(exp, "fc")
    write_phantom(
        trained / "flat",
        PhantomSettings.model_validate({"n_cases": {"train": 14, "val": 14, "test": 14}}),
    )
    flat = new_experiment(trained / "flat/recipe.yaml", None, "flat", ())
    with pytest.raises(DataError, match="not slices of volumes"):
        volume_experiment(flat)


def test_pseudo_masks_of_slices_are_refused_before_anything_is_trained(exp):
    with pytest.raises(UsageError, match="slices of volumes get no pseudo-masks"):
        make_pseudo_masks(exp, filter_name="none")
    semi = exp.recipe.semi.model_copy(update={"method": "pseudo"})
    taught = replace(exp, recipe=exp.recipe.model_copy(update={"semi": semi}))
    with pytest.raises(UsageError, match="3D network"):
        teachings(taught, ignore)
