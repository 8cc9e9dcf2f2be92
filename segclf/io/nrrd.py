"""NRRD (.nrrd, and .nhdr beside its voxels): raw or gzip, turned to one orientation.

Axes without a `space` are taken as ITK takes them: to the left, the back and the head. An axis
whose direction is `none`, or whose kind is no place in space, becomes the channel axis, and so
does a fourth one. Key/value pairs and all other text are not read.
"""

import gzip
import re
from functools import partial
from pathlib import Path

import numpy as np

from segclf.io.geometry import LPS_TO_RAS
from segclf.io.records import Format, bad_file
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
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "unsigned": "u4",
    "longlong": "i8", "int64": "i8", "ulonglong": "u8", "uint64": "u8",
    "float": "f4", "double": "f8",
}  # fmt: skip
ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip"}
SPACES = {
    "left-posterior-superior": LPS_TO_RAS,
    "lps": LPS_TO_RAS,
    "left-anterior-superior": np.diag([-1.0, 1.0, 1.0, 1.0]),
    "las": np.diag([-1.0, 1.0, 1.0, 1.0]),
    "right-anterior-superior": np.eye(4),
    "ras": np.eye(4),
}
TO_MM = {"mm": 1.0, "um": 1e-3, "cm": 10.0, "m": 1000.0, "": 1.0}
NOT_SPACE = re.compile(
    r"(list|vector|stub|scalar|complex|point|normal|quaternion|time"
    r"|\d-(color|vector|gradient|normal)|(covariant|contravariant)-vector|rgb.*|hsv.*|xyz-color)"
)


def parse(path: Path) -> Stored:
    """What the header of a NRRD file says of its voxels."""
    text, n_header = text_header(path, re.compile(rb"\r?\n\r?\n|\Z"))
    lines = text.splitlines()
    if not lines or not re.fullmatch(r"NRRD000[1-5]", lines[0].strip()):
        raise ValueError("the first line is not that of a NRRD file")
    matches = (re.match(r"([A-Za-z ]+):(?!=)(.*)", line) for line in lines[1:])
    fields = {found[1].strip().lower(): found[2].strip() for found in matches if found}
    shape = tuple(int(word) for word in fields["sizes"].split())
    if len(shape) != int(fields["dimension"]):
        raise ValueError("sizes and dimension disagree")
    data_file = fields.get("data file", fields.get("datafile"))
    if data_file is None and path.name.lower().endswith(".nhdr"):
        raise ValueError("a .nhdr header names no data file")
    directions, channel_axis = _axes(fields, shape)
    affine, has_spacing = _affine(fields, directions, path)
    return Stored(
        shape=shape,
        channel_axis=channel_axis,
        dtype=_dtype(fields),
        affine=affine,
        has_spacing=has_spacing,
        file=path if data_file is None else beside(path, data_file),
        offset=_offset(fields, n_header if data_file is None else 0),
        encoding=_encoding(fields, path),
    )


def _dtype(fields: dict[str, str]) -> np.dtype:
    name = fields["type"].lower().removeprefix("signed ").removesuffix(" int").removesuffix("_t")
    code = TYPES[name.replace("unsigned ", "u").replace(" ", "")]
    if code.endswith("1"):
        return np.dtype(code)
    return np.dtype({"little": "<", "big": ">"}[fields["endian"].lower()] + code)


def _encoding(fields: dict[str, str], path: Path) -> str:
    encoding = ENCODINGS.get(fields["encoding"].lower())
    if encoding is None:
        raise bad_file(
            "unreadable",
            path,
            "the voxels are neither raw nor packed by gzip.",
            expected="encoding: raw or gzip",
            fix="save the file again with gzip encoding",
        )
    return encoding


def _offset(fields: dict[str, str], n_header: int) -> int:
    skip = int(fields.get("byte skip", fields.get("byteskip", "0")))
    n_lines = int(fields.get("line skip", fields.get("lineskip", "0")))
    if n_lines or skip < -1 or (skip and ENCODINGS.get(fields["encoding"].lower()) != "raw"):
        raise ValueError("lines, or packed bytes, are to be skipped")
    return -1 if skip == -1 else n_header + skip


def _axes(
    fields: dict[str, str], shape: tuple[int, ...]
) -> tuple[list[np.ndarray] | None, int | None]:
    """Directions of the space axes (None: not stated), and the channel axis."""
    kinds = fields.get("kinds", "").lower().split() or [""] * len(shape)
    texts = re.findall(r"none|\([^)]*\)", fields.get("space directions", "").lower())
    if len(kinds) != len(shape) or (texts and len(texts) != len(shape)):
        raise ValueError("kinds or space directions do not fit the sizes")
    is_other = [NOT_SPACE.fullmatch(kind) is not None for kind in kinds]
    if texts:
        is_other = [text == "none" for text in texts]
    if len(shape) == 4 and not any(is_other):
        is_other[3] = True
    if sum(is_other) > 1:
        raise ValueError("several axes lie outside of space")
    channel_axis = is_other.index(True) if any(is_other) else None
    if texts:
        pairs = zip(texts, is_other, strict=True)
        return [_vector(text) for text, other in pairs if not other], channel_axis
    spacings = fields.get("spacings", "").split()
    if not spacings:
        return None, channel_axis
    if len(spacings) != len(shape):
        raise ValueError("spacings do not fit the sizes")
    in_space = [float(s) for s, other in zip(spacings, is_other, strict=True) if not other]
    return [spacing * row for spacing, row in zip(in_space, np.eye(3), strict=False)], channel_axis


def _affine(
    fields: dict[str, str], directions: list[np.ndarray] | None, path: Path
) -> tuple[np.ndarray, bool]:
    """From stored space axes to RAS+ in mm, and whether the file states a spacing."""
    space = fields.get("space", "lps").lower()
    units = {unit.lower() for unit in re.findall(r'"([^"]*)"', fields.get("space units", ""))}
    if space not in SPACES or len(units) > 1 or not units <= {*TO_MM}:
        raise bad_file(
            "bad_geometry",
            path,
            "the space of the header has another meaning or unit than segclf knows.",
            expected="left-posterior-superior, right- or left-anterior-superior, in mm",
            fix="save the file with one of these spaces",
        )
    if directions is None:
        return LPS_TO_RAS, False
    affine = np.eye(4)
    for k, direction in enumerate(directions[:3]):
        affine[: len(direction), k] = direction
    if len(directions) == 2:  # a flat picture: its third axis is the normal
        normal = np.cross(affine[:3, 0], affine[:3, 1])
        affine[:3, 2] = normal / (np.linalg.norm(normal) or 1.0)
    if "space origin" in fields:
        origin = _vector(fields["space origin"])
        affine[: len(origin), 3] = origin
    affine[:3] *= TO_MM[units.pop()] if units else 1.0
    return SPACES[space] @ affine, True


def _vector(text: str) -> np.ndarray:
    vector = np.array([float(word) for word in text.strip("()").split(",")])
    if len(vector) not in (2, 3, 4):
        raise ValueError(f"a vector has {len(vector)} numbers")
    return vector[:3]  # the fourth is time


def write(
    path: Path,
    array: np.ndarray,
    spacing_mm: tuple[float, ...] | None,
    affine: np.ndarray | None,
) -> None:
    """Write (channel, *space), 2D or 3D, packed by gzip; a picture as a volume of one slice."""
    if not path.name.lower().endswith(".nrrd"):
        raise ValueError(f"NRRD is written as one file .nrrd: got {array.dtype} for {path.name}.")
    data, shape, lps = to_stored("NRRD", array, spacing_mm, affine)
    is_single = shape[0] == 1
    shape = shape[1:] if is_single else shape
    vectors = [f"({','.join(repr(float(x)) for x in lps[:3, k])})" for k in range(4)]
    name = {"i": "int", "u": "uint"}.get(data.dtype.kind, "")
    lines = [
        "NRRD0004",
        f"type: {name}{8 * data.dtype.itemsize}" if name else f"type: {_float_name(data.dtype)}",
        f"dimension: {len(shape)}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, shape))}",
        f"space directions: {'' if is_single else 'none '}{' '.join(vectors[:3])}",
        f"kinds: {'' if is_single else 'vector '}domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: {vectors[3]}",
    ]
    header = "\n".join(lines).encode() + b"\n\n"
    path.write_bytes(header + gzip.compress(data.tobytes(), 6, mtime=0))


def _float_name(dtype: np.dtype) -> str:
    return "float" if dtype.itemsize == 4 else "double"


NRRD = Format(
    "NRRD",
    partial(probe_stored, parse, "NRRD"),
    partial(read_stored, parse, "NRRD"),
    partial(read_stored_mask, parse, "NRRD"),
    write,
)
