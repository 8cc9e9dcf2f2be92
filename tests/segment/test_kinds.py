"""Volumes, exclusive findings and unknown masks go the same way as pictures."""

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from segclf.core.config import make_recipe
from segclf.manifest import make_split, read_manifest
from segclf.segment import load_segmenter, train_segmenter

PARTS = ["train"] * 6 + ["val"] * 4 + ["test"] * 4
TRAIN = {
    "steps": 4, "batch_size": 2, "validate_every": 2, "precision": "fp32", "select_by": "dice",
}  # fmt: skip
NETWORK = {
    "name": "monai_unet",
    "options": {"channels": [8, 16], "strides": [2], "num_res_units": 1},
}


def opened(folder, header, rows, **settings):
    (folder / "manifest.csv").write_text("\n".join([header, *rows]) + "\n")
    recipe = make_recipe(
        {"manifest": "manifest.csv", "train": TRAIN, "network": NETWORK, **settings}, where="test"
    )
    table = read_manifest(recipe, base=folder)
    return table, make_split(table, recipe.split, 0), recipe


def test_volumes_train_on_crops_and_are_validated_whole(tmp_path):
    rows = []
    for i, part in enumerate(PARTS):
        volume = np.random.default_rng(i).normal(size=(12, 10, 9)).astype(np.float32)
        mask = np.zeros((12, 10, 9), dtype=np.uint8)
        mask[2:5, 3:6, 4:6] = i % 2
        for name, array in (("i", volume + 3 * mask), ("m", mask)):
            nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / f"{name}{i}.nii.gz")
        rows.append(f"c{i},i{i}.nii.gz,m{i}.nii.gz,{i % 2},{part}")
    table, split, recipe = opened(
        tmp_path,
        "case_id,image,mask,label,split",
        rows,
        image={"spatial_dims": 3, "intensity": "zscore"},
        segment={"patch_px": [8, 8, 8]},
        augment={"rotate_degrees": 0, "scale": 0, "shift": 0},
    )
    _, card = load_segmenter(train_segmenter(table, split, recipe, tmp_path / "run"))
    assert (card.spatial_dims, card.size_px) == (3, (8, 8, 8))
    assert card.prior == pytest.approx((18 * 3 / (12 * 10 * 9 * 6),))
    assert card.validation["n_masks_positive"] == 2
    assert card.validation["dice_positives"] is not None
    assert card.select_by == "dice"


@pytest.fixture
def quarters(tmp_path):
    """Pictures with value 1 (left) or 2 (right) in a mask; the mask of c0 was not drawn."""
    rows = []
    for i, part in enumerate(PARTS):
        mask = np.zeros((16, 16), dtype=np.uint8)
        mask[4:12, :4] = 1 if i % 2 else 0
        mask[4:12, 12:] = 0 if i % 2 else 2
        Image.fromarray((60 + 80 * mask).astype(np.uint8)).save(tmp_path / f"i{i}.png")
        Image.fromarray(mask).save(tmp_path / f"m{i}.png")
        drawn = "" if i == 0 else f"m{i}.png"
        rows.append(f"c{i},i{i}.png,{drawn},{i % 2},{1 - i % 2},{part}")
    return "case_id,image,mask,label_left,label_right,split", rows


@pytest.mark.parametrize("exclusive", [True, False])
def test_findings_may_exclude_each_other_and_masks_may_be_missing(tmp_path, quarters, exclusive):
    table, split, recipe = opened(
        tmp_path, *quarters, exclusive=exclusive, mask_values={1: "left", 2: "right"}
    )
    _, card = load_segmenter(train_segmenter(table, split, recipe, tmp_path / "run"))
    assert card.findings == ("left", "right")
    assert card.n_outputs == (3 if exclusive else 2)
    # c0 is known to be without `left`, but its `right` is not drawn: 5 and 6 masks are known,
    # of which 2 and 3 hold 32 of 256 pixels
    left, right = card.prior
    assert left == pytest.approx(3 * 32 / (6 * 256))
    assert right == pytest.approx(2 * 32 / (5 * 256))
    assert len(card.validation["auroc_per_finding"]) == 2
