"""Probability maps as files in the image's geometry, for people and other tools."""

from pathlib import Path

import numpy as np

from segclf.core.atomic import sync
from segclf.core.catalog import unknown_name
from segclf.core.errors import UsageError
from segclf.core.mapfiles import LIKE_THE_IMAGE, MAP_KINDS, map_path
from segclf.core.records import Case
from segclf.data import Sample
from segclf.io import on_stored_grid, probe, write_image

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
            expected="nifti, nrrd, mha or npz for image.spatial_dims: 3",
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

    NIfTI, NRRD and MHA have the axes, order and affine of the image's own file.

    Args:
        folder: Where maps go.
        case: Whose maps these are.
        sample: Gives spacing and affine of the input image.
        probability: (finding, *space) on the input image's grid.
        findings: Names of the findings.
        kind: One of `MAP_KINDS`.
    """
    maps, spacing_mm, affine = as_stored(probability, kind), sample.spacing_mm, sample.affine
    if kind in LIKE_THE_IMAGE:
        maps, affine = on_stored_grid(maps, probe(case.images[0]), spacing_mm=spacing_mm)
    for finding, plane in zip(findings, maps, strict=True):
        path = map_path(folder, case.case_id, finding, kind)
        write_image(path, plane[None], spacing_mm=spacing_mm, affine=affine)
        sync(path)  # before the commit record of its part


def as_stored(maps: np.ndarray, kind: str) -> np.ndarray:
    """Probabilities as the values that a file of this kind holds."""
    if kind not in PNG_TYPES:
        return maps.astype(np.float32)
    dtype = PNG_TYPES[kind]
    return np.rint(maps.astype(np.float64) * np.iinfo(dtype).max).astype(dtype)
