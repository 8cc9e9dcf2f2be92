"""Whether two files lie on one grid; a mask of a part of its image, on the whole grid of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segclf.core.errors import CaseError
from segclf.io.records import Header, Picture, bad_file

MAX_OFF_GRID_PX = 0.1
"""Farthest that a pixel of the mask may lie from one of the image."""
SPACING_TOLERANCE = 0.01
"""Largest relative difference of spacings, where a file has no affine."""
UNMATCHED = "resample it to the image, or correct its header; if the header is known to be wrong, "
UNMATCHED += "set allow_affine_mismatch: true"


@dataclass(frozen=True)
class Grid:
    """Where the pixels of an image lie."""

    shape: tuple[int, ...]
    """Of space alone, without channels."""
    spacing_mm: tuple[float, ...] | None = None
    affine: np.ndarray | None = None


def grid_of(file: Picture | Header, *, has_channels: bool = True) -> Grid:
    """The grid of a file that was read or probed."""
    shape = file.array.shape if isinstance(file, Picture) else file.shape
    return Grid(shape[1:] if has_channels else shape, file.spacing_mm, file.affine)


def mask_on(mask: Picture, image: Grid, path: Path, *, any_place: bool = False) -> Picture:
    """`mask` (*space) on the whole grid of its image; see `placed_on`.

    Args:
        mask: As `read_mask` gives it.
        image: The grid of its image.
        path: The file of the mask, for errors.
        any_place: Compare the shape alone.

    Raises:
        CaseError: As `check_grid`.
    """
    mask = placed_on(mask, image)
    check_grid(grid_of(mask, has_channels=False), image, path, any_place=any_place)
    return mask


def check_grid(found: Grid, image: Grid, path: Path, *, any_place: bool = False) -> None:
    """Refuse a mask, or a further channel, that does not lie on the grid of the image.

    Affines are compared at the corners of the volume, to `MAX_OFF_GRID_PX` of the smallest
    spacing; where one is missing, spacings.

    Raises:
        CaseError: `shape_mismatch`; without `any_place` `affine_mismatch` or `spacing_mismatch`,
            with the numbers of both.
    """
    if found.shape != image.shape:
        raise bad_file(
            "shape_mismatch",
            path,
            f"the shape is {found.shape}, that of the image {image.shape}.",
            expected="the grid of the image",
            fix="export it again at the size of the image",
        )
    if any_place:
        return
    if found.affine is not None and image.affine is not None:
        _check_affine(found, image, path)
    elif not _is_alike(found.spacing_mm, image.spacing_mm):
        raise _mismatch("spacing_mismatch", path, _spacings(found, image) + ".")


def _check_affine(found: Grid, image: Grid, path: Path) -> None:
    assert found.affine is not None  # the caller looked
    assert image.affine is not None
    n_axes = len(image.shape)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in image.shape])).reshape(n_axes, -1)
    points = np.zeros((4, corners.shape[1]))
    points[:n_axes], points[3] = corners, 1
    apart_mm = np.linalg.norm(((found.affine - image.affine) @ points)[:3], axis=0).max()
    if apart_mm > MAX_OFF_GRID_PX * min(image.spacing_mm or (1.0,)):
        first, wanted = (_numbers(affine[:3, 3]) for affine in (found.affine, image.affine))
        raise _mismatch(
            "affine_mismatch",
            path,
            f"it lies up to {apart_mm:.3g} mm away from the image: the first pixel is at "
            f"{first} mm, that of the image at {wanted} mm; {_spacings(found, image)}.",
        )


def _is_alike(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> bool:
    if one is None or other is None or len(one) != len(other):
        return one is None or other is None
    return np.allclose(one, other, rtol=SPACING_TOLERANCE, atol=0)


def _mismatch(reason: str, path: Path, wrong: str) -> CaseError:
    return bad_file(reason, path, wrong, expected="the place of the image", fix=UNMATCHED)


def _spacings(found: Grid, image: Grid) -> str:
    own, wanted = (_numbers(grid.spacing_mm or ()) for grid in (found, image))
    return f"the spacing is {own} mm, that of the image {wanted} mm"


def _numbers(values: np.ndarray | tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.5g}" for value in values) + ")"


def placed_on(mask: Picture, image: Grid) -> Picture:
    """`mask` (*space) on the grid of `image`, 0 where it says nothing; else `mask` as it is.

    DICOM SEG leaves out the slices without a pixel of a segment. The mask is placed where both
    files have an affine, and each of its pixels that is not 0 is a pixel of the image.

    Args:
        mask: As `read_mask` gives it; a single slice may belong to a volume.
        image: The grid of its image.
    """
    n_axes, space = mask.array.ndim, image.shape
    if mask.affine is None or image.affine is None or mask.array.shape == space:
        return mask
    to_image = np.linalg.solve(image.affine, mask.affine)[:3]
    steps = to_image[:, :n_axes]
    whole = np.rint(steps)
    is_same_grid = np.allclose(steps, whole, atol=0.01) and (np.abs(whole).sum(axis=0) == 1).all()
    if not is_same_grid:
        return mask
    size = np.array([*space, 1][:3])
    array = np.zeros(size, mask.array.dtype)
    drawn = _drawn_box(mask.array)
    if drawn is not None:
        corners = np.array(np.meshgrid(*drawn)).reshape(n_axes, -1)
        exact = steps @ corners + to_image[:, 3:]
        index = np.rint(exact).astype(np.int64)
        low, high = index.min(axis=1), index.max(axis=1)
        if (low < 0).any() or (high >= size).any() or np.abs(exact - index).max() > MAX_OFF_GRID_PX:
            return mask
        box = tuple(slice(first, last + 1) for first, last in drawn)
        backward = tuple(slice(None, None, int(step)) for step in whole.sum(axis=0))
        block = np.expand_dims(mask.array[box][backward], tuple(range(n_axes, 3)))
        axes = [*np.abs(whole).argmax(axis=0)]  # of the image, for each axis of the mask
        axes += [axis for axis in range(3) if axis not in axes]
        array[tuple(map(slice, low, high + 1))] = block.transpose(np.argsort(axes))
    return Picture(array.reshape(space), image.spacing_mm, image.affine)


def _drawn_box(array: np.ndarray) -> list[tuple[int, int]] | None:
    """First and last index of what is not 0 along each axis; None for an empty mask."""
    box = []
    for axis in range(array.ndim):
        others = tuple(k for k in range(array.ndim) if k != axis)
        found = np.flatnonzero(array.any(axis=others))
        if not len(found):
            return None
        box.append((int(found[0]), int(found[-1])))
    return box
