"""From the axes that a file stores to the axes that segclf gives, with the affine of both.

Volumes come as (x, y, z) in RAS+: the first index runs to the patient's right, the second to the
front, the third to the head. A volume of one slice comes as (row, column) the way it is looked
at: axial rows run to the back and columns to the patient's left; generally, after RAS+, rows are
the last axis and columns the first, both reversed.
"""

from pathlib import Path

import numpy as np

from segclf.io.records import Picture, bad_file

Axes = list[tuple[int, bool]]
"""(stored axis, is reversed) of each axis to give; in 2D the third is the one of length 1."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def n_dims(shape: tuple[int, ...]) -> int:
    """Space axes to give: a volume of one slice is a picture."""
    return 2 if 1 in shape[:3] else 3


def layout(shape: tuple[int, ...], stored_affine: np.ndarray) -> tuple[Axes, np.ndarray]:
    """The axes to give of an array stored as (x, y, z, …), and their affine."""
    from nibabel.orientations import io_orientation  # half a second: it imports pydicom

    orientation = io_orientation(stored_affine)  # per stored axis: RAS axis, direction
    axes = [(int(i), bool(orientation[i, 1] < 0)) for i in np.argsort(orientation[:, 0])]
    if n_dims(shape) == 2:
        flat = max(k for k in range(3) if shape[axes[k][0]] == 1)
        first, last = (axes[k] for k in range(3) if k != flat)
        axes = [(last[0], not last[1]), (first[0], not first[1]), axes[flat]]
    affine = np.eye(4)
    affine[:3, 3] = stored_affine[:3, 3]
    for k, (axis, is_reversed) in enumerate(axes):
        column = stored_affine[:3, axis]
        affine[:3, k] = -column if is_reversed else column
        if is_reversed:
            affine[:3, 3] += column * (shape[axis] - 1)
    return axes, affine


def turned(array: np.ndarray, axes: Axes, affine: np.ndarray) -> Picture:
    """An array stored as (x, y, z, channel), as (channel, *space) with its geometry."""
    n_space = n_dims(array.shape)
    array = array.transpose(3, *(axis for axis, _ in axes))
    array = array[(slice(None), *(slice(None, None, -1 if back else 1) for _, back in axes))]
    array = array if n_space == 3 else array[..., 0]
    return Picture(np.ascontiguousarray(array), spacing_of(affine)[:n_space], affine)


def spacing_of(affine: np.ndarray) -> tuple[float, ...]:
    """Distance of voxel centres along each of the three axes, in mm."""
    return tuple(float(norm) for norm in np.linalg.norm(affine[:3, :3], axis=0))


def plain_affine(spacing_mm: tuple[float, ...]) -> np.ndarray:
    """The affine of axes as `read_image` gives them, first pixel at the origin."""
    if len(spacing_mm) == 3:
        return np.diag([*spacing_mm, 1.0])
    affine = np.eye(4)
    affine[:2, :2] = [[0.0, -spacing_mm[1]], [-spacing_mm[0], 0.0]]
    return affine


def check_affine(affine: np.ndarray, path: Path, *, fix: str) -> np.ndarray:
    """`affine` if it can be inverted.

    Raises:
        CaseError: `bad_geometry`.
    """
    if np.isfinite(affine).all() and min(spacing_of(affine)) > 0:
        directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        if abs(np.linalg.det(directions)) > 1e-3:
            return affine
    raise bad_file(
        "bad_geometry",
        path,
        "the affine of the header cannot be inverted: a spacing is zero or not a number.",
        expected="a positive voxel spacing along each axis",
        fix=fix,
    )
