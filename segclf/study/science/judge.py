"""What the scores of a study say: curves, paired differences and trends, with intervals."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from segclf.evaluate.inference.multiplicity import holm
from segclf.study.science.crossed import (
    ONE_TRAINING,
    Crossed,
    Draws,
    Row,
    crossed,
    interval,
    lacking,
    patients_drawn,
)

_T_TEST = "paired t test: difference over its standard error, both over {} and patients drawn anew "
_T_TEST += "together, degrees of freedom after Satterthwaite"
P_METHOD = {
    "trainings": _T_TEST.format("trainings"),
    "folds": f"{_T_TEST.format('folds')}; folds differ by their patients too, whose noise counts "
    "about twice, so p is too large rather than too small; that folds share training cases is not "
    "seen",
    "one": "none, and intervals are of patients alone: one training, whose noise is not known",
}
"""What is done with several trainings on one split, with folds, and with one training in all."""


def curve(
    scores: pd.DataFrame, metric: str, *, group: str | None = None, seed: int = 0
) -> list[Row]:
    """Per regime, level and arm: mean over trainings, its 95 % interval, each, and the counts.

    Undefined values are None, with the reason. Trainings (or folds) and patients are drawn anew
    together; the interval of one training is of patients alone.

    Args:
        scores: One row per regime, level, arm, seed and test case.
        metric: A name in METRICS.
        group: Judge its cases alone; None: all.
        seed: Of the resamples.

    Raises:
        ValueError: A case comes twice in one training, or with two labels.

    Source:
        Percentile bootstrap of two crossed factors, Owen, Ann Appl Stat 1 (2007) 386, with tails
        for few trainings (`crossed.tail_of`).
    """
    rows = []
    for regime, own, draws in _regimes(scores, group, seed):
        for level, x, arm in _places(own, "arm"):
            found = crossed(own, [(level, arm)], metric, draws)
            row: Row = {"regime": regime, "level": level, "x": x, "arm": arm, "metric": metric}
            row |= {"group": group, **_summary(found, [1.0])}
            if reason := lacking(metric, found.counts):
                row |= {"value": None, "reason": reason}
            each = zip(found.counts["seeds"], found.value[0, 0], strict=True)
            row["each"] = {str(number): float(value) for number, value in each}
            rows.append(row | found.counts)
    return rows


def paired(
    scores: pd.DataFrame,
    arm: str,
    other: str,
    metric: str,
    *,
    group: str | None = None,
    seed: int = 0,
) -> list[Row]:
    """Per regime and level: an arm minus another, absolute and in % of the other.

    Only trainings and cases that both have count. `p` is of `P_METHOD`, or None with its
    `p_reason`, as with one training; `p_adjusted` pays for all regimes and levels of this call
    (Holm); intervals are of one comparison each. A resample in which the other's value is 0 makes
    the relative difference infinite.

    Args:
        scores: One row per regime, level, arm, seed and test case.
        arm: Compared.
        other: With this.
        metric: A name in METRICS.
        group: Judge its cases alone; None: all.
        seed: Of the resamples.

    Raises:
        ValueError: A case comes twice in one training, or with two labels.
    """
    rows = []
    for regime, own, draws in _regimes(scores, group, seed):
        for level, x in _places(own):
            row: Row = {"regime": regime, "level": level, "x": x, "arm": arm, "other": other}
            row |= {"metric": metric, "group": group}
            rows.append(row | _pair(own, (level, arm), (level, other), metric, draws))
    return _adjusted(rows)


def trend(
    scores: pd.DataFrame,
    order: Sequence[str],
    metric: str,
    *,
    along: str = "arm",
    group: str | None = None,
    seed: int = 0,
) -> list[Row]:
    """Per regime and level (or arm): the paired difference of each two neighbours of an order.

    `is_rising`: every difference has an interval above 0. That all hold is one hypothesis, so the
    level of each test is that of all together (intersection-union test) and nothing is adjusted.

    Args:
        scores: One row per regime, level, arm, seed and test case.
        order: Arms (or levels), expected lowest first.
        metric: A name in METRICS.
        along: "arm": arms at each level; "level": levels of each arm.
        group: Judge its cases alone; None: all.
        seed: Of the resamples.

    Raises:
        ValueError: `along` is neither, or a case comes twice in one training.

    Source:
        Berger, Technometrics 24 (1982) 295.
    """
    if along not in ("arm", "level"):
        raise ValueError(f"along is arm or level: got {along!r}.")
    across = "level" if along == "arm" else "arm"
    rows = []
    for regime, own, draws in _regimes(scores, group, seed):
        for (name,) in own.loc[:, [across]].drop_duplicates().itertuples(index=False):
            spots = [(name, end) if along == "arm" else (end, name) for end in order]
            pairs = zip(order[1:], order[:-1], spots[1:], spots[:-1], strict=True)
            steps = [
                {"first": first, "second": second, **_pair(own, spot, before, metric, draws)}
                for first, second, spot, before in pairs
            ]
            row: Row = {"regime": regime, across: name, "order": list(order), "metric": metric}
            lows = [step["difference"]["lo"] for step in steps]
            known = all(step["value"] is not None for step in steps)
            is_rising = all(low is not None and low > 0 for low in lows) if known else None
            rows.append(row | {"group": group, "steps": steps, "is_rising": is_rising})
    return rows


def _regimes(
    scores: pd.DataFrame, group: str | None, seed: int
) -> Iterator[tuple[str, pd.DataFrame, Draws]]:
    for regime, own in scores.groupby("regime", sort=False):
        draws = patients_drawn(own, seed)
        yield str(regime), own if group is None else own.loc[own["group"] == group], draws


def _places(scores: pd.DataFrame, *more: str) -> Iterator[tuple]:
    """Levels in the order of their x, those without one as they come."""
    rows = scores.loc[:, ["level", "x", *more]].drop_duplicates(["level", *more])
    for level, x, *rest in rows.sort_values("x", kind="stable").itertuples(index=False):
        yield level, None if pd.isna(x) else float(x), *rest


def _summary(found: Crossed, gradient: Sequence[float]) -> Row:
    """A weighted sum of the means of the conditions, with its interval."""
    if not found.n_seeds:
        return {"value": None, "lo": None, "hi": None}
    values = np.tensordot(gradient, found.means(), axes=1)
    return {"value": float(values[0]), **interval(values[1:], found.freedom(gradient))}


def _pair(
    scores: pd.DataFrame,
    spot: tuple[str, str],
    before: tuple[str, str],
    metric: str,
    draws: Draws,
) -> Row:
    """The first minus the second, both as pairs of level and arm."""
    found = crossed(scores, [spot, before], metric, draws)
    empty: Row = {"value": None, "lo": None, "hi": None}
    row: Row = {"value": None, "other_value": None, "difference": empty, "relative": empty}
    row |= {"p": None, "df": None, **found.counts}
    if not found.counts["n_cases"]:
        return row | {"reason": "no training of both has a value"}
    if reason := lacking(metric, found.counts):
        return row | {"reason": reason}
    means = found.means()
    row |= {"value": float(means[0, 0]), "other_value": float(means[1, 0])}
    row["difference"] = _summary(found, [1, -1])
    row["relative"] = _relative(found, means)
    if found.n_seeds == 1:
        return row | {"p_reason": ONE_TRAINING}
    if row["difference"]["lo"] is None:
        return row | {"p_reason": row["difference"]["reason"]}
    row["df"] = found.freedom([1, -1])
    return row | {"p": _p_value(means[0] - means[1], row["df"])}


def _relative(found: Crossed, means: np.ndarray) -> Row:
    """(a - b) / b in %: undefined where b is 0; infinite in a resample where b alone is."""
    if not means[1, 0] > 0:
        return {"value": None, "lo": None, "hi": None, "reason": "the other's value is 0"}
    with np.errstate(invalid="ignore", divide="ignore"):
        values = 100 * (means[0] - means[1]) / means[1]
    ratio = means[0, 0] / means[1, 0]
    return {"value": float(values[0]), **interval(values[1:], found.freedom([1, -ratio]))}


def _p_value(differences: np.ndarray, freedom: float) -> float:
    from scipy import special

    error = float(np.nanstd(differences[1:], ddof=1))
    if not error > 0:
        return 1.0 if differences[0] == 0 else 0.0
    return float(2 * special.stdtr(freedom, -abs(differences[0]) / error))


def _adjusted(rows: list[Row]) -> list[Row]:
    p = np.array([np.nan if row["p"] is None else row["p"] for row in rows], dtype=float)
    for row, value in zip(rows, holm(p), strict=True):
        row["p_adjusted"] = None if np.isnan(value) else float(value)
    return rows


def row_of(rows: Sequence[Row], **wanted: object) -> Row | None:
    """The first row with these values; None if there is none.

    Args:
        rows: Of `curve`, `paired`, `trend` or `factor`.
        **wanted: Name to value; those that are None are not looked at.
    """
    keys = {name: value for name, value in wanted.items() if value is not None}
    return next((row for row in rows if keys.items() <= row.items()), None)
