"""Metrics of probabilities as sums over cases, so that a bootstrap is one matrix product."""

from typing import Literal

import numpy as np

from segclf.evaluate.inference.calibration import calibration_line, line_terms
from segclf.evaluate.inference.calibration_null import expected_error
from segclf.evaluate.metrics.probability import (
    brier_terms,
    calibration_error,
    calibration_error_of,
    calibration_error_terms,
    log_loss_terms,
    loss_of,
    net_benefit_of,
    net_benefit_terms,
)
from segclf.evaluate.metrics.record import Sums, check_arrays


def brier_sums(
    label: np.ndarray,
    probability: np.ndarray,
    patient: np.ndarray,
    *,
    prevalence: float | None = None,
) -> Sums:
    """Sums of the Brier score; the arguments are those of `brier`, `patient` is not used."""
    del patient
    return brier_terms(label, probability), lambda sums: loss_of(sums, prevalence=prevalence)


def log_loss_sums(label: np.ndarray, probability: np.ndarray, patient: np.ndarray) -> Sums:
    """Sums of the log loss; `patient` is not used."""
    del patient
    return log_loss_terms(label, probability), loss_of


def net_benefit_sums(
    label: np.ndarray,
    probability: np.ndarray,
    patient: np.ndarray,
    *,
    threshold: float,
    prevalence: float | None = None,
) -> Sums:
    """Sums of the net benefit at one threshold; `patient` is not used."""
    del patient
    at = np.array([threshold])
    terms = net_benefit_terms(label, probability, at)
    return terms, lambda sums: net_benefit_of(sums, at, prevalence=prevalence)[0]


def line_sums(
    label: np.ndarray,
    probability: np.ndarray,
    patient: np.ndarray,
    *,
    part: Literal["intercept", "slope"],
) -> Sums:
    """Sums of the calibration intercept, or slope; `patient` is not used.

    Raises:
        ValueError: There is none, and why.
    """
    del patient
    found = line_terms(label, probability)
    return found.terms, lambda sums: found.line_of(sums)[part == "slope"]


def excess_sums(label: np.ndarray, probability: np.ndarray, patient: np.ndarray) -> Sums:
    """Sums of the calibration error beyond what chance makes at these numbers of cases.

    Resampling adds its own noise to every bin, so replicates are moved down by its mean.
    """
    expected = expected_error(label, probability, patient=patient).expected

    def value_of(sums: np.ndarray) -> np.ndarray:
        error = calibration_error_of(sums)
        drawn = error[1:]
        added = drawn[~np.isnan(drawn)].mean() - error[0] if (~np.isnan(drawn)).any() else 0.0
        return np.append(error[0], drawn - added) - expected

    return calibration_error_terms(label, probability), value_of


def calibration_intercept(label: np.ndarray, probability: np.ndarray, weight: np.ndarray) -> float:
    """Logit shift that would make probabilities right on average; 0 is ideal.

    Undefined (NaN) with one class only, or if a probability is 0 or 1.

    Args:
        label: 1 or 0 per case.
        probability: In [0, 1].
        weight: How often each case counts.

    Source:
        Van Calster et al., BMC Med 17 (2019) 230.
    """
    check_arrays(label, probability, weight)
    return calibration_line(label, probability, weight).intercept


def calibration_slope(label: np.ndarray, probability: np.ndarray, weight: np.ndarray) -> float:
    """Slope of the label on the logit of the probability; 1 is ideal, below 1 is too extreme.

    Undefined (NaN) with one class only, if a probability is 0 or 1, if all are the same, or if a
    cut separates the classes.

    Args:
        label: 1 or 0 per case.
        probability: In [0, 1].
        weight: How often each case counts.

    Source:
        Cox, Biometrika 45 (1958) 562.
    """
    check_arrays(label, probability, weight)
    return calibration_line(label, probability, weight).slope


def calibration_error_excess(
    label: np.ndarray, probability: np.ndarray, weight: np.ndarray
) -> float:
    """Expected calibration error minus what a perfect method shows on as many cases.

    About 0 for a calibrated method at any number of cases. Undefined (NaN) without cases.

    Args:
        label: 1 or 0 per case.
        probability: In [0, 1].
        weight: How often each case counts, whole numbers.

    Source:
        See `calibration_error` and `expected_error`.
    """
    check_arrays(label, probability, weight)
    times = np.asarray(weight).astype(np.int64)
    expected = expected_error(np.repeat(label, times), np.repeat(probability, times)).expected
    return float(calibration_error(label, probability, weight)) - expected
