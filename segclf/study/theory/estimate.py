"""KL divergence from samples alone, in nats: by nearest neighbours, and by a classifier.

Neither is right everywhere; docs/science.md says where each fails. An estimate may be negative:
cutting it at 0 would turn the noise of small divergences into a finding.
"""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import KDTree
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import PolynomialFeatures, SplineTransformer, StandardScaler

N_FOLDS = 5
N_KNOTS = 7


Groups = tuple[np.ndarray, np.ndarray]
"""For draws of p and of q, which belong together, such as pixels of an image; both count alike."""


def knn_kl(p: np.ndarray, q: np.ndarray, k: int = 5, groups: Groups | None = None) -> float:
    """KL(p || q) from the distances to the k-th neighbours in each sample.

    Its standard error falls like 1 / sqrt(n) whatever the divergence, so that it says nothing
    about divergences below that; its bias grows with the dimension and with the divergence.
    Ties break it: whole numbers need a dither first.

    Args:
        p: Draws of p, (n, dim).
        q: Draws of q, (m, dim).
        k: Neighbours; more of them, less variance and more bias.
        groups: Neighbours are of other groups, since those of the same one are too near; None if
            all draws are independent.

    Raises:
        ValueError: A sample has fewer than k + 1 rows or too few groups, or a row recurs.

    Source:
        Wang, Kulkarni, Verdu 2009, IEEE Trans. Inf. Theory 55(5), the estimator with one k;
        Perez-Cruz 2008, ISIT.
    """
    if min(len(p), len(q)) <= k:
        raise ValueError(f"{len(p)} and {len(q)} draws: need more than k = {k} of each")
    if groups is None:
        return _knn(p, p, q, k, n_own=1)  # the nearest one is the point itself
    fold, of_q = np.split(_folds(p, q, groups), [len(p)])
    parts = [
        _knn(p[fold == f], p[fold != f], q[of_q != f], k, n_own=0) for f in range(N_FOLDS)
        if (fold == f).any()
    ]  # fmt: skip
    return float(np.average(parts, weights=np.bincount(fold)[np.unique(fold)]))


def _knn(at: np.ndarray, p: np.ndarray, q: np.ndarray, k: int, *, n_own: int) -> float:
    """The estimate at some draws of p; `n_own` of each are in the sample `p` themselves."""
    near, far = (
        np.asarray(KDTree(sample).query(at, rank)[0]).reshape(len(at), -1)[:, -1]
        for sample, rank in ((p, k + n_own), (q, k))
    )
    if not (near > 0).all() or not (far > 0).all():
        raise ValueError(f"a row occurs more than k = {k} times: dither the draws")
    return float(at.shape[1] * np.mean(np.log(far / near)) + np.log(len(q) / (len(p) - n_own)))


def log_ratio(
    p: np.ndarray,
    q: np.ndarray,
    groups: Groups | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Estimated log p/q at each draw of p and of q, by models that did not see its group.

    The model is a logistic regression on cubic splines of each feature and on the products of
    features: it holds the log ratio of Gaussians, and of much that is smooth.

    Args:
        p: Draws of p, (n, dim).
        q: Draws of q, (m, dim).
        groups: Which draws belong together; None if all are independent.

    Raises:
        ValueError: There are fewer than `N_FOLDS` groups of p or of q.
    """
    x = np.concatenate([p, q])
    y = np.repeat([1, 0], [len(p), len(q)])
    fold = _folds(p, q, groups)
    score = np.empty(len(x))
    for number in range(N_FOLDS):
        is_out = fold == number
        model = _model(x).fit(x[~is_out], y[~is_out])
        prior = np.log(y[~is_out].mean() / (1 - y[~is_out].mean()))
        score[is_out] = model.decision_function(x[is_out]) - prior
    return score[: len(p)], score[len(p) :]


def classifier_kl(
    p: np.ndarray,
    q: np.ndarray,
    groups: Groups | None = None,
) -> float:
    """KL(p || q): the mean, at draws of p, of the log ratio of a cross-fitted classifier.

    What the classifier cannot express is missed. Its standard error is that of a mean of log
    ratios, sd / sqrt(n), and falls with the divergence; under equal laws that of the fit remains,
    about (number of its terms) / n. It fails where samples are apart: the ratio is then as large
    as the penalty allows.

    Args:
        p: Draws of p, (n, dim).
        q: Draws of q, (m, dim).
        groups: As for `log_ratio`.

    Source:
        Density ratios by classification: Bickel, Brueckner, Scheffer 2007, ICML; the intercept is
        corrected for n and m.
    """
    return float(log_ratio(p, q, groups)[0].mean())


def mixed_kl(alphas: Sequence[float], at_target: np.ndarray, at_rest: np.ndarray) -> list[float]:
    """KL(alpha T + (1 - alpha) B || B) for each alpha, from log T/B at draws of T and of B.

    Since u = 1 + alpha (T/B - 1) is the ratio, it is the mean of u log u - u + 1 under B: terms of
    order alpha^2 of one sign, which need no sample of the mixture. So it reaches alphas far below
    what `knn_kl` and `classifier_kl` see. It takes for granted that positive and negative images
    share the background.

    Args:
        alphas: Shares of T.
        at_target: `log_ratio` at draws of T.
        at_rest: The same at draws of B.
    """
    ratio = np.exp(np.concatenate([at_target, at_rest]))
    share = len(at_target) / len(ratio)
    # Draws of both laws, weighted to count as draws of B, so that no region is without draws.
    weight = 1 / (share * ratio + 1 - share)
    weight /= weight.sum()
    excess = np.asarray(alphas, float)[:, None] * (ratio / (weight @ ratio) - 1)
    return [float(v) for v in ((1 + excess) * np.log1p(excess) - excess) @ weight]


def _model(x: np.ndarray) -> Pipeline:
    """A pipeline for these draws; splines are for features that take more values than knots."""
    smooth = [n for n, column in enumerate(x.T) if len(np.unique(column)) > N_KNOTS]
    splines = SplineTransformer(
        n_knots=N_KNOTS, knots="quantile", extrapolation="linear", include_bias=False
    )
    # Splines are straight beyond the last draws, where Gaussians are told apart by squares.
    terms = make_union(
        make_column_transformer((splines, smooth)), PolynomialFeatures(2, include_bias=False)
    )
    logistic = LogisticRegression(solver="newton-cholesky", max_iter=60)
    return make_pipeline(StandardScaler(), terms, StandardScaler(), logistic)


def _folds(p: np.ndarray, q: np.ndarray, groups: Groups | None) -> np.ndarray:
    """The fold of each draw of p, then of q; groups stay whole, across p and q too."""
    if groups is None:
        return np.concatenate([np.arange(len(p)) % N_FOLDS, np.arange(len(q)) % N_FOLDS])
    n_groups = min(len(np.unique(own)) for own in groups)
    if n_groups < N_FOLDS:
        raise ValueError(f"{n_groups} groups: need at least {N_FOLDS}")
    _, number = np.unique(np.concatenate(groups), return_inverse=True)
    return number % N_FOLDS
