"""Trees as a hospital exports them: DICOM series in any folder, masks beside them."""

import highdicom as hd
import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
from highdicom.sr.coding import CodedConcept
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from segclf import pipeline
from segclf.core.config import load_recipe
from segclf.core.records import MaskState
from segclf.core.statstable import read_statistics
from segclf.data import read_truth
from segclf.experiment import new_experiment
from segclf.importers import Options, import_data
from segclf.io import probe
from segclf.manifest import check_manifest, read_manifest
from segclf.stages import predicted_folders

TISSUE = CodedConcept("85756007", "SCT", "Tissue")
REPORT = "1.2.840.10008.5.1.4.1.1.88.11"
TINY = (
    "train.steps=2", "train.batch_size=2", "train.validate_every=2", "train.warmup_steps=1",
    "train.checkpoint_every=2", "train.precision=fp32", "network.name=monai_unet",
    "split.fractions=[0.34,0.33,0.33]",
    "network.options={channels: [8, 8], strides: [2], num_res_units: 0}",
)  # fmt: skip
N_SLICES, SIDE = 6, 16
AFFINE = np.diag([-1.0, -1, 2, 1])
"""Of NIfTI over the series below: DICOM's x and y run the other way, slices lie 2 mm apart."""


def slice_of(pixels, series, k, patient, kind=CTImageStorage):
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = kind
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.SeriesInstanceUID, made.StudyInstanceUID = series, f"{series[:50]}.1"
    made.FrameOfReferenceUID, made.Modality = f"{series[:50]}.2", "CT"
    made.PatientName, made.PatientID = "CANARY^JANE", patient
    made.PatientBirthDate = made.PatientSex = made.StudyDate = made.StudyTime = ""
    made.AccessionNumber = made.StudyID = ""
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelRepresentation = 15, 1
    made.PixelSpacing, made.ImageOrientationPatient = [1.0, 1.0], [1, 0, 0, 0, 1, 0]
    made.ImagePositionPatient, made.SliceThickness = [0.0, 0.0, 2.0 * k], 2.0
    made.InstanceNumber = k + 1
    made.PixelData = pixels.astype(np.int16).tobytes()
    return made


def save_series(folder, seed, patient, *, name="IM{:04d}", first=1, n=N_SLICES, series=None):
    """A series of (row, column) slices; returns its datasets."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = np.random.default_rng(seed).integers(0, 200, (n, SIDE, SIDE))
    uid = series or generate_uid()
    made = [slice_of(stored[k], uid, k, patient) for k in range(n)]
    for k, dataset in enumerate(made):
        dataset.save_as(folder / name.format(first + k), enforce_file_format=True)
    return made


def drawn(k):
    """(slice, row, column): a box in the slices 2 and 3."""
    mask = np.zeros((N_SLICES, SIDE, SIDE), np.uint8)
    mask[2:4, 4:9, 3 + k % 3 : 10] = 1
    return mask


def save_seg(path, sources, mask):
    about = hd.seg.SegmentDescription(
        1, "CANARY segment", TISSUE, TISSUE, hd.seg.SegmentAlgorithmTypeValues.MANUAL
    )
    seg = hd.seg.Segmentation(
        sources, mask, hd.seg.SegmentationTypeValues.BINARY, [about], generate_uid(), 99,
        generate_uid(), 1, "maker", "model", "1", "1", omit_empty_frames=True,
    )  # fmt: skip
    seg.save_as(path)


def save_nifti(path, mask):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(mask.transpose(2, 1, 0), AFFINE), path)


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


@pytest.fixture
def hospital(tmp_path):
    """Folders of patients: a CT, a localizer and a report in one folder, masks of two kinds."""
    for k in range(12):
        folder = tmp_path / "export" / f"Pat-{k:02d}" / "study1"
        made = save_series(folder, k, f"CANARY{k}")
        save_series(folder, 50 + k, f"CANARY{k}", first=101, n=1)
        report = slice_of(np.zeros((2, 2)), generate_uid(), 0, f"CANARY{k}", REPORT)
        report.save_as(folder / "SR0001", enforce_file_format=True)
        (folder / "notes.txt").write_text("CANARY")
        if k % 4 == 0:
            save_seg(folder / "SE0001", made, drawn(k))
        else:
            save_nifti(folder.parent / "masks" / "ct_seg.nii.gz", drawn(k) * (k % 2 == 0))
    return tmp_path / "export"


def test_a_hospitals_tree_is_imported_as_it_is_checked_trained_and_predicted(
    hospital, tmp_path, monkeypatch
):
    result = import_data("folder", hospital, tmp_path / "here" / "manifest.csv")
    assert result["n_cases"] == result["n_patients"] == 12
    assert result["findings"]["target"] == {
        "labels": {"positive": 6, "negative": 6, "unknown": 0},
        "masks": {"drawn": 12, "empty": 0, "unknown": 0},
    }
    left = {each["where"]: each["reason"] for each in result["left_out"]}
    assert left == {
        **{f"Pat-{k:02d}/study1/SR0001": "no_image" for k in range(12)},
        **{f"Pat-{k:02d}/study1/IM0101": "dimensions" for k in range(12)},
    }
    for path in (tmp_path / "here").rglob("*"):
        if path.is_file():
            assert b"CANARY" not in path.read_bytes()
    recipe_path = tmp_path / "here" / "manifest.yaml"
    table = read_manifest(load_recipe(recipe_path), base=recipe_path.parent)
    assert [case.patient_id for case in table.cases] == [f"Pat-{k:02d}" for k in range(12)]
    for k, case in enumerate(table.cases):
        header = probe(case.images[0])
        (truth,) = read_truth(
            case, header.shape[1:], spacing_mm=header.spacing_mm, affine=header.affine
        )
        # by hand: NIfTI axes x, y, z; the image is turned to RAS+, which flips x and y
        by_hand = drawn(k) * (k % 2 == 0)
        assert truth is not None
        np.testing.assert_array_equal(truth, by_hand.transpose(2, 1, 0)[::-1, ::-1])
    report = check_manifest(table, workers=1)
    assert [p for p in report.problems if p.severity == "error"] == []
    monkeypatch.chdir(tmp_path)
    exp = new_experiment(recipe_path, None, None, TINY)
    pipeline.train_seg(exp, lambda _event: None)
    statistics = read_statistics(predicted_folders(exp))
    test = set(exp.split.loc[exp.split["split"] == "test", "case_id"])
    assert test
    assert test <= set(statistics.frame["case_id"])
    assert not list(exp.run.path.rglob("quarantine.jsonl"))


def manifest_of(result, folder):
    assert result["kind"] == "folder"
    return pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)


def test_several_series_in_a_folder_take_the_masks_that_refer_to_them(tmp_path):
    source = tmp_path / "dump"
    one = save_series(source, 1, "A")
    two = save_series(source, 2, "B", first=201)
    save_series(source, 3, "A", first=301)
    save_seg(source / "XX1.dcm", two, drawn(0))
    save_seg(source / "XX2.dcm", one, drawn(1))
    save_seg(source / "XX3.dcm", one, drawn(2))
    result = import_data("folder", source, tmp_path / "out" / "manifest.csv")
    table = manifest_of(result, tmp_path / "out")
    assert table["image"].tolist() == ["IM0001@series", "IM0201@series", "IM0301@series"]
    assert table["patient_id"].tolist() == ["patient_1", "patient_2", "patient_1"]
    read = read_manifest(load_recipe(tmp_path / "out" / "manifest.yaml"), base=tmp_path / "out")
    states = [case.masks[0].state for case in read.cases]
    assert states == [MaskState.DRAWN, MaskState.DRAWN, MaskState.UNKNOWN]
    header = probe(read.cases[0].images[0])
    (merged,) = read_truth(read.cases[0], header.shape[1:], affine=header.affine)
    assert merged is not None
    assert merged.sum() == (drawn(1) | drawn(2)).sum()


def test_images_and_masks_in_folders_of_their_own(tmp_path):
    source = tmp_path / "set"
    for k, name in enumerate(("p1/ct", "p2", "p3/a", "p3/b")):
        save_series(source / "images" / name, k, "", name="{:d}.dcm")
    save_nifti(source / "masks/p1.nii.gz", drawn(0))
    save_nifti(source / "masks/p2_mask.nii.gz", drawn(0))
    save_nifti(source / "masks/p3/b/seg_1.nii.gz", drawn(0))
    save_nifti(source / "masks/p3.nii.gz", drawn(0))  # of a or of b: they lie in the same place
    save_nifti(source / "masks/p9.nii.gz", drawn(0))
    result = import_data("folder", source, tmp_path / "out" / "manifest.csv")
    table = manifest_of(result, tmp_path / "out")
    assert dict(zip(table["case_id"], table["mask"], strict=True)) == {
        "p1_ct": "masks/p1.nii.gz", "p2": "masks/p2_mask.nii.gz", "p3_a": "",
        "p3_b": "masks/p3/b/seg_1.nii.gz",
    }  # fmt: skip
    assert table["patient_id"].tolist() == ["p1", "p2", "p3", "p3"]
    assert {each["where"]: each["reason"] for each in result["left_out"]} == {
        "masks/p3.nii.gz": "ambiguous_mask",
        "masks/p9.nii.gz": "missing_file",
    }
    result = import_data(
        "folder", source, tmp_path / "named" / "manifest.csv", Options(masks="masks/{id}_mask")
    )
    table = manifest_of(result, tmp_path / "named")
    assert table["mask"].tolist() == ["", "masks/p2_mask.nii.gz", "", ""]


def test_masks_whose_names_add_something_that_comes_back_are_findings(tmp_path):
    source = tmp_path / "set"
    for k in range(3):
        save_series(source / f"p{k}" / "ct", k, f"n{k}")
        save_nifti(source / f"p{k}" / "seg_liver.nii.gz", drawn(k))
        save_nifti(source / f"p{k}" / "seg_tumour.nii.gz", drawn(k) * (k % 2))
    result = import_data("folder", source, tmp_path / "out" / "manifest.csv")
    assert {name: found["labels"] for name, found in result["findings"].items()} == {
        "liver": {"positive": 3, "negative": 0, "unknown": 0},
        "tumour": {"positive": 1, "negative": 2, "unknown": 0},
    }


def test_folders_of_patients_with_nifti_need_no_dicom(tmp_path):
    for k in range(4):
        save_nifti(tmp_path / "set" / f"p{k}" / "t1.nii.gz", 100 * drawn(k))
        save_nifti(tmp_path / "set" / f"p{k}" / "t1_seg.nii.gz", drawn(k) * (k % 2))
    result = import_data("folder", tmp_path / "set", tmp_path / "out" / "manifest.csv")
    assert result["n_cases"] == result["n_patients"] == 4
    assert result["findings"]["target"]["labels"] == {"positive": 2, "negative": 2, "unknown": 0}


def test_views_of_a_radiograph_in_one_series_are_pictures(tmp_path):
    for k in range(3):
        made = save_series(tmp_path / "set" / f"p{k}", k, f"n{k}", n=2)
        for number, dataset in enumerate(made):
            del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
            path = tmp_path / "set" / f"p{k}" / f"IM{number + 1:04d}"
            dataset.save_as(path, enforce_file_format=True)
    result = import_data("folder", tmp_path / "set", tmp_path / "out" / "manifest.csv")
    assert (result["n_cases"], result["n_patients"]) == (6, 3)
    assert load_recipe(tmp_path / "out" / "manifest.yaml").image.spatial_dims == 2


def test_one_patient_number_in_all_headers_says_nothing(tmp_path):
    for name in ("p1/a", "p1/b", "p2/a"):
        save_series(tmp_path / "set" / name, 0, "ANON")
    result = import_data("folder", tmp_path / "set", tmp_path / "out" / "manifest.csv")
    assert manifest_of(result, tmp_path / "out")["patient_id"].tolist() == ["p1", "p1", "p2"]
    assert result["columns"]["patient_id"] == "the first folder on the way to the image"


def test_a_damaged_slice_costs_its_series_and_no_other(tmp_path):
    for name in ("p1", "p2"):
        save_series(tmp_path / "set" / name, 0, name, name="{:d}.dcm")
    (tmp_path / "set/p1/3.dcm").write_bytes(b"broken")
    broken = pydicom.dcmread(tmp_path / "set/p2/1.dcm")
    assert broken.Rows == SIDE
    result = import_data("folder", tmp_path / "set", tmp_path / "out" / "manifest.csv")
    table = manifest_of(result, tmp_path / "out")
    assert "p2" in table["case_id"].tolist()
    assert {each["where"]: each["reason"] for each in result["left_out"]} == {
        "p1/3.dcm": "unreadable",
        "p1/1.dcm@series": "series_gap",
    }


def test_a_series_is_one_image_of_its_class(tmp_path):
    for k in range(4):
        save_series(tmp_path / "set" / ("bleeding" if k % 2 else "none") / f"p{k}", k, f"n{k}")
    result = import_data("imagefolder", tmp_path / "set", tmp_path / "out" / "manifest.csv")
    assert result["classes"] == {"class_label": {"bleeding": 2, "none": 2}}
    assert result["left_out"] == []
    table = pd.read_csv(tmp_path / "out" / "manifest.csv", dtype=str)
    assert table["patient_id"].tolist() == ["p1", "p3", "p0", "p2"]


def test_tables_of_other_tools_name_series_by_their_folders(tmp_path):
    lines = ["SubjectID,Channel_0,Label"]
    for k in range(4):
        save_series(tmp_path / "set" / f"p{k}" / "ct", k, f"n{k}")
        save_nifti(tmp_path / "set" / f"p{k}" / "seg.nii.gz", drawn(k) * (k % 2))
        lines.append(f"p{k},p{k}/ct,p{k}/seg.nii.gz")
    (tmp_path / "set" / "train.csv").write_text("\n".join(lines))
    result = import_data("gandlf", tmp_path / "set", tmp_path / "out" / "manifest.csv")
    assert result["findings"]["target"]["labels"] == {"positive": 2, "negative": 2, "unknown": 0}
    assert load_recipe(tmp_path / "out" / "manifest.yaml").image.spatial_dims == 3


def test_dicom_images_in_a_folder_of_masks_are_masks(tmp_path):
    for k in range(4):
        for folder, pixels in (("image", 9 * drawn(k)[2] + k), ("mask", drawn(k)[2] * (k % 2))):
            made = slice_of(pixels, generate_uid(), 0, f"n{k}")
            path = tmp_path / "set" / "ct_ich" / folder / f"05{k}_17.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            made.save_as(path, enforce_file_format=True)
    result = import_data("folder", tmp_path / "set", tmp_path / "out" / "manifest.csv")
    assert result["left_out"] == []
    table = manifest_of(result, tmp_path / "out")
    assert table["mask"].tolist() == [f"ct_ich/mask/05{k}_17.dcm" for k in range(4)]
    assert table["label_target"].tolist() == ["0", "1", "0", "1"]
