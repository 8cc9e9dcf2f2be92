"""The one place where a cut point is chosen: exact over every cut, on validation cases only.

A case is called positive if its value is *above* the threshold. Between two neighbouring values
every threshold makes the same decisions, so a cut is an interval, and the best cuts form plateaus.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from segclf.core.errors import UsageError
from segclf.core.settings import SummarizeSettings

MAX_WORTH = 2**62


@dataclass(frozen=True)
class Objective:
    """What a cut is worth, in whole numbers, so that equal cuts are exactly equal.

    A cut with enough true positives and true negatives is worth `worth` (at least 0); another one
    is worth `short_worth` (below 0), which still prefers what comes closest to the target.
    """

    n_positive: int
    n_negative: int
    worth: tuple[int, int]
    """Value of one true positive and of one true negative."""
    short_worth: tuple[int, int] = (0, 0)
    needed: tuple[int, int] = (0, 0)
    """Fewest true positives and true negatives that meet the target."""

    def value(self, n_true_positive: np.ndarray, n_true_negative: np.ndarray) -> np.ndarray:
        """The worth of cuts with these counts, int64; the larger the better."""
        tp = np.asarray(n_true_positive, dtype=np.int64)
        tn = np.asarray(n_true_negative, dtype=np.int64)
        shortfall = (self.n_positive + 1) * (self.n_negative + 1)
        return np.where(
            (tp >= self.needed[0]) & (tn >= self.needed[1]),
            tp * self.worth[0] + tn * self.worth[1],
            tp * self.short_worth[0] + tn * self.short_worth[1] - shortfall,
        )


@dataclass(frozen=True)
class Cuts:
    """Every cut of one column of values; cut i is a threshold in [start[i], start[i + 1])."""

    start: np.ndarray
    """Ascending; the last cut has no upper end."""
    n_true_positive: np.ndarray
    n_true_negative: np.ndarray


def make_objective(settings: SummarizeSettings, *, n_positive: int, n_negative: int) -> Objective:
    """The objective that `settings` name, for so many positive and negative cases.

    `youden` maximizes sensitivity + specificity - 1. `sensitivity` (`specificity`) reaches at
    least the target and then maximizes the other one. `cost` minimizes
    cost_ratio * missed positives + false alarms.

    Args:
        settings: `objective`, `target`, `cost_ratio`.
        n_positive: Positive cases that the cut is chosen on.
        n_negative: Negative cases.

    Raises:
        UsageError: The target is missing, or given for an objective that has none, or the cost
            ratio is too extreme for exact counting.

    Source:
        Youden, Cancer 3 (1950) 32-35.
    """
    _check_target(settings)
    if settings.objective == "youden":
        return Objective(n_positive, n_negative, worth=(n_negative, n_positive))
    if settings.objective == "cost":
        ratio = Fraction(repr(settings.cost_ratio))
        worth = (ratio.numerator, ratio.denominator)
        if max(worth) * (n_positive + n_negative) > MAX_WORTH:
            raise UsageError(
                f"a cost ratio of {settings.cost_ratio!r} cannot be counted exactly.",
                where="summarize.cost_ratio",
                expected="a ratio with few digits, for example 10 or 0.25",
                fix="round the ratio",
            )
        return Objective(n_positive, n_negative, worth=worth)
    share = Fraction(repr(float(settings.target or 0.0)))
    sensitive, specific = (n_negative + 1, 1), (1, n_positive + 1)
    if settings.objective == "sensitivity":
        needed = (_round_up(share * n_positive), 0)
        return Objective(n_positive, n_negative, specific, sensitive, needed)
    needed = (0, _round_up(share * n_negative))
    return Objective(n_positive, n_negative, sensitive, specific, needed)


def list_cuts(value: np.ndarray, label: np.ndarray, *, floor: float = -np.inf) -> Cuts:
    """Every distinct cut of `value`, with the cases on the right side of each.

    Args:
        value: (case,) finite numbers, none below `floor`.
        label: (case,) true for positive cases.
        floor: Lowest threshold; 0 for areas, since "more than -1 px" means nothing.
    """
    order = np.argsort(value)
    ascending = value[order]
    last = np.flatnonzero(np.append(ascending[1:] != ascending[:-1], True))
    positives_up_to = np.cumsum(label[order], dtype=np.int64)
    n_positive = int(positives_up_to[-1])
    start, missed = ascending[last].astype(np.float64), positives_up_to[last]
    n_true_negative = last + 1 - missed
    if start[0] > floor:  # a threshold below every value calls every case positive
        start = np.append(floor, start)
        missed, n_true_negative = np.append(0, missed), np.append(0, n_true_negative)
    return Cuts(start, n_positive - missed, n_true_negative)


def best_runs(cuts: Cuts, objective: Objective) -> tuple[int, np.ndarray]:
    """The best worth of any cut, and where it is reached.

    Returns:
        The worth, and (run, 2) lower (inclusive) and upper (exclusive) ends of each unbroken
        stretch of thresholds that reach it; the ends may be infinite.
    """
    value = objective.value(cuts.n_true_positive, cuts.n_true_negative)
    best = int(value.max())
    edge = np.diff((value == best).astype(np.int8), prepend=0, append=0)
    first, behind = np.flatnonzero(edge == 1), np.flatnonzero(edge == -1)
    ends = np.append(cuts.start, np.inf)
    return best, np.column_stack([ends[first], ends[behind]])


def centres(
    runs: np.ndarray, *, lowest: np.ndarray | float, highest: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """The middle and the width of stretches of thresholds, both (run,).

    An open end counts as the outermost value seen, and what lies wholly below all values has
    width 0. A stretch belongs to its own middle: rounding never moves it out.

    Args:
        runs: (run, 2) lower (inclusive) and upper (exclusive) ends.
        lowest: Smallest value of the column, one or (run,).
        highest: Largest value of the column, one or (run,).
    """
    low, high = np.maximum(runs[:, 0], lowest), np.minimum(runs[:, 1], highest)
    middle = low + (high - low) / 2
    middle = np.where(middle < runs[:, 1], middle, low)
    step = np.maximum(1.0, np.abs(lowest)) / 2
    below = np.minimum(lowest - step, np.nextafter(lowest, -np.inf))
    return np.where(runs[:, 1] <= lowest, below, middle), np.maximum(high - low, 0.0)


def fit_threshold(
    decision_value: np.ndarray, label: np.ndarray, settings: SummarizeSettings
) -> tuple[float, dict[str, Any]]:
    """The threshold that serves the objective best on validation cases, and how it was found.

    Every cut is tried. Of several best cuts the widest unbroken stretch wins (then the larger
    threshold), and the threshold is its centre. Undefined (NaN, with the reason in the record) if
    the cases with a known label are not of both classes.

    Args:
        decision_value: (case,) what is compared with the threshold, for validation cases only;
            NaN is left out and counted.
        label: (case,) 1, 0, or NaN for not known, which is left out and counted.
        settings: The objective.

    Returns:
        The threshold (positive means above it), and a record of plain data: the counts, the
        objective, what it reached, the stretch, and `reason` where there is no threshold.

    Raises:
        ValueError: The arrays differ in shape, or a value is infinite.
        UsageError: The objective lacks its target.
    """
    value, positive, record = known_cases(decision_value, label, settings)
    if record["reason"] is not None:
        return float("nan"), record
    objective = make_objective(
        settings, n_positive=record["n_positive"], n_negative=record["n_negative"]
    )
    cuts = list_cuts(value, positive)
    _, runs = best_runs(cuts, objective)
    middle, width = centres(runs, lowest=value.min(), highest=value.max())
    chosen = np.flatnonzero(width == width.max())[-1]
    threshold = float(middle[chosen])
    reached = describe_reached(value > threshold, positive, settings)
    stretch = [None if np.isinf(end) else float(end) for end in runs[chosen]]
    return threshold, {**record, "threshold": threshold, "stretch": stretch, **reached}


def known_cases(
    decision_value: np.ndarray, label: np.ndarray, settings: SummarizeSettings
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Values and truth of the cases that a fit may use, and the head of its record."""
    decision_value = np.asarray(decision_value, dtype=np.float64)
    label = np.asarray(label, dtype=np.float64)
    if decision_value.shape != label.shape or label.ndim != 1:
        raise ValueError(
            f"one value per label is needed: got {decision_value.shape} and {label.shape}."
        )
    if np.isinf(decision_value).any():
        raise ValueError(f"{int(np.isinf(decision_value).sum())} values are infinite.")
    known, present = ~np.isnan(label), ~np.isnan(decision_value)
    positive = label[known & present] == 1
    record = {
        "fitted_on": "val",
        **describe_objective(settings),
        "n": int(positive.size),
        "n_positive": int(positive.sum()),
        "n_negative": int((~positive).sum()),
        "n_unknown_label": int((~known).sum()),
        "n_missing_value": int((known & ~present).sum()),
        "reason": one_class_reason(positive),
    }
    return decision_value[known & present], positive, record


def one_class_reason(positive: np.ndarray) -> str | None:
    """Why nothing can be fitted on cases with these labels; None if something can."""
    if positive.size == 0:
        return "no validation case has a known label"
    if positive.all():
        return f"all {positive.size} validation cases are positive"
    return None if positive.any() else f"all {positive.size} validation cases are negative"


def describe_objective(settings: SummarizeSettings) -> dict[str, Any]:
    """The objective as plain data."""
    _check_target(settings)
    extra = {"cost_ratio": settings.cost_ratio} if settings.objective == "cost" else {}
    extra = extra if settings.target is None else {"target": settings.target}
    return {"objective": settings.objective, **extra}


def describe_reached(
    decision: np.ndarray, positive: np.ndarray, settings: SummarizeSettings
) -> dict[str, Any]:
    """What decisions reach on the cases they were fitted on, as plain data.

    `value` is Youden's J, the specificity (for a target sensitivity), the sensitivity (for a
    target specificity), or the mean cost per case with a false alarm costing 1.
    """
    n_missed = int((positive & ~decision).sum())
    n_false_alarms = int((~positive & decision).sum())
    sensitivity = int((positive & decision).sum()) / int(positive.sum())
    specificity = int((~positive & ~decision).sum()) / int((~positive).sum())
    value = {
        "youden": sensitivity + specificity - 1.0,
        "sensitivity": specificity,
        "specificity": sensitivity,
        "cost": (settings.cost_ratio * n_missed + n_false_alarms) / positive.size,
    }[settings.objective]
    aimed = {"sensitivity": sensitivity, "specificity": specificity}.get(settings.objective)
    return {
        "value": value,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "target_reached": None if aimed is None else bool(aimed >= (settings.target or 0.0)),
    }


def _check_target(settings: SummarizeSettings) -> None:
    needs_target = settings.objective in ("sensitivity", "specificity")
    if needs_target == (settings.target is not None):
        return
    raise UsageError(
        f"the objective {settings.objective!r} "
        + ("has no target." if needs_target else f"takes no target ({settings.target!r})."),
        where="summarize.target",
        expected="a share from 0 to 1 for sensitivity and specificity, none for youden and cost",
        fix="--set summarize.target=0.95"
        if needs_target
        else "--set summarize.objective=sensitivity, or leave the target out",
    )


def _round_up(number: Fraction) -> int:
    return -(-number.numerator // number.denominator)
