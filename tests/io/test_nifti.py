"""NIfTI against nibabel: orientation, spacing, channels, and files made to hurt."""

import gzip
import time

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import aff2axcodes

from segclf.core.errors import CaseError
from segclf.io import probe, read_image, read_mask, turn_like, write_image, write_mask


@pytest.fixture
def volume():
    return np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)


def saved(path, array, affine, **kwargs):
    image = nib.Nifti1Image(array, affine, **kwargs)
    nib.save(image, path)
    return path


LPS = np.diag([-0.5, -0.75, 3.0, 1.0])
TURNED = np.array([[0, 0, -3.0, 7], [-0.5, 0, 0, 5], [0, 0.75, 0, -2], [0, 0, 0, 1.0]])
OBLIQUE = nib.affines.from_matvec(
    np.diag([0.5, 0.75, 3.0]) @ nib.eulerangles.euler2mat(0.2, 0.1, -0.1), [1, 2, 3]
)


@pytest.mark.parametrize("affine", [np.eye(4), LPS, TURNED, OBLIQUE])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_volume_is_turned_to_ras_as_nibabel_turns_it(tmp_path, volume, affine, suffix):
    path = saved(tmp_path / f"a{suffix}", volume, affine)
    closest = nib.as_closest_canonical(nib.load(path))
    picture = read_image(path)
    np.testing.assert_array_equal(picture.array[0], np.asarray(closest.dataobj))
    np.testing.assert_allclose(picture.affine, closest.affine, atol=1e-5)
    assert picture.spacing_mm == pytest.approx(closest.header.get_zooms(), abs=1e-5)
    assert picture.array.dtype == np.int16
    header = probe(path)
    assert header.shape == picture.array.shape
    np.testing.assert_allclose(header.affine, picture.affine)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 1)])
def test_a_2d_file_becomes_rows_and_columns_as_it_is_looked_at(tmp_path, shape):
    """Written as ITK writes a photograph: x = column, y = row, both against RAS."""
    photograph = np.arange(12, dtype=np.uint8).reshape(3, 4)  # 3 rows, 4 columns
    affine = np.diag([-0.5, -2.0, 1.0, 1.0])  # columns 0.5 mm to the left, rows 2 mm to the back
    path = saved(tmp_path / "a.nii.gz", photograph.T.reshape(shape), affine)
    picture = read_image(path)
    np.testing.assert_array_equal(picture.array[0], photograph)
    assert picture.spacing_mm == pytest.approx((2.0, 0.5))
    assert aff2axcodes(picture.affine)[:2] == ("P", "L")


def test_a_single_sagittal_slice_has_its_top_row_at_the_head(tmp_path):
    stored = np.zeros((1, 4, 5), np.uint8)
    stored[0, 3, 4] = 9  # most to the front, and highest
    picture = read_image(saved(tmp_path / "a.nii", stored, np.diag([4.0, 1.0, 2.0, 1.0])))
    assert picture.array.shape == (1, 5, 4)
    assert picture.array[0, 0, 0] == 9
    assert picture.spacing_mm == pytest.approx((2.0, 1.0))


def test_the_affine_still_places_each_pixel_where_the_file_put_it(tmp_path):
    stored = np.zeros((6, 7, 8), np.uint8)
    stored[1, 2, 3] = 1
    picture = read_image(saved(tmp_path / "a.nii", stored, TURNED))
    index = np.argwhere(picture.array[0])[0]
    np.testing.assert_allclose(picture.affine @ [*index, 1], TURNED @ [1, 2, 3, 1])


@pytest.mark.parametrize("shape", [(3, 4, 5, 2), (3, 4, 5, 1, 2)])
def test_a_fourth_or_vector_axis_becomes_the_first(tmp_path, shape):
    stored = np.arange(120, dtype=np.float32).reshape(shape)
    path = saved(tmp_path / "a.nii.gz", stored, np.eye(4))
    array = read_image(path).array
    assert array.shape == (2, 3, 4, 5)
    np.testing.assert_array_equal(array[1], stored[..., 1].reshape(3, 4, 5))
    with pytest.raises(CaseError, match="2 volumes"):
        read_mask(path)


def test_metres_and_microns_become_millimetres(tmp_path, volume):
    for unit, factor in (("meter", 1000.0), ("micron", 0.001), ("mm", 1.0)):
        image = nib.Nifti1Image(volume, np.diag([2.0, 2.0, 4.0, 1.0]))
        image.header.set_xyzt_units(unit)
        nib.save(image, tmp_path / "a.nii")
        spacing = read_image(tmp_path / "a.nii").spacing_mm
        assert spacing == pytest.approx((2 * factor, 2 * factor, 4 * factor))


def test_a_stated_scaling_is_applied_as_nibabel_applies_it(tmp_path):
    values = np.array([[[-1000.25, 0.0, 3000.5]]], np.float32).repeat(2, 0).repeat(2, 1)
    image = nib.Nifti1Image(values, np.eye(4))
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "a.nii")
    loaded = nib.load(tmp_path / "a.nii")
    assert loaded.header.get_data_dtype() == np.int16
    np.testing.assert_allclose(
        read_image(tmp_path / "a.nii").array[0],
        loaded.get_fdata(),
        atol=1e-4,  # float32
    )


def test_rgb_voxels_become_three_channels(tmp_path):
    colour = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    dtype = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    path = saved(tmp_path / "a.nii", colour.copy().view(dtype)[..., 0], np.eye(4))
    np.testing.assert_array_equal(read_image(path).array, np.moveaxis(colour, -1, 0))


def test_big_endian_and_nifti2_files_are_read(tmp_path, volume):
    big = nib.Nifti1Image(volume, np.eye(4), nib.Nifti1Header(endianness=">"))
    nib.save(big, tmp_path / "big.nii")
    nib.save(nib.Nifti2Image(volume, np.eye(4)), tmp_path / "two.nii.gz")
    for name in ("big.nii", "two.nii.gz"):
        np.testing.assert_array_equal(read_image(tmp_path / name).array[0], volume)


def test_written_files_are_placed_right_for_nibabel(tmp_path):
    rows = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    write_image(tmp_path / "flat.nii.gz", rows, spacing_mm=(2.0, 0.5))
    write_image(tmp_path / "volume.nii", np.zeros((1, 3, 4, 5), np.int16), spacing_mm=(1, 2, 3))
    assert aff2axcodes(nib.load(tmp_path / "volume.nii").affine) == ("R", "A", "S")
    assert nib.load(tmp_path / "volume.nii").header.get_zooms() == (1, 2, 3)
    assert aff2axcodes(nib.load(tmp_path / "flat.nii.gz").affine)[:2] == ("P", "L")


@pytest.mark.parametrize("affine", [np.eye(4), LPS, TURNED])
def test_a_picture_keeps_its_place_through_reading_and_writing(tmp_path, volume, affine):
    picture = read_image(saved(tmp_path / "a.nii", volume, affine))
    write_mask(tmp_path / "b.nii.gz", picture.array[0] > 7, affine=picture.affine)
    again = read_mask(tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(again.array, picture.array[0] > 7)
    np.testing.assert_allclose(again.affine, picture.affine, atol=1e-5)


def test_text_of_the_header_is_not_carried_into_written_files(tmp_path, volume):
    image = nib.Nifti1Image(volume, np.eye(4))
    for field in ("descrip", "aux_file", "db_name", "intent_name"):
        image.header[field] = b"DOE^JANE"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"DOE^JANE"))
    nib.save(image, tmp_path / "a.nii")
    picture = read_image(tmp_path / "a.nii")
    write_image(tmp_path / "b.nii", picture.array, affine=picture.affine)
    assert b"DOE" in (tmp_path / "a.nii").read_bytes()
    assert b"DOE" not in (tmp_path / "b.nii").read_bytes()
    np.testing.assert_array_equal(picture.array[0], volume)  # the extension was skipped


def test_the_same_array_gives_the_same_bytes(tmp_path, volume):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_image(tmp_path / name, volume[None])
    data = (tmp_path / "a.nii.gz").read_bytes()
    assert data == (tmp_path / "b.nii.gz").read_bytes()
    assert data[4:8] == bytes(4)  # gzip's time stamp, in whole seconds


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_tiny_file_that_declares_70_tb_is_refused_at_once(tmp_path, suffix):
    header = nib.Nifti1Header()
    header.set_data_shape((32767, 32767, 32767))
    header.set_data_dtype(np.int16)
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    path = tmp_path / f"a{suffix}"
    data = header.binaryblock
    path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    start = time.perf_counter()
    for reader in (probe, read_image, read_mask):
        with pytest.raises(CaseError, match="32767 x 32767 x 32767") as caught:
            reader(path)
        assert caught.value.reason == "too_large"
    assert time.perf_counter() - start < 1.0


def test_a_file_too_small_for_its_header_is_refused_before_memory_is_taken(tmp_path):
    """1 GB declared (below the limit) in a file that could unpack to 100 kB at most."""
    header = nib.Nifti1Header()
    header.set_data_shape((1000, 1000, 1000))
    header.set_data_dtype(np.uint8)
    header["magic"] = b"n+1"
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(header.binaryblock + bytes(4)))
    with pytest.raises(CaseError, match="declares 1000000000 bytes") as caught:
        read_image(tmp_path / "a.nii.gz")
    assert caught.value.reason == "truncated"


def test_a_gzip_bomb_is_unpacked_no_further_than_declared(tmp_path):
    """Behind 60 declared voxels lie 200 MB of zeros; reading must not touch them."""
    header = nib.Nifti1Header()
    header.set_data_shape((3, 4, 5))
    header.set_data_dtype(np.uint8)
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    with gzip.open(tmp_path / "a.nii.gz", "wb", 1) as stream:
        stream.write(header.binaryblock + bytes(4))
        for _ in range(200):
            stream.write(bytes(1_000_000))
    start = time.perf_counter()
    assert read_image(tmp_path / "a.nii.gz").array.sum() == 0
    assert time.perf_counter() - start < 0.1


def test_a_singular_affine_is_refused(tmp_path, volume):
    header = nib.Nifti1Image(volume, np.eye(4)).header
    header.set_sform(np.diag([1.0, 1.0, 0.0, 1.0]), code=1)
    header["magic"] = b"n+1"
    (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(4) + volume.tobytes("F"))
    with pytest.raises(CaseError, match="a spacing is zero") as caught:
        read_image(tmp_path / "a.nii")
    assert caught.value.reason == "bad_geometry"


def test_a_mask_of_fractions_or_nan_is_refused_and_whole_floats_are_read(tmp_path):
    whole = np.zeros((3, 3, 3), np.float32)
    whole[1, 1, 1] = 2.0
    assert read_mask(saved(tmp_path / "a.nii", whole, np.eye(4))).array.dtype == np.int32
    for bad in (0.5, np.nan, np.inf):
        whole[0, 0, 0] = bad
        with pytest.raises(CaseError, match="1 values that are not whole numbers") as caught:
            read_mask(saved(tmp_path / "a.nii", whole, np.eye(4)))
        assert caught.value.reason == "bad_mask"


def test_an_array_as_stored_is_turned_as_the_file_itself(tmp_path):
    stored = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    affine = np.array([[0, -1.0, 0, 5], [0, 0, 2, 0], [-3, 0, 0, 9], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(stored, affine), tmp_path / "a.nii.gz")
    own = read_image(tmp_path / "a.nii.gz")
    turned = turn_like(tmp_path / "a.nii.gz", np.stack([stored, -stored]))
    np.testing.assert_array_equal(turned.array, np.concatenate([own.array, -own.array]))
    assert turned.spacing_mm == own.spacing_mm
    np.testing.assert_array_equal(turned.affine, own.affine)
    with pytest.raises(CaseError, match=r"\(3, 2, 4\) pixels along the stored axes") as caught:
        turn_like(tmp_path / "a.nii.gz", np.zeros((1, 3, 2, 4)))
    assert caught.value.reason == "map_size_differs"
