"""The ledger: what was asked, what was left out, and how often."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from segclf.core.config import EvaluateSettings
from segclf.evaluate.decide import EXPLORATORY
from segclf.evaluate.estimates import Row
from segclf.evaluate.sample import Sample

AS_ASKED = (
    "images are treated as independent, as --unit case asks: if patients have several, the "
    "intervals are too narrow"
)
INDEPENDENT = (
    "images are treated as independent: no column says which belong together; if some do, the "
    "intervals are too narrow"
)


def are_independent(rows: pd.DataFrame) -> bool:
    """True if every case is its own patient, as where the manifest has no patient column."""
    return bool((rows["patient_id"].astype("str") == rows["case_id"].astype("str")).all())


def exclusion_rows(
    sample: Sample, place: np.ndarray, shortcut: str, feature: np.ndarray | None
) -> Iterator[Row]:
    """Cases of one finding that some numbers leave out, per method and reason.

    Args:
        sample: The evaluated rows.
        place: (row,) place in the case table; -1 where the case is not in it.
        shortcut: Name of the shortcut.
        feature: (row,) NaN where the shortcut is not known; None without a shortcut.
    """
    reasons = {
        "not in the case table: group 'missing'": place < 0,
        "no decision: left out of metrics of decisions": np.isnan(sample.decision),
        "no probability: left out of metrics of probabilities": np.isnan(sample.probability),
    }
    if feature is not None:
        reasons[f"{shortcut} is blank: left out of robust AUROC"] = np.isnan(feature)
    for index, method in enumerate(sample.methods):
        own = sample.method == index
        for reason, is_out in reasons.items():
            n_rows = int((own & is_out).sum())
            if n_rows:
                n_cases = len(np.unique(sample.case[own & is_out]))
                yield _entry(method, sample.finding, reason, n_rows, n_cases)
        n_unscored = len(sample.case_ids) - len(np.unique(sample.case[own]))
        if n_unscored:
            reason = "scored by another method only: methods differ in cases"
            yield _entry(method, sample.finding, reason, 0, n_unscored)


def make_ledger(
    scores: pd.DataFrame,
    rows: pd.DataFrame,
    exclusions: list[Row],
    settings: EvaluateSettings,
    *,
    unit: str,
) -> Row:
    """Settings, counts, exclusions and notes, as plain data."""
    is_independent = are_independent(rows)
    source = settings.threshold_from
    is_exploratory = source is not None and source.split(":")[0] == "test"
    notes = [EXPLORATORY] if is_exploratory else []
    independent = [AS_ASKED if settings.unit == "case" else INDEPENDENT] if is_independent else []
    return {
        "unit": unit,
        "images_independent": is_independent,
        "n_boot": settings.n_boot,
        "confidence": settings.confidence,
        "min_group": settings.min_group,
        "interval": settings.interval,
        "threshold_from": settings.threshold_from,
        "exploratory": is_exploratory,
        "deploy_prevalence": settings.deploy_prevalence,
        "margins": dict(settings.margins),
        "prespecified": list(settings.prespecified),
        "n_rows": len(scores),
        "n_rows_evaluated": len(rows),
        "exclusions": exclusions,
        "notes": [*independent, *notes],
    }


def nothing_of(method: str, finding: str) -> Row:
    """The entry of a method that scored no test case of a finding."""
    return _entry(method, finding, "the method scored no test case of this finding", 0, 0)


def _entry(method: str, finding: str, reason: str, n_rows: int, n_cases: int) -> Row:
    counts = {"n_rows": n_rows, "n_cases": n_cases}
    return {"method": method, "finding": finding, "reason": reason} | counts
