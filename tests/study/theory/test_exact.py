"""Known laws: divergences, the bound, and the predictions that follow from them."""

import numpy as np
import pytest
from scipy import integrate, stats

from segclf.study.theory.exact import (
    Mixture,
    Scene,
    blend,
    chi2,
    gaussian,
    in_context,
    kl,
    quadrature,
    scene_of,
    share_of_positives,
)

T, B = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.3, 0.2, 0.1])


def test_kl_of_masses_is_scipys_entropy_also_where_it_is_tiny_or_infinite():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(7)), rng.dirichlet(np.ones(7))
    assert kl(p, q) == pytest.approx(stats.entropy(p, q), rel=1e-12)
    near = q * (1 + 1e-4 * np.array([1, -1, 1, -1, 0, 0, 0]))
    near /= near.sum()
    assert kl(near, q) == pytest.approx(chi2(near, q) / 2, rel=1e-3)
    assert kl([0.5, 0.5], [1.0, 0.0]) == np.inf
    assert kl([1.0, 0.0], [0.5, 0.5]) == pytest.approx(np.log(2))


def test_the_printed_numbers_of_the_reconstruction_come_out():
    scene = Scene(T, B, B)
    wanted = {1: "0.4564", 0.3: "0.0466", 0.1: "0.00568", 0.03: "0.000533", 0.01: "0.000060"}
    for alpha, text in wanted.items():
        n_digits = len(text) - 2
        assert f"{scene.image_kl(alpha):.{n_digits}f}" == text
    small = {0.3: "0.0544", 0.1: "0.00604", 0.03: "0.000544", 0.01: "0.000060"}
    for alpha, text in small.items():
        assert f"{scene.image_small(alpha):.{len(text) - 2}f}" == text
    assert f"{scene.pixel_kl(0.03, 0.5):.4f}" == "0.4564"


def test_kl_and_chi2_of_gaussians_are_the_closed_forms():
    for mean, sd in ((0.0, 1.0), (1.5, 1.0), (-2.0, 0.7), (7.2, 1.0)):
        p, q = gaussian(mean, sd), gaussian(0.0, 1.0)
        x, w = quadrature((p, q))
        closed = -np.log(sd) + (sd**2 + mean**2 - 1) / 2
        assert kl(p.density(x), q.density(x), w) == pytest.approx(closed, rel=1e-9, abs=1e-14)
    p, q = gaussian(1.5, 1.0), gaussian(0.0, 1.0)
    x, w = quadrature((p, q))
    assert chi2(p.density(x), q.density(x), w) == pytest.approx(np.exp(1.5**2) - 1, rel=1e-9)


def test_kl_of_mixtures_is_what_adaptive_integration_says():
    p = Mixture((0.3, 0.7), (-1.0, 2.0), (0.5, 1.0))
    q = Mixture((0.6, 0.4), (0.0, 1.0), (1.0, 2.0))
    x, w = quadrature((p, q))

    def pdf(law, at):
        return sum(
            k * stats.norm.pdf(at, m, s)
            for k, m, s in zip(law.weights, law.means, law.sds, strict=True)
        )

    wanted, _ = integrate.quad(
        lambda at: pdf(p, at) * np.log(pdf(p, at) / pdf(q, at)), -8, 12, epsabs=1e-12, limit=200
    )
    assert kl(p.density(x), q.density(x), w) == pytest.approx(wanted, rel=1e-8)
    assert np.allclose(p.density(x), pdf(p, x))
    both = blend([0.25, 0.75], (p, q))
    assert np.allclose(both.density(x), 0.25 * pdf(p, x) + 0.75 * pdf(q, x))


def test_the_bound_is_never_below_the_image_level_divergence():
    rng = np.random.default_rng(1)
    for _ in range(200):
        scene = Scene(*rng.dirichlet(0.3 * np.ones(5), 3) + 1e-9)
        alpha = rng.random()
        assert scene.image_kl(alpha) <= scene.image_bound(alpha) * (1 + 1e-9)
    assert Scene(T, B, B).image_bound(0.03) == pytest.approx(0.03 * stats.entropy(T, B))


def test_the_slope_is_2_for_a_small_target_that_is_hard_to_see_and_1_for_one_that_stands_out():
    hard = scene_of(gaussian(1.0, 1), gaussian(0, 1), gaussian(0, 1))
    clear = scene_of(gaussian(12.0, 1), gaussian(0, 1), gaussian(0, 1))
    assert hard.image_slope(0.002) == pytest.approx(2, abs=0.01)
    assert clear.image_slope(0.002) == pytest.approx(1, abs=0.12)
    step = 1e-4
    numeric = np.log(hard.image_kl(0.1 * (1 + step)) / hard.image_kl(0.1 * (1 - step))) / (2 * step)
    assert hard.image_slope(0.1) == pytest.approx(numeric, rel=1e-6)


def test_lambda_is_the_share_of_background_pixels_that_lie_in_positive_images():
    assert share_of_positives(0.5, 0.5) == pytest.approx(1 / 3)  # 1 half image against 2
    assert share_of_positives(0.0, 0.2) == pytest.approx(0.2)
    assert share_of_positives(1.0, 0.2) == 0
    with pytest.raises(ValueError, match="need shares"):
        share_of_positives(1.0, 1.0)


def test_a_shared_bit_adds_its_own_divergence_and_masks_shed_it_the_less_the_rarer_positives_are():
    rho = 0.9
    bit = stats.entropy([rho, 1 - rho], [1 - rho, rho])
    t, b = gaussian(1.5, 1), gaussian(0, 1)
    with_bit, without = in_context(t, b, (rho, rho, 1 - rho)), in_context(t, b)
    assert with_bit.background_kl() == pytest.approx(bit)
    assert with_bit.image_kl(0.02) - without.image_kl(0.02) == pytest.approx(bit)
    for prevalence in (0.5, 0.1, 0.01):
        share = share_of_positives(0.02, prevalence)
        others = share * rho + (1 - share) * (1 - rho)
        left = stats.entropy([rho, 1 - rho], [others, 1 - others])
        gained = with_bit.pixel_kl(0.02, prevalence) - without.pixel_kl(0.02, prevalence)
        assert gained == pytest.approx(left)
    assert with_bit.pixel_kl(0.02, 1e-9) - without.pixel_kl(0.02, 1e-9) == pytest.approx(bit)
