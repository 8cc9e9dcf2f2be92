"""Series that masks can or cannot refer to, and what becomes of the others."""

import logging
import os
import shutil
import subprocess
import sys
import warnings
from io import BytesIO
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import ComputedRadiographyImageStorage

from segclf.core.errors import CaseError, MissingExtraError, UsageError
from segclf.core.records import Case
from segclf.export import check_format
from segclf.export.codes import finding_code
from segclf.export.dicom import DicomWriter
from segclf.export.records import Job, Prediction, Score
from segclf.export.source import find_source, quiet, read_source
from segclf.io import grid_of, placed_on, probe, read_image, read_mask
from segclf.io.guard import time_limit

NAN = float("nan")


def silent(event):
    """A sink."""


def predicted(image, mask, *, case_id="c 1", decision=1.0):
    """A case whose masks (finding, *space) are given."""
    scores = tuple(
        Score(f"f{k}", 0.5, 0.25, 12.0, 10.0, decision, NAN, "px", None) for k in range(len(mask))
    )
    case = Case(case_id, (image,), (), (), "p")
    header = probe(image)
    probability = np.where(mask, 0.75, 0.125).astype(np.float32)
    return Prediction(Job(case, None, scores), mask, probability, header.spacing_mm)


def drawn(image, n_findings=1):
    mask = np.zeros((n_findings, *probe(image).shape[1:]), bool)
    mask[0][tuple(slice(n // 3, n // 2 + 1) for n in mask.shape[1:])] = True
    return mask


def write(folder, found, **options):
    folder.mkdir(exist_ok=True)
    return DicomWriter("0123456789abcdef", "tau", **options)(folder, found)


def radiograph(series):
    """A picture without a place in space."""
    gone = dict.fromkeys(
        ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient",
         "SliceThickness", "PixelSpacing")
    )  # fmt: skip
    folder = series(
        "cr", 1, SOPClassUID=ComputedRadiographyImageStorage, Modality="CR", **gone,
        ImagerPixelSpacing=[0.2, 0.1], BodyPartExamined="CHEST", ViewPosition="PA",
    )  # fmt: skip
    return next(folder.iterdir())


def test_a_mask_made_from_a_nifti_file_goes_to_the_series_it_was_converted_from(series, tmp_path):
    """SimpleITK converts; the axes of NIfTI and of the series have other signs."""
    import SimpleITK as sitk

    folder = series("all/x")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    sitk.WriteImage(reader.Execute(), str(tmp_path / "in.nii.gz"))
    mask = drawn(tmp_path / "in.nii.gz")
    mask[0, 2, 3, 1] = True
    found = predicted(tmp_path / "in.nii.gz", mask, case_id="x")
    names, rows = write(tmp_path / "out", found, series=tmp_path / "all")
    assert names == ["seg.dcm", "sr.dcm"]
    assert rows[0]["seg"] == "out/seg.dcm"
    read = placed_on(read_mask(tmp_path / "out/seg.dcm"), grid_of(probe(tmp_path / "all/x")))
    np.testing.assert_array_equal(read.array, mask[0])


def test_a_picture_that_was_exported_as_png_goes_to_its_dicom_file(pictures, tmp_path):
    exp, _ = pictures
    source = exp.table.cases[0].images[0]
    (tmp_path / "all").mkdir()
    shutil.copy(source, tmp_path / "all" / "c.dcm")
    Image.fromarray(np.zeros((20, 24), np.uint8)).save(tmp_path / "in.png")
    found = predicted(tmp_path / "in.png", drawn(tmp_path / "in.png"), case_id="c")
    _, rows = write(tmp_path / "out", found, series=tmp_path / "all")
    assert (rows[0]["unit"], rows[0]["amount"]) == ("mm2", rows[0]["n_px"] * 0.75 * 0.5)
    np.testing.assert_array_equal(read_mask(tmp_path / "out/seg.dcm").array, found.mask[0])


def reason(call, *args):
    with pytest.raises(CaseError) as caught:
        call(*args)
    assert "CANARY" not in str(caught.value)
    return caught.value.reason


def test_an_image_that_is_no_dicom_has_no_series(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6)), np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(CaseError, match="--series FOLDER") as caught:
        find_source("a", tmp_path / "a.nii.gz", None)
    assert caught.value.reason == "not_dicom"
    (tmp_path / "all").mkdir()
    assert reason(find_source, "a", tmp_path / "a.nii.gz", tmp_path / "all") == "missing_file"
    (tmp_path / "all/a").symlink_to(tmp_path)
    assert reason(find_source, "a", tmp_path / "a.nii.gz", tmp_path / "all") == "ambiguous_map"


def test_series_that_changed_are_refused(series):
    whole = series("whole")
    header = probe(whole)
    gap, short, mixed = series("gap"), series("short"), series("mixed")
    by_place = {
        path: pydicom.dcmread(path).ImagePositionPatient[2] for path in sorted(gap.iterdir())
    }
    ordered = sorted(by_place, key=lambda path: by_place[path])
    ordered[4].unlink()
    assert reason(read_source, gap, header) == "series_gap"
    (short / ordered[0].name).unlink()  # the first slice, which nobody misses
    assert reason(read_source, short, header) == "series_differs"
    shutil.copy(next(whole.iterdir()), mixed / "other.dcm")
    assert reason(read_source, mixed, header) == "mixed_series"
    moved = series("moved")
    for path in moved.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.ImagePositionPatient[0] += 4
        dataset.save_as(path)
    with pytest.raises(CaseError, match="do not lie in one place"):
        read_source(moved, header)
    assert read_source(whole, header).n_slices == 9


def test_headers_of_a_series_are_parsed_where_files_are_decoded(series, monkeypatch):
    whole, parse = series("whole"), pydicom.dcmread
    with time_limit(60):
        header = probe(whole)

        def only_own(file, **options):
            assert isinstance(file, BytesIO), "foreign bytes in the calling process"
            return parse(file, **options)

        monkeypatch.setattr(pydicom, "dcmread", only_own)
        source = read_source(whole, header)
    monkeypatch.undo()
    for own in source.datasets:
        (found,) = [
            each
            for each in map(parse, whole.iterdir())
            if each.SOPInstanceUID == own.SOPInstanceUID
        ]
        for field in found:
            if not field.tag.is_private and field.keyword != "PixelData":
                assert own[field.tag].value == field.value, field.keyword


def test_slices_without_identifiers_or_of_two_patients_are_refused(series):
    several = series("several")
    header = probe(several)
    first = next(several.iterdir())
    dataset = pydicom.dcmread(first)
    dataset.PatientID = "ANOTHER-CANARY"
    dataset.save_as(first)
    with pytest.raises(CaseError, match="differ in PatientID") as caught:
        read_source(several, header)
    assert "CANARY" not in str(caught.value)
    bare = series("bare", StudyInstanceUID=None)
    with pytest.raises(CaseError, match="without StudyInstanceUID"):
        read_source(bare, probe(bare))


def test_slices_without_a_frame_of_reference_are_refused_and_a_radiograph_is_not(series, tmp_path):
    many = series("many", FrameOfReferenceUID=None)
    assert reason(read_source, many, probe(many)) == "no_frame_of_reference"
    slice_ = next(many.iterdir())
    assert reason(read_source, slice_, probe(slice_)) == "no_frame_of_reference"
    one = radiograph(series)
    found = predicted(one, drawn(one))
    names, _ = write(tmp_path / "out", found)
    assert names == ["seg.dcm", "sr.dcm"]
    np.testing.assert_array_equal(read_mask(tmp_path / "out/seg.dcm").array, found.mask[0])
    assert "FrameOfReferenceUID" not in pydicom.dcmread(tmp_path / "out/seg.dcm")


def test_without_a_pixel_there_is_a_report_and_no_segmentation(series, tmp_path):
    folder = series()
    found = predicted(folder, np.zeros((2, *probe(folder).shape[1:]), bool), decision=0.0)
    names, rows = write(tmp_path / "out", found)
    assert names == ["sr.dcm"]
    assert [(row["seg"], row["n_px"], row["amount"]) for row in rows] == [(None, 0, 0.0)] * 2
    groups = hd.sr.srread(tmp_path / "out/sr.dcm").content.get_image_measurement_groups()
    volumes = [m.value for g in groups for m in g.get_measurements() if m.unit.value == "ml"]
    assert volumes == [0.0, 0.0]


def test_a_value_that_is_not_defined_is_left_out_and_the_decision_says_so(series, tmp_path):
    folder = series()
    found = predicted(folder, drawn(folder), decision=NAN)
    _, rows = write(tmp_path / "out", found)
    assert rows[0]["decision"] is rows[0]["probability"] is None
    (group,) = hd.sr.srread(tmp_path / "out/sr.dcm").content.get_volumetric_roi_measurement_groups()
    assert "probability" not in {m.name.value for m in group.get_measurements()}
    values = [e.value.value for e in group.get_qualitative_evaluations()]
    assert "no_decision" in values


def test_headers_that_break_the_rules_are_mended_and_never_told(series, tmp_path, caplog, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the test itself writes what pydicom warns of
        folder = series(
            PatientName="CANARY", PatientSex="FEMALE", StudyTime="CANARY",
            PatientBirthDate="12.1.33", AccessionNumber=None, SliceThickness=None,
            PatientAge="CANARY",
        )  # fmt: skip
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        write(tmp_path / "out", predicted(folder, drawn(folder)))
    assert "CANARY" not in caplog.text + "".join(capfd.readouterr())
    made = pydicom.dcmread(tmp_path / "out/seg.dcm")
    assert (made.PatientSex, made.StudyTime, made.PatientBirthDate) == ("", None, None) or (
        made.PatientSex, str(made.StudyTime or ""), str(made.PatientBirthDate or ""),
    ) == ("", "", "")  # fmt: skip
    assert made.PatientName == "CANARY"
    assert logging.getLogger("highdicom").disabled is False


def test_what_highdicom_refuses_is_told_without_its_words(series, tmp_path, monkeypatch):
    from segclf.export import dicom

    def refuse(*args):
        raise ValueError("CANARY^JANE is no name")

    folder = series()
    monkeypatch.setattr(dicom, "segmentation", refuse)
    with pytest.raises(CaseError, match="highdicom ends with ValueError") as caught:
        write(tmp_path / "out", predicted(folder, drawn(folder)))
    assert caught.value.reason == "dicom_refused"
    assert "CANARY" not in str(caught.value)
    assert not list((tmp_path / "out").iterdir())


def test_segments_are_coded_and_numbered_as_the_findings_are(series, tmp_path):
    folder = series()
    mask = drawn(folder, 3)
    mask[2] = mask[0]  # they overlap, and the one between is empty
    write(tmp_path / "out", predicted(folder, mask), codes={"f0": "hemorrhage"})
    seg = pydicom.dcmread(tmp_path / "out/seg.dcm")
    kinds = [item.SegmentedPropertyTypeCodeSequence[0] for item in seg.SegmentSequence]
    assert [kind.CodeValue for kind in kinds] == ["50960005", "f1", "f2"]
    assert [kind.CodingSchemeDesignator for kind in kinds] == ["SCT", "99SEGCLF", "99SEGCLF"]
    planes = read_image(tmp_path / "out/seg.dcm").array
    assert [int(plane.sum()) for plane in planes] == [int(m.sum()) for m in mask]
    assert finding_code("f0", {"f0": "hemorrhage"}).kind.meaning == "Hemorrhage"


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not here")
def test_dciodvfy_finds_no_error_where_segments_are_empty_or_headers_poor(series, tmp_path):
    folder = series(SliceThickness=None, PatientSex="FEMALE")
    thin = next(series("x", SliceThickness=None).iterdir())
    for k, image in enumerate((folder, thin, radiograph(series))):
        for fractional in (False, True):
            out = tmp_path / f"{k}{fractional}"
            write(out, predicted(image, drawn(image, 2)), fractional=fractional)
            for path in sorted(out.iterdir()):
                found = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True)
                lines = (found.stderr + found.stdout).splitlines()
                assert [line for line in lines if line.startswith("Error")] == [], path


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(MissingExtraError, match=r"install segclf\[dicom\]"):
        check_format("dicom")
    check_format("nifti")


def test_formats_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="did you mean 'dicom'"):
        check_format("dicoms")
    with pytest.raises(UsageError, match="use --format nifti"):
        check_format("png", 3)


REALDATA = os.environ.get("SEGCLF_REALDATA")
SAMPLES = (
    "highdicom/ct_image.dcm", "highdicom/dx_image.dcm", "ct_ich/image/052_17.dcm",
    "pydicom_data/MR2_J2KI.dcm", "pydicom_data/US1_J2KI.dcm", "pydicom_data/explicit_VR-UN.dcm",
)  # fmt: skip


@pytest.mark.realdata
@pytest.mark.skipif(not REALDATA, reason="SEGCLF_REALDATA names no image sets")
@pytest.mark.parametrize("name", SAMPLES)
def test_masks_of_real_files_come_back(name, tmp_path):
    path = Path(REALDATA) / "dicom_samples" / name
    found = predicted(path, drawn(path, 2))
    write(tmp_path / "out", found)
    planes = read_image(tmp_path / "out/seg.dcm").array
    np.testing.assert_array_equal(planes.astype(bool), found.mask)
    groups = hd.sr.srread(tmp_path / "out/sr.dcm").content.get_planar_roi_measurement_groups()
    assert len(groups) == 1  # the other finding has no pixel
    if shutil.which("dciodvfy"):
        for file in ("seg.dcm", "sr.dcm"):
            told = subprocess.run(
                ["dciodvfy", "-new", tmp_path / "out" / file], capture_output=True, text=True
            )
            assert "\nError" not in f"\n{told.stderr}\n{told.stdout}"


@pytest.mark.realdata
@pytest.mark.skipif(not REALDATA, reason="SEGCLF_REALDATA names no image sets")
@pytest.mark.parametrize(
    ("name", "why"),
    [("emri_small.dcm", "no_frame_of_reference"), ("liver.dcm", "unreadable")],
)
def test_real_files_that_no_mask_can_refer_to_are_refused(name, why):
    path = Path(REALDATA) / "dicom_samples" / "pydicom_data" / name
    assert reason(read_source, path, probe(path)) == why


def test_what_libraries_say_of_a_header_is_heard_by_nobody(tmp_path, caplog):
    names = ("highdicom", "highdicom.base", "pydicom", "pydicom.dataset")
    loggers = [logging.getLogger(name) for name in names]
    with caplog.at_level(logging.DEBUG), quiet(tmp_path):
        for logger in loggers:
            logger.warning("CANARY^JANE")
        warnings.warn("CANARY^JANE", stacklevel=1)
    assert "CANARY" not in caplog.text
    for logger in loggers:
        logger.warning("heard again")
    assert caplog.text.count("heard again") == len(loggers)
