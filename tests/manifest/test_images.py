"""Folders of images and trees of studies as cases; DICOM written by pydicom."""

import math

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from segclf.core.config import make_recipe
from segclf.core.errors import CaseError, DataError
from segclf.data.cache import CaseCache
from segclf.io import confine, read_image
from segclf.io.guard import time_limit
from segclf.manifest import image_cases, read_manifest
from segclf.manifest.images import image_paths
from segclf.predict.identity import input_hash

REPORT = "1.2.840.10008.5.1.4.1.1.88.22"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"


def dicom(path, *, series="1.2.3", position=0.0, kind=CTImageStorage, n_frames=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind, generate_uid()
    dataset.SeriesInstanceUID, dataset.Modality = series, "CT"
    if kind == CTImageStorage:
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 4, 5, 1
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit, dataset.NumberOfFrames = 7, n_frames
        dataset.PixelSpacing, dataset.ImagePositionPatient = [1, 1], [0, 0, position]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.PixelData = np.full((n_frames, 4, 5), position, np.uint8).tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def tree(tmp_path):
    """Studies of a picture archive, and what else lies about."""
    for k in range(3):
        dicom(tmp_path / "p1" / "ct" / f"IM.000{k}", position=2.0 * k)
    dicom(tmp_path / "p1" / "ct" / "REPORT", kind=REPORT)
    dicom(tmp_path / "p1" / "SEG" / "seg.dcm", kind=SEG)
    dicom(tmp_path / "p2" / "scout" / "one")
    for name in ("a", "b"):
        dicom(tmp_path / "p2" / "cine" / name, n_frames=3)
    (tmp_path / "p2" / "notes.txt").write_text("x")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "p3" / ".cache").mkdir(parents=True)
    (tmp_path / "p3" / ".cache" / "x.png").write_bytes(b"")
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "p3" / "x.v2.png")
    (tmp_path / "p3" / "broken.dcm").write_bytes(b"no DICOM")
    (tmp_path / "p3" / "loop").symlink_to(tmp_path)
    return tmp_path


def test_a_tree_of_studies_has_its_series_as_volumes(tree):
    assert image_paths(tree, 3) == {
        "p1/ct": "p1/ct",
        "p2/cine/a": "p2/cine/a",
        "p2/cine/b": "p2/cine/b",
        "p2/scout/one": "p2/scout/one",
        "p3/broken": "p3/broken.dcm",
        "p3/x.v2": "p3/x.v2.png",
    }


def test_as_pictures_each_file_is_one(tree):
    paths = image_paths(tree, 2)
    assert list(paths)[:3] == ["p1/ct/IM.0000", "p1/ct/IM.0001", "p1/ct/IM.0002"]
    assert len(paths) == 8


def test_the_folder_may_be_the_series_itself(tree):
    assert image_paths(tree / "p1" / "ct", 3) == {"ct": "."}
    (case,) = image_cases(tree / "p1" / "ct", 1, spatial_dims=3)
    assert read_image(case.images[0]).array.shape == (1, 5, 4, 3)


def test_a_folder_stands_for_a_manifest_of_which_nothing_is_known(tree):
    settings = {"image": {"spatial_dims": 3}, "findings": ["x", "y"], "columns": {"image": "FILE"}}
    recipe = make_recipe(settings | {"manifest": tree.name}, where="test")
    table = read_manifest(recipe, base=tree.parent, strict=False, need_truth=False)
    assert [case.case_id for case in table.cases] == list(image_paths(tree, 3))
    assert table.cases[0].images == (tree / "p1" / "ct",)
    assert all(math.isnan(label) for case in table.cases for label in case.labels)
    assert [p for p in table.problems if p.severity == "error"] == []
    assert read_image(table.cases[0].images[0]).array[0, 0, 0].tolist() == [0, 2, 4]


def test_a_report_beside_the_slices_is_passed_over(tree):
    assert read_image(tree / "p1" / "ct").array.shape == (1, 5, 4, 3)
    for k in range(3):
        pydicom.dcmread(tree / "p1" / "ct" / f"IM.000{k}")  # the witness finds three images


def test_two_images_of_one_name_and_a_folder_without_any_are_refused(tmp_path):
    with pytest.raises(DataError, match="the folder has no image that can be read"):
        image_paths(tmp_path, 2)
    for name in ("a.png", "a.bmp"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match="the folder has two images called 'a'"):
        image_paths(tmp_path, 2)


def test_a_slice_that_changes_makes_other_predictions_and_another_cached_case(tree):
    (case,) = image_cases(tree / "p1" / "ct", 1, spatial_dims=3)
    recipe = make_recipe({"image": {"spatial_dims": 3}}, where="test")
    before = input_hash([case]), CaseCache([case], recipe, None)._made_from(case)
    assert input_hash([case]) == before[0]
    dicom(tree / "p1" / "ct" / "IM.0001", position=2.0).touch()
    after = input_hash([case]), CaseCache([case], recipe, None)._made_from(case)
    assert before[0] != after[0]
    assert before[1] != after[1]


@pytest.fixture
def dump(tmp_path):
    """What a CD of a hospital holds: all files in one folder, their names in no order."""
    folder = tmp_path / "DICOM"
    for k, place in enumerate((3, 0, 2, 1)):
        dicom(folder / f"A{k}", series="1.2.3", position=2.0 * place)
        dicom(folder / f"B{k}", series="1.2.4", position=5.0 * place)
    dicom(folder / "SCOUT", series="1.2.5", position=9.0)
    dicom(folder / "CINE", series="1.2.6", n_frames=3)
    dicom(folder / "REPORT", series="1.2.7", kind=REPORT)
    return folder


def test_several_series_in_one_folder_are_a_volume_each(dump):
    paths = image_paths(dump, 3)
    assert paths == {"A0": "A0@series", "B0": "B0@series", "CINE": "CINE", "SCOUT": "SCOUT"}
    recipe = make_recipe({"image": {"spatial_dims": 3}, "manifest": dump.name}, where="test")
    table = read_manifest(recipe, base=dump.parent, strict=False, need_truth=False)
    assert [case.case_id for case in table.cases] == list(paths)
    found = {case.case_id: read_image(case.images[0]) for case in table.cases}
    assert {name: p.array.shape for name, p in found.items()} == {
        "A0": (1, 5, 4, 4), "B0": (1, 5, 4, 4), "CINE": (1, 5, 4, 3), "SCOUT": (1, 4, 5),
    }  # fmt: skip
    for name, step, number in (("A0", 2.0, "1.2.3"), ("B0", 5.0, "1.2.4")):
        assert found[name].spacing_mm == (1, 1, step)
        witness = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(dump), number)
        volume = sitk.GetArrayFromImage(sitk.ReadImage(witness))
        assert found[name].array[0, 0, 0].tolist() == volume[:, 0, 0].tolist()
    assert len(image_paths(dump, 2)) == 10


def test_a_table_names_a_series_of_several_by_one_of_its_files(dump):
    with pytest.raises(CaseError) as caught:
        read_image(dump)
    assert caught.value.reason == "mixed_series"
    assert "A0@series (4 files), B0@series (4 files), CINE@series (1 files)" in caught.value.fix
    (dump.parent / "m.csv").write_text("image,label\nDICOM/A2@series,1\nDICOM/B1@series,0\n")
    recipe = make_recipe({"image": {"spatial_dims": 3}, "manifest": "m.csv"}, where="test")
    table = read_manifest(recipe, base=dump.parent)
    assert [case.case_id for case in table.cases] == ["A2", "B1"]
    assert [read_image(case.images[0]).spacing_mm[2] for case in table.cases] == [2.0, 5.0]
    with time_limit(60):
        assert read_image(table.cases[0].images[0]).array.shape == (1, 5, 4, 4)
    wrong = {
        "DICOM/none@series": "missing_file", "m.csv@series": "not_a_file",
        "DICOM@series": "not_a_file", "../A0@series": "outside_root",
    }  # fmt: skip
    for text, reason in wrong.items():
        with pytest.raises(CaseError) as caught:
            confine(text, [dump.parent])
        assert caught.value.reason == reason


def test_a_damaged_file_among_several_series_is_a_case_of_its_own(dump):
    (dump / "Z.dcm").write_bytes(b"cut")
    (dump / "Y").write_bytes((dump / "A0").read_bytes()[:150])
    paths = image_paths(dump, 3)
    assert {"Y", "Z"} < {*paths}
    assert read_image(dump / paths["A0"]).array.shape == (1, 5, 4, 4)


def test_a_slice_of_several_series_that_changes_makes_other_predictions(dump):
    case = image_cases(dump, 1, spatial_dims=3)[0]
    before = input_hash([case])
    assert input_hash([case]) == before
    dicom(dump / "A1", series="1.2.3", position=1.0).touch()
    assert input_hash([case]) != before


def test_a_link_that_leaves_the_folder_is_refused_wherever_folders_are_read(tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "out.png")
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "out.png")
    with pytest.raises(DataError, match="a link that leaves the data root"):
        image_cases(tmp_path / "in", 1)
    recipe = make_recipe({"manifest": "in"}, where="test")
    table = read_manifest(recipe, base=tmp_path, strict=False, need_truth=False)
    assert [problem.reason for problem in table.problems] == ["outside_root"]
