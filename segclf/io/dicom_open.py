"""Opening a DICOM file: only the listed fields are read, and the sizes are checked.

Every other field, and with it every name, number and date of a patient, is passed over unread.
Of the listed ones, UIDs are compared and never shown; no error quotes text of a header. Private
fields and references to other files (DICOMDIR) are not followed.
"""

import math
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from segclf.core.errors import CaseError
from segclf.io.records import Limits, bad_file, check_size, decoding

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset  # costs a second to import

FIELDS = [
    "SOPClassUID", "SeriesInstanceUID", "Modality",
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation",
    "PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "LossyImageCompression",
    "PixelSpacing", "ImagerPixelSpacing", "SpacingBetweenSlices",
    "ImagePositionPatient", "ImageOrientationPatient",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "RedPaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
    "SegmentationType", "SegmentSequence", "MaximumFractionalValue",
]  # fmt: skip
PIXEL_FIELDS = ["PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"]
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
BIG_ENDIAN = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
DIRECTORY, DIRECTORY_CLASS = "DICOMDIR", "1.2.840.10008.1.3.10"
SEGMENTATION = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
NO_IMAGES = tuple(
    f"1.2.840.10008.5.1.4.1.1.{kind}"
    for kind in ("66", "88.", "11.", "104.", "9.", *(f"481.{k}" for k in range(2, 10)))
)
"""Beginnings of SOP classes: segmentations and registrations, reports, presentation states,
documents, waveforms, and of radiotherapy all but its images."""
MAGIC = b"DICM"
MAX_FRAMES = 100_000


def is_dicom(path: Path) -> bool:
    """Whether a regular file starts as a DICOM file does, whatever its name."""
    with open(path, "rb") as stream:
        return stream.read(132)[128:] == MAGIC


def dicom_kind(path: Path) -> Literal["image", "other"] | None:
    """What a file of any name holds by its first fields; None if it does not start as DICOM does.

    A file whose fields cannot be read counts as an image: reading it says what is wrong.
    """
    if not is_dicom(path):
        return None
    if path.name.upper() == DIRECTORY:
        return "other"
    from pydicom.filereader import read_file_meta_info

    try:
        with reading(path):
            kind = str(read_file_meta_info(path).get("MediaStorageSOPClassUID", ""))
    except CaseError:
        return "image"
    return "other" if kind == DIRECTORY_CLASS or kind.startswith(NO_IMAGES) else "image"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Errors of the decoder become those of the case; its words, which quote values, are lost."""
    with decoding(path, "DICOM", tells=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns with the value that it does not like
        yield


def opened(path: Path, limits: Limits, *, with_pixels: bool = False) -> "FileDataset":
    """The listed fields of a file whose pixels are there and not too large.

    Raises:
        CaseError: `unreadable` (no pixels, or another kind of DICOM file), `too_large`,
            `truncated`, `inconsistent_header`, `missing_codec`.
    """
    from pydicom import dcmread
    from pydicom.filereader import read_file_meta_info

    syntax = str(read_file_meta_info(path).get("TransferSyntaxUID", ""))
    _check_syntax(path, syntax)
    with open(path, "rb") as stream:
        dataset = dcmread(stream, stop_before_pixels=True, specific_tags=[*FIELDS])
        n_declared = _pixel_bytes(stream, is_implicit=syntax == NATIVE[0], syntax=syntax)
        position = stream.tell()
    if n_declared is None or "Rows" not in dataset or "Columns" not in dataset:
        raise bad_file(
            "unreadable",
            path,
            "the DICOM object holds no pixels that segclf reads.",
            expected="an image or a segmentation, not a DICOMDIR, report, contour or plan",
            fix="name the image files themselves",
        )
    _check_pixels(path, dataset, limits)
    _check_length(path, dataset, n_declared, position, is_native=syntax in NATIVE)
    if not with_pixels:
        return dataset
    return dcmread(path, specific_tags=[*FIELDS, *PIXEL_FIELDS])


def n_frames(dataset: "FileDataset") -> int:
    """Number of frames, 1 where none is stated."""
    return int(dataset.get("NumberOfFrames") or 1)


def n_samples(dataset: "FileDataset") -> int:
    """Values per pixel as stored: 1, or 3 of a colour."""
    return int(dataset.get("SamplesPerPixel", 1))


def photometric(dataset: "FileDataset") -> str:
    """What a stored value means: MONOCHROME1, RGB or another term of the standard."""
    return str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))


def _check_syntax(path: Path, syntax: str) -> None:
    from pydicom.pixels.decoders.base import get_decoder

    if syntax in NATIVE:
        return
    try:
        is_ready = get_decoder(syntax).is_available
    except NotImplementedError:  # deflated as a whole, video, or not known
        raise bad_file(
            "unreadable",
            path,
            "the file is packed in a way (its transfer syntax) that segclf does not read.",
            expected="uncompressed, RLE, JPEG, JPEG-LS or JPEG 2000 pixels",
            fix="convert it to an uncompressed transfer syntax, for example with dcmconv",
        ) from None
    if not is_ready:
        raise bad_file(
            "missing_codec",
            path,
            "no decoder for the compression of this file is installed.",
            expected="uncompressed, RLE, JPEG baseline or JPEG 2000; with the extra dicom, JPEG-LS "
            "and lossless JPEG",
            fix="pip install 'segclf[dicom]', or decompress the file, for example with dcmdjpeg",
        )


def _pixel_bytes(stream: BinaryIO, *, is_implicit: bool, syntax: str) -> int | None:
    """The length that the pixel data declare; None without pixel data. Ends behind it."""
    head = stream.read(8 if is_implicit else 12)
    order = ">" if syntax == BIG_ENDIAN else "<"
    if len(head) < 8 or struct.unpack(order + "HH", head[:4]) != (0x7FE0, 0x0010):
        return None
    return int(struct.unpack(order + "I", head[-4:])[0])


def _check_pixels(path: Path, dataset: "FileDataset", limits: Limits) -> None:
    rows, columns, frames = int(dataset.Rows), int(dataset.Columns), n_frames(dataset)
    bits, stored = int(dataset.get("BitsAllocated", 0)), int(dataset.get("BitsStored", 0))
    samples = n_samples(dataset)
    if bits not in (1, 8, 16, 32) or samples not in (1, 3) or not 1 <= stored <= bits:
        raise bad_file(
            "unreadable",
            path,
            f"pixels of {samples} values with {stored} of {bits} bits are not supported.",
            expected="1 or 3 values of 1, 8, 16 or 32 bits",
            fix="export the image again with 8 or 16 bits",
        )
    if not 1 <= frames <= MAX_FRAMES:
        raise ValueError("the number of frames is impossible")
    space = (rows, columns) if frames == 1 else (columns, rows, frames)
    check_size(path, (samples, *space), max(bits // 8, 1), limits)


def _check_length(
    path: Path, dataset: "FileDataset", n_declared: int, position: int, *, is_native: bool
) -> None:
    """Refuse pixel data of another length than rows, columns and frames need."""
    n_left = os.path.getsize(path) - position
    n_values = n_frames(dataset) * int(dataset.Rows) * int(dataset.Columns) * n_samples(dataset)
    if photometric(dataset) == "YBR_FULL_422":
        n_values = n_values * 2 // 3
    n_needed = math.ceil(n_values * int(dataset.BitsAllocated) / 8)
    if is_native and n_declared not in range(n_needed, n_needed + 2 + n_needed // 64):
        raise bad_file(
            "inconsistent_header",
            path,
            f"the header declares {n_frames(dataset)} frames of {dataset.Rows} x "
            f"{dataset.Columns} pixels ({n_needed} bytes), but pixel data of {n_declared} bytes.",
            expected="rows, columns and frames that fit the pixel data",
            fix="export the file again",
        )
    if n_left < (n_declared if is_native else 16 * n_frames(dataset)):
        raise bad_file(
            "truncated",
            path,
            f"the pixel data should have {n_declared} bytes, but {n_left} are left in the file."
            if is_native
            else "the file ends before its frames do.",
            expected="a whole DICOM file",
            fix="copy or export the file again",
        )


def first_item(dataset: "Dataset | None", sequence: str) -> "Dataset | None":
    """The first item of a sequence field, or None."""
    items = dataset.get(sequence) if dataset is not None else None
    return items[0] if items else None


def of_frame(dataset: "Dataset", frame: int, group: str) -> "Dataset | None":
    """The item of a functional group that holds for a frame: its own, or the shared one."""
    frames = dataset.get("PerFrameFunctionalGroupsSequence")
    own = first_item(frames[frame], group) if frames and frame < len(frames) else None
    shared = first_item(dataset, "SharedFunctionalGroupsSequence")
    return own if own is not None else first_item(shared, group)
