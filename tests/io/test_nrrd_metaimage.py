"""NRRD and MetaImage against SimpleITK and pynrrd, and headers made to hurt."""

import gzip
import os
import time
import zlib

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk

from segclf.core.errors import CaseError
from segclf.io import probe, read_image, read_mask, write_image, write_mask

TURNED = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0]  # columns: where x, y, z of the file run
TILTED = np.round(nib.eulerangles.euler2mat(0.2, 0.1, -0.1), 9).ravel().tolist()
SUFFIXES = [".nrrd", ".mha"]


@pytest.fixture
def volume():
    """Axes as SimpleITK has them: z, y, x."""
    return np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)


def itk_image(volume, direction=None, **kwargs):
    image = sitk.GetImageFromArray(volume, **kwargs)
    image.SetSpacing((0.5, 0.75, 3.0)[: image.GetDimension()])
    image.SetOrigin((1.0, -2.0, 7.0)[: image.GetDimension()])
    if direction:
        image.SetDirection(direction)
    return image


def by_nifti(tmp_path, image):
    """The same image read from the NIfTI file that SimpleITK writes of it."""
    sitk.WriteImage(image, str(tmp_path / "witness.nii"))
    return read_image(tmp_path / "witness.nii")


def assert_same(picture, witness):
    np.testing.assert_array_equal(picture.array, witness.array)
    np.testing.assert_allclose(picture.affine, witness.affine, atol=1e-5)
    assert picture.spacing_mm == pytest.approx(witness.spacing_mm, abs=1e-5)


@pytest.mark.parametrize("direction", [None, TURNED, TILTED])
@pytest.mark.parametrize("is_packed", [True, False])
@pytest.mark.parametrize("suffix", [*SUFFIXES, ".nhdr", ".mhd"])
def test_a_volume_of_itk_lies_where_its_nifti_lies(tmp_path, volume, direction, is_packed, suffix):
    image = itk_image(volume, direction)
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(image, str(path), useCompression=is_packed)
    picture = read_image(path)
    assert_same(picture, by_nifti(tmp_path, image))
    assert picture.array.dtype == np.int16
    header = probe(path)
    assert header.shape == picture.array.shape
    assert header.dtype == picture.array.dtype
    assert header.spacing_mm == picture.spacing_mm


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_each_type_of_voxel_keeps_its_values_both_ways(tmp_path, suffix, dtype):
    values = np.array([[[0, 1, 100], [7, 5, 127]]] * 2, dtype)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / f"a{suffix}"))
    picture = read_image(tmp_path / f"a{suffix}")
    assert picture.array.dtype == values.dtype
    np.testing.assert_array_equal(picture.array[0], values.T[::-1, ::-1])  # LPS to RAS+
    write_image(tmp_path / f"b{suffix}", picture.array, affine=picture.affine)
    back = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"b{suffix}")))
    np.testing.assert_array_equal(back[:, ::-1, ::-1], values)
    assert back.dtype == values.dtype


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_2d_file_has_its_rows_first(tmp_path, suffix):
    photograph = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = itk_image(photograph)
    sitk.WriteImage(image, str(tmp_path / f"a{suffix}"))
    picture = read_image(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(picture.array[0], photograph)
    assert picture.spacing_mm == pytest.approx((0.75, 0.5))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("n_space", [2, 3])
def test_vector_voxels_become_channels(tmp_path, suffix, n_space):
    colour = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    colour = colour if n_space == 3 else colour[0]
    sitk.WriteImage(itk_image(colour, isVector=True), str(tmp_path / f"a{suffix}"))
    array = read_image(tmp_path / f"a{suffix}").array
    expected = np.moveaxis(colour, -1, 0)
    expected = expected if n_space == 2 else expected.transpose(0, 3, 2, 1)[:, ::-1, ::-1]
    np.testing.assert_array_equal(array, expected)
    with pytest.raises(CaseError, match="3 channels") as caught:
        read_mask(tmp_path / f"a{suffix}")
    assert caught.value.reason == "bad_mask"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_fourth_axis_becomes_the_channel(tmp_path, suffix):
    series = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 3, 4, 5)
    sitk.WriteImage(sitk.GetImageFromArray(series, isVector=False), str(tmp_path / f"a{suffix}"))
    array = read_image(tmp_path / f"a{suffix}").array
    np.testing.assert_array_equal(array, series.transpose(0, 3, 2, 1)[:, ::-1, ::-1])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("direction", [None, TURNED, TILTED])
def test_a_written_file_lies_for_itk_where_it_was_read(tmp_path, volume, suffix, direction):
    image = itk_image(volume, direction)
    sitk.WriteImage(image, str(tmp_path / "in.mha"))
    picture = read_image(tmp_path / "in.mha")
    write_mask(tmp_path / f"out{suffix}", picture.array[0], affine=picture.affine)
    assert_same(read_image(tmp_path / f"out{suffix}"), picture)
    written = sitk.ReadImage(str(tmp_path / f"out{suffix}"))
    point = image.TransformIndexToPhysicalPoint((4, 1, 2))
    assert written.GetPixel(written.TransformPhysicalPointToIndex(point)) == volume[2, 1, 4]
    assert_same(by_nifti(tmp_path, written), picture)


def test_a_written_nrrd_is_read_by_pynrrd_as_x_y_z(tmp_path):
    array = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    write_image(tmp_path / "a.nrrd", array[None], spacing_mm=(1.0, 2.0, 3.0))
    back, header = nrrd.read(str(tmp_path / "a.nrrd"))
    np.testing.assert_array_equal(back, array)
    np.testing.assert_array_equal(header["space directions"], np.diag([-1.0, -2.0, 3.0]))


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr"])
@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_files_of_pynrrd_in_each_space_are_turned_to_ras(tmp_path, suffix, encoding):
    array = np.arange(60, dtype=">f4").reshape(3, 4, 5)
    signs = {"right-anterior-superior": (1, 1), "LPS": (-1, -1), "left-anterior-superior": (-1, 1)}
    for space, (x, y) in signs.items():
        header = {"space": space, "space directions": np.diag([1.0, 2.0, 3.0]), "endian": "big",
                  "space origin": [4.0, 5.0, 6.0], "encoding": encoding}  # fmt: skip
        nrrd.write(str(tmp_path / f"a{suffix}"), array, header)
        picture = read_image(tmp_path / f"a{suffix}")
        np.testing.assert_array_equal(picture.array[0], array[::x, ::y])
        index = np.argwhere(picture.array[0] == array[0, 0, 0])[0]
        np.testing.assert_allclose((picture.affine @ [*index, 1])[:3], [4 * x, 5 * y, 6])


def test_a_channel_axis_may_stand_anywhere_in_a_nrrd(tmp_path):
    array = np.arange(120, dtype=np.uint8).reshape(3, 4, 5, 2)
    directions = np.vstack([np.eye(3), np.full((1, 3), np.nan)])
    nrrd.write(str(tmp_path / "a.nrrd"), array, {"space": "RAS", "space directions": directions})
    np.testing.assert_array_equal(read_image(tmp_path / "a.nrrd").array, np.moveaxis(array, -1, 0))
    nrrd.write(str(tmp_path / "b.nrrd"), array[..., 0], {"kinds": ["domain", "domain", "list"]})
    assert read_image(tmp_path / "b.nrrd").array.shape == (5, 4, 3)  # a flat picture, y before x


def test_a_spacing_that_no_header_states_stays_unknown(tmp_path):
    nrrd.write(str(tmp_path / "a.nrrd"), np.zeros((3, 4, 5), np.uint8))
    picture = read_image(tmp_path / "a.nrrd")
    assert picture.spacing_mm is None
    assert picture.affine is None
    nrrd.write(str(tmp_path / "b.nrrd"), np.zeros((3, 4, 5), np.uint8), {"spacings": [1, 2, 3]})
    assert read_image(tmp_path / "b.nrrd").spacing_mm == (1, 2, 3)


def test_an_unknown_space_is_refused_rather_than_mirrored(tmp_path):
    nrrd.write(str(tmp_path / "a.nrrd"), np.zeros((3, 4, 5)), {"space": "scanner-xyz"})
    with pytest.raises(CaseError, match="another meaning") as caught:
        read_image(tmp_path / "a.nrrd")
    assert caught.value.reason == "bad_geometry"


NRRD_TEXT = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: {sizes}\nencoding: {encoding}\n{more}\n"
MHA_TEXT = (
    "ObjectType = Image\nNDims = 3\nCompressedData = {packed}\nElementSpacing = 1 1 1\n"
    "DimSize = {sizes}\nElementType = MET_UCHAR\nElementDataFile = {file}\n"
)


def detached(suffix, name):
    if suffix == ".mhd":
        return MHA_TEXT.format(packed=False, sizes="2 2 2", file=name)
    return NRRD_TEXT.format(sizes="2 2 2", encoding="raw", more=f"data file: {name}\n")


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../secret.raw", "sub/a.raw", "C:\\a.raw", "..", "LIST", "link.raw",
             "pipe.raw", "absent.raw", "a%03d.raw 1 2 1", "sub"]
)  # fmt: skip
def test_voxels_in_any_but_a_plain_file_beside_are_refused(tmp_path, suffix, name):
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    for path in (tmp_path / "secret.raw", folder / "sub" / "a.raw"):
        path.write_bytes(b"8 secret")
    (folder / "link.raw").symlink_to(tmp_path / "secret.raw")
    os.mkfifo(folder / "pipe.raw")
    path = folder / f"a{suffix}"
    path.write_text(detached(suffix, name))
    for reader in (probe, read_image, read_mask):
        with pytest.raises(CaseError, match="plain file beside it") as caught:
            reader(path)
        assert caught.value.reason == "detached_data"
    (folder / "good.raw").write_bytes(b"8 voxels")
    path.write_text(detached(suffix, "good.raw"))
    assert read_image(path).array.sum() == sum(b"8 voxels")


def bomb(path, sizes, data):
    """A file of packed voxels whose header declares `sizes`."""
    if path.suffix == ".mha":
        text = MHA_TEXT.format(packed=True, sizes=sizes, file="LOCAL")
        packed = zlib.compress(data)
    else:
        text = NRRD_TEXT.format(sizes=sizes, encoding="gzip", more="")
        packed = gzip.compress(data)
    path.write_bytes(text.encode() + packed)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_tiny_file_that_declares_terabytes_is_refused_at_once(tmp_path, suffix):
    path = bomb(tmp_path / f"a{suffix}", "32767 32767 32767", b"")
    start = time.perf_counter()
    for reader in (probe, read_image, read_mask):
        with pytest.raises(CaseError, match="32767 x 32767 x 32767") as caught:
            reader(path)
        assert caught.value.reason == "too_large"
    assert time.perf_counter() - start < 1.0
    with pytest.raises(CaseError, match="declares 1000000000 bytes") as caught:
        read_image(bomb(path, "1000 1000 1000", b""))
    assert caught.value.reason == "truncated"


def test_packed_voxels_are_unpacked_no_further_than_declared(tmp_path):
    """Behind 8 declared voxels lie 200 MB of zeros."""
    start = time.perf_counter()
    zeros = bytes(200_000_000)
    packing = time.perf_counter() - start
    assert read_image(bomb(tmp_path / "a.nrrd", "2 2 2", zeros)).array.sum() == 0
    path = bomb(tmp_path / "a.mha", "2 2 2", zeros)
    start = time.perf_counter()
    with pytest.raises(CaseError, match="cannot be decoded"):
        read_image(path)
    assert time.perf_counter() - start < 0.3 + packing


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "old_new",
    [("sizes: 2 2 2", "sizes: 2 2 DOE^JANE"), ("DimSize = 2 2 2", "DimSize = 2 2 DOE^JANE"),
     ("encoding: gzip", "encoding: DOE^JANE"), ("MET_UCHAR", "DOE^JANE"),
     ("type: uint8", "type: DOE^JANE"), ("dimension: 3", "dimension: 3\nspace: DOE^JANE")],
)  # fmt: skip
def test_no_error_quotes_text_of_a_header(tmp_path, suffix, old_new):
    path = bomb(tmp_path / f"a{suffix}", "2 2 2", bytes(8))
    old, new = (text.encode() for text in old_new)
    if old not in path.read_bytes():
        assert read_image(path).array.shape == (1, 2, 2, 2)
        return
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(CaseError) as caught:
        read_image(path)
    assert "DOE" not in str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_array_gives_the_same_bytes(tmp_path, suffix):
    for name in "ab":
        write_image(tmp_path / f"{name}{suffix}", np.ones((1, 3, 4, 5), np.uint8))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
