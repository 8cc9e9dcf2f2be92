"""Metrics by name: what people call them, which belong together, and which are of decisions."""

from collections.abc import Sequence

from segclf.report.text import plain

METRIC_NAMES = {
    "auroc": "AUROC",
    "partial_auroc": "Partial AUROC",
    "average_precision": "Average precision",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "f1": "F1",
    "balanced_accuracy": "Balanced accuracy",
    "youden": "Youden's J",
    "mcc": "MCC",
    "brier": "Brier score",
    "log_loss": "Log loss",
    "calibration_intercept": "Calibration intercept",
    "calibration_slope": "Calibration slope",
    "calibration_error_excess": "Calibration error beyond chance",
    "ppv_deployed": "PPV",
    "npv_deployed": "NPV",
    "brier_deployed": "Brier score",
    "dice": "Dice on positives",
    "pixel_sensitivity": "Pixel sensitivity on positives",
    "pixel_precision": "Pixel precision on positives",
    "surface_dice": "Surface Dice on positives",
    "hd95_mm": "HD95 on positives, mm",
    "image_false_positive_rate": "Image false-positive rate",
    "false_positive_area_px": "False-positive area on negatives, px",
    "false_positive_area_mm2": "False-positive area on negatives, mm²",
    "false_positive_volume_ml": "False-positive volume on negatives, mL",
}
FAMILIES = {
    "Ranking and decisions": (
        "auroc", "average_precision", "sensitivity", "specificity", "ppv", "npv",
    ),
    "More of ranking and decisions": (
        "partial_auroc", "f1", "balanced_accuracy", "youden", "mcc",
    ),
    "Probabilities": (
        "brier", "log_loss", "calibration_intercept", "calibration_slope",
        "calibration_error_excess",
    ),
}  # fmt: skip
"""Metrics that stand in one table. Net benefit and deployed ones follow by their names."""
NET_BENEFIT, DEPLOYED, OTHER = "Net benefit", "At the deployment prevalence", "Further numbers"
OF_DECISIONS = frozenset({
    "sensitivity", "specificity", "ppv", "npv", "f1", "balanced_accuracy", "youden", "mcc",
    "ppv_deployed", "npv_deployed",
})  # fmt: skip
"""Metrics that a threshold chosen on test cases makes too good."""


def metric_name(metric: str) -> str:
    """What people call a metric; a threshold after `@` is said: `Net benefit at 0.1`."""
    base, _, threshold = metric.partition("@")
    if base.startswith("net_benefit"):
        return f"Net benefit at {plain(threshold, 20)}" if threshold else "Net benefit"
    return METRIC_NAMES.get(metric, plain(metric, 40))


def threshold_of(metric: str) -> float | None:
    """The probability threshold of `net_benefit@0.1`; None for other metrics."""
    base, _, threshold = metric.partition("@")
    return float(threshold) if base == "net_benefit" and threshold else None


def families(metrics: Sequence[str]) -> dict[str, list[str]]:
    """Heading to those metrics that belong under it, in the order of the headings."""
    headings = (*FAMILIES, NET_BENEFIT, DEPLOYED, OTHER)
    found: dict[str, list[str]] = {heading: [] for heading in headings}
    for metric in metrics:
        found[_family(metric)].append(metric)
    return {heading: members for heading, members in found.items() if members}


def _family(metric: str) -> str:
    base = metric.partition("@")[0]
    if base.endswith("_deployed"):
        return DEPLOYED
    if base == "net_benefit":
        return NET_BENEFIT
    return next((heading for heading, members in FAMILIES.items() if metric in members), OTHER)
