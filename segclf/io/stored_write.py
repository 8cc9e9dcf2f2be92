"""What writers of NRRD and MetaImage store: voxels in file order with directions in LPS."""

import numpy as np

from segclf.io.geometry import LPS_TO_RAS, plain_affine

STORED_AS = {"bool": "uint8", "float16": "float32"}


def to_stored(
    name: str,
    array: np.ndarray,
    spacing_mm: tuple[float, ...] | None,
    affine: np.ndarray | None,
) -> tuple[np.ndarray, tuple[int, ...], np.ndarray]:
    """(channel, *space) as flat voxels, shape (channel, x, y, z) as stored, and LPS affine.

    A picture is stored as a volume of one slice, its columns along x. Without an affine the axes
    are taken to be those of `read_image`.

    Raises:
        ValueError: The array is not 2D or 3D, or not of numbers.
    """
    n_space = array.ndim - 1
    if n_space not in (2, 3) or array.dtype.kind not in "buif" or array.dtype.itemsize > 8:
        raise ValueError(
            f"{name} holds (channel, *space) of numbers in 2 or 3 dimensions: "
            f"got {array.dtype} of shape {array.shape}."
        )
    affine = plain_affine(spacing_mm or (1.0,) * n_space) if affine is None else np.array(affine)
    if n_space == 2:
        array, affine = array.swapaxes(1, 2)[..., None], affine[:, [1, 0, 2, 3]]
    dtype = np.dtype(STORED_AS.get(array.dtype.name, array.dtype.name)).newbyteorder("<")
    return array.astype(dtype).ravel(order="F"), array.shape, LPS_TO_RAS @ affine
