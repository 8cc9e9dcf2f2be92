"""Read and write pictures and masks of any format, chosen by the suffix of the file."""

import os
import uuid
from functools import lru_cache
from pathlib import Path

import numpy as np

from segclf.core.catalog import lookup, plugin_points
from segclf.core.errors import UsageError
from segclf.io.arrays import NPY, NPZ
from segclf.io.dicom import DICOM
from segclf.io.dicom_headers import rewritten_headers
from segclf.io.dicom_open import is_dicom
from segclf.io.dicom_series import OF_FILE, is_series, series_start
from segclf.io.dicom_series import identify as identify_dicom
from segclf.io.guard import decode, is_watched
from segclf.io.metaimage import METAIMAGE
from segclf.io.nifti import NIFTI
from segclf.io.nrrd import NRRD
from segclf.io.raster import BMP, JPEG, PNG
from segclf.io.records import (
    DEFAULT_LIMITS,
    DicomFile,
    DicomHeaders,
    Format,
    Header,
    Limits,
    Picture,
    bad_file,
)
from segclf.io.tiff import TIFF

FORMATS: dict[str, Format] = {
    ".png": PNG,
    ".jpg": JPEG,
    ".jpeg": JPEG,
    ".bmp": BMP,
    ".tif": TIFF,
    ".tiff": TIFF,
    ".nii": NIFTI,
    ".nii.gz": NIFTI,
    ".nrrd": NRRD,
    ".nhdr": NRRD,
    ".mha": METAIMAGE,
    ".mhd": METAIMAGE,
    ".dcm": DICOM,
    ".dicom": DICOM,
    ".ima": DICOM,
    ".npz": NPZ,
    ".npy": NPY,
}
"""Suffix to format; packages add theirs under the entry-point group `segclf.formats`. DICOM files
of any other name, and the folder of a series, are known by their content."""
_BUILT_IN = dict(FORMATS)


def read_image(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """The image in a file: (channel, *space), in the file's own dtype and range.

    Raises:
        CaseError: `missing_file`, `unknown_format`, `too_large` (before memory is taken),
            `truncated`, `unreadable` or `bad_geometry`; more of text headers and of DICOM;
            `decoder_crash` and `timeout` in a block of `time_limit`.
    """
    path = Path(path)
    if _is_watched(path):
        return decode("read_image", path, limits)
    return format_of(path).read_image(path, limits)


def read_mask(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """The mask in a file: (*space), the stored integers; of a palette, the indices.

    Raises:
        CaseError: As `read_image`; `lossy_mask` for JPEG; `bad_mask` for several channels, NaN
            or values that are not whole numbers.
    """
    path = Path(path)
    if _is_watched(path):
        return decode("read_mask", path, limits)
    picture = format_of(path).read_mask(path, limits)
    return Picture(_whole_numbers(picture.array, path), picture.spacing_mm, picture.affine)


def probe(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> Header:
    """What `read_image` would give, from the header alone; raises as it does."""
    path = Path(path)
    if _is_watched(path):
        return decode("probe", path, limits)
    return format_of(path).probe(path, limits)


def identify(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> DicomFile:
    """What a file is if it is DICOM, by its header.

    Raises:
        CaseError: `decoder_crash` and `timeout` in a block of `time_limit`.
    """
    path = Path(path)
    if not is_dicom(path):
        return DicomFile("none", "", 1)
    return decode("identify", path, limits) if is_watched() else identify_dicom(path, limits)


def whole_headers(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> DicomHeaders:
    """The headers of a DICOM file or series with all that they say of the patient.

    For objects that refer to the series and have to repeat it; see `segclf.io.dicom_headers`.

    Raises:
        CaseError: As `series_files`; `unreadable`; `decoder_crash` and `timeout` in a block of
            `time_limit`.
    """
    if is_watched():
        return decode("whole_headers", Path(path), limits)
    return rewritten_headers(Path(path), limits)


def write_image(
    path: Path,
    array: np.ndarray,
    *,
    spacing_mm: tuple[float, ...] | None = None,
    affine: np.ndarray | None = None,
) -> None:
    """Write (channel, *space) so that `read_image` gives it back; the file appears whole.

    It is not forced to disk: a caller that records many files as done syncs them first. Formats
    without a spacing (PNG) leave `spacing_mm` and `affine` out; TIFF states the spacing in a JSON
    file beside it.

    Raises:
        ValueError: The format cannot hold this dtype or shape.
    """
    path = Path(path)
    part = path.with_name(f".{uuid.uuid4().hex[:8]}.part.{path.name}")  # keeps the suffix
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file_format = format_of(path, must_exist=False)
        file_format.write(part, np.asarray(array), spacing_mm, affine)
        if file_format.write_beside is not None:
            file_format.write_beside(path, spacing_mm)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_mask(
    path: Path,
    array: np.ndarray,
    *,
    spacing_mm: tuple[float, ...] | None = None,
    affine: np.ndarray | None = None,
) -> None:
    """Write (*space) of integers so that `read_mask` gives it back; see `write_image`.

    Raises:
        ValueError: The array is not of integers, or the format is lossy or cannot hold it.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "bui" or format_of(Path(path), must_exist=False) is JPEG:
        raise ValueError(
            f"a mask is written as integers, and never as JPEG: got {array.dtype} for "
            f"{Path(path).name!r}."
        )
    write_image(path, array[None], spacing_mm=spacing_mm, affine=affine)


def format_of(path: Path, *, must_exist: bool = True) -> Format:
    """The format that the suffix of `path` names; DICOM if it is a series or starts as DICOM does.

    Raises:
        CaseError: `unknown_format`; `missing_file` or `not_a_file` if it has to exist.
    """
    if must_exist and (series_start(path) is not None or (path.is_dir() and is_series(path))):
        return DICOM
    if must_exist and not path.is_file():
        is_there = path.exists()
        raise bad_file(
            "not_a_file" if is_there else "missing_file",
            path,
            "the path is not a regular file." if is_there else "the file does not exist.",
            expected="an image file",
            fix="correct the path",
        )
    found = _format_by_suffix(suffix_of(path))
    if found is None and must_exist and is_dicom(path):
        return DICOM
    if found is None:
        raise bad_file(
            "unknown_format",
            path,
            f"the suffix {path.suffix!r} names no image format.",
            expected=f"one of {', '.join(FORMATS)}",
            fix="convert the file, for example to PNG or NIfTI",
        )
    return found


def suffix_of(path: Path | str) -> str:
    """The suffix of `path` that names its format, in lower case: `.nii.gz` is one suffix."""
    stem, last = os.path.splitext(os.path.basename(path).lower())
    double = os.path.splitext(stem)[1] + last
    return double if double in FORMATS or double in _plugin_suffixes() else last


def stem_of(name: str) -> str:
    """A file name without the suffix that names its format: `IM.0001` keeps its number."""
    name = name.removesuffix(OF_FILE)
    suffix = suffix_of(name)
    is_format = suffix != "" and _format_by_suffix(suffix) is not None
    return name[: len(name) - len(suffix)] if is_format else name


@lru_cache(maxsize=256)
def _format_by_suffix(suffix: str) -> Format | None:
    try:
        return lookup(suffix, FORMATS, kind="file format", group="segclf.formats")
    except UsageError:
        return None


@lru_cache(maxsize=1)
def _plugin_suffixes() -> frozenset[str]:
    return frozenset(point.name for point in plugin_points("segclf.formats"))


def _whole_numbers(array: np.ndarray, path: Path) -> np.ndarray:
    """`array` as integers; many tools store masks as floating point."""
    if array.dtype.kind in "ui":
        return array
    is_odd = ~(np.abs(array) < 2**31) | (array != np.rint(array))  # ~ catches NaN as well
    if is_odd.any():
        raise bad_file(
            "bad_mask",
            path,
            f"the mask holds {is_odd.sum()} values that are not whole numbers, such as "
            f"{array[is_odd][0]!s}.",
            expected="integers: 0 is background",
            fix="threshold a probability map first; resample masks with nearest neighbour",
        )
    return array.astype(np.int32)


def _is_watched(path: Path) -> bool:
    """Whether another process decodes; it does not know formats that only this one has added."""
    if not is_watched():
        return False
    suffix = suffix_of(path)
    return FORMATS.get(suffix) is _BUILT_IN.get(suffix)
