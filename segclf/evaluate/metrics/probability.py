"""Metrics of probabilities: Brier score, log loss, net benefit and calibration error.

Each takes `label` (1 or 0), `probability` in [0, 1] and `weight`, of shape (case,) or (case,
replicate), and returns one value per replicate. Each is made of sums over cases: `..._terms`
gives what is summed, `..._of` turns sums into the value. Terms summed by patient, times a matrix
of how often each patient was drawn, are thus a whole bootstrap in one product:

    value = loss_of(by_patient(brier_terms(label, probability)).T @ drawn)
"""

import numpy as np

from segclf.evaluate.metrics.record import check_arrays

N_BINS = 15


def brier(
    label: np.ndarray,
    probability: np.ndarray,
    weight: np.ndarray,
    *,
    prevalence: float | None = None,
) -> np.ndarray:
    """Mean squared distance of probability and label; lower is better. Undefined without cases.

    Args:
        label: 1 or 0 per case.
        probability: In [0, 1].
        weight: How often each case counts.
        prevalence: Share of positives where the method will be used; then undefined without
            positives or negatives. None is as sampled.

    Source:
        Brier, Mon Weather Rev 78 (1950) 1. Witness: `sklearn.metrics.brier_score_loss`.
    """
    return loss_of(brier_terms(label, probability).T @ weight, prevalence=prevalence)


def log_loss(
    label: np.ndarray,
    probability: np.ndarray,
    weight: np.ndarray,
    *,
    prevalence: float | None = None,
) -> np.ndarray:
    """Mean of -log of the probability given to the label; lower is better.

    Probabilities are kept 2.2e-16 away from 0 and 1, as scikit-learn does: one sure and wrong
    case adds 36 instead of infinity. Undefined as `brier`.

    Args:
        label: 1 or 0 per case.
        probability: In [0, 1].
        weight: How often each case counts.
        prevalence: As in `brier`.

    Source:
        Witness: `sklearn.metrics.log_loss`.
    """
    return loss_of(log_loss_terms(label, probability).T @ weight, prevalence=prevalence)


def net_benefit(
    label: np.ndarray,
    probability: np.ndarray,
    weight: np.ndarray,
    *,
    thresholds: np.ndarray,
    prevalence: float | None = None,
) -> np.ndarray:
    """(threshold, ...) true positives minus false positives, these times t / (1 - t), per case.

    A case is treated if its probability is at least t. Undefined without cases; with
    `prevalence` also without positives or negatives.

    Args:
        label: 1 or 0 per case.
        probability: In [0, 1].
        weight: How often each case counts.
        thresholds: (threshold,) the declared range, in (0, 1).
        prevalence: As in `brier`.

    Source:
        Vickers and Elkin, Med Decis Making 26 (2006) 565. Witness: dcurves' benchmark tables.
    """
    sums = net_benefit_terms(label, probability, thresholds).T @ weight
    return net_benefit_of(sums, thresholds, prevalence=prevalence)


def calibration_error(
    label: np.ndarray, probability: np.ndarray, weight: np.ndarray, *, n_bins: int = N_BINS
) -> np.ndarray:
    """Expected calibration error: mean over cases of |share of positives - mean probability|.

    By equal bins of probability; the last holds 1. Undefined without cases. It is far above 0
    for a perfectly calibrated method too: show it minus `calibration.expected_error`.

    Args:
        label: 1 or 0 per case.
        probability: In [0, 1].
        weight: How often each case counts.
        n_bins: Number of bins.

    Source:
        Naeini et al., AAAI 2015. Witness: the documentation of torchmetrics.
    """
    return calibration_error_of(calibration_error_terms(label, probability, n_bins).T @ weight)


def brier_terms(label: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """(case, 4) what `loss_of` needs summed."""
    _check(label, probability)
    return _loss_terms(label, (probability - label) ** 2)


def log_loss_terms(label: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """(case, 4) what `loss_of` needs summed."""
    _check(label, probability)
    least = np.finfo(np.float64).eps
    kept = np.clip(probability, least, 1 - least)
    return _loss_terms(label, -np.where(label == 1, np.log(kept), np.log1p(-kept)))


def loss_of(sums: np.ndarray, *, prevalence: float | None = None) -> np.ndarray:
    """(...) the mean loss from sums (4, ...) of cases and losses of positives and negatives."""
    n_positive, of_positives, n_negative, of_negatives = sums
    if prevalence is None:
        return _ratio(of_positives + of_negatives, n_positive + n_negative)
    positives, negatives = _ratio(of_positives, n_positive), _ratio(of_negatives, n_negative)
    return prevalence * positives + (1 - prevalence) * negatives


def net_benefit_terms(
    label: np.ndarray, probability: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """(case, 2 + 2 thresholds) what `net_benefit_of` needs summed."""
    _check(label, probability)
    if not ((thresholds > 0) & (thresholds < 1)).all():
        raise ValueError(f"thresholds lie in (0, 1): got {thresholds.tolist()}.")
    is_class = np.stack([label == 1, label == 0], axis=1)
    is_treated = probability[:, None] >= thresholds
    called = [is_treated & is_class[:, [k]] for k in (0, 1)]
    return np.concatenate([is_class, *called], axis=1).astype(np.float64)


def net_benefit_of(
    sums: np.ndarray, thresholds: np.ndarray, *, prevalence: float | None = None
) -> np.ndarray:
    """(threshold, ...) net benefit from the sums of `net_benefit_terms`."""
    n_positive, n_negative = sums[0], sums[1]
    true, false = np.split(sums[2:], 2)
    odds = (thresholds / (1 - thresholds)).reshape(-1, *[1] * (sums.ndim - 1))
    if prevalence is None:
        return _ratio(true - odds * false, n_positive + n_negative)
    sensitivity, false_alarms = _ratio(true, n_positive), _ratio(false, n_negative)
    return prevalence * sensitivity - odds * (1 - prevalence) * false_alarms


def calibration_error_terms(
    label: np.ndarray, probability: np.ndarray, n_bins: int = N_BINS
) -> np.ndarray:
    """(case, 1 + n_bins) what `calibration_error_of` needs summed."""
    _check(label, probability)
    terms = np.zeros((len(label), 1 + n_bins))
    terms[:, 0] = 1.0
    terms[np.arange(len(label)), 1 + bin_of(probability, n_bins)] = label - probability
    return terms


def calibration_error_of(sums: np.ndarray) -> np.ndarray:
    """(...) expected calibration error from the sums of `calibration_error_terms`."""
    return _ratio(np.abs(sums[1:]).sum(axis=0), sums[0])


def bin_of(probability: np.ndarray, n_bins: int) -> np.ndarray:
    """(case,) number of the equal bin of [0, 1] that holds each probability."""
    return np.minimum((probability * n_bins).astype(np.int64), n_bins - 1)


def _loss_terms(label: np.ndarray, loss: np.ndarray) -> np.ndarray:
    positive, negative = label == 1, label == 0
    return np.stack([positive, positive * loss, negative, negative * loss], axis=1)


def _check(label: np.ndarray, probability: np.ndarray) -> None:
    check_arrays(label, probability, label)
    odd = probability[(probability < 0) | (probability > 1)]
    if odd.size:
        raise ValueError(f"a probability lies in [0, 1]: got {odd[:5].tolist()}.")


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    whole = np.asarray(whole, dtype=np.float64)
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan)
