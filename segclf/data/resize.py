"""Images and masks on another grid that spans the same field of view."""

from typing import cast

import numpy as np
import torch
from monai.transforms.spatial.array import Resize
from scipy import ndimage

from segclf.core.records import BOX
from segclf.core.settings import ImageSettings


def prepared_shape(
    shape: tuple[int, ...], spacing_mm: tuple[float, ...] | None, settings: ImageSettings
) -> tuple[int, ...]:
    """Spatial shape after preparation: `size_px`, else the shape at `spacing_mm`, else `shape`.

    The field of view always stays, as with MONAI's `Spacing(scale_extent=True)`: at a new spacing
    an axis of n pixels gets round(n * old / new), at least 1. The grid is then stretched to fill
    the field exactly, so that the spacing is met to within half a pixel over the whole axis and
    `interpolate(align_corners=False)` is the way back. With both settings one interpolation goes
    straight to `size_px`: it is the same grid, and smoothing twice would blur small targets.
    """
    if settings.size_px is not None:
        return settings.size_px
    if settings.spacing_mm is None or spacing_mm is None:
        return shape
    return tuple(
        max(1, round(n * old / new))
        for n, old, new in zip(shape, spacing_mm, settings.spacing_mm, strict=True)
    )


def resize_image(image: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """`image` interpolated (bi- or trilinear) to `shape`, smoothed first where it shrinks.

    The smoothing is that of MONAI's `Resize(anti_aliasing=True)`, a Gaussian with sigma =
    (factor - 1) / 2, except that the border pixel is repeated outwards: MONAI assumes 0 there,
    which would darken the rim of every image by up to a fifth.

    Args:
        image: (channel, *space) float32.
        shape: Spatial shape of the result.
    """
    old = tuple(image.shape[1:])
    if old == shape:
        return image
    sigma = [max(0.0, (n / m - 1) / 2) for n, m in zip(old, shape, strict=True)]
    if any(sigma):
        image = torch.from_numpy(
            ndimage.gaussian_filter(image.numpy(), (0.0, *sigma), mode="nearest")
        )
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    return torch.as_tensor(Resize(shape, mode=mode)(image)).as_subclass(torch.Tensor)


def resize_target(plane: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """One finding's target on the grid of `shape`, of whatever kind of mask.

    Full masks and the foreground and boxes of coarse ones go through `resize_mask`. A pixel that
    touches one that is not known, and is not foreground, is not known: so that what is not known
    never becomes background. Soft truth is averaged over the area of the new pixel.

    Args:
        plane: (*space) uint8 of 0 and 1, or float32 as `Sample.target`.
        shape: Spatial shape of the result.
    """
    if plane.dtype == np.uint8:
        return resize_mask(plane, shape)
    if ((plane > 0) & (plane < 1)).any():
        return _in_two_steps(plane, shape)
    target = resize_mask((plane == BOX).astype(np.uint8), shape) * np.float32(BOX)
    target[_in_two_steps(np.isnan(plane), shape) > 0] = np.nan
    target[resize_mask((plane == 1).astype(np.uint8), shape) == 1] = 1
    return target


def _in_two_steps(plane: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Mean over the area where axes shrink, then the nearest pixel where they grow."""
    smaller = tuple(min(old, new) for old, new in zip(plane.shape, shape, strict=True))
    return _resized(_resized(plane, smaller, mode="area"), shape, mode="nearest-exact")


def resize_mask(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A binary mask on the grid of `shape`, on which no drawn target is lost.

    For training only; the truth of an evaluation is never resized. A pixel is positive where the
    mask covers more than half of it. A target that covers no pixel that far (smaller than a
    pixel, or thinner) keeps the pixels that it covers at least half as much as its best one. Axes
    that grow repeat the nearest pixel, after those that shrink.

    Args:
        mask: (*space) uint8, 0 or 1.
        shape: Spatial shape of the result.
    """
    smaller = tuple(min(old, new) for old, new in zip(mask.shape, shape, strict=True))
    if smaller != mask.shape:
        mask = _shrink(mask, smaller)
    if smaller != shape:
        mask = _resized(mask, shape, mode="nearest-exact") > 0.5
    return mask.astype(np.uint8)


def _shrink(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    coverage = _resized(mask, shape, mode="area")
    kept = coverage > 0.5
    touching = np.ones((3,) * mask.ndim)
    targets, n_targets = cast(
        "tuple[np.ndarray, int]", ndimage.label(coverage > 0, structure=touching)
    )
    lost = np.ones(n_targets + 1, dtype=bool)
    lost[targets[kept]] = False
    lost[0] = False
    if not lost.any():
        return kept
    best = np.asarray(ndimage.maximum(coverage, targets, index=np.arange(n_targets + 1)))
    return kept | (lost[targets] & (coverage >= 0.5 * best[targets]))


def _resized(mask: np.ndarray, shape: tuple[int, ...], *, mode: str) -> np.ndarray:
    plane = torch.from_numpy(mask.astype(np.float32))[None]
    return np.asarray(Resize(shape, mode=mode)(plane))[0]
