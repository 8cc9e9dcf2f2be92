"""The four real sets: they read, check clean, and their derived columns are recognized."""

import os
from pathlib import Path

import pytest

from segclf.core.config import make_recipe
from segclf.manifest import check_manifest, read_manifest

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif("SEGCLF_REALDATA" not in os.environ, reason="SEGCLF_REALDATA is not set"),
]

BLEEDS = {"intraventricular", "intraparenchymal", "subarachnoid", "epidural", "subdural"}
SETS = {
    "ct_ich_2d": ({}, 1052, 75, BLEEDS | {"target_area_fraction"}),
    "ct_ich_3d": (
        {"image": {"spatial_dims": 3}},
        75,
        75,
        BLEEDS | {"n_positive_slices", "target_voxel_fraction"},
    ),
    "busi_breast_us": (
        {"mask_class": "class_name", "mask_class_empty": ["normal"]},
        767,
        600,
        {"label", "class_name", "lesion_present", "n_lesion_masks", "lesion_area_fraction"},
    ),
    "hippocampus_3d": (
        {
            "image": {"spatial_dims": 3},
            "mask_values": {1: "anterior", 2: "posterior"},
            "roles": {"label": "derived"},
        },
        44,
        44,
        {"volume_mm3", "anterior_mm3", "posterior_mm3", "target_voxel_fraction", "label"},
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_a_real_set_checks_clean_and_its_derived_columns_are_found(name):
    settings, n_cases, n_patients, derived = SETS[name]
    folder = Path(os.environ["SEGCLF_REALDATA"]) / name
    recipe = make_recipe({"manifest": str(folder / "manifest.csv"), **settings}, where=name)
    report = check_manifest(read_manifest(recipe, strict=False))
    assert report.n_errors == 0, report.problems[:3]
    assert report.summary["n_cases"] == n_cases
    assert report.summary["n_patients"] == n_patients
    suggested = report.summary["suggested_roles"]
    assert {column for column, s in suggested.items() if s["role"] == "derived"} == derived
    for column in ("age_years", "sex", "skull_fracture"):
        if column in report.summary["groups"]:
            assert suggested.get(column, {"role": "patient"})["role"] == "patient"
