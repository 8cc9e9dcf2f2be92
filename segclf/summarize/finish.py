"""From scores to rows of the score table: decision and probability, the same for every method."""

from typing import Any

import numpy as np
import pandas as pd

from segclf.core.calibration import apply_calibration, fit_calibration
from segclf.core.operating import fit_points
from segclf.core.scoretable import COLUMNS
from segclf.core.settings import SummarizeSettings
from segclf.summarize.decide import Decision


def finish(
    cases: pd.DataFrame,
    finding: str,
    decision: Decision,
    settings: SummarizeSettings,
    *,
    method: str,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of the score table of one finding in one fold, and what was fitted for them.

    Args:
        cases: `case_id`, `fold`, `split`, `patient_id`, `label` and `score`; one fold.
        finding: Which finding.
        decision: What is compared with which threshold.
        settings: Calibration and operating points; the rows whose split is `val` are fitted on.
        method: Name in the table.
        seed: Goes into the table.
    """
    score = cases["score"].to_numpy(dtype=np.float64)
    undefined = np.isnan(decision.value) | np.isnan(decision.threshold) | np.isnan(score)
    table = cases.assign(
        finding=finding,
        method=method,
        seed=seed,
        decision_value=decision.value,
        threshold=decision.threshold,
        decision=np.where(undefined, np.nan, decision.value > decision.threshold),
        probability=np.nan,
    )
    fold = cases["fold"].to_numpy(dtype=np.float64, na_value=np.nan)[0]
    fit = {"finding": finding, "fold": None if np.isnan(fold) else int(fold), **decision.record}
    is_val, label = (cases["split"] == "val").to_numpy(), cases["label"].to_numpy()
    calibration = fit_calibration(score[is_val], label[is_val], settings.calibrate)
    table["probability"] = apply_calibration(score, calibration)
    points = fit_points(decision.value[is_val], label[is_val], settings)
    fit |= {"calibration": calibration, "operating_points": points}
    return table.loc[:, list(COLUMNS)].astype(COLUMNS), fit
