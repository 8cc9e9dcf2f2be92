"""Test cases never enter the heads of class columns: same bytes with other images and classes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segclf import pipeline
from segclf.experiment import new_experiment
from segclf.phantom import PhantomSettings, write_phantom

DATA = {
    "n_cases": {"train": 24, "val": 18, "test": 20},
    "size_px": (32, 32),
    "n_heads": 3,
    "n_classes": 3,
    "missing_labels": 0.2,
}
SETTINGS = (
    "train.steps=6",
    "train.batch_size=8",
    "train.validate_every=3",
    "train.warmup_steps=1",
    "network.encoder=resnet18",
)
HEADS = {
    "multihead": ("classify.head=multihead", "classify.targets=[density,texture,habitus]"),
    "softmax": ("classify.head=softmax", "classify.targets=[density]"),
    "metric": ("classify.head=metric", "classify.targets=[kind]", "classify.metric.rule=threshold"),
}


def spoil(folder: Path) -> None:
    """Every test image is noise, and test cases change their classes, one of which is new."""
    table = pd.read_csv(folder / "manifest.csv")
    test = table["split"] == "test"
    draw = np.random.default_rng(0)
    for name in table.loc[test, "image"]:
        Image.fromarray(draw.integers(0, 256, (32, 32), dtype=np.uint8)).save(folder / name)
    for column in ("class_density", "class_texture", "class_habitus", "class_kind"):
        table.loc[test, column] = table.loc[test, column].to_numpy()[::-1]
    table.loc[test.idxmax(), "class_kind"] = "in no training case"
    table.to_csv(folder / "manifest.csv", index=False)


def run_with(home: Path, *, spoiled: bool) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr("os.fsync", lambda _descriptor: None)
        write_phantom(home / "data", PhantomSettings.model_validate(DATA))
        if spoiled:
            spoil(home / "data")
        for settings in HEADS.values():
            recipe = home / "data/recipe.yaml"
            exp = new_experiment(recipe, None, None, [*SETTINGS, *settings])
            pipeline.train_clf(exp, lambda _event: None)
        return exp.run.path.resolve()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    clean = run_with(tmp_path_factory.mktemp("clean"), spoiled=False)
    return clean, run_with(tmp_path_factory.mktemp("spoiled"), spoiled=True)


def rows(run: Path, head: str, part: str) -> pd.DataFrame:
    table = pd.read_parquet(run / "classify" / head / "scores.parquet")
    known = table.loc[table["split"] == part]
    return known.sort_values(["case_id", "finding"], ignore_index=True)


@pytest.mark.parametrize("head", HEADS)
def test_the_spoiled_images_reach_the_scores_of_test_cases(runs, head):
    """Else the tests below would compare a run with itself."""
    one, other = (rows(run, head, "test") for run in runs)
    both = one.merge(other, on=["case_id", "finding"])
    assert len(both) >= 20
    assert np.isclose(both["score_x"], both["score_y"]).mean() < 0.2


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", ["model.safetensors", "model.json", "metrics.jsonl"])
def test_what_is_trained_and_selected_has_the_same_bytes(runs, head, name):
    one, other = ((run / "classify" / head / name).read_bytes() for run in runs)
    assert one == other


@pytest.mark.parametrize("head", HEADS)
def test_what_is_fitted_is_the_same(runs, head):
    one, other = (
        json.loads((run / "classify" / head / "classifier.json").read_text())["fits"]
        for run in runs
    )
    assert one
    assert one == other


@pytest.mark.parametrize("name", ["gallery.json", "gallery.safetensors"])
def test_the_gallery_has_the_same_bytes(runs, name):
    one, other = ((run / "classify/metric" / name).read_bytes() for run in runs)
    assert one == other


@pytest.mark.parametrize("head", HEADS)
def test_validation_cases_have_the_same_scores(runs, head):
    one, other = (rows(run, head, "val") for run in runs)
    assert len(one) >= 18
    pd.testing.assert_frame_equal(one, other, check_exact=True)
