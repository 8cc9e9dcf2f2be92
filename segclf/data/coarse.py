"""Masks of any coarseness to what each pixel of them says: 1, 0, between, NaN or `BOX`.

docs/masks.md has the formulas. All distances are Euclidean, between pixel centres, in pixels of
the mask file.
"""

from pathlib import Path
from typing import cast

import numpy as np
from scipy import ndimage

from segclf.core.errors import CaseError
from segclf.core.records import BOX, MaskKind, MaskSource

TOLERANCE_PX = 1e-6
"""Added to every radius, so that a distance that equals it is within it in floating point."""


def coarse_plane(
    mask: np.ndarray, source: MaskSource, *, point_radius_px: float, label: float
) -> np.ndarray:
    """The target of one finding, on the grid of the file.

    Args:
        mask: (*space) uint8: 1 where the finding is drawn.
        source: Its kind is `point`, `box` or `dilated`.
        point_radius_px: Radius of the ring around the pixels of a point mask.
        label: Of the case: a point or box mask without a pixel is an empty mask if it is 0.

    Returns:
        (*space) float32.

    Raises:
        CaseError: `empty_coarse_mask`: a point or box mask without a pixel, and no label 0.
    """
    if not mask.any():
        if source.kind is not MaskKind.DILATED and label != 0:
            raise _empty(source)
        return mask.astype(np.float32)
    if source.kind is MaskKind.POINT:
        return _point(mask, point_radius_px)
    if source.kind is MaskKind.BOX:
        return _boxes(mask)
    return _dilated(mask, source.radius_px or 0.0)


def _point(mask: np.ndarray, radius_px: float) -> np.ndarray:
    target = mask.astype(np.float32)
    target[(mask == 0) & (_distance(mask == 0) <= radius_px + TOLERANCE_PX)] = np.nan
    return target


def _boxes(mask: np.ndarray) -> np.ndarray:
    """The bounding box of each connected component is filled: any marks of a box will do."""
    target = np.zeros(mask.shape, np.float32)
    components, _ = _components(mask)
    for place in ndimage.find_objects(components):
        target[place] = BOX
    return target


def _dilated(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """A component that is nowhere deeper than the radius keeps the promise of a box."""
    core = _distance(mask == 1) > radius_px + TOLERANCE_PX
    core &= mask == 1
    target = np.where(core, 1.0, np.where(mask == 1, np.nan, 0.0)).astype(np.float32)
    components, n_components = _components(mask)
    has_core = np.zeros(n_components + 1, dtype=bool)
    has_core[components[core]] = True
    target[(components > 0) & ~has_core[components]] = BOX
    return target


def uncertain_plane(values: np.ndarray, path: Path) -> np.ndarray:
    """0, 1 and NaN from a file of 0, 1 and 2.

    Raises:
        CaseError: `mask_values`: there are other values.
    """
    if not np.isin(values, (0, 1, 2)).all():
        shown = ", ".join(str(value) for value in np.unique(values)[:8])
        raise CaseError(
            "mask_values",
            f"the mask of kind uncertain holds the values {shown}.",
            where=f"mask {path.name}",
            expected="0 background, 1 foreground, 2 not known",
            fix="write the mask again, or correct its mask_kind",
        )
    return np.where(values == 2, np.nan, values).astype(np.float32)


def _distance(inside: np.ndarray) -> np.ndarray:
    """Of each pixel inside to the nearest one outside; what lies beyond the image is unknown."""
    if inside.all():
        return np.full(inside.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(inside))


def _components(mask: np.ndarray) -> tuple[np.ndarray, int]:
    touching = np.ones((3,) * mask.ndim)
    return cast("tuple[np.ndarray, int]", ndimage.label(mask, structure=touching))


def _empty(source: MaskSource) -> CaseError:
    name = source.path.name if source.path else ""
    return CaseError(
        "empty_coarse_mask",
        f"the mask of kind {source.kind} has no pixel.",
        where=f"mask {name}",
        expected=f"at least one {source.kind}, or label 0",
        fix="draw it, set the label to 0, or leave the mask cell blank",
    )
