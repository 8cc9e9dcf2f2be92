from math import nan
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from segclf.core.config import make_recipe
from segclf.data import Batch
from segclf.manifest import make_split, read_manifest
from segclf.pseudolabel.semi import Part, Scene

PARTS = ["train"] * 12 + ["val"] * 6 + ["test"] * 4
WITHOUT_MASK = (1, 5, 8)
"""Training cases whose mask is blank: two with label 1, one whose label is blank as well."""


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Tests do not wait for the disk, and compute in one thread."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


class Fixed(nn.Module):
    """A network whose probabilities are given; it counts how often it is asked."""

    def __init__(self, *probabilities):
        super().__init__()
        self.logits = [torch.logit(torch.tensor(p, dtype=torch.float64)) for p in probabilities]
        self.n_asked = 0

    def forward(self, image):
        logits = self.logits[min(self.n_asked, len(self.logits) - 1)]
        self.n_asked += 1
        return logits.expand(len(image), -1, 4, 4)


@pytest.fixture
def four():
    """One unlabelled case of 4 x 4: `part(p)` has the student's probabilities `p`."""

    def make(probability, *, label=nan, exclusive=False, raw=None, step=100, n_planes=1, **semi):
        base = {"noise": 0, "strength": 0, "method": "mean_teacher"} | semi
        recipe = make_recipe(
            {
                "semi": base, "augment": {"intensity": 0}, "train": {"steps": 100},
                "exclusive": exclusive,
            },
            where="test",
        )  # fmt: skip
        scene = Scene(recipe, None, (), {"u": (True,) * n_planes}, False)
        if raw is None:
            raw = torch.logit(torch.tensor(probability, dtype=torch.float64)).reshape(1, -1, 4, 4)
        raw = raw.clone().requires_grad_()
        part = Part(
            image=torch.zeros(1, 1, 4, 4),
            raw=raw,
            label=torch.full((1, n_planes), float(label)),
            planes=torch.ones(1, n_planes, dtype=torch.bool),
            step=step,
        )
        batch = Batch(part.image, torch.full((1, n_planes, 4, 4), nan), part.label, ["u"], step)
        return SimpleNamespace(part=part, scene=scene, raw=raw, batch=batch)

    return make


@pytest.fixture
def fixed():
    return Fixed


@pytest.fixture
def partly_drawn(tmp_path):
    """Twenty-two pictures of 24 x 24, every second with a bright square; three lack a mask.

    Table, split and recipe. With `nan_test`, test images, masks and labels are not numbers.
    """

    def make(method=None, *, nan_test=False, folder=None, **settings):
        folder = folder or tmp_path / ("with_nan" if nan_test else "drawn")
        folder.mkdir(exist_ok=True, parents=True)
        rows = ["case_id,image,mask,label,patient_id,split"]
        for i, part in enumerate(PARTS):
            draw = np.random.default_rng(i)
            image = draw.integers(60, 110, (24, 24)).astype(np.uint8)
            mask = np.zeros((24, 24), dtype=np.uint8)
            if i % 2 or i == 8:
                top, left = draw.integers(2, 16, 2)
                mask[top : top + 6, left : left + 6] = 1
                image[mask == 1] += 100
            files = (f"i{i}.png", f"m{i}.png")
            Image.fromarray(image).save(folder / files[0])
            Image.fromarray(mask * 255).save(folder / files[1])
            label = i % 2
            if part == "test" and nan_test:
                files, label = (f"i{i}.npz", f"m{i}.npz"), ""
                np.savez(folder / files[0], image=np.full((1, 24, 24), np.nan))
                np.savez(folder / files[1], mask=np.full((24, 24), np.nan))
            if i in WITHOUT_MASK:
                files, label = (files[0], ""), "" if i == 8 else label
            rows.append(f"c{i},{files[0]},{files[1]},{label},p{i},{part}")
        (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
        base = {
            "manifest": "manifest.csv",
            "findings": ["square"],
            "image": {"intensity": "minmax"},
            "semi": {"method": method},
            "network": {
                "name": "monai_unet",
                "options": {"channels": [8, 16], "strides": [2], "num_res_units": 1},
            },
            "train": {
                "steps": 8, "batch_size": 4, "lr": 0.01, "warmup_steps": 2, "validate_every": 4,
                "checkpoint_every": 3, "precision": "fp32",
            },
        }  # fmt: skip
        for section, values in settings.items():
            base[section] = base.get(section, {}) | values if isinstance(values, dict) else values
        recipe = make_recipe(base, where="test")
        table = read_manifest(recipe, base=folder)
        split = None if nan_test else make_split(table, recipe.split, recipe.seed)
        return table, split, recipe

    return make
