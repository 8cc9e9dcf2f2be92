"""Polygons of COCO to masks, pixel for pixel as COCO's own tools draw them.

A polygon is drawn on a grid five times as fine; of its outline, the points that cross from one
column of fine pixels to the next at the middle of a pixel are kept, and between two of them a
column is inside. So a pixel belongs to the polygon if its middle does, up to a tenth of a pixel.
"""

import math
from collections.abc import Sequence

import numpy as np

from segclf.core.errors import CaseError
from segclf.io.records import DEFAULT_LIMITS, Limits

FINE = 5
"""Fine pixels per pixel."""
MAX_STEPS = 2**25
"""Longest outline, in fine pixels."""
MAX_OUTSIDE = 4
"""How far a corner may lie outside, in sides of the image."""


def draw_polygon(
    corners: Sequence[float],
    shape: tuple[int, int],
    *,
    where: str,
    limits: Limits = DEFAULT_LIMITS,
) -> np.ndarray:
    """The inside of a closed polygon as a mask (row, column) of booleans.

    Args:
        corners: `x, y, x, y, ...` in pixels from the upper left corner of the image; at least
            three. Parts outside the image are cut off.
        shape: Rows and columns of the image.
        where: Place of the polygon, for the error.
        limits: The largest image.

    Raises:
        CaseError: `bad_polygon`: too few or odd numbers, or a corner far outside; `too_large`.
    """
    n_rows, n_columns = shape
    if not 0 < n_rows * n_columns <= limits.area_px:
        raise CaseError(
            "too_large",
            f"the mask would have {n_rows} x {n_columns} pixels.",
            where=where,
            expected=f"1 to {limits.area_px} pixels",
            fix="crop or downsample the image and draw its mask again",
        )
    column, row = _outline(_corners(corners, shape, where), where)
    is_step = column[1:] != column[:-1]
    left = np.minimum(column[1:], column[:-1])[is_step]
    top = np.minimum(row[1:], row[:-1])[is_step]
    # fine column 5 k + 2 is the middle of pixel k
    is_middle = (left % FINE == FINE // 2) & (left >= 0) & (left // FINE < n_columns)
    # the first pixel whose middle lies at or below the crossing
    first = np.ceil((top[is_middle] + 0.5) / FINE - 0.5).clip(0, n_rows).astype(np.int64)
    places = left[is_middle] // FINE * n_rows + first
    changes = np.bincount(places, minlength=n_rows * n_columns + 1)[: n_rows * n_columns]
    return np.ascontiguousarray((np.cumsum(changes) % 2 == 1).reshape(n_columns, n_rows).T)


def _corners(corners: Sequence[float], shape: tuple[int, int], where: str) -> np.ndarray:
    """(corner, xy) in fine pixels."""
    is_number = all(type(value) in (int, float) and math.isfinite(value) for value in corners)
    if not is_number or len(corners) < 6 or len(corners) % 2:
        raise _bad(f"the polygon has {len(corners)} values.", where)
    farthest = (1 + MAX_OUTSIDE) * max(shape)
    if max(map(abs, corners)) > farthest:
        raise _bad(f"a corner lies at {max(corners, key=abs):g}, far outside the image.", where)
    return np.trunc(np.array(corners, dtype=np.float64).reshape(-1, 2) * FINE + 0.5)


def _outline(corners: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of the fine pixels along the closed outline, in order."""
    ends = np.roll(corners, -1, axis=0)
    if np.abs(ends - corners).max(axis=1).sum() > MAX_STEPS:
        raise _bad(f"the outline is longer than {MAX_STEPS // FINE} pixels.", where)
    columns, rows = [], []
    for (x, y), (x_end, y_end) in zip(corners.tolist(), ends.tolist(), strict=True):
        is_flat = abs(x_end - x) >= abs(y_end - y)
        start, end = ((x, y), (x_end, y_end)) if is_flat else ((y, x), (y_end, x_end))
        along, across = _edge(start, end)
        columns.append(along if is_flat else across)
        rows.append(across if is_flat else along)
    return np.concatenate(columns).astype(np.int64), np.concatenate(rows).astype(np.int64)


def _edge(start: tuple[float, float], end: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Points of one edge, a step of one along its longer axis; the lower end rounds as the upper.

    Each edge is stepped from its lower end, so that two polygons that share it share its pixels.
    """
    low, high = (start, end) if start[0] <= end[0] else (end, start)
    n_steps = int(high[0] - low[0])
    steps = np.arange(n_steps + 1, dtype=np.float64)
    slope = (high[1] - low[1]) / n_steps if n_steps else 0.0
    along, across = steps + low[0], np.trunc(low[1] + slope * steps + 0.5)
    return (along, across) if start[0] <= end[0] else (along[::-1], across[::-1])


def _bad(wrong: str, where: str) -> CaseError:
    return CaseError(
        "bad_polygon",
        wrong,
        where=where,
        expected="x, y of at least three corners, in pixels of the image",
        fix="correct or remove the polygon",
    )
