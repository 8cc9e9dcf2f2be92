"""Intervals that need no resampling: AUROCs and shares of every method in one slice."""

from dataclasses import dataclass

import numpy as np

from segclf.core.config import EvaluateSettings
from segclf.evaluate.inference.auroc import Auroc, aurocs_of, mean_auroc
from segclf.evaluate.inference.delong import covariance, place
from segclf.evaluate.inference.intervals import (
    DELONG,
    auroc_interval,
    delong_interval,
    share_interval,
)
from segclf.evaluate.metrics import Metric
from segclf.evaluate.sample import Sample


@dataclass(frozen=True)
class Interval:
    """Limits, how they were made, and the design effect; NaN where they are missing."""

    lo: float
    hi: float
    how: str
    design_effect: float


@dataclass(frozen=True)
class SliceAurocs:
    """The AUROC of every method in a slice, averaged over folds and seeds."""

    aurocs: list[Auroc]
    covariance: np.ndarray
    """(method, method), of patients drawn independently."""


def slice_aurocs(sample: Sample, member: np.ndarray, n_methods: int) -> SliceAurocs:
    """AUROCs and their covariance in the rows `member`, from one sort.

    Args:
        sample: The rows of one finding.
        member: (row,) bool.
        n_methods: Methods to report, by code; one without a row has NaN.
    """
    rows = np.flatnonzero(member)
    shape = (n_methods, sample.n_seeds, sample.n_folds)
    block = np.ravel_multi_index((sample.method[rows], sample.seed[rows], sample.fold[rows]), shape)
    score = np.append(sample.score[rows], 0.0)  # one row more, so that all blocks are counted
    positive = np.append(sample.positive[rows], False)
    placed = place(score, positive, np.append(block, np.prod(shape)))
    mean, weight = mean_auroc(placed.auroc[:-1].reshape(shape))
    weight = np.append(weight, np.zeros((1, n_methods)), axis=0)
    patient = np.append(sample.patient[rows], 0)
    case = np.append(sample.case[rows], 0)
    aurocs = aurocs_of(placed, weight, patient, case)
    found = covariance(placed, patient, weight)
    found[np.isnan(mean)], found[:, np.isnan(mean)] = np.nan, np.nan
    return SliceAurocs(aurocs, found)


def interval_of_auroc(auroc: Auroc, settings: EvaluateSettings) -> Interval:
    """The default interval, or DeLong's where the settings ask for it."""
    ratio = (
        auroc.variance / auroc.variance_of_cases if auroc.variance_of_cases > 0 else float("nan")
    )
    if settings.interval == "delong":
        return Interval(*delong_interval(auroc, settings.confidence), DELONG, 1.0)
    return Interval(*auroc_interval(auroc, settings.confidence), ratio)


def limits_of(auroc: Auroc, confidence: float) -> tuple[float, float, float]:
    """The AUROC and its default limits at a confidence, as `mover` takes them."""
    return auroc.value, *auroc_interval(auroc, confidence)[:2]


def interval_of_share(
    metric: Metric, sample: Sample, rows: np.ndarray, settings: EvaluateSettings
) -> Interval:
    """Wilson's interval on the effective number of cases; a case counts once over its seeds.

    Every seed weighs the same, as in the estimate, also where numbers of cases differ.

    Args:
        metric: A share of cases.
        sample: The rows of one finding.
        rows: Indices of the rows of one method that have a decision.
        settings: The confidence.
    """
    assert metric.share is not None
    label, decision = sample.positive[rows].astype(np.int8), sample.decision[rows]
    of, that = metric.share(label, decision)
    patient, seed = sample.patient[rows], sample.seed[rows]
    n_of_seed = np.bincount(seed[of], minlength=sample.n_seeds)
    used = n_of_seed[n_of_seed > 0]
    weight = used.mean() / len(used) / n_of_seed[seed[of]] if len(used) else np.zeros(0)
    cases = np.bincount(patient[of], weight)
    hits = np.bincount(patient[of], weight * that[of], len(cases))
    lo, hi, n, how = share_interval(hits, cases, settings.confidence)
    return Interval(lo, hi, how, float(cases.sum() / n) if n > 0 else float("nan"))
