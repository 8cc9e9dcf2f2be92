"""The calibration error that chance alone makes, to be subtracted from what is observed."""

from dataclasses import dataclass

import numpy as np

from segclf.core.randomness import generator
from segclf.evaluate.metrics.probability import N_BINS, bin_of, calibration_error

N_DRAWS = 4000
LARGE = 25.0
"""Bins whose number of positives has a larger variance than this count as normal."""


@dataclass(frozen=True)
class ExpectedError:
    """Calibration error that a perfectly calibrated method would show on as many cases."""

    expected: float
    limit: float
    """Reached with the chance 1 - confidence."""
    p: float
    """Chance of at least the error that was observed."""
    design_effect: float
    """How much more the error of a bin varies than that of independent cases."""


def expected_error(
    label: np.ndarray,
    probability: np.ndarray,
    *,
    patient: np.ndarray | None = None,
    n_bins: int = N_BINS,
    confidence: float = 0.95,
    seed: int = 0,
) -> ExpectedError:
    """The calibration error that chance alone makes: subtract it, and draw the limit.

    Bins with few positives use the exact distribution of their number (Poisson binomial), others
    the normal one. NaN without cases.

    Args:
        label: 1 or 0 per case.
        probability: In [0, 1].
        patient: (case,) codes, if cases of a patient go together. Their variance is that of
            independent cases times the design effect, estimated from the residuals.
        n_bins: Number of bins.
        confidence: Of the limit.
        seed: Of the draws for limit and p; `expected` does not need them.

    Source:
        Bröcker and Smith, Weather Forecast 22 (2007) 651, for consistency limits.
    """
    nan = float("nan")
    if not len(label):
        return ExpectedError(nan, nan, nan, nan)
    place = bin_of(probability, n_bins)
    effect = 1.0 if patient is None else _design_effect(label - probability, place, patient)
    rng = generator(seed, "calibration")
    mean, draws = 0.0, np.zeros(N_DRAWS)
    for b in np.unique(place):
        own = probability[place == b]
        variance = float((own * (1 - own)).sum())
        if variance >= LARGE:
            mean += np.sqrt(2 * variance / np.pi)
            draws += np.sqrt(variance) * np.abs(rng.normal(size=N_DRAWS))
        else:
            distance, chance = _distances(own, variance)
            mean += float(distance @ chance)
            draws += rng.choice(distance, N_DRAWS, p=chance)
    scale = np.sqrt(effect) / len(label)
    observed = calibration_error(label, probability, np.ones(len(label)), n_bins=n_bins)
    reached = int((draws * scale >= observed * (1 - 1e-12)).sum())
    return ExpectedError(
        expected=float(mean * scale),
        limit=float(np.quantile(draws * scale, confidence)),
        p=(reached + 1) / (N_DRAWS + 1),
        design_effect=effect,
    )


def _design_effect(residual: np.ndarray, place: np.ndarray, patient: np.ndarray) -> float:
    """Variance of sums of residuals by patient and bin, over that of independent cases."""
    n, total = np.bincount(place), np.bincount(place, residual)
    centred = residual - (total / np.maximum(n, 1))[place]
    cell = place * (int(patient.max()) + 1) + patient
    alone = float((centred**2).sum())
    return float((np.bincount(cell, centred) ** 2).sum()) / alone if alone > 0 else 1.0


def _distances(probability: np.ndarray, variance: float) -> tuple[np.ndarray, np.ndarray]:
    """Every distance between the number of positives and its expectation, with its chance.

    The chances are the Fourier transform of the characteristic function at as many points as
    the number can differ from its mean by 12 standard deviations and 20.
    """
    mean = float(probability.sum())
    reach = int(np.ceil(12 * np.sqrt(variance) + 20))
    size = 2 * reach
    centre = round(mean)
    root = np.exp(-2j * np.pi * np.arange(size) / size)
    transform = np.array([np.prod(1 + probability * (z - 1)) for z in root])
    value = np.arange(centre - reach, centre + reach)
    chance = np.maximum(np.fft.ifft(transform).real[value % size], 0)
    return np.abs(value - mean), chance / chance.sum()
