"""Divergences from samples, against closed forms of the laws that were drawn from."""

import numpy as np
import pytest
from scipy import integrate, stats

from segclf.study.theory.estimate import classifier_kl, knn_kl, log_ratio, mixed_kl

ALPHAS = (0.002, 0.01, 0.05)


def gaussians(dim, shift, n, seed):
    """Draws of two Gaussians that differ in mean and covariance, and KL in closed form."""
    mean, cov = np.zeros(dim), np.eye(dim)
    mean[0], cov[0, 0] = shift, 0.8
    if dim > 1:
        cov[0, 1] = cov[1, 0] = 0.4
    closed = 0.5 * (np.trace(cov) + mean @ mean - dim - np.log(np.linalg.det(cov)))
    rng = np.random.default_rng(seed)
    return rng.multivariate_normal(mean, cov, n), rng.standard_normal((n, dim)), closed


def mixtures(n, seed):
    """Draws of two mixtures of Gaussians on the line, and KL by adaptive integration."""
    p = ((0.3, -1.0, 0.5), (0.7, 2.0, 1.0))
    q = ((0.6, 0.0, 1.0), (0.4, 1.0, 2.0))
    rng = np.random.default_rng(seed)

    def pdf(law, x):
        return sum(w * stats.norm.pdf(x, m, s) for w, m, s in law)

    def sample(law):
        weight, mean, sd = np.array(law).T
        which = rng.choice(2, n, p=weight)
        return rng.normal(mean[which], sd[which])[:, None]

    closed, _ = integrate.quad(lambda x: pdf(p, x) * np.log(pdf(p, x) / pdf(q, x)), -8, 12)
    return sample(p), sample(q), closed


@pytest.mark.parametrize(("dim", "shift"), [(1, 1.0), (1, 2.0), (2, 1.0), (3, 1.0)])
@pytest.mark.parametrize("estimator", [knn_kl, classifier_kl])
def test_gaussians_come_out_within_5_percent(estimator, dim, shift):
    p, q, closed = gaussians(dim, shift, 25000 if estimator is knn_kl else 12000, seed=dim)
    assert estimator(p, q) == pytest.approx(closed, rel=0.05)


@pytest.mark.parametrize("estimator", [knn_kl, classifier_kl])
def test_mixtures_come_out_within_5_percent(estimator):
    p, q, closed = mixtures(25000, seed=2)
    assert estimator(p, q) == pytest.approx(closed, rel=0.05)


def test_small_divergences_are_lost_in_the_noise_of_neighbours_long_before_a_classifiers():
    rng = np.random.default_rng(3)
    errors = {knn_kl: [], classifier_kl: []}
    for _ in range(4):
        p, q = rng.normal(0.1, 1, (8000, 1)), rng.normal(0, 1, (8000, 1))
        for estimator, own in errors.items():
            own.append(estimator(p, q) - 0.1**2 / 2)
    knn, classifier = (np.sqrt(np.mean(np.square(own))) for own in errors.values())
    assert knn > 0.1**2 / 2 > 2 * classifier


def test_neighbours_are_too_low_where_the_laws_lie_far_apart_in_many_dimensions():
    p, q, closed = gaussians(4, 3.0, 5000, seed=4)
    assert knn_kl(p, q) < 0.9 * closed
    assert classifier_kl(p, q) == pytest.approx(closed, rel=0.1)


def test_equal_laws_have_a_divergence_of_about_0_from_both_sides():
    rng = np.random.default_rng(5)
    found = [classifier_kl(*rng.standard_normal((2, 3000, 1))) for _ in range(6)]
    assert min(found) < 0 < max(found)
    assert max(np.abs(found)) < 0.01


def test_draws_that_belong_together_are_judged_by_a_model_that_saw_none_of_them():
    rng = np.random.default_rng(6)
    n_groups, n_each = 10, 400
    noise = [np.repeat(rng.normal(0, 1, n_groups), n_each) for _ in range(2)]
    p, q = ((at + 0.01 * rng.standard_normal(len(at)))[:, None] for at in noise)  # equal laws
    groups = (np.arange(len(p)) // n_each, n_groups + np.arange(len(q)) // n_each)
    assert classifier_kl(p, q) > 0.5  # it knows the groups again
    assert classifier_kl(p, q, groups) < 0.1
    with pytest.raises(ValueError, match="4 groups: need at least 5"):
        classifier_kl(p, q, (groups[0] % 4, groups[1]))


def test_a_bit_of_the_image_needs_no_spline():
    rng, n, rho = np.random.default_rng(7), 20000, 0.9
    p = np.stack([rng.normal(1, 1, n), rng.random(n) < rho], axis=1)
    q = np.stack([rng.normal(0, 1, n), rng.random(n) < 1 - rho], axis=1)
    closed = 0.5 + stats.entropy([rho, 1 - rho], [1 - rho, rho])
    assert classifier_kl(p, q) == pytest.approx(closed, rel=0.05)


def test_ties_and_too_few_draws_are_refused():
    with pytest.raises(ValueError, match="dither"):
        knn_kl(np.zeros((20, 1)), np.ones((20, 1)))
    with pytest.raises(ValueError, match="need more than k = 5"):
        knn_kl(np.random.default_rng(0).random((5, 1)), np.ones((20, 1)))


def test_the_share_of_a_mixture_may_be_far_below_what_samples_of_it_would_show():
    def closed(alpha):
        def term(x):
            excess = alpha * np.expm1(x - 0.5)
            return stats.norm.pdf(x) * ((1 + excess) * np.log1p(excess) - excess)

        return integrate.quad(term, -8, 12, epsabs=1e-14, limit=300)[0]

    rng = np.random.default_rng(8)
    draws = [(rng.normal(1, 1, (20000, 1)), rng.standard_normal((20000, 1))) for _ in range(3)]
    found = np.mean([mixed_kl(ALPHAS, *log_ratio(t, b)) for t, b in draws], axis=0)
    wanted = np.array([closed(alpha) for alpha in ALPHAS])
    assert found == pytest.approx(wanted, rel=0.12)  # 9 % is the spread of one of the three
    assert wanted[0] < 1e-5
