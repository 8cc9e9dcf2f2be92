"""What importers do with pixels, with what does not fit, and with sets that mean harm."""

import json
import os
import shutil
import warnings

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from segclf.cli import app
from segclf.core.config import load_recipe
from segclf.core.errors import DataError, UsageError
from segclf.core.records import MaskKind, MaskState
from segclf.experiment import new_experiment
from segclf.importers import IMPORTERS, Options, import_data
from segclf.io import read_image, read_mask
from segclf.manifest import read_manifest
from segclf.other import new_cases, other_table

RLE_SIDE = 32


def table_of(folder, stem="manifest"):
    return read_manifest(load_recipe(folder / f"{stem}.yaml"), base=folder)


def case_of(folder, case_id, stem="manifest"):
    return next(case for case in table_of(folder, stem).cases if case.case_id == case_id)


def reasons(result):
    return {each["where"]: each["reason"] for each in result["left_out"]}


@pytest.mark.parametrize("place", ["set", "beside"])
def test_masks_of_siim_are_the_runs_of_all_rows_wherever_the_manifest_lies(tree, tmp_path, place):
    source = tree("siim")
    import_data("siim", source, tmp_path / place / "manifest.csv")
    by_hand = np.zeros((RLE_SIDE, RLE_SIDE), bool)
    by_hand[5:15, 3:5] = True  # run 1 is column 3, rows 5 to 14; run 2 the same rows of column 4
    for number in (1, 3):
        case = case_of(tmp_path / place, f"1.2.276.0.7230010.3.1.4.8323329.{number}")
        np.testing.assert_array_equal(read_mask(case.masks[0].path).array > 0, by_hand)
        assert case.labels == (1.0,)
        assert case.patient_id == f"1.2.3.{number}"
    empty = case_of(tmp_path / place, "1.2.276.0.7230010.3.1.4.8323329.2")
    assert empty.masks[0].state is MaskState.EMPTY


def test_rows_of_siim_that_do_not_fit_are_said_and_kept_as_unknown(tree, tmp_path):
    source = tree("siim")
    path = source / "train-rle.csv"
    uid = "1.2.276.0.7230010.3.1.4.8323329."
    lines = path.read_text().splitlines()
    lines = [
        line
        for line in lines
        if not line.startswith((f"{uid}4,", f"{uid}5,", f"{uid}6,", f"{uid}8,"))
    ]
    lines += [f"{uid}4, 5000 9", f"{uid}5, -1", f"{uid}5, 3 4", f"{uid}6, ", "1.2.9, -1"]
    path.write_text("\n".join(lines))
    result = import_data("siim", source, tmp_path / "manifest.csv")
    found = {case.case_id: case for case in table_of(tmp_path).cases}
    assert sorted(reasons(result).values()) == ["bad_rle", "blank", "contradiction", "missing_file"]
    assert found[f"{uid}4"].labels == (1.0,)
    assert found[f"{uid}4"].masks[0].state is MaskState.UNKNOWN
    assert np.isnan([*found[f"{uid}5"].labels, *found[f"{uid}6"].labels]).all()
    assert f"{uid}8" not in found  # no row: an image of which nothing is known
    assert pd.read_csv(tmp_path / "manifest_new.csv")["case_id"].tolist() == [f"{uid}8"]


def test_boxes_of_rsna_are_filled_rectangles_of_kind_box(tree, tmp_path):
    source = tree("rsna-pneumonia")
    table = source / "stage_2_train_labels.csv"
    patient = "0004cfab-14fd-4e49-80ba-000000000003"
    table.write_text(table.read_text() + f"\n{patient},500,2,4,4,1\n{patient},28.5,2,9,4.2,1")
    result = import_data("rsna-pneumonia", source, tmp_path / "manifest.csv")
    case = case_of(tmp_path, patient)
    assert case.masks[0].kind is MaskKind.BOX
    by_hand = np.zeros((32, 32), bool)
    by_hand[6:16, 4:12] = by_hand[6:15, 20:26] = True
    by_hand[2:7, 28:32] = True  # 28.5 to 37.5 and 2 to 6.2, cut at the edge
    np.testing.assert_array_equal(read_mask(case.masks[0].path).array > 0, by_hand)
    assert [each["reason"] for each in result["left_out"]] == ["bad_box"]
    assert "the box x 500, y 2, width 4, height 4 is not inside" in result["left_out"][0]["why"]


def test_vertebrae_lie_on_the_series_where_the_segmentation_says(tree, tmp_path):
    source = tree("rsna-spine")
    import_data("rsna-spine", source, tmp_path / "manifest.csv")
    case = case_of(tmp_path, "1.2.826.0.1.3680043.2")  # number 1: fractured
    kinds = {mask.kind for mask in case.masks}
    assert kinds == {MaskKind.BOX}
    stored = np.asanyarray(nib.load(source / "segmentations/1.2.826.0.1.3680043.2.nii").dataobj)
    third = read_mask(case.masks[2].path).array > 0
    # stored axes run to the right and the back of the patient (-x, -y of RAS)
    np.testing.assert_array_equal(third, (stored == 3)[::-1, ::-1])
    whole = read_mask(case.masks[7].path).array > 0
    np.testing.assert_array_equal(whole, (stored > 0)[::-1, ::-1])
    negative = case_of(tmp_path, "1.2.826.0.1.3680043.3")
    assert {mask.state for mask in negative.masks} == {MaskState.EMPTY}
    undrawn = case_of(tmp_path, "1.2.826.0.1.3680043.18")
    assert {mask.state for mask in undrawn.masks} == {MaskState.UNKNOWN}


@pytest.mark.parametrize("place", ["set", "beside"])
def test_several_masks_of_busi_are_merged(tree, tmp_path, place):
    source = tree("busi")
    result = import_data("busi", source, tmp_path / place / "manifest.csv")
    base = source / "Dataset_BUSI_with_GT/benign"
    both = [np.asarray(Image.open(base / f"benign (4)_mask{end}.png")) for end in ("", "_1")]
    case = case_of(tmp_path / place, "benign (4)")
    assert [mask.state for mask in case.masks] == [MaskState.EMPTY, MaskState.DRAWN]
    found = read_mask(case.masks[1].path).array > 0
    np.testing.assert_array_equal(found, both[0] | both[1])
    assert any("2 masks of 'benign (4)' are merged" in note for note in result["notes"])
    single = case_of(tmp_path / place, "malignant (2)")
    assert single.masks[0].path == source / "Dataset_BUSI_with_GT/malignant/malignant (2)_mask.png"


def test_isic_takes_classes_from_tables_of_every_year(tree, tmp_path):
    source = tree("isic")
    import_data("isic", source, tmp_path / "a.csv")
    frame = pd.read_csv(tmp_path / "a.csv", dtype=str).set_index("case_id")
    assert frame.loc["ISIC_0000001", "lesion_class"] == "melanoma"
    assert frame.loc["ISIC_0000002", "lesion_class"] == "nevus"
    assert pd.isna(frame.loc["ISIC_0000003", "sex"])  # 'unknown' is not known
    assert load_recipe(tmp_path / "a.yaml").roles["age_approximate"] == "patient"
    for table in source.rglob("*.csv"):
        table.unlink()
    (source / "HAM10000_metadata.csv").write_text(
        "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
        + "".join(f"HAM_{i // 2:07d},ISIC_{i:07d},{'mel' if i % 2 else ''},histo,80.0,male,scalp\n"
                  for i in range(20))
    )  # fmt: skip
    import_data("isic", source, tmp_path / "b.csv")
    recipe = load_recipe(tmp_path / "b.yaml")
    assert recipe.unit_name == "lesion"
    assert recipe.roles["dx_type"] == recipe.roles["dx"] == "derived"
    case = case_of(tmp_path, "ISIC_0000003", "b")
    assert (case.patient_id, case.labels) == ("HAM_0000001", (1.0,))
    assert np.isnan(case_of(tmp_path, "ISIC_0000002", "b").labels).all()
    (source / "HAM10000_metadata.csv").unlink()
    (source / "2016.csv").write_text("".join(f"ISIC_{i:07d},{'malignant' if i % 3 else 'benign'}\n"
                                             for i in range(20)))  # fmt: skip
    result = import_data("isic", source, tmp_path / "c.csv")
    counts = {name: found["labels"]["positive"] for name, found in result["findings"].items()}
    assert counts == {"malignant": 13, "benign": 7}


def test_coco_masks_are_those_of_pycocotools(tree, tmp_path):
    coco = pytest.importorskip("pycocotools.mask")
    source = tree("coco")
    import_data("coco", source, tmp_path / "manifest.csv")
    data = json.loads((source / "annotations/instances_all.json").read_text())
    polygon, runs = (data["annotations"][k]["segmentation"] for k in (0, 1))
    for number, code in (
        (1, coco.frPyObjects(polygon, 32, 32)[0]),
        (3, coco.frPyObjects(runs, 32, 32)),
    ):
        case = case_of(tmp_path, f"scan{number:03d}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pycocotools 2.0.11 has no `copy` for NumPy 2
            theirs = coco.decode(code)
        np.testing.assert_array_equal(read_mask(case.masks[0].path).array > 0, theirs > 0)


def test_annotations_that_do_not_fit_make_the_mask_unknown_and_are_said(tree, tmp_path):
    source = tree("coco")
    path = source / "annotations/instances_all.json"
    data = json.loads(path.read_text())
    for k, segmentation in enumerate((
        {"size": [10**6, 10**6], "counts": [10**12]}, {"size": [32, 32], "counts": "zz"},
        {"size": [32, 32], "counts": [5]}, [[1, 2, 3]], [[0, 0, 1e9, 0, 4, 4]], "text", [],
    )):  # fmt: skip
        data["annotations"][k]["segmentation"] = segmentation
    data["annotations"][5]["bbox"] = [0, 0, -4, 4]
    data["annotations"].append({"id": 99, "image_id": 77, "category_id": 7})
    data["annotations"].append({"id": 98, "image_id": 1, "category_id": 5})
    data["images"][18]["width"] = 31
    data["images"].append({"id": 50, "file_name": "../../etc/passwd", "width": 1, "height": 1})
    path.write_text(json.dumps(data))
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(source / "images/other.png")
    result = import_data("coco", source, tmp_path / "manifest.csv")
    found = reasons(result)
    name = "annotations/instances_all.json"
    codes = [found[f"{name}, annotations[{k}]"] for k in range(6)]
    assert codes == ["bad_rle", "bad_rle", "bad_rle", "bad_polygon", "bad_polygon", "bad_box"]
    assert found[f"{name}, annotations[10]"] == "unknown_case"
    assert found[f"{name}, annotations[11]"] == "bad_item"
    assert found[f"{name}, images[20]"] == "outside_root"
    assert found["images/other.png"] == "not_listed"
    cases = {case.case_id: case for case in table_of(tmp_path).cases}
    assert len(cases) == 20
    for number in (1, 3, 5, 7, 9, 11):
        assert cases[f"scan{number:03d}"].masks[0].state is MaskState.UNKNOWN
        assert cases[f"scan{number:03d}"].labels == (1.0,)
    box = cases["scan013"].masks[0]  # an empty outline: the box is what is known
    assert (box.state, box.kind) == (MaskState.DRAWN, MaskKind.BOX)
    assert read_mask(box.path).array.sum() == 16 * 8


def test_lvis_says_which_categories_were_looked_for(tree, tmp_path):
    source = tree("coco")
    path = source / "annotations/instances_all.json"
    data = json.loads(path.read_text())
    data["categories"].append({"id": 8, "name": "cyst", "supercategory": "finding"})
    for image in data["images"]:
        image |= {
            "neg_category_ids": [7] if image["id"] < 10 else [],
            "not_exhaustive_category_ids": [],
        }
    path.write_text(json.dumps(data))
    result = import_data("coco", source, tmp_path / "manifest.csv")
    labels = {name: found["labels"] for name, found in result["findings"].items()}
    assert labels["lung_nodule"] == {"positive": 10, "negative": 5, "unknown": 5}
    assert labels["cyst"] == {"positive": 0, "negative": 0, "unknown": 20}


def test_medmnist_of_every_shape(tmp_path):
    draw = np.random.default_rng(0)
    shapes = {"rgb": (28, 28, 3), "grey": (28, 28), "volume": (28, 28, 28)}
    for name, shape in shapes.items():
        arrays = {}
        for part, n in (("train", 4), ("val", 3), ("test", 3)):
            arrays[f"{part}_images"] = draw.integers(0, 255, (n, *shape)).astype(np.uint8)
            labels = np.arange(n)[:, None] if name == "rgb" else draw.integers(0, 2, (n, 14))
            arrays[f"{part}_labels"] = labels.astype(np.uint8)
        np.savez_compressed(tmp_path / f"{name}.npz", **arrays)
        import_data("medmnist", tmp_path / f"{name}.npz", tmp_path / name / "manifest.csv")
        table = table_of(tmp_path / name)
        assert table.frame["split"].tolist() == ["train"] * 4 + ["val"] * 3 + ["test"] * 3
        image = arrays["val_images"][1]
        path = case_of(tmp_path / name, "val_000001").images[0]
        ours = np.load(path)[0] if name == "volume" else np.asarray(Image.open(path))
        np.testing.assert_array_equal(ours, image)
        if name == "rgb":
            assert case_of(tmp_path / name, "val_000002").classes == {"label": "2"}
        else:
            assert len(table.findings) == 14
            assert case_of(tmp_path / name, "val_000001").labels == tuple(arrays["val_labels"][1])
    assert load_recipe(tmp_path / "volume/manifest.yaml").image.spatial_dims == 3


def test_an_npz_that_lies_or_holds_objects_is_refused(tmp_path):
    arrays = {f"{part}_{kind}": np.zeros((2, 4, 4)) for part in ("train", "val", "test")
              for kind in ("images", "labels")}  # fmt: skip
    objects = arrays | {"train_labels": np.array([{"a": 1}], dtype=object)}
    np.savez(tmp_path / "objects.npz", **objects)
    with pytest.raises(DataError, match="Python objects"):
        import_data("medmnist", tmp_path / "objects.npz", tmp_path / "m.csv")
    np.savez(tmp_path / "shapes.npz", **arrays)
    with pytest.raises(DataError, match=r"train_labels \(2, 4, 4\)"):
        import_data("medmnist", tmp_path / "shapes.npz", tmp_path / "m.csv")
    huge = tmp_path / "huge.npz"
    huge.write_bytes((tmp_path / "shapes.npz").read_bytes().replace(b"(2, 4, 4)", b"(9, 9, 9)"))
    with pytest.raises(DataError):
        import_data("medmnist", huge, tmp_path / "m.csv")
    assert not (tmp_path / "m.csv").exists()


def test_gandlf_paths_outside_and_values_to_predict(tree, tmp_path):
    source = tree("gandlf")
    lines = (source / "train.csv").read_text().splitlines()
    lines[1] = "000,/etc/passwd,/etc/passwd,,0"
    lines[3] = lines[3].replace("segmentation.nii.gz", "gone.nii.gz")
    lines[5] = lines[5].replace("004,", "003,", 1)
    (source / "train.csv").write_text("\n".join(lines))
    result = import_data("gandlf", source, tmp_path / "manifest.csv")
    assert reasons(result) == {
        "train.csv, row 2": "outside_root",
        "train.csv, row 4": "missing_file",
    }
    frame = pd.read_csv(tmp_path / "manifest.csv", dtype=str)
    assert {"003", "003_2"} <= {*frame["case_id"]}
    assert frame.set_index("case_id").loc["003_2", "patient_id"] == "003"
    assert pd.isna(frame.set_index("case_id").loc["002", "mask"])
    assert frame.set_index("case_id").loc["001", "class_value"] == "1"
    no_masks = [",".join([*line.split(",")[:3], line.split(",")[-1]]) for line in lines[2:]]
    (source / "train.csv").write_text(
        "SubjectID,Channel_0,Channel_1,ValueToPredict\n" + "\n".join(no_masks)
    )
    labels = import_data("gandlf", source, tmp_path / "b.csv")["findings"]["target"]["labels"]
    assert labels == {"positive": 10, "negative": 9, "unknown": 0}
    text = (source / "train.csv").read_text().splitlines()
    (source / "train.csv").write_text("\n".join([text[0], *(f"{line}.25" for line in text[1:])]))
    result = import_data("gandlf", source, tmp_path / "c.csv")
    assert any("quantity" in note for note in result["notes"])
    assert load_recipe(tmp_path / "c.yaml").roles == {"value_to_predict": "derived"}


def test_texts_of_a_datalist_are_never_joined_to_paths(tree, tmp_path):
    """MONAI turns "sex": "F" into a path where a folder F exists; here it stays F."""
    import_data("monai", tree("monai"), tmp_path / "manifest.csv")
    frame = pd.read_csv(tmp_path / "manifest.csv", dtype=str)
    assert set(frame["sex"]) == {"F", "M"}
    assert set(frame["fold"]) == {"0", "1"}
    assert "split" not in frame


def test_a_datalist_that_leaves_its_folder_is_said_and_left_out(tree, tmp_path):
    source = tree("monai")
    data = json.loads((source / "datalist.json").read_text())
    outside = tmp_path / "secret.nii.gz"
    outside.write_bytes((source / "scans/image_000.nii.gz").read_bytes())
    (source / "scans/link.nii.gz").symlink_to(outside)
    os.mkfifo(source / "scans/pipe.nii.gz")
    bad = ["../secret.nii.gz", str(outside), "scans/link.nii.gz", "scans/pipe.nii.gz",
           "C:\\x.nii.gz", "scans/\0.nii.gz", "/etc/passwd", 7, {}]  # fmt: skip
    for image in bad:
        data["training"].append({"image": image, "label": "scans/label_000.nii.gz"})
    data["training"].append("plain/text")
    data["training"].append(3)
    (source / "datalist.json").write_text(json.dumps(data))
    result = import_data("monai", source, tmp_path / "manifest.csv")
    assert result["n_cases"] == 20
    assert [each["reason"] for each in result["left_out"]] == [
        "bad_item", "outside_root", "outside_root", "outside_root", "not_a_file", "outside_root",
        "bad_name", "outside_root", "bad_item", "bad_item", "missing_file",
    ]  # fmt: skip
    assert "secret" not in (tmp_path / "manifest.csv").read_text()


def test_names_that_a_spreadsheet_would_run_or_a_manifest_would_misread(tmp_path):
    source = tmp_path / "set"
    for k in range(6):
        folder = source / ("=cmd()" if k % 2 else "Normal")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), k, np.uint8)).save(folder / f"@x{k}.png")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(source / "Normal" / "new\nline.png")
    result = import_data("imagefolder", source, source / "manifest.csv")
    text = (source / "manifest.csv").read_text()
    assert not any(
        cell.startswith(("=", "+", "-", "@"))
        for line in text.splitlines()
        for cell in line.split(",")
    )
    table = table_of(source)
    assert sorted({case.classes["label"] for case in table.cases}) == ["'=cmd()", "Normal"]
    assert all(case.images[0].is_file() for case in table.cases)
    assert [each["reason"] for each in result["left_out"]][:1] == ["bad_name"]
    assert len(table.cases) == 6


def test_headers_that_would_play_a_part_are_renamed(tree, tmp_path):
    source = tree("gandlf")
    path = source / "train.csv"
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join([lines[0] + ",image_quality,split,=x"] + [f"{x},good,a,1" for x in lines[1:]])
    )
    result = import_data("gandlf", source, tmp_path / "manifest.csv")
    frame = pd.read_csv(tmp_path / "manifest.csv")
    assert {"meta_image_quality", "meta_split", "meta_=x"} <= {*frame}
    assert any("'image_quality' is called 'meta_image_quality'" in note for note in result["notes"])


def test_a_set_without_a_validation_part_gets_a_fifth_of_its_training_patients(tmp_path):
    source = tmp_path / "set"
    for k in range(60):
        part, name = ("train" if k < 40 else "test"), ("sick" if k % 2 else "well")
        path = source / part / name / f"{k:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), k, np.uint8)).save(path)
    result = import_data("imagefolder", source, tmp_path / "manifest.csv")
    frame = pd.read_csv(tmp_path / "manifest.csv")
    assert frame["split"].value_counts().to_dict() == {"train": 32, "val": 8, "test": 20}
    assert frame.loc[frame["image"].str.startswith("test/"), "split"].eq("test").all()
    assert any("8 training cases (a fifth" in note for note in result["notes"])
    for path in (source / "test").rglob("*.png"):
        path.unlink()
    result = import_data("imagefolder", source, tmp_path / "one.csv")
    assert "split" not in pd.read_csv(tmp_path / "one.csv")
    assert any("no split column (40 train)" in note for note in result["notes"])


def test_an_unreadable_image_or_mask_costs_one_case(tree, tmp_path):
    source = tree("folder")
    (source / "images/cju000.png").write_bytes(b"broken")
    (source / "masks/cju001_mask.png").write_bytes(b"broken")
    result = import_data("folder", source, tmp_path / "manifest.csv")
    assert reasons(result) == {"masks/cju001_mask.png": "unreadable"}
    assert load_recipe(tmp_path / "manifest.yaml").image.spatial_dims == 2
    broken = case_of(tmp_path, "cju001")
    assert broken.masks[0].state is MaskState.UNKNOWN
    assert np.isnan(broken.labels[0])
    assert result["n_cases"] == 20  # segclf check says what is wrong with the image


def test_folder_joins_by_name_pattern_and_by_folders_of_findings(tree, tmp_path):
    source = tree("folder")
    (source / "masks/cju001.png").rename(source / "masks/nobody_mask.png") if (
        source / "masks/cju001.png").exists() else (source / "masks/cju001_mask.png").rename(
        source / "masks/nobody_mask.png")  # fmt: skip
    result = import_data("folder", source, tmp_path / "a.csv")
    assert reasons(result) == {"masks/nobody_mask.png": "missing_file"}
    assert case_of(tmp_path, "cju001", "a").masks[0].state is MaskState.UNKNOWN
    result = import_data("folder", source, tmp_path / "b.csv", Options(masks="masks/{id}_mask"))
    assert result["findings"]["target"]["masks"]["unknown"] == 8
    for k in range(20):
        name = next((source / "masks").glob(f"cju{k:03d}*"), None)
        if name is not None:
            target = source / "masks" / ("tumour" if k % 4 else "cyst") / name.name
            target.parent.mkdir(exist_ok=True)
            name.rename(target)
    result = import_data("folder", source, tmp_path / "c.csv")
    assert list(result["findings"]) == ["cyst", "tumour"]


def test_nothing_is_written_over_and_a_failed_import_leaves_nothing(tree, tmp_path):
    source = tree("siim")
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.yaml").write_text("mine")
    with pytest.raises(UsageError, match=r"'manifest.yaml' exists") as caught:
        import_data("siim", source, out / "manifest.csv")
    assert "free, also for the recipe" in str(caught.value)
    assert [path.name for path in out.iterdir()] == ["manifest.yaml"]
    (source / "train-rle.csv").write_text("ImageId,EncodedPixels\nx,-1\n")
    with pytest.raises(
        DataError, match="no case could be imported as siim; the first reason: no image"
    ):
        import_data("siim", source, out / "new.csv")
    assert [path.name for path in out.iterdir()] == ["manifest.yaml"]


@pytest.mark.parametrize(
    ("kind", "out", "options", "says"),
    [
        ("siimm", "m.csv", {}, "there is no importer called 'siimm'"),
        ("siim", "m.txt", {}, "'m.txt' is not the name of a manifest"),
        ("busi", "m.csv", {"table": "x.csv"}, "--table would have no effect"),
        ("siim", "m.csv", {"table": "../x.csv"}, "the path '../x.csv' is not allowed"),
        ("siim", "m.csv", {}, "SRC holds no CSV files with ImageId"),
        ("coco", "m.csv", {}, "SRC holds no JSON files"),
        ("folder", "m.csv", {}, "there is no folder of images"),
        ("folder", "m.csv", {"images": "nowhere"}, "the folder 'nowhere' holds no pictures"),
        ("busi", "m.csv", {}, "there is no folder benign"),
        ("imagefolder", "m.csv", {}, r"there are the classes \(none\)"),
        ("nnunet", "m.csv", {}, "dataset.json' does not exist"),
        ("rsna-pneumonia", "m.csv", {}, "there is no stage_2_train_labels.csv"),
    ],
)
def test_what_is_wrong_is_said_in_words(tmp_path, kind, out, options, says):
    source = tmp_path / "empty"
    source.mkdir()
    with pytest.raises((UsageError, DataError), match=says):
        import_data(kind, source, tmp_path / out, Options(**options))
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_the_command_prints_what_it_mapped_and_ends_with_4_if_something_was_left_out(
    tree, tmp_path
):
    source = tree("siim")
    run = CliRunner().invoke(app, ["import", "siim", str(source), "--out", str(tmp_path / "a.csv")])
    assert run.exit_code == 0
    for line in (
        "siim: 20 cases of 20 patients",
        "  mask        EncodedPixels, merged",
        "pneumothorax: 10 positive, 10 negative, 0 unknown",
        "; masks 10 drawn, 10 empty, 0 unknown",
        "note: 1 images have several rows, which are merged",
        f"next: segclf check --config {tmp_path / 'a.yaml'}",
    ):
        assert line in run.stdout
    rows = (source / "train-rle.csv").read_text()
    (source / "train-rle.csv").write_text(f"{rows}9.9,-1\n")
    run = CliRunner().invoke(
        app, ["import", "siim", str(source), "--out", str(tmp_path / "b.csv"), "--json"]
    )
    assert run.exit_code == 4
    assert json.loads(run.stdout)["left_out"][0]["reason"] == "missing_file"


def test_the_help_lists_every_kind():
    run = CliRunner().invoke(app, ["import", "--help"])
    assert all(kind in run.stdout for kind in IMPORTERS)


@pytest.mark.parametrize("kind", ["nnunet", "msd"])
def test_new_images_of_a_set_that_lies_elsewhere_are_found(tree, tmp_path, monkeypatch, kind):
    source = tree(kind)
    result = import_data(kind, source, tmp_path / "here" / "manifest.csv")
    assert result["n_new"] == 1
    monkeypatch.chdir(tmp_path)
    exp = new_experiment(tmp_path / "here" / "manifest.yaml", None, None, ())
    table = other_table(exp, tmp_path / "here" / "manifest_new.csv")
    assert [p.wrong for p in table.problems if p.severity == "error"] == []
    assert [read_image(case.images[0]).array.ndim for case in table.cases] == [4]
    moved = source / "other.csv"
    shutil.copy(tmp_path / "here" / "manifest_new.csv", moved)
    assert len(other_table(exp, moved).cases) == 1  # here its own folder is the data root


@pytest.fixture
def two_channels(tree, tmp_path, monkeypatch):
    """A run of cases with two channels, and the images of two more as nnU-Net names them."""
    source = tree("nnunet")
    import_data("nnunet", source, tmp_path / "here" / "manifest.csv")
    monkeypatch.chdir(tmp_path)
    for name in ("prostate_91_0000.nii.gz", "prostate_91_0001.nii.gz"):
        shutil.copy(source / "imagesTs" / name.replace("91", "90"), source / "imagesTs" / name)
    return new_experiment(tmp_path / "here" / "manifest.yaml", None, None, ()), source


def test_channels_of_nnunets_names_are_one_case_where_the_run_needs_several(two_channels):
    exp, source = two_channels
    cases = other_table(exp, source / "imagesTs").cases
    names = [(case.case_id, [path.name for path in case.images]) for case in cases]
    assert names == [
        (case, [f"{case}_0000.nii.gz", f"{case}_0001.nii.gz"])
        for case in ("prostate_90", "prostate_91")
    ]
    assert [case.images for case in new_cases(exp, source / "imagesTs")] == [
        case.images for case in cases
    ]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("prostate_91_0001.nii.gz", None, r"channels \['0000'\] of 'prostate_91'"),
        ("prostate_91_0001.nii.gz", "prostate_91_0002.nii.gz", r"channels \['0000', '0002'\]"),
        ("prostate_91_0001.nii.gz", "adc.nii.gz", "name 'adc', which does not say"),
    ],
)
def test_channels_that_are_missing_or_not_named_are_said(two_channels, old, new, says):
    exp, source = two_channels
    folder = source / "imagesTs"
    if new is None:
        (folder / old).unlink()
    else:
        (folder / old).rename(folder / new)
    with pytest.raises(DataError, match=says) as caught:
        other_table(exp, folder)
    assert "image_NAME" in caught.value.fix


def test_a_file_with_all_channels_is_a_case_whatever_its_name_ends_in(two_channels):
    exp, source = two_channels
    folder = source / "four"
    folder.mkdir()
    for k in range(2):
        both = np.zeros((4, 4, 4, 2), np.float32)
        nib.save(nib.Nifti1Image(both, np.eye(4)), folder / f"scan_{k:04d}.nii.gz")
    cases = other_table(exp, folder).cases
    assert [case.case_id for case in cases] == ["scan_0000", "scan_0001"]
