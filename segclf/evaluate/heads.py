"""Metrics of exclusive heads: one category per case, from the one-vs-rest rows of a score table."""

from typing import Any

import numpy as np
import pandas as pd

from segclf.core.randomness import generator
from segclf.core.settings import EvaluateSettings
from segclf.evaluate.inference.auroc import auroc_of
from segclf.evaluate.inference.bootstrap_intervals import percentile

CASE = ["method", "seed", "fold", "split", "case_id", "patient_id", "head"]
RUN = ["seed", "fold"]
SUM_TOLERANCE = 1e-4
FLOOR = 1e-15
"""Least probability in a log loss, as in scikit-learn for float64."""


def class_predictions(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per case and head: the true category, the most probable one, and probabilities.

    Columns: those of `CASE`, `predicted` and its `probability`, `truth` and `truth_probability`
    (missing where it is not known). Both probabilities are missing for a method whose scores are
    none, since they do not add up to 1. Ties go to the category that comes
    first in the alphabet. Rows of findings, whose name has no `=`, are passed over.

    Args:
        scores: A score table; `finding` is `<head>=<category>` and `score` its probability.
    """
    is_class = scores["finding"].str.contains("=", regex=False) & scores["score"].notna()
    rows = scores.loc[is_class].sort_values(by="finding", kind="stable").reset_index(drop=True)
    head = rows["finding"].str.replace("=.*", "", regex=True)
    category = rows["finding"].str.replace("^[^=]*=", "", regex=True)
    rows = rows.assign(head=head, category=category, **rows[RUN].fillna(-1))
    best = rows.loc[rows.groupby(CASE)["score"].idxmax()]
    true = rows.loc[rows["label"] == 1, [*CASE, "category", "score"]]
    table = best[[*CASE, "category", "score"]].merge(true, on=CASE, how="left")
    names = ["predicted", "probability", "truth", "truth_probability"]
    table = table.set_axis([*CASE, *names], axis=1)
    total = rows.groupby(CASE)["score"].agg(["sum", "min"])
    is_share = (total["sum"] - 1).abs().lt(SUM_TOLERANCE) & total["min"].ge(0)
    of_method = is_share.groupby("method").all()
    for name in ("probability", "truth_probability"):
        table[name] = table[name].where(table["method"].map(of_method).astype(bool))
    return table.assign(**table[RUN].where(table[RUN] >= 0))


def head_rows(scores: pd.DataFrame, settings: EvaluateSettings, *, seed: int) -> pd.DataFrame:
    """Metrics of each head on test cases, one row per method, seed and head.

    `accuracy` has a percentile bootstrap interval over patients; `balanced_accuracy` is the mean
    recall of the categories that occur; `auroc` the mean over categories of the one-vs-rest AUROC,
    with folds of its mean over folds; `log_loss` is in nats; `most_frequent` the accuracy of always
    saying the most frequent category of these cases. What is undefined is missing, and `reason`
    says why.

    Args:
        scores: Score tables with rows of class columns, `<head>=<category>`.
        settings: Level of the intervals and number of resamples.
        seed: For the resamples.

    Source:
        Mosley, "A balanced approach to the multi-class imbalance problem" (2013) for balanced
        accuracy; Hand and Till, Machine Learning 45 (2001) review macro AUROC.
    """
    test = scores.loc[scores["split"] == "test"]
    predictions = class_predictions(test)
    found = []
    for _, cases in predictions.groupby(["method", "seed", "head"], sort=True, dropna=False):
        row = {name: cases[name].iloc[0] for name in ("method", "seed", "head")}
        is_own = test["finding"].str.startswith(f"{row['head']}=") & test["method"].eq(
            row["method"]
        )
        is_own &= test["seed"].isna() if pd.isna(row["seed"]) else test["seed"].eq(row["seed"])
        found.append(row | _metrics(cases, test.loc[is_own], settings, seed))
    return pd.DataFrame(found)


def _metrics(
    cases: pd.DataFrame, rows: pd.DataFrame, settings: EvaluateSettings, seed: int
) -> dict[str, Any]:
    known = cases.loc[cases["truth"].notna()]
    truth = known["truth"].to_numpy(str)
    n_categories = rows["finding"].nunique()
    counts = {
        "n": len(known),
        "n_unknown": len(cases) - len(known),
        "n_patients": known["patient_id"].nunique(),
        "n_categories": n_categories,
    }
    names = ("accuracy", "lo", "hi", "balanced_accuracy", "auroc", "log_loss", "most_frequent")
    if not len(known):
        nothing: dict[str, Any] = dict.fromkeys(names, np.nan)
        reason = f"none of {len(cases)} test cases has a known category"
        return {**counts, **nothing, "n_absent": n_categories, "reason": reason}
    hit = truth == known["predicted"].to_numpy(str)
    lo, hi, reason = accuracy_interval(hit, known["patient_id"].to_numpy(), settings, seed)
    auroc, absent = _macro_auroc(rows)
    if absent:
        text = f"no AUROC of {', '.join(absent)}: not both present and absent in the test cases"
        reason = "; ".join(filter(None, [text, reason]))
    probability = known["truth_probability"].to_numpy(float)
    if np.isnan(probability).any():
        reason = "; ".join(filter(None, ["no log loss: the scores are no probabilities", reason]))
    values = (
        float(hit.mean()),
        lo,
        hi,
        float(np.mean([hit[truth == name].mean() for name in np.unique(truth)])),
        auroc,
        float(-np.log(probability.clip(min=FLOOR)).mean()),
        float(np.unique(truth, return_counts=True)[1].max() / len(truth)),
    )
    values = dict(zip(names, values, strict=True))
    return {**counts, **values, "n_absent": len(absent), "reason": reason}


def accuracy_interval(
    hit: np.ndarray, patient: np.ndarray, settings: EvaluateSettings, seed: int
) -> tuple[float, float, str]:
    """Percentile interval of the share of hits, patients drawn with replacement."""
    number = pd.factorize(patient)[0]
    n_cases = np.bincount(number)
    n_hits = np.bincount(number, weights=hit)
    random = generator(seed, "heads")
    chosen = np.full(len(n_cases), 1 / len(n_cases))
    weights = random.multinomial(len(n_cases), chosen, size=settings.n_boot)
    lo, hi, _, reason = percentile((weights @ n_hits) / (weights @ n_cases), settings.confidence)
    return lo, hi, reason


def _macro_auroc(rows: pd.DataFrame) -> tuple[float, list[str]]:
    """Mean AUROC over categories (each the mean over its folds), and those that have none."""
    values, absent = [], []
    for finding, own in rows.groupby("finding", sort=True):
        known = own.loc[own["label"].notna()]
        per_fold = [
            auroc_of(part["score"].to_numpy(), part["label"].to_numpy() == 1).value
            for _, part in known.groupby("fold", dropna=False)
        ]
        defined = [value for value in per_fold if not np.isnan(value)]
        if defined:
            values.append(np.mean(defined))
        else:
            absent.append(str(finding))
    return (float(np.mean(values)) if values else np.nan), absent
