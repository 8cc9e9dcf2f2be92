"""A small report: two methods, one grouping, made by hand so that every number is known."""

import numpy as np
import pandas as pd
import pytest

from segclf.report import GalleryItem, Plane, ReportContent

COUNTS = {
    "n_cases": 40, "n_patients": 20, "n_positive": 16, "n_negative": 24,
    "n_positive_patients": 8, "n_negative_patients": 12, "n_boot_usable": 1000,
}  # fmt: skip


def metric_row(method, column, group, metric, estimate, lo, hi, reason=""):
    row = {"method": method, "finding": "lesion", "group_column": column, "group": group}
    row |= {"metric": metric, "estimate": estimate, "lo": lo, "hi": hi, "reason": reason}
    row |= COUNTS | {"interval": "percentile, patient bootstrap", "negatives": "of the group"}
    blank = ("p_worst", "design_effect", "shrunken", "shrunken_lo", "shrunken_hi", "fold_min")
    blank += ("fold_max", "seed_min", "seed_max")
    return row | dict.fromkeys(blank, np.nan) | {"n_folds": 1, "n_seeds": 1}


@pytest.fixture(scope="session")
def metrics():
    rows = []
    for method, shift in (("tau", 0.0), ("sigmoid", -0.2)):
        for column, group in (("all", "all"), ("sex", "F"), ("sex", "M")):
            rows.append(metric_row(method, column, group, "auroc", 0.9 + shift, 0.8 + shift, 0.95))
            rows.append(metric_row(method, column, group, "sensitivity", 0.75, 0.6, 0.9))
            rows.append(metric_row(method, column, group, "specificity", 0.6, 0.5, 0.7))
    frame = pd.DataFrame(rows)
    rare = (frame["group"] == "M") & (frame["metric"] == "auroc") & (frame["method"] == "tau")
    frame.loc[rare, ["estimate", "lo", "hi"]] = np.nan
    frame.loc[rare, "reason"] = "3 positive patients (fewer than 5)"
    return frame


@pytest.fixture(scope="session")
def scores():
    rng = np.random.default_rng(0)
    label = np.tile([1.0, 0.0], 20)
    tables = []
    for method in ("tau", "sigmoid"):
        tables.append(
            pd.DataFrame(
                {
                    "case_id": [f"case{i:02d}" for i in range(40)],
                    "finding": "lesion",
                    "method": method,
                    "score": label + rng.standard_normal(40),
                    "split": "test",
                    "fold": pd.array([pd.NA] * 40, dtype="Int64"),
                    "seed": pd.array([0] * 40, dtype="Int64"),
                    "patient_id": [f"SECRET-{i // 2}" for i in range(40)],
                    "label": label,
                }
            )
        )
        tables[-1]["decision_value"] = tables[-1]["score"]
        tables[-1]["threshold"] = 0.5
        tables[-1]["decision"] = (tables[-1]["score"] > 0.5).astype(float)
        tables[-1]["probability"] = np.nan
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="session")
def missed():
    """A lesion of 4 pixels at the left; the only prediction is a single pixel 5 columns on."""
    truth = np.zeros((12, 16), np.uint8)
    truth[5:7, 2:4] = 1
    probability = np.full((12, 16), 0.01)
    probability[5:7, 2:4] = [[0.2, 0.3], [0.15, 0.1]]
    probability[5, 8] = 0.9
    image = np.arange(12 * 16, dtype=np.uint8).reshape(1, 12, 16)
    return GalleryItem(
        case_id="case07", method="tau", finding="lesion", kind="missed", image=image, truth=truth,
        probability=probability, t=0.5, tau=2.0, unit="px",
    )  # fmt: skip


@pytest.fixture(scope="session")
def content(metrics, scores, missed):
    grid = {"method": "tau", "finding": "lesion", "shortcut": "tube", "reason": ""}
    grid |= {"estimate": 0.8, "lo": 0.7, "hi": 0.9, "n_positive": 7, "n_negative": 9}
    robust = grid | {"quantity": "robust", "definition": "positives without it"}
    gap = {
        "method": "tau", "finding": "lesion", "group_column": "sex", "metric": "auroc",
        "worst_group": "F", "worst": 0.9, "worst_corrected": 0.91, "worst_probability": 1.0,
        "worst_bound": 0.8, "best_group": None, "best": np.nan, "gap": np.nan,
        "gap_corrected": np.nan, "sd": np.nan, "sd_corrected": np.nan, "n_groups": 1,
        "left_out": "M: 3 positive patients (fewer than 5)", "n_boot_usable": 0,
        "reason": "a gap needs two groups", "note": "raw",
    }  # fmt: skip
    t, tau = np.array([0.1, 0.5, 0.9]), np.array([0.0, 1.0, 10.0])
    return ReportContent(
        title="A small study",
        data="user",
        question="Is it so?",
        counts=pd.DataFrame({"split": ["train", "test"], "cases": [60, 40]}),
        metrics=metrics,
        scores=scores,
        unit_name="study",
        gaps=pd.DataFrame([gap]),
        robust=pd.DataFrame([robust]),
        grid=pd.DataFrame([grid | {"positives": "without", "negatives": "with"}]),
        overlap=pd.DataFrame([
            metric_row("segmenter", "all", "all", "dice", 0.61, 0.5, 0.7),
            metric_row("segmenter", "all", "all", "surface_dice", 0.55, 0.4, 0.6)
            | {"tolerance_mm": 2.0},
            metric_row("segmenter", "sex", "F", "surface_dice", 0.5, 0.3, 0.6)
            | {"tolerance_mm": 2.0},
            metric_row("segmenter", "all", "all", "hd95_mm", np.nan, np.nan, np.nan,
                       "7 of 7 cases left out: no spacing in mm"),
        ]),
        planes=[Plane("lesion", t, tau, np.eye(3), "Youden's J", "px", (0.5, 1.0))],
        training={
            "segmenter": [
                {"kind": "train", "step": 10, "loss": 1.0},
                {"kind": "validate", "step": 10, "loss": 0.9, "auroc": 0.7, "dice_positives": 0.2,
                 "false_positive_rate": 0.5, "is_best": True},
            ],
            "sigmoid": [{"kind": "validate", "step": 10, "loss": 0.8, "auroc": None,
                            "dice_positives": None, "false_positive_rate": None, "is_best": False}],
        },
        gallery=[missed],
        recipe="manifest: /home/someone/data/manifest.csv\nseed: 0\n",
        provenance={"Versions": {"segclf": "0.1.0"}, "Hashes": {"data": "C:\\x\\y\\m.csv ab12"}},
        ledger={
            "confidence": 0.95, "n_boot": 1000, "notes": ["images are independent"],
            "exclusions": [{"method": "tau", "finding": "lesion", "reason": "no label",
                            "n_rows": 2, "n_cases": 2}],
        },
        quarantined=[{"case_id": "case99", "reason": "truncated", "message": "ends early"}],
    )  # fmt: skip
