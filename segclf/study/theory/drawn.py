"""Pixels of the phantom with what is known about each: its region, and its intensity free of noise.

A picture is drawn up to three times from the same streams: as it is, without noise, and without
noise, lesion and tube. The differences are the residual, which is a pixel whose anatomy is known,
and the clean intensity, which lesion and tube add. What a residual adds to its clean intensity is
the noise, a Gaussian field over its own standard deviation: nearly Gaussian at a pixel.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from segclf.core.randomness import generator
from segclf.phantom import PhantomSettings
from segclf.phantom.people import draw_person
from segclf.phantom.picture import draw_picture
from segclf.study.theory.exact import Mixture, Scene, blend, gaussian, quadrature, scene_of

TARGET, POSITIVE, NEGATIVE = 0, 1, 2
"""Regions: target, background of positive images, background of negative images."""
N_LEVELS, DEEP_SDS = 256, 5.0
RESIDUAL, PATCH = "residual", "patch"
MOST_PER_IMAGE = 300
"""Background pixels that are kept of an image, drawn at random."""


@dataclass(frozen=True)
class Pixels:
    """Pixels of the phantom's images that are used, and their exact counts."""

    features: dict[str, np.ndarray]
    """(pixel, dim) of `residual` and of `patch`."""
    region: np.ndarray
    """(pixel,) TARGET, POSITIVE or NEGATIVE."""
    image: np.ndarray
    """(pixel,) number of the image."""
    tube: np.ndarray
    """(pixel,) 1 if the image shows a tube."""
    levels: np.ndarray
    """(region, tube, level) share of all used pixels at each clean intensity, in 1/255; each row
    has total 1."""
    sd: float
    """Standard deviation of residual - clean intensity."""
    alpha: float
    """Share of used pixels of positive images that lie on the target."""
    n_images: int


def draw_pixels(settings: PhantomSettings, n_images: int) -> Pixels:
    """Pixels of the first training images, of which the body is used where nothing is clipped.

    Which pixels are used follows from the anatomy alone. One site is needed, whose gamma is 1:
    with a known site any other gamma is a map of the intensity, and changes no divergence.

    Args:
        settings: Two dimensions, one finding, one site.
        n_images: Number of images.

    Raises:
        ValueError: There are several sites.
    """
    if len(settings.site) > 1:
        raise ValueError(f"site = {settings.site}: need one site")
    counts = np.zeros((3, 2, N_LEVELS))
    kept = [_draw_image(settings, index, counts) for index in range(n_images)]
    parts = [np.concatenate(each) for each in zip(*kept, strict=True)]
    residual, patch, region, image, tube = parts
    n_target, n_positive = counts[TARGET].sum(), counts[POSITIVE].sum()
    return Pixels(
        features={RESIDUAL: residual[:, None], PATCH: patch},
        region=region,
        image=image,
        tube=tube,
        levels=counts / np.maximum(counts.sum(axis=2, keepdims=True), 1),
        sd=noise_sd(settings),
        alpha=float(n_target / (n_target + n_positive)),
        n_images=n_images,
    )


def noise_sd(settings: PhantomSettings) -> float:
    """Of a residual far from the border: the noise, two roundings to 1/255, and the dither.

    The phantom smooths white noise, which is mirrored at the border and so varies more there, and
    divides it by its standard deviation over the whole image: far from the border it varies a
    little less than the settings say.
    """
    inside, total, of_mean = 1.0, 1.0, 1.0
    for n_px in settings.size_px:
        smooth = ndimage.gaussian_filter1d(np.eye(n_px), settings.noise_px, axis=0)
        variance = np.square(smooth).sum(axis=1)
        inside *= variance[n_px // 2]
        total *= variance.mean()
        of_mean *= np.square(smooth.mean(axis=0)).sum()
    noise = settings.noise**2 * inside / (total - of_mean)
    return float(np.sqrt(noise + 3 / 12 / 255**2))


def _draw_image(
    settings: PhantomSettings, index: int, counts: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Residual, patch, region, image and tube of the pixels kept; `counts` grows by all used."""
    person = draw_person(settings, "train", index)
    quiet = settings.model_copy(update={"noise": 0.0})
    image, mask = draw_picture(settings, "train", index, person)
    clean, _ = draw_picture(quiet, "train", index, person)
    bare, _ = draw_picture(quiet, "train", index, replace(person, labels=(0,), tube=0))
    rng = generator(settings.seed, "pixels", index)
    residual = (image - bare.astype(float) + rng.uniform(-0.5, 0.5, image.shape)) / 255
    level = np.maximum(clean.astype(int) - bare, 0)
    region = np.where(mask[0] > 0, TARGET, POSITIVE if person.labels[0] else NEGATIVE)
    used = _unclipped(settings, bare)
    for number in (TARGET, POSITIVE, NEGATIVE):
        own = level[used & (region == number)]
        counts[number, person.tube] += np.bincount(own, minlength=N_LEVELS)
    rest = np.flatnonzero(used & (region != TARGET))
    some = rng.choice(rest, min(len(rest), MOST_PER_IMAGE), replace=False)
    keep = np.concatenate([np.flatnonzero(used & (region == TARGET)), some])
    patch = _patch_features(image / 255).reshape(-1, 3)[keep]
    same = np.ones(len(keep), int)
    return residual.flat[keep], patch, region.flat[keep], index * same, person.tube * same


def _unclipped(settings: PhantomSettings, bare: np.ndarray) -> np.ndarray:
    reach = DEEP_SDS * settings.noise
    added = settings.contrast + settings.tube_contrast
    return (bare > 255 * reach) & (bare < 255 * (1 - reach - added))


def _patch_features(image: np.ndarray) -> np.ndarray:
    """(*space, 3): a bump of lesion size against its surround, the surround, local contrast."""
    inner, outer = (ndimage.gaussian_filter(image, sigma) for sigma in (1.5, 4.0))
    square = ndimage.gaussian_filter((image - outer) ** 2, 2.0)
    return np.stack([inner - outer, outer, np.sqrt(np.maximum(square, 0))], axis=-1)


def ideal_scene(settings: PhantomSettings) -> Scene:
    """The residual if every target pixel had the full contrast, no other any, and no tube."""
    sd = noise_sd(settings)
    background = gaussian(0.0, sd)
    return scene_of(gaussian(settings.contrast, sd), background, background)


def drawn_scene(pixels: Pixels, rho: float, *, with_bit: bool = False) -> Scene:
    """The residual with the clean intensities that were drawn, where the noise is Gaussian.

    Blurred edges of lesions are in it, and so are pixels of tubes.

    Args:
        pixels: Of images in which tube and label are independent.
        rho: How often the tube is to agree with the label.
        with_bit: The feature is the residual together with whether the image shows a tube.
    """
    laws = [
        [_law(pixels.levels[region, tube], pixels.sd) for tube in (0, 1)] for region in range(3)
    ]
    nodes, weights = quadrature(tuple(law for row in laws for law in row))
    joint = [
        np.stack([share * law.density(nodes) for share, law in zip(shares, row, strict=True)])
        for shares, row in zip(tube_shares(rho), laws, strict=True)
    ]
    return Scene(*(p if with_bit else p.sum(axis=0) for p in joint), weight=weights)


def tube_shares(rho: float) -> tuple[tuple[float, float], ...]:
    """Per region the shares of pixels in images without and with a tube."""
    return (1 - rho, rho), (1 - rho, rho), (rho, 1 - rho)


def _law(shares: np.ndarray, sd: float) -> Mixture:
    levels = np.flatnonzero(shares)
    return blend(shares[levels], tuple(gaussian(level / 255, sd) for level in levels))
