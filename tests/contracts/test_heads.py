"""What every head keeps to: a case scores alone as in company, and unknown truth has no say."""

import numpy as np
import pytest
import torch

from segclf.classify import HEADS, find_head, load_classifier, targets_of, train_classifier
from segclf.classify.metric import embed_cases, load_embedder
from segclf.classify.metric.score import read_vectors
from segclf.classify.train import labelled_parts
from segclf.core.config import make_recipe
from segclf.core.errors import DataError
from segclf.core.scoretable import read_scores
from segclf.data import Batch
from segclf.io import write_image, write_mask
from segclf.manifest import cases_of, make_split, read_manifest
from segclf.networks import JointOutputs
from segclf.training import initial_weights

KINDS = {name: {"head": name} for name in HEADS} | {
    "metric": {"head": "metric", "metric": {"images_per_class": 2}},
    "softmax of a column": {"head": "softmax", "targets": ["kind"]},
    "multihead, balanced": {"head": "multihead", "class_weights": "balanced"},
    "sigmoid, balanced": {"head": "sigmoid", "class_weights": "balanced"},
}
NETWORKS = {
    2: {"name": "monai_unet", "options": {"channels": [8, 16], "strides": [2]}},
    3: {"name": "basicunet", "options": {"features": [8, 8, 8, 16, 16, 8]}},
    "timm": {"name": "unet", "encoder": "tu-resnet18"},
}


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


def truth_cells(i, mask, one_class):
    if i == 0:
        return ",,,,"  # nothing is known
    y = 1 if one_class else i % 2
    return f"{mask if y else ''},{y},{'ab'[y]},{'xyz'[i % 3]},"


def data_set(folder, classify, *, first=0, one_class=False, dims=2):
    """Table, split and recipe of 24 cases from number `first` on; nothing is known of number 0."""
    folder.mkdir()
    size, suffix = ((16, 16), "png") if dims == 2 else ((16, 16, 8), "nii.gz")
    mask = np.zeros(size, np.uint8)
    mask[4:9, 4:9] = 255 if dims == 2 else 1
    write_mask(folder / f"m.{suffix}", mask)
    rows = ["case_id,image,mask_lesion,label_lesion,class_kind,class_shape,patient_id,split"]
    for i in range(first, 25):
        pixels = np.random.default_rng(i).integers(0, 90, size) + 60 * (i % 2) * (mask > 0)
        write_image(folder / f"i{i}.{suffix}", pixels[None].astype(np.uint8))
        part = "train" if i < 13 else "val" if i < 19 else "test"
        truth = truth_cells(i, f"m.{suffix}", one_class)
        rows.append(f"c{i},i{i}.{suffix},{truth}p{i},{part}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    recipe = make_recipe(
        {
            "manifest": "manifest.csv",
            "findings": ["lesion"],
            "image": {"spatial_dims": dims},
            "network": NETWORKS[2],
            "train": {
                "steps": 4, "batch_size": 4, "warmup_steps": 1, "validate_every": 2,
                "precision": "fp32",
            },
            "predict": {"precision": "fp32"},
            "classify": classify,
        },
        where="test",
    )  # fmt: skip
    table = read_manifest(recipe, base=folder)
    return table, None if one_class else make_split(table, recipe.split, recipe.seed), recipe


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def classify(request):
    return request.param


def scores_of(folder, made, *, batch_size, order=1):
    table, split, recipe = made
    head = find_head(recipe)
    few = recipe.predict.model_copy(update={"batch_size": batch_size})
    if head.train is not None:
        cases = cases_of(table, split, "test")[::order]
        recipe = recipe.model_copy(update={"predict": few})
        found, vectors, _ = embed_cases(load_embedder(folder)[0], cases, recipe)
        return {case.case_id: vector for case, vector in zip(found, vectors, strict=True)}
    parts, targets = labelled_parts(head, table, split, recipe, fold=None)
    network, card = load_classifier(folder)
    assert targets_of(card).names == targets.names
    test = {"test": parts["test"][::order]}
    return head.score(
        network, None, test, recipe.model_copy(update={"predict": few}), head, targets, None
    )[0]


@pytest.mark.parametrize("dims", [2, 3], ids=["2D", "3D"])
def test_a_saved_head_scores_each_case_alone_and_in_any_order_as_in_training(
    classify, dims, tmp_path
):
    made, events = data_set(tmp_path / "data", classify, dims=dims), []
    folder = train_classifier(*made, tmp_path / "run", on_event=events.append)
    assert [event for event in events if event["kind"] == "warning"] == []
    table = read_scores(folder).query("split == 'test'")
    written = {c: rows["score"].to_numpy() for c, rows in table.groupby("case_id")}
    if classify["head"] == "metric":  # its scores compare embeddings, and these are kept
        written = dict(zip(*read_vectors(folder)["test"], strict=True))
    assert len(written) == 6
    assert np.ptp([values[0] for values in written.values()]) > 1e-4  # there is something to see
    for batch_size, order in ((16, 1), (1, 1), (4, -1)):
        found = scores_of(folder, made, batch_size=batch_size, order=order)
        assert found.keys() == written.keys()
        for case_id, values in written.items():
            np.testing.assert_allclose(found[case_id], values, atol=1e-5)


def test_a_case_of_which_nothing_is_known_changes_no_weight(classify, tmp_path):
    files = []
    for first in (0, 1):
        made = data_set(tmp_path / f"data{first}", classify, first=first)
        folder = train_classifier(*made, tmp_path / f"run{first}")
        files.append((folder / "model.safetensors").read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize("space", NETWORKS)
def test_where_nothing_is_known_the_loss_is_0_with_a_gradient(classify, space, tmp_path):
    made = data_set(tmp_path / "data", classify)
    if find_head(made[2]).train is not None:
        pytest.skip("it does not learn from labels case by case")
    dims = 3 if space == 3 else 2
    recipe = made[2].model_copy(
        update={
            "network": made[2].network.model_validate(NETWORKS[space]),
            "image": made[2].image.model_copy(update={"spatial_dims": dims}),
        }
    )
    head = find_head(recipe)
    _, targets = labelled_parts(head, *made[:2], recipe, fold=None)
    with initial_weights(0):
        network = head.build(recipe, targets, 1)
    size = (32,) * dims
    image = torch.rand(3, 1, *size)
    unknown = torch.full((3, 1, *size), torch.nan)
    nothing = torch.full((3, len(targets.names)), torch.nan)
    batch = Batch(image, unknown, nothing, ["a", "b", "c"], 0)
    raw = network(image)
    loss = head.loss(raw, batch, targets)
    loss.backward()
    assert loss.item() == 0.0
    grads = [p.grad for p in network.parameters() if p.grad is not None]
    assert grads
    assert all(not grad.any() for grad in grads)
    logits = raw.image if isinstance(raw, JointOutputs) else raw
    probability = head.probabilities(logits.detach(), targets)
    assert probability.shape == (3, len(targets.names))
    assert ((probability > 0) & (probability < 1)).all()


def test_one_class_in_training_is_scored_or_refused_with_a_reason(classify, tmp_path):
    _, split, _ = data_set(tmp_path / "two_classes", classify)  # a split of one class is refused
    table, _, recipe = data_set(tmp_path / "data", classify, one_class=True)
    made = table, split, recipe
    if classify["head"] == "multihead" or "targets" in classify:
        with pytest.raises(DataError, match="class_kind has only the category 'b'"):
            train_classifier(*made, tmp_path / "run")
        return
    if classify["head"] == "metric":
        with pytest.raises(DataError):
            train_classifier(*made, tmp_path / "run")
        return
    events = []
    folder = train_classifier(*made, tmp_path / "run", on_event=events.append)
    said = "all 12 known labels of lesion are 1 in training: nothing is learned of it"
    assert any(said in str(event.get("message")) for event in events)
    scores = read_scores(folder)
    assert scores["score"].between(0, 1).all()
    assert scores["threshold"].isna().all()  # no negative to fit one on
