"""Training crops: where they lie, and the padding of images that are smaller than a crop."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from segclf.core.randomness import generator
from segclf.core.records import BOX

CANDIDATES = 16
"""Positive pixels that are drawn; the first that the affine change leaves in the field is used."""


@dataclass(frozen=True)
class Window:
    """A box of pixels: its first corner and its shape."""

    start: tuple[int, ...]
    size: tuple[int, ...]


def whole(shape: tuple[int, ...]) -> Window:
    """The window that is the image."""
    return Window((0,) * len(shape), shape)


def draw_window(
    target: torch.Tensor,
    patch_px: tuple[int, ...],
    matrix: np.ndarray | None,
    foreground_share: float,
    *key: int | str,
) -> Window:
    """The window that `key` gives, inside the image; on small axes it is the whole axis.

    With probability `foreground_share` a window of a case with a positive pixel is centred on
    one, up to a quarter of the window beside it: first a finding is drawn, so that large ones do
    not crowd out small ones, then one of its pixels. Pixels inside boxes count as positive, and
    soft ones above one half. Other windows lie anywhere.

    Args:
        target: (finding, *space) before the affine change.
        patch_px: Shape of the crop.
        matrix: Affine change from `affine_matrix`; None for none.
        foreground_share: Probability of a centred window.
        key: Seed, epoch and case.
    """
    random = generator(*key, "crop")
    is_centred = random.random() < foreground_share
    place = random.random(len(patch_px))
    jitter = random.uniform(-0.25, 0.25, size=len(patch_px))
    shape = np.array(target.shape[1:])
    size = np.minimum(shape, patch_px)
    room = shape - size
    start = np.floor(place * (room + 1))
    centre = _positive_pixel(target.numpy(), matrix, random) if is_centred else None
    if centre is not None:
        start = np.round(centre + jitter * size - (size - 1) / 2)
    start = np.clip(start, 0, room).astype(int)
    return Window(tuple(start.tolist()), tuple(size.tolist()))


def _positive_pixel(
    target: np.ndarray, matrix: np.ndarray | None, random: np.random.Generator
) -> np.ndarray | None:
    """Where a random positive pixel lies after the affine change; None if there is none."""
    is_positive = (target > 0.5) | (target == BOX)
    found = [pixels for plane in is_positive if len(pixels := np.flatnonzero(plane))]
    if not found:
        return None
    pixels = found[random.integers(len(found))]
    chosen = pixels[random.integers(len(pixels), size=CANDIDATES)]
    shape = np.array(target.shape[1:])
    places = np.stack(np.unravel_index(chosen, target.shape[1:]), axis=1).astype(np.float64)
    if matrix is None:
        return places[0]
    moved = _moved(places, matrix, shape)
    is_inside = ((moved > -0.5) & (moved < shape - 0.5)).all(axis=1)
    return moved[np.argmax(is_inside)]


def _moved(places: np.ndarray, matrix: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Where pixels (pixel, axis) lie after the affine change."""
    middle = (shape - 1) / 2
    inverse = np.linalg.inv(matrix)
    return (places - middle) @ inverse[:-1, :-1].T + inverse[:-1, -1] + middle


def keep_whole_boxes(
    before: torch.Tensor, after: torch.Tensor, matrix: np.ndarray | None, window: Window
) -> torch.Tensor:
    """`after` with the boxes of a finding not known if one of them was cut.

    The positive pixel that a box promises may be in the part that is no longer there.

    Args:
        before: (finding, *space) before the affine change and the crop.
        after: (finding, *window).
        matrix: The affine change; None for none.
        window: The crop.
    """
    is_box = before == BOX
    if not is_box.any():
        return after
    low = np.array(window.start)
    high = low + window.size
    for finding, plane in enumerate(is_box.numpy()):
        places = np.argwhere(plane).astype(np.float64)
        if matrix is not None:
            places = _moved(places, matrix, np.array(before.shape[1:]))
        if ((places < low - 0.5) | (places > high - 0.5)).any():
            after = after.clone()
            after[finding][after[finding] == BOX] = torch.nan
    return after


def cut(planes: torch.Tensor, window: Window) -> torch.Tensor:
    """The part of (plane, *space) inside the window, without a copy."""
    for axis, (start, size) in enumerate(zip(window.start, window.size, strict=True), start=1):
        planes = planes.narrow(axis, start, size)
    return planes


def pad(planes: torch.Tensor, patch_px: tuple[int, ...]) -> torch.Tensor:
    """(plane, *space) grown to `patch_px` with zeros on both sides; unknown planes stay NaN."""
    missing = [max(0, want - have) for want, have in zip(patch_px, planes.shape[1:], strict=True)]
    if not any(missing):
        return planes
    amounts = [side for n in reversed(missing) for side in (n // 2, n - n // 2)]
    grown = functional.pad(planes, amounts)
    unknown = planes.flatten(1).isnan().all(dim=1)
    grown[unknown] = torch.nan
    return grown
