import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from segclf.classify import find_start, train_classifier
from segclf.core.errors import ConfigError, DataError, IntegrityError, UsageError
from segclf.core.runs import Run
from segclf.core.scoretable import read_scores
from segclf.segment import train_segmenter

SHORT = {"steps": 2, "validate_every": 2, "warmup_steps": 1}


@pytest.fixture
def masks(discs, tmp_path):
    """A run with a segmenter, and the data that it was trained on."""
    table, split, recipe = discs(train=SHORT, classify={"head": "softmax", "init_from": "masks"})
    run = Run(tmp_path / "runs" / "masks")
    train_segmenter(table, split, recipe, run.stage("segment"))
    split.to_parquet(run.split)
    return run, table, split, recipe


def test_a_classifier_starts_from_the_segmenters_encoder_and_says_so(masks, tmp_path):
    run, table, split, recipe = masks
    start = find_start(run, recipe, split, fold=None)
    still = recipe.model_copy(update={"train": recipe.train.model_copy(update={"lr": 1e-12})})
    folder = train_classifier(table, split, still, tmp_path / "run", start=start)
    theirs = load_file(run.stage("segment") / "model.safetensors")
    ours = load_file(folder / "model.safetensors")
    encoder = [name for name in theirs if name.startswith("encoder.")]
    assert encoder
    for name in encoder:
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-6, rtol=1e-6)
    fresh = train_classifier(table, split, still, tmp_path / "fresh")
    assert any(
        not torch.allclose(load_file(fresh / "model.safetensors")[n], theirs[n]) for n in encoder
    )
    assert (read_scores(folder)["method"] == "softmax-init").all()
    card = json.loads((folder / "model.json").read_text())
    assert card["init_from"] == {"run": "masks", "sha256": start.card.sha256}
    identity = json.loads((folder / "identity.json").read_text())
    assert identity["classify.init_from"] == start.card.sha256


def test_a_resumed_training_must_start_from_the_same_weights(masks, tmp_path):
    run, table, split, recipe = masks
    start = find_start(run, recipe, split, fold=None)
    folder = train_classifier(table, split, recipe, tmp_path / "run", start=start)
    other = recipe.model_copy(update={"seed": 5})
    train_segmenter(table, split, other, run.path / "again")
    (run.path / "again").rename(run.path / "elsewhere")
    second = Run(tmp_path / "runs" / "second")
    second.path.mkdir()
    (run.path / "elsewhere").rename(second.stage("segment"))
    split.to_parquet(second.split)
    with pytest.raises(IntegrityError, match=r"classify\.init_from"):
        train_classifier(
            table, split, recipe, folder, resume=True,
            start=find_start(second, recipe, split, fold=None),
        )  # fmt: skip


def test_a_run_without_a_segmenter_is_refused(masks, tmp_path):
    _, _, split, recipe = masks
    with pytest.raises(UsageError, match="the run 'nothing' has no trained segmenter of fold 2"):
        find_start(Run(tmp_path / "nothing"), recipe, split, fold=2)


def test_another_network_or_image_is_listed(masks):
    run, _, split, recipe = masks
    network = recipe.network.model_copy(update={"options": {"channels": [8, 8], "strides": [2]}})
    other = recipe.model_copy(
        update={
            "network": network,
            "image": recipe.image.model_copy(update={"intensity": "minmax", "cache_gib": 9.0}),
        }
    )
    with pytest.raises(ConfigError, match="another network or other images") as caught:
        find_start(run, other, split, fold=None)
    assert "image.intensity: 'window' -> 'minmax'" in str(caught.value)
    assert "network.options.channels: [8, 16] -> [8, 8]" in str(caught.value)
    assert "cache_gib" not in str(caught.value)


@pytest.mark.parametrize(
    ("seen", "counts"),
    [
        ("train", "0 of the val cases and 3 of the test cases belong to its train part"),
        ("val", "3 of the test cases belong to its val part"),
    ],
)
def test_a_segmenter_that_saw_what_is_held_out_here_is_refused(masks, seen, counts):
    run, _, split, recipe = masks
    test = split.index[split["split"] == "test"][:3]
    theirs = split.copy()
    theirs.loc[test, "split"] = seen
    theirs.to_parquet(run.split)
    with pytest.raises(DataError, match=counts) as caught:
        find_start(run, recipe, split, fold=None)
    assert "--run" in caught.value.fix


def test_a_patient_under_another_case_is_a_leak_too(masks):
    run, _, split, recipe = masks
    theirs = split.copy()
    theirs["case_id"] = "x" + theirs["case_id"]
    swapped = theirs["split"].map({"train": "test", "test": "train", "val": "val"})
    theirs.assign(split=swapped).to_parquet(run.split)
    with pytest.raises(DataError, match="12 of the test cases belong to its train part"):
        find_start(run, recipe, split, fold=None)


def test_each_fold_starts_from_its_own(masks):
    run, _, split, recipe = masks
    folds = pd.concat([split.assign(fold=k) for k in (0, 1)], ignore_index=True)
    other = folds.copy()
    moved = (folds["fold"] == 1) & (folds["split"] == "test")
    other.loc[moved, "split"] = "train"  # of the other fold: no leak into this one
    other.to_parquet(run.split)
    (run.stage("segment")).rename(run.path / "kept")
    run.stage("segment").mkdir()
    (run.path / "kept").rename(run.stage("segment", fold=0))
    assert find_start(run, recipe, folds, fold=0).run == "masks"
    assert np.isfinite(find_start(run, recipe, folds, fold=0).card.n_outputs)
