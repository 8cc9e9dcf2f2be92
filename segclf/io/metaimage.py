"""MetaImage (.mha, and .mhd beside its voxels): raw or zlib, turned to one orientation.

The axes of the file's own space run to the left, the back and the head, as ITK has it. A fourth
axis, or the several channels of an element, become the channel axis.
"""

import re
import zlib
from functools import partial
from pathlib import Path

import numpy as np

from segclf.io.geometry import LPS_TO_RAS, spacing_of
from segclf.io.records import Format
from segclf.io.stored_write import to_stored
from segclf.io.voxels import (
    Stored,
    beside,
    probe_stored,
    read_stored,
    read_stored_mask,
    text_header,
)

TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2",
    "MET_INT": "i4", "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
NAMES = {code: name for name, code in reversed(TYPES.items())}


def parse(path: Path) -> Stored:
    """What the header of a MetaImage file says of its voxels."""
    end = rb"(\n|\Z)" if path.name.lower().endswith(".mhd") else rb"\n"
    text, n_header = text_header(path, re.compile(rb"ElementDataFile[ \t]*=[^\n]*" + end))
    matches = (re.match(r"(\w+)\s*=(.*)", line) for line in text.splitlines())
    fields = {found[1]: found[2].strip() for found in matches if found}
    n_axes, n_channels = int(fields["NDims"]), int(fields.get("ElementNumberOfChannels", "1"))
    sizes = tuple(int(word) for word in fields["DimSize"].split())
    if len(sizes) != n_axes or n_axes not in (2, 3, 4) or (n_axes == 4 and n_channels > 1):
        raise ValueError(f"{n_axes} axes and {n_channels} channels are declared")
    if not _is_true(fields.get("BinaryData", "True")):
        raise ValueError("the voxels are written as text")
    order = ">" if _is_true(_one_of(fields, BYTE_ORDER) or "False") else "<"
    is_packed = _is_true(fields.get("CompressedData", "False"))
    is_local = fields["ElementDataFile"].upper() in ("LOCAL", "")
    skip = int(fields.get("HeaderSize", "0"))
    if skip < -1 or (skip and (is_packed or is_local)):
        raise ValueError("bytes of a packed or attached file are to be skipped")
    affine, has_spacing = _affine(fields, n_axes)
    last = n_axes - 1 if n_axes == 4 else None
    return Stored(
        shape=(n_channels, *sizes) if n_channels > 1 else sizes,
        channel_axis=0 if n_channels > 1 else last,
        dtype=np.dtype(order + TYPES[fields["ElementType"]]),
        affine=affine,
        has_spacing=has_spacing,
        file=path if is_local else beside(path, fields["ElementDataFile"]),
        offset=n_header if is_local else skip,
        encoding="zlib" if is_packed else "raw",
    )


BYTE_ORDER = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
DIRECTIONS = ("TransformMatrix", "Rotation", "Orientation")
ORIGIN = ("Offset", "Position", "Origin")


def _affine(fields: dict[str, str], n_axes: int) -> tuple[np.ndarray, bool]:
    """From stored space axes to RAS+ in mm, and whether the file states a spacing."""
    n_space = min(n_axes, 3)
    affine = np.eye(4)
    directions, origin = _one_of(fields, DIRECTIONS), _one_of(fields, ORIGIN)
    if directions is not None:
        rows = _numbers(directions, n_axes**2).reshape(n_axes, n_axes)  # a row per stored axis
        affine[:n_space, :n_space] = rows[:n_space, :n_space].T
    if origin is not None:
        affine[:n_space, 3] = _numbers(origin, n_axes)[:n_space]
    spacing = fields.get("ElementSpacing", fields.get("ElementSize"))
    if spacing is not None:
        affine[:3, :n_space] *= _numbers(spacing, n_axes)[:n_space]
    return LPS_TO_RAS @ affine, spacing is not None


def _one_of(fields: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((fields[name] for name in names if name in fields), None)


def _numbers(text: str, n: int) -> np.ndarray:
    numbers = np.array([float(word) for word in text.split()])
    if len(numbers) != n:
        raise ValueError(f"{len(numbers)} numbers where {n} are due")
    return numbers


def _is_true(text: str) -> bool:
    return text[:1].upper() in ("T", "1", "Y")


def write(
    path: Path,
    array: np.ndarray,
    spacing_mm: tuple[float, ...] | None,
    affine: np.ndarray | None,
) -> None:
    """Write (channel, *space), 2D or 3D, packed by zlib; a picture as a volume of one slice."""
    if not path.name.lower().endswith(".mha"):
        raise ValueError(f"MetaImage is written as one file .mha: got {array.dtype}.")
    data, shape, lps = to_stored("MetaImage", array, spacing_mm, affine)
    packed, spacing = zlib.compress(data.tobytes(), 6), spacing_of(lps)
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = True",
        f"CompressedDataSize = {len(packed)}",
        f"TransformMatrix = {_text((lps[:3, :3] / spacing).T.ravel())}",
        f"Offset = {_text(lps[:3, 3])}",
        f"ElementSpacing = {_text(spacing)}",
        f"DimSize = {' '.join(map(str, shape[1:]))}",
        f"ElementNumberOfChannels = {shape[0]}",
        f"ElementType = {NAMES[data.dtype.str[1:]]}",
        "ElementDataFile = LOCAL",
    ]
    path.write_bytes("\n".join(lines).encode() + b"\n" + packed)


def _text(numbers: np.ndarray | tuple[float, ...]) -> str:
    return " ".join(repr(float(number)) for number in numbers)


METAIMAGE = Format(
    "MetaImage",
    partial(probe_stored, parse, "MetaImage"),
    partial(read_stored, parse, "MetaImage"),
    partial(read_stored_mask, parse, "MetaImage"),
    write,
)
