"""DICOM against SimpleITK (GDCM) and pydicom's own files: values, places, series, and damage."""

import contextlib
import logging
import os
import struct
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from openjpeg.utils import encode_array
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from segclf.core.errors import CaseError
from segclf.io import DEFAULT_LIMITS, Limits, confine, probe, read_image, read_mask

CANARY = "CANARY^JANE"
SERIES, FRAME = generate_uid(), generate_uid()
AXIAL = [1.0, 0, 0, 0, 1, 0]
SAGITTAL = [0.0, 1, 0, 0, 0, -1]
TILTED = [0.98, 0.199, 0, -0.199, 0.98, 0]


def dataset(pixels, *, position=None, orientation=AXIAL, syntax=ExplicitVRLittleEndian, **fields):
    """A CT slice (or several) with a patient's name and other texts in it."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = CTImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.SeriesInstanceUID, made.FrameOfReferenceUID, made.Modality = SERIES, FRAME, "CT"
    for keyword in ("PatientName", "PatientID", "InstitutionName", "StudyDescription",
                    "SeriesDescription", "ImageComments"):  # fmt: skip
        setattr(made, keyword, CANARY)
    made.private_block(0x0011, CANARY, create=True).add_new(1, "LO", CANARY)
    made.Rows, made.Columns = pixels.shape[-2:]
    made.NumberOfFrames = pixels.shape[0] if pixels.ndim == 3 else 1
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8 * pixels.itemsize
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = pixels.tobytes()
    made.PixelSpacing, made.SliceThickness = [0.75, 0.5], 2.0
    if position is not None:
        made.ImagePositionPatient, made.ImageOrientationPatient = list(position), orientation
    made.RescaleSlope, made.RescaleIntercept = 1, 0
    for keyword, value in fields.items():
        setattr(made, keyword, value)
    return made


def saved(path, made):
    made.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def ramp():
    return (10 * np.arange(6)[:, None] + np.arange(9)[None, :]).astype(np.int16)


def series(folder, *, orientation=AXIAL, places=(0, 1, 2, 3, 4), step=2.5, shift=(0, 0, 0)):
    """Slices written in an order of names that is not that of places; values say which is which."""
    folder.mkdir(exist_ok=True)
    normal = np.cross(orientation[:3], orientation[3:])
    normal = normal / np.linalg.norm(normal)
    for name, place in enumerate(sorted(places, key=lambda k: (k * 7) % 5)):
        pixels = (100 * place + np.arange(12).reshape(3, 4)).astype(np.int16)
        position = np.array([10.0, -20, 30]) + place * (step * normal + np.array(shift))
        made = dataset(pixels, position=np.round(position, 6), orientation=orientation)
        saved(folder / f"IM{name}", made)
    return folder


def by_itk(folder):
    """GDCM's reading of the series, as a NIfTI file that segclf reads."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    sitk.WriteImage(reader.Execute(), str(folder.parent / "witness.nii"))
    return read_image(folder.parent / "witness.nii")


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, TILTED, [-1.0, 0, 0, 0, 1, 0]])
def test_a_series_lies_where_itk_puts_it(tmp_path, orientation):
    folder = series(tmp_path / "a", orientation=orientation)
    picture, witness = read_image(folder), by_itk(folder)
    np.testing.assert_array_equal(picture.array, witness.array)
    np.testing.assert_allclose(picture.affine, witness.affine, atol=1e-4)
    assert picture.spacing_mm == pytest.approx(witness.spacing_mm, abs=1e-4)
    header = probe(folder)
    assert (header.shape, header.dtype) == (picture.array.shape, picture.array.dtype)
    assert header.n_bytes == picture.array.nbytes
    np.testing.assert_array_equal(header.affine, picture.affine)
    np.testing.assert_array_equal(read_mask(folder).array, picture.array[0])


def test_a_sheared_series_keeps_the_place_of_each_pixel(tmp_path):
    """A tilted gantry moves each slice along its rows as well."""
    folder = series(tmp_path / "a", shift=(0, 0.4, 0))
    picture = read_image(folder)
    for place in (0, 4):
        index = np.argwhere(picture.array[0] == 100 * place)[0]
        expected = np.array([10.0, -20, 30]) + place * np.array([0, 0.4, 2.5])
        np.testing.assert_allclose((picture.affine @ [*index, 1])[:3], expected * [-1, -1, 1])


@pytest.mark.parametrize(
    ("places", "reason", "shown"),
    [((0, 1, 3, 4), "series_gap", "32.50 to 37.50"), ((0, 1, 1.0001, 2), "series_double", "32.50"),
     ((0, 1, 2.3, 3), "series_gap", "35.75 to 37.50")],
)  # fmt: skip
def test_a_missing_or_double_slice_is_refused_with_its_position(tmp_path, places, reason, shown):
    folder = series(tmp_path / "a", places=places)
    for reader in (probe, read_image, read_mask):
        with pytest.raises(CaseError, match=shown) as caught:
            reader(folder)
        assert caught.value.reason == reason
        assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "reason", "shown"),
    [({"SeriesInstanceUID": generate_uid()}, "mixed_series", "2 series"),
     ({"orientation": SAGITTAL}, "series_geometry", "orientations"),
     ({"PixelSpacing": [0.8, 0.5]}, "series_geometry", "pixel spacings"),
     ({"pixels": np.zeros((5, 4), np.int16)}, "series_geometry", "3 x 4, 5 x 4"),
     ({"pixels": np.zeros((2, 3, 4), np.int16)}, "mixed_series", "1 of them with several"),
     ({"position": None}, "series_geometry", "1 of 6 slices state no position"),
     ({"position": [90.0, 0, 42.5]}, "series_geometry", "one line")],
)  # fmt: skip
def test_slices_that_do_not_belong_together_are_refused(tmp_path, fields, reason, shown):
    folder = series(tmp_path / "a")
    values = {"pixels": np.zeros((3, 4), np.int16), "position": [10.0, -20, 42.5], **fields}
    saved(folder / "other", dataset(values.pop("pixels"), **values))
    for reader in (probe, read_image):
        with pytest.raises(CaseError, match=shown) as caught:
            reader(folder)
        assert caught.value.reason == reason
        assert SERIES not in str(caught.value)


def test_a_series_is_read_among_other_files_but_not_among_links_or_broken_ones(tmp_path):
    folder = series(tmp_path / "a")
    whole = read_image(folder).array
    (folder / "notes.txt").write_text("text")
    (folder / ".hidden").write_bytes(b"x")
    (folder / "sub").mkdir()
    os.mkfifo(folder / "pipe")
    np.testing.assert_array_equal(read_image(folder).array, whole)
    (folder / "broken.dcm").write_bytes(b"no DICOM")
    with pytest.raises(CaseError, match="2 of 7 files") as caught:
        read_image(folder)
    assert caught.value.reason == "unreadable"
    (folder / "broken.dcm").unlink()
    (folder / "link.dcm").symlink_to("/etc/passwd")
    with pytest.raises(CaseError, match="symbolic links") as caught:
        read_image(folder)
    assert caught.value.reason == "outside_root"


def test_a_table_may_name_the_folder_of_a_series_and_no_other(tmp_path):
    folder = series(tmp_path / "a")
    (tmp_path / "empty").mkdir()
    assert confine("a", [tmp_path]) == folder
    with pytest.raises(CaseError, match="not a regular file") as caught:
        confine("empty", [tmp_path])
    assert caught.value.reason == "not_a_file"


def test_a_series_of_one_slice_is_a_picture(tmp_path):
    folder = series(tmp_path / "a", places=(0,))
    assert read_image(folder).array.shape == (1, 3, 4)


@pytest.mark.parametrize("name", ["a", "a.dcm", "a.IMA", "1.2.840.113619.2.5"])
def test_a_file_is_known_by_its_content_whatever_its_name(tmp_path, ramp, name):
    picture = read_image(saved(tmp_path / name, dataset(ramp, position=[1, 2, 3])))
    np.testing.assert_array_equal(picture.array[0], ramp)
    assert picture.spacing_mm == (0.75, 0.5)
    np.testing.assert_allclose(picture.affine @ [2, 4, 0, 1], [-3.0, -3.5, 3, 1])


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [(1, 0, "int16"), (1, -1024, "int32"), (2.5, -10, "float32"), (1, 0.5, "float32")],
)
def test_values_are_rescaled_as_pydicom_does_it(tmp_path, ramp, slope, intercept, dtype):
    made = dataset(ramp, RescaleSlope=slope, RescaleIntercept=intercept)
    path = saved(tmp_path / "a.dcm", made)
    witness = pydicom.pixels.apply_rescale(pixel_array(path), made)
    picture = read_image(path)
    np.testing.assert_allclose(picture.array[0], witness, rtol=1e-6)
    assert picture.array.dtype == probe(path).dtype == dtype
    np.testing.assert_array_equal(read_mask(path).array, ramp)  # masks keep what is stored


def test_twelve_bits_of_hounsfield_units_fit_into_int16(tmp_path):
    stored = np.array([[0, 1024, 4095]], np.uint16)
    made = dataset(stored, BitsStored=12, HighBit=11, RescaleIntercept=-1024)
    array = read_image(saved(tmp_path / "a.dcm", made)).array
    assert array.dtype == np.int16
    assert array.tolist() == [[[-1024, 0, 3071]]]


def test_unused_high_bits_and_the_sign_are_put_right(tmp_path):
    stored = np.array([[0x0800, 0xF7FF, 0x0FFF, 5]], np.uint16)
    made = dataset(stored, BitsStored=12, HighBit=11, PixelRepresentation=1)
    assert read_image(saved(tmp_path / "a.dcm", made)).array.tolist() == [[[-2048, 2047, -1, 5]]]


def test_an_inverted_radiograph_is_turned_over_and_hounsfield_units_are_not(tmp_path):
    stored = np.array([[0, 1, 4095]], np.uint16)
    fields = {"BitsStored": 12, "HighBit": 11, "PhotometricInterpretation": "MONOCHROME1"}
    x_ray = dataset(stored, **fields, Modality="DX")
    x_ray.SOPClassUID = DigitalXRayImageStorageForPresentation
    assert read_image(saved(tmp_path / "a.dcm", x_ray)).array.tolist() == [[[4095, 4094, 0]]]
    assert read_mask(tmp_path / "a.dcm").array.tolist() == [[0, 1, 4095]]
    saved(tmp_path / "b.dcm", dataset(stored, **fields))
    assert read_image(tmp_path / "b.dcm").array.tolist() == [[[0, 1, 4095]]]


def test_a_projection_has_the_spacing_of_its_detector(tmp_path, ramp):
    made = dataset(ramp, ImagerPixelSpacing=[0.2, 0.1])
    del made.PixelSpacing
    picture = read_image(saved(tmp_path / "a.dcm", made))
    assert picture.spacing_mm == (0.2, 0.1)
    assert picture.affine is None


def packed(made, pixels, syntax):
    """`made` with its frames compressed; JPEG 2000 by OpenJPEG itself."""
    made.file_meta.TransferSyntaxUID = syntax
    if syntax == JPEG2000Lossless:
        made.PixelData = encapsulate([encode_array(pixels, bits_stored=made.BitsStored)])
        made["PixelData"].VR = "OB"
    elif syntax != ImplicitVRLittleEndian:
        made.compress(syntax, pixels, generate_instance_uid=False)
    return made


@pytest.mark.parametrize(
    "syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless, ImplicitVRLittleEndian]
)
def test_packed_pixels_are_those_that_were_packed(tmp_path, syntax):
    noise = np.random.default_rng(0).integers(0, 4096, (64, 48)).astype(np.uint16)
    made = packed(dataset(noise, BitsStored=12, HighBit=11), noise, syntax)
    path = saved(tmp_path / "a.dcm", made)
    np.testing.assert_array_equal(read_image(path).array[0], noise)
    np.testing.assert_array_equal(read_mask(path).array, noise)


LIBRARY = {
    "CT_small.dcm": (1, 128, 128), "MR_small_bigendian.dcm": (1, 64, 64),
    "MR_small_jp2klossless.dcm": (1, 64, 64), "MR_small_jpeg_ls_lossless.dcm": (1, 64, 64),
    "MR_small_RLE.dcm": (1, 64, 64), "JPEG2000.dcm": (1, 1024, 256),
    "SC_rgb_jpeg_dcmtk.dcm": (3, 100, 100), "SC_rgb_rle_2frame.dcm": (3, 100, 100, 2),
    "SC_ybr_full_422_uncompressed.dcm": (3, 100, 100), "examples_ybr_color.dcm": None,
    "SC_rgb_small_odd.dcm": (3, 3, 3), "examples_palette.dcm": None,
    "SC_rgb_jls_lossy_line.dcm": (3, 100, 100), "examples_jpeg2k.dcm": (3, 480, 640),
}  # fmt: skip


@pytest.mark.parametrize("name", LIBRARY)
def test_files_of_many_makers_are_read_as_gdcm_reads_them(name):
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom does not bring {name}")
    picture, header = read_image(path), probe(path)
    assert (header.shape, header.dtype) == (picture.array.shape, picture.array.dtype)
    assert header.spacing_mm == picture.spacing_mm
    assert LIBRARY[name] in (None, picture.array.shape)
    witness = sitk.GetArrayFromImage(sitk.ReadImage(path)).astype(float)
    array = picture.array.astype(float)
    if array.ndim == 4:
        array = array.transpose(0, 3, 2, 1)
    array = np.moveaxis(array, 0, -1) if len(array) == 3 else array[0]
    assert np.abs(array.squeeze() - witness.squeeze()).max() <= 3  # of colour conversion


@pytest.mark.skipif(find_spec("gdcm") is None, reason="python-gdcm is not installed")
def test_lossless_jpeg_is_read_with_the_extra(tmp_path):
    path = get_testdata_file("SC_rgb_jpeg_gdcm.dcm", download=False)
    witness = sitk.GetArrayFromImage(sitk.ReadImage(path))[0]
    np.testing.assert_array_equal(np.moveaxis(read_image(path).array, 0, -1), witness)


def test_lossless_jpeg_names_the_extra_that_reads_it(monkeypatch):
    path = get_testdata_file("SC_rgb_jpeg_gdcm.dcm", download=False)
    decoder = get_decoder(pydicom.dcmread(path).file_meta.TransferSyntaxUID)
    left = {name: plugin for name, plugin in decoder._available.items() if name != "gdcm"}
    monkeypatch.setattr(decoder, "_available", left)
    for reader in (probe, read_image, read_mask):
        with pytest.raises(CaseError, match="no decoder for the compression") as caught:
            reader(path)
        assert caught.value.reason == "missing_codec"
        assert "pip install 'segclf[dicom]'" in caught.value.fix


def test_a_lossy_mask_is_refused():
    path = get_testdata_file("SC_rgb_jpeg_dcmtk.dcm", download=False)
    with pytest.raises(CaseError, match="colour"):
        read_mask(path)
    path = get_testdata_file("JPEG2000.dcm", download=False)
    with pytest.raises(CaseError, match="lossy compression") as caught:
        read_mask(path)
    assert caught.value.reason == "lossy_mask"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("image_dfl.dcm", ("unreadable",)),
     ("rtplan.dcm", ("unreadable",)), ("test-SR.dcm", ("unreadable",)),
     ("no_meta.dcm", ("unreadable",)), ("dicomdirtests/DICOMDIR", ("unreadable",)),
     ("MR_truncated.dcm", ("truncated",)), ("waveform_ecg.dcm", ("unreadable",))],
)  # fmt: skip
def test_what_is_no_readable_image_is_refused(name, reason):
    path = get_testdata_file(name, download=False)
    for reader in (probe, read_image, read_mask):
        with pytest.raises(CaseError) as caught:
            reader(path)
        assert caught.value.reason in (*reason, "unknown_format")


def test_a_multi_frame_file_is_a_volume_in_the_order_of_places(tmp_path):
    pixels = np.arange(4 * 3 * 5, dtype=np.uint16).reshape(4, 3, 5)
    made = dataset(pixels)
    shared, groups = Dataset(), []
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [Dataset()], [Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = AXIAL
    shared.PixelMeasuresSequence[0].PixelSpacing = [0.75, 0.5]
    for frame, z in enumerate((6.0, 0.0, 2.0, 4.0)):
        group = Dataset()
        group.PlanePositionSequence, group.PixelValueTransformationSequence = [Dataset()], [Dataset()]  # fmt: skip  # noqa: E501
        group.PlanePositionSequence[0].ImagePositionPatient = [1, 2, z]
        group.PixelValueTransformationSequence[0].RescaleSlope = frame + 1
        group.PixelValueTransformationSequence[0].RescaleIntercept = 0
        groups.append(group)
    made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence = [shared], groups
    picture = read_image(saved(tmp_path / "a.dcm", made))
    expected = pixels * np.arange(1, 5)[:, None, None]
    expected = expected[[1, 2, 3, 0]].transpose(2, 1, 0)[::-1, ::-1]  # column and row to RAS+
    np.testing.assert_array_equal(picture.array[0], expected)
    assert picture.spacing_mm == (0.5, 0.75, 2.0)
    assert probe(tmp_path / "a.dcm").shape == picture.array.shape


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"Rows": 7}, "inconsistent_header"), ({"Columns": 90}, "inconsistent_header"),
     ({"NumberOfFrames": 3}, "inconsistent_header"), ({"Rows": 3}, "inconsistent_header"),
     ({"Rows": 60000, "Columns": 60000}, "too_large"), ({"NumberOfFrames": 99999999}, "unreadable"),
     ({"SamplesPerPixel": 2}, "unreadable"), ({"BitsStored": 99}, "unreadable"),
     ({"RescaleSlope": 0}, "unreadable"), ({"PixelSpacing": [0, 0]}, "unreadable"),
     ({"orientation": [1.0, 0, 0, 1, 0, 0]}, "unreadable")],
)  # fmt: skip
def test_a_header_that_lies_is_refused_before_memory_is_taken(tmp_path, ramp, fields, reason):
    path = saved(tmp_path / "a.dcm", dataset(ramp, position=[0, 0, 0], **fields))
    for reader in (probe, read_image):
        with pytest.raises(CaseError) as caught:
            reader(path)
        assert caught.value.reason == reason


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_a_packed_frame_of_another_size_is_refused_before_it_is_unpacked(tmp_path, syntax):
    noise = np.random.default_rng(0).integers(0, 4096, (64, 48)).astype(np.uint16)
    made = packed(dataset(noise, BitsStored=12, HighBit=11), noise, syntax)
    real, huge = struct.pack(">2H", 64, 48), struct.pack(">2H", 65535, 65535)
    if syntax == JPEG2000Lossless:
        real, huge = struct.pack(">2I", 48, 64), struct.pack(">2I", 2**30, 2**30)
    assert real in made.PixelData
    made.PixelData = made.PixelData.replace(real, huge)
    with pytest.raises(CaseError, match="compressed frame 1 has") as caught:
        read_image(saved(tmp_path / "a.dcm", made))
    assert caught.value.reason == "inconsistent_header"


def test_sizes_beyond_the_limit_are_refused(tmp_path, ramp):
    path = saved(tmp_path / "a.dcm", dataset(ramp))
    for limits in (Limits(area_px=53), Limits(n_bytes=107)):
        with pytest.raises(CaseError, match="6 x 9 pixels") as caught:
            read_image(path, limits=limits)
        assert caught.value.reason == "too_large"
    folder = series(tmp_path / "s")
    with pytest.raises(CaseError, match="4 x 3 x 5 pixels"):
        probe(folder, limits=Limits(volume_px=59))
    assert read_image(folder, limits=DEFAULT_LIMITS).array.shape == (1, 4, 3, 5)


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_cut_or_damaged_file_gives_the_whole_picture_or_a_refusal(tmp_path, is_packed):
    noise = np.random.default_rng(0).integers(0, 4096, (20, 16)).astype(np.uint16)
    made = dataset(noise, position=[1, 2, 3])
    if is_packed:
        made.compress(JPEGLSLossless, generate_instance_uid=False)
    data = saved(tmp_path / "a.dcm", made).read_bytes()
    path, rng, reasons = tmp_path / "b.dcm", np.random.default_rng(1), set()
    for percent in range(0, 100, 2):
        path.write_bytes(data[: len(data) * percent // 100])
        with pytest.raises(CaseError) as caught:
            read_image(path)
        reasons.add(caught.value.reason)
    assert reasons <= {"truncated", "unreadable", "inconsistent_header"}
    limits = Limits(area_px=10**6, volume_px=10**6, n_bytes=10**7)
    for _ in range(150):
        hurt = bytearray(data)
        for place in rng.integers(0, len(hurt), 3):
            hurt[place] = rng.integers(0, 256)
        path.write_bytes(hurt)
        with contextlib.suppress(CaseError):  # nothing else may come out
            read_image(path, limits=limits)


def test_nothing_of_a_header_reaches_an_error_a_warning_or_a_log(tmp_path, ramp, caplog, capfd):
    """Names also stand where numbers should: pydicom's own words would quote them."""
    caplog.set_level(logging.DEBUG)
    good = saved(tmp_path / "good.dcm", dataset(ramp, position=[0, 0, 0]))
    data, texts = good.read_bytes(), []
    for old in (b"0.75\\0.5", b"MONOCHROME2 ", b"1 ", b"CT"):
        new = (CANARY + " " * 20)[: len(old)].encode()
        texts.append(new.decode().strip())
        bad = tmp_path / "bad.dcm"
        bad.write_bytes(data.replace(old, new))
        for reader in (probe, read_image, read_mask):
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                try:
                    shown = repr(reader(bad))
                except CaseError as error:
                    shown = str(error)
            assert "CANA" not in shown + "".join(str(item.message) for item in warned)
    assert "CANARY^J" in texts
    shown = "".join(capfd.readouterr()) + caplog.text + repr(read_image(good)) + repr(probe(good))
    assert "CANA" not in shown


@pytest.mark.realdata
def test_every_image_of_the_samples_is_read_as_the_manifest_says():
    root = os.environ.get("SEGCLF_REALDATA")
    if root is None:
        pytest.skip("SEGCLF_REALDATA is not set")
    folder = os.path.join(root, "dicom_samples")
    lines = Path(folder, "manifest.csv").read_text().splitlines()[1:]
    assert len(lines) == 19
    for line in lines:
        path = os.path.join(folder, line.split(",")[0])
        picture, header = read_image(path), probe(path)
        assert (header.shape, header.dtype) == (picture.array.shape, picture.array.dtype)
        if ",SEG," not in line:
            witness = sitk.GetArrayFromImage(sitk.ReadImage(path)).astype(float)
            array = picture.array.astype(float)
            array = array[0] if len(array) == 1 else np.moveaxis(array, 0, -1)
            array = array.T if array.ndim == 3 and "emri" in path else array
            assert np.abs(array - witness.squeeze()).max() <= 3
