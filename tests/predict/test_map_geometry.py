"""Maps lie on the very grid of the image's file; nibabel and SimpleITK are witnesses."""

import warnings

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from segclf.core.records import Case, MaskSource, MaskState
from segclf.io import on_stored_grid, probe, read_image
from segclf.predict import predict_cases, predict_maps

SMALL_3D = {
    "name": "segresnet",
    "options": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
}
KINDS = [
    ("nifti", ".nii.gz", "PIR"),
    ("nifti", ".nii.gz", "LPS"),
    ("nrrd", ".nrrd", "SLA"),
    ("mha", ".mha", "PIR"),
]


def a_case(path, spacing_mm=None):
    unknown = (MaskSource(MaskState.UNKNOWN),)
    return Case("c", (path,), unknown, (1.0,), "p", spacing_mm=spacing_mm)


def voxels(*shape):
    return np.random.default_rng(0).integers(0, 200, shape).astype(np.int16)


def oblique(letters, spacing_mm, degrees=12.0):
    """A RAS+ affine whose axes run to `letters`, turned a little about z."""
    axis = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    affine = np.eye(4)
    affine[:3, :3] = 0
    for k, letter in enumerate(letters):
        row, sign = axis[letter]
        affine[row, k] = sign * spacing_mm[k]
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = 31.0, -17.5, 4.25
    return affine


def geometry(image):
    return image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection()


def same_geometry(a, b):
    assert a.GetSize() == b.GetSize()
    for one, other in zip(geometry(a)[1:], geometry(b)[1:], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize(("kind", "suffix", "letters"), KINDS)
def test_a_map_of_a_volume_has_the_header_of_its_nifti_file(
    letters, kind, suffix, a_recipe, a_model, tmp_path
):
    spacing = (0.8, 3.0, 1.25)
    path = tmp_path / "in.nii.gz"
    nib.save(nib.Nifti1Image(voxels(14, 10, 18), oblique(letters, spacing)), path)
    image = {"spatial_dims": 3, "spacing_mm": [1.0, 1.0, 2.0]}  # resampled on the way in
    recipe = a_recipe(image=image, network=SMALL_3D)
    model, case = a_model(recipe), a_case(path)
    result = predict_cases([case], model, recipe, tmp_path / "own", save_maps=kind)
    assert result.n_quarantined == 0
    made = tmp_path / f"own/maps/c/lesion{suffix}"
    same_geometry(sitk.ReadImage(str(made)), sitk.ReadImage(str(path)))
    (_, probability), *_ = predict_maps([case], model, recipe)
    np.testing.assert_allclose(read_image(made).array, probability, atol=1e-6)
    if kind == "nifti":
        written, source = nib.load(made), nib.load(path)
        assert written.shape == source.shape
        np.testing.assert_allclose(written.affine, source.affine, atol=1e-5)
        np.testing.assert_allclose(written.header.get_sform(), source.header.get_sform(), atol=1e-5)
        canonical = nib.as_closest_canonical(written).get_fdata()
        np.testing.assert_allclose(canonical, probability[0], atol=1e-6)


@pytest.mark.parametrize("flat", [0, 2])
def test_a_map_of_a_single_slice_keeps_the_axis_that_is_flat(flat, a_recipe, a_model, tmp_path):
    shape = [40, 36, 44]
    shape[flat] = 1
    path = tmp_path / "in.nii"
    nib.save(nib.Nifti1Image(voxels(*shape), oblique("LIA", (0.8, 3.0, 1.25))), path)
    recipe = a_recipe()
    predict_cases([a_case(path)], a_model(recipe), recipe, tmp_path / "own", save_maps="nifti")
    made = tmp_path / "own/maps/c/lesion.nii.gz"
    assert nib.load(made).shape == tuple(shape)
    same_geometry(sitk.ReadImage(str(made)), sitk.ReadImage(str(path)))


def test_a_map_of_a_png_lies_where_itk_puts_the_png(a_recipe, a_model, tmp_path):
    Image.fromarray(voxels(40, 56).astype(np.uint8)).save(tmp_path / "in.png")
    recipe = a_recipe()
    model = a_model(recipe)
    case = a_case(tmp_path / "in.png", spacing_mm=(0.5, 0.25))
    predict_cases([case], model, recipe, tmp_path / "own", save_maps="nifti")
    made = sitk.ReadImage(str(tmp_path / "own/maps/c/lesion.nii.gz"))
    source = sitk.ReadImage(str(tmp_path / "in.png"))
    assert made.GetSize() == (*source.GetSize(), 1) == (56, 40, 1)
    assert made.GetSpacing()[:2] == (0.25, 0.5)  # columns first
    assert made.GetOrigin() == (0, 0, 0)
    np.testing.assert_allclose(made.GetDirection(), np.eye(3).ravel(), atol=1e-6)
    (_, probability), *_ = predict_maps([case], model, recipe)
    np.testing.assert_allclose(sitk.GetArrayFromImage(made)[0], probability[0], atol=1e-6)


def ct_series(folder, orientation, n_slices=9):
    """Slices along the normal of `orientation`, written in another order than they lie."""
    folder.mkdir()
    series, study, frame = (generate_uid() for _ in range(3))
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(along_row, along_column)
    for k in range(n_slices):
        ct = Dataset()
        ct.file_meta = FileMetaDataset()
        ct.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ct.SOPClassUID, ct.SOPInstanceUID = CTImageStorage, generate_uid()
        ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.FrameOfReferenceUID = study, series, frame
        ct.Modality, ct.InstanceNumber = "CT", n_slices - k
        ct.Rows, ct.Columns, ct.SamplesPerPixel = 20, 24, 1
        ct.PhotometricInterpretation, ct.PixelRepresentation = "MONOCHROME2", 1
        ct.BitsAllocated = ct.BitsStored = 16
        ct.HighBit = 15
        ct.PixelSpacing, ct.SliceThickness = [0.75, 0.5], 2.5
        ct.ImagePositionPatient = [float(x) for x in [10, -20, 30] + 2.5 * k * normal]
        ct.ImageOrientationPatient = [float(x) for x in orientation]
        ct.PixelData = (voxels(20, 24) + k).astype(np.int16).tobytes()
        ct.save_as(folder / f"{(k * 7) % n_slices}.dcm", enforce_file_format=True)
    return folder


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (0.8, 0.6, 0, 0, 0, -1)])
def test_a_map_of_a_dicom_series_has_the_geometry_that_itk_gives_the_series(
    orientation, a_recipe, a_model, tmp_path
):
    folder = ct_series(tmp_path / "ct", orientation)
    recipe = a_recipe(image={"spatial_dims": 3}, network=SMALL_3D)
    predict_cases([a_case(folder)], a_model(recipe), recipe, tmp_path / "own", save_maps="nifti")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    made = tmp_path / "own/maps/c/lesion.nii.gz"
    same_geometry(sitk.ReadImage(str(made)), reader.Execute())
    assert nib.load(made).shape == (24, 20, 9)


def test_voxels_go_back_to_where_the_file_has_them(tmp_path):
    """The image itself, written as a map, is the file again: voxel for voxel."""
    for letters in ("PIR", "ASL", "LPS"):
        path = tmp_path / f"{letters}.nii.gz"
        nib.save(nib.Nifti1Image(voxels(5, 6, 7), oblique(letters, (0.8, 3.0, 1.25))), path)
        array, affine = on_stored_grid(read_image(path).array, probe(path))
        np.testing.assert_array_equal(array[0], np.asarray(nib.load(path).dataobj))
        np.testing.assert_allclose(affine, nib.load(path).affine, atol=1e-5)


def test_dicom_slices_go_back_to_where_itk_has_them(tmp_path):
    folder = ct_series(tmp_path / "ct", (0, 1, 0, 0, 0, -1))
    array, _ = on_stored_grid(read_image(folder).array, probe(folder))
    reader = sitk.ImageSeriesReader()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    expected = sitk.GetArrayFromImage(reader.Execute())  # (z, y, x)
    np.testing.assert_array_equal(array[0].transpose(2, 1, 0), expected)


def test_an_array_of_another_grid_is_refused(tmp_path):
    path = tmp_path / "in.nii.gz"
    nib.save(nib.Nifti1Image(voxels(5, 6, 7), np.eye(4)), path)
    with pytest.raises(ValueError, match=r"\(5, 6, 8\).*\(1, 5, 6, 7\)|shape \(5, 6, 8\)"):
        on_stored_grid(np.zeros((1, 5, 6, 8)), probe(path))


def test_an_image_that_goes_away_before_its_map_is_written_is_set_aside(
    a_recipe, a_model, some_cases, tmp_path, monkeypatch
):
    from segclf.core.errors import CaseError
    from segclf.predict import maps

    def gone(path):
        raise CaseError("missing_file", "gone.", where=path.name, expected="it", fix="put it back")

    recipe, cases = a_recipe(), some_cases(2)
    monkeypatch.setattr(maps, "probe", gone)
    folder = tmp_path / "own"
    result = predict_cases(cases, a_model(recipe), recipe, folder, save_maps="nifti")
    assert (result.n_cases, result.n_quarantined) == (0, 2)
    assert "missing_file" in (folder / "quarantine.jsonl").read_text()
