"""Training on coarse masks, and refining what came of it with few fine ones."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from scipy import ndimage
from torch import nn
from torch.nn import functional

from segclf.core.config import make_recipe
from segclf.core.errors import ConfigError, DataError
from segclf.core.records import MaskKind, MaskState
from segclf.core.runs import Run
from segclf.losses import build_loss
from segclf.manifest import read_manifest
from segclf.segment import find_segmenter, load_segmenter, train_segmenter
from segclf.segment.refine import refining_loss

SHORT = {"steps": 3, "validate_every": 3, "warmup_steps": 1}
SETTING = "segment.refine_from"


@pytest.fixture
def with_kinds(drawn, tmp_path):
    """The drawn squares with a `mask_kind` and `mask_source` per case; masks by name of kind."""

    def make(kind_of, **settings):
        _, split, recipe = drawn(train=SHORT, **settings)
        path = tmp_path / "drawn" / "manifest.csv"
        rows = path.read_text().splitlines()
        lines = [f"{rows[0]},mask_kind,mask_source"]
        for i, row in enumerate(rows[1:]):
            kind, source = kind_of(i)
            file = tmp_path / "drawn" / f"m{i}.png"
            mask = np.asarray(Image.open(file)) > 0
            if kind == "point" and mask.any():
                point = np.zeros_like(mask)
                point[tuple(np.argwhere(mask)[0] + 2)] = True
                mask = point
            if kind.startswith("dilated"):
                mask = ndimage.binary_dilation(mask, iterations=2)
            Image.fromarray(mask.astype(np.uint8)).save(file)
            lines.append(f"{row},{kind},{source}")
        path.write_text("\n".join(lines) + "\n")
        return read_manifest(recipe, base=path.parent), split, recipe

    return make


def test_masks_of_all_kinds_train_one_network(with_kinds, tmp_path):
    kinds = ("full", "point", "box", "dilated:2", "uncertain")
    table, split, recipe = with_kinds(
        lambda i: (kinds[i // 2 % 5], ""), segment={"point_radius_px": 3}
    )
    folder = train_segmenter(table, split, recipe, tmp_path / "run")
    card = load_segmenter(folder)[1]
    assert (card.n_train, card.n_quarantined) == (10, 0)
    # validation c10..c15: c11 is full, c13 a point, c15 a box: only c11 has a Dice
    assert card.validation["n_masks_positive"] == 1
    assert card.validation["n_labels_positive"] == 3


def test_strict_coarse_is_another_training_and_says_so(with_kinds, tmp_path):
    def kind_of(i):
        return ("full" if i >= 10 else "dilated:2"), ""

    band = train_segmenter(*with_kinds(kind_of), tmp_path / "band")
    table, split, recipe = with_kinds(kind_of, segment={"strict_coarse": True})
    strict = train_segmenter(table, split, recipe, tmp_path / "strict")
    known, full = (load_segmenter(folder)[1].prior[0] for folder in (band, strict))
    assert known < full  # the core among known pixels; all that is drawn
    identities = [json.loads((f / "identity.json").read_text()) for f in (band, strict)]
    assert [i.get("segment.strict_coarse") for i in identities] == [None, True]


def test_a_pseudo_mask_never_validates(with_kinds, tmp_path):
    table, split, recipe = with_kinds(lambda i: ("full", "pseudo" if i == 11 else ""))
    card = load_segmenter(train_segmenter(table, split, recipe, tmp_path / "run"))[1]
    assert card.validation["n_masks_positive"] == 2  # c13, c15
    assert card.n_train == 10


def test_a_point_without_a_pixel_is_set_aside(with_kinds, tmp_path):
    table, split, recipe = with_kinds(lambda i: ("point" if i == 1 else "full", ""))
    Image.fromarray(np.zeros((24, 24), np.uint8)).save(tmp_path / "drawn" / "m1.png")
    folder = train_segmenter(table, split, recipe, tmp_path / "run")
    (line,) = (folder / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(line)["case_id"] == "c1"
    assert json.loads(line)["reason"] == "empty_coarse_mask"


class _Fixed(nn.Module):
    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, _image):
        return self.logits


@pytest.mark.parametrize("exclusive", [False, True])
def test_pixels_in_which_the_coarse_network_differs_weigh_more_by_hand(exclusive):
    draw = torch.Generator().manual_seed(0)
    raw, target = torch.randn(1, 1, 4, 4, generator=draw), torch.zeros(1, 1, 4, 4)
    target[..., 1:3, 1:3] = 1
    coarse = torch.full((1, 1, 4, 4), -3.0)
    coarse[..., :3, :3] = 3.0  # five pixels too many
    target[..., 0, 0] = float("nan")  # one of them is not known
    weight = torch.ones(4, 4)
    weight[:3, :3] = 7.0
    weight[1:3, 1:3] = 1.0
    weight[0, 0] = 0.0
    pixels = functional.binary_cross_entropy_with_logits(
        raw[0, 0], target[0, 0].nan_to_num(0), reduction="none"
    )
    by_hand = float((weight * pixels).sum() / 15)
    if exclusive:  # the same network with a background output of 0
        raw, coarse = (torch.cat([torch.zeros_like(z), z], dim=1) for z in (raw, coarse))
    settings = {"segment": {"refine_weight": 7.0}, "loss": {"name": "ce"}, "exclusive": exclusive}
    recipe = make_recipe(settings, where="test")
    loss = build_loss(recipe.loss, exclusive=exclusive)
    refining = refining_loss(loss, _Fixed(coarse), recipe)
    batch = SimpleNamespace(image=torch.zeros(1, 1, 4, 4), target=target)
    assert float(refining(raw, batch)) == pytest.approx(by_hand, rel=1e-6)


@pytest.fixture
def coarse_run(with_kinds, tmp_path):
    """A run trained on dilated masks of all but the cases 3, 5 and those that validate."""
    table, split, recipe = with_kinds(
        lambda i: ("full" if i in (3, 5) or i >= 10 else "dilated:2", "")
    )
    run = Run(tmp_path / "runs" / "coarse")
    train_segmenter(table, split, recipe, run.stage("segment"))
    split.to_parquet(run.split)
    return run, table, split, recipe


def test_refining_starts_from_the_coarse_weights_and_sees_full_masks_alone(coarse_run, tmp_path):
    run, table, split, recipe = coarse_run
    start = find_segmenter(run, recipe, split, fold=None, setting=SETTING)
    still = recipe.model_copy(update={"train": recipe.train.model_copy(update={"lr": 1e-12})})
    folder = train_segmenter(table, split, still, tmp_path / "fine", start=start)
    theirs = load_file(run.stage("segment") / "model.safetensors")
    ours = load_file(folder / "model.safetensors")
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, atol=1e-6, rtol=1e-6)
    card = load_segmenter(folder)[1]
    assert card.init_from == {"run": "coarse", "sha256": start.card.sha256}
    assert card.prior == pytest.approx((36 * 2 / (2 * 24 * 24),))  # the squares of cases 3 and 5
    identity = json.loads((folder / "identity.json").read_text())
    assert identity["segment.refine_from"] == f"sha256:{start.card.sha256}"
    before = json.loads((run.stage("segment") / "identity.json").read_text())
    assert "segment.refine_from" not in before


def test_refining_twice_gives_the_same_bytes(coarse_run, tmp_path):
    run, table, split, recipe = coarse_run
    start = find_segmenter(run, recipe, split, fold=None, setting=SETTING)
    weights = [
        (train_segmenter(table, split, recipe, tmp_path / name, start=start) / "model.safetensors")
        for name in "ab"
    ]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert weights[0].read_bytes() != (run.stage("segment") / "model.safetensors").read_bytes()


def test_refining_without_a_fine_mask_says_that_coarse_ones_are_left_out(coarse_run, tmp_path):
    run, table, split, recipe = coarse_run
    start = find_segmenter(run, recipe, split, fold=None, setting=SETTING)
    cases = tuple(
        replace(case, masks=tuple(replace(mask, kind=MaskKind.BOX) for mask in case.masks))
        if any(mask.state is MaskState.DRAWN for mask in case.masks)
        else case
        for case in table.cases
    )
    with pytest.raises(DataError, match="none of 10 training cases has a fine mask") as caught:
        train_segmenter(replace(table, cases=cases), split, recipe, tmp_path / "c", start=start)
    assert "segment.refine_from = 'coarse', column mask_kind" in str(caught.value)


def test_other_findings_or_held_out_cases_are_refused(coarse_run, tmp_path):
    run, table, split, recipe = coarse_run
    start = find_segmenter(run, recipe, split, fold=None, setting=SETTING)
    exclusive = recipe.model_copy(update={"exclusive": True})
    with pytest.raises(ConfigError, match=r"looks for square \(independent\), this recipe") as e:
        train_segmenter(table, split, exclusive, tmp_path / "fine", start=start)
    assert "segment.refine_from = 'coarse'" in str(e.value)
    moved = split.copy()
    moved["split"] = moved["split"].map({"train": "test", "test": "train", "val": "val"})
    with pytest.raises(DataError, match="10 of the test cases belong to its train part"):
        find_segmenter(run, recipe, moved, fold=None, setting=SETTING)
    image = recipe.image.model_copy(update={"intensity": "zscore"})
    other = recipe.model_copy(update={"image": image})
    with pytest.raises(ConfigError, match="another network or other images"):
        find_segmenter(run, other, split, fold=None, setting=SETTING)


def test_files_of_test_cases_are_never_opened(coarse_run, tmp_path):
    run, table, split, recipe = coarse_run
    start = find_segmenter(run, recipe, split, fold=None, setting=SETTING)
    fine = train_segmenter(table, split, recipe, tmp_path / "fine", start=start)
    for i in range(16, 20):
        np.savez(tmp_path / "drawn" / f"m{i}.npz", mask=np.full((24, 24), np.nan))
        (tmp_path / "drawn" / f"m{i}.png").unlink()
        (tmp_path / "drawn" / f"i{i}.png").unlink()
    coarse = train_segmenter(table, split, recipe, tmp_path / "coarse_again")
    again = train_segmenter(table, split, recipe, tmp_path / "fine_again", start=start)
    for first, second in ((run.stage("segment"), coarse), (fine, again)):
        for name in ("model.safetensors", "metrics.jsonl"):
            assert (first / name).read_bytes() == (second / name).read_bytes()
