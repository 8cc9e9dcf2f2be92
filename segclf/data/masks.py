"""Mask files to one plane per finding; a plane that nobody knows is None."""

import math
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from segclf.core.errors import CaseError
from segclf.core.records import (
    BOX,
    Case,
    Cut,
    MaskKind,
    MaskSource,
    MaskState,
    with_truth_only,
)
from segclf.core.settings import SegmentSettings
from segclf.data.about import about
from segclf.data.coarse import coarse_plane, uncertain_plane
from segclf.io import Grid, Picture, grid_of, mask_on, plane_of, probe, read_mask, read_soft_mask
from segclf.io.slices import stamp_of, volume_store


def read_truth(
    case: Case,
    shape: tuple[int, ...],
    *,
    spacing_mm: tuple[float, ...] | None = None,
    affine: np.ndarray | None = None,
) -> tuple[np.ndarray | None, ...]:
    """Per finding, the drawn mask on the input image's own grid; None where it is not known.

    A coarse mask and one that a network drew are no truth: None.

    Args:
        case: The case whose masks are read.
        shape: Spatial shape of the input image.
        spacing_mm: Of the input image; a mask that states another is refused.
        affine: Of the input image. A mask of some of its slices, such as a DICOM SEG, is placed
            by it; one that lies elsewhere is refused.

    Returns:
        One (*shape) uint8 array of 0 and 1 per finding, never resized; or None.

    Raises:
        CaseError: A mask cannot be read, lies on another grid (`shape_mismatch`,
            `affine_mismatch`, `spacing_mismatch`), or holds values that nobody named
            (`mask_values`).
    """
    with about(case):
        return finding_planes(with_truth_only(case), Grid(shape, spacing_mm, affine), named=())


def finding_planes(
    case: Case,
    image: Grid,
    *,
    named: Collection[int],
    settings: SegmentSettings = SegmentSettings(),  # noqa: B008 (frozen)
) -> tuple[np.ndarray | None, ...]:
    """What is learned from the masks of a case, on the input image's own grid.

    Args:
        case: The case whose masks are read.
        image: The grid of the input image.
        named: If not empty, integer maps may hold these values and those of the findings only; see
            `known_values`.
        settings: Radius of point masks, and whether coarse masks are taken as full ones.

    Returns:
        Per finding (*shape) uint8 of 0 and 1 from a full mask, float32 from a coarse one (see
        `Sample.target`), or None.
    """
    if case.cut is not None and any(mask.state is MaskState.DRAWN for mask in case.masks):
        return _slice_planes(case, case.cut, named=named, settings=settings)
    shape, read = image.shape, partial(_read, image=image, any_place=case.any_place)
    drawn: dict[Path, np.ndarray] = {}
    planes: list[np.ndarray | None] = []
    # a classifier of class columns has other labels than those of the findings
    is_of_findings = len(case.labels) == len(case.masks)
    labels = case.labels if is_of_findings else (math.nan,) * len(case.masks)
    for source, label in zip(case.masks, labels, strict=True):
        if source.state is MaskState.UNKNOWN:
            planes.append(None)
        elif source.state is MaskState.EMPTY or source.path is None:
            planes.append(np.zeros(shape, dtype=np.uint8))
        elif source.kind in (MaskKind.UNCERTAIN, MaskKind.SOFT):
            planes.append(_read_predicted(source.path, source.kind, read))
        else:
            if source.path not in drawn:
                drawn[source.path] = read(source.path, read_mask)
            _check_values(drawn[source.path], source, named)
            plane = _plane(source, drawn[source.path])
            if source.kind is not MaskKind.FULL and not settings.strict_coarse:
                radius_px = settings.point_radius_px
                plane = coarse_plane(plane, source, point_radius_px=radius_px, label=label)
            planes.append(plane)
    return tuple(planes)


def _slice_planes(
    case: Case, cut: Cut, *, named: Collection[int], settings: SegmentSettings
) -> tuple[np.ndarray | None, ...]:
    """The slice of what is learned from the masks of a whole volume, which is kept."""
    volume = replace(case, cut=None)

    def make() -> tuple[tuple[np.ndarray | None, ...], int]:
        image = grid_of(probe(case.images[0]))
        planes = finding_planes(volume, image, named=named, settings=settings)
        return planes, sum(plane.nbytes for plane in planes if plane is not None)

    paths = (case.images[0], *(mask.path for mask in case.masks))
    stamps = tuple(stamp_of(path) if path else None for path in paths)
    key = ("masks", case.masks, stamps, tuple(named), settings, case.any_place)
    planes = volume_store().get(key, make)
    return tuple(None if p is None else _slice_plane(p, cut) for p in planes)


def _slice_plane(volume: np.ndarray, cut: Cut) -> np.ndarray:
    """A box promises a positive pixel of all its slices, not of each: its pixels are not known."""
    plane = np.ascontiguousarray(plane_of(volume, cut.axis, cut.index))
    if plane.dtype != np.uint8:
        plane[plane == BOX] = np.nan
    return plane


def _plane(source: MaskSource, values: np.ndarray) -> np.ndarray:
    plane = values > 0 if source.values is None else np.isin(values, source.values)
    return plane.astype(np.uint8)


def _read_predicted(path: Path, kind: MaskKind, read: Callable[..., np.ndarray]) -> np.ndarray:
    if kind is MaskKind.UNCERTAIN:
        return uncertain_plane(read(path, read_mask), path)
    return read(path, read_soft_mask)


def _read(
    path: Path, reader: Callable[[Path], Picture], *, image: Grid, any_place: bool
) -> np.ndarray:
    return mask_on(reader(path), image, path, any_place=any_place).array


def _check_values(values: np.ndarray, source: MaskSource, named: Collection[int]) -> None:
    present = {int(value) for value in np.unique(values)}
    if source.values is None:
        is_fine = present <= {0, 1} or present <= {0, 255}
        expected = "a binary mask of 0 and 1, or of 0 and 255"
    else:
        known = {*source.values, *named}
        is_fine = not named or present <= known
        expected = f"only the named values {sorted(known)}"
    if not is_fine:
        shown = ", ".join(str(value) for value in sorted(present)[:8])
        raise CaseError(
            "mask_values",
            f"the mask holds the values {shown}{', ...' if len(present) > 8 else ''}.",
            where=f"mask {source.path.name if source.path else ''}",
            expected=expected,
            fix="name each value in the recipe, e.g. mask_values: {1: lesion}; another background "
            "than 0 as well: {-1: background, 1: lesion}",
        )
