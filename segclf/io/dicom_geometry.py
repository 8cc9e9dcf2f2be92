"""Where DICOM slices lie: their order along the normal, spacing, and affine in RAS+."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segclf.core.errors import CaseError
from segclf.io.dicom_open import n_frames, of_frame
from segclf.io.geometry import LPS_TO_RAS, check_affine
from segclf.io.records import bad_file

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

SAME_MM = 1e-3
"""Two slices that are nearer than this lie at one place."""
MAX_UNEVEN = 0.1
"""Largest departure from even steps, as a share of the step; scanners round positions."""
SAME_DIRECTION = 1e-3
MAX_SHOWN = 6


class Plane(NamedTuple):
    """One slice in the patient, in LPS and mm."""

    position: np.ndarray
    """Centre of the first pixel."""
    along_row: np.ndarray
    """Unit vector from a pixel to the next column."""
    along_column: np.ndarray
    """Unit vector from a pixel to the next row."""
    spacing: tuple[float, float]
    """Distance of rows, distance of columns."""

    @property
    def normal(self) -> np.ndarray:
        """Unit vector away from the slice."""
        return np.cross(self.along_row, self.along_column)


def pixel_spacing(dataset: "FileDataset", frame: int = 0) -> tuple[float, float] | None:
    """Distance of rows and of columns in mm; of a projection, at the detector."""
    measures = of_frame(dataset, frame, "PixelMeasuresSequence")
    for source in (measures, dataset):
        for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
            found = source.get(keyword) if source is not None else None
            if found:
                rows, columns = (float(number) for number in found)
                if not (0 < rows < np.inf and 0 < columns < np.inf):
                    raise ValueError("the pixel spacing is impossible")
                return rows, columns
    return None


def planes_of(dataset: "FileDataset") -> list[Plane] | None:
    """Where each frame lies; None if that is not stated for all of them."""
    planes = [_plane(dataset, frame) for frame in range(n_frames(dataset))]
    known = [plane for plane in planes if plane is not None]
    return known if len(known) == len(planes) else None


def _plane(dataset: "FileDataset", frame: int) -> Plane | None:
    has_groups = "PerFrameFunctionalGroupsSequence" in dataset
    if not has_groups and n_frames(dataset) > 1:
        return None  # one position cannot hold for all frames
    place = of_frame(dataset, frame, "PlanePositionSequence") if has_groups else dataset
    turn = of_frame(dataset, frame, "PlaneOrientationSequence") if has_groups else dataset
    position = place.get("ImagePositionPatient") if place is not None else None
    orientation = turn.get("ImageOrientationPatient") if turn is not None else None
    spacing = pixel_spacing(dataset, frame)
    if not position or not orientation or spacing is None:
        return None
    numbers = np.array([*position, *orientation], dtype=np.float64)
    along_row, along_column = numbers[3:6], numbers[6:9]
    lengths = np.linalg.norm([along_row, along_column], axis=1)
    if (
        len(numbers) != 9
        or not np.isfinite(numbers).all()
        or np.abs(lengths - 1).max() > 0.01
        or abs(along_row @ along_column) > 0.01
    ):
        raise ValueError("the orientation of the slice is impossible")
    return Plane(numbers[:3], along_row / lengths[0], along_column / lengths[1], spacing)


def stack(planes: list[Plane], path: Path) -> tuple[list[int], np.ndarray]:
    """Order of slices along the normal, and the RAS+ affine of (column, row, slice).

    The positions need not follow the normal (tilted gantry), but a line in even steps.

    Raises:
        CaseError: `series_geometry` (orientation, spacing), `series_double` or `series_gap`.
    """
    _check_parallel(planes, path)
    first = planes[0]
    positions = np.array([plane.position for plane in planes])
    depth = positions @ first.normal
    order = [int(k) for k in np.argsort(depth, kind="stable")]
    positions, depth = positions[order], depth[order]
    steps = np.diff(depth)
    if (steps < SAME_MM).any():
        is_odd = steps < SAME_MM
        raise _series_error("series_double", path, "two slices lie at one place", depth, is_odd)
    step = float(np.median(steps))
    is_odd = np.abs(steps - step) > MAX_UNEVEN * step
    if is_odd.any():
        wrong = f"a slice may be missing, since the slices are not all {step:.4g} mm apart"
        raise _series_error("series_gap", path, wrong, depth, is_odd)
    line = np.linspace(positions[0], positions[-1], len(positions))
    apart = np.linalg.norm(positions - line, axis=1)
    if apart.max() > 2 * MAX_UNEVEN * step:
        raise _geometry_error(path, "the slices do not lie on one line")
    vector = (positions[-1] - positions[0]) / (len(positions) - 1)
    return order, check_affine(_affine(first, positions[0], vector), path, fix=FIX)


def flat_affine(plane: Plane, path: Path) -> np.ndarray:
    """The RAS+ affine of (row, column) of a single slice; its third column is the normal."""
    affine = _affine(plane, plane.position, plane.normal)
    return check_affine(affine[:, [1, 0, 2, 3]], path, fix=FIX)


FIX = "export the series again; uneven slices can be used one by one, as 2D images"


def _affine(plane: Plane, origin: np.ndarray, step: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, 0] = plane.along_row * plane.spacing[1]
    affine[:3, 1] = plane.along_column * plane.spacing[0]
    affine[:3, 2], affine[:3, 3] = step, origin
    return LPS_TO_RAS @ affine


def _check_parallel(planes: list[Plane], path: Path) -> None:
    first = planes[0]
    for plane in planes[1:]:
        turn = max(
            np.abs(plane.along_row - first.along_row).max(),
            np.abs(plane.along_column - first.along_column).max(),
        )
        if turn > SAME_DIRECTION:
            raise _geometry_error(path, "the slices have different orientations")
        if not np.allclose(plane.spacing, first.spacing, rtol=1e-3):
            raise _geometry_error(path, "the slices have different pixel spacings")


def _geometry_error(path: Path, wrong: str) -> CaseError:
    return bad_file(
        "series_geometry",
        path,
        f"{wrong}.",
        expected="parallel slices of one size and spacing, one behind the other",
        fix="keep localizers and other series in folders of their own",
    )


def _series_error(
    reason: str, path: Path, wrong: str, depth: np.ndarray, is_odd: np.ndarray
) -> CaseError:
    places = [f"{depth[k]:.2f} to {depth[k + 1]:.2f}" for k in np.flatnonzero(is_odd)]
    more = f" and {len(places) - MAX_SHOWN} more" if len(places) > MAX_SHOWN else ""
    return bad_file(
        reason,
        path,
        f"{wrong}: of {len(depth)} slices, see {', '.join(places[:MAX_SHOWN])}{more} mm.",
        expected="one slice at each step along the normal, in even steps",
        fix=FIX,
    )
