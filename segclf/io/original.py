"""Maps on the very grid of the file that an image came from, so that viewers lay one on the other.

Pictures and volumes are turned to one orientation when they are read (`segclf.io.geometry`). What
is written about them has to have the axes, order and affine of the file again: ITK-SNAP, for one,
opens a segmentation only if its header is that of the image.
"""

import numpy as np

from segclf.io.geometry import plain_affine
from segclf.io.records import Header


def on_stored_grid(
    array: np.ndarray, header: Header, *, spacing_mm: tuple[float, ...] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """`array` (channel, *space) as (channel, x, y, z) of the image's file, and the affine of that.

    A picture becomes a volume of one slice with its columns along x. An image without an affine is
    taken to lie as ITK takes a PNG: columns to the left, rows to the back, from the origin.

    Args:
        array: On the grid of the image as `read_image` gives it.
        header: What `probe` says of the image.
        spacing_mm: For files without a spacing.

    Raises:
        ValueError: The array has another shape than the image.
    """
    n_space = array.ndim - 1
    if array.shape[1:] != header.shape[1:]:
        raise ValueError(f"the map has the shape {array.shape[1:]}, the image {header.shape[1:]}.")
    affine, stored = header.affine, header.stored_affine
    if affine is None:
        affine, stored = plain_affine(spacing_mm or header.spacing_mm or (1.0,) * n_space), None
    if stored is None:
        stored = affine[:, [1, 0, 2, 3]] if n_space == 2 else affine
    array = array.reshape(*array.shape, *(1,) * (3 - n_space))
    to_stored = np.linalg.solve(stored, affine)[:3, :3]  # a turn by quarters, since axes are kept
    axes = np.abs(to_stored).argmax(axis=0)
    backwards = to_stored[axes, range(3)] < 0
    array = array[(slice(None), *(slice(None, None, -1 if back else 1) for back in backwards))]
    return array.transpose(0, *(1 + np.argsort(axes))), stored
