"""Learning curves: a power law of the AUROC's distance from 1, with everything not known in it.

error(masks, labels) = E (f0 + f1 (masks / masks0)^-k + f2 (labels / labels0)^-q), f0 + f1 + f2 = 1

The error is 1 - AUROC, so E f0 >= 0 keeps the asymptote at 1 or below. Measured errors scatter
about it on the logit scale, with a variance that may fall with the number of masks. E, f, k, q and
the fall have the priors below, the variance an inverse gamma prior that is integrated out; the
posterior is a weighted set of quasi-random draws from the prior. So no optimizer can fail, and
few measurements give wide intervals instead of none.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.stats import qmc

from segclf.core.randomness import generator

N_DIMS, LOG2_DRAWS = 7, 16
N_KEPT = 2000
LEVEL = (-9.0, 0.7)
"""Logit of E: AUROC at the smallest size between 0.33 and 0.9999."""
EXPONENT = (0.1, 3.0)
"""k and q, uniform in their logarithm."""
SHAPE, SCALE = 1.5, 0.05
"""Prior of the variance: inverse gamma, with a mean of 0.1; that is a scatter of 0.03 at an AUROC
of 0.9."""
LARGEST_FALL = 0.5
MIN_SIZES = 2
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Curve:
    """Draws from the posterior."""

    level: np.ndarray
    """(draw,) E."""
    share: np.ndarray
    """(draw, 3) f0, f1, f2."""
    exponent: np.ndarray
    """(draw, 2) k, q."""
    variance: np.ndarray
    """(draw,) of a training at `largest` masks, on the logit scale."""
    fall: np.ndarray
    """(draw,) power with which the variance falls with masks, 0 to 0.5."""
    masks0: float
    labels0: float
    largest: float
    has_labels: bool
    """Whether several numbers of labels were measured; else f2 is 0."""
    n_effective: float
    """Prior draws that carry the posterior; below 50 the intervals are rough."""


@dataclass(frozen=True)
class Cases:
    """Cases that an AUROC is measured on, for its sampling error."""

    n_positive: float
    n_negative: float
    design_effect: float = 1.0
    """Variance by patient over variance by case."""


def fit_curve(
    masks: np.ndarray, labels: np.ndarray, auroc: np.ndarray, *, resolution: float = 1e-4
) -> Curve:
    """The posterior of the curve.

    Args:
        masks: (training,) training masks.
        labels: (training,) training labels.
        auroc: (training,) measured, all on the same cases.
        resolution: Smallest error that these cases can show: half of one pair of cases.

    Raises:
        ValueError: Fewer than two sizes, or a value that is no AUROC.

    Source:
        The additive power law: Rosenfeld et al., ICLR 2020. Priors are ours; their coverage is
        tested on simulated curves.
    """
    masks, labels, auroc = (np.asarray(x, dtype=float) for x in (masks, labels, auroc))
    if len(np.unique(masks)) < MIN_SIZES:
        raise ValueError(f"a curve needs at least {MIN_SIZES} numbers of masks: got {set(masks)}.")
    if not ((auroc >= 0) & (auroc <= 1)).all():
        raise ValueError(f"an AUROC lies in [0, 1]: got {auroc.min()} to {auroc.max()}.")
    has_labels = len(np.unique(labels)) > 1
    shift = generator(0, "learning curve").random(N_DIMS)
    draws = (qmc.Sobol(N_DIMS, scramble=False).random_base2(LOG2_DRAWS) + shift) % 1.0
    level = special.expit(LEVEL[0] + (LEVEL[1] - LEVEL[0]) * draws[:, 0])
    share = _shares(draws[:, 1:3], has_labels)
    low, high = np.log(EXPONENT)
    exponent = np.exp(low + (high - low) * draws[:, 3:5])
    fall = LARGEST_FALL * draws[:, 5]
    curve = Curve(
        level, share, exponent, np.ones(len(level)), fall, float(masks.min()),
        float(labels.max()), float(masks.max()), has_labels, 0.0,
    )  # fmt: skip
    error = np.clip(1 - auroc, resolution, 1 - resolution)
    residual = special.logit(error) - special.logit(errors_of(curve, masks, labels))
    weight = (masks / masks.max()) ** fall[:, None]
    squares = (weight * residual**2).sum(axis=1)
    n = len(auroc)
    log_p = 0.5 * np.log(weight).sum(axis=1) - (SHAPE + n / 2) * np.log(SCALE + squares / 2)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    # Evenly spaced places on the cumulated weights: less noise than draws at random.
    chosen = np.searchsorted(np.cumsum(p), (np.arange(N_KEPT) + 0.5) / N_KEPT)
    chosen = generator(0, "order of draws").permutation(np.minimum(chosen, len(p) - 1))
    gamma = special.gammaincinv(SHAPE + n / 2, draws[chosen, 6].clip(1e-6, 1 - 1e-6))
    return Curve(
        level[chosen], share[chosen], exponent[chosen], (SCALE + squares[chosen] / 2) / gamma,
        fall[chosen], curve.masks0, curve.labels0, curve.largest, has_labels,
        float(1 / (p**2).sum()),
    )  # fmt: skip


def errors_of(curve: Curve, masks: np.ndarray | float, labels: np.ndarray | float) -> np.ndarray:
    """(draw, size) 1 - AUROC of the curve without scatter, at most 0.9999."""
    m = np.atleast_1d(np.asarray(masks, dtype=float)) / curve.masks0
    n = np.atleast_1d(np.asarray(labels, dtype=float)) / curve.labels0
    k, q = curve.exponent[:, :1], curve.exponent[:, 1:]
    shape = curve.share[:, :1] + curve.share[:, 1:2] * m**-k + curve.share[:, 2:] * n**-q
    return np.clip(curve.level[:, None] * shape, 1e-9, 0.9999)


def predict_auroc(
    curve: Curve,
    masks: float,
    labels: float,
    *,
    n_trainings: int = 1,
    measured_on: Cases | None = None,
    judged_on: Cases | None = None,
    confidence: float = CONFIDENCE,
) -> tuple[float, float, float]:
    """Median and prediction interval of an AUROC that will be measured at another size.

    On the cases of the curve the interval holds what is not known of the curve and the scatter of
    trainings. For other cases the sampling errors of both sets of cases are added.

    Args:
        curve: The posterior.
        masks: Training masks.
        labels: Training labels.
        n_trainings: Over how many trainings, each on a subset of its own, the mean is taken.
        measured_on: The cases of the curve; needed with `judged_on`.
        judged_on: Other cases; None are the same.
        confidence: Of the interval.
    """
    error = errors_of(curve, masks, labels)[:, 0]
    variance = curve.variance * (masks / curve.largest) ** -curve.fall / n_trainings
    if judged_on is not None and measured_on is not None:
        variance = variance + logit_variance(1 - error, measured_on)
        variance = variance + logit_variance(1 - error, judged_on)
    z = special.ndtri((np.arange(len(error)) + 0.5) / len(error))
    z = generator(0, "scatter of trainings").permutation(z)
    drawn = 1 - special.expit(special.logit(error) + z * np.sqrt(variance))
    tail = (1 - confidence) / 2
    lo, middle, hi = np.quantile(drawn, (tail, 0.5, 1 - tail))
    return float(middle), float(lo), float(hi)


def logit_variance(auroc: np.ndarray, cases: Cases) -> np.ndarray:
    """Sampling variance of the logit of an AUROC.

    Source:
        Hanley and McNeil, Radiology 143 (1982) 29, times the design effect.
    """
    n1, n0 = cases.n_positive, cases.n_negative
    q1, q2 = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    between = (n1 - 1) * (q1 - auroc**2) + (n0 - 1) * (q2 - auroc**2)
    variance = (auroc * (1 - auroc) + between) / (n1 * n0)
    return cases.design_effect * variance / (auroc * (1 - auroc)) ** 2


def masks_needed(curve: Curve, target: float, labels: float, most: float = 1e7) -> np.ndarray:
    """(draw,) masks at which each drawn curve reaches an AUROC; infinite where it never does.

    Args:
        curve: The posterior.
        target: AUROC.
        labels: Training labels.
        most: Beyond this many, a curve counts as never reaching it.
    """
    rest = (1 - target) / curve.level - curve.share[:, 0]
    rest = rest - curve.share[:, 2] * (labels / curve.labels0) ** -curve.exponent[:, 1]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        needed = curve.masks0 * (rest / curve.share[:, 1]) ** (-1 / curve.exponent[:, 0])
    return np.where((rest > 0) & (needed <= most), needed, np.inf)


def _shares(uniform: np.ndarray, has_labels: bool) -> np.ndarray:
    """(draw, 3) uniform on the simplex; f2 is 0 without several numbers of labels."""
    if not has_labels:
        return np.stack([uniform[:, 0], 1 - uniform[:, 0], 0 * uniform[:, 0]], axis=1)
    cut = np.sort(uniform, axis=1)
    return np.stack([cut[:, 0], cut[:, 1] - cut[:, 0], 1 - cut[:, 1]], axis=1)
