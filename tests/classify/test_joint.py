import json

import pytest
import torch
from safetensors.torch import load_file

from segclf.classify import joint_segmenter, load_classifier, train_classifier
from segclf.core.errors import DataError
from segclf.core.scoretable import read_scores
from segclf.manifest import read_manifest
from segclf.networks import JointOutputs
from segclf.segment import load_segmenter


def test_a_joint_model_finds_labels_and_masks_and_both_are_loaded_again(discs, tmp_path):
    folder = train_classifier(*discs(), tmp_path / "run")
    scores = read_scores(folder)
    assert (scores["method"] == "joint").all()
    assert list(scores["finding"].unique()) == ["lesion"]
    network, card = load_classifier(folder)
    assert (card.kind, card.head, card.select_by) == ("classify", "joint", "auroc")
    assert card.validation["auroc"] == 1.0
    assert card.validation["dice_positives"] > 0.6
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(line["dice_positives"] is not None for line in lines if line["kind"] == "validate")
    segmenter, own = load_segmenter(joint_segmenter(folder))
    assert (own.kind, own.n_outputs) == ("segment", 1)
    image = torch.rand(2, 1, 20, 24)
    with torch.no_grad():
        raw = network(image)
        torch.testing.assert_close(segmenter(image), raw.masks)
        deep = segmenter.features(image).deep
        torch.testing.assert_close(network.image_head[1](deep.flatten(2).mean(2)), raw.image)


def test_the_weight_of_the_labels_loss_is_that_of_the_recipe(discs, tmp_path):
    none = train_classifier(*discs(classify={"joint_weight": 0.0}), tmp_path / "a")
    some = train_classifier(*discs(), tmp_path / "b")
    heads = [load_file(f / "model.safetensors")["image_head.1.weight"] for f in (none, some)]
    assert (heads[0].abs().max() < heads[1].abs().max()).item()  # decay alone moved the first
    masks = [json.loads((f / "model.json").read_text())["validation"] for f in (none, some)]
    assert masks[0]["dice_positives"] > 0.6


def test_crops_of_the_segmenter_do_not_reach_the_image_head(discs, tmp_path):
    short = {"steps": 2, "validate_every": 2, "warmup_steps": 1}
    plain = train_classifier(*discs(train=short), tmp_path / "a")
    cropped = train_classifier(*discs(train=short, segment={"patch_px": [8, 8]}), tmp_path / "b")
    files = [(f / "model.safetensors").read_bytes() for f in (plain, cropped)]
    assert files[0] == files[1]


def test_a_joint_model_needs_a_mask(discs, tmp_path):
    table, split, recipe = discs()
    text = (tmp_path / "discs" / "manifest.csv").read_text().replace("m.png", "")
    (tmp_path / "discs" / "manifest.csv").write_text(text)
    table = read_manifest(recipe, base=tmp_path / "discs")
    with pytest.raises(DataError, match="'lesion' has no positive pixel in the training cases"):
        train_classifier(table, split, recipe, tmp_path / "run")


def test_joint_outputs_are_of_masks_and_of_the_image(discs, tmp_path):
    folder = train_classifier(
        *discs(train={"steps": 2, "validate_every": 2, "warmup_steps": 1}), tmp_path / "run"
    )
    network, _ = load_classifier(folder)
    raw = network(torch.rand(3, 1, 17, 16))
    assert isinstance(raw, JointOutputs)
    assert (raw.masks.shape, raw.image.shape) == ((3, 1, 17, 16), (3, 1))
