"""Stored DICOM pixels to the values that they stand for."""

import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segclf.io.dicom_open import NATIVE, RLE, n_frames, n_samples, of_frame, photometric
from segclf.io.records import bad_file

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

PALETTE, INVERTED = "PALETTE COLOR", "MONOCHROME1"
WITH_UNIT = ("CT", "PT")
"""Modalities whose values are no brightness, so that MONOCHROME1 does not turn them over."""
INTEGERS = [np.dtype(code) for code in ("u1", "i1", "u2", "i2", "u4", "i4", "i8")]
MAYBE_LOSSY = {
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203",
}  # fmt: skip
NEVER_LOSSLESS = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"}
FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Markers behind which JPEG and JPEG-LS state rows and columns."""


def n_channels(dataset: "FileDataset") -> int:
    """Channels of the image: 3 for colours and palettes."""
    return 3 if photometric(dataset) == PALETTE else n_samples(dataset)


def decoded_dtype(dataset: "FileDataset") -> np.dtype:
    """The type of `values`: the smallest integers that hold them, float32 for fractions."""
    if n_channels(dataset) == 3:
        return np.dtype(np.uint8) if photometric(dataset) == PALETTE else _stored_dtype(dataset)
    if "ModalityLUTSequence" in dataset:
        return np.dtype(np.float32)
    pairs = {_rescale(dataset, frame) for frame in range(n_frames(dataset))}
    if pairs == {(1.0, 0.0)}:
        return _stored_dtype(dataset)
    if any(slope != 1 or offset != round(offset) or abs(offset) > 2**30 for slope, offset in pairs):
        return np.dtype(np.float32)
    low, high = _stored_range(dataset)
    ends = [int(end + offset) for _, offset in pairs for end in (low, high)]
    fits = (d for d in INTEGERS if np.iinfo(d).min <= min(ends) and max(ends) <= np.iinfo(d).max)
    return next(fits)


def values(dataset: "FileDataset", path: Path) -> np.ndarray:
    """(frame, row, column, channel): rescaled grey, or colour; high is bright.

    MONOCHROME1 is turned over within the stored bits, before rescaling.
    """
    stored = stored_values(dataset, path)
    if photometric(dataset) == PALETTE:
        from pydicom.pixels.processing import apply_color_lut

        colour = apply_color_lut(stored[..., 0], dataset)[..., :3]
        return (colour >> 8).astype(np.uint8) if colour.dtype.itemsize == 2 else colour
    if n_channels(dataset) == 3:
        return stored
    if photometric(dataset) == INVERTED and dataset.get("Modality") not in WITH_UNIT:
        low, high = _stored_range(dataset)
        stored = (low + high - stored.astype(np.int64)).astype(stored.dtype)
    dtype = decoded_dtype(dataset)
    if "ModalityLUTSequence" in dataset:
        from pydicom.pixels.processing import apply_modality_lut

        return apply_modality_lut(stored, dataset).astype(dtype)
    result = stored.astype(dtype, copy=False)
    for frame in range(len(stored)):
        slope, offset = _rescale(dataset, frame)
        if (slope, offset) != (1.0, 0.0):
            if result is stored:
                result = stored.copy()
            scaled = stored[frame].astype(np.float64) * slope + offset
            result[frame] = scaled.astype(dtype)
    return result


def stored_values(dataset: "FileDataset", path: Path) -> np.ndarray:
    """(frame, row, column, sample) as stored, with RGB for any other colour space."""
    from pydicom.pixels.utils import pixel_array

    if str(dataset.file_meta.TransferSyntaxUID) not in (*NATIVE, RLE):
        _check_codestreams(dataset, path)
    shape = (n_frames(dataset), int(dataset.Rows), int(dataset.Columns), n_samples(dataset))
    array = pixel_array(dataset)
    if array.size != math.prod(shape):
        raise ValueError("the decoder gave another number of pixels than the header declares")
    return array.reshape(shape).astype(array.dtype.newbyteorder("="), copy=False)


def refuse_lossy(dataset: "FileDataset", path: Path) -> None:
    """Refuse a mask whose compression changes values, or may do so without saying no.

    Raises:
        CaseError: `lossy_mask`.
    """
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    is_stated = str(dataset.get("LossyImageCompression", ""))
    if syntax in NEVER_LOSSLESS or (syntax in MAYBE_LOSSY and is_stated != "00"):
        raise bad_file(
            "lossy_mask",
            path,
            "a mask is stored with lossy compression, which changes pixel values.",
            expected="a lossless mask",
            fix="export the mask again without lossy compression",
        )


def _stored_dtype(dataset: "FileDataset") -> np.dtype:
    sign = "i" if dataset.get("PixelRepresentation") == 1 else "u"
    return np.dtype(f"{sign}{max(1, int(dataset.BitsAllocated) // 8)}")


def _stored_range(dataset: "FileDataset") -> tuple[int, int]:
    n = 2 ** int(dataset.BitsStored)
    return (-n // 2, n // 2 - 1) if dataset.get("PixelRepresentation") == 1 else (0, n - 1)


def _rescale(dataset: "FileDataset", frame: int) -> tuple[float, float]:
    """Slope and intercept of a frame."""
    source = of_frame(dataset, frame, "PixelValueTransformationSequence")
    slope, offset = ((source or dataset).get(f"Rescale{name}") for name in ("Slope", "Intercept"))
    pair = 1.0 if slope is None else float(slope), 0.0 if offset is None else float(offset)
    if not all(map(math.isfinite, pair)) or pair[0] == 0:
        raise ValueError("the rescale slope or intercept is impossible")
    return pair


def _check_codestreams(dataset: "FileDataset", path: Path) -> None:
    """Refuse compressed frames that declare another size than the header: a decoder trusts them."""
    from pydicom.encaps import generate_frames

    size = (int(dataset.Rows), int(dataset.Columns))
    frames = generate_frames(dataset.PixelData, number_of_frames=n_frames(dataset))
    for number, frame in enumerate(frames, start=1):
        found = _codestream_size(frame)
        if found != size:
            raise bad_file(
                "inconsistent_header",
                path,
                f"the header declares {size[0]} x {size[1]} pixels, but the compressed frame "
                f"{number} has {'no size' if found is None else f'{found[0]} x {found[1]}'}.",
                expected="rows and columns that fit the pixel data",
                fix="export the file again",
            )


def _codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 stream declares."""
    start = frame.find(b"\xff\x4f\xff\x51")  # JPEG 2000; may stand inside a JP2 file
    if start >= 0 and frame[:2] != b"\xff\xd8":
        right, bottom, left, top = struct.unpack(">4I", frame[start + 8 : start + 24])
        return bottom - top, right - left
    place = 2
    while place + 9 <= len(frame) and frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker in FRAME_HEADERS:
            rows, columns = struct.unpack(">2H", frame[place + 5 : place + 9])
            return rows, columns
        if marker == 0xFF:  # a filling byte
            place += 1
            continue
        place += 2 + struct.unpack(">H", frame[place + 2 : place + 4])[0]
    return None
