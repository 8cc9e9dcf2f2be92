"""What a run has shown on validation cases: Dice of its masks, AUROC of its scores."""

from typing import Any

import numpy as np
import pandas as pd

from segclf.core.atomic import read_json
from segclf.core.scoretable import read_scores
from segclf.core.statstable import read_statistics
from segclf.evaluate.inference.auroc import auroc_of, aurocs_of, mean_auroc
from segclf.evaluate.inference.compare import compare_paired
from segclf.evaluate.inference.delong import covariance, place
from segclf.evaluate.inference.intervals import auroc_interval
from segclf.experiment import Experiment
from segclf.stages import predicted_folders, split_frame

VAL = "val"
SEGMENTER = "segmenter"
MODEL = "model.json"
CONFIDENCE = 0.95
Row = dict[str, Any]


def run_numbers(exp: Experiment) -> dict[str, Row]:
    """Per finding: Dice, AUROC with interval, and the difference to a classifier, on validation.

    The score is the mean pixel probability. With folds the AUROC is the mean over them.
    """
    scores = validation_scores(exp)
    result: dict[str, Row] = {}
    cards = [exp.run.stage("segment", fold=fold) / MODEL for fold in exp.folds()]
    dice = [read_json(card)["validation"]["dice_positives"] for card in cards if card.is_file()]
    known = [value for value in dice if value is not None]
    for finding in exp.table.findings:
        own = scores.query("finding == @finding") if len(scores) else scores
        row: Row = {"dice": float(np.mean(known)) if known else None, "n_folds": len(dice)}
        row["auroc"] = _auroc(own.query("method == @SEGMENTER")) if len(own) else None
        others = sorted({*own["method"]} - {SEGMENTER}) if len(own) else []
        if row["auroc"] and others:
            row["difference"] = _difference(own, others[0])
        result[finding] = row
    return result


def validation_scores(exp: Experiment) -> pd.DataFrame:
    """Score per method, finding, validation case and fold; test rows are dropped unread."""
    parts = []
    keys = ["case_id", "fold"]
    frame = split_frame(exp.split, exp.table).query("split == 'val'")
    folders = predicted_folders(exp)
    if folders:
        statistics = read_statistics(folders).frame
        own = statistics.astype({"case_id": "str"}).assign(score=statistics["mean_p"])
        own = own[["case_id", "finding", "fold", "score"]].assign(method=SEGMENTER)
        own = own.merge(frame[[*keys, "patient_id"]].astype({"case_id": "str"}), on=keys)
        labels = frame.melt(
            id_vars=keys,
            value_vars=[f"label_{f}" for f in exp.table.findings],
            var_name="finding",
            value_name="label",
        )
        labels["finding"] = labels["finding"].str.removeprefix("label_")
        parts.append(own.merge(labels, on=[*keys, "finding"]))
    for path in sorted(exp.run.path.glob("classify/*/scores.parquet")):
        table = read_scores(path).query("split == 'val'")
        parts.append(
            table[["case_id", "finding", "fold", "score", "method", "patient_id", "label"]]
        )
    if not parts:
        return pd.DataFrame()
    table = pd.concat(parts, ignore_index=True).dropna(subset=["score", "label"])
    return table.query("finding in @exp.table.findings")


def _auroc(rows: pd.DataFrame) -> Row | None:
    """Mean AUROC over folds with an interval by patient; None if a class is missing."""
    fold = pd.factorize(rows["fold"].astype("string").fillna(""))[0]
    label = rows["label"].to_numpy(dtype=float) == 1
    if not len(rows) or label.all() or not label.any():
        return None
    score = rows["score"].to_numpy(dtype=float)
    patient = pd.factorize(rows["patient_id"].astype("string"))[0]
    if fold.max() == 0:
        found = auroc_of(score, label, patient)
    else:
        placed = place(score, label, fold.astype(np.int8))
        weight = mean_auroc(placed.auroc[None, None, :])[1]
        case = pd.factorize(rows["case_id"].astype("string"))[0]
        found = aurocs_of(placed, weight, patient, case)[0]
    lo, hi, how = auroc_interval(found, CONFIDENCE)
    return {
        "value": found.value, "lo": lo, "hi": hi, "interval": how,
        "n_positive": found.n_positive, "n_negative": found.n_negative,
    }  # fmt: skip


def _difference(rows: pd.DataFrame, other: str) -> Row | None:
    """Segmenter minus another method on the cases that both scored; None if undefined."""
    keys = ["case_id", "fold"]
    theirs = rows.query("method == @other")[[*keys, "score"]]
    both = rows.query("method == @SEGMENTER").merge(theirs, on=keys, suffixes=("", "_other"))
    label = both["label"].to_numpy(dtype=float) == 1
    if not len(both) or label.all() or not label.any():
        return None
    fold = pd.factorize(both["fold"].astype("string").fillna(""))[0]
    n_folds = int(fold.max()) + 1
    score = np.concatenate([both["score"], both["score_other"]]).astype(float)
    block = np.concatenate([fold, fold + n_folds]).astype(np.int8)
    placed = place(score, np.concatenate([label, label]), block)
    by_block = placed.auroc.reshape(2, 1, n_folds)
    mean, weight = mean_auroc(by_block)
    patient = pd.factorize(both["patient_id"].astype("string"))[0]
    v = covariance(placed, np.concatenate([patient, patient]), weight)
    found = compare_paired(float(mean[0] - mean[1]), float(v[0, 0] + v[1, 1] - 2 * v[0, 1]))
    if np.isnan(found.lo):
        return None
    return {"than": other, "value": found.difference, "lo": found.lo, "hi": found.hi}
