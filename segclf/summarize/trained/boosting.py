"""Gradient boosting on mask statistics, kept as arrays of trees; no model object is stored."""

import numpy as np
from scipy.special import expit

from segclf.summarize.trained.heads import Arrays, StatisticsHead

N_TREES = 100
DEPTH = 2
RATE = 0.1
LEAF = -1
"""What `left` says of a node that has no children."""


def fit_boosting(features: np.ndarray, positive: np.ndarray, seed: int) -> Arrays:
    """Trees as arrays (tree, node): `feature`, `threshold`, `left`, `right`, `value`; `start`.

    Args:
        features: (case, feature).
        positive: (case,) 1 or 0, both present.
        seed: Breaks ties between equal splits.

    Source:
        Friedman, Annals of Statistics 29 (2001) 1189-1232; scikit-learn grows the trees.
    """
    from sklearn.ensemble import GradientBoostingClassifier

    model = GradientBoostingClassifier(
        n_estimators=N_TREES, max_depth=DEPTH, learning_rate=RATE, random_state=seed % 2**32
    )
    model.fit(features, positive)
    trees = [tree.tree_ for tree in model.estimators_[:, 0]]
    n_nodes = max(tree.node_count for tree in trees)

    def column(name: str, dtype: type) -> np.ndarray:
        rows = np.full((len(trees), n_nodes), LEAF, dtype=dtype)
        for row, tree in zip(rows, trees, strict=True):
            row[: tree.node_count] = np.ravel(getattr(tree, name))
        return rows

    share = positive.mean()
    return {
        "feature": column("feature", np.int64),
        "threshold": column("threshold", np.float64),
        "left": column("children_left", np.int64),
        "right": column("children_right", np.int64),
        "value": column("value", np.float64),
        "start": np.array([np.log(share / (1 - share))]),
    }


def boosting_probability(arrays: Arrays, features: np.ndarray) -> np.ndarray:
    """The probability of each case, (case,): every case walks down every tree at once.

    Features are compared in float32, as the trees were grown.
    """
    x = features.astype(np.float32)
    tree = np.arange(len(arrays["left"]))[:, None]
    node = np.zeros((len(tree), len(x)), dtype=np.int64)
    for _ in range(arrays["left"].shape[1]):
        inner = arrays["left"][tree, node] != LEAF
        if not inner.any():
            break
        feature = np.where(inner, arrays["feature"][tree, node], 0)
        goes_left = x[np.arange(len(x)), feature] <= arrays["threshold"][tree, node]
        child = np.where(goes_left, arrays["left"][tree, node], arrays["right"][tree, node])
        node = np.where(inner, child, node)
    return expit(arrays["start"][0] + RATE * arrays["value"][tree, node].sum(0))


BOOSTING = StatisticsHead(fit_boosting, boosting_probability, ".npz")
