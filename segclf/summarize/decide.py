"""From values to decisions: what is compared, with which threshold, and where that came from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.errors import UsageError
from segclf.core.maskstats import THRESHOLDS, MaskStatistics, threshold_index
from segclf.core.settings import SummarizeSettings
from segclf.core.thresholds import describe_reached, fit_threshold, known_cases
from segclf.core.units import Area, parse_area
from segclf.summarize.area import check_unit, in_unit
from segclf.summarize.pixels import rows_of
from segclf.summarize.plane import fit_plane
from segclf.summarize.table import Summarizer


@dataclass(frozen=True)
class Decision:
    """What is compared with the threshold, per case, and how both came about."""

    value: np.ndarray
    threshold: float
    record: dict[str, Any]


@dataclass(frozen=True)
class Given:
    """What the user fixed; None is fitted."""

    t: float | None
    tau: Area | None
    unit: str
    """Unit of tau, given or fitted."""


def read_given(
    rule: str, summarizer: Summarizer, settings: SummarizeSettings, t: float | None, tau: str | None
) -> Given:
    """`--t` and `--tau` as the user typed them, checked against the rule.

    Raises:
        UsageError: The rule does not decide by area, or t or tau cannot be read.
    """
    if summarizer.decision is None:
        refuse_area(rule, t, tau)
    if t is not None:
        threshold_index(t)
    area = None if tau is None else parse_area(tau)
    return Given(t, area, settings.tau_unit if area is None else area.unit)


def refuse_area(rule: str, t: float | None, tau: str | None) -> None:
    """Raise a `UsageError` if t or tau is given for a rule that decides by its score."""
    if t is not None or tau is not None:
        option = f"--t {t:g}" if t is not None else f"--tau {tau}"
        raise UsageError(
            f"the rule {rule!r} does not decide by an area.",
            where=option,
            expected="--t and --tau with the rule tau or largest_component only",
            fix=f"leave {option} out, or choose --rule tau",
        )


def decide(
    statistics: MaskStatistics,
    cases: pd.DataFrame,
    finding: str,
    summarizer: Summarizer,
    given: Given,
    settings: SummarizeSettings,
) -> Decision:
    """What one finding in one fold is decided by; a threshold that is not given is fitted.

    Args:
        statistics: Of many masks.
        cases: Rows of `join_cases` of one fold, with `score`; only rows whose split is `val` are
            fitted on.
        finding: Which finding.
        summarizer: The rule.
        given: What the user fixed.
        settings: The objective.
    """
    if summarizer.decision is None:
        return decide_by_score(cases, settings)
    is_val, label = (cases["split"] == "val").to_numpy(), cases["label"].to_numpy()
    t, tau = given.t, None if given.tau is None else given.tau.value
    fit: dict[str, Any] = {}
    if summarizer.free_t and (t is None or tau is None):
        t, tau, fit = _fit_point(statistics, cases.loc[is_val], finding, given, settings)
    missing = t is not None and np.isnan(t)
    area = summarizer.decision(
        statistics, finding=finding, t=None if missing else t, unit=given.unit
    )
    value = np.full(len(cases), np.nan) if missing else area[cases["position"]]
    if tau is None:
        tau, fit = fit_threshold(value[is_val], label[is_val], settings)
    elif not fit:
        fit = _reached_by_given(value[is_val], label[is_val], tau, settings)
    head = {"decision_value": summarizer.decision.__name__, "unit": given.unit, "t": t}
    return Decision(value, tau, {**head, **fit, "threshold": tau})


def decide_by_score(cases: pd.DataFrame, settings: SummarizeSettings) -> Decision:
    """Decide by the score itself, at the threshold that is best on the rows whose split is `val`.

    Args:
        cases: `split`, `label` and `score` of one finding in one fold.
        settings: The objective.
    """
    is_val = (cases["split"] == "val").to_numpy()
    value, label = cases["score"].to_numpy(dtype=np.float64), cases["label"].to_numpy()
    threshold, record = fit_threshold(value[is_val], label[is_val], settings)
    return Decision(value, threshold, {"decision_value": "score", **record})


def _fit_point(
    statistics: MaskStatistics,
    cases: pd.DataFrame,
    finding: str,
    given: Given,
    settings: SummarizeSettings,
) -> tuple[float, float, dict[str, Any]]:
    """The best t and tau on these validation cases, one of which may be given."""
    all_rows = rows_of(statistics, finding)
    check_unit(statistics, all_rows, given.unit)
    rows = all_rows[cases["position"]]
    if rows.size == 0:
        _, _, record = known_cases(np.empty(0), np.empty(0), settings)
        return float("nan"), float("nan"), record
    return fit_plane(
        lambda column: in_unit(statistics.area_curve[rows, column], statistics, rows, given.unit),
        cases["label"].to_numpy(),
        settings,
        smallest_area=float(in_unit(np.ones(rows.size), statistics, rows, given.unit).min()),
        columns=range(len(THRESHOLDS)) if given.t is None else [threshold_index(given.t)],
        tau=None if given.tau is None else given.tau.value,
    )


def _reached_by_given(
    value: np.ndarray, label: np.ndarray, threshold: float, settings: SummarizeSettings
) -> dict[str, Any]:
    """What a threshold that the user gave reaches on validation cases; nothing was fitted."""
    known, positive, record = known_cases(value, label, settings)
    reached = {} if record["reason"] else describe_reached(known > threshold, positive, settings)
    return {**record, **reached, "fitted_on": None, "reason": None}
