"""Draws that stand for the laws, on made-up pixels whose divergences are known."""

import numpy as np
import pytest
from scipy import stats

from segclf.study.theory.drawn import NEGATIVE, POSITIVE, TARGET
from segclf.study.theory.measure import (
    Draws,
    draw,
    images_with_rho,
    pixel_and_image,
    weight_of,
    with_shortcut,
)

SHIFT, RHO, N_IMAGES, PER_IMAGE = 1.5, 0.8, 2000, 20


@pytest.fixture(scope="module")
def draws():
    """Independent Gaussian pixels; half of a positive image lies on the target."""
    rng = np.random.default_rng(0)
    image = np.repeat(np.arange(N_IMAGES), PER_IMAGE)
    label = image % 2
    is_target = (label == 1) & (np.arange(len(image)) % 2 == 0)
    region = np.where(is_target, TARGET, np.where(label == 1, POSITIVE, NEGATIVE))
    x = rng.standard_normal((len(image), 1)) + SHIFT * is_target[:, None]
    return Draws(x, region, image)


@pytest.fixture(scope="module")
def with_bit(draws):
    rng = np.random.default_rng(1)
    label = np.arange(N_IMAGES) % 2
    bit = np.where(rng.random(N_IMAGES) < RHO, label, 1 - label)
    return draws._replace(x=np.concatenate([draws.x, bit[draws.image, None]], axis=1))


def test_each_estimator_finds_the_closed_form_of_what_it_is_asked(draws):
    found = pixel_and_image(draws, 0.3, 8000, np.random.default_rng(2))
    z = np.linspace(-9, 11, 20001)
    b, t = stats.norm.pdf(z), stats.norm.pdf(z, SHIFT)
    image = np.trapezoid((0.3 * t + 0.7 * b) * np.log(0.3 * t / b + 0.7), z)
    for name in ("pixel_knn", "pixel_classifier", "target"):
        assert found[name] == pytest.approx(SHIFT**2 / 2, rel=0.07), name
    for name in ("image_classifier", "image_part"):
        assert found[name] == pytest.approx(image, rel=0.15), name
    assert found["image_knn"] == pytest.approx(image, abs=0.06)


def test_the_mixture_has_the_asked_for_shares_and_repeats_no_pixel(draws):
    law = draw(draws, {TARGET: 0.1, POSITIVE: 0.9}, 5000, np.random.default_rng(0))
    assert len(law.x) == 5000
    assert len(np.unique(law.x)) == 5000
    assert law.x.mean() == pytest.approx(0.1 * SHIFT, abs=0.06)
    assert (law.image % 2 == 1).all()
    short = draw(draws, {TARGET: 0.8, POSITIVE: 0.2}, 10**6, np.random.default_rng(0))
    assert len(short.x) == (draws.region == TARGET).sum() / 0.8
    with pytest.raises(ValueError, match="have no pixel"):
        draw(draws._replace(region=np.ones_like(draws.region)), {TARGET: 1.0}, 10,
             np.random.default_rng(0))  # fmt: skip


def test_a_bit_of_the_image_weighs_1_less_alpha_and_prevalence_sets_what_masks_shed(with_bit):
    found = with_shortcut(with_bit, 0.1, (0.5, 0.02), 8000, np.random.default_rng(3))
    bit = stats.entropy([RHO, 1 - RHO], [1 - RHO, RHO])
    assert found["background"] == pytest.approx(bit, rel=0.1)
    assert found["target"] == pytest.approx(bit + SHIFT**2 / 2, rel=0.1)
    for value, prevalence in zip(found["pixel"], (0.5, 0.02), strict=True):
        inside = 0.9 * prevalence / (1 - 0.1 * prevalence)
        others = inside * RHO + (1 - inside) * (1 - RHO)
        left = stats.entropy([RHO, 1 - RHO], [others, 1 - others])
        assert value == pytest.approx(left + SHIFT**2 / 2, rel=0.1)
    weight = weight_of(found["image"], found["target"], found["background"], 0.1)
    assert weight <= 0.9 * 1.05
    assert weight_of(0.8, 0.8, 0.8, 0.1) == pytest.approx(0.9)  # a bit alone: the bound is met


def test_images_are_chosen_so_that_the_tube_agrees_with_the_label_as_often_as_asked():
    label, tube = np.repeat([0, 1], 40), np.tile([0, 1], 40)
    kept = images_with_rho(np.arange(80), label, tube, 0.8)
    assert len(kept) == 50  # 20 that agree and 5 that do not, for each label
    assert (label[kept] == tube[kept]).mean() == pytest.approx(0.8)
    assert len(images_with_rho(np.arange(80), label, tube, 0.5)) == 80
