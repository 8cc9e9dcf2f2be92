"""Pseudo-masks as files on the grid of their image, and what a side table says of them."""

from pathlib import Path

import numpy as np

from segclf.core.atomic import sync
from segclf.core.mapfiles import file_name
from segclf.io import write_image, write_mask

MASKS = "masks"
TYPES = {8: np.uint8, 16: np.uint16}


def mask_file(case_id: str, finding: str, *, spatial_dims: int) -> str:
    """Path of a pseudo-mask, relative to its side table."""
    suffix = ".png" if spatial_dims == 2 else ".nii.gz"
    return f"{MASKS}/{file_name(case_id)}/{file_name(finding)}{suffix}"


def write_hard(
    path: Path,
    mask: np.ndarray,
    *,
    spacing_mm: tuple[float, ...] | None,
    affine: np.ndarray | None,
) -> None:
    """Write a mask of 0, 1 and 2, whole or not at all, and flush it to disk.

    Args:
        path: A PNG, or NIfTI for volumes.
        mask: (*space) uint8.
        spacing_mm: Of the image; PNG has no such field.
        affine: Of the image; None for a PNG or an image without.
    """
    write_mask(path, mask, spacing_mm=spacing_mm, affine=affine)
    sync(path)


def write_soft(
    path: Path,
    probability: np.ndarray,
    *,
    bits: int,
    spacing_mm: tuple[float, ...] | None,
    affine: np.ndarray | None,
) -> None:
    """Write probabilities: a PNG of `bits` whose largest value is 1, or float32 for volumes."""
    if probability.ndim == 2:
        most = np.iinfo(TYPES[bits]).max
        stored = np.rint(probability.astype(np.float64) * most).astype(TYPES[bits])
    else:
        stored = probability.astype(np.float32)
    write_image(path, stored[None], spacing_mm=spacing_mm, affine=affine)
    sync(path)
