"""DICOM: single files, multi-frame files, and the folder of a series as one volume.

A slice comes as (row, column) as stored, which is as it is looked at. Several frames or files
become a volume (x, y, z) in RAS+, sorted along the normal; frames without positions keep their
stored order (column, row, frame) and have no affine. Grey values are rescaled (Hounsfield units of
CT) and never windowed: windowing is the recipe's. Palettes and YBR become RGB. Masks keep the
stored values. A DICOM SEG file is one channel per segment, and as a mask a map of their numbers.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segclf.io import dicom_seg
from segclf.io.dicom_geometry import flat_affine, pixel_spacing, planes_of, stack
from segclf.io.dicom_open import SEGMENTATION, n_frames, n_samples, opened, reading
from segclf.io.dicom_pixels import (
    decoded_dtype,
    n_channels,
    refuse_lossy,
    stored_values,
    values,
)
from segclf.io.dicom_series import check_alike, series_files
from segclf.io.geometry import layout, n_dims, spacing_of, turned
from segclf.io.records import Format, Header, Limits, Picture, bad_file, check_size

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

Geometry = tuple[list[int], tuple[float, ...] | None, np.ndarray | None]
"""Order of the slices, spacing of the axes to give, affine of the axes as stored."""


def probe(path: Path, limits: Limits) -> Header:
    """The header of a file or series, without its pixels."""
    with reading(path):
        files = series_files(path)
        datasets = [opened(file, limits) for file in files]
        if _is_segmentation(datasets):
            return dicom_seg.header(datasets[0], path, limits)
        n_bytes = _check(datasets, path, limits)
        order, spacing_mm, affine = _geometry(datasets, path)
        channels = n_channels(datasets[0])
        space = (int(datasets[0].Rows), int(datasets[0].Columns))
        if len(order) > 1:
            space = (space[1], space[0], len(order))
            stored = affine
            if affine is not None:
                axes, affine = layout(space, affine)
                space = tuple(space[axis] for axis, _ in axes)[: n_dims(space)]
                spacing_mm = spacing_of(affine)[: len(space)]
        else:
            stored = None if affine is None else affine[:, [1, 0, 2, 3]]
        dtype = np.result_type(*map(decoded_dtype, datasets))
        return Header((channels, *space), dtype, n_bytes, spacing_mm, affine, stored)


def read_image(path: Path, limits: Limits) -> Picture:
    """(channel, *space) of the values that the pixels stand for."""
    return _read(path, limits, is_mask=False)


def read_mask(path: Path, limits: Limits) -> Picture:
    """(*space) of the stored values; of a SEG file, the number of the segment."""
    picture = _read(path, limits, is_mask=True)
    return Picture(picture.array[0], picture.spacing_mm, picture.affine)


def _read(path: Path, limits: Limits, *, is_mask: bool) -> Picture:
    with reading(path):
        files = series_files(path)
        datasets = [opened(file, limits) for file in files]
        if _is_segmentation(datasets):
            dataset = opened(files[0], limits, with_pixels=True)
            return dicom_seg.read(dataset, path, limits, is_mask=is_mask)
        _check(datasets, path, limits)
        order, spacing_mm, affine = _geometry(datasets, path)
        if is_mask:
            _check_mask(datasets, path)
            dtype = None
        else:
            dtype = np.result_type(*map(decoded_dtype, datasets))
        array = _pixels(files, datasets, order, dtype, limits)
        if len(array) == 1:
            return Picture(np.moveaxis(array[0], -1, 0).copy(), spacing_mm, affine)
        stored = array.transpose(2, 1, 0, 3)
        if affine is None:
            return Picture(np.moveaxis(stored, -1, 0).copy(), spacing_mm, None)
        return turned(stored, *layout(stored.shape, affine))


def _pixels(
    files: list[Path],
    datasets: "list[FileDataset]",
    order: list[int],
    dtype: np.dtype | None,
    limits: Limits,
) -> np.ndarray:
    """(slice, row, column, channel) in order; stored values without a `dtype`."""

    def frames(file: Path) -> np.ndarray:
        dataset = opened(file, limits, with_pixels=True)
        if dtype is None:
            return stored_values(dataset, file)
        return values(dataset, file).astype(dtype, copy=False)

    if len(files) == 1:
        array = frames(files[0])
        return array if order == [*range(len(array))] else array[order]
    slices: Iterator[np.ndarray] = (frames(files[k])[0] for k in order)
    first = next(slices)
    volume = np.empty((len(order), *first.shape), first.dtype)
    volume[0] = first
    for number, plane in enumerate(slices, start=1):
        volume[number] = plane
    return volume


def _geometry(datasets: "list[FileDataset]", path: Path) -> Geometry:
    n_slices = len(datasets) if len(datasets) > 1 else n_frames(datasets[0])
    planes = [plane for dataset in datasets for plane in planes_of(dataset) or ()]
    spacing = pixel_spacing(datasets[0])
    if n_slices == 1:
        return [0], spacing, flat_affine(planes[0], path) if planes else None
    if len(planes) == n_slices:
        order, affine = stack(planes, path)
        return order, spacing_of(affine), affine
    if len(datasets) > 1:
        raise bad_file(
            "series_geometry",
            path,
            f"{n_slices - len(planes)} of {n_slices} slices state no position, orientation or "
            "pixel spacing.",
            expected="slices that say where they lie",
            fix="use the slices one by one, as 2D images, or export the series again",
        )
    step = datasets[0].get("SpacingBetweenSlices")
    if spacing is None or not step:
        return [*range(n_slices)], None, None
    return [*range(n_slices)], (spacing[1], spacing[0], abs(float(step))), None


def _check(datasets: "list[FileDataset]", path: Path, limits: Limits) -> int:
    """Decoded bytes of the whole; refuses series of several kinds and sizes beyond `limits`."""
    if len(datasets) > 1:
        check_alike(datasets, path)
    first = datasets[0]
    n_slices = len(datasets) if len(datasets) > 1 else n_frames(first)
    space = (int(first.Rows), int(first.Columns))
    space = space if n_slices == 1 else (space[1], space[0], n_slices)
    itemsize = np.result_type(*map(decoded_dtype, datasets)).itemsize
    return check_size(path, (n_channels(first), *space), itemsize, limits)


def _check_mask(datasets: "list[FileDataset]", path: Path) -> None:
    if n_samples(datasets[0]) != 1:
        raise bad_file(
            "bad_mask",
            path,
            "the mask is a colour picture.",
            expected="one stored value per pixel",
            fix="export the mask as grey values: 0 is background",
        )
    for dataset in datasets:
        refuse_lossy(dataset, path)


def _is_segmentation(datasets: "list[FileDataset]") -> bool:
    return len(datasets) == 1 and str(datasets[0].get("SOPClassUID")) in SEGMENTATION


def write(
    path: Path,
    array: np.ndarray,
    _spacing_mm: tuple[float, ...] | None,
    _affine: np.ndarray | None,
) -> None:
    """DICOM is only read."""
    raise ValueError(f"DICOM is not written: got {array.dtype} for {path.name!r}.")


DICOM = Format("DICOM", probe, read_image, read_mask, write)
