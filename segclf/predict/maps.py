"""Probability maps as files in the image's geometry, for people and other tools."""

from pathlib import Path

import numpy as np

from segclf.core.atomic import sync
from segclf.core.catalog import unknown_name
from segclf.core.errors import UsageError
from segclf.core.mapfiles import MAP_KINDS, map_path
from segclf.core.records import Case
from segclf.data import Sample
from segclf.io import write_image

PNG_TYPES = {"png": np.uint8, "png16": np.uint16}


def check_map_kind(kind: str | None, spatial_dims: int) -> None:
    """Refuse a kind of map that is not known or that cannot hold the images.

    Raises:
        UsageError: `kind` is none of `MAP_KINDS`, or a PNG of a volume.
    """
    if kind is None:
        return
    if kind not in MAP_KINDS:
        raise unknown_name(kind, MAP_KINDS, kind="kind of map", where="--save-maps")
    if kind in PNG_TYPES and spatial_dims == 3:
        raise UsageError(
            f"a volume does not fit a {kind} file.",
            where="--save-maps",
            expected="nifti or npz for image.spatial_dims: 3",
            fix="use --save-maps nifti",
        )


def write_maps(
    folder: Path,
    case: Case,
    sample: Sample,
    probability: np.ndarray,
    *,
    findings: tuple[str, ...],
    kind: str,
) -> None:
    """Write `<folder>/<case>/<finding>.<suffix>` for each finding, each whole or not at all.

    Args:
        folder: Where maps go.
        case: Whose maps these are.
        sample: Gives spacing and affine of the input image.
        probability: (finding, *space) on the input image's grid.
        findings: Names of the findings.
        kind: One of `MAP_KINDS`.
    """
    for finding, plane in zip(findings, probability, strict=True):
        path = map_path(folder, case.case_id, finding, kind)
        array = as_stored(plane, kind)[None]
        write_image(path, array, spacing_mm=sample.spacing_mm, affine=sample.affine)
        sync(path)  # before the commit record of its part


def as_stored(plane: np.ndarray, kind: str) -> np.ndarray:
    """Probabilities as the values that a file of this kind holds."""
    if kind not in PNG_TYPES:
        return plane.astype(np.float32)
    dtype = PNG_TYPES[kind]
    return np.rint(plane.astype(np.float64) * np.iinfo(dtype).max).astype(dtype)
