"""PNG, JPEG and BMP against Pillow and against PNG files drawn by hand."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from segclf.core.errors import CaseError
from segclf.io import probe, read_image, read_mask, write_image


def png_bytes(rows: list[bytes], *, width: int, depth: int, colour_type: int) -> bytes:
    """A PNG file from packed rows, each with filter 1 (difference to the pixel on the left)."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    bpp = max(1, samples * depth // 8)
    filtered = b"".join(
        b"\x01" + bytes((row[i] - (row[i - bpp] if i >= bpp else 0)) % 256 for i in range(len(row)))
        for row in rows
    )
    return png_file(zlib.compress(filtered), width, len(rows), depth, colour_type)


def png_file(data: bytes, width: int, height: int, depth: int, colour_type: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.fixture
def wide():
    """16-bit values that differ in both bytes."""
    return np.random.default_rng(3).integers(0, 65536, (5, 7), dtype=np.uint16)


def test_sixteen_bit_grey_keeps_its_range(tmp_path, wide):
    Image.fromarray(wide).save(tmp_path / "a.png")
    picture = read_image(tmp_path / "a.png")
    assert picture.array.dtype == np.uint16
    np.testing.assert_array_equal(picture.array[0], wide)


@pytest.mark.parametrize(("colour_type", "n_bands"), [(2, 3), (6, 4)])
def test_sixteen_bit_colour_keeps_its_range_where_pillow_alone_would_halve_it(
    tmp_path, colour_type, n_bands
):
    colour = np.random.default_rng(4).integers(0, 65536, (5, 7, n_bands), dtype=np.uint16)
    rows = [row.astype(">u2").tobytes() for row in colour]
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(rows, width=7, depth=16, colour_type=colour_type))
    with Image.open(path) as plain:
        assert np.asarray(plain).dtype == np.uint8  # the reason for our own way
    array = read_image(path).array
    np.testing.assert_array_equal(array, np.moveaxis(colour[..., :3], -1, 0))  # no alpha
    assert probe(path).dtype == np.uint16


@pytest.mark.parametrize(("depth", "values"), [(1, [0, 1]), (2, [0, 1, 2, 3]), (4, [0, 5, 15])])
def test_a_grey_mask_of_few_bits_keeps_its_stored_values(tmp_path, depth, values):
    bits = "".join(format(value, f"0{depth}b") for value in values).ljust(16, "0")
    n_bytes = -(-len(values) * depth // 8)
    rows = [int(bits, 2).to_bytes(2, "big")[:n_bytes]] * 2
    (tmp_path / "a.png").write_bytes(png_bytes(rows, width=len(values), depth=depth, colour_type=0))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png").array, [values, values])


def test_a_palette_mask_is_read_by_index_and_a_palette_image_by_colour(tmp_path):
    indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as saved:
        assert saved.mode == "P"
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png").array, indices)
    red = read_image(tmp_path / "a.png").array[0]
    np.testing.assert_array_equal(red, [[0, 255, 0], [0, 255, 0]])


def test_a_mask_saved_as_grey_rgb_counts_as_one_plane(tmp_path):
    mask = np.array([[0, 255], [255, 0]], np.uint8)
    Image.fromarray(np.stack([mask] * 3, axis=-1)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png").array, mask)


@pytest.mark.parametrize("band", [0, 3])
def test_a_mask_whose_bands_or_alpha_differ_is_refused(tmp_path, band):
    pixels = np.full((4, 4, 4), 255, np.uint8)
    pixels[1, 2, band] = 7
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(CaseError, match="bands differ") as caught:
        read_mask(tmp_path / "a.png")
    assert caught.value.reason == "bad_mask"


def test_a_png_named_jpg_is_refused_and_so_is_the_reverse(tmp_path):
    grey = Image.new("L", (4, 4))
    grey.save(tmp_path / "real.png")
    (tmp_path / "fake.jpg").write_bytes((tmp_path / "real.png").read_bytes())
    with pytest.raises(CaseError, match="a whole JPEG file"):
        read_image(tmp_path / "fake.jpg")


def test_a_decompression_bomb_is_refused_before_memory_is_taken(tmp_path):
    """20,000 x 20,000 pixels in a small file: Pillow itself would only warn."""
    squeezed = zlib.compressobj(9)
    zeros = bytes(20_001 * 1000)  # the first tenth of it; the rest would add nothing but time
    data = squeezed.compress(zeros) + squeezed.compress(zeros) + squeezed.flush()
    path = tmp_path / "bomb.png"
    path.write_bytes(png_file(data, 20_000, 20_000, 8, 0))
    assert path.stat().st_size < 500_000
    for reader in (probe, read_image, read_mask):
        with pytest.raises(CaseError, match="20000 x 20000 pixels") as caught:
            reader(path)
        assert caught.value.reason == "too_large"


def test_sixteen_bit_grey_with_alpha_is_refused_since_its_range_would_be_lost(tmp_path):
    rows = [bytes(4 * 3)] * 2
    (tmp_path / "a.png").write_bytes(png_bytes(rows, width=3, depth=16, colour_type=4))
    with pytest.raises(CaseError, match="LA;16B"):
        read_image(tmp_path / "a.png")


def test_png_is_not_written_from_floating_point(tmp_path):
    with pytest.raises(ValueError, match=r"uint8 or uint16.*got float32"):
        write_image(tmp_path / "a.png", np.zeros((1, 3, 3), np.float32))


def test_a_sixteen_bit_map_is_written_for_any_reader(tmp_path, wide):
    write_image(tmp_path / "a.png", wide[None])
    with Image.open(tmp_path / "a.png") as plain:
        np.testing.assert_array_equal(np.asarray(plain), wide)


def test_a_lack_of_memory_is_a_size_problem_of_that_file(tmp_path, monkeypatch):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")

    def refuse(_picture):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", refuse)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", refuse)
    with pytest.raises(CaseError, match="does not fit into memory") as caught:
        read_image(tmp_path / "a.png")
    assert caught.value.reason == "too_large"
