"""`mask_kind` and `mask_source`, from the manifest, the recipe and side tables; and their check."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segclf.core.errors import DataError
from segclf.core.records import MaskKind, MaskState
from segclf.manifest import check_manifest, write_side_table
from segclf.manifest.kinds import parse_kind
from segclf.manifest.text import check_text

EMPTY = "..........\n" * 8
SPOT = "..........\n" * 3 + "..##......\n" * 2 + "..........\n" * 3


def kinds(table, finding=0):
    return [case.masks[finding].kind.value for case in table.cases]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", (MaskKind.FULL, None)),
        ("full", (MaskKind.FULL, None)),
        ("point", (MaskKind.POINT, None)),
        ("box", (MaskKind.BOX, None)),
        ("dilated:5", (MaskKind.DILATED, 5.0)),
        ("dilated:2.5", (MaskKind.DILATED, 2.5)),
        ("uncertain", (MaskKind.UNCERTAIN, None)),
        ("soft", (MaskKind.SOFT, None)),
        ("dilated", None),
        ("dilated:", None),
        ("dilated:0", None),
        ("dilated:-1", None),
        ("dilated:x", None),
        ("box:3", None),
        ("Box", None),
        ("scribble", None),
    ],
)
def test_a_kind_is_a_word_and_only_dilated_has_a_radius(text, kind):
    assert parse_kind(text) == kind


def test_the_kind_of_a_case_holds_for_each_of_its_masks_that_has_none_of_its_own(data):
    table = data.read(
        """case_id,image,mask_x,mask_y,mask_kind,mask_kind_y
        a,a.png,a_mask.png,a_mask.png,box,dilated:2
        b,b.png,a_mask.png,a_mask.png,point,
        c,c.png,a_mask.png,,,full
        d,d.png,,,box,"""
    )
    assert table.findings == ("x", "y")
    assert kinds(table) == ["box", "point", "full", "full"]
    assert kinds(table, 1) == ["dilated", "point", "full", "full"]
    assert table.cases[0].masks[1].radius_px == 2.0
    assert [case.masks[0].is_truth for case in table.cases] == [False, False, True, False]
    assert table.cases[3].masks[0].state is MaskState.UNKNOWN


def test_the_recipe_may_map_any_header(data):
    text = "image,mask,how,who\na.png,a_mask.png,box,pseudo\nb.png,a_mask.png,,drawn"
    columns = {"mask_kind.spot": "how", "mask_source": "who"}
    table = data.read(text, columns=columns, findings=["spot"])
    assert kinds(table) == ["box", "full"]
    assert [case.masks[0].is_pseudo for case in table.cases] == [True, False]


def test_a_cell_that_is_no_kind_or_source_is_refused_with_what_there_is(data):
    with pytest.raises(DataError, match=r"mask_kind is 'boxes'") as caught:
        data.read("image,mask,mask_kind\na.png,a_mask.png,boxes")
    assert "full, point, box, dilated:<r>, uncertain or soft; blank is full" in str(caught.value)
    assert "row 2, column 'mask_kind'" in str(caught.value)
    with pytest.raises(DataError, match=r"'dilated' \(dilated needs a radius in pixels\)"):
        data.read("image,mask,mask_kind\na.png,a_mask.png,dilated")
    with pytest.raises(DataError, match="mask_source_target is 'Pseudo'") as caught:
        data.read("image,mask,mask_source_target\na.png,a_mask.png,Pseudo")
    assert "drawn, empty-by-label or pseudo; blank is drawn" in str(caught.value)
    text = "image,mask,mask_source\na.png,a_mask.png,Dr. X"
    assert not data.read(text, roles={"mask_source": "ignored"}).cases[0].masks[0].is_pseudo


def test_predictions_need_files_of_their_own(data):
    text = "image,mask,mask_kind\na.png,a_mask.png,soft"
    with pytest.raises(DataError, match="kind soft is an integer map of several findings"):
        data.read(text, mask_values={1: "x", 2: "y"})


def test_a_side_table_brings_the_kind_of_its_mask_and_the_manifests_does_not_hold_for_it(data):
    for name in ("p.png", "q.png"):
        data.mask(name, EMPTY)
    side = data.root / "side.parquet"
    cells = {"mask_target": ["p.png", "q.png", None], "mask_kind_target": ["uncertain", None, None]}
    cells |= {"mask_source_target": ["pseudo", None, None]}
    write_side_table(side, pd.DataFrame({"case_id": ["a", "b", "c"], **cells}))
    text = "image,mask,mask_kind,mask_source\na.png,a_mask.png,box,\nb.png,,box,pseudo"
    table = data.read(text + "\nc.png,a_mask.png,point,\nd.png,,,", side_tables=[side])
    assert kinds(table) == ["uncertain", "full", "point", "full"]
    assert [case.masks[0].is_pseudo for case in table.cases] == [True, False, False, False]
    assert "mask_kind_target" in table.frame


def test_a_table_without_kinds_stays_as_it_is(data):
    table = data.read("image,mask\na.png,a_mask.png")
    assert table.cases[0].masks[0].stamp == []
    assert not [name for name in table.frame if name.startswith("mask_")]


def test_check_counts_kinds_and_leaves_them_out_of_areas(data):
    data.mask("map.png", SPOT.replace("#", "1").replace(".........\n", "........2\n", 1))
    Image.fromarray(np.full((8, 10), 77, np.uint8)).save(data.root / "soft.png")
    data.mask("empty_point.png", EMPTY)
    table = data.read(
        """case_id,image,mask,label,mask_kind,mask_source
        a,a.png,a_mask.png,1,full,
        b,b.png,map.png,0,uncertain,pseudo
        c,c.png,soft.png,1,soft,pseudo
        d,d.png,empty_point.png,1,point,""",
        strict=False,
    )
    report = check_manifest(table)
    found = report.summary["findings"]["target"]
    assert found["masks"] == {"drawn": 2, "empty": 0, "unknown": 0}
    assert found["mask_kinds"] == {"full": 1, "point": 1}
    assert found["pseudo_masks"] == {"soft": 1, "uncertain": 1}
    assert found["area_fraction"]["n"] == 1
    assert found["area_fraction"]["median"] == 4 / 80
    errors = [problem for problem in report.problems if problem.severity == "error"]
    assert {e.reason for e in errors if e.case_id == "d"} == {
        "empty_coarse_mask", "label_mask_contradiction",
    }  # fmt: skip
    assert not [e for e in errors if e.case_id != "d"]
    text = check_text(report)
    assert "  drawn as    1 full, 1 point" in text
    assert "  pseudo      1 soft, 1 uncertain (never truth in an evaluation)" in text


def test_check_names_values_that_a_kind_cannot_have(data):
    data.mask("map.png", "3........." + "\n.........." * 7)
    Image.fromarray(np.full((8, 10, 3), [0, 1, 2], np.uint8)).save(data.root / "rgb.png")
    text = "image,mask,mask_kind\na.png,map.png,uncertain\nb.png,rgb.png,soft\nc.png,map.png,box"
    report = check_manifest(data.read(text, strict=False))
    wrong = {p.case_id: p.wrong for p in report.problems if p.severity == "error"}
    assert wrong["a"] == "map.png holds the values 0, 3."
    assert wrong["b"] == "rgb.png: the mask of kind soft holds 3 channels of uint8."
    assert wrong["c"] == "map.png holds the values 0, 3."
