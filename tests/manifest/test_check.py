"""The check: each kind of problem planted once, and the summary by hand."""

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from segclf.manifest import check_manifest, check_text

DRAWN = "..........\n" * 3 + "..##......\n" * 2 + "..........\n" * 3


def problems(table, severity="error"):
    report = check_manifest(table)
    return [p for p in report.problems if p.severity == severity]


def only(table, reason, severity="error"):
    found = problems(table, severity)
    assert [problem.reason for problem in found] == [reason]
    return found[0]


def test_a_clean_table_has_no_errors_and_a_summary(data):
    table = data.read("""
        image, mask,       label, patient_id, sex, site
        a.png, a_mask.png, 1,     p1,         F,   x
        b.png, empty.png,  0,     p1,         F,   y
        c.png, ,           0,     p2,         M,
        d.png, ,           ,      p2,         M,   x
    """)
    steps = []
    report = check_manifest(table, progress=steps.append)
    assert report.n_errors == 0
    assert [problem.reason for problem in report.problems] == ["mask_255"]
    assert "1 of 2 masks hold 0 and 255" in report.problems[0].wrong
    assert steps[-1] == {"kind": "check", "step": 4, "of": 4}
    summary = report.summary
    assert (summary["n_cases"], summary["n_patients"]) == (4, 2)
    target = summary["findings"]["target"]
    assert (target["n_positive"], target["n_negative"], target["n_unknown"]) == (1, 2, 1)
    assert target["prevalence"] == pytest.approx(1 / 3)
    assert target["prevalence_patients"] == pytest.approx(1 / 2)
    assert target["masks"] == {"drawn": 2, "empty": 1, "unknown": 1}
    assert target["area_fraction"]["n"] == 1
    assert target["area_fraction"]["median"] == pytest.approx(4 / 80)
    assert summary["images"]["shapes"] == {"8 x 10": 4}
    assert summary["groups"]["sex"]["values"] == {
        "F": {"n_cases": 2, "n_patients": 1}, "M": {"n_cases": 2, "n_patients": 1},
    }  # fmt: skip
    assert summary["groups"]["site"]["n_blank"] == 1
    assert summary["suggested_roles"]["sex"]["role"] == "patient"
    assert json.loads(json.dumps(report.as_dict(), allow_nan=False))["n_errors"] == 0


def test_quantiles_of_the_area_are_those_of_numpy(data):
    areas = [1, 2, 3, 7]
    for name, area in zip("abcd", areas, strict=True):
        rows = "#" * area + "." * (80 - area)
        data.mask(f"m{name}.png", " ".join(rows[i : i + 10] for i in range(0, 80, 10)))
    lines = "\n".join(f"{name}.png,m{name}.png,1" for name in "abcd")
    found = check_manifest(data.read("image,mask,label\n" + lines)).summary["findings"]["target"]
    shares = np.array(areas) / 80
    for name, q in (("min", 0), ("q25", 0.25), ("median", 0.5), ("q95", 0.95), ("max", 1)):
        assert found["area_fraction"][name] == pytest.approx(np.quantile(shares, q))


def test_rows_that_cannot_be_read_are_listed_with_the_rest(data):
    (data.root / "b.png").write_bytes(b"not a picture")
    table = data.read("image,label\na.png,5\nnone.png,1\nb.png,1\nc.png,0", strict=False)
    found = problems(table)
    assert [(p.row, p.reason) for p in found] == [
        (2, "bad_label"), (3, "missing_file"), (4, "unreadable"),
    ]  # fmt: skip
    assert "b.png: the file cannot be decoded" in found[2].wrong


def test_a_mask_of_another_size(data):
    data.mask("small.png", "..\n##")
    problem = only(data.read("image,mask,label\na.png,small.png,1"), "shape_mismatch")
    assert problem.wrong == "small.png: the shape is (2, 2), that of the image (8, 10)."
    assert (problem.row, problem.case_id, problem.field) == (2, "a", "mask")


@pytest.mark.parametrize(("shift_mm", "n_errors"), [(0.01, 0), (0.5, 1)])
def test_a_mask_with_another_affine(data, shift_mm, n_errors):
    volume = np.random.default_rng(0).integers(0, 99, (6, 7, 8)).astype(np.int16)
    moved = np.eye(4)
    moved[0, 3] = shift_mm
    nib.save(nib.Nifti1Image(volume, np.eye(4)), data.root / "v.nii.gz")
    nib.save(nib.Nifti1Image((volume > 50).astype(np.uint8), moved), data.root / "m.nii.gz")
    table = data.read("image,mask,label\nv.nii.gz,m.nii.gz,1", image={"spatial_dims": 3})
    found = problems(table)
    assert len(found) == n_errors
    if found:
        assert found[0].reason == "affine_mismatch"
        assert "up to 0.5 mm away" in found[0].wrong
        assert "is at (0.5, 0, 0) mm, that of the image at (0, 0, 0) mm" in found[0].wrong
        assert "allow_affine_mismatch: true" in found[0].fix
    allowed = {"image": {"spatial_dims": 3}, "allow_affine_mismatch": True}
    assert problems(data.read("image,mask,label\nv.nii.gz,m.nii.gz,1", **allowed)) == []


def test_a_channel_in_another_place(data):
    for name, step in (("t1.nii.gz", 1.0), ("t2.nii.gz", 1.5)):
        volume = np.random.default_rng(0).integers(0, 99, (6, 7, 8)).astype(np.int16)
        nib.save(nib.Nifti1Image(volume, np.diag([1, 1, step, 1])), data.root / name)
    text = "image_t1,image_t2,label\nt1.nii.gz,t2.nii.gz,1"
    problem = only(data.read(text, image={"spatial_dims": 3}), "affine_mismatch")
    assert problem.field == "image"
    assert "t2.nii.gz: it lies up to 3.5 mm away from the image" in problem.wrong
    assert "the spacing is (1, 1, 1.5) mm, that of the image (1, 1, 1) mm" in problem.wrong


def test_a_mask_of_some_slices_is_counted_on_the_whole_image(data):
    """As a DICOM SEG without its empty slices; here the two slices from z = 3 on."""
    volume = np.random.default_rng(0).integers(0, 99, (6, 7, 8)).astype(np.int16)
    part = np.zeros((6, 7, 2), np.uint8)
    part[1:3, 2, :] = 1
    place = np.eye(4)
    place[2, 3] = 3
    nib.save(nib.Nifti1Image(volume, np.eye(4)), data.root / "v.nii.gz")
    nib.save(nib.Nifti1Image(part, place), data.root / "m.nii.gz")
    table = data.read("image,mask,label\nv.nii.gz,m.nii.gz,1", image={"spatial_dims": 3})
    report = check_manifest(table)
    assert report.n_errors == 0
    area = report.summary["findings"]["target"]["area_fraction"]
    assert area["median"] == pytest.approx(4 / (6 * 7 * 8))


def test_the_summary_shows_the_spacing_of_the_file_else_of_the_manifest(data):
    np.savez(data.root / "v.npz", array=np.arange(80.0).reshape(8, 10), spacing_mm=[0.5, 0.7])
    rows = ("v.npz,1,2x2", "a.png,0,0.25x1", "b.png,0,", "c.png,1,0.25x1")
    table = data.read("\n".join(["image,label,spacing_mm", *rows]))
    counts = check_manifest(table).summary["images"]["spacing_mm"]
    assert counts == {"0.25 x 1": 2, "0.5 x 0.7": 1, "none": 1}


def test_a_mask_with_another_spacing(data):
    np.savez(data.root / "v.npz", array=np.arange(80.0).reshape(8, 10), spacing_mm=[0.5, 0.5])
    np.savez(data.root / "m.npz", array=np.eye(8, 10, dtype=int), spacing_mm=[0.5, 0.7])
    problem = only(data.read("image,mask,label\nv.npz,m.npz,1"), "spacing_mismatch")
    assert "m.npz: the spacing is (0.5, 0.7) mm, that of the image (0.5, 0.5) mm" in problem.wrong


@pytest.mark.parametrize(
    ("picture", "settings", "values"),
    [
        ("12", {}, "0, 1, 2"),
        ("1#", {}, "0, 1, 255"),
        ("13", {"mask_values": {1: "target", 2: "other"}}, "0, 1, 3"),
    ],
)
def test_pixel_values_that_nobody_named(data, picture, settings, values):
    data.mask("m.png", picture + "........\n" + "..........\n" * 7)
    table = data.read("image,mask,label_target\na.png,m.png,1", **settings)
    problem = only(table, "mask_values")
    assert f"m.png holds the values {values}." == problem.wrong
    assert "mask_values: {1: lesion}" in problem.fix


def test_values_of_findings_that_are_not_looked_for_may_be_named(data):
    data.mask("m.png", "12........\n" + "..........\n" * 7)
    settings = {"mask_values": {1: "organ", 2: "lesion"}, "findings": ["lesion"]}
    report = check_manifest(data.read("image,mask,label\na.png,m.png,1", **settings))
    assert report.n_errors == 0
    assert report.summary["findings"]["lesion"]["area_fraction"]["max"] == pytest.approx(1 / 80)


def test_a_jpeg_mask_and_a_palette_mask(data):
    Image.new("L", (10, 8)).save(data.root / "m.jpg")
    assert only(data.read("image,mask,label\na.png,m.jpg,0"), "lossy_mask").field == "mask"
    indexed = Image.fromarray(np.eye(8, 10, dtype=np.uint8))
    indexed.putpalette([0, 0, 0, 10, 200, 30])
    indexed.save(data.root / "p.png")
    assert problems(data.read("image,mask,label\na.png,p.png,1")) == []


@pytest.mark.parametrize(
    ("mask", "label", "says"),
    [
        ("a_mask.png", 0, "the label of target is 0, but 4 pixels are drawn."),
        ("empty.png", 1, "the label of target is 1, but the mask is empty."),
    ],
)
def test_labels_and_masks_that_contradict_each_other(data, mask, label, says):
    table = data.read(f"image,mask,label\na.png,{mask},{label}\nb.png,{mask},")
    problem = only(table, "label_mask_contradiction")
    assert problem.wrong == says
    assert "mask_class" in problem.fix


def test_class_valued_masks_contradict_nothing(data):
    table = data.read(
        "image,mask,kind\na.png,a_mask.png,benign\nb.png,a_mask.png,malignant",
        mask_class="kind",
        findings=["malignant"],
    )
    assert problems(table) == []


def test_exclusive_findings_that_overlap(data):
    data.mask("other.png", "..........\n" * 3 + "...##.....\n" * 2 + "..........\n" * 3)
    text = "image,mask_a,mask_b,label_a,label_b\na.png,a_mask.png,other.png,1,1"
    assert "2 pixels belong to several" in only(data.read(text, exclusive=True), "overlap").wrong
    assert problems(data.read(text)) == []


def test_nan_pixels_are_counted(data):
    image = np.ones((8, 10), np.float32)
    image[0, :3], image[1, 0] = np.nan, np.inf
    np.save(data.root / "n.npy", image)
    assert "4 pixels are NaN" in only(data.read("image,label\nn.npy,1"), "nan_pixels").wrong


def test_equal_pixels_leak_between_patients_and_are_a_warning_within_one(data):
    (data.root / "copy.png").write_bytes((data.root / "a.png").read_bytes())
    across = data.read("image,label,patient_id\na.png,1,p\ncopy.png,1,q")
    problem = only(across, "duplicate_pixels")
    assert problem.wrong == "the pixels are those of case a (row 2), of another patient."
    within = data.read("image,label,patient_id\na.png,1,p\ncopy.png,1,p")
    assert problems(within) == []
    assert only(within, "duplicate_pixels", "warning").row == 3


def test_flat_images_are_noted_and_not_called_copies(data):
    for name in ("e.png", "f.png"):
        Image.new("L", (10, 8), 7).save(data.root / name)
    table = data.read("image,label,patient_id\ne.png,1,p\nf.png,0,q")
    assert problems(table) == []
    assert only(table, "constant_image", "note").wrong == "2 images have one single value."


def test_a_patient_in_two_splits_is_found_without_being_named(data):
    table = data.read("""
        image, label, patient_id, split
        a.png, 1,     anna,       train
        b.png, 0,     anna,       test
        c.png, 1,     ben,        test
        d.png, 0,     ben,        test
    """)
    found = {problem.reason: problem for problem in problems(table)}
    leak = found["patient_in_two_parts"]
    assert leak.wrong == "a patient is in split test here and in train in row 2."
    assert leak.row == 3
    assert "anna" not in json.dumps(check_manifest(table).as_dict())


def test_columns_that_tell_nothing_apart_are_noted(data):
    table = data.read(
        """
        image, label_a, label_b, class_grade, class_side
        a.png, 1,       1,       II,          left
        b.png, 1,       0,       II,
        c.png, ,        0,       ,            right
    """,
        findings=["a", "b"],
    )
    found = [p for p in problems(table, "note") if p.reason == "constant_label"]
    assert [problem.wrong for problem in found] == [
        "every known label_a is 1.", "every known class_grade is 'II'.",
    ]  # fmt: skip


def test_a_class_missing_in_a_split(data):
    table = data.read("""
        image, label, split
        a.png, 1,     train
        b.png, 0,     train
        c.png, 0,     val
        d.png, 1,     val
    """)
    assert problems(table) == []
    table = data.read("image,label,split\na.png,1,train\nb.png,0,train\nc.png,0,val")
    problem = only(table, "class_missing")
    assert problem.wrong == "split val has no positive patient of target."


def test_images_that_are_not_like_the_others(data):
    data.image("rgb.png")
    Image.fromarray(np.zeros((8, 10, 3), np.uint8) + np.arange(10, dtype=np.uint8)[:, None]).save(
        data.root / "rgb.png"
    )
    np.save(data.root / "v.npy", np.random.default_rng(0).random((6, 7, 8)))
    table = data.read("image,label\na.png,1\nb.png,0\nrgb.png,0\nv.npy,1")
    found = problems(table)
    assert [(p.row, p.reason) for p in found] == [(4, "image_kind"), (5, "image_kind")]
    assert found[0].wrong == "the image has 3 channels."
    assert found[1].wrong == "the image has 3 axes."


def test_a_recipe_for_2d_over_volumes_is_one_warning(data):
    for name in ("v.npy", "w.npy"):
        np.save(data.root / name, np.random.default_rng(len(name) + ord(name[0])).random((6, 7, 8)))
    table = data.read("image,label\nv.npy,1\nw.npy,0")
    assert problems(table) == []
    warning = only(table, "spatial_dims", "warning")
    assert warning.fix == "add --set image.spatial_dims=3"


def test_channels_of_different_size_are_refused(data):
    data.image("small.png", shape=(4, 4))
    table = data.read("image_1,image_2,label\na.png,small.png,1")
    assert only(table, "shape_mismatch").field == "image"


def test_without_patients_or_labels_a_note_says_so(data):
    reasons = {problem.reason for problem in problems(data.read("image\na.png"), "note")}
    assert reasons == {"no_patients", "no_labels"}


def test_two_processes_find_the_same(data):
    text = "image,mask,label\na.png,a_mask.png,0\nb.png,empty.png,1\nc.png,,\nd.png,,"
    table = data.read(text)
    assert check_manifest(table, workers=2) == check_manifest(table, workers=1)


def test_the_text_shows_problems_then_the_data_and_shortens_long_lists(data):
    data.mask("m.png", "12........\n" + "..........\n" * 7)
    rows = "\n".join(f"{name}.png,m.png,1,{sex}" for name, sex in zip("abcd", "FFMM", strict=True))
    report = check_manifest(data.read("image,mask,label,sex\n" + rows))
    text = check_text(report, max_shown=1)
    assert text.startswith("4 errors, 0 warnings, 2 notes\n")  # no patients; labels all alike
    assert "error: row 2 (a), mask: m.png holds the values 0, 1, 2." in text
    assert "... 3 more of mask_values" in text
    assert "4 cases of 4 patients" in text
    assert "target: 4 positive, 0 negative, 0 unknown; prevalence 100.0 % of cases" in text
    assert "F (2 / 2), M (2 / 2)" in text
    assert "\n  sex: patient  # its name" in text
    assert str(data.root) not in text
