"""NumPy files: .npz (what segclf writes itself: array, spacing, affine) and plain .npy.

`write` stores the number of space axes. A file without it is read by shape: two axes are a
picture; of three, a first axis of at most 4 is the channel, else a last axis of at most 4 is,
else they are a volume; of four, the first is the channel.
"""

import io
import math
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from segclf.io.records import (
    DEFAULT_LIMITS,
    Format,
    Header,
    Limits,
    Picture,
    bad_file,
    check_size,
    decoding,
)

MAIN_KEYS = ("array", "image", "mask", "data", "arr_0")
GEOMETRY_KEYS = ("spatial_dims", "spacing_mm", "affine")
MAX_CHANNELS = 4  # of an array whose axes are not stated
HEADER_BYTES = 10_016  # magic, version, length and the 10,000 characters that NumPy accepts
MAX_DEFLATE_RATIO = 1032
MAX_MEMBERS = 1000
"""Arrays in a file; the header of each is looked at."""


@dataclass(frozen=True)
class _Array:
    """An array in a file, its header read and checked, its numbers not."""

    open: Callable[[], IO[bytes]]
    shape: tuple[int, ...]
    dtype: np.dtype
    order: str
    offset: int
    n_file_bytes: int
    """The most bytes that the file can hold for it, header included."""


def probe(path: Path, limits: Limits) -> Header:
    """The header of an .npy or .npz file."""
    with decoding(path, "NumPy"), _arrays(path) as arrays:
        main = _main(arrays, path)
        spatial_dims, spacing_mm, affine = _geometry(arrays, path)
        shape = _channel_first(np.broadcast_to(0, main.shape), spatial_dims, path).shape
        dtype = np.dtype(np.uint8) if main.dtype == bool else main.dtype.newbyteorder("=")
        n_bytes = check_size(path, shape, dtype.itemsize, limits)
        _check_length(main, path)
    return Header(shape, dtype, n_bytes, spacing_mm, affine)


def read_image(path: Path, limits: Limits) -> Picture:
    """(channel, *space); the axes are found as the module says."""
    probe(path, limits)
    with decoding(path, "NumPy"), _arrays(path) as arrays:
        spatial_dims, spacing_mm, affine = _geometry(arrays, path)
        array = _channel_first(_read(_main(arrays, path)), spatial_dims, path)
    array = array.astype(np.uint8 if array.dtype == bool else array.dtype.newbyteorder("="))
    return Picture(np.ascontiguousarray(array), spacing_mm, affine)


def read_mask(path: Path, limits: Limits) -> Picture:
    """(*space); an array with several channels is refused."""
    picture = read_image(path, limits)
    if picture.array.shape[0] != 1:
        raise bad_file(
            "bad_mask",
            path,
            f"the mask array has {picture.array.shape[0]} channels.",
            expected="one map per file",
            fix="write one file per finding, or one integer map",
        )
    return Picture(picture.array[0], picture.spacing_mm, picture.affine)


def write_npz(
    path: Path,
    array: np.ndarray,
    spacing_mm: tuple[float, ...] | None,
    affine: np.ndarray | None,
) -> None:
    """Write (channel, *space) with its geometry, compressed."""
    parts = {"array": array, "spatial_dims": np.array(array.ndim - 1)}
    if spacing_mm is not None:
        parts["spacing_mm"] = np.asarray(spacing_mm, dtype=np.float64)
    if affine is not None:
        parts["affine"] = np.asarray(affine, dtype=np.float64)
    if array.dtype.kind not in "buif" or array.ndim not in (3, 4):
        raise ValueError(
            f"npz holds (channel, *space) of numbers: got {array.dtype} of shape {array.shape}."
        )
    with open(path, "wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **parts)


def write_npy(
    path: Path,
    array: np.ndarray,
    spacing_mm: tuple[float, ...] | None,
    affine: np.ndarray | None,
) -> None:
    """Write (channel, *space); .npy has no room for a spacing or an affine."""
    is_read_back = array.shape[0] <= MAX_CHANNELS and array.ndim in (3, 4)
    if array.dtype.kind not in "buif" or not is_read_back or spacing_mm or affine is not None:
        raise ValueError(
            "npy holds (1 to 4 channels, *space) of numbers and no spacing: got "
            f"{array.dtype} of shape {array.shape}, spacing_mm={spacing_mm}; npz holds both."
        )
    with open(path, "wb") as stream:
        np.save(stream, array, allow_pickle=False)


def array_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name to shape of each array in an .npz file, by their headers.

    Raises:
        CaseError: `unreadable` (Python objects are), `truncated`: an array is shorter than its
            header says.
    """
    with decoding(path, "NumPy"), _arrays(path) as arrays:
        for array in arrays.values():
            _check_length(array, path)
        return {name: array.shape for name, array in arrays.items()}


def each_row(path: Path, name: str, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[np.ndarray]:
    """The entries along the first axis of an array in an .npz file, one in memory at a time.

    Raises:
        CaseError: As `array_shapes`; `too_large` for an entry beyond the limits.
    """
    with decoding(path, "NumPy"), _arrays(path) as arrays:
        array = arrays[name]
        _check_length(array, path)
        shape: tuple[int, ...] = tuple(array.shape[1:])
        n_bytes = math.prod(shape) * array.dtype.itemsize
        if array.order == "F" and len(array.shape) > 1:
            whole = math.prod(array.shape) * array.dtype.itemsize
            check_size(path, (1, 1, max(whole, 1)), 1, limits)
            yield from _read(array)
            return
        check_size(path, (1, 1, max(n_bytes, 1)), 1, limits)
        with array.open() as stream:
            stream.read(array.offset)
            for _ in range(next(iter(array.shape), 0)):
                data = stream.read(n_bytes)
                if len(data) < n_bytes:
                    raise EOFError(f"{len(data)} of {n_bytes} bytes")
                yield np.frombuffer(data, array.dtype).reshape(shape)


@contextmanager
def _arrays(path: Path) -> Iterator[dict[str, _Array]]:
    """Name to array of an .npz file; of an .npy file, one array under an empty name."""
    if path.name.lower().endswith(".npy"):
        yield {"": _array(partial(open, path, "rb"), os.path.getsize(path), path)}
        return
    with zipfile.ZipFile(path) as archive:
        if len(archive.infolist()) > MAX_MEMBERS:
            raise ValueError(f"the file holds {len(archive.infolist())} members")
        yield {
            member.filename.removesuffix(".npy"): _array(
                partial(archive.open, member),
                min(member.file_size, member.compress_size * MAX_DEFLATE_RATIO),
                path,
            )
            for member in archive.infolist()
            if member.filename.endswith(".npy")
        }


def _array(opener: Callable[[], IO[bytes]], n_file_bytes: int, path: Path) -> _Array:
    with opener() as stream:
        block = io.BytesIO(stream.read(HEADER_BYTES))  # so that no header can ask for more
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, is_fortran, dtype = readers[np.lib.format.read_magic(block)](block)
    if dtype.hasobject or dtype.kind not in "buif":
        raise bad_file(
            "unreadable",
            path,
            f"the array holds {'Python objects' if dtype.hasobject else dtype.name}.",
            expected="an array of integers or real numbers",
            fix="save it again with a numeric dtype; objects are never unpickled",
        )
    order = "F" if is_fortran else "C"
    return _Array(opener, tuple(shape), dtype, order, block.tell(), n_file_bytes)


def _main(arrays: dict[str, _Array], path: Path) -> _Array:
    names = [name for name in arrays if name not in GEOMETRY_KEYS]
    known = [name for name in MAIN_KEYS if name in names]
    if len(names) != 1 and not known:
        raise bad_file(
            "unreadable",
            path,
            # without their names, which are text of the file
            f"it is not clear which array is meant: the file holds {len(names)}.",
            expected=f"one array, or one called {', '.join(MAIN_KEYS)}",
            fix="save the picture under the name 'array'",
        )
    return arrays[known[0] if known else names[0]]


def _geometry(
    arrays: dict[str, _Array], path: Path
) -> tuple[int | None, tuple[float, ...] | None, np.ndarray | None]:
    """Number of space axes, spacing and affine, each None if the file does not state it."""
    values: dict[str, np.ndarray] = {}
    for name in GEOMETRY_KEYS:
        if name in arrays:
            if math.prod(arrays[name].shape) > 16:
                raise ValueError(f"{name} has the shape {arrays[name].shape}")
            values[name] = _read(arrays[name]).astype(np.float64)
    spacing, affine = values.get("spacing_mm"), values.get("affine")
    is_bad = (spacing is not None and not (np.isfinite(spacing) & (spacing > 0)).all()) or (
        affine is not None and (affine.shape != (4, 4) or not np.isfinite(affine).all())
    )
    if is_bad:
        raise bad_file(
            "bad_geometry",
            path,
            f"spacing_mm is {spacing} and affine is {affine}.",
            expected="a positive spacing per axis and a finite 4 x 4 affine",
            fix="correct or leave out these entries",
        )
    spatial_dims = int(values["spatial_dims"]) if "spatial_dims" in values else None
    if spatial_dims is None and spacing is not None:
        spatial_dims = len(spacing)
    return spatial_dims, None if spacing is None else tuple(map(float, spacing)), affine


def _channel_first(array: np.ndarray, spatial_dims: int | None, path: Path) -> np.ndarray:
    """A view of `array` as (channel, *space)."""
    shape = array.shape
    if spatial_dims is None:
        small = [bool(shape) and n <= MAX_CHANNELS for n in (shape or (0,))]
        spatial_dims = {2: 2, 4: 3}.get(len(shape), 2 if small[0] or small[-1] else 3)
        if len(shape) == 3 and spatial_dims == 2 and not small[0]:
            return np.moveaxis(array, -1, 0)
    if spatial_dims not in (2, 3) or len(shape) - spatial_dims not in (0, 1):
        raise bad_file(
            "unreadable",
            path,
            f"the array has the shape {shape}.",
            expected="2 or 3 axes of space and at most one of channels",
            fix="save it as (channel, *space)",
        )
    return array[None] if len(shape) == spatial_dims else array


def _check_length(array: _Array, path: Path) -> None:
    n_bytes = math.prod(array.shape) * array.dtype.itemsize
    if array.n_file_bytes < array.offset + n_bytes:
        raise bad_file(
            "truncated",
            path,
            f"the header declares {n_bytes} bytes, but the file holds at most "
            f"{max(array.n_file_bytes - array.offset, 0)}.",
            expected="a whole NumPy file",
            fix="copy or export the file again",
        )


def _read(array: _Array) -> np.ndarray:
    n_bytes = math.prod(array.shape) * array.dtype.itemsize
    with array.open() as stream:
        stream.read(array.offset)
        data = stream.read(n_bytes)
        stream.read(1)  # at the end of a zip member this checks its checksum
    if len(data) < n_bytes:
        raise EOFError(f"{len(data)} of {n_bytes} bytes")
    return np.frombuffer(data, array.dtype).reshape(array.shape, order=array.order)  # type: ignore[call-overload]


NPZ = Format("npz", probe, read_image, read_mask, write_npz)
NPY = Format("npy", probe, read_image, read_mask, write_npy)
