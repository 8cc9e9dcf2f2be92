import errno
import json

import numpy as np
import pytest
import torch
from PIL import Image

from segclf.core.errors import (
    DataError,
    IntegrityError,
    SegclfError,
    StoppedError,
    UsageError,
)
from segclf.data import eval_batches
from segclf.segment import infer_logits, load_segmenter, train_segmenter
from segclf.training.cases import read_quarantine

ARTEFACTS = ("model.safetensors", "model.json", "metrics.jsonl")


def artefacts(folder):
    return {name: (folder / name).read_bytes() for name in ARTEFACTS}


def test_a_trained_segmenter_is_found_again_and_its_card_says_how_it_came_about(drawn, tmp_path):
    table, split, recipe = drawn(train={"steps": 60, "validate_every": 20, "ema": None})
    events = []
    folder = train_segmenter(table, split, recipe, tmp_path / "run", on_event=events.append)
    network, card = load_segmenter(folder)
    assert not network.training
    assert (card.findings, card.exclusive, card.n_channels) == (("square",), False, 1)
    assert (card.n_train, card.n_val, card.n_steps, card.n_quarantined) == (10, 6, 60, 0)
    assert card.prior == pytest.approx((5 * 36 / (10 * 24 * 24),))
    assert card.validation["dice_positives"] > 0.8
    assert card.validation["auroc"] == 1.0
    assert not card.collapsed
    assert not (folder / "cache").exists()
    val = [case for case in table.cases if case.case_id == "c11"]
    (batch,) = eval_batches(val, recipe, batch_size=1)
    mask = infer_logits(network, batch.image)[0, 0] > 0
    true = batch.target[0, 0] > 0.5
    dice = 2 * (mask & true).sum() / (mask.sum() + true.sum())
    assert dice > 0.8
    assert any(event["kind"] == "validate" for event in events)


def test_test_cases_never_enter(drawn, tmp_path):
    table, split, recipe = drawn()
    planted = drawn(nan_test=True)
    assert table.sha256 != planted.sha256
    clean = train_segmenter(table, split, recipe, tmp_path / "a")
    other = train_segmenter(planted, split, recipe, tmp_path / "b")
    assert artefacts(clean) == artefacts(other)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"network": {"name": "unett", "options": {}}}, "there is no network called 'unett'"),
        (
            {"network": {"name": "unet", "encoder": "resnet81", "options": {}}},
            "SMP has no encoder called 'resnet81'",
        ),
        ({"network": {"options": {"chanels": [8]}}}, "refuses its settings"),
        ({"loss": {"name": "dicee"}}, "there is no loss called 'dicee'"),
        ({"loss": {"name": "dice", "options": {"x": 1}}}, "has no option 'x'"),
    ],
)
def test_a_name_that_does_not_exist_is_found_before_any_image_is_read(
    drawn, tmp_path, settings, says
):
    table, split, recipe = drawn(**settings)
    for case in table.cases:
        case.images[0].unlink()
    events = []
    with pytest.raises(SegclfError, match=says):
        train_segmenter(table, split, recipe, tmp_path / "run", on_event=events.append)
    assert events == []


def test_training_twice_gives_the_same_bytes_and_another_seed_others(drawn, tmp_path):
    first = train_segmenter(*drawn(), tmp_path / "a")
    second = train_segmenter(*drawn(), tmp_path / "b")
    other = train_segmenter(*drawn(seed=1), tmp_path / "c")
    assert artefacts(first) == artefacts(second)
    assert artefacts(first)["model.safetensors"] != artefacts(other)["model.safetensors"]


def test_a_finished_model_is_left_as_it_is(drawn, tmp_path):
    folder = train_segmenter(*drawn(), tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    train_segmenter(*drawn(), folder, resume=True)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    with pytest.raises(UsageError, match="a training has already ended here") as caught:
        train_segmenter(*drawn(), folder)
    assert "--resume" in caught.value.fix


def test_a_finished_training_keeps_no_checkpoints(drawn, tmp_path):
    folder = train_segmenter(*drawn(), tmp_path / "run")
    assert not (folder / "checkpoints").exists()
    (folder / "checkpoints/step-00000010").mkdir(parents=True)  # killed before it could delete them
    train_segmenter(*drawn(), folder, resume=True)
    assert not (folder / "checkpoints").exists()


def test_resuming_with_another_recipe_or_table_shows_every_difference(drawn, tmp_path):
    folder = train_segmenter(*drawn(), tmp_path / "run")
    changed = drawn(train={"steps": 12, "lr": 0.02, "batch_size": 4})
    with pytest.raises(IntegrityError) as caught:
        train_segmenter(*changed, folder, resume=True)
    assert "train.lr: 0.01 -> 0.02" in str(caught.value)
    assert "train.batch_size" not in str(caught.value)
    assert "data.manifest_sha256" not in str(caught.value)
    with pytest.raises(IntegrityError, match=r"data\.manifest_sha256: '[0-9a-f]+' -> '[0-9a-f]+'"):
        train_segmenter(drawn(nan_test=True), *drawn()[1:], folder, resume=True)


def test_settings_without_effect_may_change_on_resume(drawn, tmp_path):
    folder = train_segmenter(*drawn(), tmp_path / "run")
    train_segmenter(
        *drawn(train={"keep_checkpoints": 5, "workers": 2}, image={"cache_gib": 1.0}),
        folder,
        resume=True,
    )


def test_weights_that_were_changed_are_refused(drawn, tmp_path):
    folder = train_segmenter(*drawn(), tmp_path / "run")
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"model\.safetensors has the SHA-256"):
        load_segmenter(folder)
    path.unlink()
    with pytest.raises(IntegrityError, match="is missing"):
        load_segmenter(folder)
    with pytest.raises(IntegrityError, match="there is no trained model"):
        load_segmenter(tmp_path / "nowhere")


def test_a_full_disk_at_the_very_end_can_be_resumed(drawn, tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("segclf.training.models.write_bytes", full)
        with pytest.raises(StoppedError, match="the disk is full"):
            train_segmenter(*drawn(), tmp_path / "run")
    resumed = train_segmenter(*drawn(), tmp_path / "run", resume=True)
    assert artefacts(resumed) == artefacts(train_segmenter(*drawn(), tmp_path / "straight"))


def test_a_card_with_a_strange_value_is_refused(drawn, tmp_path):
    folder = train_segmenter(*drawn(), tmp_path / "run")
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(card | {"n_channels": "three"}))
    with pytest.raises(IntegrityError, match="n_channels"):
        load_segmenter(folder)


def test_the_card_names_no_folder_of_the_training_machine(drawn, tmp_path):
    table, split, recipe = drawn()
    recipe = recipe.model_copy(update={"data_root": str(tmp_path / "drawn")})
    folder = train_segmenter(table, split, recipe, tmp_path / "run")
    for name in ("model.json", "metrics.jsonl", "identity.json"):
        assert str(tmp_path) not in (folder / name).read_text()


def test_a_network_that_predicts_nothing_is_told_what_to_change(drawn, tmp_path):
    table, split, recipe = drawn(
        train={"steps": 2, "lr": 1e-9, "ema": None}, segment={"bias_from_prior": True}
    )
    events = []
    folder = train_segmenter(table, split, recipe, tmp_path / "run", on_event=events.append)
    (message,) = [e["message"] for e in events if e.get("about") == "collapse"]
    assert message.startswith("the segmenter has collapsed: mean Dice on the 3 positive")
    assert "train.steps=4" in message
    assert load_segmenter(folder)[1].collapsed


def test_a_broken_training_image_is_set_aside_and_counted(drawn, tmp_path):
    table, split, recipe = drawn()
    (tmp_path / "drawn" / "i3.png").write_bytes(b"not a picture")
    events = []
    folder = train_segmenter(table, split, recipe, tmp_path / "run", on_event=events.append)
    card = load_segmenter(folder)[1]
    assert (card.n_train, card.n_quarantined) == (9, 1)
    (line,) = (folder / "quarantine.jsonl").read_text().splitlines()
    assert read_quarantine(folder) == {json.loads(line)["case_id"]}
    assert read_quarantine(tmp_path) == set()
    assert json.loads(line)["case_id"] == "c3"
    assert any("1 case cannot be used" in event.get("message", "") for event in events)


def test_training_masks_without_a_positive_pixel_are_refused(drawn, tmp_path):
    table, split, recipe = drawn()
    for i in range(1, 10, 2):
        Image.fromarray(np.zeros((24, 24), dtype=np.uint8)).save(tmp_path / f"drawn/m{i}.png")
    with pytest.raises(DataError, match="'square' has no positive pixel in the training cases"):
        train_segmenter(table, split, recipe, tmp_path / "run")


def test_loading_leaves_the_callers_randomness_alone(drawn, tmp_path):
    folder = train_segmenter(*drawn(), tmp_path / "run")
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    load_segmenter(folder)
    assert torch.equal(torch.rand(2), expected)
