"""The phantom on disk, read back with tools that know nothing of segclf."""

import csv

import nibabel
import numpy as np
import pytest
from PIL import Image

from segclf.core.config import load_recipe
from segclf.manifest import check_manifest, read_manifest
from segclf.phantom import PhantomSettings, draw_case, phantom_recipe, write_phantom

FEW = {"train": 6, "val": 2, "test": 4}


@pytest.fixture
def rows():
    def read(manifest):
        with open(manifest, newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    return read


def test_images_and_masks_are_png_files_that_hold_what_was_drawn(tmp_path, rows):
    settings = PhantomSettings(n_cases=FEW)
    table = rows(write_phantom(tmp_path / "data", settings))
    assert len(table) == 12
    for number, row in enumerate(table[:6]):
        case = draw_case(settings, "train", number)
        image = np.asarray(Image.open(tmp_path / "data" / row["image"]))
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, case.image[0])
        assert row["label"] == str(case.labels[0])
        assert bool(row["mask"]) == (row["label"] == "1")
        if row["mask"]:
            mask = np.asarray(Image.open(tmp_path / "data" / row["mask"]))
            np.testing.assert_array_equal(mask, 255 * case.masks[0])
    n_positive = sum(row["label"] == "1" for row in table)
    assert 0 < n_positive < 12
    assert len(list((tmp_path / "data" / "masks").iterdir())) == n_positive


def test_volumes_are_nifti_files_with_their_spacing(tmp_path, rows):
    settings = PhantomSettings(n_cases=dict.fromkeys(FEW, 2), spatial_dims=3, size_px=(20, 24, 16))
    table = rows(write_phantom(tmp_path, settings))
    assert "spacing_mm" not in table[0]
    for number, row in enumerate(table[:2]):
        volume = nibabel.load(tmp_path / row["image"])
        assert volume.shape == (20, 24, 16)
        assert volume.header.get_zooms() == (1.0, 1.0, 2.0)
        assert nibabel.aff2axcodes(volume.affine) == ("R", "A", "S")
        drawn = draw_case(settings, "train", number)
        np.testing.assert_array_equal(np.asarray(volume.dataobj), drawn.image[0])
        if row["mask"]:
            mask = np.asarray(nibabel.load(tmp_path / row["mask"]).dataobj)
            np.testing.assert_array_equal(mask, drawn.masks[0])


def test_the_manifest_has_a_column_per_finding_and_head_and_blanks_where_unknown(tmp_path, rows):
    settings = PhantomSettings(
        n_cases={"train": 30, "val": 2, "test": 2}, size_px=(24, 24), n_findings=2, n_heads=1,
        n_classes=4, missing_labels=0.5, missing_masks=0.5, spacing_mm=(0.5, 2.0),
    )  # fmt: skip
    table = rows(write_phantom(tmp_path, settings))
    assert list(table[0]) == [
        "case_id", "image", "mask_lesion", "mask_edema", "label_lesion", "label_edema",
        "spacing_mm", "patient_id", "split", "sex", "site", "age_years", "target_size", "tube",
        "class_density", "class_kind",
    ]  # fmt: skip
    assert {row["spacing_mm"] for row in table} == {"0.5x2"}
    assert {row["label_lesion"] for row in table} == {"0", "1", ""}
    assert {row["class_kind"] for row in table} >= {"", "kind00", "kind01"}
    drawn_but_lost = [row for row in table if row["label_edema"] == "1" and not row["mask_edema"]]
    assert drawn_but_lost
    for row in table:
        for column in ("mask_lesion", "mask_edema"):
            assert not row[column] or (tmp_path / row[column]).is_file()


def test_the_manifest_is_read_and_checked_without_a_problem(tmp_path):
    settings = PhantomSettings(n_cases={"train": 12, "val": 12, "test": 12}, n_findings=2)
    manifest = write_phantom(tmp_path, settings)
    table = read_manifest(load_recipe(tmp_path / "recipe.yaml"), base=manifest.parent)
    problems = check_manifest(table, workers=0, progress=lambda event: None).problems
    assert [problem for problem in problems if problem.severity == "error"] == []
    assert table.findings == ("lesion", "edema")
    assert table.cases[0].spacing_mm == (1.0, 1.0)


def test_writing_twice_gives_the_same_bytes_of_the_table(tmp_path):
    settings = PhantomSettings(n_cases=dict.fromkeys(FEW, 2), size_px=(16, 16))
    first, second = (write_phantom(tmp_path / name, settings) for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_the_recipe_beside_the_manifest_names_it_and_only_columns_it_has(tmp_path, rows):
    settings = PhantomSettings(n_cases=dict.fromkeys(FEW, 2), size_px=(16, 16))
    manifest = write_phantom(tmp_path / "my data", settings)
    recipe = load_recipe(tmp_path / "my data" / "recipe.yaml")
    assert recipe == phantom_recipe(settings)
    assert recipe.data == "phantom"
    assert recipe.manifest == manifest.name
    columns = set(rows(manifest)[0])
    named = {*recipe.roles, *recipe.evaluate.by, recipe.evaluate.shortcut}
    assert named <= columns
    assert recipe.evaluate.shortcut == "tube"
    assert recipe.roles["target_size"] == "derived"


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_the_recipe_fits_the_number_of_dimensions(spatial_dims):
    recipe = phantom_recipe(PhantomSettings(spatial_dims=spatial_dims, n_findings=2))
    assert recipe.image.spatial_dims == spatial_dims
    assert recipe.findings == ("lesion", "edema")
    assert (recipe.network.name == "unet") == (spatial_dims == 2)
