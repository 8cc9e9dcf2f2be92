"""Masks as somebody in a hurry would have drawn them: boxes, too large, too small, moved, missing.

Distances are Euclidean, between pixel centres, in pixels of the image; components touch at faces,
edges or corners; the edge of the image is no edge of a mask (as in docs/masks.md).
"""

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy import ndimage

from segclf.core.errors import UsageError
from segclf.core.randomness import generator

TOLERANCE_PX = 1e-6
RADII = ("dilated", "eroded", "shifted")
WAYS = ("full", "box", "dilated:<px>", "eroded:<px>", "shifted:<px>", "missing:<share>")


@dataclass(frozen=True)
class Change:
    """One way to change masks, from a text such as `dilated:5`."""

    name: str
    amount: float = 0.0
    """Pixels, or the share of `missing`."""

    @property
    def mask_kind(self) -> str:
        """What the manifest says of such a mask: nothing where nobody knows of the fault."""
        if self.name == "dilated":
            return f"dilated:{self.amount:g}"
        return {"box": "box", "missing": "uncertain"}.get(self.name, "full")


def parse_change(how: str) -> Change:
    """The change that a text names.

    Raises:
        UsageError: There is no such change, or its number does not fit.
    """
    name, colon, text = how.partition(":")
    if name in ("full", "box") and not colon:
        return Change(name)
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if (name in RADII and 0 < amount < math.inf) or (name == "missing" and 0 < amount <= 1):
        return Change(name, amount)
    raise UsageError(
        f"there is no change of masks {how!r}.",
        where=f"how = {how!r}",
        expected=f"one of {', '.join(WAYS)}; pixels above 0, a share above 0 and at most 1",
        fix="write for example dilated:5",
    )


def changed_mask(mask: np.ndarray, how: str, *, seed: int = 0, case_id: str = "") -> np.ndarray:
    """The mask after a change; the same one for the same seed and case.

    An empty mask stays empty, and no other becomes empty: a component that an erosion would remove
    keeps its deepest pixel, so that its outline is wrong and its presence is not.

    Args:
        mask: (*space) bool, in 2D or 3D.
        how: `full` (as it is); `box` (the bounding box of each component, filled); `dilated:r`
            (all pixels within r of it); `eroded:r` (its pixels farther than r from the outside);
            `shifted:r` (moved by r pixels, rounded to whole ones, in a direction drawn from seed
            and case, or the opposite one where that keeps more pixels inside the image; it stays
            where both would leave none).
        seed: Of the direction.
        case_id: Likewise.

    Returns:
        (*space) bool.

    Raises:
        UsageError: There is no such change; `missing` is of a set of masks, not of one.
        ValueError: The mask is not of bool.
    """
    if mask.dtype != np.bool_:
        raise ValueError(f"a mask of bool is needed: got {mask.dtype}.")
    change = parse_change(how)
    if change.name == "missing":
        raise UsageError(
            "a share of masks is missing, not a share of one.",
            where=f"how = {how!r}",
            expected=", ".join(WAYS[:-1]),
            fix="use write_changed, which has all masks",
        )
    if not mask.any() or change.name == "full":
        return mask.copy()
    if change.name == "box":
        return _boxes(mask)
    if change.name == "dilated":
        return mask | (_distance(~mask) <= change.amount + TOLERANCE_PX)
    if change.name == "eroded":
        return _eroded(mask, change.amount)[0]
    return _shifted(mask, change.amount, seed, case_id)


def n_kept_pixels(mask: np.ndarray, how: str) -> int:
    """Components that an erosion leaves one pixel of, since it would remove them; else 0.

    Args:
        mask: (*space) bool.
        how: As of `changed_mask`.
    """
    change = parse_change(how)
    is_eroded = change.name == "eroded" and bool(mask.any())
    return _eroded(mask, change.amount)[1] if is_eroded else 0


def _boxes(mask: np.ndarray) -> np.ndarray:
    filled = np.zeros_like(mask)
    for place in ndimage.find_objects(_components(mask)):
        filled[place] = True
    return filled


def _eroded(mask: np.ndarray, radius_px: float) -> tuple[np.ndarray, int]:
    depth = _distance(mask)
    kept = mask & (depth > radius_px + TOLERANCE_PX)
    components = _components(mask)
    lost = np.setdiff1d(np.unique(components), [0, *np.unique(components[kept])])
    for number in lost:
        inside = np.where(components == number, depth, -1.0)
        kept[np.unravel_index(inside.argmax(), mask.shape)] = True
    return kept, len(lost)


def _shifted(mask: np.ndarray, distance_px: float, seed: int, case_id: str) -> np.ndarray:
    direction = generator(seed, "shifted mask", case_id).standard_normal(mask.ndim)
    step = np.rint(distance_px * direction / np.linalg.norm(direction)).astype(int)
    there, back = _moved(mask, step), _moved(mask, -step)
    found = there if there.sum() >= back.sum() else back
    return found if found.any() else mask.copy()


def _moved(mask: np.ndarray, step: np.ndarray) -> np.ndarray:
    """What leaves the image is lost."""
    moved = np.zeros_like(mask)
    index = np.argwhere(mask) + step
    index = index[((index >= 0) & (index < mask.shape)).all(axis=1)]
    moved[tuple(index.T)] = True
    return moved


def _distance(inside: np.ndarray) -> np.ndarray:
    """Of each pixel inside to the nearest one outside; infinite where there is none."""
    if inside.all():
        return np.full(inside.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(inside))


def _components(mask: np.ndarray) -> np.ndarray:
    return cast("tuple[np.ndarray, int]", ndimage.label(mask, np.ones((3,) * mask.ndim)))[0]
