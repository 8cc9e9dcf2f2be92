"""Scores to probabilities: a curve fitted on validation cases, and recorded as plain data."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from scipy.special import expit, logit

from segclf.core.thresholds import one_class_reason

MAX_STEPS = 100
EDGE = 2.0**-24
"""How far from 0 and 1 a score is kept before its logit is taken."""
INVERSE_TEMPERATURES = (1e-3, 1e3)


def fit_calibration(score: np.ndarray, label: np.ndarray, method: str = "platt") -> dict[str, Any]:
    """A curve from score to probability, as plain data for `apply_calibration`.

    `platt`: a logistic curve; the targets are (n_positive + 1) / (n_positive + 2) and
    1 / (n_negative + 2) instead of 1 and 0, so that it stays finite where the classes do not
    overlap. `isotonic`: the rising curve of least squares, straight between its corners; it may
    reach 0 and 1, and needs hundreds of cases. `temperature`: sigmoid(logit(score) / T), for
    scores that are probabilities, with the T of the smallest log loss; it keeps the order of the
    cases and 0.5 in its place. `none` fits nothing.

    Undefined (`reason` says why) with one class only, with one score only, and for `temperature`
    where a score lies outside 0 to 1.

    Args:
        score: (case,) scores of validation cases; NaN is left out and counted.
        label: (case,) 1, 0, or NaN for not known, which is left out and counted.
        method: `platt`, `isotonic`, `temperature` or `none`.

    Returns:
        `method`, the numbers of the curve, the counts, and `reason` where there is no curve.

    Raises:
        ValueError: The arrays differ in shape, a score is infinite, the method is unknown, or
            Newton's method failed.

    Source:
        Platt, Probabilistic outputs for support vector machines (1999), eq. 2-4; Lin, Lin and
        Weng, Machine Learning 68 (2007) 267-276 for the damped Newton step; Zadrozny and Elkan,
        KDD 2002, for isotonic regression; Guo et al., ICML 2017, for the temperature.
    """
    score = np.asarray(score, dtype=np.float64)
    label = np.asarray(label, dtype=np.float64)
    if score.shape != label.shape or np.isinf(score).any():
        raise ValueError(
            f"one finite score per label is needed: got {score.shape} and {label.shape}, "
            f"{int(np.isinf(score).sum())} infinite."
        )
    if method not in METHODS and method != "none":
        raise ValueError(f"method must be {', '.join(METHODS)} or none; got {method!r}.")
    known, present = ~np.isnan(label), ~np.isnan(score)
    x, positive = score[known & present], label[known & present] == 1
    record = {
        "method": method,
        "fitted_on": "val",
        "n": int(x.size),
        "n_positive": int(positive.sum()),
        "n_negative": int((~positive).sum()),
        "n_unknown_label": int((~known).sum()),
        "n_missing_score": int((known & ~present).sum()),
        "reason": one_class_reason(positive),
    }
    if method == "none":
        record["reason"] = "calibration is switched off (summarize.calibrate: none)"
    elif record["reason"] is None and x.min() == x.max():
        record["reason"] = f"all {x.size} validation cases have the score {x[0]:g}"
    return record if record["reason"] is not None else record | METHODS[method](x, positive)


def apply_calibration(score: np.ndarray, calibration: dict[str, Any]) -> np.ndarray:
    """The probability of each score, (case,); NaN where the calibration is undefined."""
    score = np.asarray(score, dtype=np.float64)
    if calibration["reason"] is not None:
        return np.full(score.shape, np.nan)
    if calibration["method"] == "isotonic":
        return np.interp(score, calibration["at_score"], calibration["probability"])
    if calibration["method"] == "temperature":
        is_probability = (score >= 0) & (score <= 1)  # a test score may lie outside
        kept = np.clip(score, EDGE, 1 - EDGE)
        return np.where(is_probability, expit(logit(kept) / calibration["temperature"]), np.nan)
    z = (score - calibration["shift"]) / calibration["scale"]
    return expit(calibration["slope"] * z + calibration["intercept"])


def _platt(x: np.ndarray, positive: np.ndarray) -> dict[str, Any]:
    """`slope` and `intercept` on the score divided by `scale` after subtracting `shift`."""
    shift, scale = float(x.mean()), float(x.std())
    slope, intercept = _newton((x - shift) / scale, _smoothed(positive))
    return {
        "slope": slope,
        "intercept": intercept,
        "shift": shift,
        "scale": scale,
        "separated": bool(
            x[positive].min() > x[~positive].max() or x[positive].max() < x[~positive].min()
        ),
        "reversed": slope < 0,
    }


def _isotonic(x: np.ndarray, positive: np.ndarray) -> dict[str, Any]:
    """Corners of the curve: `at_score` rises, and `probability` with it."""
    from scipy.optimize import isotonic_regression  # heavy

    at, place, weight = np.unique(x, return_inverse=True, return_counts=True)
    share = np.bincount(place, positive) / weight  # equal scores have one probability
    rising = np.asarray(isotonic_regression(share, weights=weight).x)
    is_inside = np.zeros(at.size, dtype=bool)  # of a level stretch only the ends are needed
    is_inside[1:-1] = (rising[1:-1] == rising[:-2]) & (rising[1:-1] == rising[2:])
    return {
        "at_score": at[~is_inside].tolist(),
        "probability": np.clip(rising[~is_inside], 0.0, 1.0).tolist(),
        "n_levels": int(np.unique(rising).size),
    }


def _temperature(x: np.ndarray, positive: np.ndarray) -> dict[str, Any]:
    """`temperature` of the smallest log loss; the slope of the loss in 1 / T has one zero."""
    outside = int(((x < 0) | (x > 1)).sum())
    if outside:
        return {"reason": f"{outside} of {x.size} validation scores are outside 0 to 1"}
    from scipy.optimize import brentq  # heavy

    z = logit(np.clip(x, EDGE, 1 - EDGE))

    def slope(log_inverse: float) -> float:
        return float(np.mean((expit(np.exp(log_inverse) * z) - positive) * z))

    low, high = np.log(INVERSE_TEMPERATURES)
    if slope(low) >= 0:  # the lower the score, the more positives
        log_inverse = low
    elif slope(high) <= 0:  # every case is on the right side of 0.5
        log_inverse = high
    else:
        log_inverse = cast(float, brentq(slope, low, high, xtol=1e-12))
    return {
        "temperature": float(np.exp(-log_inverse)),
        "n_clipped": int(((x < EDGE) | (x > 1 - EDGE)).sum()),
        "at_limit": bool(log_inverse in (low, high)),
    }


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], dict[str, Any]]] = {
    "platt": _platt,
    "isotonic": _isotonic,
    "temperature": _temperature,
}
"""The ways to calibrate; each takes scores and whether they are positive, of both classes."""


def _smoothed(positive: np.ndarray) -> np.ndarray:
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    return np.where(positive, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))


def _newton(x: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    design = np.column_stack([x, np.ones_like(x)])
    weight = np.array([0.0, logit(target.mean())])
    for _ in range(MAX_STEPS):
        p = expit(design @ weight)
        hessian = (design * (p * (1.0 - p))[:, None]).T @ design
        step = np.linalg.solve(hessian, design.T @ (p - target))
        largest_loss = _loss(design @ weight, target) + 1e-12  # room for rounding
        while _loss(design @ (weight - step), target) > largest_loss:
            step /= 2
        weight = weight - step
        if np.abs(step).max() < 1e-10:
            return float(weight[0]), float(weight[1])
    raise ValueError(f"the logistic fit did not converge in {MAX_STEPS} steps.")


def _loss(z: np.ndarray, target: np.ndarray) -> float:
    return float(np.mean(np.logaddexp(0.0, z) - target * z))
