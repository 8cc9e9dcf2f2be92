"""Small score tables, drawn case by case."""

import numpy as np
import pandas as pd
import pytest

from segclf.core.scoretable import COLUMNS


def _table(label, score, *, method="m", finding="lesion", threshold=0.5, **columns):
    n = len(label)
    score = np.asarray(score, dtype=np.float64)
    decision = np.where(np.isnan(score), np.nan, (score > threshold).astype(float))
    frame = pd.DataFrame(
        {
            "case_id": [f"c{i:04d}" for i in range(n)],
            "finding": finding,
            "method": method,
            "score": score,
            "decision_value": score,
            "threshold": threshold,
            "decision": decision,
            "probability": np.nan,
            "split": "test",
            "fold": pd.array([pd.NA] * n, dtype="Int64"),
            "seed": pd.array([pd.NA] * n, dtype="Int64"),
            "patient_id": [f"p{i:04d}" for i in range(n)],
            "label": np.asarray(label, dtype=np.float64),
        }
    )
    return frame.assign(**columns)[list(COLUMNS)]


@pytest.fixture
def table():
    """`table(label, score, **columns)`: a score table of test cases, one patient per case."""
    return _table


@pytest.fixture
def drawn():
    """`drawn(n, n_patients, seed)`: a score table of clustered cases, and their case table."""

    def draw(n=240, n_patients=80, seed=0, effect=1.2, **columns):
        rng = np.random.default_rng(seed)
        patient = rng.integers(0, n_patients, n)
        label = (rng.random(n) < 0.4).astype(float)
        score = rng.normal(size=n) + effect * label
        owner = [f"p{i:04d}" for i in patient]
        scores = _table(label, score, patient_id=owner, **columns)
        cases = pd.DataFrame(
            {
                "case_id": scores["case_id"],
                "sex": np.where(patient % 2 == 0, "F", "M"),
                "site": np.array(["A", "B", "C"])[patient % 3],
                "age_years": 20 + patient % 60,
                "tube": (rng.random(n) < np.where(label == 1, 0.7, 0.3)).astype(int),
                "target_size": np.where(label == 1, rng.choice(["small", "large"], n), None),
                "target_px": np.where(label == 1, 10.0 + np.arange(n), np.nan),
            }
        )
        return scores, cases

    return draw


@pytest.fixture
def row():
    """`row(frame, **columns)`: the only row that has these values, as a dict."""

    def find(frame, **columns):
        keep = np.logical_and.reduce([frame[name] == value for name, value in columns.items()])
        (found,) = frame[keep].to_dict("records")
        return found

    return find
