"""A slice of a volume and its neighbours as the channels of a picture."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch

from segclf.core.errors import CaseError
from segclf.core.records import Case, Cut, MaskState
from segclf.core.settings import ImageSettings
from segclf.data.intensity import intensity_limits
from segclf.io import (
    Picture,
    plane_affine,
    plane_axes,
    plane_of,
    probe,
    read_image,
    read_volume,
)
from segclf.io.slices import stamp_of

LIMITS_KEPT = 4096
"""Volumes whose limits of intensity are remembered, a pair of numbers for each channel."""


def read_slices(case: Case) -> list[Picture]:
    """Per neighbour (the slice itself is the middle one) and file: (channel, row, column).

    Beyond the first and last slice, that slice stands again; `without_neighbours_beyond` takes it
    away where the recipe wants zeros.

    Raises:
        CaseError: A file is no volume (`wrong_dimensions`), or has another number of slices than
            it had when it was cut (`slices_changed`).
    """
    cut = _cut_of(case)
    volumes = [_volume(path, cut) for path in case.images]
    return [
        _slice(volume, cut, min(max(cut.index + offset, 0), cut.n_slices - 1))
        for offset in _offsets(cut)
        for volume in volumes
    ]


def own_pictures(case: Case, n_sides: int) -> list[Picture]:
    """The pictures of a case itself, without those of its neighbours.

    Args:
        case: A case of any kind.
        n_sides: `slices.neighbours`.
    """
    if case.cut is not None:
        return read_slices(replace(case, cut=replace(case.cut, neighbours=0)))
    n_files = len(case.images) // (2 * n_sides + 1)
    return [read_image(path) for path in case.images[n_sides * n_files :][:n_files]]


def volume_limits(case: Case, settings: ImageSettings) -> list[tuple[float, float]]:
    """Per channel of `read_slices`, the limits of intensity of the whole volume."""
    cut = _cut_of(case)
    read = partial(_limits, settings=settings)  # pyright: ignore[reportArgumentType] (frozen: it hashes)
    own = [ends for path in case.images for ends in read(*stamp_of(path))]
    return own * len(_offsets(cut))


def without_neighbours_beyond(image: torch.Tensor, cut: Cut) -> torch.Tensor:
    """`image` (channel, row, column), zero in the channels of slices that do not exist."""
    if cut.edge == "repeat":
        return image
    is_there = [0 <= cut.index + offset < cut.n_slices for offset in _offsets(cut)]
    n_files = len(image) // len(is_there)
    keep = torch.tensor(is_there).repeat_interleave(n_files)
    return torch.where(keep[:, None, None], image, torch.zeros_like(image))


def check_volumes(case: Case, free_bytes: float) -> None:
    """Refuse a case whose volumes do not fit the free memory, from the headers alone.

    Raises:
        CaseError: `too_large`.
    """
    headers = [probe(path) for path in case.images]
    n_voxels = math.prod(headers[0].shape[1:])
    n_drawn = sum(mask.state is MaskState.DRAWN for mask in case.masks)
    n_bytes = 2 * sum(header.n_bytes for header in headers) + 9 * n_drawn * n_voxels
    if n_bytes > free_bytes:
        raise CaseError(
            "too_large",
            f"reading the volume of this slice needs about {n_bytes / 2**30:.1f} GiB of memory.",
            where=f"image {case.images[0].name}",
            expected="a volume that fits the free memory",
            fix="use a machine with more memory, or store the volume at a coarser grid",
        )


def _cut_of(case: Case) -> Cut:
    if case.cut is None:
        raise ValueError(f"case {case.case_id!r} is not a slice of a volume.")
    return case.cut


def _offsets(cut: Cut) -> Sequence[int]:
    return range(-cut.neighbours, cut.neighbours + 1)


def _volume(path: Path, cut: Cut) -> Picture:
    volume = read_volume(path)
    shape = volume.array.shape[1:]
    if len(shape) != 3:
        raise CaseError(
            "wrong_dimensions",
            f"the image has {len(shape)} spatial axes {shape}, so it cannot be cut into slices.",
            where=f"image {path.name}",
            expected="a volume of at least two slices (slices.cut: true)",
            fix="leave the case out, or slices.cut",
        )
    if shape[cut.axis] != cut.n_slices:
        raise CaseError(
            "slices_changed",
            f"the volume has {shape[cut.axis]} slices, not {cut.n_slices}.",
            where=f"image {path.name}",
            expected="the volume that was cut; all channels on one grid",
            fix="start a new run, or resample the channels onto the grid of the first one",
        )
    return volume


def _slice(volume: Picture, cut: Cut, index: int) -> Picture:
    shape, affine = volume.array.shape[1:], volume.affine
    spacing_mm = volume.spacing_mm
    return Picture(
        plane_of(volume.array, cut.axis, index),
        None if spacing_mm is None else tuple(spacing_mm[k] for k in plane_axes(cut.axis)),
        None if affine is None else plane_affine(affine, shape, cut.axis, index),
    )


@lru_cache(maxsize=LIMITS_KEPT)
def _limits(
    path: str, size: int, changed_ns: int, settings: ImageSettings
) -> list[tuple[float, float]]:
    finite = [channel[np.isfinite(channel)] for channel in read_volume(Path(path)).array]
    return [intensity_limits(each, settings) if each.size else (0.0, 0.0) for each in finite]
