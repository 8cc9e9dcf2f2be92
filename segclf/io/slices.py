"""Slices of volumes: how one lies, and volumes kept decoded while their slices are read.

A slice comes as (row, column) the way it is looked at, as a file of one slice does (see
`segclf.io.geometry`): rows are the last of the other two axes and columns the first, both reversed.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from segclf.io.dicom_series import series_folder
from segclf.io.files import read_image
from segclf.io.records import Picture

Value = TypeVar("Value")
BUDGET_BYTES = 2**30
"""Decoded volumes that a process keeps; the newest ones are kept whatever their size."""
ALWAYS_KEPT = 2
"""An image and its masks, whose slices are read in turn."""


class VolumeStore:
    """The volumes that were decoded last; threads wait for each other, so none is decoded twice."""

    def __init__(self, budget_bytes: int) -> None:
        """Make an empty store."""
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = threading.RLock()
        self._budget_bytes = budget_bytes

    def get(self, key: Hashable, make: Callable[[], tuple[Value, int]]) -> Value:
        """What `make` gives beside its size in bytes, made anew only if it was dropped."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make()
                n_bytes = sum(size for _, size in self._kept.values())
                while n_bytes > self._budget_bytes and len(self._kept) > ALWAYS_KEPT:
                    n_bytes -= self._kept.popitem(last=False)[1][1]
            self._kept.move_to_end(key)
            return self._kept[key][0]


_STORES: dict[int, VolumeStore] = {}


def volume_store() -> VolumeStore:
    """The store of this process; a forked one starts with an empty store of its own."""
    process = os.getpid()
    if process not in _STORES:
        _STORES.clear()
    return _STORES.setdefault(process, VolumeStore(BUDGET_BYTES))


def read_volume(path: Path) -> Picture:
    """The volume in a file, from the store if the file did not change; do not write to it.

    Raises:
        CaseError: As `read_image`.
    """

    def make() -> tuple[Picture, int]:
        picture = read_image(path)
        return picture, picture.array.nbytes

    return volume_store().get(("image", *stamp_of(path)), make)


def stamp_of(path: Path) -> tuple[str, int, int]:
    """A file as it is now: path, size, time of change; zeros where there is none."""
    try:
        status = (series_folder(path) or path).stat()
    except OSError:
        return str(path), 0, 0
    return str(path), status.st_size, status.st_mtime_ns


def plane_axes(axis: int) -> tuple[int, int]:
    """Axes of the volume that become (row, column) of a slice across `axis`."""
    first, last = (each for each in range(3) if each != axis)
    return last, first


def plane_of(volume: np.ndarray, axis: int, index: int) -> np.ndarray:
    """A slice (…, row, column) of (…, x, y, z)."""
    plane = np.take(volume, index, axis=volume.ndim - 3 + axis)
    return plane.swapaxes(-1, -2)[..., ::-1, ::-1]


def volume_of(planes: np.ndarray, axis: int) -> np.ndarray:
    """(x, y, z) of all slices (slice, row, column) of a volume, in order: back from `plane_of`."""
    return np.moveaxis(planes[:, ::-1, ::-1].swapaxes(1, 2), 0, axis)


def plane_affine(affine: np.ndarray, shape: tuple[int, ...], axis: int, index: int) -> np.ndarray:
    """4 x 4 from (row, column, slice) of a slice to RAS+ mm.

    Args:
        affine: Of the volume.
        shape: (x, y, z) of the volume.
        axis: What the slice lies across.
        index: Which slice.
    """
    row, column = plane_axes(axis)
    found = np.array(affine, dtype=np.float64)
    found[:3, 0], found[:3, 1] = -affine[:3, row], -affine[:3, column]
    found[:3, 2] = affine[:3, axis]
    found[:3, 3] = (
        affine[:3, 3]
        + affine[:3, row] * (shape[row] - 1)
        + affine[:3, column] * (shape[column] - 1)
        + affine[:3, axis] * index
    )
    return found
