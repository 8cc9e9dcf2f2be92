from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from segclf.core.config import make_recipe
from segclf.manifest import make_split, read_manifest

PARTS = ["train"] * 12 + ["val"] * 8 + ["test"] * 4
SMALL = {
    "image": {"intensity": "window", "window": [0, 255]},
    "augment": {"intensity": 0.0},
    "network": {
        "name": "monai_unet",
        "options": {"channels": [8, 16], "strides": [2], "num_res_units": 1},
    },
    "train": {
        "steps": 12, "batch_size": 4, "lr": 0.01, "warmup_steps": 2, "validate_every": 6,
        "precision": "fp32",
    },
    "predict": {"precision": "fp32"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch):
    """Tests do not wait for the disk; files are as complete without it."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


@pytest.fixture
def shades(tmp_path):
    """Table, split and recipe of 24 pictures of 16 x 16; every second one is `bright`."""

    def make(*, test_labels_known=True, **settings):
        rows = ["case_id,image,label_bright,label_dark,patient_id,split"]
        for i, part in enumerate(PARTS):
            level = 150 if i % 2 else 60
            pixels = np.random.default_rng(i).integers(level - 50, level + 50, (16, 16))
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"i{i}.png")
            rows.append(f"c{i},i{i}.png,{i % 2},{1 - i % 2},p{i},{part}")
        (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
        base = {"manifest": "manifest.csv", **SMALL}
        for section, values in settings.items():
            base[section] = base.get(section, {}) | values
        recipe = make_recipe(base, where="test")
        table = read_manifest(recipe, base=tmp_path)
        split = make_split(table, recipe.split, recipe.seed)
        if not test_labels_known:
            unknown = (float("nan"),) * 2
            cases = [
                replace(case, labels=unknown) if part == "test" else case
                for case, part in zip(table.cases, PARTS, strict=True)
            ]
            table = replace(table, cases=tuple(cases), sha256="0" * 64)
        return table, split, recipe

    return make


@pytest.fixture
def kinds(tmp_path):
    """Table, split and recipe of 36 pictures: `class_level` is the grey, `class_bars` a pattern."""

    def make(*, levels=("low", "mid", "high"), rename=None, hide=(), n=36, **settings):
        folder = tmp_path / "kinds"
        folder.mkdir(exist_ok=True)
        rows = ["case_id,image,class_level,class_bars,patient_id,split"]
        for i in range(n):
            level, bars = i % len(levels), (i // len(levels)) % 2
            pixels = np.random.default_rng(i).integers(-15, 15, (16, 16)) + 50 + 70 * level
            pixels[::4] += 40 * bars
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"i{i}.png")
            part = PARTS[i // 3 * 2] if i < 36 else "test"
            cells = [levels[level], ("none", "some")[bars]]
            cells = ["" if name in hide and i % 5 == 0 else cell
                     for name, cell in zip(("level", "bars"), cells, strict=True)]  # fmt: skip
            cells = (rename or (lambda *given: given[2:]))(i, part, *cells)
            rows.append(f"c{i},i{i}.png,{','.join(cells)},p{i // 2},{part}")
        (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
        base = {"manifest": "manifest.csv", **SMALL, "classify": {"head": "multihead"}}
        for section, values in settings.items():
            base[section] = base.get(section, {}) | values
        recipe = make_recipe(base, where="test")
        table = read_manifest(recipe, base=folder)
        return table, make_split(table, recipe.split, recipe.seed), recipe

    return make


@pytest.fixture
def discs(tmp_path):
    """Table, split and recipe of 36 pictures; those with a bright square are positive."""

    def make(**settings):
        folder = tmp_path / "discs"
        folder.mkdir(exist_ok=True)
        mask = np.zeros((16, 16), np.uint8)
        mask[4:10, 5:11] = 255
        Image.fromarray(mask).save(folder / "m.png")
        rows = ["case_id,image,mask_lesion,label_lesion,patient_id,split"]
        for i in range(36):
            y = i % 2
            pixels = np.random.default_rng(i).integers(20, 80, (16, 16)) + 120 * y * (mask > 0)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"i{i}.png")
            part = ("train", "val", "test")[i // 4 % 3]
            label = "" if i == 1 else y  # a mask without a label
            path = "m.png" if y and i != 3 else ""  # a label without a mask
            rows.append(f"c{i},i{i}.png,{path},{label},p{i},{part}")
        (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
        base = {
            "manifest": "manifest.csv",
            "image": {"intensity": "window", "window": [0, 255]},
            "augment": {"intensity": 0.0, "rotate_degrees": 0, "scale": 0, "shift": 0},
            "network": SMALL["network"],
            "train": {
                "steps": 60, "batch_size": 8, "lr": 0.02, "warmup_steps": 2,
                "validate_every": 20, "precision": "fp32",
            },
            "predict": {"precision": "fp32"},
            "classify": {"head": "joint"},
        }  # fmt: skip
        for section, values in settings.items():
            base[section] = base.get(section, {}) | values
        recipe = make_recipe(base, where="test")
        table = read_manifest(recipe, base=folder)
        return table, make_split(table, recipe.split, recipe.seed), recipe

    return make
