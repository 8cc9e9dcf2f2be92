"""A mask that covers a part of its image, on the whole grid of the image."""

import numpy as np

from segclf.io.records import Header, Picture

MAX_OFF_GRID_PX = 0.1
"""Farthest that a pixel of the mask may lie from one of the image."""


def placed_on(mask: Picture, image: Header) -> Picture:
    """`mask` (*space) on the grid of `image`, 0 where it says nothing; else `mask` as it is.

    DICOM SEG leaves out the slices without a pixel of a segment. The mask is placed where both
    files have an affine, and each of its pixels that is not 0 is a pixel of the image.

    Args:
        mask: As `read_mask` gives it; a single slice may belong to a volume.
        image: The header of its image.
    """
    n_axes, space = mask.array.ndim, image.shape[1:]
    if mask.affine is None or image.affine is None or mask.array.shape == space:
        return mask
    to_image = np.linalg.solve(image.affine, mask.affine)[:3]
    steps = to_image[:, :n_axes]
    is_same_grid = np.allclose(np.abs(steps).sum(axis=0), 1, atol=0.01) and np.allclose(
        steps, np.rint(steps), atol=0.01
    )
    where = np.argwhere(mask.array)
    exact = where @ steps.T + to_image[:, 3]
    index = np.rint(exact).astype(np.int64)
    size = np.array([*space, 1][:3])
    is_inside = (index >= 0).all() and (index < size).all()
    if not is_same_grid or not is_inside or (np.abs(exact - index) > MAX_OFF_GRID_PX).any():
        return mask
    array = np.zeros(size, mask.array.dtype)
    array[tuple(index.T)] = mask.array[tuple(where.T)]
    return Picture(array.reshape(space), image.spacing_mm, image.affine)
