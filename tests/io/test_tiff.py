"""TIFF against Pillow's and tifffile's own writers."""

import json
import struct
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

from segclf.core.errors import CaseError
from segclf.io import Limits, probe, read_image, read_mask, read_soft_mask, write_image


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


@pytest.fixture
def stack():
    """(slice, row, column), no two voxels alike."""
    return np.random.default_rng(8).permutation(3 * 5 * 7).reshape(3, 5, 7).astype(np.uint16)


@pytest.mark.parametrize("compression", [None, "zlib", "tiff_lzw"])
def test_pages_are_the_slices_of_a_volume(tmp_path, stack, compression):
    path = tmp_path / "a.tif"
    if compression == "tiff_lzw":  # tifffile has no LZW encoder here
        first, *others = (Image.fromarray(plane) for plane in stack)
        first.save(path, save_all=True, append_images=others, compression=compression)
    else:
        tifffile.imwrite(path, stack, photometric="minisblack", compression=compression)
    for read in (read_image(path).array[0], read_mask(path).array):
        np.testing.assert_array_equal(read, stack.transpose(2, 1, 0))
        assert read.dtype == np.uint16
    header = probe(path)
    assert (header.shape, header.n_bytes) == ((1, 7, 5, 3), stack.nbytes)
    assert header.spacing_mm is None


@pytest.mark.parametrize(
    ("image", "beside"),
    [("a_0000.tif", "a.json"), ("a.tif", "a.json"), ("a_0000.tif", "a_0000.json")],
)
def test_the_spacing_beside_a_volume_is_read_as_nnunet_has_it(tmp_path, stack, image, beside):
    """Source: nnU-Net, nnunetv2/imageio/tif_reader_writer.py: `{"spacing": …}`, a number for each
    axis of the array that tifffile reads, in a file without the channel number."""
    tifffile.imwrite(tmp_path / image, stack, photometric="minisblack")
    (tmp_path / beside).write_text('{"spacing": [5.0, 0.75, 0.5]}')
    assert read_image(tmp_path / image).spacing_mm == (0.5, 0.75, 5.0)
    assert probe(tmp_path / image).spacing_mm == (0.5, 0.75, 5.0)
    tifffile.imwrite(tmp_path / image, stack[0])
    assert read_mask(tmp_path / image).spacing_mm == (0.75, 0.5)


def test_a_written_volume_is_one_for_tifffile_with_its_spacing_beside(tmp_path, stack):
    path = tmp_path / "a.tif"
    write_image(path, stack.transpose(2, 1, 0)[None], spacing_mm=(0.5, 0.75, 5.0))
    np.testing.assert_array_equal(tifffile.imread(path), stack)
    assert json.loads((tmp_path / "a.json").read_text()) == {"spacing": [5.0, 0.75, 0.5]}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.tif"]
    write_image(path, stack.transpose(2, 1, 0)[None])
    assert read_image(path).spacing_mm is None  # the old one is not left for another volume


def test_a_json_file_of_something_else_is_neither_read_nor_overwritten(tmp_path, stack):
    (tmp_path / "a.json").write_text('{"patient": "x"}')
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    assert read_image(tmp_path / "a.tif").spacing_mm is None
    with pytest.raises(ValueError, match=r"'a.json' holds no spacing, and is not overwritten"):
        write_image(tmp_path / "a.tif", stack[None].copy(), spacing_mm=(1.0, 1.0, 1.0))
    assert (tmp_path / "a.json").read_text() == '{"patient": "x"}'


@pytest.mark.parametrize("spacing", ["[1, 2, -3]", "[1]", '"1 1 1"', "[1, NaN, 2]", "[true, 1, 1]"])
def test_an_impossible_spacing_beside_is_refused(tmp_path, stack, spacing):
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    (tmp_path / "a.json").write_text(f'{{"spacing": {spacing}}}')
    with pytest.raises(CaseError, match=r"a\.json states no spacing of 2 or 3 positive") as caught:
        probe(tmp_path / "a.tif")
    assert caught.value.reason == "bad_geometry"


@pytest.mark.parametrize("order", ["ZCYX", "CZYX", "ZYX", "CYX", "YX"])
def test_ome_files_have_their_channels_slices_and_spacing(tmp_path, order):
    """tifffile writes `order` as DimensionOrder; sizes are in micrometres."""
    sizes = dict(zip("CZYX", (2, 3, 5, 7), strict=True))
    shape = tuple(sizes[axis] for axis in order)
    data = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    metadata = {"axes": order, "PhysicalSizeX": 500.0, "PhysicalSizeY": 0.75}
    metadata |= {"PhysicalSizeYUnit": "mm", "PhysicalSizeZ": 5000.0}
    tifffile.imwrite(
        tmp_path / "a.tif", data, metadata=metadata, ome=True, photometric="minisblack"
    )
    picture = read_image(tmp_path / "a.tif")
    axes = [order.index(axis) for axis in ("CXYZ" if "Z" in order else "CYX") if axis in order]
    expected = data.transpose(axes)
    np.testing.assert_array_equal(picture.array, expected if "C" in order else expected[None])
    spacing_mm = (0.5, 0.75, 5.0) if "Z" in order else (0.75, 0.5)
    assert picture.spacing_mm == pytest.approx(spacing_mm)
    assert probe(tmp_path / "a.tif").shape == picture.array.shape


def test_hyperstacks_of_imagej_have_channels_before_slices(tmp_path):
    data = np.arange(3 * 2 * 5 * 7, dtype=np.uint16).reshape(3, 2, 5, 7)
    metadata = {"axes": "ZCYX", "unit": "mm", "spacing": 5.0}
    tifffile.imwrite(
        tmp_path / "a.tif", data, imagej=True, metadata=metadata, resolution=(2.0, 4.0)
    )
    picture = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.array, data.transpose(1, 3, 2, 0))
    assert picture.spacing_mm == pytest.approx((0.5, 0.25, 5.0))


def test_a_volume_of_colour_has_three_channels(tmp_path):
    data = np.random.default_rng(2).integers(0, 256, (4, 5, 7, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb")
    picture = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.array, data.transpose(3, 2, 1, 0))
    write_image(tmp_path / "b.tif", picture.array)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), data)


@pytest.mark.parametrize(("n_samples", "extra", "n_channels"), [(4, 0, 4), (2, 0, 2), (2, 2, 1)])
def test_only_an_alpha_channel_is_left_out(tmp_path, n_samples, extra, n_channels):
    data = np.random.default_rng(2).integers(0, 256, (5, 7, n_samples), dtype=np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", data, photometric="minisblack", planarconfig="contig",
        extrasamples=[extra] * (n_samples - 1),
    )  # fmt: skip
    array = read_image(tmp_path / "a.tif").array
    np.testing.assert_array_equal(array, np.moveaxis(data[..., :n_channels], -1, 0))


def test_frames_of_time_and_pages_of_other_sizes_are_refused(tmp_path):
    data = np.zeros((3, 2, 5, 7), np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", data, metadata={"axes": "TZYX"}, ome=True, photometric="minisblack"
    )
    with pytest.raises(CaseError, match="6 pages; it states 3 times, 2 slices and 1 channels"):
        probe(tmp_path / "a.tif")
    first, other = Image.new("L", (9, 8)), Image.new("L", (4, 4))
    first.save(tmp_path / "b.tif", save_all=True, append_images=[other])
    with pytest.raises(CaseError, match="pages of the TIFF file have different sizes"):
        read_image(tmp_path / "b.tif")


def test_ome_that_names_other_files_is_not_followed(tmp_path):
    """A page here, the other in a file that the metadata name: refused, and never opened."""
    data = np.zeros((2, 5, 7), np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", data, metadata={"axes": "ZYX"}, ome=True, photometric="minisblack"
    )
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        text = tiff.pages[0].description
    tifffile.imwrite(tmp_path / "b.tif", data[0], description=text.encode(), metadata=None)
    with pytest.raises(CaseError, match="1 pages; it states 1 times, 2 slices"):
        read_image(tmp_path / "b.tif")


def test_a_volume_beyond_the_limit_or_of_too_few_bytes_is_refused(tmp_path, stack):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, photometric="minisblack")
    with pytest.raises(CaseError, match="7 x 5 x 3 pixels") as caught:
        read_image(path, limits=Limits(volume_px=104))
    assert caught.value.reason == "too_large"
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8), compression="zlib")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            place = tiff.pages[0].tags[name].valueoffset
            data[place : place + 4] = (11_000).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(CaseError, match="the picture needs 121000000 bytes") as caught:
        read_image(path)
    assert caught.value.reason == "truncated"


def test_pages_that_lead_back_to_the_first_are_refused(tmp_path, stack):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, photometric="minisblack")
    with tifffile.TiffFile(path) as tiff:
        first, last = tiff.pages[0].offset, tiff.pages[-1].offset
        n_tags = len(tiff.pages[-1].tags)
    data = bytearray(path.read_bytes())
    place = last + 2 + 12 * n_tags
    assert data[place : place + 4] == bytes(4)  # no page follows the last
    data[place : place + 4] = first.to_bytes(4, "little")
    path.write_bytes(data)
    for reader in (probe, read_image, read_mask):
        with pytest.raises(CaseError, match="list of pages leads back to itself") as caught:
            reader(path)
        assert caught.value.reason == "unreadable"


def test_nothing_of_a_damaged_header_is_logged(tmp_path, stack, caplog, capfd):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, photometric="minisblack", description="CANARY" * 9, metadata=None)
    data, rng = path.read_bytes(), np.random.default_rng(4)
    for _ in range(300):
        hurt = bytearray(data)
        for place in rng.integers(0, len(hurt), 4):
            hurt[place] = rng.integers(0, 256)
        path.write_bytes(hurt)
        try:
            shown = repr(probe(path))
        except CaseError as error:
            shown = str(error)
        assert "CANAR" not in shown
    assert caplog.text == "".join(capfd.readouterr()) == ""


def test_probabilities_of_a_volume_are_a_soft_mask(tmp_path):
    soft = np.random.default_rng(1).random((3, 5, 7), dtype=np.float32)
    tifffile.imwrite(tmp_path / "a.tif", soft, photometric="minisblack")
    np.testing.assert_array_equal(read_soft_mask(tmp_path / "a.tif").array, soft.transpose(2, 1, 0))


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
