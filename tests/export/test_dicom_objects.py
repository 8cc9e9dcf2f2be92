"""DICOM SEG and SR of scored cases: read back by segclf, highdicom and pydicom."""

import shutil
import subprocess

import highdicom as hd
import numpy as np
import pandas as pd
import pydicom
import pytest

from segclf.core.scoretable import read_scores
from segclf.export import Asked, export
from segclf.io import grid_of, placed_on, probe, read_image, read_mask
from segclf.predict import predict_maps

FINDINGS = ("lesion", "bleeding")


def silent(event):
    """A sink."""


def probabilities(exp):
    """(finding, *space) of each test case, by the public function of prediction."""
    ids = set(exp.split.query("split == 'test'")["case_id"])
    cases = [case for case in exp.table.cases if case.case_id in ids]
    maps = predict_maps(cases, exp.run.stage("segment"), exp.recipe)
    return {case.case_id: case for case in cases}, dict(maps)


@pytest.fixture(scope="session")
def volume_objects(volumes, tmp_path_factory):
    exp, t = volumes
    out = tmp_path_factory.mktemp("dicom") / "out"
    result = export(exp, Asked("tau"), kind="dicom", out=out, on_event=silent)
    assert (result.n_cases, result.n_made, result.n_quarantined) == (4, 4, 0)
    return exp, t, out


@pytest.fixture(scope="session")
def picture_objects(pictures, tmp_path_factory):
    exp, t = pictures
    out = tmp_path_factory.mktemp("dicom") / "out"
    result = export(exp, Asked("tau"), kind="dicom", out=out, on_event=silent)
    assert (result.n_cases, result.n_quarantined) == (4, 0)
    return exp, t, out


def folders(out):
    return sorted(path.parent for path in out.glob("*/case.json"))


def of_cases(out):
    table = pd.read_csv(out / "index.csv")
    return {row["case_id"]: out / row["sr"].split("/")[0] for _, row in table.iterrows()}


def test_a_segmentation_read_by_segclf_is_the_mask_on_the_grid_of_the_series(volume_objects):
    exp, t, out = volume_objects
    cases, maps = probabilities(exp)
    for case_id, folder in of_cases(out).items():
        header = grid_of(probe(cases[case_id].images[0]))
        read = placed_on(read_mask(folder / "seg.dcm"), header)
        expected = maps[case_id][0] > t
        assert 0 < expected.sum() < expected.size
        np.testing.assert_array_equal(read.array == 1, expected)
        assert not (read.array == 2).any()
        np.testing.assert_allclose(read.affine, header.affine, atol=1e-5)


def slices_by_instance(folder):
    return {d.SOPInstanceUID: d for d in (pydicom.dcmread(p) for p in folder.glob("*.dcm"))}


def test_each_frame_refers_to_the_slice_it_lies_on(volume_objects):
    """highdicom finds the frames by the files they were made from, without any geometry."""
    exp, t, out = volume_objects
    cases, maps = probabilities(exp)
    for case_id, folder in of_cases(out).items():
        image = cases[case_id].images[0]
        slices = slices_by_instance(image)
        seg = hd.seg.segread(folder / "seg.dcm")
        uids = list(slices)
        found = seg.get_pixels_by_source_instance(
            uids, segment_numbers=[1], assert_missing_frames_are_empty=True
        )[..., 0]
        # the probability under each stored pixel, through the affine of the whole series
        affine = np.linalg.inv(read_image(image).affine)
        for uid, plane in zip(uids, found, strict=True):
            ct = slices[uid]
            rows, columns = np.meshgrid(range(ct.Rows), range(ct.Columns), indexing="ij")
            position, turn = np.array(ct.ImagePositionPatient), np.array(ct.ImageOrientationPatient)
            mm = (
                position
                + columns[..., None] * ct.PixelSpacing[1] * turn[:3]
                + rows[..., None] * ct.PixelSpacing[0] * turn[3:]
            ) * [-1, -1, 1]
            index = np.rint(mm @ affine[:3, :3].T + affine[:3, 3]).astype(int)
            expected = maps[case_id][0][tuple(np.moveaxis(index, -1, 0))] > t
            np.testing.assert_array_equal(plane.astype(bool), expected)


def test_a_segmentation_says_what_made_it_and_copies_the_patient_from_the_series(volume_objects):
    exp, _, out = volume_objects
    cases, _ = probabilities(exp)
    for case_id, folder in of_cases(out).items():
        source = next(iter(slices_by_instance(cases[case_id].images[0]).values()))
        for name in ("seg.dcm", "sr.dcm"):
            made = pydicom.dcmread(folder / name)
            assert (made.PatientName, made.PatientID) == ("CANARY^Jäne", "CANARY-7")
            for field in ("PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate"):
                assert made[field].value == source[field].value
            assert made.SeriesInstanceUID != source.SeriesInstanceUID
            assert made.Manufacturer == "segclf"
            assert "research use only" in made.SeriesDescription
        seg = pydicom.dcmread(folder / "seg.dcm")
        assert seg.FrameOfReferenceUID == source.FrameOfReferenceUID
        assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == source.SeriesInstanceUID
        assert [item.SegmentLabel for item in seg.SegmentSequence] == [*FINDINGS]
        algorithm = seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("segclf", "0.1.0")
        assert "Research use only" in seg.ContentDescription
        assert seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue == "lesion"
        scheme = seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
        assert scheme.CodingSchemeDesignator == "99SEGCLF"


def numbers_of(group):
    return {m.name.value: (m.value, m.unit.value) for m in group.get_measurements()}


def test_the_numbers_of_a_report_are_those_of_the_score_table(volume_objects):
    exp, t, out = volume_objects
    scores = read_scores(exp.run.stage("summarize", "tau")).set_index(["case_id", "finding"])
    _, maps = probabilities(exp)
    for case_id, folder in of_cases(out).items():
        report = hd.sr.srread(folder / "sr.dcm")
        present, absent = [], []
        present = report.content.get_volumetric_roi_measurement_groups()
        absent = report.content.get_image_measurement_groups()
        assert [g.tracking_identifier for g in (*present, *absent)] == [*FINDINGS]
        for k, group in enumerate((*present, *absent)):
            row = scores.loc[(case_id, group.tracking_identifier)]
            numbers = numbers_of(group)
            volume_ml = (maps[case_id][k] > t).sum() * 0.75 * 0.5 * 2.5 / 1000
            assert numbers["118565006"] == (pytest.approx(volume_ml, rel=1e-9), "ml")
            assert numbers["t"] == (pytest.approx(t, rel=1e-12), "1")
            assert numbers["score"] == (pytest.approx(row["score"], rel=1e-12), "1")
            assert numbers["decision_value"] == (pytest.approx(row["decision_value"]), "ml")
            assert numbers["threshold"] == (0.1, "ml")
            decisions = [
                e for e in group.get_qualitative_evaluations() if e.name.value == "decision"
            ]
            (decision,) = decisions
            assert decision.value.value == {1.0: "above", 0.0: "not_above"}[row["decision"]]
        assert {scores.loc[(case_id, f), "decision"] for f in FINDINGS} == {0.0, 1.0}
        seg = pydicom.dcmread(folder / "seg.dcm")
        reference = present[0].referenced_segment[0].ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        assert reference.ReferencedSegmentNumber == 1


def test_a_report_is_preliminary_and_speaks_of_research(volume_objects):
    _, _, out = volume_objects
    for folder in folders(out):
        report = pydicom.dcmread(folder / "sr.dcm")
        assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
        assert (report.PreliminaryFlag, report.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
        data = (folder / "sr.dcm").read_bytes()
        assert b"Research use only, not for diagnosis" in data
        assert b"Decision at the threshold (research use)" in data
        evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        assert sum(len(item.ReferencedSOPSequence) for item in evidence) == 9 + 1  # and the SEG


def test_the_masks_of_single_pictures_come_back_and_are_measured_in_mm2(picture_objects):
    exp, t, out = picture_objects
    cases, maps = probabilities(exp)
    for case_id, folder in of_cases(out).items():
        planes = read_image(folder / "seg.dcm").array
        np.testing.assert_array_equal(planes.astype(bool), maps[case_id] > t)
        header = grid_of(probe(cases[case_id].images[0]))
        np.testing.assert_allclose(probe(folder / "seg.dcm").affine, header.affine)
        report = hd.sr.srread(folder / "sr.dcm")
        groups = report.content.get_planar_roi_measurement_groups()
        assert [group.tracking_identifier for group in groups] == [*FINDINGS]
        for group, probability in zip(groups, maps[case_id], strict=True):
            area_mm2 = (probability > t).sum() * 0.75 * 0.5
            assert numbers_of(group)["42798000"] == (pytest.approx(area_mm2), "mm2")


def test_fractions_are_the_probabilities_in_steps_of_a_255th(pictures, volumes, tmp_path):
    for kind, (exp, _) in {"2d": pictures, "3d": volumes}.items():
        out = tmp_path / kind
        export(exp, Asked("tau"), kind="dicom", fractional=True, out=out, on_event=silent)
        cases, maps = probabilities(exp)
        for case_id, folder in of_cases(out).items():
            seg = pydicom.dcmread(folder / "seg.dcm")
            assert (seg.SegmentationType, seg.SegmentationFractionalType) == (
                "FRACTIONAL", "PROBABILITY",
            )  # fmt: skip
            read = read_image(folder / "seg.dcm")
            np.testing.assert_allclose(read.array, maps[case_id], atol=0.51 / 255)
            assert read.array.shape[1:] == probe(cases[case_id].images[0]).shape[1:]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not here")
@pytest.mark.parametrize("name", ["seg.dcm", "sr.dcm"])
def test_dciodvfy_finds_no_error(name, volume_objects, picture_objects):
    for out in (volume_objects[2], picture_objects[2]):
        found = subprocess.run(
            ["dciodvfy", "-new", str(folders(out)[0] / name)], capture_output=True, text=True
        )
        lines = (found.stderr + found.stdout).splitlines()
        assert any(word in lines for word in ("Segmentation", "Comprehensive3DSR"))
        assert [line for line in lines if line.startswith("Error")] == []


def test_identifiers_are_in_the_dicom_objects_and_nowhere_else(volume_objects):
    _, _, out = volume_objects
    for path in out.rglob("*"):
        assert "CANARY" not in str(path.relative_to(out))
        if path.is_file():
            assert (b"CANARY" in path.read_bytes()) == (path.suffix == ".dcm"), path.name
