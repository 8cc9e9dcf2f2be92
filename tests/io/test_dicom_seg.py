"""DICOM SEG against highdicom: segments to integers, places, and what is refused."""

import os
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from segclf.core.config import make_recipe
from segclf.core.errors import CaseError
from segclf.data import read_case
from segclf.io import grid_of, placed_on, probe, read_image, read_mask, read_soft_mask
from segclf.manifest import check_manifest, read_manifest

STUDY, SERIES, FRAME = (generate_uid() for _ in range(3))


@pytest.fixture
def slices(tmp_path):
    """A CT series of five slices, 2.5 mm apart, written to the folder `ct`."""
    made = []
    (tmp_path / "ct").mkdir()
    for k in range(5):
        ct = Dataset()
        ct.file_meta = FileMetaDataset()
        ct.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ct.SOPClassUID, ct.SOPInstanceUID = CTImageStorage, generate_uid()
        ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.FrameOfReferenceUID = STUDY, SERIES, FRAME
        ct.Modality, ct.PatientID, ct.PatientName = "CT", "CANARY", "CANARY^JANE"
        ct.PatientBirthDate = ct.PatientSex = ct.StudyID = ct.AccessionNumber = ""
        ct.ReferringPhysicianName = ct.StudyDate = ct.StudyTime = ""
        ct.InstanceNumber = k + 1
        ct.Rows, ct.Columns, ct.SamplesPerPixel = 6, 8, 1
        ct.PhotometricInterpretation, ct.PixelRepresentation = "MONOCHROME2", 1
        ct.BitsAllocated = ct.BitsStored = 16
        ct.HighBit = 15
        ct.PixelSpacing, ct.SliceThickness = [0.75, 0.5], 2.5
        ct.ImagePositionPatient = [10.0, -20.0, 30 + 2.5 * k]
        ct.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ct.PixelData = np.full((6, 8), k, np.int16).tobytes()
        ct.save_as(tmp_path / "ct" / f"{k}.dcm", enforce_file_format=True)
        made.append(pydicom.dcmread(tmp_path / "ct" / f"{k}.dcm"))
    return made


def segmentation(path, slices, planes, kind="BINARY", *, n_segments=2, **kwargs):
    """`planes` (slice, row, column[, segment]) written by highdicom; empty frames are left out."""
    described = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"CANARY {number}",
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Neoplasm,
            algorithm_type="MANUAL",
        )
        for number in range(1, n_segments + 1)
    ]
    hd.seg.Segmentation(
        source_images=slices, pixel_array=planes, segmentation_type=kind,
        segment_descriptions=described, series_instance_uid=generate_uid(), series_number=2,
        sop_instance_uid=generate_uid(), instance_number=1, manufacturer="CANARY",
        manufacturer_model_name="CANARY", software_versions="1", device_serial_number="CANARY",
        **kwargs,
    ).save_as(path)  # fmt: skip
    return path


@pytest.fixture
def drawn():
    """Segment 1 and 2 side by side, in other slices; no symmetry."""
    planes = np.zeros((5, 6, 8), np.uint8)
    planes[1, 2, 3:6] = 1
    planes[3, 4, 7] = 2
    planes[4, 0, 0] = 2
    return planes


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_segments_become_their_numbers_where_the_image_lies(tmp_path, slices, drawn, kind):
    path = segmentation(tmp_path / "a.dcm", slices, drawn, kind, omit_empty_frames=False)
    mask, image = read_mask(path), read_image(tmp_path / "ct")
    np.testing.assert_array_equal(mask.array, drawn.transpose(2, 1, 0)[::-1, ::-1])
    np.testing.assert_allclose(mask.affine, image.affine)
    assert mask.spacing_mm == pytest.approx(image.spacing_mm)
    planes = read_image(path)
    np.testing.assert_array_equal(planes.array[1], mask.array == 2)
    header = probe(path)
    assert (header.shape, header.dtype) == (planes.array.shape, planes.array.dtype)
    assert header.spacing_mm == planes.spacing_mm


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_frames_that_were_left_out_between_others_are_empty(tmp_path, slices, drawn, kind):
    """Slices 0 and 2 hold nothing; the grid begins at the first slice that holds something."""
    path = segmentation(tmp_path / "a.dcm", slices, drawn, kind)
    mask = read_mask(path)
    np.testing.assert_array_equal(mask.array, drawn[1:].transpose(2, 1, 0)[::-1, ::-1])
    index = np.argwhere(mask.array == 2)[0]
    image = read_image(tmp_path / "ct")
    place = np.linalg.solve(image.affine, mask.affine @ [*index, 1])
    assert drawn.transpose(2, 1, 0)[::-1, ::-1][tuple(np.rint(place[:3]).astype(int))] == 2


def test_a_segmentation_of_one_slice_is_a_picture(tmp_path, slices, drawn):
    mask = read_mask(segmentation(tmp_path / "a.dcm", [slices[1]], drawn[1:2], n_segments=1))
    image = read_image(tmp_path / "ct" / "1.dcm")
    np.testing.assert_array_equal(mask.array, drawn[1])
    np.testing.assert_allclose(mask.affine, image.affine)
    assert mask.spacing_mm == image.spacing_mm


@pytest.mark.parametrize("n_slices", [5, 4, 2])
def test_a_mask_of_some_slices_is_placed_on_the_whole_image(tmp_path, slices, drawn, n_slices):
    drawn[n_slices:] = 0  # 2: a single slice remains, which is read as a picture
    path = segmentation(tmp_path / "a.dcm", slices, drawn)
    mask, image = read_mask(path), probe(tmp_path / "ct")
    placed = placed_on(mask, grid_of(image))
    np.testing.assert_array_equal(placed.array, drawn.transpose(2, 1, 0)[::-1, ::-1])
    np.testing.assert_array_equal(placed.affine, image.affine)
    assert placed.spacing_mm == image.spacing_mm


@pytest.mark.parametrize("n_slices", [5, 2])
def test_a_table_of_a_series_and_its_segmentation_checks_and_prepares(
    tmp_path, slices, drawn, n_slices
):
    drawn[n_slices:] = 0
    segmentation(tmp_path / "seg.dcm", slices, drawn)
    (tmp_path / "manifest.csv").write_text("case_id,image,mask\na,ct,seg.dcm\n")
    settings = {
        "manifest": "manifest.csv", "image": {"spatial_dims": 3, "intensity": "minmax"},
        "findings": ["one", "two"], "mask_values": {1: "one", 2: "two"},
    }  # fmt: skip
    table = read_manifest(make_recipe(settings, where="test"), base=tmp_path)
    assert check_manifest(table).n_errors == 0
    sample = read_case(table.cases[0], table.recipe)
    expected = drawn.transpose(2, 1, 0)[::-1, ::-1]
    np.testing.assert_array_equal(sample.target[0], expected == 1)
    np.testing.assert_array_equal(sample.target[1], expected == 2)


@pytest.mark.parametrize("shift", [(0.2, 0, 0), (0, 0, 2.5), (-0.5, 0, 0)])
def test_a_mask_off_the_grid_or_beyond_the_image_stays_as_it_is(tmp_path, slices, drawn, shift):
    mask = read_mask(segmentation(tmp_path / "a.dcm", slices, drawn))
    mask.affine[:3, 3] += shift
    assert placed_on(mask, grid_of(probe(tmp_path / "ct"))) is mask


def test_overlapping_segments_are_no_map_but_two_channels(tmp_path, slices, drawn):
    planes = np.stack([drawn > 0, drawn == 2], axis=-1)
    path = segmentation(tmp_path / "a.dcm", slices, planes, omit_empty_frames=False)
    with pytest.raises(CaseError, match="segments 1 and 2 overlap") as caught:
        read_mask(path)
    assert caught.value.reason == "overlapping_segments"
    assert "mask_<finding>" in caught.value.fix
    assert "CANARY" not in str(caught.value)
    array = read_image(path).array
    np.testing.assert_array_equal(array[0], (drawn > 0).transpose(2, 1, 0)[::-1, ::-1])
    np.testing.assert_array_equal(array[1], (drawn == 2).transpose(2, 1, 0)[::-1, ::-1])


def test_fractions_are_a_soft_mask_and_no_other(tmp_path, slices, drawn):
    planes = np.where(drawn == 1, 0.4, 0.0)[..., None]
    path = segmentation(
        tmp_path / "a.dcm", slices, planes, "FRACTIONAL", n_segments=1,
        fractional_type="PROBABILITY", max_fractional_value=100, omit_empty_frames=False,
    )  # fmt: skip
    with pytest.raises(CaseError, match="FRACTIONAL") as caught:
        read_mask(path)
    assert caught.value.reason == "bad_mask"
    assert "kind soft" in caught.value.fix
    expected = planes[..., 0].transpose(2, 1, 0)[::-1, ::-1]
    np.testing.assert_allclose(read_soft_mask(path).array, expected, atol=1e-6)


def test_a_frame_of_an_unknown_segment_is_refused(tmp_path, slices, drawn):
    path = segmentation(tmp_path / "a.dcm", slices, drawn)
    broken = pydicom.dcmread(path)
    del broken.SegmentSequence[1]
    broken.save_as(path)
    for reader in (probe, read_image, read_mask):
        with pytest.raises(CaseError) as caught:
            reader(path)
        assert caught.value.reason == "unreadable"


@pytest.mark.realdata
def test_the_segmentations_of_the_samples_hold_what_highdicom_finds():
    root = os.environ.get("SEGCLF_REALDATA")
    if root is None:
        pytest.skip("SEGCLF_REALDATA is not set")
    folder = Path(root, "dicom_samples")
    paths = [*folder.glob("highdicom/seg_*.dcm"), *folder.glob("pydicom_data/liver*.dcm")]
    assert len(paths) == 8
    for path in paths:
        picture, frames = read_image(path), pydicom.dcmread(path)
        factor = float(frames.get("MaximumFractionalValue", 1))
        pixels = frames.pixel_array.reshape(-1, frames.Rows, frames.Columns) / factor
        assert picture.array.sum() == pytest.approx(pixels.sum(), rel=1e-5)  # no pixel is lost
        if "cr_binary" in path.name or "expb" in path.name:
            continue  # no positions; big endian, which highdicom does not read
        volume = hd.seg.segread(path).get_volume(combine_segments=False)
        where = np.argwhere(volume.array > 0)  # slice, row, column, segment
        lps = volume.affine @ np.column_stack([where[:, :3], np.ones(len(where))]).T
        index = np.linalg.solve(picture.affine, np.diag([-1, -1, 1, 1]) @ lps)[:3]
        array = picture.array if picture.array.ndim == 4 else picture.array[..., None]
        own = array[where[:, 3], *np.rint(index).astype(int)]
        np.testing.assert_allclose(own, volume.array[tuple(where.T)], atol=1e-6)
        assert (array > 0).sum() == len(where)
    little, big = (read_mask(folder / "pydicom_data" / f"liver{x}.dcm") for x in ("", "_expb"))
    np.testing.assert_array_equal(little.array, big.array)
    np.testing.assert_array_equal(little.affine, big.affine)
