"""PNG, JPEG and BMP: 2D pictures (row, column) without a spacing."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin
from PIL.ImageFile import ImageFile

from segclf.io.records import Format, Header, Limits, Picture, bad_file, check_size, decoding

CHANNELS = {"1": 1, "L": 1, "LA": 1, "I;16": 1, "RGB": 3, "RGBA": 3, "P": 3, "CMYK": 3, "YCbCr": 3}
"""Pillow mode to the channels of an image; an alpha channel is left out, a palette is applied."""
GREY_STEP = {"L;2": 85, "L;4": 17}
"""Pillow stretches 2- and 4-bit grey to 0..255 by this factor; masks want the stored values."""


def _probe(plugin: type[ImageFile], name: str, path: Path, limits: Limits) -> Header:
    with decoding(path, name), open(path, "rb") as stream:
        return _header(plugin(stream), path, limits)


def _read_image(plugin: type[ImageFile], name: str, path: Path, limits: Limits) -> Picture:
    with decoding(path, name), open(path, "rb") as stream:
        picture = plugin(stream)
        _header(picture, path, limits)
        if picture.mode in ("P", "CMYK", "YCbCr"):
            array = np.asarray(picture.convert("RGB"))
        else:
            array = _stored(picture, path)
    return Picture(_channel_first(without_alpha(array)), None, None)


def _read_mask(plugin: type[ImageFile], name: str, path: Path, limits: Limits) -> Picture:
    with decoding(path, name), open(path, "rb") as stream:
        picture = plugin(stream)
        _header(picture, path, limits)
        step = GREY_STEP.get(_rawmode(picture), 1)
        array = _stored(picture, path)  # of a palette: the indices, since colours are not classes
    return Picture(mask_plane(array if step == 1 else array // step, path), None, None)


def _refuse_mask(path: Path, _limits: Limits) -> Picture:
    raise bad_file(
        "lossy_mask",
        path,
        "a mask is stored as JPEG, which changes pixel values.",
        expected="a lossless mask: PNG, TIFF, NIfTI or npz",
        fix="export the mask again as PNG from the tool that drew it",
    )


def _header(picture: ImageFile, path: Path, limits: Limits) -> Header:
    """The header of an opened, not yet decoded picture; refuses sizes and modes."""
    if picture.mode not in CHANNELS or _rawmode(picture) == "LA;16B":
        raise bad_file(
            "unreadable",
            path,
            f"the pixel type {_rawmode(picture) or picture.mode!r} is not supported.",
            expected="8 or 16 bits, grey or RGB",
            fix="save the file as 8- or 16-bit grey or RGB",
        )
    is_wide = picture.mode == "I;16" or _is_wide_colour(picture)
    dtype = np.dtype(np.uint16 if is_wide else np.uint8)
    shape = (CHANNELS[picture.mode], picture.height, picture.width)
    return Header(shape, dtype, check_size(path, shape, dtype.itemsize, limits), None, None)


def _stored(picture: ImageFile, path: Path) -> np.ndarray:
    """Stored values, (row, column) or (row, column, band); 16-bit colour keeps its range.

    Pillow has no 16-bit colour mode and would drop the low bytes. Unpacked once as big and once
    as little endian, the same samples give the high and the low bytes.
    """
    if _is_wide_colour(picture):
        with open(path, "rb") as stream:
            low = type(picture)(stream)
            low.tile = [part._replace(args=str(part.args)[:-1] + "L") for part in low.tile]
            low_byte = np.asarray(low)
        return np.asarray(picture).astype(np.uint16) << 8 | low_byte
    array = np.asarray(picture)
    return array.astype(np.uint8) if array.dtype == bool else array


def _rawmode(picture: ImageFile) -> str:
    """How Pillow will unpack the samples, e.g. `RGB;16B`."""
    arguments = picture.tile[0].args if picture.tile else ""
    return arguments if isinstance(arguments, str) else str((arguments or ("",))[0])


def _is_wide_colour(picture: ImageFile) -> bool:
    return _rawmode(picture) in ("RGB;16B", "RGBA;16B")


def without_alpha(array: np.ndarray) -> np.ndarray:
    """Pixels (row, column[, band]) without their last band if that is an alpha channel."""
    return array[..., :-1] if array.ndim == 3 and array.shape[-1] in (2, 4) else array


def mask_plane(array: np.ndarray, path: Path) -> np.ndarray:
    """The one plane of a mask (row, column[, band]) whose colour bands are all equal.

    Raises:
        CaseError: `bad_mask`; the bands differ, or an alpha channel varies.
    """
    if array.ndim == 2:
        return array
    colour = without_alpha(array)
    alpha = array[..., colour.shape[-1] :]
    if (colour == colour[..., :1]).all() and (alpha == alpha[:1, :1]).all():
        return colour[..., 0]
    raise bad_file(
        "bad_mask",
        path,
        "the mask is a colour picture whose bands differ.",
        expected="one grey plane, or a palette whose indices are the classes",
        fix="export the mask as 8-bit grey: 0 is background",
    )


def _channel_first(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2:
        return array[None]
    return np.ascontiguousarray(np.moveaxis(array, -1, 0))


def _write(name: str, dtypes: tuple[str, ...], path: Path, array: np.ndarray) -> None:
    if array.dtype == bool:
        array = array.astype(np.uint8)
    n_channels = array.shape[0]
    allowed = dtypes if n_channels == 1 else ("uint8",)
    if array.ndim != 3 or n_channels not in (1, 3) or array.dtype.name not in allowed:
        raise ValueError(
            f"{name} holds (1 or 3, row, column) of {' or '.join(dtypes)} (3 channels: uint8): "
            f"got {array.dtype} of shape {array.shape}."
        )
    pixels = array[0] if n_channels == 1 else np.moveaxis(array, 0, -1)
    options = {"quality": 95, "subsampling": 0} if name == "JPEG" else {}
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, format=name, **options)


def _format(name: str, plugin: type[ImageFile], dtypes: tuple[str, ...]) -> Format:
    def write(
        path: Path,
        array: np.ndarray,
        _spacing: tuple[float, ...] | None,
        _affine: np.ndarray | None,
    ) -> None:
        _write(name, dtypes, path, array)

    read_mask: Callable[[Path, Limits], Picture] = partial(_read_mask, plugin, name)
    return Format(
        name=name,
        probe=partial(_probe, plugin, name),
        read_image=partial(_read_image, plugin, name),
        read_mask=_refuse_mask if name == "JPEG" else read_mask,
        write=write,
    )


# The plug-in classes are used directly: `Image.open` would guess the format from the content
# (EPS, for one, starts Ghostscript) and apply its own size limit, with a warning at half of it.
PNG = _format("PNG", PngImagePlugin.PngImageFile, ("uint8", "uint16"))
JPEG = _format("JPEG", JpegImagePlugin.JpegImageFile, ("uint8",))
BMP = _format("BMP", BmpImagePlugin.BmpImageFile, ("uint8",))
