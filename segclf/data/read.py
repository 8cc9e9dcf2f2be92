"""One row of the manifest to one prepared case; nothing here is random."""

import math
from dataclasses import replace

import numpy as np
import psutil
import torch

from segclf.core.config import Recipe
from segclf.core.errors import CaseError
from segclf.core.pixel_values import known_values
from segclf.core.records import Case, MaskState
from segclf.data.about import about
from segclf.data.checks import check_feeding
from segclf.data.intensity import scale_intensity
from segclf.data.masks import finding_planes
from segclf.data.resize import prepared_shape, resize_image, resize_target
from segclf.data.sample import Sample
from segclf.data.slices import (
    check_volumes,
    read_slices,
    volume_limits,
    without_neighbours_beyond,
)
from segclf.io import Grid, check_grid, grid_of, probe, read_image

MEMORY_SHARE = 0.8
"""Largest share of the free memory that one case may need while it is prepared."""


def read_case(case: Case, recipe: Recipe, *, with_target: bool = True) -> Sample:
    """The prepared case: read, on the recipe's grid, with scaled intensities.

    Args:
        case: A row of the manifest.
        recipe: Says the grid (`image.spacing_mm`, `image.size_px`) and the intensities.
        with_target: False leaves the masks unread and gives a target without findings.

    Raises:
        CaseError: A file is missing, broken, too large for the free memory, not finite
            (`nan_pixels`), or does not fit the others (`shape_mismatch`).
        ConfigError: The recipe's own settings contradict each other.
    """
    check_feeding(recipe)
    with about(case, limit_s=recipe.image.decode_limit_s):
        _check_memory(case, recipe)
        native, grid = _read_channels(case, recipe)
        shape, spacing_mm = grid.shape, _spacing_mm(case, grid, recipe)
        size = prepared_shape(shape, spacing_mm, recipe.image)
        image = torch.from_numpy(np.ascontiguousarray(native))
        limits = volume_limits(case, recipe.image) if case.cut else None
        image = scale_intensity(resize_image(image, size), recipe.image, limits)
        if case.cut:
            image = without_neighbours_beyond(image, case.cut)
        named = known_values(recipe.mask_values) if recipe.mask_values else ()
        planes = (
            finding_planes(
                case, replace(grid, spacing_mm=spacing_mm), named=named, settings=recipe.segment
            )
            if with_target
            else ()
        )
        return Sample(
            image=image,
            target=_target(planes, size),
            label=torch.tensor(case.labels, dtype=torch.float32),
            spacing_mm=spacing_mm,
            input_shape=shape,
            affine=grid.affine,
        )


def _target(planes: tuple[np.ndarray | None, ...], size: tuple[int, ...]) -> torch.Tensor:
    target = np.full((len(planes), *size), np.nan, dtype=np.float32)
    for index, plane in enumerate(planes):
        if plane is not None:
            target[index] = plane if plane.shape == size else resize_target(plane, size)
    return torch.from_numpy(target)


def _read_channels(case: Case, recipe: Recipe) -> tuple[np.ndarray, Grid]:
    """(channel, *space) float32 with the grid of the first file of the case's own."""
    pictures = read_slices(case) if case.cut else [read_image(path) for path in case.images]
    n_sides = recipe.slices.neighbours  # in 2.5D the slice itself is the one in the middle
    n_files = max(1, len(pictures) // (2 * n_sides + 1))
    own = grid_of(pictures[min(n_sides * n_files, len(pictures) - 1)])
    for number, picture in enumerate(pictures):
        path, found = case.images[number % len(case.images)], grid_of(picture)
        _check_axes(path.name, found.shape, recipe.image.spatial_dims)
        check_grid(found, own, path, any_place=True)
        of_slice = grid_of(pictures[number - number % n_files])  # neighbours lie elsewhere
        check_grid(found, of_slice, path, any_place=case.any_place)
    arrays = [picture.array for picture in pictures]
    native = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    with np.errstate(over="ignore"):  # what does not fit float32 becomes infinite and is refused
        native = native.astype(np.float32)
    n_bad = native.size - int(np.isfinite(native).sum())
    if n_bad:
        raise CaseError(
            "nan_pixels",
            f"{n_bad} of {native.size} pixels are NaN or infinite.",
            where=f"image {case.images[0].name}",
            expected="a finite intensity at every pixel",
            fix="export the image again, or leave the case out",
        )
    return native, own


def _check_axes(name: str, shape: tuple[int, ...], n_axes: int) -> None:
    if len(shape) != n_axes:
        raise CaseError(
            "wrong_dimensions",
            f"the image has {len(shape)} spatial axes {shape}.",
            where=f"image {name}",
            expected=f"{n_axes} axes (image.spatial_dims: {n_axes})",
            fix=f"set image.spatial_dims: {len(shape)}, or leave the case out",
        )


def _spacing_mm(case: Case, grid: Grid, recipe: Recipe) -> tuple[float, ...] | None:
    spacing_mm = grid.spacing_mm or case.spacing_mm
    n_axes = recipe.image.spatial_dims
    if spacing_mm is None and recipe.image.spacing_mm is None:
        return None
    is_fine = (
        spacing_mm is not None
        and len(spacing_mm) == n_axes
        and all(math.isfinite(value) and value > 0 for value in spacing_mm)
    )
    if spacing_mm is None or not is_fine:
        raise CaseError(
            "missing_spacing" if spacing_mm is None else "bad_spacing",
            f"the spacing is {spacing_mm}.",
            where=f"image {case.images[0].name}",
            expected=f"{n_axes} positive numbers in mm",
            fix="fill the column spacing_mm of the manifest, or leave out image.spacing_mm",
        )
    return tuple(float(value) for value in spacing_mm)


def _check_memory(case: Case, recipe: Recipe) -> None:
    """Refuse a case whose arrays do not fit the free memory, from the headers alone."""
    if case.cut is not None:
        return check_volumes(case, MEMORY_SHARE * psutil.virtual_memory().available)
    headers = [probe(path) for path in case.images]
    n_values = sum(math.prod(header.shape) for header in headers)
    n_bytes = sum(header.n_bytes for header in headers) + 12 * n_values  # float32, and two copies
    n_drawn = sum(source.state is MaskState.DRAWN for source in case.masks)
    n_bytes += 9 * n_drawn * n_values  # the integers of the file, and the plane
    space = headers[0].shape[-recipe.image.spatial_dims :]
    spacing_mm = headers[0].spacing_mm or case.spacing_mm
    if spacing_mm is None or (len(spacing_mm) == len(space) and min(spacing_mm) > 0):
        n_px = math.prod(prepared_shape(space, spacing_mm, recipe.image))
        n_channels = max(1, n_values // max(1, math.prod(space)))
        n_bytes += 12 * n_px * n_channels + 8 * n_px * len(case.masks)
    if n_bytes > MEMORY_SHARE * psutil.virtual_memory().available:
        raise CaseError(
            "too_large",
            f"preparing the case needs about {n_bytes / 2**30:.1f} GiB of memory.",
            where=f"image {case.images[0].name}",
            expected=f"at most {MEMORY_SHARE:.0%} of the free memory",
            fix="use a machine with more memory, or store the image at a coarser grid",
        )
