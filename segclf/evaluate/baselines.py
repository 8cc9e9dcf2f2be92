"""Trivial baselines: a metadata column as if it were a method."""

import numpy as np
import pandas as pd

from segclf.core.errors import UsageError
from segclf.core.scoretable import COLUMNS, check_scores
from segclf.core.settings import SummarizeSettings
from segclf.core.thresholds import fit_threshold
from segclf.evaluate.metrics import METRICS


def column_scores(
    cases: pd.DataFrame,
    column: str,
    *,
    finding: str,
    labels: pd.Series,
    split: pd.DataFrame,
    by_distance: bool = False,
    settings: SummarizeSettings | None = None,
) -> pd.DataFrame:
    """A score table that ranks cases by a number of the case table, method `column:<name>`.

    What such a baseline reaches (slice position, lesion area) is reachable without looking at
    the image. Whether more of it speaks for or against the finding, and the threshold, are
    fitted on validation cases, per fold. Cases without a value have no score; where validation
    has one class only, more counts as positive and there are no decisions.

    Args:
        cases: One row per case, with `case_id` and `column`.
        column: A numeric column.
        finding: The finding whose labels are ranked.
        labels: 1, 0 or NaN per case, indexed by case_id.
        split: `case_id`, `patient_id`, `split` and `fold`, one row per case and fold.
        by_distance: Rank by the distance from the mean of validation positives, for a column
            like slice position whose middle values are the positive ones; method
            `distance:<name>`.
        settings: Objective of the threshold; Youden's J if None.

    Raises:
        UsageError: There is no such column, or it is not numeric.
    """
    if column not in cases.columns or not pd.api.types.is_numeric_dtype(cases[column]):
        numeric = [str(name) for name in cases.select_dtypes("number").columns]
        raise UsageError(
            f"the column {column!r} cannot rank cases.",
            where=f"column:{column}",
            expected=f"a numeric column: {', '.join(numeric) or '(there is none)'}",
            fix="choose one of these",
        )
    method = f"{'distance' if by_distance else 'column'}:{column}"
    rows = split.loc[:, ["case_id", "patient_id", "split", "fold"]].reset_index(drop=True)
    value = pd.Series(cases[column].to_numpy(dtype=np.float64, na_value=np.nan), cases["case_id"])
    score = value.reindex(rows["case_id"]).to_numpy(copy=True)
    label = labels.astype(np.float64).reindex(rows["case_id"]).to_numpy()
    threshold = np.full(len(rows), np.nan)
    fold = rows["fold"].to_numpy(dtype=np.float64, na_value=-1)
    for k in np.unique(fold):
        fitted_on = (fold == k) & (rows["split"].to_numpy() == "val")
        known = fitted_on & ~np.isnan(score) & ~np.isnan(label)
        if by_distance:
            centre = score[known & (label == 1)]
            score[fold == k] = np.abs(score[fold == k] - (centre.mean() if len(centre) else 0.0))
        rank = METRICS["auroc"].function(label[known], score[known], np.ones(int(known.sum())))
        score[fold == k] *= -1.0 if rank < 0.5 else 1.0
        threshold[fold == k], _ = fit_threshold(
            score[fitted_on], label[fitted_on], settings or SummarizeSettings()
        )
    is_decided = ~np.isnan(score) & ~np.isnan(threshold)
    new = {
        "finding": finding,
        "method": method,
        "score": score,
        "decision_value": score,
        "threshold": threshold,
        "decision": np.where(is_decided, score > threshold, np.nan),
        "probability": np.nan,
        "seed": pd.array([pd.NA] * len(rows), dtype="Int64"),
        "label": label,
    }
    return check_scores(rows.assign(**new).loc[:, list(COLUMNS)], method)
