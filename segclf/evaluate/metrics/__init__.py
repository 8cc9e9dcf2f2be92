"""The METRICS table: what is measured, and what each number needs. To add one, see docs."""

from segclf.evaluate.metrics.decision import (
    balanced_accuracy,
    npv,
    ppv,
    sensitivity,
    specificity,
)
from segclf.evaluate.metrics.mask import dice, image_false_positive_rate
from segclf.evaluate.metrics.ranking import auroc, average_precision
from segclf.evaluate.metrics.record import Metric

__all__ = ["MASK_METRICS", "METRICS", "Metric"]

_ONE_CLASS = "without positives or without negatives"

METRICS: dict[str, Metric] = {
    "auroc": Metric(auroc, needs="score", undefined_for=_ONE_CLASS, kernel="auroc"),
    "average_precision": Metric(
        average_precision,
        needs="score",
        undefined_for=_ONE_CLASS,
        uses_prevalence=True,
        kernel="average_precision",
    ),
    "sensitivity": Metric(
        sensitivity, needs="decision", undefined_for="without positives", uses="positives"
    ),
    "specificity": Metric(
        specificity, needs="decision", undefined_for="without negatives", uses="negatives"
    ),
    "ppv": Metric(
        ppv, needs="decision", undefined_for="without positive calls", uses_prevalence=True
    ),
    "npv": Metric(
        npv, needs="decision", undefined_for="without negative calls", uses_prevalence=True
    ),
    "balanced_accuracy": Metric(balanced_accuracy, needs="decision", undefined_for=_ONE_CLASS),
}

MASK_METRICS: dict[str, Metric] = {
    "dice": Metric(dice, needs="mask", undefined_for="without positives", uses="positives"),
    "image_false_positive_rate": Metric(
        image_false_positive_rate,
        needs="mask",
        undefined_for="without negatives",
        uses="negatives",
        higher_is_better=False,
    ),
}
"""Metrics of masks; they need the truth of pixels, so they are kept apart from METRICS."""
