"""Statistics and case tables that a test writes down in a few numbers."""

import numpy as np
import pandas as pd
import pytest

from segclf.core.maskstats import THRESHOLDS, make_statistics

BLANK = {
    "finding": "lesion",
    "fold": None,
    "n_px": 100,
    "px_size": 1.0,
    "is_volume": False,
    "mean_p": 0.0,
    "max_p": 0.0,
    "top_0": 0.0,
    "top_1": 0.0,
    "top_2": 0.0,
    "top_3": 0.0,
    "sum_log1mp": 0.0,
    "lse_logit": 0.0,
    "component_t": 0.5,
    "largest_component_px": 0,
    "n_components": 0,
    "true_px": None,
}


@pytest.fixture
def statistics():
    """Function: rows that name only what matters; `area` is the whole curve or one number."""

    def build(rows):
        filled = []
        for i, row in enumerate(rows):
            row = {"case_id": f"c{i}", **BLANK, **row}
            area = np.broadcast_to(row.pop("area", 0), len(THRESHOLDS))
            filled.append({**row, "area_curve": area, "overlap_curve": np.full(area.shape, -1)})
        return make_statistics(filled)

    return build


@pytest.fixture
def cases():
    """Function: a case table from split and label of c0, c1, …; each case its own patient."""

    def build(split, label, *, fold=None, finding="lesion"):
        case_id = [f"c{i}" for i in range(len(split))]
        return pd.DataFrame(
            {
                "case_id": case_id,
                "split": split,
                "fold": pd.array([fold] * len(split), dtype="Int64"),
                "patient_id": [f"p{i}" for i in range(len(split))],
                f"label_{finding}": np.array(label, dtype=float),
            }
        )

    return build
