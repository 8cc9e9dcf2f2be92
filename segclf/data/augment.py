"""Random changes of training cases: draw the numbers first, then apply them.

MONAI's own transforms define what happens and check it in the tests: `Affine` for the geometry,
`ScaleIntensityFixedMean` and `ScaleIntensity` for contrast and brightness. They are not called
for each case, because a dictionary chain of them takes 2.4 ms for an image of 96 x 96 (metadata,
a grid for each of image and target, a random state per transform) and one core has to feed a
network; here image and target share one grid and one generator, which takes 0.3 ms.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from monai.transforms.utils import create_rotate, create_scale, create_translate
from torch.nn import functional

from segclf.core.randomness import generator, seed_of
from segclf.core.settings import AugmentSettings
from segclf.data.crop import Window


@dataclass(frozen=True)
class Draw:
    """The numbers drawn for one case; what they do is `geometry` and `intensity`."""

    flips: tuple[int, ...] = ()
    """Spatial axes that are mirrored, before anything else."""
    is_affine: bool = False
    """Whether rotation, zoom and shift are applied (in one resampling)."""
    rotate_rad: tuple[float, ...] = ()
    """One angle in 2D, one per axis in 3D."""
    zoom: float = 1.0
    """Above 1 the content grows."""
    shift: tuple[float, ...] = ()
    """Per axis, as a share of the side."""
    contrast: float = 1.0
    """Factor of the distance from the channel's mean."""
    brightness: float = 1.0
    """Factor of the intensity."""
    noise_sd: float = 0.0
    noise_seed: int = 0


def draw_augmentation(settings: AugmentSettings, n_axes: int, *key: int | str) -> Draw:
    """The numbers that `key` gives; each kind of change is applied with `probability`.

    Every number is drawn whether it is used or not, so that turning one kind off leaves the
    others as they were.

    Args:
        settings: Ranges of the changes.
        n_axes: Number of spatial axes.
        key: Seed, epoch and case.
    """
    random = generator(*key, "augment")
    gates = random.random(n_axes + 3) < settings.probability
    unit = random.uniform(-1.0, 1.0, size=9)
    angle = math.radians(settings.rotate_degrees)
    n_angles = 1 if n_axes == 2 else 3
    affine, intensity, noise = gates[n_axes:]
    return Draw(
        flips=tuple(axis for axis in settings.flip_axes if gates[axis]),
        is_affine=bool(affine) and max(angle, settings.scale, settings.shift) > 0,
        rotate_rad=tuple(angle * float(value) for value in unit[:n_angles]),
        zoom=1.0 + settings.scale * float(unit[3]),
        shift=tuple(settings.shift * float(value) for value in unit[4 : 4 + n_axes]),
        contrast=1.0 + settings.intensity * float(unit[7]) if intensity else 1.0,
        brightness=1.0 + settings.intensity * float(unit[8]) if intensity else 1.0,
        noise_sd=settings.noise if noise else 0.0,
        noise_seed=seed_of(*key, "noise"),
    )


def affine_matrix(
    draw: Draw, shape: tuple[int, ...], px_size: tuple[float, ...] | None = None
) -> np.ndarray:
    """(d+1, d+1) matrix from pixels of the result to pixels of the input, both from the centre.

    It rotates in millimetres, not in pixels: a volume of thick slices is not sheared.

    Args:
        draw: Rotation, zoom and shift.
        shape: Spatial shape.
        px_size: Size of a pixel per axis, in any common unit; None means equal sizes.

    Source:
        MONAI `AffineGrid`: rotate, then translate, then scale.
    """
    n_axes = len(shape)
    angles = draw.rotate_rad[0] if n_axes == 2 else draw.rotate_rad
    rotate = np.asarray(create_rotate(n_axes, angles))
    if px_size is not None and len(set(px_size)) > 1:
        size = np.diag([*px_size, 1.0])
        rotate = np.linalg.inv(size) @ rotate @ size
    shift_px = [share * side for share, side in zip(draw.shift, shape, strict=True)]
    translate = np.asarray(create_translate(n_axes, shift_px))
    return rotate @ translate @ np.asarray(create_scale(n_axes, (1.0 / draw.zoom,) * n_axes))


def resample(
    image: torch.Tensor, target: torch.Tensor, matrix: np.ndarray, window: Window
) -> tuple[torch.Tensor, torch.Tensor]:
    """`window` of image and target after the affine change, on one grid.

    The image is interpolated linearly, the target takes the nearest pixel (so what is not known
    stays NaN and no new values appear); both are mirrored at the border.

    Args:
        image: (channel, *space) float32.
        target: (finding, *space) float32.
        matrix: From `affine_matrix`.
        window: The part of the result that is computed.
    """
    grid = _grid(matrix, tuple(image.shape[1:]), window)
    return _sampled(image, grid, "bilinear"), _sampled(target, grid, "nearest")


def _sampled(planes: torch.Tensor, grid: torch.Tensor, mode: str) -> torch.Tensor:
    if len(planes) == 0:
        return planes.new_empty((0, *grid.shape[1:-1]))
    return functional.grid_sample(
        planes[None], grid, mode=mode, padding_mode="reflection", align_corners=False
    )[0]


def _grid(matrix: np.ndarray, shape: tuple[int, ...], window: Window) -> torch.Tensor:
    """Sampling positions as `grid_sample` wants them: (1, *window, axis), last axis first.

    The sum of one line per axis, broadcast: five times as fast as `affine_grid` on 192 x 192,
    and the same in any number of threads.
    """
    n_axes = len(shape)
    centred = [
        start + np.arange(size) - (side - 1) / 2
        for start, size, side in zip(window.start, window.size, shape, strict=True)
    ]
    grid = torch.empty((1, *window.size, n_axes))
    for axis, side in enumerate(shape):
        lines = [line * (matrix[axis, other] * 2 / side) for other, line in enumerate(centred)]
        lines[0] = lines[0] + matrix[axis, n_axes] * 2 / side
        total, last = (torch.from_numpy(lines[k].astype(np.float32)) for k in (0, n_axes - 1))
        for line in lines[1:-1]:
            total = total[..., None] + torch.from_numpy(line.astype(np.float32))
        torch.add(total[..., None], last, out=grid[0, ..., n_axes - 1 - axis])
    return grid


def change_intensity(image: torch.Tensor, draw: Draw) -> torch.Tensor:
    """`image` with the drawn contrast, brightness and noise; the input is left as it was."""
    if draw.contrast != 1.0 or draw.brightness != 1.0:
        # NumPy's mean runs in one thread, so the result does not depend on how many torch has.
        mean = image.numpy().mean(axis=tuple(range(1, image.ndim)), dtype=np.float64, keepdims=True)
        offset = torch.from_numpy(mean * (1.0 - draw.contrast) * draw.brightness)
        image = image * (draw.contrast * draw.brightness) + offset.to(torch.float32)
    if draw.noise_sd > 0:
        random = torch.Generator().manual_seed(draw.noise_seed)
        image = torch.randn(image.shape, generator=random).mul_(draw.noise_sd).add_(image)
    return image
