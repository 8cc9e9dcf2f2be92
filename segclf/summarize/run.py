"""Mask statistics to a score table: rank, choose the cut on validation cases, decide, calibrate."""

from typing import Any

import numpy as np
import pandas as pd

from segclf.core.calibration import apply_calibration, fit_calibration
from segclf.core.maskstats import MaskStatistics
from segclf.core.operating import fit_points
from segclf.core.scoretable import COLUMNS, empty_scores
from segclf.core.settings import SummarizeSettings
from segclf.summarize.decide import Given, decide, read_given
from segclf.summarize.join import count_unmatched, join_cases
from segclf.summarize.table import Summarizer, find_summarizer


def summarize(
    statistics: MaskStatistics,
    frame: pd.DataFrame,
    rule: str,
    settings: SummarizeSettings,
    *,
    t: float | None = None,
    tau: str | None = None,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The score table of one rule, and the record of what was fitted, on how many, for what.

    Thresholds and calibrations are fitted per finding and fold on the rows of `frame` whose split
    is `val` and whose label is known; labels of other rows are only copied into the table. Cases
    without statistics get no row; the record counts them.

    Args:
        statistics: Of validation and test cases, of one or several folds.
        frame: One row per case and fold: `case_id`, `split`, `patient_id`, `fold` (missing
            without folds), `label_<finding>`. Statistics without a fold belong to every fold.
        rule: A name of `SUMMARIZERS`, an alias, or a plug-in.
        settings: Objective, unit and the rules' own options.
        t: Probability threshold of a pixel, for rules that decide by area; None fits it.
        tau: Area such as `20px`, for rules that decide by area; None fits it.
        seed: Goes into the table.

    Returns:
        A score table, and a record for `write_scores`; each entry of its `fits` tells the
        threshold of one finding in one fold and, where it is undefined, the reason.

    Raises:
        UsageError: The rule, an option, t, tau or its unit does not fit.
        DataError: A case appears twice in a fold, or a column of `frame` is missing.
    """
    name, summarizer = find_summarizer(rule)
    given = read_given(name, summarizer, settings, t, tau)
    findings = [str(finding) for finding in statistics.frame["finding"].unique()]
    tables, fits = [empty_scores()], []
    for finding in findings:
        options = {option: getattr(settings, option) for option in summarizer.options}
        score = summarizer.score(statistics, finding=finding, **options)
        cases = join_cases(statistics, frame, finding)
        cases["score"] = np.asarray(score, dtype=np.float64)[cases["position"]]
        for _, part in cases.groupby("fold", dropna=False):
            table, fit = _score_fold(statistics, part, finding, summarizer, given, settings)
            tables.append(
                table.assign(method=name, seed=seed).loc[:, list(COLUMNS)].astype(COLUMNS)
            )
            fits.append({"finding": finding, **fit})
    scores = pd.concat(tables, ignore_index=True)
    n_px = statistics.frame["n_px"].to_numpy()
    record = {
        "rule": name,
        "seed": seed,
        "given": {"t": t, "tau": tau},
        "settings": settings.model_dump(mode="json"),
        "n_cases": len(set(scores["case_id"])),
        **count_unmatched(statistics, frame),
        "image_px": [int(n_px.min()), int(n_px.max())] if len(n_px) else None,
        "fits": fits,
    }
    return scores, record


def _score_fold(
    statistics: MaskStatistics,
    cases: pd.DataFrame,
    finding: str,
    summarizer: Summarizer,
    given: Given,
    settings: SummarizeSettings,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Scores and decisions of one finding in one fold, and what was fitted for them."""
    score = cases["score"].to_numpy()
    decision = decide(statistics, cases, finding, summarizer, given, settings)
    undefined = np.isnan(decision.value) | np.isnan(decision.threshold) | np.isnan(score)
    table = cases.drop(columns="position").assign(
        finding=finding,
        decision_value=decision.value,
        threshold=decision.threshold,
        decision=np.where(undefined, np.nan, decision.value > decision.threshold),
        probability=np.nan,
    )
    fold = cases["fold"].to_numpy(dtype=np.float64, na_value=np.nan)[0]
    fit = {"fold": None if np.isnan(fold) else int(fold), **decision.record}
    is_val, label = (cases["split"] == "val").to_numpy(), cases["label"].to_numpy()
    calibration = fit_calibration(score[is_val], label[is_val], settings.calibrate)
    table["probability"] = apply_calibration(score, calibration)
    points = fit_points(decision.value[is_val], label[is_val], settings)
    return table, {**fit, "calibration": calibration, "operating_points": points}
