"""TIFF: one 2D picture (row, column), 8 or 16 bits or float, without a spacing.

TIFF has no agreed field for a spacing in mm, so none is read. Only the first page's own tags are
used: OME or stack metadata may name other files, and a reader that followed them would leave the
data root.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import TiffImagePlugin
from PIL.ImageFile import _Tile

from segclf.io.raster import mask_plane, without_alpha
from segclf.io.records import Format, Header, Limits, Picture, bad_file, check_size, decoding
from segclf.io.tiff_parts import check_parts

TIFFFILE_CODECS = (1, 8, 32773, 32946)
"""Compressions that tifffile decodes by itself: none, deflate and PackBits."""
PILLOW_CODECS = (5, 7)
"""Compressions left to libtiff: LZW, and JPEG (images only)."""
JPEG_CODECS = (6, 7, 33003, 33005, 34712, 34892)
MINISWHITE, PALETTE = 0, 3


def probe(path: Path, limits: Limits) -> Header:
    """The header of a TIFF file."""
    with decoding(path, "TIFF"), tifffile.TiffFile(path) as tiff:
        return _header(tiff, path, limits)


def read_image(path: Path, limits: Limits) -> Picture:
    """(channel, row, column) as displayed: palette applied, white-is-zero turned over."""
    with decoding(path, "TIFF"), tifffile.TiffFile(path) as tiff:
        _header(tiff, path, limits)
        page = _first_page(tiff)
        array = _channel_last(page, path)
        if page.photometric == PALETTE:
            colour = (np.asarray(page.colormap) >> 8).astype(np.uint8)
            array = np.moveaxis(colour[:, array], 0, -1)
        else:
            array = without_alpha(array)
    array = array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)
    return Picture(np.ascontiguousarray(array), None, None)


def read_mask(path: Path, limits: Limits) -> Picture:
    """(row, column) of the stored values; of a palette, the indices."""
    with decoding(path, "TIFF"), tifffile.TiffFile(path) as tiff:
        _header(tiff, path, limits)
        page = _first_page(tiff)
        if page.compression in JPEG_CODECS:
            raise bad_file(
                "lossy_mask",
                path,
                "a mask is stored with JPEG compression, which changes pixel values.",
                expected="a lossless mask: PNG, TIFF, NIfTI or npz",
                fix="export the mask again without JPEG compression",
            )
        array = mask_plane(_channel_last(page, path), path)
    return Picture(array, None, None)


def write(
    path: Path,
    array: np.ndarray,
    _spacing_mm: tuple[float, ...] | None,
    _affine: np.ndarray | None,
) -> None:
    """Write (1 or 3, row, column) of 8 or 16 bits or float32, deflated."""
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if (
        array.ndim != 3
        or array.shape[0] not in (1, 3)
        or array.dtype.name not in ("uint8", "uint16", "int16", "float32")
    ):
        raise ValueError(
            "TIFF holds (1 or 3, row, column) of uint8, uint16, int16 or float32: "
            f"got {array.dtype} of shape {array.shape}."
        )
    is_grey = array.shape[0] == 1
    pixels = array[0] if is_grey else np.moveaxis(array, 0, -1)
    tifffile.imwrite(
        path,
        np.ascontiguousarray(pixels),
        photometric="minisblack" if is_grey else "rgb",
        compression="zlib",
        metadata=None,
    )


def _first_page(tiff: tifffile.TiffFile) -> tifffile.TiffPage:
    page = tiff.pages[0]
    assert isinstance(page, tifffile.TiffPage)  # a TiffFrame only stands for later pages
    return page


def _header(tiff: tifffile.TiffFile, path: Path, limits: Limits) -> Header:
    n_pages = len(tiff.pages)
    page = _first_page(tiff)
    if n_pages != 1 or page.imagedepth != 1:
        raise bad_file(
            "unreadable",
            path,
            f"the TIFF file holds {max(n_pages, page.imagedepth)} pages.",
            expected="one 2D picture",
            fix="write a volume as NIfTI, or one TIFF per slice",
        )
    samples = 3 if page.photometric == PALETTE else page.samplesperpixel
    n_channels = {2: 1, 4: 3}.get(samples, samples)
    dtype = np.dtype(page.dtype or "V")
    codec = int(page.compression)
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
    chunk = (samples, *page.chunks) if page.chunks else (samples, 1, 1)
    check_size(path, chunk[:3], dtype.itemsize, limits)  # a tile may claim more than the picture
    check_parts(page, path)
    shape = (n_channels, page.imagelength, page.imagewidth)
    dtype = np.dtype(np.uint8) if page.photometric == PALETTE or dtype.kind == "b" else dtype
    return Header(shape, dtype, check_size(path, shape, dtype.itemsize, limits), None, None)


def _channel_last(page: tifffile.TiffPage, path: Path) -> np.ndarray:
    """Stored values (row, column[, sample]), with black as the smallest value."""
    if page.compression in PILLOW_CODECS:
        array = _by_libtiff(path)  # which has black as 0 already
    else:
        array = page.asarray()
        if page.axes.startswith("S"):
            array = np.moveaxis(array, 0, -1)
        if page.photometric == MINISWHITE and array.dtype.kind in "bu":
            white = 1 if array.dtype == bool else (1 << page.bitspersample) - 1
            array = white - array.astype(np.uint8 if array.dtype == bool else array.dtype)
    return array.astype(np.uint8) if array.dtype == bool else array


def _by_libtiff(path: Path) -> np.ndarray:
    """Decode through Pillow; 16-bit colour in two passes (high and low bytes)."""
    with open(path, "rb") as stream:
        picture = TiffImagePlugin.TiffImageFile(stream)
        if not _arguments(picture.tile[0])[0].startswith(("RGB;16", "RGBA;16")):
            array = np.asarray(picture)
            return array.astype(array.dtype.newbyteorder("="), copy=False)
        mode = picture.mode
    high, low = (_unpacked(path, f"{mode};16{order}") for order in "LB")
    return high.astype(np.uint16) << 8 | low


def _unpacked(path: Path, rawmode: str) -> np.ndarray:
    with open(path, "rb") as stream:
        picture = TiffImagePlugin.TiffImageFile(stream)
        picture.tile = [
            part._replace(args=(rawmode, *_arguments(part)[1:])) for part in picture.tile
        ]
        return np.asarray(picture)


def _arguments(tile: _Tile) -> tuple[Any, ...]:
    assert isinstance(tile.args, tuple)  # raw mode, then what libtiff needs
    return tile.args


TIFF = Format("TIFF", probe, read_image, read_mask, write)
