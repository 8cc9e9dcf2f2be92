"""DICOM SEG: the frames of segments, put together on one grid.

Writers leave out frames without a pixel, so that the grid reaches from the first to the last
frame that is there, and the frames between them that are not there are empty.
"""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segclf.io.dicom_geometry import (
    SAME_MM,
    Plane,
    flat_affine,
    pixel_spacing,
    planes_of,
    stack,
)
from segclf.io.dicom_open import first_item, n_frames, of_frame
from segclf.io.dicom_pixels import refuse_lossy, stored_values
from segclf.io.geometry import layout, n_dims, spacing_of, turned
from segclf.io.records import Header, Limits, Picture, bad_file, check_size

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

MAX_SEGMENTS = 1000


class _Grid(NamedTuple):
    segments: list[int]
    """Number of each segment that the file declares."""
    segment_of: list[int]
    """Per frame, its segment; 0 in a label map."""
    slice_of: list[int]
    """Per frame, its slice on the grid."""
    n_slices: int
    affine: np.ndarray | None
    """Of (column, row, slice); of (row, column) of a single slice."""
    kind: str


def header(dataset: "FileDataset", path: Path, limits: Limits) -> Header:
    """A channel per segment on the grid of the frames."""
    grid = _grid(dataset, path)
    n_bytes = _check(dataset, grid, path, limits)
    space = (int(dataset.Rows), int(dataset.Columns))
    spacing_mm, affine = pixel_spacing(dataset), grid.affine
    if grid.n_slices > 1 and affine is not None:
        space = (space[1], space[0], grid.n_slices)
        axes, affine = layout(space, affine)
        space = tuple(space[axis] for axis, _ in axes)[: n_dims(space)]
        spacing_mm = spacing_of(affine)[: len(space)]
    return Header((len(grid.segments), *space), _dtype(grid), n_bytes, spacing_mm, affine)


def read(dataset: "FileDataset", path: Path, limits: Limits, *, is_mask: bool) -> Picture:
    """(segment, *space) of 0 and 1, or of fractions; as a mask (1, *space) of segment numbers."""
    grid = _grid(dataset, path)
    _check(dataset, grid, path, limits)
    if is_mask:
        refuse_lossy(dataset, path)
        _refuse_fractions(grid, path)
    frames = stored_values(dataset, path)[..., 0]
    planes = _numbers(frames, grid, path) if is_mask else _channels(frames, grid, dataset)
    if grid.affine is None or grid.n_slices == 1:
        return Picture(planes[:, 0].copy(), pixel_spacing(dataset), grid.affine)
    stored = planes.transpose(3, 2, 1, 0)
    return turned(stored, *layout(stored.shape, grid.affine))


def _dtype(grid: _Grid) -> np.dtype:
    return np.dtype(np.float32 if grid.kind == "FRACTIONAL" else np.uint8)


def _grid(dataset: "FileDataset", path: Path) -> _Grid:
    kind = str(dataset.get("SegmentationType", "BINARY"))
    items = dataset.get("SegmentSequence") or []
    segments = sorted({int(item.SegmentNumber) for item in items} - {0})
    frames = range(n_frames(dataset))
    if kind == "LABELMAP":
        segment_of = [0 for _ in frames]
    else:
        groups = [of_frame(dataset, frame, "SegmentIdentificationSequence") for frame in frames]
        segment_of = [int(group.ReferencedSegmentNumber) if group else 0 for group in groups]
    is_known = kind == "LABELMAP" or {*segment_of} <= {*segments}
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP") or not segments or not is_known:
        raise ValueError("the segments of the file contradict its frames")
    planes = planes_of(dataset)
    if planes is None:
        if len({*segment_of}) < len(segment_of):
            raise bad_file(
                "bad_geometry",
                path,
                "the frames of the segmentation state no position.",
                expected="a position for each frame, or one frame per segment",
                fix="export the segmentation again, or write it as NIfTI",
            )
        return _Grid(segments, segment_of, [0 for _ in frames], 1, None, kind)
    slice_of, n_slices, affine = _places(planes, dataset, path)
    return _Grid(segments, segment_of, slice_of, n_slices, affine, kind)


def _places(
    planes: list[Plane], dataset: "FileDataset", path: Path
) -> tuple[list[int], int, np.ndarray]:
    """Slice of each frame, number of slices, and affine; left-out slices are counted."""
    depth = np.array([plane.position @ planes[0].normal for plane in planes])
    order = np.argsort(depth, kind="stable")
    firsts = [int(order[0])]  # one frame for each slice that is there
    for k in order[1:]:
        if depth[k] - depth[firsts[-1]] > SAME_MM:
            firsts.append(int(k))
    if len(firsts) == 1:
        return [0] * len(planes), 1, flat_affine(planes[0], path)
    steps = np.diff(depth[firsts])
    step = _stated_step(dataset) or float(steps.min())
    number = np.rint((depth - depth[order[0]]) / step).astype(int)
    n_slices = int(number.max()) + 1
    if n_slices > 100_000 or len({*number[firsts].tolist()}) < len(firsts):
        raise ValueError("the frames do not lie in even steps")
    start, end = planes[firsts[0]].position, planes[firsts[-1]].position
    line = np.linspace(start, end, n_slices)
    known = {int(number[k]): planes[k] for k in firsts}
    filled = [known.get(k, planes[0]._replace(position=line[k])) for k in range(n_slices)]
    _, affine = stack(filled, path)
    return number.tolist(), n_slices, affine


def _stated_step(dataset: "FileDataset") -> float | None:
    shared = first_item(dataset, "SharedFunctionalGroupsSequence")
    measures = first_item(shared, "PixelMeasuresSequence")
    found = measures.get("SpacingBetweenSlices") if measures is not None else None
    return float(found) if found and float(found) > 0 else None


def _check(dataset: "FileDataset", grid: _Grid, path: Path, limits: Limits) -> int:
    space = (int(dataset.Columns), int(dataset.Rows), grid.n_slices)
    space = space if grid.n_slices > 1 else (space[1], space[0])
    if len(grid.segments) > MAX_SEGMENTS:
        raise ValueError("the file declares too many segments")
    return check_size(path, (len(grid.segments), *space), _dtype(grid).itemsize, limits)


def _refuse_fractions(grid: _Grid, path: Path) -> None:
    if grid.kind == "FRACTIONAL":
        raise bad_file(
            "bad_mask",
            path,
            "the segmentation is FRACTIONAL: it holds probabilities or shares, not classes.",
            expected="a BINARY or LABELMAP segmentation",
            fix="give it as a mask of kind soft, or export it as BINARY at a threshold",
        )


def _channels(frames: np.ndarray, grid: _Grid, dataset: "FileDataset") -> np.ndarray:
    """(segment, slice, row, column)."""
    shape = (len(grid.segments), grid.n_slices, *frames.shape[1:])
    planes = np.zeros(shape, _dtype(grid))
    channel = {segment: k for k, segment in enumerate(grid.segments)}
    full = float(dataset.get("MaximumFractionalValue") or 255)
    for frame, segment, place in zip(frames, grid.segment_of, grid.slice_of, strict=True):
        if grid.kind == "LABELMAP":
            for number, k in channel.items():
                planes[k, place] = frame == number
        elif grid.kind == "FRACTIONAL":
            planes[channel[segment], place] = np.minimum(frame / full, 1)
        else:
            planes[channel[segment], place] = frame > 0
    return planes


def _numbers(frames: np.ndarray, grid: _Grid, path: Path) -> np.ndarray:
    """(1, slice, row, column) of the segment at each pixel, 0 where there is none."""
    highest = max(int(frames.max()) if grid.kind == "LABELMAP" else 0, *grid.segments)
    planes = np.zeros((1, grid.n_slices, *frames.shape[1:]), np.min_scalar_type(highest))
    for frame, segment, place in zip(frames, grid.segment_of, grid.slice_of, strict=True):
        if grid.kind == "LABELMAP":
            planes[0, place] = frame
            continue
        is_inside, plane = frame > 0, planes[0, place]
        if (is_inside & (plane != 0) & (plane != segment)).any():
            other = int(plane[is_inside & (plane != 0) & (plane != segment)][0])
            raise bad_file(
                "overlapping_segments",
                path,
                f"segments {other} and {segment} overlap, so that no map of integers holds both.",
                expected="segments that share no pixel",
                fix="write one file per finding and name them in the columns mask_<finding>",
            )
        plane[is_inside] = segment
    return planes
