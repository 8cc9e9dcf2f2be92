"""Metrics of trainings on test cases, with trainings and patients drawn anew together."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.randomness import generator
from segclf.study.science.cells import SPECIFICITY
from segclf.study.weighted import (
    weighted_aurocs,
    weighted_average_precisions,
    weighted_recalls_at,
    weighted_shares,
)

N_RESAMPLES = 2000
ONE_TRAINING = "one training: its noise is not known"
"""Why there is no p value, and why nothing is shown."""
MOST_UNDEFINED = 0.025
"""Share of resamples without a value above which there is no interval."""
Row = dict[str, Any]
Values = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Metric:
    """A number of one training on its test cases."""

    name: str
    """As a sentence says it."""
    column: str
    """Of the table of scores: what is measured; a case without it is set aside."""
    values: Values
    """(case,) column, (case,) bool label, (resample, case) weight to (resample,)."""
    classes: tuple[int, ...] = (1, 0)
    """Labels that have to be there."""
    is_robust: bool = False
    """Only positives without the shortcut, and negatives with it."""


def _recall(decision: np.ndarray, label: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return weighted_shares(decision[label], weight[:, label])


def _specificity(decision: np.ndarray, label: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return weighted_shares(1 - decision[~label], weight[:, ~label])


METRICS = {
    "auroc": Metric("AUROC", "score", weighted_aurocs),
    "robust_auroc": Metric("robust AUROC", "score", weighted_aurocs, is_robust=True),
    "average_precision": Metric("average precision", "score", weighted_average_precisions),
    "recall": Metric("recall", "decision", _recall, (1,)),
    "specificity": Metric("specificity", "decision", _specificity, (0,)),
    "recall_at_specificity": Metric(
        f"recall at a test specificity of {SPECIFICITY:g}",
        "score",
        partial(weighted_recalls_at, specificity=SPECIFICITY),
    ),
}


@dataclass(frozen=True)
class Draws:
    """How often each patient of a regime is drawn; the first row is all of them once."""

    code: pd.Series
    """Patient to column of `times`."""
    times: np.ndarray
    """(1 + resample, patient)."""
    seed: int


def patients_drawn(scores: pd.DataFrame, seed: int) -> Draws:
    """The draws that all levels and arms of a regime share, so that they stay paired.

    Args:
        scores: Rows of one regime.
        seed: Of the resamples.
    """
    patients = sorted(set(scores["patient_id"].astype(str)))
    n = len(patients)
    drawn = generator(seed, "patients", n).multinomial(n, np.full(n, 1 / n), N_RESAMPLES)
    times = np.concatenate([np.ones((1, n)), drawn])
    return Draws(pd.Series(np.arange(n), index=patients), times, seed)


@dataclass(frozen=True)
class Crossed:
    """A metric of several conditions, training by training."""

    value: np.ndarray
    """(condition, 1 + resample of patients, training); the first resample is the cases as they
    are. No training: none that every condition has."""
    counts: Row
    """`seeds`, `n_cases`, `n_patients`, `n_positive`, `n_negative`, `n_set_aside`."""
    draws: Draws

    @property
    def n_seeds(self) -> int:
        """Trainings that every condition has."""
        return self.value.shape[2]

    def means(self) -> np.ndarray:
        """(condition, 1 + resample): means over the trainings, these drawn anew as well.

        One training less is drawn than there are: drawing all would make the variance of their
        mean too small by (n - 1) / n, a fifth for five. Folds are drawn like trainings. As each
        has patients of its own, folds differ by their patients too, whose noise then counts about
        twice: p values and intervals are too wide rather than too narrow. That the training sets
        of folds share cases is seen by no resampling. One training is the same in every resample:
        only patients vary.

        Source:
            Owen, Ann Appl Stat 1 (2007) 386; one less: McCarthy and Snowden, Vital Health Stat 2
            (95) (1985); shared training cases: Nadeau and Bengio, Mach Learn 52 (2003) 239.
        """
        n = self.n_seeds
        weight = np.full((1 + N_RESAMPLES, n), 1 / n)
        if n > 1:
            draw = generator(self.draws.seed, "trainings", n)
            weight[1:] = draw.multinomial(n - 1, np.full(n, 1 / n), N_RESAMPLES) / (n - 1)
        # a fold that is not drawn need not have a value among the patients that are
        return np.where(weight > 0, self.value * weight, 0).sum(axis=2)

    def freedom(self, gradient: Sequence[float]) -> float:
        """Degrees of freedom of a number that changes by `gradient` with each condition's mean.

        Source:
            Satterthwaite, Biometrics Bull 2 (1946) 110, for the variance over trainings (at least
            that of few) and that over patients.
        """
        each = np.tensordot(gradient, self.value, axes=1)
        n, n_patients = self.n_seeds, len(self.draws.code)
        by_seed = 0.0 if n < 2 else float(each[0].var(ddof=1)) / n
        by_patient = float(np.nanvar(each[1:].mean(axis=1)))
        parts = by_seed**2 / max(n - 1, 1) + by_patient**2 / max(n_patients - 1, 1)
        if not parts > 0:
            return float(max(n - 1 if by_seed else n_patients - 1, 1))
        return (by_seed + by_patient) ** 2 / parts


def crossed(
    scores: pd.DataFrame,
    conditions: Sequence[tuple[str, str]],
    metric: str,
    draws: Draws,
) -> Crossed:
    """The metric of every condition, on the trainings and the test cases that all of them have.

    A case without a value in one condition is set aside in all, training by training.

    Args:
        scores: Rows of one regime, and of the group that is judged.
        conditions: Pairs of level and arm.
        metric: A name in METRICS.
        draws: Of the regime.

    Raises:
        ValueError: A case comes twice in one training, or with two labels.
    """
    rule = METRICS[metric]
    rows = _members(scores, rule)
    wanted = [
        rows.loc[(rows["level"] == level) & (rows["arm"] == arm)] for level, arm in conditions
    ]
    for own in wanted:
        twice = own.loc[own.duplicated(["seed", "case_id"])]
        if len(twice):
            raise ValueError(f"{len(twice)} cases come twice in one training of {conditions}.")
    by_seed = [dict(list(own.groupby("seed"))) for own in wanted]
    found, tables, unused, n_aside = [], [], [], 0
    for seed in sorted(set.intersection(*(set(own) for own in by_seed))):
        columns = [own[seed].set_index("case_id")[rule.column].astype(float) for own in by_seed]
        values = pd.concat(columns, axis=1)  # a case that one of them lacks is NaN there
        kept = values.dropna()
        if not len(kept):
            continue
        facts = _facts(pd.concat([own[seed] for own in by_seed]), kept.index, seed)
        each = _each(kept.to_numpy().T, facts, rule, draws)
        if np.isnan(each[:, 0]).any():  # a fold without one of the classes
            unused.append(facts)
            continue
        n_aside += len(values) - len(kept)
        tables.append(facts)
        found.append(each)
    shape = (len(conditions), 1 + N_RESAMPLES, 0)
    value = np.stack(found, axis=2) if found else np.zeros(shape)
    counts = _counts(tables or unused) | {"n_set_aside": n_aside}
    counts["seeds"] = [int(facts["seed"].iloc[0]) for facts in tables]
    return Crossed(value, counts, draws)


def _members(scores: pd.DataFrame, rule: Metric) -> pd.DataFrame:
    rows = scores.loc[scores["label"].isin(rule.classes)]
    if rule.is_robust:
        return rows.loc[rows["spurious"].astype(float) == 1 - rows["label"].astype(float)]
    return rows


def _facts(rows: pd.DataFrame, cases: pd.Index, seed: int) -> pd.DataFrame:
    """Label and patient of the cases, in their order."""
    facts = rows.loc[:, ["case_id", "label", "patient_id"]].drop_duplicates()
    if facts["case_id"].duplicated().any():
        raise ValueError(f"a case has two labels or patients in training {seed}.")
    return facts.set_index("case_id").loc[cases].assign(seed=seed).reset_index()


def _each(values: np.ndarray, facts: pd.DataFrame, rule: Metric, draws: Draws) -> np.ndarray:
    label = facts["label"].to_numpy() == 1
    weight = draws.times[:, draws.code.loc[facts["patient_id"].astype(str)].to_numpy()]
    return np.stack([rule.values(own, label, weight) for own in values])


def _counts(tables: Sequence[pd.DataFrame]) -> Row:
    """Cases are counted once, however many trainings they test."""
    if not tables:
        return {"n_cases": 0, "n_patients": 0, "n_positive": 0, "n_negative": 0}
    rows = pd.concat(tables)
    cases = rows.drop_duplicates("case_id")
    is_positive = cases["label"].to_numpy() == 1
    return {
        "n_cases": len(cases),
        "n_patients": len(set(cases["patient_id"])),
        "n_positive": int(is_positive.sum()),
        "n_negative": int((~is_positive).sum()),
    }


def lacking(metric: str, counts: Row) -> str | None:
    """Why the metric has no value; None where it can have one."""
    rule = METRICS[metric]
    shortcut = {1: " without the shortcut", 0: " with the shortcut"} if rule.is_robust else {}
    if not counts["n_cases"]:
        return "no training has a value for such test cases"
    for key, name, code in (("n_positive", "positive", 1), ("n_negative", "negative", 0)):
        if code in rule.classes and not counts[key]:
            return f"no {name} test case{shortcut.get(code, '')}"
    return None if counts["seeds"] else "no fold has both classes"


def tail_of(freedom: float) -> float:
    """The share of resamples beyond each end of a 95 % interval: less than 2.5 % with few seeds.

    Source:
        Expanded percentile interval, Hesterberg, Am Stat 69 (2015) 371: the normal quantile of
        the percentile is that of Student's t.
    """
    from scipy import special

    return float(special.ndtr(special.stdtrit(freedom, 0.025)))


def interval(values: np.ndarray, freedom: float) -> Row:
    """`lo` and `hi` at 95 %, or a `reason`; an end that is not finite is None, with the reason.

    Args:
        values: (resample,), NaN where undefined; may hold -inf and inf.
        freedom: Degrees of freedom of the number.
    """
    known = np.sort(values[~np.isnan(values)])
    share = float(np.isnan(values).mean())
    if share > MOST_UNDEFINED:
        return {"lo": None, "hi": None, "reason": f"undefined in {100 * share:.0f} % of resamples"}
    tail = tail_of(freedom)
    place = max(math.floor(tail * (len(known) + 1)) - 1, 0)
    ends = {"lo": float(known[place]), "hi": float(known[-1 - place])}
    row: Row = {name: end if math.isfinite(end) else None for name, end in ends.items()}
    words = {"lo": "lower", "hi": "upper"}
    if None in row.values():
        open_ends = " and ".join(words[name] for name in ends if row[name] is None)
        row["reason"] = f"no {open_ends} end: it lies beyond what was measured"
    return row
