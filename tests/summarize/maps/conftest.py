"""Cases with images and folders of maps."""

import numpy as np
import pandas as pd
import pytest

from segclf.io import write_image


@pytest.fixture
def a_folder(tmp_path):
    """Function: write images and a manifest of n cases; returns the manifest's path.

    Half of the cases are positive; the first half validates, the rest tests.
    """

    def make(n=8, shape=(24, 20), *, suffix=".png", more=None, **write):
        rows = []
        for i in range(n):
            name = f"img{i}{suffix}"
            write_image(tmp_path / name, np.full((1, *shape), 7 + i, np.uint8), **write)
            split = "val" if i < n // 2 else "test"
            rows.append({"case_id": f"c{i}", "image": name, "label": i % 2, "split": split})
        frame = pd.DataFrame(rows).assign(**(more or {}))
        frame.to_csv(tmp_path / "cases.csv", index=False)
        return tmp_path / "cases.csv"

    return make


@pytest.fixture
def blob():
    """Function: a map of little probability, with a bright square that grows with i."""

    def make(i, shape=(24, 20)):
        rng = np.random.default_rng(i)
        p = rng.uniform(0.01, 0.2, shape)
        p[(slice(2, 4 + 3 * (i % 2) + i // 4),) * len(shape)] = 0.9
        return p

    return make
