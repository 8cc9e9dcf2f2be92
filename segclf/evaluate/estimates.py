"""From resampled cells to estimates: folds and seeds averaged, intervals, and the reasons."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from segclf.core.config import EvaluateSettings
from segclf.core.text import plural
from segclf.evaluate.exact import Interval
from segclf.evaluate.inference.bootstrap_intervals import bca, percentile
from segclf.evaluate.inference.missing import join, nanmean
from segclf.evaluate.metrics import Metric
from segclf.evaluate.resample import Replicates

Row = dict[str, Any]
"""A row of a result table: column to value."""
FEW = 50
"""Below this many patients of a class, bootstrap intervals are too narrow: in simulations with
20 positive patients those of nominal 95 % held the truth in 89 % (docs/coverage.md)."""

FEW_WORDS = "wide, and likely still too narrow"


@dataclass(frozen=True)
class Counts:
    """How many cases and patients an estimate rests on."""

    n_cases: int
    n_patients: int
    n_positive: int
    n_negative: int
    n_positive_patients: int
    n_negative_patients: int

    def used_by(self, metric: Metric) -> dict[str, int]:
        """Patients of the classes that the metric depends on."""
        n = {"positive": self.n_positive_patients, "negative": self.n_negative_patients}
        return n if metric.uses == "both" else {metric.uses[:-1]: n[metric.uses[:-1]]}


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; what is missing has a reason."""

    estimate: float
    lo: float
    hi: float
    interval: str
    """How the interval was made."""
    n_boot_usable: int
    design_effect: float
    """Clustered over plain variance; NaN where it is not known."""
    reason: str


Left = Callable[[], tuple[np.ndarray, np.ndarray]]
"""The estimate without each patient, and the stratum in which each is resampled."""


def estimate(
    metric: Metric,
    values: np.ndarray,
    counts: Counts,
    settings: EvaluateSettings,
    *,
    unit: str,
    unfit: str = "",
    exact: Interval | None = None,
    left_out: Left | None = None,
) -> Estimate:
    """The estimate and its interval, or the reason why there is none.

    Args:
        metric: Decides which patients must be numerous enough.
        values: (replicate,) the sample's value first, then the resampled ones; NaN = undefined.
        counts: What the estimate rests on.
        settings: `min_group` and `confidence`.
        unit: The word for a patient.
        unfit: Why the metric has no meaning here; empty if it has.
        exact: An interval that needs no resamples; taken if it is there and has limits.
        left_out: For the BCa interval; None takes percentiles.
    """
    used = counts.used_by(metric)
    small = {kind: n for kind, n in used.items() if n < settings.min_group}
    if unfit or small or np.isnan(values[0]):
        few = f"{_patients(small, unit)} (fewer than {settings.min_group})" if small else ""
        reason = unfit or few or f"undefined: {metric.undefined_for}"
        return Estimate(np.nan, np.nan, np.nan, "", 0, np.nan, reason)
    design = exact.design_effect if exact is not None else np.nan
    n_defined = int((~np.isnan(values[1:])).sum())
    if exact is not None and not np.isnan(exact.lo):
        found = (float(values[0]), exact.lo, exact.hi, exact.how, n_defined)
        return Estimate(*found, design, "")
    agreed = f"every resample gives {values[0]:.3g}"
    if metric.is_fraction and values[0] == (1.0 if metric.higher_is_better else 0.0):
        agreed = f"no errors among {_patients(used, unit)}"
    if left_out is None:
        how = interval_name(unit)
        limits = percentile(values[1:], settings.confidence, agreed=agreed)
    else:
        how = interval_name(unit, kind="BCa")
        left, stratum = left_out()
        level = settings.confidence
        limits = bca(values[0], values[1:], left, level, stratum=stratum, agreed=agreed)
    lo, hi, n_usable, reason = limits
    kind, n = min(used.items(), key=lambda item: item[1])
    is_few = n < FEW and not np.isnan(lo)
    warning = f"{FEW_WORDS}: {_patients({kind: n}, unit)}" if is_few else ""
    value = float(values[0])
    return Estimate(value, lo, hi, how, n_usable, design, join(reason, warning))


def interval_name(unit: str, *, kind: str = "percentile") -> str:
    """How an interval was resampled, for the column `interval`."""
    return f"{kind}, {unit} bootstrap"


def _patients(n_of_kind: dict[str, int], unit: str) -> str:
    """`1 negative patient`, `2 positive and 1 negative patients`."""
    words = " and ".join(f"{n} {kind}" for kind, n in n_of_kind.items())
    return f"{words} {unit if list(n_of_kind.values()) == [1] else plural(unit)}"


def average_cells(
    metric: Metric, name: str, replicates: Replicates
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One value per method, slice and replicate, and the sample's values that it averages.

    Scores of different folds come from different networks and are never pooled: the metric is
    taken in each fold, then the mean over the folds that define it, then over seeds. Decisions
    and probabilities are comparable, so they are pooled over folds first.

    Returns:
        (method, slice, replicate) averages; of the sample, (method, slice, seed) and
        (method, slice, seed, fold) values, of one pooled fold for probabilities; NaN where
        undefined.
    """
    if metric.needs == "probability":
        by_seed = replicates.pooled[name]
        return nanmean(by_seed, axis=2), by_seed[..., 0], by_seed[..., None, 0]
    if metric.needs == "score":
        by_fold = replicates.values[name]
        by_seed = nanmean(by_fold, axis=3)
        return nanmean(by_seed, axis=2), by_seed[..., 0], by_fold[..., 0]
    counts = np.moveaxis(replicates.counts, 4, 0)
    by_seed = of_counts(metric, counts.sum(axis=4, dtype=np.int64))
    return nanmean(by_seed, axis=2), by_seed[..., 0], of_counts(metric, counts[..., 0])


def of_counts(metric: Metric, counts: np.ndarray) -> np.ndarray:
    """A metric of decisions from numbers of tn, fp, fn, tp along axis 0.

    The four kinds of case make a table of four rows whose weights are the counts.
    """
    label, decision = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    return np.asarray(metric.function(label, decision, counts))
