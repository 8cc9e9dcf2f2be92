"""Manifest to cases: ids, labels, mask states, metadata, and what each bad row says."""

import hashlib
import math
import os
import time

import numpy as np
import pandas as pd
import pytest

from segclf.core.config import make_recipe
from segclf.core.errors import ConfigError, DataError
from segclf.core.records import MaskSource, MaskState
from segclf.manifest import make_split, read_manifest


def states(table):
    return [tuple(source.state.value for source in case.masks) for case in table.cases]


def test_the_three_mask_states(data):
    table = data.read("""
        image, mask,       label
        a.png, a_mask.png, 1
        b.png, ,           0
        c.png, ,           1
        d.png, ,
    """)
    assert states(table) == [("drawn",), ("empty",), ("unknown",), ("unknown",)]
    assert table.findings == ("target",)
    assert [case.labels[0] for case in table.cases[:3]] == [1.0, 0.0, 1.0]
    assert math.isnan(table.cases[3].labels[0])
    assert table.cases[0].masks[0] == MaskSource(MaskState.DRAWN, data.root / "a_mask.png")
    assert table.cases[0].images == (data.root / "a.png",)


def test_a_drawn_mask_stays_drawn_where_the_label_is_0(data):
    table = data.read("image,mask,label\na.png,empty.png,0")
    assert states(table) == [("drawn",)]


def test_the_case_id_defaults_to_the_stem_and_the_patient_to_the_case(data):
    (data.root / "deep").mkdir()
    data.image("deep/scan.1.nii.gz")
    table = data.read("image,label\na.png,1\ndeep/scan.1.nii.gz,0")
    assert [case.case_id for case in table.cases] == ["a", "scan.1"]
    assert [case.patient_id for case in table.cases] == ["a", "scan.1"]
    assert not table.has_patients


def test_na_like_and_zero_padded_ids_stay_the_texts_they_are(data):
    table = data.read("""
        image, case_id, patient_id, label, code
        a.png, NA,      007,        1,     007
        b.png, null,    nan,        0,     8
        c.png, 1e5,     None,       0,
    """)
    assert [case.case_id for case in table.cases] == ["NA", "null", "1e5"]
    assert [case.patient_id for case in table.cases] == ["007", "nan", "None"]
    assert table.frame["code"].tolist()[:2] == ["007", "8"]
    assert table.frame["code"].isna().tolist() == [False, False, True]


def test_a_byte_order_mark_and_windows_line_ends_are_read(data):
    text = "\ufeffimage,label\r\na.png,1\r\n\r\nb.png,0\r\n"
    (data.root / "manifest.csv").write_bytes(text.encode())
    table = read_manifest(make_recipe({"manifest": "manifest.csv"}, where=""), base=data.root)
    assert [case.case_id for case in table.cases] == ["a", "b"]
    assert table.rows == (2, 4)


def test_composed_and_decomposed_spellings_are_one_id(data):
    with pytest.raises(DataError, match="also stands in row 2"):
        data.read("image,case_id,label\na.png,Mu\u0308ller,1\nb.png,M\u00fcller,0")


def test_metadata_become_numbers_only_if_all_are(data):
    table = data.read("""
        image, label, age, n, dose, sex, mixed
        a.png, 1,     35.5, 1, 1e-3, F,  1
        b.png, 0,     ,     2, -2,   ,   x
    """)
    frame = table.frame
    assert frame["age"].dtype == float
    assert frame["age"].isna().tolist() == [False, True]
    assert frame["n"].dtype == np.int64
    assert frame["dose"].tolist() == [0.001, -2.0]
    assert frame["sex"].isna().tolist() == [False, True]
    assert frame["mixed"].tolist() == ["1", "x"]
    assert list(frame.columns[:2]) == ["case_id", "patient_id"]
    assert "image" not in frame
    assert "mask" not in frame


def test_labels_may_be_written_as_floats(data):
    table = data.read("image,label\na.png,1.0\nb.png,0.0\nc.png,")
    np.testing.assert_array_equal(table.frame["label_target"], [1.0, 0.0, np.nan])


@pytest.mark.parametrize(
    ("cell", "column", "says"),
    [
        ("2", "label", "the label is '2'"),
        ("yes", "label", "the label is 'yes'"),
        ("-1", "label", "the label is '-1'"),
        ("nan", "label", "the label is 'nan'"),
        ("", "patient_id", "the id is blank"),
        ("training", "split", "the split is 'training'"),
        ("", "split", "the split is ''"),
        ("-1", "fold", "fold is '-1'"),
        ("1.5", "fold", "fold is '1.5'"),
        ("0.5x0.5x5", "spacing_mm", "the spacing is '0.5x0.5x5'"),
        ("0x1", "spacing_mm", "the spacing is '0x1'"),
        ("x", "slice_index", "slice_index is 'x'"),
        ("gone.png", "mask", "'gone.png' does not exist"),
        ("../secret.png", "mask", "'../secret.png' is not allowed"),
        ("/etc/passwd", "mask", "'/etc/passwd' is not allowed"),
    ],
)
def test_a_bad_cell_names_its_row_its_column_and_the_value(data, cell, column, says):
    fine = {"split": "train", "mask": "", "spacing_mm": ""}.get(column, "0")
    text = f"image,{column}\na.png,{fine}\nb.png,{cell}"
    with pytest.raises(DataError) as caught:
        data.read(text)
    message = str(caught.value)
    assert says in message
    assert f"manifest.csv, row 3, column {column!r}" in message
    assert str(data.root) not in message
    table = data.read(text, strict=False)
    assert [case.case_id for case in table.cases] == ["a"]
    assert [(p.row, p.case_id, p.field) for p in table.problems] == [(3, "b", column)]


def test_one_error_names_the_first_problem_and_counts_the_others(data):
    with pytest.raises(DataError, match=r"the label is '7' \(and 2 more problems\)") as caught:
        data.read("image,label\na.png,7\nb.png,8\nnone.png,1")
    assert "segclf check" in caught.value.fix
    assert "row 2" in caught.value.where


def test_repeated_case_ids_are_refused_with_both_rows(data):
    with pytest.raises(DataError, match="'a' also stands in row 2") as caught:
        data.read("image,label\na.png,1\na.png,1")
    assert "row 3" in caught.value.where
    assert "add a column case_id" in caught.value.fix


def test_a_blank_image_is_refused(data):
    with pytest.raises(DataError, match="the image is blank"):
        data.read("image,case_id,label\na.png,a,1\n,b,0")


@pytest.mark.parametrize(
    ("text", "n_dims", "expected"),
    [("0.5x0.5x5", 3, (0.5, 0.5, 5.0)), ("0.5 2", 2, (0.5, 2.0)), ("(0.5, 2)", 2, (0.5, 2.0)),
     ("0.5\u00d72", 2, (0.5, 2.0)), ("0.7", 3, (0.7, 0.7, 0.7)), ("[1;2]", 2, (1.0, 2.0))],
)  # fmt: skip
def test_a_spacing_is_read_from_common_spellings(data, text, n_dims, expected):
    cell = f'"{text}"'
    table = data.read(
        f"image,label,spacing_mm\na.png,1,{cell}\nb.png,0,", image={"spatial_dims": n_dims}
    )
    assert table.cases[0].spacing_mm == expected
    assert table.cases[1].spacing_mm is None


def test_volumes_slices_and_heads_reach_the_case(data):
    table = data.read("""
        image, label, volume_id, slice_index, class_density
        a.png, 1,     v1,        0,           L
        b.png, 0,     ,          ,
    """)
    first, second = table.cases
    assert (first.volume_id, first.slice_index, first.classes) == ("v1", 0, {"density": "L"})
    assert (second.volume_id, second.slice_index, second.classes) == (None, None, {})
    assert table.frame["class_density"].isna().tolist() == [False, True]


def test_channels_come_in_column_order(data):
    table = data.read("image_t2,label,image_adc\na.png,1,b.png")
    assert [path.name for path in table.cases[0].images] == ["a.png", "b.png"]


def test_a_recipe_may_point_to_another_data_root(data, tmp_path, monkeypatch):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "cases.csv").write_text("image,label\na.png,1\n")
    recipe = make_recipe({"manifest": "cases.csv", "data_root": "../data"}, where="")
    table = read_manifest(recipe, base=tmp_path / "tables")
    assert table.root == data.root.resolve()
    monkeypatch.setenv("MY_DATA", str(data.root))
    expanded = make_recipe({"manifest": "cases.csv", "data_root": "${MY_DATA}"}, where="")
    assert read_manifest(expanded, base=tmp_path / "tables").root == data.root.resolve()


def test_variables_are_expanded_in_the_recipe_and_never_in_the_table(data, monkeypatch):
    monkeypatch.setenv("NAME", "a")
    with pytest.raises(DataError, match=r"'\$\{NAME\}\.png' does not exist"):
        data.read("image,label\n${NAME}.png,1")
    monkeypatch.delenv("NAME")
    recipe = make_recipe({"manifest": "${NAME}/manifest.csv"}, where="")
    with pytest.raises(ConfigError, match="NAME is not set") as caught:
        read_manifest(recipe, base=data.root)
    assert "export NAME" in caught.value.fix


def test_a_data_root_or_manifest_that_is_not_there_is_named(data):
    with pytest.raises(DataError, match="data root does not exist"):
        data.read("image,label\na.png,1", data_root="nowhere")
    with pytest.raises(DataError, match=r"'no\.csv' cannot be read"):
        read_manifest(make_recipe({"manifest": "no.csv"}, where=""), base=data.root)
    with pytest.raises(ConfigError, match="names no manifest"):
        read_manifest(make_recipe({}, where=""), base=data.root)


def test_links_and_pipes_do_not_leave_the_data_root(data, tmp_path):
    (tmp_path / "secret.png").write_bytes((data.root / "a.png").read_bytes())
    (data.root / "link.png").symlink_to(tmp_path / "secret.png")
    os.mkfifo(data.root / "pipe.png")
    for name, reason in (("link.png", "outside_root"), ("pipe.png", "not_a_file")):
        table = data.read(f"image,label\na.png,1\n{name},0", strict=False)
        assert [problem.reason for problem in table.problems] == [reason]
        assert len(table.cases) == 1


def test_the_hash_is_that_of_the_bytes(data):
    table = data.read("image,label\na.png,1")
    content = (data.root / "manifest.csv").read_bytes()
    assert table.sha256 == hashlib.sha256(content).hexdigest()


def test_a_parquet_manifest_reads_like_the_csv(data):
    csv_table = data.read("""
        image, mask,       label, patient_id, age, flag, sex
        a.png, a_mask.png, 1,     7,          35.5, 1,   F
        b.png, ,           0,     7,          ,     0,
        c.png, ,           ,      8,          40.0, 1,   M
    """)
    frame = pd.DataFrame(
        {
            "image": ["a.png", "b.png", "c.png"],
            "mask": ["a_mask.png", None, None],
            "label": [1.0, 0.0, np.nan],
            "patient_id": [7, 7, 8],
            "age": [35.5, np.nan, 40.0],
            "flag": [True, False, True],
            "sex": ["F", None, "M"],
        }
    )
    frame.to_parquet(data.root / "cases.parquet")
    table = read_manifest(make_recipe({"manifest": "cases.parquet"}, where=""), base=data.root)
    pd.testing.assert_frame_equal(table.frame, csv_table.frame)
    assert repr(table.cases) == repr(csv_table.cases)  # repr, since NaN differs from NaN


def test_roles_of_unknown_columns_warn_with_a_near_name(data):
    table = data.read("image,label,age_years\na.png,1,3", roles={"age_yaers": "patient"})
    (problem,) = table.problems
    assert problem.severity == "warning"
    assert "'age_years'" in problem.fix
    assert table.roles == {"age_yaers": "patient"}


@pytest.mark.nightly
def test_a_hundred_thousand_rows_are_read_and_split_in_seconds(tmp_path):
    folders = [tmp_path / f"{k:02}" for k in range(50)]
    for folder in folders:
        folder.mkdir()
    rows = ["image,label,patient_id,age,site"]
    for index in range(100_000):
        name = f"{index % 50:02}/c{index:06}.png"
        (tmp_path / name).write_bytes(b"x")
        rows.append(f"{name},{index // 3 % 2},p{index // 3},{index % 80},s{index % 7}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    recipe = make_recipe({"manifest": "manifest.csv"}, where="")
    start = time.process_time()
    table = read_manifest(recipe, base=tmp_path)
    split = make_split(table, recipe.split, 0)
    assert time.process_time() - start < 15
    assert len(split) == len(table.cases) == 100_000
