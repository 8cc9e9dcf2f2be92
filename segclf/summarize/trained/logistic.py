"""Logistic regression on standardized mask statistics, kept as coefficients."""

import numpy as np
from scipy.special import expit

from segclf.summarize.trained.heads import Arrays, StatisticsHead

STRENGTH = 1.0
"""scikit-learn's C: the inverse of the weight of the squared coefficients."""
MAX_STEPS = 1000


def fit_logistic(features: np.ndarray, positive: np.ndarray, _seed: int) -> Arrays:
    """Mean and scale of each feature, and the coefficients on what is standardized by them.

    A feature that is the same in all cases has the scale 1 and so no influence.

    Args:
        features: (case, feature).
        positive: (case,) 1 or 0, both present.
    """
    from sklearn.linear_model import LogisticRegression

    mean, spread = features.mean(0), features.std(0)
    scale = np.where(spread > 1e-12 * np.maximum(1.0, np.abs(mean)), spread, 1.0)
    model = LogisticRegression(C=STRENGTH, max_iter=MAX_STEPS)
    model.fit((features - mean) / scale, positive)
    return {
        "mean": mean,
        "scale": scale,
        "coefficient": model.coef_[0],
        "intercept": np.asarray(model.intercept_),
    }


def logistic_probability(arrays: Arrays, features: np.ndarray) -> np.ndarray:
    """The probability of each case, (case,)."""
    z = (features - arrays["mean"]) / arrays["scale"]
    return expit(z @ arrays["coefficient"] + arrays["intercept"][0])


LOGISTIC = StatisticsHead(fit_logistic, logistic_probability, ".json")
