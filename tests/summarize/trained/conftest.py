"""A tiny trained segmenter on drawn pictures, which the tests of trained summarizers share."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segclf.core.config import make_recipe
from segclf.core.runs import Run
from segclf.manifest import make_split, read_manifest
from segclf.segment import train_segmenter
from segclf.summarize.trained.run import Job

PARTS = ["train"] * 16 + ["val"] * 12 + ["test"] * 8
TRAIN = {
    "steps": 6, "batch_size": 4, "lr": 0.01, "warmup_steps": 1, "validate_every": 3,
    "checkpoint_every": 6, "precision": "fp32",
}  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Tests do not wait for the disk, and one thread gives the same bits each time."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write_pictures(folder: Path) -> list[dict[str, str]]:
    """36 pictures of 20 x 20, two of each patient; every second one holds a bright square."""
    folder.mkdir(parents=True)
    rows = []
    for i, part in enumerate(PARTS):
        draw = np.random.default_rng(i)
        image = draw.integers(60, 110, (20, 20)).astype(np.uint8)
        mask = np.zeros((20, 20), np.uint8)
        if i % 2:
            top, left = draw.integers(2, 12, 2)
            mask[top : top + 6, left : left + 6] = 255
            image[mask > 0] += 60
        Image.fromarray(image).save(folder / f"i{i}.png")
        Image.fromarray(mask).save(folder / f"m{i}.png")
        rows.append({"case_id": f"c{i:02d}", "image": f"i{i}.png", "mask": f"m{i}.png",
                     "label": str(i % 2), "patient_id": f"p{i - i % 4 + i % 2}",
                     "split": part})  # fmt: skip
    return rows


def write_manifest(folder: Path, rows: list[dict[str, str]]) -> None:
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """The folder of pictures and of the run, the rows of the manifest, and the split."""
    home = tmp_path_factory.mktemp("trained")
    rows = write_pictures(home / "data")
    write_manifest(home / "data", rows)
    recipe = make_recipe(_values(), where="test")
    table = read_manifest(recipe, base=home / "data")
    split = make_split(table, recipe.split, recipe.seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _descriptor: None)
        train_segmenter(table, split, recipe, home / "run" / "segment")
    return home, rows, split


def _values(**settings):
    return {
        "manifest": "manifest.csv",
        "findings": ["square"],
        "image": {"intensity": "minmax"},
        "network": {
            "name": "monai_unet",
            "options": {"channels": [8, 16], "strides": [2], "num_res_units": 1},
        },
        "predict": {"batch_size": 4, "precision": "fp32"},
        "train": TRAIN,
        **settings,
    }


@pytest.fixture
def a_job(pictures, tmp_path, monkeypatch):
    """Function: job, table and split of a rule in a fresh copy of the run.

    `change` gets the rows of the manifest and the folder of the pictures, both its own copies.
    """
    home, rows, split = pictures

    def make(rule, *, change=None, name="one", **summarize):
        place = tmp_path / name
        shutil.copytree(home / "run", place / "run", dirs_exist_ok=True)
        if not (place / "data").exists():
            shutil.copytree(home / "data", place / "data")
        own = [dict(row) for row in rows]
        if change is not None:
            own = change(own, place / "data") or own
            write_manifest(place / "data", own)
        recipe = make_recipe(_values(summarize={"grid_px": 6, **summarize}), where="test")
        table = read_manifest(recipe, base=place / "data")
        return Job(rule, recipe, Run(place / "run"), None), table, split

    return make
