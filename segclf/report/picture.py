"""One case as a picture: grey values as PNG, outlines of truth and prediction as paths."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from segclf.report.content import GalleryItem
from segclf.report.gallery import ErrorFacts, maps_of

LARGEST_PX = 512
LEAST_ZOOM_PX = 28


@dataclass(frozen=True)
class Panel:
    """A rectangle of an image; coordinates are in pixels, stretched to square ones."""

    width: float
    height: float
    png: str
    """Data URI."""
    truth: str
    """SVG path data; empty if nothing is outlined."""
    predicted: str


@dataclass(frozen=True)
class Picture:
    """The panels of a case."""

    whole: Panel
    zoom: Panel | None
    """Around the target or the false prediction; None if that is much of the image."""
    frame: tuple[float, float, float, float] | None
    """Left, top, width and height of `zoom` in `whole`."""
    view: str
    """Which slice is shown, and from where; empty in 2D."""


def draw_item(item: GalleryItem, facts: ErrorFacts) -> Picture:
    """The picture of a wrong decision; of a volume, the slice through the middle of the error."""
    p, truth = maps_of(item)
    image = np.asarray(item.image)
    planes = [*(image if len(image) == 3 else image[:1]), truth, p > item.t]
    region = facts.target or facts.nearest
    focus, view, step = region.centre if region else None, "", _steps(item.spacing_mm, p.ndim)
    if p.ndim == 3:
        k = focus[2] if focus else p.shape[2] // 2
        planes = [plane[::-1, ::-1, k].T for plane in planes]
        focus = (p.shape[1] - 1 - focus[1], p.shape[0] - 1 - focus[0]) if focus else None
        view = f"axial slice {k + 1} of {p.shape[2]}; right side of the patient on the left"
    *grey, truth, predicted = planes
    shown = _eight_bit(grey)
    whole = _panel(shown, truth, predicted, step)
    window = _window(truth.shape, focus, region.n_px ** (1 / p.ndim) if region else 0)
    zoom = _panel(shown[window], truth[window], predicted[window], step) if window else None
    return Picture(whole, zoom, _frame(window, step), view)


def _steps(spacing_mm: tuple[float, ...] | None, n_axes: int) -> tuple[float, float]:
    """Height and width of a shown pixel, the smaller one being 1."""
    if spacing_mm is None:
        return 1.0, 1.0
    down, right = spacing_mm[:2] if n_axes == 2 else (spacing_mm[1], spacing_mm[0])
    return down / min(down, right), right / min(down, right)


def _eight_bit(planes: list[np.ndarray]) -> np.ndarray:
    """(row, column) or (row, column, 3) uint8: the 0.5th to the 99.5th percentile as 0 to 255."""
    image = np.stack(planes, axis=-1).astype(np.float64)
    image = np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = np.percentile(image, [0.5, 99.5])
    scaled = np.clip((image - low) / max(high - low, 1e-12), 0, 1)
    grey = np.round(255 * scaled).astype(np.uint8)
    return grey[..., 0] if len(planes) == 1 else grey


def _window(
    shape: tuple[int, ...], focus: tuple[int, ...] | None, region_px: float
) -> tuple[slice, slice] | None:
    """A square of about four times the region around `focus`; None if a zoom gains little."""
    side = max(LEAST_ZOOM_PX, int(4 * region_px))
    if focus is None or side > 0.6 * min(shape):
        return None
    top, left = (
        int(np.clip(f - side // 2, 0, n - side)) for f, n in zip(focus, shape, strict=False)
    )
    return slice(top, top + side), slice(left, left + side)


def _panel(
    image: np.ndarray, truth: np.ndarray, predicted: np.ndarray, step: tuple[float, float]
) -> Panel:
    stride = -(-max(truth.shape) // LARGEST_PX)
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image[::stride, ::stride])).save(stream, "PNG")
    return Panel(
        width=round(truth.shape[1] * step[1], 2),
        height=round(truth.shape[0] * step[0], 2),
        png="data:image/png;base64," + base64.b64encode(stream.getvalue()).decode(),
        truth=outline(truth, step),
        predicted=outline(predicted, step),
    )


def _frame(
    window: tuple[slice, slice] | None, step: tuple[float, float]
) -> tuple[float, float, float, float] | None:
    if window is None:
        return None
    rows, columns = window
    left, top = columns.start * step[1], rows.start * step[0]
    return left, top, (columns.stop * step[1]) - left, (rows.stop * step[0]) - top


def outline(mask: np.ndarray, step: tuple[float, float] = (1.0, 1.0)) -> str:
    """SVG path data along the pixel edges around the regions of a mask (row, column).

    Args:
        mask: True inside.
        step: Height and width of a pixel.
    """
    following = _edges(mask)
    pieces = []
    while following:
        start = place = next(iter(following))
        corners, heading = [], (0, 0)
        while place in following:
            ends = following[place]
            end = ends.pop()
            if not ends:
                del following[place]
            if (end[0] - place[0], end[1] - place[1]) != heading:
                corners.append(place)
            heading, place = (end[0] - place[0], end[1] - place[1]), end
        assert place == start, "edges around a mask close"
        points = (f"{column * step[1]:g} {row * step[0]:g}" for row, column in corners)
        pieces.append("M" + "L".join(points) + "Z")
    return "".join(pieces)


def _edges(mask: np.ndarray) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Pixel edges between inside and outside, start corner to ends, the inside to the right."""
    padded = np.pad(mask.astype(np.int8), 1)
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def add(places: np.ndarray, start: tuple[int, int], end: tuple[int, int]) -> None:
        for row, column in places.tolist():
            key = (row + start[0], column + start[1])
            following.setdefault(key, []).append((row + end[0], column + end[1]))

    down, right = np.diff(padded, axis=0)[:, 1:-1], np.diff(padded, axis=1)[1:-1]
    add(np.argwhere(down == 1), (0, 0), (0, 1))
    add(np.argwhere(down == -1), (0, 1), (0, 0))
    add(np.argwhere(right == 1), (1, 0), (0, 0))
    add(np.argwhere(right == -1), (0, 0), (1, 0))
    return following
