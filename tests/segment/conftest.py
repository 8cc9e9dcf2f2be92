import numpy as np
import pytest
from PIL import Image

from segclf.core.config import make_recipe
from segclf.manifest import make_split, read_manifest

PARTS = ["train"] * 10 + ["val"] * 6 + ["test"] * 4


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch):
    """Tests do not wait for the disk; files are as complete without it."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


@pytest.fixture
def drawn(tmp_path):
    """Twenty pictures of 24 x 24; every second one holds a bright square of 6 x 6.

    Table, split and recipe; or, with `nan_test`, the table alone of the same cases whose test
    images, masks and labels are not numbers.
    """

    def make(*, nan_test=False, findings=None, **settings):
        folder = tmp_path / ("with_nan" if nan_test else "drawn")
        folder.mkdir(exist_ok=True)
        rows = ["case_id,image,mask,label,patient_id,split"]
        for i, part in enumerate(PARTS):
            draw = np.random.default_rng(i)
            image = draw.integers(60, 110, (24, 24)).astype(np.uint8)
            mask = np.zeros((24, 24), dtype=np.uint8)
            if i % 2:
                top, left = draw.integers(2, 16, 2)
                mask[top : top + 6, left : left + 6] = 1
                image[mask == 1] += 100
            label, mask_text = i % 2, f"m{i}.png"
            if part == "test" and nan_test:
                np.savez(folder / f"i{i}.npz", image=np.full((1, 24, 24), np.nan))
                np.savez(folder / f"m{i}.npz", mask=np.full((24, 24), np.nan))
                image_text, mask_text, label = f"i{i}.npz", f"m{i}.npz", ""
            else:
                Image.fromarray(image).save(folder / f"i{i}.png")
                Image.fromarray(mask * 255).save(folder / mask_text)
                image_text = f"i{i}.png"
            rows.append(f"c{i},{image_text},{mask_text},{label},p{i},{part}")
        (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
        base = {
            "manifest": "manifest.csv",
            "findings": ["square"],
            "image": {"intensity": "minmax"},
            "network": {
                "name": "monai_unet",
                "options": {"channels": [8, 16], "strides": [2], "num_res_units": 1},
            },
            "train": {
                "steps": 12, "batch_size": 4, "lr": 0.01, "warmup_steps": 2, "validate_every": 4,
                "checkpoint_every": 5, "precision": "fp32", "ema": 0.9, "patience": 9,
            },
        }  # fmt: skip
        for section, values in settings.items():
            base[section] = base.get(section, {}) | values if isinstance(values, dict) else values
        recipe = make_recipe(base, where="test")
        table = read_manifest(recipe, base=folder)
        return table if nan_test else (table, make_split(table, recipe.split, recipe.seed), recipe)

    return make
