"""From pixels to divergences: which draws stand for which law, and what each estimator says."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from segclf.study.theory.drawn import NEGATIVE, POSITIVE, TARGET
from segclf.study.theory.estimate import classifier_kl, knn_kl, log_ratio, mixed_kl
from segclf.study.theory.exact import share_of_positives

Numbers = dict[str, float]
N_NEIGHBOURS = 5


class Draws(NamedTuple):
    """Features of pixels, where they lie, and in which image."""

    x: np.ndarray
    """(pixel, dim)."""
    region: np.ndarray
    """(pixel,) TARGET, POSITIVE or NEGATIVE."""
    image: np.ndarray
    """(pixel,) number of the image: its pixels are never on both sides of a cross-fit."""


class Law(NamedTuple):
    """Draws of one law, and the images they are from."""

    x: np.ndarray
    image: np.ndarray


def pixel_and_image(
    draws: Draws, alpha: float, n_draws: int, rng: np.random.Generator, *, prevalence: float = 0.5
) -> Numbers:
    """What masks and image labels tell apart, by each estimator; tube and label independent.

    Args:
        draws: The pixels.
        alpha: Share of pixels of positive images that lie on the target.
        n_draws: Most draws of a law.
        rng: Picks them.
        prevalence: Of positive images, for the pixels that masks call negative.

    Returns:
        `pixel_knn`, `pixel_classifier`: KL(T || N). `image_knn`, `image_classifier`:
        KL(P1 || P0) from draws of both. `image_part`: KL(alpha T + (1 - alpha) B0 || B0), the
        target's own part, from T and B0. `target`: KL(T || B0).
    """
    target, negative = (draw(draws, {r: 1.0}, n_draws, rng) for r in (TARGET, NEGATIVE))
    share = share_of_positives(alpha, prevalence)
    others = draw(draws, {POSITIVE: share, NEGATIVE: 1 - share}, n_draws, rng)
    mixed = draw(draws, {TARGET: alpha, POSITIVE: 1 - alpha}, n_draws, rng)
    ratios = log_ratio(target.x, negative.x, (target.image, negative.image))
    return {
        "pixel_knn": neighbours(target, others),
        "pixel_classifier": told_apart(target, others),
        "image_knn": neighbours(mixed, negative),
        "image_classifier": told_apart(mixed, negative),
        "image_part": mixed_kl([alpha], *ratios)[0],
        "target": float(ratios[0].mean()),
    }


def with_shortcut(
    draws: Draws,
    alpha: float,
    prevalences: Sequence[float],
    n_draws: int,
    rng: np.random.Generator,
) -> dict[str, float | list[float]]:
    """The same by the classifier where the background of positive images is another one.

    Returns:
        `image`: KL(P1 || P0). `background`: KL(B1 || B0). `target`: KL(T || B0). `pixel`:
        KL(T || N), one for each prevalence.
    """
    target, negative = (draw(draws, {r: 1.0}, n_draws, rng) for r in (TARGET, NEGATIVE))
    pixel = []
    for prevalence in prevalences:
        share = share_of_positives(alpha, prevalence)
        others = draw(draws, {POSITIVE: share, NEGATIVE: 1 - share}, n_draws, rng)
        pixel.append(told_apart(target, others))
    return {
        "image": image_kl(draws, alpha, n_draws, rng),
        "background": told_apart(draw(draws, {POSITIVE: 1.0}, n_draws, rng), negative),
        "target": told_apart(target, negative),
        "pixel": pixel,
    }


def image_kl(draws: Draws, alpha: float, n_draws: int, rng: np.random.Generator) -> float:
    """KL(P1 || P0) by the classifier, where a pixel of P1 is on the target with share `alpha`."""
    mixed = draw(draws, {TARGET: alpha, POSITIVE: 1 - alpha}, n_draws, rng)
    return told_apart(mixed, draw(draws, {NEGATIVE: 1.0}, n_draws, rng))


def told_apart(p: Law, q: Law) -> float:
    """KL(p || q) by the classifier; images stay whole."""
    return classifier_kl(p.x, q.x, (p.image, q.image))


def neighbours(p: Law, q: Law) -> float:
    """KL(p || q) by nearest neighbours of other images."""
    return knn_kl(p.x, q.x, N_NEIGHBOURS, (p.image, q.image))


def draw(draws: Draws, shares: dict[int, float], n_draws: int, rng: np.random.Generator) -> Law:
    """Draws, without repeats, of the mixture of regions with these shares.

    As many as there are pixels for, at most `n_draws`.

    Raises:
        ValueError: A region that is asked for has no pixel.
    """
    rows = {region: np.flatnonzero(draws.region == region) for region in shares}
    empty = [region for region, own in rows.items() if shares[region] > 0 and not len(own)]
    if empty:
        raise ValueError(f"regions {empty} have no pixel")
    n = int(min([n_draws, *(len(rows[r]) / share for r, share in shares.items() if share > 0)]))
    wanted = {region: round(n * share) for region, share in shares.items()}
    kept = np.concatenate([rng.choice(rows[r], wanted[r], replace=False) for r in shares])
    return Law(draws.x[kept], draws.image[kept])


def weight_of(image: float, target: float, background: float, alpha: float) -> float:
    """The weight with which KL(B1 || B0) enters KL(P1 || P0): what is left of it beside the target.

    (KL(P1 || P0) - alpha KL(T || B0)) / KL(B1 || B0); the bound says that it is at most 1 - alpha.
    """
    return (image - alpha * target) / background


def images_with_rho(
    image: np.ndarray, label: np.ndarray, tube: np.ndarray, rho: float
) -> np.ndarray:
    """Numbers of images of which a share `rho` has a tube where the label is 1, and none else.

    As many as there are; the first ones of each kind. Label and tube are (image,).
    """
    kept = []
    for value in (0, 1):
        agree = np.flatnonzero((label == value) & (tube == label))
        other = np.flatnonzero((label == value) & (tube != label))
        n = min(len(agree) / rho if rho else np.inf, len(other) / (1 - rho) if rho < 1 else np.inf)
        kept += [agree[: round(n * rho)], other[: round(n * (1 - rho))]]
    return image[np.sort(np.concatenate(kept))]
