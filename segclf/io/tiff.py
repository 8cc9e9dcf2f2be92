"""TIFF: pictures (row, column) and volumes of several pages, 8 or 16 bits or float.

Pages are the slices of a volume, which comes as (column, row, page), as frames of DICOM without
positions do, and has no affine. `segclf.io.tiff_stack` says what is known of pages and spacing.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import TiffImagePlugin
from PIL.ImageFile import _Tile

from segclf.io.raster import mask_plane
from segclf.io.records import Format, Header, Limits, Picture, bad_file, check_size, decoding
from segclf.io.tiff_parts import check_parts
from segclf.io.tiff_stack import Stack, stack_of, write_sidecar

TIFFFILE_CODECS = (1, 8, 32773, 32946)
"""Compressions that tifffile decodes by itself: none, deflate and PackBits."""
PILLOW_CODECS = (5, 7)
"""Compressions left to libtiff: LZW, and JPEG (images only)."""
JPEG_CODECS = (6, 7, 33003, 33005, 34712, 34892)
"""Lossy compressions, which change the values of a mask."""
MINISWHITE, RGB, PALETTE, YCBCR = 0, 2, 3, 6
ALPHA = (1, 2)


def probe(path: Path, limits: Limits) -> Header:
    """The header of a TIFF file."""
    with _opened(path) as tiff:
        return _header(tiff, path, limits)[0]


def read_image(path: Path, limits: Limits) -> Picture:
    """(channel, *space) as displayed: palette applied, white-is-zero turned over."""
    with _opened(path) as tiff:
        header, stack = _header(tiff, path, limits)
        array = _stacked(tiff, path, stack, limits, in_colour=True)
    return Picture(array, header.spacing_mm, None)


def read_mask(path: Path, limits: Limits) -> Picture:
    """(*space) of the stored values; of a palette, the indices."""
    with _opened(path) as tiff:
        header, stack = _header(tiff, path, limits)
        if _page(tiff, 0).compression in JPEG_CODECS:
            raise bad_file(
                "lossy_mask",
                path,
                "a mask is stored with JPEG compression, which changes pixel values.",
                expected="a lossless mask: PNG, TIFF, NIfTI or npz",
                fix="export the mask again without JPEG compression",
            )
        array = _stacked(tiff, path, stack, limits, in_colour=False)
        plane = mask_plane(np.moveaxis(array, 0, -1), path) if len(array) > 1 else array[0]
    return Picture(np.ascontiguousarray(plane), header.spacing_mm, None)


def write(
    path: Path,
    array: np.ndarray,
    _spacing_mm: tuple[float, ...] | None,
    _affine: np.ndarray | None,
) -> None:
    """Write (1 or 3, *space) of 8 or 16 bits or float32, deflated; a volume slice by slice."""
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if (
        array.ndim not in (3, 4)
        or array.shape[0] not in (1, 3)
        or array.dtype.name not in ("uint8", "uint16", "int16", "float32")
    ):
        raise ValueError(
            "TIFF holds (1 or 3, *space) of uint8, uint16, int16 or float32 in 2 or 3 dimensions: "
            f"got {array.dtype} of shape {array.shape}."
        )
    is_grey = array.shape[0] == 1
    if array.ndim == 4:
        array = array.transpose(0, 3, 2, 1)  # pages of rows of columns
    pixels = array[0] if is_grey else np.moveaxis(array, 0, -1)
    tifffile.imwrite(
        path,
        np.ascontiguousarray(pixels),
        photometric="minisblack" if is_grey else "rgb",
        compression="zlib",
        metadata=None,
    )


@contextmanager
def _opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """The file; what tifffile logs of it is swallowed, since it may quote text of the header.

    A list of pages that leads back to itself is an error; tifffile only logs it and ends there.
    """
    logger, own, loops = logging.getLogger("tifffile"), threading.get_ident(), []

    def swallow(record: logging.LogRecord) -> bool:
        if record.thread == own and "circular" in record.getMessage():
            loops.append(record.levelname)
        return record.thread != own

    logger.addFilter(swallow)
    try:
        with decoding(path, "TIFF"), tifffile.TiffFile(path) as tiff:
            yield tiff
            if loops:
                raise ValueError("the list of pages leads back to itself")
    finally:
        logger.removeFilter(swallow)


def _page(tiff: tifffile.TiffFile, number: int) -> tifffile.TiffPage:
    page = tiff.pages[number]
    assert isinstance(page, tifffile.TiffPage)  # a TiffFrame only stands for later pages
    return page


def _header(tiff: tifffile.TiffFile, path: Path, limits: Limits) -> tuple[Header, Stack]:
    page = _page(tiff, 0)
    samples = page.samplesperpixel
    stack = stack_of(tiff, samples, path)
    n_channels = stack.n_channels * _n_shown(page)
    _check_page(page, page, path, limits)
    shape = (n_channels, page.imagelength, page.imagewidth)
    spacing_mm = stack.spacing_mm
    if stack.n_slices > 1:
        shape = (n_channels, page.imagewidth, page.imagelength, stack.n_slices)
        spacing_mm = spacing_mm and spacing_mm[::-1]
    dtype = np.dtype(page.dtype)
    dtype = np.dtype(np.uint8) if page.photometric == PALETTE or dtype.kind == "b" else dtype
    n_bytes = check_size(path, shape, dtype.itemsize, limits)
    return Header(shape, dtype, n_bytes, spacing_mm, None), stack


def _n_shown(page: tifffile.TiffPage) -> int:
    """Channels of a page: the colours of a palette, and samples that are no alpha channel."""
    return 3 if page.photometric == PALETTE else page.samplesperpixel - _has_alpha(page)


def _has_alpha(page: tifffile.TiffPage) -> bool:
    """Whether the last sample is an alpha channel; one of no stated meaning beside RGB is."""
    n_colours = 3 if page.photometric in (RGB, YCBCR) else 1
    is_stated = bool(page.extrasamples) and page.extrasamples[-1] in ALPHA
    return page.samplesperpixel == n_colours + 1 and (is_stated or n_colours == 3)


def _check_page(
    page: tifffile.TiffPage, first: tifffile.TiffPage, path: Path, limits: Limits
) -> None:
    """Refuse a page that cannot be decoded, or that is no slice beside the first one."""
    kinds = {(p.shape, p.dtype, int(p.photometric), p.samplesperpixel) for p in (page, first)}
    if len(kinds) > 1 or page.imagedepth != 1:
        raise bad_file(
            "unreadable",
            path,
            "the pages of the TIFF file have different sizes or types.",
            expected="one picture, or slices of one size",
            fix="write a volume as NIfTI, or one TIFF file per picture",
        )
    dtype, codec = np.dtype(page.dtype or "V"), int(page.compression)
    is_known = codec in TIFFFILE_CODECS or (codec in PILLOW_CODECS and dtype.itemsize <= 2)
    if dtype.kind not in "buif" or not is_known or page.photometric not in (0, 1, 2, 3, 6):
        raise bad_file(
            "unreadable",
            path,
            f"pixels of type {dtype.name}, {page.compression!r}, {page.photometric!r} "
            "are not supported.",
            expected="8 or 16 bits, grey or RGB; uncompressed, deflate, LZW or PackBits",
            fix="save the file as plain 8- or 16-bit TIFF or PNG",
        )
    samples = page.samplesperpixel
    chunk = (samples, *page.chunks) if page.chunks else (samples, 1, 1)
    check_size(path, chunk[:3], dtype.itemsize, limits)  # a tile may claim more than the picture
    check_parts(page, path)


def _stacked(
    tiff: tifffile.TiffFile, path: Path, stack: Stack, limits: Limits, *, in_colour: bool
) -> np.ndarray:
    """(channel, row, column), or (channel, column, row, page) of several slices."""
    first = _page(tiff, 0)
    volume: np.ndarray | None = None
    for channel in range(stack.n_channels):
        for number in range(stack.n_slices):
            index = stack.page(channel, number)
            _check_page(_page(tiff, index), first, path, limits)
            plane = _plane(tiff, index, path, in_colour=in_colour)
            if stack.n_slices == stack.n_channels == 1:
                return np.ascontiguousarray(plane)
            if volume is None:
                shape = (stack.n_channels * len(plane), stack.n_slices, *plane.shape[1:])
                volume = np.empty(shape, plane.dtype)
            volume[channel * len(plane) : (channel + 1) * len(plane), number] = plane
    assert volume is not None  # there is a page
    return volume[:, 0] if stack.n_slices == 1 else volume.transpose(0, 3, 2, 1).copy()


def _plane(tiff: tifffile.TiffFile, index: int, path: Path, *, in_colour: bool) -> np.ndarray:
    """(channel, row, column) of one page; a mask keeps its alpha channel, which must not vary."""
    page = _page(tiff, index)
    array = _channel_last(page, path, index)
    if in_colour and page.photometric == PALETTE:
        colour = (np.asarray(page.colormap) >> 8).astype(np.uint8)
        return colour[:, array]
    if array.ndim == 2:
        return array[None]
    shown = array[..., :-1] if in_colour and _has_alpha(page) else array
    return np.moveaxis(shown, -1, 0)


def _channel_last(page: tifffile.TiffPage, path: Path, index: int) -> np.ndarray:
    """Stored values (row, column[, sample]), with black as the smallest value."""
    if page.compression in PILLOW_CODECS:
        array = _by_libtiff(path, index)  # which has black as 0 already
    else:
        array = page.asarray()
        if page.axes.startswith("S"):
            array = np.moveaxis(array, 0, -1)
        if page.photometric == MINISWHITE and array.dtype.kind in "bu":
            white = 1 if array.dtype == bool else (1 << page.bitspersample) - 1
            array = white - array.astype(np.uint8 if array.dtype == bool else array.dtype)
    return array.astype(np.uint8) if array.dtype == bool else array


def _by_libtiff(path: Path, index: int) -> np.ndarray:
    """Decode a page through Pillow; 16-bit colour in two passes (high and low bytes)."""
    with open(path, "rb") as stream:
        picture = TiffImagePlugin.TiffImageFile(stream)
        picture.seek(index)
        if not _arguments(picture.tile[0])[0].startswith(("RGB;16", "RGBA;16")):
            array = np.asarray(picture)
            return array.astype(array.dtype.newbyteorder("="), copy=False)
        mode = picture.mode
    high, low = (_unpacked(path, index, f"{mode};16{order}") for order in "LB")
    return high.astype(np.uint16) << 8 | low


def _unpacked(path: Path, index: int, rawmode: str) -> np.ndarray:
    with open(path, "rb") as stream:
        picture = TiffImagePlugin.TiffImageFile(stream)
        picture.seek(index)
        picture.tile = [
            part._replace(args=(rawmode, *_arguments(part)[1:])) for part in picture.tile
        ]
        return np.asarray(picture)


def _arguments(tile: _Tile) -> tuple[Any, ...]:
    assert isinstance(tile.args, tuple)  # raw mode, then what libtiff needs
    return tile.args


TIFF = Format("TIFF", probe, read_image, read_mask, write, write_sidecar)
