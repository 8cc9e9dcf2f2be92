"""Metrics of decisions: counts of right and wrong calls, as shares.

Each takes `label` and `decision` (1 or 0 per case) and `weight`, of shape (case,) or
(case, replicate), and returns one value per replicate: NaN where its denominator is 0.
"""

import numpy as np

from segclf.evaluate.metrics.record import check_arrays

Share = tuple[np.ndarray, np.ndarray]


def of_positives(label: np.ndarray, decision: np.ndarray) -> Share:
    """The cases of sensitivity, and those that count."""
    return label == 1, decision == 1


def of_negatives(label: np.ndarray, decision: np.ndarray) -> Share:
    """The cases of specificity, and those that count."""
    return label == 0, decision == 0


def of_positive_calls(label: np.ndarray, decision: np.ndarray) -> Share:
    """The cases of PPV, and those that count."""
    return decision == 1, label == 1


def of_negative_calls(label: np.ndarray, decision: np.ndarray) -> Share:
    """The cases of NPV, and those that count."""
    return decision == 0, label == 0


def sensitivity(label: np.ndarray, decision: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Share of positives that are called positive (recall); undefined without positives."""
    check_arrays(label, decision, weight)
    return _share(weight, of=label == 1, that=decision == 1)


def specificity(label: np.ndarray, decision: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Share of negatives that are called negative; undefined without negatives."""
    check_arrays(label, decision, weight)
    return _share(weight, of=label == 0, that=decision == 0)


def ppv(
    label: np.ndarray,
    decision: np.ndarray,
    weight: np.ndarray,
    *,
    prevalence: float | None = None,
) -> np.ndarray:
    """Share of positive calls that are right (precision); undefined without positive calls.

    Args:
        label: 1 or 0 per case.
        decision: 1 or 0 per case.
        weight: How often each case counts.
        prevalence: Share of positives where the method will be used, from sensitivity and
            specificity; then also undefined without positives or negatives. None is as sampled.
    """
    if prevalence is None:
        check_arrays(label, decision, weight)
        return _share(weight, of=decision == 1, that=label == 1)
    right = prevalence * sensitivity(label, decision, weight)
    return _ratio(right, right + (1 - prevalence) * (1 - specificity(label, decision, weight)))


def npv(
    label: np.ndarray,
    decision: np.ndarray,
    weight: np.ndarray,
    *,
    prevalence: float | None = None,
) -> np.ndarray:
    """Share of negative calls that are right; undefined without negative calls.

    Args:
        label: 1 or 0 per case.
        decision: 1 or 0 per case.
        weight: How often each case counts.
        prevalence: As in `ppv`.
    """
    if prevalence is None:
        check_arrays(label, decision, weight)
        return _share(weight, of=decision == 0, that=label == 0)
    right = (1 - prevalence) * specificity(label, decision, weight)
    return _ratio(right, right + prevalence * (1 - sensitivity(label, decision, weight)))


def f1(label: np.ndarray, decision: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Harmonic mean of sensitivity and PPV; undefined without positives.

    0.0 without a positive call: every positive is missed. It moves with the prevalence.
    """
    check_arrays(label, decision, weight)
    n_positive = weight[label == 1].sum(axis=0)
    found = weight[(label == 1) & (decision == 1)].sum(axis=0)
    doubled = _ratio(2.0 * found, n_positive + weight[decision == 1].sum(axis=0))
    return np.where(n_positive > 0, doubled, np.nan)


def youden(label: np.ndarray, decision: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Sensitivity + specificity - 1, in [-1, 1]; undefined without positives or negatives."""
    found = sensitivity(label, decision, weight)
    return found + specificity(label, decision, weight) - 1


def mcc(label: np.ndarray, decision: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Correlation of label and decision (Matthews), in [-1, 1]; moves with the prevalence.

    Undefined if all labels, or all decisions, are the same.
    """
    check_arrays(label, decision, weight)
    total = np.asarray(weight.sum(axis=0), dtype=np.float64)
    positive, called = weight[label == 1].sum(axis=0), weight[decision == 1].sum(axis=0)
    both = weight[(label == 1) & (decision == 1)].sum(axis=0)
    spread = np.sqrt(positive * (total - positive)) * np.sqrt(called * (total - called))
    return _ratio(total * both - 1.0 * positive * called, spread)


def balanced_accuracy(label: np.ndarray, decision: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean of sensitivity and specificity; undefined without positives or negatives."""
    found = sensitivity(label, decision, weight)
    return (found + specificity(label, decision, weight)) / 2


def _share(weight: np.ndarray, *, of: np.ndarray, that: np.ndarray) -> np.ndarray:
    return _ratio(weight[of & that].sum(axis=0), weight[of].sum(axis=0))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    whole = np.asarray(whole, dtype=np.float64)
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan)
