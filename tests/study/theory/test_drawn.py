"""Pixels of the phantom against the laws that they are said to follow."""

import numpy as np
import pytest
from scipy import ndimage, stats

from segclf.phantom import PhantomSettings, draw_case
from segclf.study.theory.drawn import (
    NEGATIVE,
    POSITIVE,
    RESIDUAL,
    TARGET,
    draw_pixels,
    drawn_scene,
    ideal_scene,
    noise_sd,
)

SETTINGS = PhantomSettings.model_validate(
    {
        "seed": 3,
        "size_px": [64, 64],
        "area_fraction": 0.02,
        "area_spread": 0,
        "contrast": 0.05,
        "noise": 0.04,
        "tube_contrast": 0.12,
        "site": {"A": 1.0},
        "rho": {"train": 0.5, "val": 0.5, "test": 0.5},
    }
)
N_IMAGES = 120


@pytest.fixture(scope="module")
def pixels():
    return draw_pixels(SETTINGS, N_IMAGES)


def test_pixels_belong_to_the_regions_that_the_masks_say(pixels):
    cases = [draw_case(SETTINGS, "train", index) for index in range(N_IMAGES)]
    label = np.array([case.labels[0] for case in cases])
    tube = np.array([case.tube for case in cases])
    assert (label[pixels.image[pixels.region != NEGATIVE]] == 1).all()
    assert (label[pixels.image[pixels.region == NEGATIVE]] == 0).all()
    assert (tube[pixels.image] == pixels.tube).all()
    n_target = np.array([case.masks.sum() for case in cases])
    kept = np.bincount(pixels.image[pixels.region == TARGET], minlength=N_IMAGES)
    assert (kept <= n_target).all()
    assert kept.sum() > 0.5 * n_target.sum()
    assert 0.02 < pixels.alpha < 0.06  # of the body, which is about half of the image


@pytest.mark.parametrize("region", [TARGET, POSITIVE, NEGATIVE])
def test_residuals_follow_the_law_of_clean_intensity_and_gaussian_noise(pixels, region):
    x = pixels.features[RESIDUAL][pixels.region == region, 0]
    tube = pixels.tube[pixels.region == region].mean()
    weights = (1 - tube) * pixels.levels[region, 0] + tube * pixels.levels[region, 1]

    at, level = np.linspace(-0.15, 0.35, 101), np.flatnonzero(weights)
    cdf = stats.norm.cdf(at[:, None], level / 255, pixels.sd) @ weights[level]
    drawn = np.searchsorted(np.sort(x), at) / len(x)
    # Neighbours are alike, so that there is no p-value; thinned, the distance is that of a shift
    # by a tenth of a standard deviation at most.
    assert np.abs(drawn - cdf).max() < 0.03
    assert np.abs(np.searchsorted(np.sort(x + 0.01), at) / len(x) - cdf).max() > 0.05


def test_the_noise_alone_is_nearly_but_not_exactly_gaussian(pixels):
    rng = np.random.default_rng(0)
    clean = (pixels.region == NEGATIVE) & (pixels.tube == 0)
    x = pixels.features[RESIDUAL][clean, 0]
    assert x.std() == pytest.approx(pixels.sd, rel=0.02)
    assert abs(x.mean()) < 0.004
    assert stats.kurtosis(x) == pytest.approx(0, abs=0.15)
    assert abs(stats.skew(x) - stats.skew(rng.standard_normal(len(x)))) < 0.1


def test_the_noise_varies_less_inside_than_the_settings_say_since_it_varies_more_at_the_border():
    rng = np.random.default_rng(1)
    fields = np.stack(
        [ndimage.gaussian_filter(rng.standard_normal((64, 64)), 1.3) for _ in range(300)]
    )
    fields /= fields.std(axis=(1, 2), keepdims=True)
    inside = 0.04 * fields[:, 20:44, 20:44].std()
    assert np.sqrt(noise_sd(SETTINGS) ** 2 - 0.25 / 255**2) == pytest.approx(inside, rel=0.01)
    assert inside < 0.039


def test_the_scene_of_what_was_drawn_is_the_ideal_one_but_for_blurred_edges_and_tubes(pixels):
    ideal, drawn = ideal_scene(SETTINGS), drawn_scene(pixels, 0.5)
    strength = 0.05**2 / (2 * pixels.sd**2)
    assert ideal.target_kl() == pytest.approx(strength)
    assert 0.4 * strength < drawn.target_kl() < strength
    assert ideal.background_kl() == 0
    assert 0 < drawn.background_kl() < 0.01
    for law in (drawn.target, drawn.positive, drawn.negative):
        assert np.sum(law * drawn.weight) == pytest.approx(1)


def test_the_bit_of_the_image_adds_its_divergence_to_the_background(pixels):
    bit = stats.entropy([0.9, 0.1], [0.1, 0.9])
    with_bit = drawn_scene(pixels, 0.9, with_bit=True)
    assert with_bit.background_kl() == pytest.approx(bit, rel=0.01)
    local = drawn_scene(pixels, 0.9)
    assert 0.001 < local.background_kl() < 0.1  # tubes take few pixels
    assert drawn_scene(pixels, 0.5, with_bit=True).background_kl() < 0.01


def test_several_sites_are_refused():
    with pytest.raises(ValueError, match="need one site"):
        draw_pixels(SETTINGS.model_copy(update={"site": {"A": 0.5, "B": 0.5}}), 2)
