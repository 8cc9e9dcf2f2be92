"""Scores of slices, which classifiers give, to scores of volumes; cuts by scikit-learn's curve."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_curve
from typer.testing import CliRunner

from segclf.cli import app
from segclf.core.errors import UsageError
from segclf.core.runs import Run
from segclf.core.scoretable import read_scores, write_scores
from segclf.core.strict_yaml import dump_yaml, read_yaml
from segclf.experiment import new_experiment, open_experiment
from segclf.phantom import PhantomSettings, write_phantom
from segclf.volume_scores import pool_scores


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A run on the slices of a 3D phantom; nothing is trained."""
    folder = tmp_path_factory.mktemp("volumes")
    settings = {
        "spatial_dims": 3, "size_px": (20, 24, 16), "spacing_mm": (1.0, 1.0, 4.0),
        "n_cases": {"train": 14, "val": 14, "test": 14}, "area_fraction": 0.03,
    }  # fmt: skip
    write_phantom(folder / "data", PhantomSettings.model_validate(settings))
    recipe = read_yaml(folder / "data" / "recipe.yaml")
    recipe |= {"image": {"spatial_dims": 2}, "slices": {"cut": True}}
    (folder / "data" / "recipe.yaml").write_text(dump_yaml(recipe))
    return folder


@pytest.fixture
def exp(home, monkeypatch):
    monkeypatch.chdir(home)
    return new_experiment(home / "data" / "recipe.yaml", None, "slices", ())


def write_slice_scores(exp, method, missing=()):
    """Scores of a classifier: random numbers, higher in slices of volumes with the finding."""
    frame = exp.table.frame.merge(exp.split[["case_id", "split"]], on="case_id", suffixes=("_", ""))
    frame = frame[(frame["split"] != "train") & ~frame["case_id"].isin(missing)]
    finding, rng = exp.table.findings[0], np.random.default_rng(3)
    score = rng.random(len(frame)) + 0.3 * frame[f"label_{finding}"].fillna(0).to_numpy()
    table = pd.DataFrame(
        {"case_id": frame["case_id"], "finding": finding, "method": method, "score": score,
         "decision_value": score, "threshold": 0.5, "decision": (score > 0.5).astype(float),
         "probability": np.nan, "split": frame["split"], "fold": pd.NA, "seed": 0,
         "patient_id": frame["patient_id"], "label": frame[f"label_{finding}"]}
    )  # fmt: skip
    write_scores(exp.run.stage("classify", method), table, {"fits": []})
    return dict(zip(table["case_id"], table["score"], strict=True))


def test_scores_of_slices_are_pooled_to_scores_of_volumes(exp):
    scores = write_slice_scores(exp, "made_up")
    command = ["summarize", "--unit", "volume", "--of", "made_up", "--rule", "max"]
    result = CliRunner().invoke(app, [*command, "--run", "slices", "--json"])
    assert result.exit_code == 0, result.output
    volumes = open_experiment(Run(exp.run.path / "volumes"))
    found = read_scores(volumes.run.stage("summarize", "made_up-max-slices"))
    by_volume = {}
    for case_id, score in scores.items():
        by_volume.setdefault(case_id.partition("#")[0], []).append(score)
    assert dict(zip(found["case_id"], found["score"], strict=True)) == {
        name: max(of_one) for name, of_one in by_volume.items()
    }
    assert {len(of_one) for of_one in by_volume.values()} == {16}
    manifest = pd.read_csv("data/manifest.csv").set_index("case_id")
    assert found["label"].to_list() == manifest.loc[found["case_id"], "label"].to_list()
    val = found[found["split"] == "val"]
    fpr, tpr, _ = roc_curve(val["label"], val["score"])
    decided = val["score"] > found["threshold"].iloc[0]  # Youden's index of scikit-learn's curve
    sensitivity, specificity = (
        decided[val["label"] == 1].mean(),
        1 - decided[val["label"] == 0].mean(),
    )
    assert sensitivity + specificity - 1 == pytest.approx((tpr - fpr).max())
    _, folder, *_ = pool_scores(exp, "made_up", "mean")
    mean = read_scores(folder).set_index("case_id")["score"]
    assert mean.to_dict() == pytest.approx({n: np.mean(v) for n, v in by_volume.items()})


def test_a_volume_with_a_slice_without_a_score_is_set_aside(exp):
    split = exp.split[exp.split["split"] == "test"]["case_id"]
    name = split.iloc[0].partition("#")[0]
    other = next(one for one in split if not one.startswith(f"{name}#")).partition("#")[0]
    write_slice_scores(exp, "lacking", {f"{name}#3", *(f"{other}#{k}" for k in range(16))})
    _, folder, record, n_out = pool_scores(exp, "lacking", "max")
    assert n_out == record["n_volumes_left_out"] == 2
    scores = read_scores(folder)
    assert len(scores) == 26
    assert not {name, other} & {*scores["case_id"]}
    lines = [json.loads(line) for line in (folder / "quarantine.jsonl").read_text().splitlines()]
    assert {line["case_id"]: line["message"] for line in lines} == {
        name: "1 slices have no score", other: "16 slices have no score",
    }  # fmt: skip


def test_what_cannot_be_pooled_is_refused_in_words(exp):
    write_slice_scores(exp, "made_up")
    with pytest.raises(UsageError, match="no rule for scores of slices called 'tau'"):
        pool_scores(exp, "made_up", "tau")
    with pytest.raises(UsageError, match="no method of the run called 'softmix'"):
        pool_scores(exp, "softmix", "max")
    command = ["summarize", "--of", "made_up", "--rule", "max", "--run", "slices"]
    of_masks = ["--unit", "volume", "--tau", "1mL"]
    for more, says in (([], "--of would"), (of_masks, "--tau would")):
        bad = CliRunner().invoke(app, [*command, *more])
        assert isinstance(bad.exception, UsageError)
        assert says in str(bad.exception)
