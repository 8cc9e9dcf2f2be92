"""KL divergence from samples alone, in nats: by nearest neighbours, and by a classifier.

Neither is right everywhere; docs/theory.md says where each fails. An estimate may be negative:
cutting it at 0 would turn the noise of small divergences into a finding.
"""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import KDTree
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import PolynomialFeatures, SplineTransformer, StandardScaler

N_FOLDS = 5
N_KNOTS = 7


def knn_kl(p: np.ndarray, q: np.ndarray, k: int = 5) -> float:
    """KL(p || q) from the distances to the k-th neighbours in each sample.

    Its standard error falls like 1 / sqrt(n) whatever the divergence, so that it says nothing
    about divergences below that; its bias grows with the dimension and with the divergence.
    Ties break it: whole numbers need a dither first.

    Args:
        p: Draws of p, (n, dim).
        q: Draws of q, (m, dim).
        k: Neighbours; more of them, less variance and more bias.

    Raises:
        ValueError: A sample has fewer than k + 1 rows, or a row k + 1 times.

    Source:
        Wang, Kulkarni, Verdu 2009, IEEE Trans. Inf. Theory 55(5), the estimator with one k;
        Perez-Cruz 2008, ISIT.
    """
    if min(len(p), len(q)) <= k:
        raise ValueError(f"{len(p)} and {len(q)} draws: need more than k = {k} of each")
    own = KDTree(p).query(p, k + 1)[0][:, -1]  # the nearest one is the point itself
    other = np.asarray(KDTree(q).query(p, k)[0]).reshape(len(p), -1)[:, -1]
    if not (own > 0).all() or not (other > 0).all():
        raise ValueError(f"a row occurs more than k = {k} times: dither the draws")
    return float(p.shape[1] * np.mean(np.log(other / own)) + np.log(len(q) / (len(p) - 1)))


def log_ratio(
    p: np.ndarray,
    q: np.ndarray,
    groups: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Estimated log p/q at each draw of p and of q, by models that did not see its group.

    The model is a logistic regression on cubic splines of each feature and on the products of
    features: it holds the log ratio of Gaussians, and of much that is smooth.

    Args:
        p: Draws of p, (n, dim).
        q: Draws of q, (m, dim).
        groups: For both, which draws belong together, such as pixels of an image; None if all
            are independent.

    Raises:
        ValueError: There are fewer than `N_FOLDS` groups of p or of q.
    """
    x = np.concatenate([p, q])
    y = np.repeat([1, 0], [len(p), len(q)])
    pairs = zip(_both(groups), (p, q), strict=True)
    fold = np.concatenate([_folds(g, len(draws)) for g, draws in pairs])
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
    groups: tuple[np.ndarray, np.ndarray] | None = None,
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


def _both(
    groups: tuple[np.ndarray, np.ndarray] | None,
) -> tuple[np.ndarray | None, np.ndarray | None]:
    return (None, None) if groups is None else groups


def _folds(groups: np.ndarray | None, n: int) -> np.ndarray:
    """The fold of each draw; groups stay whole."""
    if groups is None:
        return np.arange(n) % N_FOLDS
    n_groups = len(np.unique(groups))
    if n_groups < N_FOLDS:
        raise ValueError(f"{n_groups} groups: need at least {N_FOLDS}")
    fold = np.empty(n, int)
    for number, (_, out) in enumerate(GroupKFold(N_FOLDS).split(np.empty((n, 1)), groups=groups)):
        fold[out] = number
    return fold
