"""Masks and pictures that an importer writes where the other format has none as files."""

import hashlib
import re
from pathlib import Path

import numpy as np

from segclf.importers.record import Job, Made
from segclf.io import Picture, write_image, write_mask


def write_made_mask(job: Job, kind: str, case_id: str, mask: Picture) -> Made:
    """Write a mask (*space) of small integers; PNG for plain pictures, else NIfTI.

    Args:
        job: Its folder gets the file.
        kind: Name of the folder inside, such as the finding.
        case_id: The case.
        mask: With the geometry of its image, where that is known.
    """
    is_plain = mask.array.ndim == 2 and mask.affine is None and mask.spacing_mm is None
    path = _path(job, kind, case_id, ".png" if is_plain else ".nii.gz")
    array = mask.array.astype(np.uint8)
    if is_plain:
        write_mask(path, array)
    else:
        write_mask(path, array, spacing_mm=mask.spacing_mm, affine=mask.affine)
    return Made(path.relative_to(job.made).as_posix())


def write_made_image(job: Job, kind: str, case_id: str, array: np.ndarray) -> Made:
    """Write an image (channel, *space) without geometry: PNG, or .npy for a volume."""
    path = _path(job, kind, case_id, ".png" if array.ndim == 3 else ".npy")
    write_image(path, array)
    return Made(path.relative_to(job.made).as_posix())


def _path(job: Job, kind: str, case_id: str, suffix: str) -> Path:
    return job.made / _safe(kind) / f"{_safe(case_id)}{suffix}"


def _safe(text: str) -> str:
    """A file name of its own for each text, on any file system."""
    if re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,79}", text):
        return text
    shown = re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:60]
    return f"{shown}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}"
