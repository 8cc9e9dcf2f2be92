import numpy as np
import pytest
from PIL import Image

from segclf.core.config import make_recipe
from segclf.manifest import make_split, read_manifest

SIZES = {"train": 18, "val": 12, "test": 12}
LEVELS = {"dark": 40, "grey": 110, "light": 180, "white": 245}


@pytest.fixture
def tones(tmp_path):
    """Table, split and recipe of 16 x 16 pictures whose class is their tone; `white` is in the
    test part alone."""

    def make(*, blank=(), rows=None, **settings):
        lines, number = ["case_id,image,label_any,class_tone,patient_id,split"], 0
        for part, n in SIZES.items():
            names = list(LEVELS)[: 4 if part == "test" else 3]
            for i in range(n):
                name, case_id = names[i % len(names)], f"c{number}"
                rng = np.random.default_rng(number)
                pixels = LEVELS[name] + rng.normal(0, 8, (16, 16)) + rng.normal(0, 4)
                Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(
                    tmp_path / f"{case_id}.png"
                )
                tone = "" if case_id in blank or blank == "all" else name
                lines.append(f"{case_id},{case_id}.png,,{tone},p{number},{part}")
                number += 1
        (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
        if rows is not None:
            text = "\n".join(["case_a,case_b,similar", *rows])
            (tmp_path / "pairs.csv").write_text(text + "\n")
        metric = {"embedding_dim": 8, "images_per_class": 2}
        base = {
            "manifest": "manifest.csv",
            "image": {"intensity": "window", "window": [0, 255]},
            "augment": {"intensity": 0.0},
            "network": {
                "name": "monai_unet",
                "options": {"channels": [8, 16], "strides": [2], "norm": "batch"},
            },
            "train": {
                "steps": 30, "batch_size": 8, "lr": 0.01, "warmup_steps": 2, "validate_every": 10,
                "precision": "fp32",
            },
            "predict": {"precision": "fp32"},
            "classify": {"head": "metric", "targets": ["tone"], "metric": metric},
        }  # fmt: skip
        base["classify"]["metric"] |= settings.pop("metric", {})
        for section, values in settings.items():
            base[section] = base.get(section, {}) | values
        recipe = make_recipe(base, where="test")
        table = read_manifest(recipe, base=tmp_path)
        return table, make_split(table, recipe.split, recipe.seed), recipe

    return make


@pytest.fixture
def tone_pairs():
    """Rows of a table of pairs, within train and within val: every pair of these cases."""
    rows = []
    for first, n in ((0, SIZES["train"]), (SIZES["train"], SIZES["val"])):
        for a in range(n):
            for b in range(a):
                rows.append(f"c{first + a},c{first + b},{int(a % 3 == b % 3)}")
    return rows
