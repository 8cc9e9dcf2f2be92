"""An array that lies as the voxels of a file are stored, turned as the file itself is read."""

from functools import partial
from pathlib import Path

import numpy as np

from segclf.io import metaimage, nifti, nrrd, voxels
from segclf.io.files import format_of
from segclf.io.records import DEFAULT_LIMITS, Limits, Picture, bad_file

TURNS = {
    nifti.NIFTI.name: nifti.turn_like,
    nrrd.NRRD.name: partial(voxels.turn_like, nrrd.parse, nrrd.NRRD.name),
    metaimage.METAIMAGE.name: partial(voxels.turn_like, metaimage.parse, metaimage.METAIMAGE.name),
}


def turn_like(path: Path, array: np.ndarray, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """`array` (channel, *axes as stored in `path`) turned as `read_image` turns the file itself.

    The stored axes are (x, y, z); of a TIFF (column, row, page), which stay as they are.

    Raises:
        CaseError: The file cannot be used, stores another shape (`map_size_differs`), or is of a
            format whose stored axes are not known (`unknown_format`).
    """
    file_format = format_of(path)
    if file_format.name in TURNS:
        return TURNS[file_format.name](path, array, limits)
    header = file_format.probe(path, limits)
    if file_format.name != "TIFF":
        raise bad_file(
            "unknown_format",
            path,
            f"it is not known how an array lies on a {file_format.name} file.",
            expected="NIfTI, NRRD, MetaImage or TIFF",
            fix="export the map as NIfTI",
        )
    if array.shape[1:] != header.shape[1:]:
        raise bad_file(
            "map_size_differs",
            path,
            f"the map has {array.shape[1:]} pixels, the file {header.shape[1:]}.",
            expected="a map on the grid of this file",
            fix="export the map at the size of the image",
        )
    return Picture(array, header.spacing_mm, None)
