import json

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve

from segclf.classify import Targets, load_classifier, train_classifier
from segclf.classify.head import new_classifier
from segclf.core.config import make_recipe
from segclf.core.errors import DataError, IntegrityError, UsageError
from segclf.core.scoretable import read_scores
from segclf.data import eval_batches
from segclf.networks import finding_logits
from segclf.segment import load_segmenter
from segclf.segment.train import new_network as new_segmenter
from segclf.training import initial_weights
from segclf.training.cases import read_quarantine

ARTEFACTS = ("model.safetensors", "model.json", "metrics.jsonl", "classifier.json")


@pytest.mark.parametrize("head", ["sigmoid", "softmax"])
def test_a_trained_classifier_ends_in_the_score_table(shades, tmp_path, head):
    table, split, recipe = shades(
        train={"steps": 40, "validate_every": 20}, classify={"head": head}
    )
    events = []
    folder = train_classifier(table, split, recipe, tmp_path / "run", on_event=events.append)
    scores = read_scores(folder)
    assert list(scores["finding"].unique()) == ["bright", "dark"]
    assert scores.groupby("split").size().to_dict() == {"val": 16, "test": 8}
    assert (scores["method"] == head).all()
    assert scores["fold"].isna().all()
    network, card = load_classifier(folder)
    assert (card.kind, card.head, card.exclusive) == ("classify", head, head == "softmax")
    val = scores[(scores["split"] == "val") & (scores["finding"] == "bright")]
    assert roc_auc_score(val["label"], val["score"]) > 0.9
    assert card.validation["auroc_per_finding"][0] == pytest.approx(
        roc_auc_score(val["label"], val["score"])
    )
    assert card.validation["dice_positives"] is None
    case = [case for case in table.cases if case.case_id == "c21"]
    (batch,) = eval_batches(case, recipe, batch_size=1)
    with torch.no_grad():
        logit = finding_logits(network(batch.image), card.exclusive)[0, 0]
    (row,) = scores[(scores["case_id"] == "c21") & (scores["finding"] == "bright")].itertuples()
    assert row.score == pytest.approx(float(logit.sigmoid()), abs=1e-5)
    assert events[-1] == {"kind": "score", "step": 4, "of": 4}


def test_the_threshold_is_youdens_on_validation_cases(shades, tmp_path):
    folder = train_classifier(*shades(), tmp_path / "run")
    scores = read_scores(folder)
    val = scores[(scores["split"] == "val") & (scores["finding"] == "bright")]
    false_positive, true_positive, _ = roc_curve(val["label"], val["score"])
    decision = val["decision"].to_numpy() == 1
    label = val["label"].to_numpy() == 1
    reached = decision[label].mean() - decision[~label].mean()
    assert reached == pytest.approx((true_positive - false_positive).max())
    record = json.loads((folder / "classifier.json").read_text())
    assert [fit["finding"] for fit in record["fits"]] == ["bright", "dark"]
    assert record["fits"][0]["threshold"] == val["threshold"].iloc[0]
    assert (record["fits"][0]["fitted_on"], record["fits"][0]["n"]) == ("val", 8)


def test_probability_is_empty_unless_calibrated(shades, tmp_path):
    plain = train_classifier(*shades(summarize={"calibrate": False}), tmp_path / "a")
    assert read_scores(plain)["probability"].isna().all()
    calibrated = train_classifier(*shades(), tmp_path / "b")
    assert read_scores(calibrated)["probability"].between(0, 1).all()
    record = json.loads((calibrated / "classifier.json").read_text())
    assert record["fits"][0]["calibration"]["fitted_on"] == "val"


def test_test_labels_and_images_never_enter(shades, tmp_path):
    table, split, recipe = shades()
    clean = train_classifier(table, split, recipe, tmp_path / "a")
    planted = shades(test_labels_known=False)[0]
    np.savez(tmp_path / "i20.npz", image=np.full((1, 16, 16), np.nan))
    (tmp_path / "i20.png").write_bytes((tmp_path / "i20.npz").read_bytes())  # not a picture
    other = train_classifier(planted, split, recipe, tmp_path / "b")
    for name in ("model.safetensors", "model.json", "metrics.jsonl"):
        assert (clean / name).read_bytes() == (other / name).read_bytes()
    fits = [
        json.loads((folder / "classifier.json").read_text())["fits"] for folder in (clean, other)
    ]
    assert fits[0] == fits[1]
    before, after = (
        read_scores(folder).query("split == 'val'").reset_index(drop=True)
        for folder in (clean, other)
    )
    assert before.equals(after)
    assert "c20" not in set(read_scores(other)["case_id"])
    assert "c22" in set(read_scores(other)["case_id"])
    (line,) = (other / "quarantine.jsonl").read_text().splitlines()
    assert read_quarantine(other) == {json.loads(line)["case_id"]}
    assert json.loads(line)["case_id"] == "c20"


@pytest.mark.parametrize(
    "network",
    [
        {"name": "unet", "encoder": "resnet18"},
        {"name": "monai_unet", "options": {"channels": [8, 16], "strides": [2]}},
        {"name": "segresnet", "options": {"init_filters": 8}},
    ],
    ids=lambda network: network["name"],
)
def test_segmenter_and_classifier_start_from_the_same_encoder(network):
    recipe = make_recipe({"network": network, "seed": 4}, where="test")
    segmenter = new_segmenter(recipe, 1, (0.01,))
    with initial_weights(recipe.seed):
        classifier = new_classifier(recipe, Targets(("lesion",)), 1)
    first, second = (n.encoder.state_dict() for n in (segmenter, classifier))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = new_segmenter(recipe.model_copy(update={"seed": 5}), 1, (0.01,)).encoder.state_dict()
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_an_unknown_head_lists_the_known_ones(shades, tmp_path):
    with pytest.raises(UsageError, match="no head called 'softmaxx'") as caught:
        train_classifier(*shades(classify={"head": "softmaxx"}), tmp_path / "run")
    assert "softmax" in caught.value.fix


def test_an_unknown_network_is_found_before_any_image_is_read(shades, tmp_path):
    table, split, recipe = shades(network={"name": "unett", "options": {}})
    for case in table.cases:
        case.images[0].unlink()
    with pytest.raises(UsageError, match="no network called 'unett'"):
        train_classifier(table, split, recipe, tmp_path / "run")


def test_a_classifier_is_no_segmenter(shades, tmp_path):
    folder = train_classifier(*shades(), tmp_path / "run")
    with pytest.raises(IntegrityError, match="the model is for 'classify', not for 'segment'"):
        load_segmenter(folder)


def test_cases_without_a_known_label_are_refused(shades, tmp_path):
    table, split, recipe = shades()
    for i in range(12):
        (tmp_path / f"i{i}.png").write_bytes(b"broken")
    with pytest.raises(DataError, match="no case of the train part can be used") as caught:
        train_classifier(table, split, recipe, tmp_path / "run")
    assert "c0 (" in str(caught.value)
