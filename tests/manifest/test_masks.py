"""Integer maps, class-valued masks, several findings, and side tables."""

import hashlib
import math

import pandas as pd
import pytest

from segclf.core.errors import ConfigError, DataError
from segclf.core.records import MaskState
from segclf.manifest import write_side_table


def states(table):
    return [tuple(source.state.value for source in case.masks) for case in table.cases]


def test_pixel_values_divide_one_map_among_the_findings(data):
    table = data.read(
        "image,mask\na.png,a_mask.png\nb.png,",
        mask_values={1: "anterior", 2: "posterior", 3: "posterior"},
    )
    assert table.findings == ("anterior", "posterior")
    assert [source.values for source in table.cases[0].masks] == [(1,), (2, 3)]
    assert states(table)[1] == ("unknown", "unknown")
    assert table.mask_files[0] == (data.root / "a_mask.png",)


def test_a_map_says_nothing_of_a_finding_that_has_no_value_in_it(data):
    table = data.read(
        "image,mask,mask_lesion\na.png,a_mask.png,empty.png\nb.png,a_mask.png,",
        findings=["organ", "lesion"],
        mask_values={1: "organ"},
    )
    assert states(table) == [("drawn", "drawn"), ("drawn", "unknown")]
    assert table.cases[0].masks[1].values is None


def test_a_finding_without_a_pixel_value_is_suggested_the_near_one(data):
    with pytest.raises(ConfigError, match="no pixel value is named 'tumour'") as caught:
        data.read("image,mask\na.png,a_mask.png", findings=["tumour"], mask_values={1: "tumor"})
    assert "'tumor'" in caught.value.fix


def test_the_value_0_is_background(data):
    with pytest.raises(ConfigError, match="names the value 0"):
        data.read("image,mask\na.png,a_mask.png", mask_values={0: "air", 1: "lesion"})
    for settings in (
        {"mask_values": {0: "background"}},
        {"findings": ["background"], "mask_values": {1: "background", 2: "lesion"}},
    ):
        with pytest.raises(ConfigError, match="that of pixels of no finding"):
            data.read("image,mask\na.png,a_mask.png", **settings)


def test_each_finding_has_its_own_mask_and_free_empty_masks(data):
    table = data.read("""
        image, mask_a,     mask_b,    label_a, label_b
        a.png, a_mask.png, empty.png, 1,       0
        b.png, a_mask.png, ,          1,       0
        c.png, ,           ,          0,
    """)
    assert states(table) == [("drawn", "drawn"), ("drawn", "empty"), ("empty", "unknown")]


CLASSES = """
    image, mask,       kind,      label
    a.png, a_mask.png, malignant, 1
    b.png, a_mask.png, benign,    0
    c.png, empty.png,  normal,    0
    d.png, a_mask.png, ,          0
"""


def test_class_valued_masks_take_the_category_of_the_row(data):
    table = data.read(CLASSES, mask_class="kind", mask_class_empty=["normal"])
    assert table.findings == ("benign", "malignant")
    assert states(table) == [
        ("empty", "drawn"), ("drawn", "empty"), ("empty", "empty"), ("unknown", "unknown"),
    ]  # fmt: skip
    labels = [case.labels for case in table.cases]
    assert labels[:3] == [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)]
    assert all(map(math.isnan, labels[3]))
    assert table.roles == {"kind": "derived"}
    assert table.frame["kind"].tolist()[:3] == ["malignant", "benign", "normal"]
    assert table.frame["label"].tolist() == [1, 0, 0, 0]  # the file's own column is metadata
    assert all(files for files in table.mask_files)  # check reads masks of every class


def test_a_category_that_is_no_finding_counts_as_another_class(data):
    table = data.read(CLASSES, mask_class="kind", findings=["malignant"])
    assert states(table) == [("drawn",), ("empty",), ("empty",), ("unknown",)]


def test_a_free_empty_mask_does_not_follow_from_a_label_of_class_valued_masks(data):
    table = data.read(CLASSES, mask_class="kind", findings=["malignant"])
    assert table.cases[3].masks[0].state is MaskState.UNKNOWN  # although its label column says 0


def test_a_category_or_class_column_that_is_not_there_is_named(data):
    table = data.read(CLASSES, mask_class="kind", findings=["malignnat"], strict=True)
    assert any("'malignant'" in problem.fix for problem in table.problems)
    with pytest.raises(ConfigError, match="no column called 'kinds'") as caught:
        data.read(CLASSES, mask_class="kinds")
    assert "'kind'" in caught.value.fix
    table = data.read("image\na.png", mask_class="kinds", findings=["x"], need_truth=False)
    assert states(table) == [("unknown",)]


def side(data, name="pseudo.parquet", **columns):
    path = data.root.parent / "run" / name
    write_side_table(path, pd.DataFrame(columns))
    return path


def test_a_side_table_fills_masks_from_its_own_folder(data):
    (data.root.parent / "run").mkdir()
    data.mask("../run/p.png", "..........\n" * 8)
    path = side(data, case_id=["b", "c"], mask_target=["p.png", None], mask_source=["pseudo", None])
    table = data.read("image,mask,label\na.png,a_mask.png,1\nb.png,,\nc.png,,1", side_tables=[path])
    assert states(table) == [("drawn",), ("drawn",), ("unknown",)]
    assert table.cases[1].masks[0].path == data.root.parent / "run" / "p.png"
    assert table.frame["mask_source"].tolist()[1] == "pseudo"
    assert table.frame["mask_source"].isna().tolist() == [True, False, True]
    parts = ((data.root / "manifest.csv").read_bytes(), path.read_bytes())
    digests = "".join(hashlib.sha256(part).hexdigest() for part in parts)
    assert table.sha256 == hashlib.sha256(digests.encode()).hexdigest()


def test_a_blank_cell_of_a_side_table_leaves_the_manifests_own(data):
    path = side(data, case_id=["a", "b"], mask_target=[None, None], label_target=[None, 1])
    table = data.read("image,mask,label\na.png,a_mask.png,1\nb.png,,", side_tables=[path])
    assert states(table) == [("drawn",), ("unknown",)]
    assert [case.labels[0] for case in table.cases] == [1.0, 1.0]


def test_a_side_table_may_not_leave_its_folder(data):
    path = side(data, case_id=["b"], mask=["../data/a_mask.png"])
    with pytest.raises(DataError, match="not allowed"):
        data.read("image,mask,label\na.png,,1\nb.png,,", side_tables=[path])


def test_a_later_side_table_wins_and_labels_can_be_filled(data):
    first = side(data, "one.parquet", case_id=["b", "c"], label=[1, 1], site=["x", "y"])
    second = side(data, "two.parquet", case_id=["b"], label_target=[0])
    table = data.read("image,label\na.png,1\nb.png,\nc.png,0", side_tables=[first, second])
    assert [case.labels[0] for case in table.cases] == [1.0, 0.0, 1.0]
    assert states(table) == [("unknown",), ("empty",), ("unknown",)]
    assert table.frame["site"].tolist()[1:] == ["x", "y"]


def test_a_pseudo_mask_settles_what_class_values_leave_unknown(data):
    (data.root.parent / "run").mkdir()
    data.mask("../run/p.png", "..........\n" * 8)
    path = side(data, case_id=["d"], mask_malignant=["p.png"])
    table = data.read(CLASSES, mask_class="kind", findings=["malignant"], side_tables=[path])
    assert states(table)[3] == ("drawn",)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"case_id": ["zz"], "label": [1]}, "'zz' is not in the manifest"),
        ({"case_id": ["a"], "split": ["test"]}, "holds the column 'split'"),
        ({"case_id": ["a"], "image": ["b.png"]}, "holds the column 'image'"),
        ({"case_id": ["a"], "mask_other": ["b.png"]}, "'mask_other' is of no finding"),
    ],
)
def test_a_side_table_that_does_not_fit_is_refused(data, columns, says):
    with pytest.raises(DataError, match=says):
        data.read("image,label\na.png,1", side_tables=[side(data, **columns)])


def test_a_side_table_names_each_case_once(data):
    with pytest.raises(ValueError, match="each case_id once"):
        side(data, case_id=["a", "a"], label=[1, 0])
    with pytest.raises(ValueError, match="each case_id once"):
        side(data, "table.csv", case_id=["a"], label=[1])
