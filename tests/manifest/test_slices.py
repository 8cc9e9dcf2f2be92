"""Volumes of a manifest as slices: ids, labels, axes, patients."""

import nibabel
import numpy as np
import pytest

from segclf.core.config import SplitSettings, make_recipe
from segclf.core.errors import ConfigError, DataError
from segclf.manifest import check_manifest, make_split, read_manifest, slices


@pytest.fixture
def volumes(tmp_path):
    """Volumes on disk and a manifest over them; `read(rows, **slices)` gives the table."""
    random = np.random.default_rng(0)

    def write(name, shape=(4, 5, 6), spacing=(1.0, 1.0, 3.0), positive=()):
        affine = np.diag([*spacing, 1.0])
        image = random.integers(0, 200, shape).astype(np.uint8)
        mask = np.zeros(shape, np.uint8)
        for z in positive:
            mask[1, 2, z] = 1
        for kind, array in (("image", image), ("mask", mask)):
            nibabel.save(nibabel.Nifti1Image(array, affine), tmp_path / f"{name}_{kind}.nii.gz")

    def read(text, *, notes=None, strict=True, **settings):
        lines = [line.strip() for line in text.strip().splitlines()]
        (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
        settings = {"cut": True, **settings}
        recipe = make_recipe({"manifest": "manifest.csv", "slices": settings}, where="test")
        return read_manifest(recipe, base=tmp_path, strict=strict, slice_notes=notes)

    read.folder, read.write = tmp_path, write
    return read


HEADER = "case_id,image,mask,label,patient_id,age\n"
TWO = f"""{HEADER}
    p,p_image.nii.gz,p_mask.nii.gz,1,one,50
    n,n_image.nii.gz,,0,two,60
    u,u_image.nii.gz,,1,one,50""".replace("\n\n", "\n")


def write_two(volumes):
    volumes.write("p", positive=(2, 3))
    volumes.write("n")
    volumes.write("u", shape=(4, 5, 2))


def test_each_slice_is_a_case_with_the_label_of_its_mask(volumes):
    write_two(volumes)
    table = volumes(TWO)
    assert [case.case_id for case in table.cases[:7]] == [
        "p#0", "p#1", "p#2", "p#3", "p#4", "p#5", "n#0",
    ]  # fmt: skip
    labels = {case.case_id: case.labels[0] for case in table.cases}
    assert [labels[f"p#{z}"] for z in range(6)] == [0, 0, 1, 1, 0, 0]
    assert [labels[f"n#{z}"] for z in range(6)] == [0] * 6
    assert np.isnan([labels["u#0"], labels["u#1"]]).all()  # positive, but nobody drew where
    frame = table.frame.set_index("case_id")
    assert frame.loc["p#3", ["volume_id", "slice_index", "label_target"]].tolist() == ["p", 3, 1]
    assert frame.loc["u#1", ["patient_id", "age", "slice_spacing_mm"]].tolist() == ["one", 50, 3]
    assert len(table.rows) == len(table.mask_files) == len(table.cases) == 14
    assert [case.case_id for case in table.source.cases] == ["p", "n", "u"]


def test_the_axis_is_that_of_the_largest_spacing_unless_the_recipe_names_one(volumes):
    volumes.write("x", spacing=(4.0, 1.0, 1.0))
    volumes.write("about", spacing=(1.0, 1.005, 1.0))
    text = f"{HEADER}x,x_image.nii.gz,,0,a,1\nabout,about_image.nii.gz,,0,b,1"
    axes = {case.volume_id: (case.cut.axis, case.cut.n_slices) for case in volumes(text).cases}
    assert axes == {"x": (0, 4), "about": (2, 6)}
    axes = {case.cut.axis for case in volumes(text, axis="y").cases}
    assert axes == {1}
    assert len(volumes(text, axis="y").cases) == 10


def test_all_slices_of_a_patient_are_in_one_part(volumes):
    text = HEADER
    for k in range(12):
        volumes.write(f"v{k}", shape=(4, 5, 3), positive=(1,) if k % 2 else ())
        text += f"v{k},v{k}_image.nii.gz,v{k}_mask.nii.gz,{k % 2},p{k % 12},1\n"
    table = volumes(text)
    split = make_split(table, SplitSettings(fractions=(0.34, 0.33, 0.33)), seed=0)
    assert len(split) == 36
    assert split.groupby("patient_id")["split"].nunique().max() == 1
    both = split.merge(table.source.frame, on="patient_id").groupby("split")["label_target"]
    assert both.mean().to_list() == [0.5, 0.5, 0.5]  # stratified by the volume's label


def test_masks_are_read_once_and_again_if_they_change(volumes, monkeypatch, tmp_path):
    write_two(volumes)
    notes = tmp_path / "slices.json"
    first = volumes(TWO, notes=notes)
    reads = []
    plain = slices.read_mask
    monkeypatch.setattr(slices, "read_mask", lambda path: reads.append(path.name) or plain(path))
    again = volumes(TWO, notes=notes)
    assert reads == []
    assert str(again.cases) == str(first.cases)
    volumes.write("p", shape=(4, 5, 7), positive=(6,))
    changed = volumes(TWO, notes=notes)
    assert reads == ["p_mask.nii.gz"]
    assert [case.labels[0] for case in changed.cases[:7]] == [0, 0, 0, 0, 0, 0, 1]
    notes.write_text("{")
    assert len(volumes(TWO, notes=notes).cases) == 15


def test_a_volume_that_cannot_be_read_stays_as_one_case(volumes):
    write_two(volumes)
    (volumes.folder / "p_image.nii.gz").write_bytes(b"no volume")
    cases = [case for case in volumes(TWO).cases if case.volume_id == "p"]
    assert [case.case_id for case in cases] == ["p#0"]
    assert np.isnan(cases[0].labels[0])


def test_a_check_reads_each_volume_once_and_says_what_is_wrong(volumes):
    write_two(volumes)
    assert check_manifest(volumes(TWO, strict=False)).n_errors == 0
    (volumes.folder / "n_image.nii.gz").write_bytes(b"no volume")
    problems = check_manifest(volumes(TWO, strict=False)).problems
    assert [p.case_id for p in problems if p.severity == "error"] == ["n"]


def test_a_table_that_cannot_be_read_is_refused_as_ever(volumes):
    with pytest.raises(DataError, match="does not exist"):
        volumes(f"{HEADER}p,p_image.nii.gz,,0,a,1")


SLICES = """case_id,image,label,volume_id,slice_index
    a1,a.png,0,v,1
    a2,b.png,0,v,2
    a4,c.png,1,v,4
    b0,d.png,0,w,0"""


def test_slices_that_are_files_get_their_neighbours_as_channels(data):
    table = data.read(SLICES, slices={"neighbours": 1})
    names = {case.case_id: [path.stem for path in case.images] for case in table.cases}
    # 3 is not there, so 2 and 4 stand for it themselves; beyond the ends the last one repeats
    assert names == {"a1": [*"aab"], "a2": [*"abb"], "a4": [*"ccc"], "b0": [*"ddd"]}
    two = data.read(SLICES, slices={"neighbours": 2})
    assert [path.stem for path in two.cases[1].images] == [*"aabbc"]


def test_neighbours_need_to_know_which_slice_a_case_is(data):
    with pytest.raises(ConfigError, match="which slice of which volume"):
        data.read("image,label\na.png,0", slices={"neighbours": 1})
    twice = SLICES.replace("v,2", "v,1")
    with pytest.raises(ConfigError, match="each once"):
        data.read(twice, slices={"neighbours": 1})
    with pytest.raises(ConfigError, match="beyond the ends"):
        data.read(SLICES, slices={"neighbours": 1, "edge": "zero"})
