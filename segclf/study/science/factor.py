"""By what factor fewer images (or minutes) an arm needs to reach what another arm reaches."""

from typing import Any

import numpy as np
import pandas as pd

from segclf.study.science.crossed import (
    Crossed,
    Row,
    crossed,
    interval,
    lacking,
    patients_drawn,
)


def factor(
    scores: pd.DataFrame,
    arm: str,
    other: str,
    metric: str = "auroc",
    *,
    group: str | None = None,
    seed: int = 0,
) -> list[Row]:
    """Per regime and size of the other: its size over the size at which the arm is as good.

    Means over trainings, made monotone, interpolated in log size. `state` is "exact"; "at least"
    where the arm is as good at its smallest size already (`value` is then a lower bound);
    "at most" where it is not as good even at its largest (`value` is an upper bound). In the
    interval, a resample that only gives a bound counts as reaching from there to infinity (or
    0), so an end that was not measured is None.

    Args:
        scores: One row per regime, level, arm, seed and test case; `x` is the size.
        arm: Expected to need fewer.
        other: Expected to need more.
        metric: A name in METRICS.
        group: Judge its cases alone; None: all.
        seed: Of the resamples.

    Raises:
        ValueError: A size is not above 0, or a case comes twice in one training.
    """
    rows = []
    for regime, every in scores.groupby("regime", sort=False):
        draws = patients_drawn(every, seed)
        own = every if group is None else every.loc[every["group"] == group]
        sizes = {name: _sizes(own, name) for name in (arm, other)}
        places = [(level, name) for name in (arm, other) for level in sizes[name]]
        base: Row = {"regime": str(regime), "arm": arm, "other": other, "metric": metric}
        base["group"] = group
        if not sizes[arm] or not sizes[other]:
            lacks = arm if not sizes[arm] else other
            rows.append(base | _nothing(f"no training of {lacks}"))
            continue
        found = crossed(own, places, metric, draws)
        base |= found.counts
        if reason := lacking(metric, found.counts):
            rows.append(base | _nothing(reason))
            continue
        for number, (level, x) in enumerate(sizes[other].items()):
            row = _factor(found, list(sizes[arm].values()), list(sizes[other].values()), number)
            rows.append(base | {"level": level, "x": x} | row)
    return rows


def _nothing(reason: str) -> Row:
    empty = dict.fromkeys(("level", "x", "value", "state", "lo", "hi"))
    return empty | {"reason": reason}


def _sizes(scores: pd.DataFrame, arm: str) -> dict[str, float]:
    """Level to size, smallest first, of the levels at which the arm has scores."""
    rows = scores.loc[(scores["arm"] == arm) & scores["score"].notna(), ["level", "x"]]
    rows = rows.drop_duplicates("level").sort_values("x")
    if not (rows["x"] > 0).all():
        raise ValueError(f"sizes are above 0: got {rows['x'].tolist()} of {arm}.")
    return {str(level): float(x) for level, x in rows.itertuples(index=False)}


def _factor(
    found: Crossed, sizes: list[float], other_sizes: list[float], number: int
) -> dict[str, Any]:
    """At one size of the other."""
    means = found.means()
    own = monotone(means[: len(sizes)])
    aim = monotone(means[len(sizes) :])[number]
    least, most = size_reached(own, np.log(sizes), aim)
    log_n = np.log(other_sizes[number])
    low, high = log_n - most, log_n - least  # of the log factor; -inf and inf where not measured
    state = "at least" if np.isinf(high[0]) else "at most" if np.isinf(low[0]) else "exact"
    value = float(np.exp(high[0] if state == "at most" else low[0]))
    row: Row = {"value": value, "state": state, "aim": float(aim[0])}
    gradient = _gradient(len(sizes), number, len(means), np.log(sizes), log_n - np.log(value))
    freedom = found.freedom(gradient)
    lower, upper = interval(low[1:], freedom), interval(high[1:], freedom)
    row |= {"lo": _power(lower["lo"]), "hi": _power(upper["hi"])}
    undefined = [end["reason"] for end in (lower, upper) if "undefined" in end.get("reason", "")]
    open_ends = [name for name, end in (("lower", "lo"), ("upper", "hi")) if row[end] is None]
    if undefined:
        row["reason"] = undefined[0]
    elif open_ends:
        lie = "it lies" if len(open_ends) == 1 else "they lie"
        row["reason"] = f"no {' and no '.join(open_ends)} end: {lie} beyond the sizes of the study"
    row["share_at_least"] = float(np.isinf(high[1:]).mean())
    row["share_at_most"] = float(np.isinf(low[1:]).mean())
    return row


def _power(value: float | None) -> float | None:
    return None if value is None else float(np.exp(value))


def _gradient(
    n_sizes: int, number: int, n_means: int, log_sizes: np.ndarray, reached: float
) -> list[float]:
    """Of the arm's mean where it is as good, minus the other's: what makes the factor vary."""
    gradient = np.zeros(n_means)
    unit = np.eye(n_sizes)
    gradient[:n_sizes] = [np.interp(reached, log_sizes, unit[k]) for k in range(n_sizes)]
    gradient[n_sizes + number] = -1
    return gradient.tolist()


def monotone(values: np.ndarray) -> np.ndarray:
    """(size, resample) least-squares fit that never falls with size; NaN stays.

    Source:
        Min-max formula, Barlow and Brunk, J Am Stat Assoc 67 (1972) 140. Witness:
        `sklearn.isotonic.IsotonicRegression`.
    """
    n = len(values)
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    fit = np.empty_like(values)
    for k in range(n):
        means = [
            np.min([(sums[j + 1] - sums[i]) / (j + 1 - i) for j in range(k, n)], axis=0)
            for i in range(k + 1)
        ]
        fit[k] = np.max(means, axis=0)
    return fit


def size_reached(
    values: np.ndarray, log_sizes: np.ndarray, aim: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(resample,) least and largest log size at which the aim may be reached first.

    Both are the same where it lies between two sizes; (-inf, smallest) where the smallest size
    reaches it; (largest, inf) where none does; NaN with NaN.

    Args:
        values: (size, resample), never falling with size.
        log_sizes: (size,), rising.
        aim: (resample,).
    """
    below = (values < aim).sum(axis=0)  # sizes that do not reach it come first
    after = np.clip(below, 1, len(values) - 1) if len(values) > 1 else np.zeros_like(below)
    before = np.maximum(after - 1, 0)
    column = np.arange(values.shape[1])
    low, high = values[before, column], values[after, column]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (aim - low) / (high - low)
        between = log_sizes[before] + share * (log_sizes[after] - log_sizes[before])
    is_first, is_never = below == 0, below == len(values)
    least = np.where(is_first, -np.inf, np.where(is_never, log_sizes[-1], between))
    most = np.where(is_first, log_sizes[0], np.where(is_never, np.inf, between))
    unknown = np.isnan(values).any(axis=0) | np.isnan(aim)
    return np.where(unknown, np.nan, least), np.where(unknown, np.nan, most)
