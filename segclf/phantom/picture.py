"""The pixels of a case: anatomy, correlated noise, lesions, and the tube that is the shortcut."""

import numpy as np
from scipy import ndimage

from segclf.core.randomness import generator
from segclf.phantom.heads import N_RINGS, ring_code
from segclf.phantom.people import FINDINGS, Person
from segclf.phantom.settings import PhantomSettings, Split

SITE_STYLES = ((1.0, 1.0), (0.75, 0.9), (1.3, 1.2))
"""Gamma and factor of the noise; site k has style k modulo 3."""
LEAST_SHARE, MOST_SHARE = 0.001, 0.03
"""Smallest and largest share of the image that a lesion takes, unless the median is above that:
then twice the median is the largest."""


def draw_picture(
    settings: PhantomSettings, split: Split, index: int, person: Person
) -> tuple[np.ndarray, np.ndarray]:
    """Image (*space) and masks (finding, *space) of a case, both uint8; masks hold 0 and 1."""
    image_number = index % settings.images_per_patient
    place = _coordinates(settings.size_px)

    def stream(part: str, of_patient: bool = False) -> np.random.Generator:
        key = (person.patient,) if of_patient else (person.patient, image_number)
        return generator(settings.seed, split, *key, part)

    gamma, noisiness = SITE_STYLES[person.site_number % len(SITE_STYLES)]
    body, image = _draw_anatomy(settings, person, place, stream("anatomy", of_patient=True))
    if person.kind is not None:
        image += _draw_rings(person.kind, place, stream("kind"))
    sigma_px = settings.noise_px * (0.5, 1.0, 2.2)[person.look["texture"]]
    noise = _smooth_noise(settings.size_px, sigma_px, stream("noise"))
    image += settings.noise * noisiness * noise
    masks = _draw_lesions(settings, person, body, place, stream("lesions"))
    for mask, (contrast, _) in zip(masks, FINDINGS.values(), strict=False):
        image += settings.contrast * contrast * ndimage.gaussian_filter(mask.astype(float), 0.6)
    tube = _draw_tube(settings.size_px, stream("tube"))
    image += settings.tube_contrast * person.tube * tube
    image += 0.01 * stream("sensor").standard_normal(settings.size_px)
    return np.round(255 * np.clip(image, 0, 1) ** gamma).astype(np.uint8), masks


def _coordinates(size_px: tuple[int, ...]) -> list[np.ndarray]:
    """Per axis the position of each pixel from -1 to 1, shaped to broadcast."""
    return list(np.meshgrid(*(np.linspace(-1, 1, n) for n in size_px), indexing="ij", sparse=True))


def _radius(place: list[np.ndarray], centre: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """1 on the ellipsoid around `centre` that reaches `reach` along each axis."""
    return np.sqrt(sum(((x - c) / r) ** 2 for x, c, r in zip(place, centre, reach, strict=True)))


def _soft(inside: np.ndarray, width: float = 0.08) -> np.ndarray:
    """From 0 outside to 1 inside, over about `width`, given a distance that grows inwards."""
    return 0.5 * (1 + np.tanh(2 * inside / width))


def _smooth_noise(
    size_px: tuple[int, ...], sigma_px: float, rng: np.random.Generator
) -> np.ndarray:
    noise = ndimage.gaussian_filter(rng.standard_normal(size_px), sigma_px)
    return noise / noise.std()


def _draw_anatomy(
    settings: PhantomSettings,
    person: Person,
    place: list[np.ndarray],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Radius in the body (1 = its surface), and a body with tissue, organs and spine."""
    look, n_axes = person.look, len(settings.size_px)
    smaller = 0.93 if person.sex == next(iter(settings.sex)) else 1.0
    reach = np.full(n_axes, 0.86)
    reach[:2] = ((0.68, 0.92), (0.84, 0.84), (0.92, 0.68))[look["habitus"]]
    reach *= smaller * rng.uniform(0.95, 1.05, n_axes)
    body = _radius(place, rng.uniform(-0.04, 0.04, n_axes), reach)
    tissue = _smooth_noise(settings.size_px, min(settings.size_px) / 14, rng)
    share, contrast = ((0.4, 0.12), (0.4, 0.4), (0.85, 0.4))[look["density"]]
    dense = np.quantile(tissue, 1 - share)
    inside = 0.36 + contrast * _soft(tissue - dense, 0.5) + 0.03 * tissue
    columns = ((0.0,), (-0.4, 0.4), (-0.5, 0.0, 0.5))[look["organs"]]
    dark = (0.2, 0.14, 0.24)[look["organs"]]
    for column in columns:
        centre = np.zeros(n_axes)
        centre[:2] = rng.uniform(-0.15, 0.05), column + rng.uniform(-0.04, 0.04)
        size = np.array([0.45, 0.8 / (1 + len(columns)), 0.6][:n_axes]) * smaller
        inside -= dark * _soft(1 - _radius(place, centre, size * rng.uniform(0.85, 1.1)), 0.2)
    spine = np.array([0.6, 0.0, 0.0][:n_axes])
    inside += 0.25 * _soft(1 - _radius(place, spine, np.array([0.11, 0.11, 2.0][:n_axes])), 0.4)
    inside += (-0.4, 0.0, 0.4)[look["centre"]] * _soft(0.4 - body, 0.2)
    inside += (0.0, 0.3, 0.3)[look["rim"]] * _soft(body - (1, 0.93, 0.84)[look["rim"]], 0.05)
    inside += _draw_speckle((0, 20, 80)[look["speckle"]], settings.size_px, rng)
    if look["stripes"]:
        inside += 0.12 * np.sin(16 * place[look["stripes"] - 1])
    return body, 0.04 + inside * _soft(1 - body)


def _draw_speckle(n_dots: int, size_px: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    dots = np.zeros(size_px)
    where = (rng.uniform(0.15, 0.85, (80, len(size_px))) * size_px).astype(int)[:n_dots]
    dots[tuple(where.T)] = 0.6
    return dots


def _draw_rings(kind: int, place: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A disc whose rings are bright or dark as `ring_code` says, with a bright rim."""
    n_axes = len(place)
    centre = np.append(rng.uniform(-0.3, 0.3, 2), np.zeros(n_axes - 2))
    radius = _radius(place, centre, np.full(n_axes, 0.36))
    values = np.array([0.0, *ring_code(kind), 1.5, 0.0])
    ring = np.ceil(np.minimum(radius, 1.1) * (N_RINGS + 1)).astype(int)
    return 0.12 * values[np.clip(ring, 1, N_RINGS + 2)]


def _draw_lesions(
    settings: PhantomSettings,
    person: Person,
    body: np.ndarray,
    place: list[np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """One blob per positive finding, of exactly the drawn number of pixels.

    A later finding overlaps with the first one in about half of the cases that have both.
    """
    masks = np.zeros((settings.n_findings, *settings.size_px), np.uint8)
    candidates = np.argwhere(body < 0.8)
    first = candidates[rng.integers(len(candidates))]
    is_large = settings.area_fraction > MOST_SHARE
    most = 2 * settings.area_fraction if is_large else MOST_SHARE
    for finding, (_, area) in enumerate(list(FINDINGS.values())[: settings.n_findings]):
        centre = candidates[rng.integers(len(candidates))] if finding else first
        centre = first if rng.random() < 0.5 and person.labels[0] else centre
        share = area * settings.area_fraction * np.exp(settings.area_spread * rng.standard_normal())
        n_px = round(body.size * float(np.clip(share, LEAST_SHARE, most)))
        stretch = np.exp(rng.uniform(-0.25, 0.25, body.ndim)) / settings.spacing_mm
        wobble = _smooth_noise(body.shape, 0.4 * n_px ** (1 / body.ndim), rng)
        if person.labels[finding]:
            away = [x - x.ravel()[c] for x, c in zip(place, centre, strict=True)]
            away_px = [a * n / 2 for a, n in zip(away, body.shape, strict=True)]
            if settings.elongation > 1:
                away_px = _drawn_out(away_px, settings.elongation, rng.uniform(0, np.pi))
            distance = _radius(away_px, np.zeros(body.ndim), stretch)
            rough = distance * (1 + 0.12 * wobble)
            masks[finding].flat[np.argpartition(rough, n_px, axis=None)[:n_px]] = 1
    return masks


def _drawn_out(away_px: list[np.ndarray], elongation: float, angle: float) -> list[np.ndarray]:
    """Distances in which an ellipse of that elongation, at an angle in the plane, is round."""
    y, x, *rest = away_px
    along = (np.cos(angle) * x + np.sin(angle) * y) / np.sqrt(elongation)
    across = (np.cos(angle) * y - np.sin(angle) * x) * np.sqrt(elongation)
    return [across, along, *rest]


def _draw_tube(size_px: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A thin bent line from one side of the image to beyond its middle; 1 on its axis."""
    n_axes = len(size_px)
    ends = rng.uniform(0.15, 0.85, (3, n_axes))
    ends[0, 0], ends[2, 0] = 0.0, rng.uniform(0.7, 0.95)
    s = np.linspace(0, 1, 4 * max(size_px))[:, None]
    line = (1 - s) ** 2 * ends[0] + 2 * s * (1 - s) * ends[1] + s**2 * ends[2]
    free = np.ones(size_px, bool)
    free[tuple((line * (np.array(size_px) - 1)).round().astype(int).T)] = False
    distance_px = np.asarray(ndimage.distance_transform_edt(free))
    return np.exp(-((distance_px / 1.1) ** 2))
