"""How files of probability maps are named: what `predict --save-maps` writes and `--maps` reads."""

from pathlib import Path

from segclf.core.atomic import hash_of
from segclf.core.runs import safe_name

MAP_KINDS = {
    "png": ".png",
    "png16": ".png",
    "nifti": ".nii.gz",
    "nrrd": ".nrrd",
    "mha": ".mha",
    "npz": ".npz",
}
"""How maps are kept: 8-bit PNG (p = value / 255), 16-bit PNG (p = value / 65535), or float32."""
LIKE_THE_IMAGE = ("nifti", "nrrd", "mha")
"""Kinds with the axes and the affine of the image's own file; the others have those of arrays."""


def map_path(folder: Path, case_id: str, finding: str, kind: str) -> Path:
    """The file of one map; ids that lose characters as file names get a hash, to stay apart."""
    return folder / file_name(case_id) / (file_name(finding) + MAP_KINDS[kind])


def file_name(text: str) -> str:
    """An id as a file name without suffix."""
    name = safe_name(text)
    return name if name == text else f"{name}-{hash_of(text)[:8]}"
