"""TIFF against Pillow's and tifffile's own writers."""

import struct
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

from segclf.core.errors import CaseError
from segclf.io import probe, read_image, read_mask


@pytest.fixture
def wide():
    return np.random.default_rng(3).integers(0, 65536, (5, 7), dtype=np.uint16)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_of_every_common_compression_keeps_its_range(tmp_path, wide, compression, dtype):
    pixels = wide.astype(dtype)
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression=compression)
    picture = read_image(tmp_path / "a.tif")
    assert picture.array.dtype == dtype
    np.testing.assert_array_equal(picture.array[0], pixels)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colour_is_channel_first_however_it_is_stored(tmp_path, planar, dtype):
    colour = np.random.default_rng(5).integers(0, np.iinfo(dtype).max, (3, 5, 7), dtype=dtype)
    stored = colour if planar == "separate" else np.moveaxis(colour, 0, -1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array, colour)


def test_lzw_colour_of_sixteen_bits_keeps_both_bytes(tmp_path, monkeypatch):
    """No LZW encoder for it is at hand, so a deflated file takes the same way to libtiff."""
    colour = np.random.default_rng(6).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", colour, photometric="rgb", compression="zlib")
    monkeypatch.setattr("segclf.io.tiff.PILLOW_CODECS", (8,))
    array = read_image(tmp_path / "a.tif").array
    np.testing.assert_array_equal(array, np.moveaxis(colour, -1, 0))


def test_a_mask_under_a_palette_is_read_by_index(tmp_path):
    indices = np.array([[0, 1], [2, 1]], np.uint8)
    colours = np.zeros((3, 256), np.uint16)
    colours[0, 1] = 65535
    tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=colours)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.tif").array, indices)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array[0], [[0, 255], [0, 255]])


def test_white_is_zero_is_turned_over(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.array([[0, 255, 200]], np.uint8), photometric="miniswhite"
    )
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array[0], [[255, 0, 55]])


def test_float_and_signed_pixels_stay_what_they_are(tmp_path):
    for pixels in (np.array([[-1.5, np.nan]], np.float32), np.array([[-1000, 3000]], np.int16)):
        tifffile.imwrite(tmp_path / "a.tif", pixels)
        picture = read_image(tmp_path / "a.tif")
        assert picture.array.dtype == pixels.dtype
        np.testing.assert_array_equal(picture.array[0], pixels)


def test_a_mask_under_jpeg_compression_is_refused(tmp_path):
    Image.new("L", (16, 16), 200).save(tmp_path / "a.tif", compression="jpeg")
    assert read_image(tmp_path / "a.tif").array.shape == (1, 16, 16)
    with pytest.raises(CaseError, match="JPEG compression") as caught:
        read_mask(tmp_path / "a.tif")
    assert caught.value.reason == "lossy_mask"


def test_several_pages_are_refused_with_the_count(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 8, 9), np.uint8), photometric="minisblack")
    with pytest.raises(CaseError, match="holds 4 pages"):
        probe(tmp_path / "a.tif")


def test_a_tile_larger_than_the_limit_is_refused(tmp_path):
    """The picture is small, but decoding it would take memory for one whole tile."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((16, 16), np.uint8), tile=(16, 16))
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        place = tiff.pages[0].tags["TileWidth"].valueoffset
    data[place : place + 4] = (2**31).to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(CaseError) as caught:
        read_image(tmp_path / "a.tif")
    assert caught.value.reason in ("too_large", "unreadable")


def test_a_tiny_file_that_declares_a_million_strips_is_refused_at_once(tmp_path):
    """Found by fuzzing: 264 bytes kept a decoder busy for minutes, strip by strip."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((6, 8), np.uint8), rowsperstrip=6, metadata=None)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        entry = tiff.pages[0].tags["ImageLength"].offset
    struct.pack_into("<HII", data, entry + 2, 4, 1, 6 * 1_400_000)  # one number of 32 bits
    path.write_bytes(data)
    for read in (probe, read_image, read_mask):
        began = time.monotonic()
        with pytest.raises(CaseError, match="in 1400000 strips or tiles") as found:
            read(path)
        assert time.monotonic() - began < 5
        assert found.value.reason == "truncated"


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiny_file_without_the_bytes_of_its_picture_is_refused(tmp_path, compression):
    """Found by fuzzing: 195 bytes without any pixel became 300 MB of zeros."""
    path = tmp_path / "a.tif"
    pixels = np.zeros((6, 8), np.uint8)
    tifffile.imwrite(path, pixels, rowsperstrip=6, metadata=None, compression=compression)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        tags = tiff.pages[0].tags
        for name in ("ImageLength", "RowsPerStrip"):
            struct.pack_into("<HII", data, tags[name].offset + 2, 4, 1, 10_000_000)
    path.write_bytes(data)
    for read in (probe, read_image, read_mask):
        with pytest.raises(CaseError, match="needs 80000000 bytes") as found:
            read(path)
        assert found.value.reason == "truncated"
