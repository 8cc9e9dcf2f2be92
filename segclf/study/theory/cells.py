"""The cells of the study, and what each measures on pixels whose law is known."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from segclf.core.randomness import generator
from segclf.study.theory.drawn import (
    PATCH,
    RESIDUAL,
    TARGET,
    Pixels,
    draw_pixels,
    drawn_scene,
    ideal_scene,
)
from segclf.study.theory.exact import Scene
from segclf.study.theory.measure import (
    Draws,
    image_kl,
    images_with_rho,
    pixel_and_image,
    weight_of,
    with_shortcut,
)
from segclf.study.theory.settings import HARD, Separability

PIXELS, WEIGHTS, EMBEDDINGS = "pixels", "weights", "embeddings"
WITHOUT = 0.5
"""rho where tube and label are independent."""
Entry = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One phantom."""

    kind: str
    seed: int
    area: float
    regime: str = HARD
    rho: float = WITHOUT

    @property
    def key(self) -> str:
        """Its name in the table of cells."""
        how = {
            PIXELS: f"{self.regime}, area {self.area:g}",
            WEIGHTS: "mixed again",
            EMBEDDINGS: f"area {self.area:g}, rho {self.rho:g}",
        }[self.kind]
        return f"{self.kind}, {how}, seed {self.seed}"


def plan_cells(study: Separability) -> list[Cell]:
    """Every cell, one seed after the other; pixels first, since they need no training."""
    seeds = range(study.n_seeds)
    cells = []
    for seed in seeds:
        cells += [Cell(PIXELS, seed, area, regime) for regime in study.contrasts
                  for area in study.areas]  # fmt: skip
        cells.append(Cell(WEIGHTS, seed, max(study.areas)))
    middle = study.trained_areas[len(study.trained_areas) // 2]
    for seed in seeds:
        cells += [Cell(EMBEDDINGS, seed, area) for area in study.trained_areas]
        cells.append(Cell(EMBEDDINGS, seed, middle, rho=study.rho))
    return cells


def pixel_cell(study: Separability, cell: Cell) -> Entry:
    """Laws and estimates at one area; with the shortcut only where lesions are hard to see."""
    settings = study.drawn_phantom(cell.regime, cell.area, cell.seed)
    pixels = draw_pixels(settings, study.n_images)
    rng = generator(settings.seed, "estimates", cell.key)
    alpha, (least, most) = pixels.alpha, (min(study.prevalences), max(study.prevalences))
    drawn, ideal = drawn_scene(pixels, WITHOUT), ideal_scene(settings)
    entry: Entry = {
        "alpha": alpha,
        "n_images": pixels.n_images,
        "n_target_px": int((pixels.region == TARGET).sum()),
        "sd": pixels.sd,
        "ideal": law_numbers(ideal, alpha, most),
        "law": law_numbers(drawn, alpha, most),
    }
    for name in (RESIDUAL, PATCH):
        draws = Draws(pixels.features[name], pixels.region, pixels.image)
        entry[name] = pixel_and_image(draws, alpha, study.n_draws, rng, prevalence=most)
    if cell.regime == HARD:
        scene = drawn_scene(pixels, study.rho, with_bit=True)
        without = drawn_scene(pixels, WITHOUT, with_bit=True)
        draws = context_draws(pixels, study.rho)
        entry["context"] = with_shortcut(draws, alpha, study.prevalences, study.n_draws, rng)
        entry["context_law"] = {
            "image": scene.image_kl(alpha),
            "image_without": without.image_kl(alpha),
            "bound": scene.image_bound(alpha),
            "background": scene.background_kl(),
            "target": scene.target_kl(),
            "pixel": [scene.pixel_kl(alpha, p) for p in study.prevalences],
            "pixel_without": [without.pixel_kl(alpha, p) for p in (least, most)],
        }
    return entry


def law_numbers(scene: Scene, alpha: float, prevalence: float) -> Entry:
    """What the formulas say of a scene."""
    return {
        "image": scene.image_kl(alpha),
        "part": scene.image_part(alpha),
        "bound": scene.image_bound(alpha),
        "small": scene.image_small(alpha),
        "slope": scene.image_slope(alpha),
        "pixel": scene.pixel_kl(alpha, prevalence),
        "target": scene.target_kl(),
    }


def weight_cell(study: Separability, cell: Cell) -> Entry:
    """The weight of the shortcut where the share of the target is larger than a lesion's.

    The feature is the residual together with whether the image shows a tube, which is seen at
    every pixel; `local` is KL(B1 || B0) of the residual alone, which sees a tube on itself only.
    """
    settings = study.drawn_phantom(cell.regime, cell.area, cell.seed)
    pixels = draw_pixels(settings, study.n_images)
    rng = generator(settings.seed, "estimates", cell.key)
    scene, draws = drawn_scene(pixels, study.rho, with_bit=True), context_draws(pixels, study.rho)
    found = with_shortcut(draws, min(study.mixed), (), study.n_draws, rng)
    target, background = (float(np.asarray(found[name])) for name in ("target", "background"))
    images = [image_kl(draws, alpha, study.n_draws, rng) for alpha in study.mixed]
    alone = Draws(draws.x[:, :1], draws.region, draws.image)
    return {
        "alphas": list(study.mixed),
        "n_images": len(np.unique(draws.image)),
        "measured": [
            weight_of(image, target, background, alpha)
            for image, alpha in zip(images, study.mixed, strict=True)
        ],
        "law": [
            weight_of(scene.image_kl(a), scene.target_kl(), scene.background_kl(), a)
            for a in study.mixed
        ],
        "background": background,
        "background_law": scene.background_kl(),
        "local": with_shortcut(alone, min(study.mixed), (), study.n_draws, rng)["background"],
        "local_law": drawn_scene(pixels, study.rho).background_kl(),
    }


def context_draws(pixels: Pixels, rho: float) -> Draws:
    """Residual and bit of images in which the tube agrees with the label in a share `rho`."""
    image, first = np.unique(pixels.image, return_index=True)
    label = (pixels.region[first] <= 1).astype(int)
    kept = np.isin(pixels.image, images_with_rho(image, label, pixels.tube[first], rho))
    x = np.concatenate([pixels.features[RESIDUAL], pixels.tube[:, None]], axis=1)
    return Draws(x[kept], pixels.region[kept], pixels.image[kept])
