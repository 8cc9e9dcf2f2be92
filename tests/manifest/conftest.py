"""A small data set on disk: files drawn on demand, a table written as it stands in the test."""

from pathlib import Path

import numpy as np
import pytest

from segclf.core.config import make_recipe
from segclf.io import write_image, write_mask
from segclf.manifest import read_manifest


class DataSet:
    """A folder with images and masks, and one manifest over them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def image(self, name, *, seed=None, shape=(8, 10)):
        """Noise that depends on the name, so that no two images are equal."""
        rng = np.random.default_rng(sum(map(ord, name)) * 1000 + len(name) + (seed or 0))
        write_image(self.root / name, rng.integers(0, 200, (1, *shape), dtype=np.uint8))
        return name

    def mask(self, name, picture, *, values=None):
        """A drawn mask: `.` is 0 and digits are themselves; `#` is 255."""
        rows = picture.split()
        table = {".": 0, "#": 255, **{str(digit): digit for digit in range(10)}}
        write_mask(self.root / name, np.array([[table[c] for c in row] for row in rows], np.uint8))
        return name

    def read(
        self, text, *, strict=True, side_tables=(), need_truth=True, side_tables_of_recipe=(),
        **settings,
    ):  # fmt: skip
        """Write the manifest (cells separated by commas, blanks around them allowed); read it."""
        lines = [line.strip() for line in text.strip().splitlines()]
        (self.root / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        settings |= {"manifest": "manifest.csv", "side_tables": list(side_tables_of_recipe)}
        recipe = make_recipe(settings, where="test")
        return read_manifest(
            recipe, base=self.root, strict=strict, side_tables=side_tables, need_truth=need_truth
        )


@pytest.fixture
def data(tmp_path):
    """An empty data set with four images a, b, c, d and a mask for a."""
    root = tmp_path / "data"
    (root).mkdir()
    made = DataSet(root)
    for name in "abcd":
        made.image(f"{name}.png")
    made.mask("a_mask.png", "..........\n" * 3 + "..##......\n" * 2 + "..........\n" * 3)
    made.mask("empty.png", "..........\n" * 8)
    return made
