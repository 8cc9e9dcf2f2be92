"""Formats of a text header and plain voxels (NRRD, MetaImage): what they share after the header.

The voxels stand behind the header, or in a second file that is a plain name in the same folder.
A header that names any other file is refused: it could carry files of this machine into results.
"""

import gzip
import math
import os
import re
import stat
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from segclf.io.geometry import Axes, check_affine, layout, n_dims, spacing_of, turned
from segclf.io.records import Header, Limits, Picture, bad_file, check_size, decoding

HEADER_BYTES = 2**20
"""Longest text header; those of diffusion series and of many segments are the longest."""
MAX_DEFLATE_RATIO = 1032
CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class Stored:
    """What a header says of its voxels."""

    shape: tuple[int, ...]
    """All axes as stored, the fastest first."""
    channel_axis: int | None
    """Of `shape`; None for a single channel."""
    dtype: np.dtype
    """With its byte order."""
    affine: np.ndarray
    """From stored space axes to RAS+ in mm, if `has_spacing`."""
    has_spacing: bool
    file: Path
    """Where the voxels are."""
    offset: int
    """Their first byte; -1 counts from the end of the file."""
    encoding: str
    """`raw`, `gzip` or `zlib`."""

    @property
    def space(self) -> tuple[int, ...]:
        """(x, y, z) as stored; a missing axis has length 1."""
        space = tuple(n for axis, n in enumerate(self.shape) if axis != self.channel_axis)
        return (*space, *(1,) * (3 - len(space)))

    @property
    def n_channels(self) -> int:
        """Length of the channel axis."""
        return 1 if self.channel_axis is None else self.shape[self.channel_axis]

    @property
    def n_bytes(self) -> int:
        """Bytes of the voxels, unpacked."""
        return math.prod(self.shape) * self.dtype.itemsize


Parse = Callable[[Path], Stored]


def probe_stored(parse: Parse, name: str, path: Path, limits: Limits) -> Header:
    """The header, with the shape and spacing that `read_stored` would give."""
    with decoding(path, name, tells=False):
        stored = parse(path)
        n_bytes = _check(stored, path, limits)
        axes, affine = _layout(stored, path)
    space = tuple(stored.space[axis] for axis, _ in axes)[: n_dims(stored.space)]
    spacing_mm = spacing_of(affine)[: len(space)]
    shape = (stored.n_channels, *space)
    dtype = stored.dtype.newbyteorder("=")
    if not stored.has_spacing:
        return Header(shape, dtype, n_bytes, None, None)
    return Header(shape, dtype, n_bytes, spacing_mm, affine, stored.affine)


def read_stored(parse: Parse, name: str, path: Path, limits: Limits) -> Picture:
    """(channel, *space) in the file's dtype."""
    with decoding(path, name, tells=False):
        stored = parse(path)
        _check(stored, path, limits)
        axes, affine = _layout(stored, path)
        voxels = np.frombuffer(_unpacked(stored), stored.dtype).reshape(stored.shape, order="F")
        if stored.channel_axis is not None:
            voxels = np.moveaxis(voxels, stored.channel_axis, -1)
        voxels = voxels.reshape(*stored.space, stored.n_channels)
        picture = turned(voxels.astype(stored.dtype.newbyteorder("="), copy=False), axes, affine)
    return picture if stored.has_spacing else Picture(picture.array, None, None)


def read_stored_mask(parse: Parse, name: str, path: Path, limits: Limits) -> Picture:
    """(*space); a file with several channels is refused."""
    picture = read_stored(parse, name, path, limits)
    if picture.array.shape[0] != 1:
        raise bad_file(
            "bad_mask",
            path,
            f"the mask file holds {picture.array.shape[0]} channels.",
            expected="one map per file",
            fix="write one file per finding, or one integer map",
        )
    return Picture(picture.array[0], picture.spacing_mm, picture.affine)


def turn_like(parse: Parse, name: str, path: Path, array: np.ndarray, limits: Limits) -> Picture:
    """`array` (channel, *axes as stored in `path`) turned as `read_stored` turns the file itself.

    Raises:
        CaseError: The file cannot be used, or stores another shape (`map_size_differs`).
    """
    with decoding(path, name, tells=False):
        stored = parse(path)
        _check(stored, path, limits)
        axes, affine = _layout(stored, path)
    if array.shape[1:] != stored.space:
        raise bad_file(
            "map_size_differs",
            path,
            f"the map has {array.shape[1:]} pixels along the stored axes, the file {stored.space}.",
            expected="a map on the grid of this file",
            fix="export the map at the size of the image",
        )
    return turned(np.moveaxis(array, 0, -1), axes, affine)


def text_header(path: Path, end: re.Pattern[bytes]) -> tuple[str, int]:
    """The header as far as `end` matches, and the number of its bytes."""
    with open(path, "rb") as stream:
        block = stream.read(HEADER_BYTES)
    found = end.search(block)
    if found is None:
        raise EOFError(f"no end of the header within {len(block)} bytes")
    return block[: found.end()].decode("utf-8", errors="replace"), found.end()


def beside(path: Path, name: str) -> Path:
    """The file `name` in the folder of `path`.

    Raises:
        CaseError: `detached_data` for anything but the plain name of a regular file.
    """
    is_plain = bool(name) and re.search(r'[/\\:\0*?"<>|]', name) is None and name not in (".", "..")
    other = path.parent / name if is_plain else path
    try:
        is_file = is_plain and stat.S_ISREG(os.lstat(other).st_mode)
    except (OSError, ValueError):
        is_file = False
    if not is_file:
        raise bad_file(
            "detached_data",
            path,
            "the header names another file for its voxels, which is not a plain file beside it.",
            expected="voxels in the same file or in one of the same folder; no path, link or list",
            fix="save it as one file (.nrrd, .mha), or move the voxels beside their header",
        )
    return other


def _check(stored: Stored, path: Path, limits: Limits) -> int:
    """Decoded bytes; refuses odd arrays, sizes beyond `limits`, and files too short for them."""
    n_axes = len(stored.shape) - (stored.channel_axis is not None)
    if n_axes not in (2, 3) or stored.dtype.kind not in "iuf":
        raise bad_file(
            "unreadable",
            path,
            f"the file has {n_axes} axes of space and voxels of {stored.dtype.name}.",
            expected="2 or 3 axes of space, at most one of channels, and real numbers",
            fix="split the file into volumes",
        )
    space = stored.space if n_dims(stored.space) == 3 else sorted(stored.space)[1:]
    n_bytes = check_size(path, (stored.n_channels, *space), stored.dtype.itemsize, limits)
    n_file = os.path.getsize(stored.file)
    most = n_file if stored.encoding == "raw" else n_file * MAX_DEFLATE_RATIO
    if most < max(stored.offset, 0) + stored.n_bytes:
        raise bad_file(
            "truncated",
            path,
            f"the header declares {stored.n_bytes} bytes of voxels, but the file has {n_file}.",
            expected="a whole file",
            fix="copy or export the file again",
        )
    return n_bytes


def _layout(stored: Stored, path: Path) -> tuple[Axes, np.ndarray]:
    check_affine(stored.affine, path, fix="correct the spacing and the directions in the header")
    return layout(stored.space, stored.affine)


def _unpacked(stored: Stored) -> bytes:
    """The voxels; never more bytes are unpacked than the header declares."""
    with open(stored.file, "rb") as stream:
        if stored.offset < 0:
            stream.seek(-stored.n_bytes, os.SEEK_END)
        else:
            stream.seek(stored.offset)
        if stored.encoding == "zlib":
            data = _inflated(stream, stored.n_bytes)
        elif stored.encoding == "gzip":
            unpacker = cast(BinaryIO, gzip.GzipFile(fileobj=stream))
            data = unpacker.read(stored.n_bytes)
            unpacker.read(1)  # at the end of a gzip stream this checks its checksum
        else:
            data = stream.read(stored.n_bytes)
    if len(data) < stored.n_bytes:
        raise EOFError(f"{len(data)} of {stored.n_bytes} bytes of voxels")
    return data


def _inflated(stream: BinaryIO, n_bytes: int) -> bytes:
    unpacker, data = zlib.decompressobj(), bytearray()
    packed = stream.read(CHUNK_BYTES)
    while len(data) < n_bytes and packed:
        data += unpacker.decompress(packed, n_bytes - len(data))
        packed = unpacker.unconsumed_tail or stream.read(CHUNK_BYTES)
    unpacker.decompress(packed + stream.read(CHUNK_BYTES), 1)  # the checksum at its end
    if not unpacker.eof and len(data) == n_bytes:
        raise ValueError("the compressed voxels do not end where the header says")
    return bytes(data)
