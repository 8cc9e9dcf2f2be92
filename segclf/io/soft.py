"""Masks of probabilities, as gray values or as real numbers."""

from pathlib import Path

import numpy as np

from segclf.io.files import read_image
from segclf.io.records import Picture, bad_file


def read_soft_mask(path: Path) -> Picture:
    """(*space) float32 from 0 to 1: 8- or 16-bit gray over its maximum, or real numbers.

    Raises:
        CaseError: As `read_image`; `mask_values` for several channels, another type, or numbers
            beyond 0 to 1.
    """
    picture = read_image(path)
    values = picture.array
    if len(values) == 1 and values.dtype in (np.uint8, np.uint16):
        soft = values[0] / np.float32(np.iinfo(values.dtype).max)
        return Picture(soft.astype(np.float32), picture.spacing_mm, picture.affine)
    is_real = len(values) == 1 and values.dtype.kind == "f"
    if is_real and bool(((values >= 0) & (values <= 1)).all()):
        return Picture(values[0].astype(np.float32), picture.spacing_mm, picture.affine)
    raise bad_file(
        "mask_values",
        path,
        f"the mask of kind soft holds {len(values)} channels of {values.dtype}"
        + (f" from {np.min(values):g} to {np.max(values):g}." if is_real else "."),
        expected="one channel: 8- or 16-bit gray, or real numbers from 0 to 1",
        fix="write the probabilities again, or correct its mask_kind",
    )
