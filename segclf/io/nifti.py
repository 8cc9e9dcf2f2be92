"""NIfTI (.nii, .nii.gz): pictures and volumes with a spacing, turned to one orientation.

The axes are those of `segclf.io.geometry`. A fourth (or fifth) axis becomes the channel axis.
"""

import gzip
import math
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, cast

import numpy as np

from segclf.io.geometry import Axes, check_affine, layout, n_dims, spacing_of, turned
from segclf.io.nifti_write import is_packed, write
from segclf.io.records import (
    Format,
    Header,
    Limits,
    Picture,
    bad_file,
    check_size,
    decoding,
)

if TYPE_CHECKING:
    from nibabel import Nifti1Header, Nifti2Header  # half a second: it imports pydicom

HEADER_BYTES = 540  # NIfTI-2; NIfTI-1 has 348
MAX_OFFSET_BYTES = 64 * 2**20  # header extensions before the voxels; they are skipped, not read
MAX_DEFLATE_RATIO = 1032  # the most that gzip can shrink; a smaller file cannot be whole
TO_MM = {"meter": 1000.0, "mm": 1.0, "micron": 1e-3, "unknown": 1.0}

NiftiHeader: TypeAlias = "Nifti1Header | Nifti2Header"


def probe(path: Path, limits: Limits) -> Header:
    """The header of a NIfTI file, with the shape and spacing that `read_image` would give."""
    with decoding(path, "NIfTI"), _opened(path) as stream:
        header = _raw_header(stream)
        n_bytes = _check(header, path, limits)
        shape, axes, affine = _layout(header, path)
    space = tuple(shape[axis] for axis, _ in axes)[: n_dims(shape)]
    spacing_mm = spacing_of(affine)[: len(space)]
    n_channels = 3 if header.get_data_dtype().names else shape[3]
    dtype, stored = _decoded_dtype(header), _affine(header, path)
    return Header((n_channels, *space), dtype, n_bytes, spacing_mm, affine, stored)


def read_image(path: Path, limits: Limits) -> Picture:
    """(channel, *space) in the file's dtype; float32 or wider where it states a scaling."""
    with decoding(path, "NIfTI"):
        with _opened(path) as stream:
            header = _raw_header(stream)
            _check(header, path, limits)
            shape, axes, affine = _layout(header, path)
            array = _scaled(_voxels(stream, header, shape), header)
        return turned(array, axes, affine)


def turn_like(path: Path, array: np.ndarray, limits: Limits) -> Picture:
    """`array` (channel, *axes as stored in `path`) turned as `read_image` turns the file itself.

    Raises:
        CaseError: The file cannot be used, or stores another shape (`map_size_differs`).
    """
    with decoding(path, "NIfTI"):
        with _opened(path) as stream:
            header = _raw_header(stream)
        _check(header, path, limits)
        shape, axes, affine = _layout(header, path)
    if array.shape[1:] != shape[:3]:
        raise bad_file(
            "map_size_differs",
            path,
            f"the map has {array.shape[1:]} pixels along the stored axes, the file {shape[:3]}.",
            expected="a map on the grid of this file",
            fix="export the map at the size of the image",
        )
    return turned(np.moveaxis(array, 0, -1), axes, affine)


def read_mask(path: Path, limits: Limits) -> Picture:
    """(*space); a file with several volumes is refused."""
    picture = read_image(path, limits)
    if picture.array.shape[0] != 1:
        raise bad_file(
            "bad_mask",
            path,
            f"the mask file holds {picture.array.shape[0]} volumes.",
            expected="one map per file",
            fix="write one file per finding, or one integer map",
        )
    return Picture(picture.array[0], picture.spacing_mm, picture.affine)


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if is_packed(path) else open(path, "rb")


def _raw_header(stream: BinaryIO) -> NiftiHeader:
    from nibabel import Nifti1Header, Nifti2Header

    block = stream.read(HEADER_BYTES)
    if len(block) < 348:
        raise EOFError(f"{len(block)} bytes of header, 348 needed")
    for order in "<>":  # the size of the header, its first number, tells the byte order
        size = struct.unpack(order + "i", block[:4])[0]
        if size == 540 and len(block) == HEADER_BYTES:
            return Nifti2Header(block, endianness=order, check=False)
        if size == 348 and block[344:347] == b"n+1":
            return Nifti1Header(block[:348], endianness=order, check=False)
    raise ValueError("the magic number is not that of a single-file NIfTI")


def _check(header: NiftiHeader, path: Path, limits: Limits) -> int:
    """Decoded bytes; refuses odd arrays, sizes beyond `limits`, and files too short for them."""
    dims = tuple(int(n) for n in header.get_data_shape())
    dtype = header.get_data_dtype()
    if not 2 <= len(dims) <= 5 or (len(dims) == 5 and dims[3] != 1):
        raise bad_file(
            "unreadable",
            path,
            f"the array has {len(dims)} axes {dims}.",
            expected="2 or 3 axes of space and at most one of channels",
            fix="split the file into volumes",
        )
    if dtype.kind not in "uif" and dtype.names != ("R", "G", "B"):
        raise bad_file(
            "unreadable",
            path,
            f"voxels of type {dtype} are not supported.",
            expected="integers or real numbers",
            fix="save magnitude or real part as float32",
        )
    shape = _shape(header)
    itemsize = max(dtype.itemsize, _decoded_dtype(header).itemsize)
    space = shape[:3] if n_dims(shape) == 3 else sorted(shape[:3])[1:]
    n_bytes = check_size(path, (shape[3], *space), itemsize, limits)
    offset, n_stored = _offset(header), math.prod(shape) * dtype.itemsize
    n_file = os.path.getsize(path)
    if n_file * (MAX_DEFLATE_RATIO if is_packed(path) else 1) < offset + n_stored:
        raise bad_file(
            "truncated",
            path,
            f"the header declares {n_stored} bytes of voxels, but the file has {n_file} bytes.",
            expected="a whole NIfTI file",
            fix="copy or export the file again",
        )
    return n_bytes


def _offset(header: NiftiHeader) -> int:
    """First byte of the voxels; some writers leave the field at 0."""
    offset = max(int(header.get_data_offset()), header.single_vox_offset)
    if offset > MAX_OFFSET_BYTES:
        raise ValueError(f"the header puts the voxels at byte {offset}")
    return offset


def _shape(header: NiftiHeader) -> tuple[int, ...]:
    """Stored shape as (x, y, z, channel)."""
    dims = tuple(int(n) for n in header.get_data_shape())
    return (*dims[:3], *(1,) * (3 - len(dims)), dims[-1] if len(dims) > 3 else 1)


def _layout(header: NiftiHeader, path: Path) -> tuple[tuple[int, ...], Axes, np.ndarray]:
    """Stored shape; the axes to give, and their affine."""
    shape = _shape(header)
    return shape, *layout(shape, _affine(header, path))


def _affine(header: NiftiHeader, path: Path) -> np.ndarray:
    """Stored affine in mm."""
    header = header.copy()
    for axis, n_px in enumerate(_shape(header)[:3], start=1):
        if n_px == 1 and header["pixdim"][axis] == 0:
            header["pixdim"][axis] = 1.0  # 2D writers leave the missing axis at 0
    affine = np.array(header.get_best_affine(), dtype=np.float64)
    affine[:3] *= TO_MM[str(header.get_xyzt_units()[0])]
    return check_affine(affine, path, fix="set pixdim and the sform or qform of the file")


def _voxels(stream: BinaryIO, header: NiftiHeader, shape: tuple[int, ...]) -> np.ndarray:
    """Stored voxels (x, y, z, channel); never more bytes are unpacked than the header declares."""
    dtype = header.get_data_dtype()
    n_bytes = math.prod(shape) * dtype.itemsize
    stream.seek(_offset(header))
    data = stream.read(n_bytes)
    if len(data) < n_bytes:
        raise EOFError(f"{len(data)} of {n_bytes} bytes of voxels")
    stream.read(1)  # at the end of a gzip stream this checks its checksum
    if dtype.names:  # RGB24: a byte per colour, interleaved
        return np.moveaxis(np.frombuffer(data, np.uint8).reshape(3, *shape[:3], order="F"), 0, -1)
    voxels = np.frombuffer(data, dtype).reshape(shape, order="F")
    return voxels.astype(dtype.newbyteorder("="), copy=False)


def _decoded_dtype(header: NiftiHeader) -> np.dtype:
    dtype = header.get_data_dtype().newbyteorder("=")
    if dtype.names:
        return np.dtype(np.uint8)
    return dtype if _slope_inter(header) == (1.0, 0.0) else np.result_type(dtype, np.float32)


def _slope_inter(header: NiftiHeader) -> tuple[float, float]:
    slope, inter = header.get_slope_inter()
    return (1.0 if slope is None else float(slope)), (0.0 if inter is None else float(inter))


def _scaled(voxels: np.ndarray, header: NiftiHeader) -> np.ndarray:
    slope, inter = _slope_inter(header)
    dtype = _decoded_dtype(header)
    if (slope, inter) == (1.0, 0.0) or dtype == np.uint8:
        return voxels
    return voxels.astype(dtype) * dtype.type(slope) + dtype.type(inter)


NIFTI = Format("NIfTI", probe, read_image, read_mask, write)
