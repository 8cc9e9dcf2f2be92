"""The METRICS table: what is measured, and what each number needs. To add one, see docs."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from segclf.core.config import EvaluateSettings
from segclf.evaluate.metrics.decision import (
    balanced_accuracy,
    f1,
    mcc,
    npv,
    of_negative_calls,
    of_negatives,
    of_positive_calls,
    of_positives,
    ppv,
    sensitivity,
    specificity,
    youden,
)
from segclf.evaluate.metrics.mask import (
    dice,
    image_false_positive_rate,
    mean_on_negatives,
    mean_on_positives,
)
from segclf.evaluate.metrics.probability import brier, log_loss, net_benefit
from segclf.evaluate.metrics.ranking import (
    PARTIAL_SPECIFICITY,
    auroc,
    average_precision,
    partial_auroc,
)
from segclf.evaluate.metrics.record import Metric
from segclf.evaluate.metrics.sums import (
    brier_sums,
    calibration_error_excess,
    calibration_intercept,
    calibration_slope,
    excess_sums,
    line_sums,
    log_loss_sums,
    net_benefit_sums,
)

__all__ = ["MASK_METRICS", "METRICS", "Metric", "declared_metrics"]

_ONE_CLASS = "without positives or without negatives"

METRICS: dict[str, Metric] = {
    "auroc": Metric(auroc, needs="score", undefined_for=_ONE_CLASS, kernel="auroc"),
    "partial_auroc": Metric(
        partial(partial_auroc, low=PARTIAL_SPECIFICITY, standardize=True),
        needs="score",
        undefined_for=_ONE_CLASS,
        kernel="partial_auroc",
    ),
    "average_precision": Metric(
        average_precision,
        needs="score",
        undefined_for=_ONE_CLASS,
        uses_prevalence=True,
        kernel="average_precision",
    ),
    "sensitivity": Metric(
        sensitivity,
        needs="decision",
        undefined_for="without positives",
        uses="positives",
        share=of_positives,
    ),
    "specificity": Metric(
        specificity,
        needs="decision",
        undefined_for="without negatives",
        uses="negatives",
        share=of_negatives,
    ),
    "ppv": Metric(
        ppv,
        needs="decision",
        undefined_for="without positive calls",
        uses_prevalence=True,
        share=of_positive_calls,
    ),
    "npv": Metric(
        npv,
        needs="decision",
        undefined_for="without negative calls",
        uses_prevalence=True,
        share=of_negative_calls,
    ),
    "f1": Metric(
        f1,
        needs="decision",
        undefined_for="without positives",
        uses_prevalence=True,
    ),
    "balanced_accuracy": Metric(balanced_accuracy, needs="decision", undefined_for=_ONE_CLASS),
    "youden": Metric(youden, needs="decision", undefined_for=_ONE_CLASS, is_fraction=False),
    "mcc": Metric(
        mcc,
        needs="decision",
        undefined_for="without two kinds of labels and of decisions",
        uses_prevalence=True,
        is_fraction=False,
    ),
    "brier": Metric(
        brier,
        needs="probability",
        undefined_for="without cases",
        uses_prevalence=True,
        higher_is_better=False,
        sums=brier_sums,
    ),
    "log_loss": Metric(
        log_loss,
        needs="probability",
        undefined_for="without cases",
        uses_prevalence=True,
        higher_is_better=False,
        is_fraction=False,
        sums=log_loss_sums,
    ),
    "calibration_intercept": Metric(
        calibration_intercept,
        needs="probability",
        undefined_for=_ONE_CLASS,
        uses_prevalence=True,
        higher_is_better=None,
        is_fraction=False,
        sums=partial(line_sums, part="intercept"),
    ),
    "calibration_slope": Metric(
        calibration_slope,
        needs="probability",
        undefined_for=_ONE_CLASS,
        uses_prevalence=True,
        higher_is_better=None,
        is_fraction=False,
        sums=partial(line_sums, part="slope"),
    ),
    "calibration_error_excess": Metric(
        calibration_error_excess,
        needs="probability",
        undefined_for="without cases",
        uses_prevalence=True,
        higher_is_better=False,
        is_fraction=False,
        sums=excess_sums,
    ),
}


def _on_positives(undefined_for: str) -> Metric:
    return Metric(mean_on_positives, needs="mask", undefined_for=undefined_for, uses="positives")


_FALSE_POSITIVE_AREA = Metric(
    mean_on_negatives,
    needs="mask",
    undefined_for="without negatives",
    uses="negatives",
    higher_is_better=False,
    is_fraction=False,
)

MASK_METRICS: dict[str, Metric] = {
    "dice": Metric(dice, needs="mask", undefined_for="without positives", uses="positives"),
    "pixel_sensitivity": _on_positives("without positives"),
    "pixel_precision": _on_positives("without positives in which a pixel is predicted"),
    "surface_dice": _on_positives("without positives of known spacing"),
    "hd95_mm": Metric(
        mean_on_positives,
        needs="mask",
        undefined_for="without positives of known spacing in which a pixel is predicted",
        uses="positives",
        higher_is_better=False,
        is_fraction=False,
    ),
    "image_false_positive_rate": Metric(
        image_false_positive_rate,
        needs="mask",
        undefined_for="without negatives",
        uses="negatives",
        higher_is_better=False,
    ),
    "false_positive_area_px": _FALSE_POSITIVE_AREA,
    "false_positive_area_mm2": _FALSE_POSITIVE_AREA,
    "false_positive_volume_ml": _FALSE_POSITIVE_AREA,
}
"""Metrics of masks; they need the truth of pixels, so they are kept apart from METRICS. Of the
false-positive areas, a table has the one whose unit its images allow."""


def declared_metrics(settings: EvaluateSettings) -> dict[str, Metric]:
    """The metrics that only a setting defines: net benefit, and values at another prevalence.

    Net benefit is listed per threshold, `net_benefit@0.1`; names with `_deployed` are at
    `deploy_prevalence`.
    """
    found = {f"net_benefit@{t:g}": _net_benefit(t, None) for t in settings.net_benefit_at}
    if settings.deploy_prevalence is not None:
        found |= dict(_deployed(settings.deploy_prevalence, settings.net_benefit_at))
    return found


def _deployed(prevalence: float, thresholds: tuple[float, ...]) -> Iterator[tuple[str, Metric]]:
    for name, function, kind in (("ppv", ppv, "positive"), ("npv", npv, "negative")):
        missing = f"without positives, negatives or {kind} calls"
        at = partial(function, prevalence=prevalence)
        yield f"{name}_deployed", Metric(at, needs="decision", undefined_for=missing)
    yield (
        "brier_deployed",
        Metric(
            partial(brier, prevalence=prevalence),
            needs="probability",
            undefined_for=_ONE_CLASS,
            higher_is_better=False,
            sums=partial(brier_sums, prevalence=prevalence),
        ),
    )
    for t in thresholds:
        yield f"net_benefit_deployed@{t:g}", _net_benefit(t, prevalence)


def _net_benefit(threshold: float, prevalence: float | None) -> Metric:
    def at_threshold(label: np.ndarray, probability: np.ndarray, weight: np.ndarray) -> np.ndarray:
        at = np.array([threshold])
        return net_benefit(label, probability, weight, thresholds=at, prevalence=prevalence)[0]

    return Metric(
        at_threshold,
        needs="probability",
        undefined_for="without cases" if prevalence is None else _ONE_CLASS,
        uses_prevalence=prevalence is None,
        is_fraction=False,
        sums=partial(net_benefit_sums, threshold=threshold, prevalence=prevalence),
    )
