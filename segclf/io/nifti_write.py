"""Writing NIfTI: 2D pictures and volumes that `segclf.io.nifti` reads back as they were."""

import gzip
from pathlib import Path

import numpy as np

from segclf.io.geometry import plain_affine

STORED_AS = {"bool": "uint8", "float16": "float32", "int64": "int32", "uint64": "uint32"}


def write(
    path: Path,
    array: np.ndarray,
    spacing_mm: tuple[float, ...] | None,
    affine: np.ndarray | None,
) -> None:
    """Write (channel, *space), 2D or 3D, so that `read_image` gives it back.

    Without an affine the axes are taken to be those of `read_image`. Text fields and extensions
    of the header, which have carried names of patients, stay empty.
    """
    from nibabel import Nifti1Image  # half a second: it imports pydicom

    n_dims = array.ndim - 1
    if n_dims not in (2, 3) or array.dtype.kind not in "buif":
        raise ValueError(
            "NIfTI holds (channel, *space) of numbers in 2 or 3 dimensions: "
            f"got {array.dtype} of shape {array.shape}."
        )
    dtype = np.dtype(STORED_AS.get(array.dtype.name, array.dtype.name))
    if array.size and dtype.kind in "iu" and not np.can_cast(array.dtype, dtype):
        bounds = np.iinfo(dtype)
        if array.min() < bounds.min or array.max() > bounds.max:
            raise ValueError(
                f"NIfTI keeps {array.dtype} as {dtype}: got values up to {array.max()}."
            )
    voxels = array.astype(dtype).reshape(*array.shape, *(1,) * (3 - n_dims))
    voxels = voxels[0] if len(voxels) == 1 else np.moveaxis(voxels, 0, -1)
    if affine is None:
        affine = plain_affine(spacing_mm or (1.0,) * n_dims)
    image = Nifti1Image(voxels, affine, dtype=dtype)
    image.header.set_xyzt_units("mm")
    data = image.to_bytes()
    path.write_bytes(gzip.compress(data, 6, mtime=0) if is_packed(path) else data)


def is_packed(path: Path) -> bool:
    """Whether the file is compressed."""
    return path.name.lower().endswith(".gz")
