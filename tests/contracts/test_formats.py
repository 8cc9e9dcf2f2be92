"""What every file format of the table promises; list a format and it is tested."""

import numpy as np
import pytest

from segclf.core.errors import CaseError
from segclf.io import FORMATS, Limits, probe, read_image, read_mask, write_image, write_mask

READ_ONLY = {".nhdr", ".mhd", ".dcm", ".dicom", ".ima"}
SUFFIXES = sorted({*FORMATS} - READ_ONLY)
LOSSY = {".jpg", ".jpeg"}
WITH_SPACING = {".nii", ".nii.gz", ".npz", ".nrrd", ".mha", ".tif", ".tiff"}
THREE_DIMENSIONAL = {*WITH_SPACING, ".npy"}
ONE_OR_THREE_CHANNELS = {".tif", ".tiff"}


@pytest.fixture
def ramp():
    """Rows count in tens and columns in ones, so that an axis mistake shows."""
    return (10 * np.arange(6)[:, None] + np.arange(9)[None, :]).astype(np.uint8)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_image_comes_back_with_channel_row_column(tmp_path, ramp, suffix):
    path = tmp_path / f"ramp{suffix}"
    write_image(path, ramp[None])
    picture = read_image(path)
    assert picture.array.shape == (1, 6, 9)
    assert picture.array.dtype == np.uint8
    if suffix in LOSSY:
        assert np.abs(picture.array[0].astype(int) - ramp).max() <= 3
    else:
        np.testing.assert_array_equal(picture.array[0], ramp)


@pytest.mark.parametrize("suffix", sorted({*SUFFIXES} - {".nii", ".nii.gz"}))
def test_colour_comes_back_channel_first(tmp_path, ramp, suffix):
    path = tmp_path / f"colour{suffix}"
    write_image(path, np.stack([ramp, ramp // 2, 255 - ramp]))
    array = read_image(path).array
    assert array.shape == (3, 6, 9)
    tolerance = 12 if suffix in LOSSY else 0
    assert np.abs(array[0].astype(int) - ramp).max() <= tolerance
    assert np.abs(array[2].astype(int) - (255 - ramp)).max() <= tolerance


@pytest.mark.parametrize("suffix", sorted(THREE_DIMENSIONAL))
def test_a_volume_comes_back_as_x_y_z_with_channels_first(tmp_path, suffix):
    path = tmp_path / f"volume{suffix}"
    n_channels, dtype = (3, np.uint8) if suffix in ONE_OR_THREE_CHANNELS else (2, np.int16)
    volume = np.arange(n_channels * 5 * 6 * 7).astype(dtype).reshape(n_channels, 5, 6, 7)
    write_image(path, volume)
    np.testing.assert_array_equal(read_image(path).array, volume)
    assert probe(path).shape == (n_channels, 5, 6, 7)


@pytest.mark.parametrize("suffix", sorted({*SUFFIXES} - LOSSY))
def test_a_mask_comes_back_as_the_same_integers(tmp_path, suffix):
    path = tmp_path / f"mask{suffix}"
    mask = np.zeros((6, 9), np.uint8)
    mask[1:3, 4:8] = 255
    mask[4, 0] = 2
    write_mask(path, mask)
    picture = read_mask(path)
    np.testing.assert_array_equal(picture.array, mask)
    assert picture.array.dtype.kind in "ui"


@pytest.mark.parametrize("suffix", sorted(LOSSY))
def test_a_lossy_mask_is_refused_both_ways(tmp_path, ramp, suffix):
    with pytest.raises(ValueError, match="never as JPEG"):
        write_mask(tmp_path / f"mask{suffix}", ramp)
    write_image(tmp_path / f"image{suffix}", ramp[None])
    with pytest.raises(CaseError, match="JPEG, which changes pixel values") as caught:
        read_mask(tmp_path / f"image{suffix}")
    assert caught.value.reason == "lossy_mask"


@pytest.mark.parametrize("suffix", sorted(WITH_SPACING))
def test_spacing_comes_back_in_array_order(tmp_path, ramp, suffix):
    path = tmp_path / f"flat{suffix}"
    write_image(path, ramp[None], spacing_mm=(0.5, 2.0))
    assert read_image(path).spacing_mm == pytest.approx((0.5, 2.0))
    volume = np.zeros((1, 3, 4, 5), np.uint8)
    write_image(path, volume, spacing_mm=(0.5, 2.0, 5.0))
    assert read_image(path).spacing_mm == pytest.approx((0.5, 2.0, 5.0))
    assert probe(path).spacing_mm == pytest.approx((0.5, 2.0, 5.0))


@pytest.mark.parametrize("suffix", sorted({*SUFFIXES} - WITH_SPACING))
def test_a_format_without_spacing_says_none(tmp_path, ramp, suffix):
    path = tmp_path / f"ramp{suffix}"
    write_image(path, ramp[None])
    picture = read_image(path)
    assert picture.spacing_mm is None
    assert picture.affine is None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_header_agrees_with_the_pixels(tmp_path, ramp, suffix):
    path = tmp_path / f"ramp{suffix}"
    write_image(path, ramp[None])
    header, picture = probe(path), read_image(path)
    assert header.shape == picture.array.shape
    assert header.dtype == picture.array.dtype
    assert header.n_bytes == picture.array.nbytes
    assert header.spacing_mm == picture.spacing_mm


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_cut_file_gives_the_whole_picture_or_a_refusal(tmp_path, suffix):
    path = tmp_path / f"whole{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (1, 40, 30), dtype=np.uint8)
    write_image(path, noise)
    whole, data = read_image(path).array, path.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    refusals = []
    for n_bytes in sorted({len(data) * percent // 100 for percent in range(100)}):
        cut.write_bytes(data[:n_bytes])
        try:
            picture = read_image(cut)
        except CaseError as error:
            refusals.append(error)
        else:
            np.testing.assert_array_equal(picture.array, whole)
    assert len(refusals) >= 95
    assert {error.reason for error in refusals} <= {"truncated", "unreadable"}
    assert {error.where for error in refusals} == {f"cut{suffix}"}


@pytest.mark.parametrize("suffix", sorted(FORMATS))
@pytest.mark.parametrize("reader", [read_image, read_mask, probe])
def test_a_file_of_something_else_is_refused_with_a_reason(tmp_path, suffix, reader):
    path = tmp_path / f"other{suffix}"
    path.write_bytes(b"%PDF-1.7 this is not a picture at all" * 40)
    with pytest.raises(CaseError) as caught:
        reader(path)
    assert caught.value.reason in ("unreadable", "truncated", "lossy_mask")
    assert f"other{suffix}" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("limits", [Limits(area_px=53), Limits(n_bytes=53)])
def test_a_picture_beyond_the_limit_is_refused(tmp_path, ramp, suffix, limits):
    path = tmp_path / f"ramp{suffix}"
    write_image(path, ramp[None])
    with pytest.raises(CaseError, match="6 x 9 pixels") as caught:
        read_image(path, limits=limits)
    assert caught.value.reason == "too_large"
    assert read_image(path, limits=Limits(area_px=54, n_bytes=54)).array.shape == (1, 6, 9)


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_what_a_format_cannot_hold_is_refused_and_leaves_no_file(tmp_path, suffix):
    with pytest.raises(ValueError, match="complex128"):
        write_image(tmp_path / f"a{suffix}", np.zeros((1, 4, 4), complex))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", sorted(READ_ONLY))
def test_a_format_that_is_only_read_writes_nothing(tmp_path, ramp, suffix):
    with pytest.raises(ValueError, match=r"is written as|is not written"):
        write_image(tmp_path / f"a{suffix}", ramp[None])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_random_damage_never_escapes_as_another_error(tmp_path, suffix):
    path = tmp_path / f"whole{suffix}"
    write_image(path, np.arange(300, dtype=np.uint8).reshape(1, 20, 15))
    data = path.read_bytes()
    rng = np.random.default_rng(1)
    reasons = set()
    for _ in range(150):
        hurt = bytearray(data)
        for place in rng.integers(0, len(hurt), 3):
            hurt[place] = rng.integers(0, 256)
        path.write_bytes(hurt)
        for reader in (read_image, read_mask):
            try:
                reader(path, limits=Limits(area_px=10**6, volume_px=10**6, n_bytes=10**7))
            except CaseError as error:
                reasons.add(error.reason)
    assert reasons  # some damage is seen, and nothing but a CaseError came out
