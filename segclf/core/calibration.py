"""Scores to probabilities: a logistic curve fitted on validation cases, and recorded."""

from typing import Any

import numpy as np
from scipy.special import expit, logit

from segclf.core.thresholds import one_class_reason

MAX_STEPS = 100


def fit_calibration(score: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    """A logistic curve from score to probability, as plain data for `apply_calibration`.

    Platt scaling: the targets are (n_positive + 1) / (n_positive + 2) and 1 / (n_negative + 2)
    instead of 1 and 0, so that the curve stays finite where the classes do not overlap. Undefined
    (`reason` says why, `slope` is None) with one class only or with one score only.

    Args:
        score: (case,) scores of validation cases; NaN is left out and counted.
        label: (case,) 1, 0, or NaN for not known, which is left out and counted.

    Returns:
        `slope` and `intercept` on the score divided by `scale` after subtracting `shift`, the
        counts, whether the classes are separated, and `reason`.

    Raises:
        ValueError: The arrays differ in shape, a score is infinite, or Newton's method failed.

    Source:
        Platt, Probabilistic outputs for support vector machines (1999), eq. 2-4; Lin, Lin and
        Weng, Machine Learning 68 (2007) 267-276 for the damped Newton step.
    """
    score = np.asarray(score, dtype=np.float64)
    label = np.asarray(label, dtype=np.float64)
    if score.shape != label.shape or np.isinf(score).any():
        raise ValueError(
            f"one finite score per label is needed: got {score.shape} and {label.shape}, "
            f"{int(np.isinf(score).sum())} infinite."
        )
    known, present = ~np.isnan(label), ~np.isnan(score)
    x, positive = score[known & present], label[known & present] == 1
    record = {
        "method": "logistic (Platt 1999, smoothed targets)",
        "fitted_on": "val",
        "n": int(x.size),
        "n_positive": int(positive.sum()),
        "n_negative": int((~positive).sum()),
        "n_unknown_label": int((~known).sum()),
        "n_missing_score": int((known & ~present).sum()),
        "reason": one_class_reason(positive),
        "slope": None,
    }
    if record["reason"] is None and x.min() == x.max():
        record["reason"] = f"all {x.size} validation cases have the score {x[0]:g}"
    if record["reason"] is not None:
        return record
    shift, scale = float(x.mean()), float(x.std())
    slope, intercept = _newton((x - shift) / scale, _smoothed(positive))
    return {
        **record,
        "slope": slope,
        "intercept": intercept,
        "shift": shift,
        "scale": scale,
        "separated": bool(
            x[positive].min() > x[~positive].max() or x[positive].max() < x[~positive].min()
        ),
        "reversed": slope < 0,
    }


def apply_calibration(score: np.ndarray, calibration: dict[str, Any]) -> np.ndarray:
    """The probability of each score, (case,); NaN where the calibration is undefined."""
    score = np.asarray(score, dtype=np.float64)
    if calibration["slope"] is None:
        return np.full(score.shape, np.nan)
    z = (score - calibration["shift"]) / calibration["scale"]
    return expit(calibration["slope"] * z + calibration["intercept"])


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
