"""Mask statistics to a score table: rank, choose the cut on validation cases, decide, calibrate."""

from typing import Any

import numpy as np
import pandas as pd

from segclf.core.maskstats import MaskStatistics
from segclf.core.scoretable import empty_scores
from segclf.core.settings import SummarizeSettings
from segclf.summarize.decide import decide, read_given
from segclf.summarize.finish import finish
from segclf.summarize.join import count_unmatched, join_cases
from segclf.summarize.table import find_summarizer


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
            decision = decide(statistics, part, finding, summarizer, given, settings)
            table, fit = finish(part, finding, decision, settings, method=name, seed=seed)
            tables.append(table)
            fits.append(fit)
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
