"""The recipe's mapping of columns, and what stands in for it."""

import pytest

from segclf.core.config import make_recipe
from segclf.core.errors import ConfigError, DataError
from segclf.manifest.columns import resolve_columns


def layout(headers, **settings):
    return resolve_columns(headers.split(), make_recipe(settings, where="test"))


def test_a_mapping_wins_over_names():
    found = layout(
        "image mask label lesion_present patient_id subject",
        columns={"label.lesion": "lesion_present", "patient_id": "subject", "mask.lesion": "mask"},
    )
    assert found.findings == ("lesion",)
    assert found.labels == {"lesion": "lesion_present"}
    assert found.masks == {"lesion": "mask"}
    assert found.single["patient_id"] == "subject"
    assert found.metadata == ("label", "patient_id")


def test_a_mapped_column_plays_no_second_part_by_its_name():
    found = layout("image label_b mask_c", columns={"label.a": "label_b", "mask.a": "mask_c"})
    assert found.findings == ("a",)
    assert (found.labels, found.masks) == ({"a": "label_b"}, {"a": "mask_c"})


def test_a_mapped_column_without_a_suffix_belongs_to_the_one_finding():
    found = layout("picture seg y label", columns={"image": "picture", "mask": "seg", "label": "y"})
    assert found.findings == ("target",)
    assert (found.images, found.shared_mask, found.labels) == (("picture",), "seg", {"target": "y"})
    assert found.metadata == ("label",)


def test_a_mapped_plain_mask_beats_one_found_by_its_name():
    found = layout("image seg mask_lesion label_lesion", columns={"mask": "seg"})
    assert found.findings == ("lesion",)
    assert found.masks == {}
    assert found.shared_mask == "seg"


def test_findings_come_from_suffixes_in_column_order():
    assert layout("image label_b mask_a label_a").findings == ("b", "a")
    assert layout("image mask label").findings == ("target",)


def test_findings_come_from_pixel_values_in_their_order():
    values = {2: "posterior", 1: "anterior", 3: "posterior"}
    assert layout("image mask", mask_values=values).findings == ("anterior", "posterior")


def test_a_recipe_limits_the_findings_and_the_rest_is_metadata():
    found = layout("image mask_a label_a label_b label_quality", findings=["a"])
    assert found.labels == {"a": "label_a"}
    assert found.metadata == ("label_b", "label_quality")


def test_a_plain_label_for_several_findings_is_refused_unless_it_is_put_aside():
    for settings in ({"findings": ["a", "b"]}, {"mask_values": {1: "a", 2: "b"}}):
        with pytest.raises(DataError, match="'label' could be the label of any of 2") as caught:
            layout("image label", **settings)
        assert "label.a: label" in caught.value.fix
        assert layout("image label", roles={"label": "derived"}, **settings).labels == {}


def test_a_plain_mask_for_several_findings_needs_values():
    with pytest.raises(DataError, match="'mask' could be the mask of any of 2") as caught:
        layout("image mask label_a label_b")
    assert "mask_values: {1: a, 2: b}" in caught.value.fix


def test_class_valued_masks_take_no_label_column():
    found = layout("image mask label kind", mask_class="kind", findings=["malignant"])
    assert found.labels == {}
    assert found.metadata == ("label", "kind")
    with pytest.raises(ConfigError, match="both say what the label is"):
        layout("image mask y kind", mask_class="kind", columns={"label": "y"})


def test_the_category_of_class_valued_masks_is_no_head_of_its_own():
    found = layout("image mask class_name class_density", mask_class="class_name")
    assert found.classes == {"density": "class_density"}
    assert found.metadata == ("class_name",)


def test_reserved_names_are_not_findings():
    found = layout("image mask mask_source mask_kind n_findings label")
    assert found.findings == ("target",)
    assert set(found.single) == {"mask_source", "mask_kind", "n_findings"}


@pytest.mark.parametrize(
    ("columns", "says", "fix"),
    [
        ({"label.lesion": "lesion_presnt"}, "no column called 'lesion_presnt'", "'lesion_present'"),
        ({"pateint_id": "subject"}, "no role called 'pateint_id'", "'patient_id'"),
        ({"class": "subject"}, "no role called 'class'", "class.NAME"),
    ],
)
def test_a_mapping_that_does_not_fit_suggests_the_nearest(columns, says, fix):
    with pytest.raises(ConfigError, match=says) as caught:
        layout("image lesion_present subject", columns=columns)
    assert fix in str(caught.value)
    assert "columns." in caught.value.where


def test_a_mapping_for_a_finding_that_the_recipe_does_not_name_is_refused():
    with pytest.raises(ConfigError, match="no finding called 'lesoin'") as caught:
        layout("image m", columns={"mask.lesoin": "m"}, findings=["lesion"])
    assert "'lesion'" in caught.value.fix


def test_without_an_image_column_the_mapping_is_shown():
    with pytest.raises(DataError, match="no image column") as caught:
        layout("file label")
    assert "columns: {image: HEADER}" in caught.value.fix


def test_one_image_column_leaves_its_namesakes_to_metadata():
    found = layout("image image_quality label")
    assert found.images == ("image",)
    assert found.metadata == ("image_quality",)


def test_new_cases_may_lack_what_is_mapped_for_truth_but_not_the_image():
    recipe = make_recipe({"columns": {"label.a": "y", "mask.a": "m"}, "findings": ["a"]}, where="")
    assert resolve_columns(["image"], recipe, need_truth=False).labels == {}
    strict = make_recipe({"columns": {"image": "picture"}}, where="")
    with pytest.raises(ConfigError, match="'picture'"):
        resolve_columns(["image"], strict, need_truth=False)


def test_repeated_findings_are_refused():
    with pytest.raises(ConfigError, match="not distinct"):
        layout("image label", findings=["a", "a"])
