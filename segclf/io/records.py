"""What a file format takes and gives: pictures, headers, limits, and the errors they share."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segclf.core.errors import CaseError


@dataclass(frozen=True)
class Picture:
    """One decoded file."""

    array: np.ndarray
    """Images: (channel, *space) in the file's own dtype; masks: (*space), integers. 2D space is
    (row, column), 3D space is (x, y, z) in RAS+."""
    spacing_mm: tuple[float, ...] | None
    """Distance of pixel centres per spatial axis; None where the format has no such field."""
    affine: np.ndarray | None
    """4 x 4, from array indices (of the spatial axes, then 0 in 2D) to RAS+ in mm."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself, read without its pixels."""

    shape: tuple[int, ...]
    """(channel, *space), as `read_image` would give it."""
    dtype: np.dtype
    n_bytes: int
    """Size of the decoded array."""
    spacing_mm: tuple[float, ...] | None
    affine: np.ndarray | None
    stored_affine: np.ndarray | None = None
    """4 x 4, from the (x, y, z) that the file stores to RAS+ in mm; of a DICOM series, z is the
    slice. None where the format has no such field."""


@dataclass(frozen=True)
class Limits:
    """The largest file that is decoded; a header that declares more is refused unread."""

    area_px: int = 2**27
    """Pixels of a 2D image; the default, 134 million, is 11,500 x 11,500."""
    volume_px: int = 2**30
    """Voxels of a volume; the default is 1024 x 1024 x 1024."""
    n_bytes: int = 4 * 2**30
    """Bytes of the decoded array, all channels."""


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class DicomFile:
    """What a DICOM file is, without its pixels."""

    kind: str
    """`image`, `segmentation`, `other` (a report, plan, DICOMDIR), or `none` for no DICOM."""
    series: str
    """A hash that is equal in the files of one series; empty for a damaged header."""
    n_frames: int
    """Slices in the file."""
    patient: str = ""
    """A hash that is equal in the files of one patient; empty where the header names none."""
    of_series: str = ""
    """Of a segmentation: the hash of the series that it refers to, where it names just one."""


@dataclass(frozen=True)
class DicomHeaders:
    """Whole headers of the files of a series, written anew: nothing in them is foreign bytes."""

    array: np.ndarray
    """(byte,) uint8: DICOM files without pixels and private fields, one behind the other."""
    ends: tuple[int, ...]
    """Where each ends."""


@dataclass(frozen=True)
class Format:
    """One file format; every function gets a path that exists.

    `write` takes (channel, *space) and raises ValueError for what the format cannot hold.
    """

    name: str
    probe: Callable[[Path, Limits], Header]
    read_image: Callable[[Path, Limits], Picture]
    read_mask: Callable[[Path, Limits], Picture]
    """Array (*space) of the stored values, not of display colours; any real dtype."""
    write: Callable[[Path, np.ndarray, tuple[float, ...] | None, np.ndarray | None], None]
    write_beside: Callable[[Path, tuple[float, ...] | None], None] | None = None
    """Writes the spacing of (*space) into a file beside the path, where the format has no room."""


def bad_file(reason: str, path: Path, wrong: str, *, expected: str, fix: str) -> CaseError:
    """The error for a file that cannot be used; names the file, never its folders."""
    return CaseError(reason, wrong, where=path.name, expected=expected, fix=fix)


def check_size(path: Path, shape: tuple[int, ...], itemsize: int, limits: Limits) -> int:
    """Bytes that an array (channel, *space) takes, if they are within `limits`.

    Raises:
        CaseError: `too_large`, before any memory is taken; `unreadable` for an empty axis.
    """
    n_px = math.prod(shape[1:])
    n_bytes = math.prod(shape) * itemsize
    most_px = limits.area_px if len(shape) == 3 else limits.volume_px
    if min(shape) < 1:
        raise bad_file(
            "unreadable",
            path,
            f"the header declares the shape {shape}.",
            expected="at least one pixel along each axis",
            fix="export the file again",
        )
    if n_px > most_px or n_bytes > limits.n_bytes:
        raise bad_file(
            "too_large",
            path,
            f"the header declares {' x '.join(map(str, shape[1:]))} pixels ({n_bytes} bytes).",
            expected=f"at most {most_px} pixels and {limits.n_bytes} bytes",
            fix="crop or downsample the file, or pass larger Limits if the size is right",
        )
    return n_bytes


@contextmanager
def decoding(path: Path, name: str, *, tells: bool = True) -> Iterator[None]:
    """Turn whatever a decoder raises into a CaseError: `truncated` or `unreadable`.

    The words of libraries are left out: they may quote text of the header. Without `tells` our own
    are, too.
    """
    try:
        yield
    except CaseError:
        raise
    except MemoryError:
        raise bad_file(
            "too_large",
            path,
            "the file does not fit into memory.",
            expected="a picture that this machine can hold",
            fix="crop or downsample the file",
        ) from None
    except Exception as error:  # hostile bytes make decoders raise anything, from struct to zlib
        text = str(error).lower()
        words = f": {str(error)[:200]}" if tells and _is_ours(error) else ""
        is_short = isinstance(error, EOFError) or "truncated" in text or "end of file" in text
        raise bad_file(
            "truncated" if is_short else "unreadable",
            path,
            f"the file {'ends early' if is_short else 'cannot be decoded'}: "
            f"{type(error).__name__}{words}.",
            expected=f"a whole {name} file",
            fix="copy or export the file again",
        ) from None


def _is_ours(error: Exception) -> bool:
    """Whether an error was raised by segclf itself, and not by a library that it called."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    package = str(Path(__file__).parents[1])
    return place is not None and place.tb_frame.f_code.co_filename.startswith(package)
