"""nnU-Net there and back, both versions, regions, pixels to ignore, and what cannot be carried."""

import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segclf.core.config import load_recipe
from segclf.core.errors import DataError, UsageError
from segclf.core.records import MaskKind, MaskState
from segclf.importers import import_data
from segclf.importers.export import export_data
from segclf.io import read_mask
from segclf.manifest import read_manifest


def table_of(folder):
    return read_manifest(load_recipe(folder / "manifest.yaml"), base=folder)


def planes(table):
    """Case and finding to the pixels that are positive; None where not known."""
    found = {}
    for case in table.cases:
        for finding, source in zip(table.findings, case.masks, strict=True):
            key = case.case_id, finding
            if source.state is MaskState.UNKNOWN:
                found[key] = None
            elif source.state is MaskState.EMPTY or source.path is None:
                found[key] = "empty"
            else:
                values = read_mask(source.path).array
                is_in = (
                    values == 1
                    if source.kind is MaskKind.UNCERTAIN
                    else (values > 0 if source.values is None else np.isin(values, source.values))
                )
                found[key] = is_in if is_in.any() else "empty"
    return found


def assert_same(before, after):
    assert before.keys() == after.keys()
    for key, plane in before.items():
        if isinstance(plane, np.ndarray):
            np.testing.assert_array_equal(after[key], plane, err_msg=str(key))
        else:
            assert str(after[key]) == str(plane), key


def there_and_back(folder, tmp_path, *, manifest="manifest.csv", **options):
    out = tmp_path / "Dataset123_Back"
    result = export_data(
        "nnunet", out, folder / manifest.replace(".csv", ".yaml"), None, None, **options
    )
    import_data("nnunet", out, out / "manifest.csv")
    return result, out


def write_set(folder, rows, settings=""):
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    (folder / "manifest.yaml").write_text("manifest: manifest.csv\n" + settings)


@pytest.fixture
def pictures(tmp_path):
    """Twelve pictures with two findings: a, and b that overlaps it in every fourth."""
    folder = tmp_path / "own"
    folder.mkdir()
    rows = ["case_id,image,mask_a,mask_b,label_a,label_b,patient_id,split,sex"]
    for i in range(12):
        draw = np.random.default_rng(i)
        Image.fromarray(draw.integers(0, 255, (20, 24)).astype(np.uint8)).save(folder / f"i{i}.png")
        a, b = np.zeros((20, 24), np.uint8), np.zeros((20, 24), np.uint8)
        a[3:9, 4:12] = i % 2
        b[7 if i % 4 == 1 else 12 : 15, 6:20] = i % 3 == 1
        Image.fromarray(a * 255).save(folder / f"a{i}.png")
        Image.fromarray(b * 255).save(folder / f"b{i}.png")
        part = ("train", "val", "test")[i // 4]
        rows.append(f"c{i},i{i}.png,a{i}.png,b{i}.png,{i % 2},{int(i % 3 == 1)},p{i},{part},F")
    write_set(folder, rows, "findings: [a, b]\n")
    return folder


def test_pictures_with_overlapping_findings_come_back(pictures, tmp_path):
    result, out = there_and_back(pictures, tmp_path, channels=["X-ray"])
    data = json.loads((out / "dataset.json").read_text())
    assert data["channel_names"] == {"0": "X-ray"}
    assert data["file_ending"] == ".png"
    assert data["labels"] == {"background": 0, "a": [1, 3], "b": [2, 3]}
    assert sorted(data["regions_class_order"]) == [1, 2]
    assert data["numTraining"] == 8
    before, after = table_of(pictures), table_of(out)
    assert_same(planes(before), planes(after))
    assert before.frame["case_id"].tolist() == sorted(
        after.frame["case_id"], key=lambda c: int(c[1:])
    )
    joined = before.frame.merge(after.frame, on="case_id", suffixes=("", "_after"))
    for column in ("split", "label_a", "label_b"):
        assert (joined[column] == joined[f"{column}_after"]).all(), column
    assert any("columns sex" in text for text in result["not_carried"])
    assert any("patient_id" in text for text in result["not_carried"])
    assert any("save_probabilities" in note for note in result["notes"])
    image = np.asarray(Image.open(out / "imagesTr/c3_0000.png"))
    np.testing.assert_array_equal(image, np.asarray(Image.open(pictures / "i3.png")))
    combined = np.asarray(Image.open(out / "labelsTr/c1.png"))
    by_hand = np.zeros((20, 24), np.uint8)
    by_hand[3:9, 4:12] += 1
    by_hand[7:15, 6:20] += 2
    np.testing.assert_array_equal(combined, by_hand)


def test_volumes_of_two_channels_come_back(tree, tmp_path):
    source = tree("nnunet")
    import_data("nnunet", source, source / "manifest.csv")
    _, out = there_and_back(source, tmp_path, channels=["T2", "ADC"])
    data = json.loads((out / "dataset.json").read_text())
    assert data["labels"] == {"background": 0, "PZ": 1, "TZ": 2}
    assert data["channel_names"] == {"0": "T2", "1": "ADC"}
    assert_same(planes(table_of(source)), planes(table_of(out)))
    for name in ("imagesTr/prostate_03_0001.nii.gz", "labelsTr/prostate_03.nii.gz"):
        ours, theirs = nib.load(out / name), nib.load(source / name)
        np.testing.assert_array_equal(np.asanyarray(ours.dataobj), np.asanyarray(theirs.dataobj))
        np.testing.assert_allclose(ours.affine, theirs.affine)


def test_folds_are_carried_as_splits_and_come_back(pictures, tmp_path):
    frame = pd.read_csv(pictures / "manifest.csv").drop(columns="split")
    frame["fold"] = [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1]
    frame.to_csv(pictures / "manifest.csv", index=False)
    _, out = there_and_back(pictures, tmp_path)
    splits = json.loads((out / "splits_final.json").read_text())
    assert [sorted(split["val"], key=lambda c: int(c[1:])) for split in splits] == [
        ["c0", "c1", "c2", "c6", "c7", "c8"], ["c3", "c4", "c5", "c9", "c10", "c11"]
    ]  # fmt: skip
    for split in splits:
        assert sorted(split["train"] + split["val"]) == sorted(frame["case_id"])
    after = table_of(out).frame.set_index("case_id")["fold"]
    assert [after[c] for c in frame["case_id"]] == frame["fold"].tolist()


def test_what_is_not_known_is_ignored_there_and_not_known_here(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    rows = ["case_id,image,mask_a,mask_b,mask_kind_a,label_a,label_b"]
    for i in range(8):
        Image.fromarray(np.full((8, 8), 10 * i, np.uint8)).save(folder / f"i{i}.png")
        mask = np.zeros((8, 8), np.uint8)
        mask[1:4, 1:4] = i % 2
        if i == 3:
            mask[5:, :] = 2
        Image.fromarray(mask).save(folder / f"a{i}.png")
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / f"b{i}.png")
        kind = "uncertain" if i == 3 else "box" if i == 7 else ""
        mask_b = "" if i in (3, 5, 7) else f"b{i}.png"
        label_b = "0" if i == 3 else ""
        masks = "," if i == 6 else f"a{i}.png,{mask_b}"
        rows.append(f"c{i},i{i}.png,{masks},{kind},{i % 2},{label_b}")
    write_set(folder, rows, "findings: [a, b]\n")
    result, out = there_and_back(folder, tmp_path)
    data = json.loads((out / "dataset.json").read_text())
    assert data["labels"] == {"background": 0, "a": 1, "b": 2, "ignore": 3}
    sparse = np.asarray(Image.open(out / "labelsTr/c3.png"))
    assert set(np.unique(sparse[5:])) == {3}
    assert set(np.unique(sparse[1:4, 1:4])) == {1}
    unknown_b = np.asarray(Image.open(out / "labelsTr/c5.png"))
    assert set(np.unique(unknown_b)) == {1, 3}
    assert not (out / "imagesTs/c6_0000.png").exists()  # a is empty by its label: it has a mask
    assert (out / "imagesTs/c7_0000.png").is_file()
    assert any("1 masks that are coarse" in text for text in result["not_carried"])
    after = planes(table_of(out))
    np.testing.assert_array_equal(after["c3", "a"], sparse == 1)
    case = next(case for case in table_of(out).cases if case.case_id == "c3")
    assert case.masks[0].kind is MaskKind.UNCERTAIN
    kept = read_mask(case.masks[0].path).array
    np.testing.assert_array_equal(kept, np.select([sparse == 1, sparse == 3], [1, 2], 0))


def test_version_1_is_read_by_numbers(tree, tmp_path):
    """'"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver"}' (nnU-Net 1)."""
    source = tree("nnunet")
    data = {
        "modality": {"0": "T2", "1": "ADC"},
        "labels": {"0": "background", "1": "PZ", "2": "T Z"},
    }
    (source / "dataset.json").write_text(json.dumps(data))
    result = import_data("nnunet", source, tmp_path / "manifest.csv")
    assert list(result["findings"]) == ["PZ", "T_Z"]
    assert any("version 1" in note for note in result["notes"])
    assert any("'T Z' is the finding T_Z" in note for note in result["notes"])
    assert result["n_new"] == 1


def test_regions_are_written_as_files_of_their_own(tree, tmp_path):
    source = tree("nnunet")
    data = json.loads((source / "dataset.json").read_text())
    data["labels"] = {"background": 0, "whole": [1, 2], "core": 2}
    data["regions_class_order"] = [1, 2]
    (source / "dataset.json").write_text(json.dumps(data))
    import_data("nnunet", source, tmp_path / "manifest.csv")
    found = planes(table_of(tmp_path))
    drawn = np.asanyarray(nib.load(source / "labelsTr/prostate_03.nii.gz").dataobj)
    np.testing.assert_array_equal(found["prostate_03", "whole"], drawn > 0)
    np.testing.assert_array_equal(found["prostate_03", "core"], drawn == 2)
    # a region that is disjoint from the others needs no file
    shutil.rmtree(tmp_path / "manifest_files")
    data["labels"] = {"background": 0, "all": [1, 2]}
    (source / "dataset.json").write_text(json.dumps(data))
    import_data("nnunet", source, tmp_path / "one.csv")
    assert not (tmp_path / "one_files").exists()


def test_what_does_not_fit_is_said_and_the_rest_is_imported(tree, tmp_path):
    source = tree("nnunet")
    (source / "labelsTr/prostate_01.nii.gz").unlink()
    (source / "imagesTr/prostate_02_0001.nii.gz").unlink()
    (source / "imagesTr/readme.txt").write_text("x")
    odd = nib.load(source / "labelsTr/prostate_05.nii.gz")
    nib.save(nib.Nifti1Image(np.full(odd.shape, 9, np.uint8), odd.affine),
             source / "labelsTr/prostate_05.nii.gz")  # fmt: skip
    result = import_data("nnunet", source, tmp_path / "manifest.csv")
    said = {each["where"]: (each["reason"], each["why"]) for each in result["left_out"]}
    assert said["imagesTr/prostate_01"][0] == "missing_file"
    assert "its mask is unknown" in said["imagesTr/prostate_01"][1]
    assert said["imagesTr/prostate_02"] == (
        "channels",
        "it has the channels [0], not all 2 of dataset.json",
    )
    assert said["imagesTr/readme.txt"][0] == "bad_name"
    assert said["labelsTr/prostate_02.nii.gz"][0] == "missing_file"
    assert said["labelsTr/prostate_05.nii.gz"][0] == "mask_values"
    assert "holds 9, which nothing names" in said["labelsTr/prostate_05.nii.gz"][1]
    assert result["n_cases"] == 19
    assert result["findings"]["PZ"]["masks"]["unknown"] == 2
    listed = pd.read_csv(tmp_path / "manifest_left_out.csv")
    assert len(listed) == len(result["left_out"])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"labels": {"a": 1}}, "no channel_names"),
        ({"channel_names": {"0": "CT"}, "labels": {"a": "x"}}, "the label 'a': 'x' cannot be read"),
        ({"channel_names": {"0": "CT"}, "labels": {"a": []}}, "cannot be read"),
        ([1], "holds a list"),
        ({"channel_names": {"0": "CT"}, "labels": {"background": 0}}, "nothing but background"),
    ],
)
def test_a_dataset_json_that_cannot_be_read_is_refused_in_words(tree, tmp_path, data, says):
    source = tree("nnunet")
    (source / "dataset.json").write_text(json.dumps(data))
    with pytest.raises(DataError, match=says) as caught:
        import_data("nnunet", source, tmp_path / "manifest.csv")
    assert caught.value.where in ("dataset.json", "set")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_export_refuses_in_words(pictures, tmp_path):
    (tmp_path / "there").mkdir()
    recipe = pictures / "manifest.yaml"
    with pytest.raises(UsageError, match="'there' exists"):
        export_data("nnunet", tmp_path / "there", recipe, None, None)
    with pytest.raises(UsageError, match="2 channels are named, the images have 1"):
        export_data("nnunet", tmp_path / "new", recipe, None, None, channels=["CT", "PET"])
    with pytest.raises(UsageError, match="nothing to export"):
        export_data("nnunet", tmp_path / "new", None, None, None)
    with pytest.raises(UsageError, match="no layout to export called 'nnunt'"):
        export_data("nnunt", tmp_path / "new", recipe, None, None)
    write_set(pictures, ["image,label", "i0.png,1", "i1.png,0"])
    (pictures / "manifest.yaml").write_text("manifest: manifest.csv\n")
    write_set(pictures, ["image,label", "i0.png,1", "i1.png,"])
    with pytest.raises(DataError, match="no case for imagesTr has a mask"):
        export_data("nnunet", tmp_path / "new", recipe, None, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own", "there"]


def test_ids_that_are_no_file_names_get_others_and_are_listed(pictures, tmp_path):
    frame = pd.read_csv(pictures / "manifest.csv")
    frame.loc[0, "case_id"], frame.loc[1, "case_id"] = "../x", "=a b"
    frame.to_csv(pictures / "manifest.csv", index=False)
    result, out = there_and_back(pictures, tmp_path)
    names = pd.read_csv(out / "case_names.csv")
    assert names["case_id"].tolist() == ["../x", "'=a b"]
    assert all((out / f"labelsTr/{name}.png").is_file() for name in names["nnunet_name"])
    assert any("2 ids are no file names" in note for note in result["notes"])


def test_a_run_gives_its_own_split(pictures, tmp_path, monkeypatch):
    frame = pd.read_csv(pictures / "manifest.csv").drop(columns="split")
    frame.to_csv(pictures / "manifest.csv", index=False)
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    parts = ["train", "val", "test"] * 4
    split = frame[["case_id", "patient_id"]].assign(
        split=parts, fold=pd.array([None] * 12, "Int64")
    )
    split.to_parquet(run / "split.parquet")
    (run / "config.yaml").write_text("manifest: ../../own/manifest.csv\nfindings: [a, b]\n")
    export_data("nnunet", tmp_path / "out", None, None, "mine")
    listed = json.loads((tmp_path / "out/splits_final.json").read_text())
    parts = split.groupby("split")["case_id"].apply(sorted)
    assert listed == [{"train": parts["train"], "val": parts["val"]}]
    assert (
        sorted(p.name[: -len("_0000.png")] for p in (tmp_path / "out/imagesTs").iterdir())
        == parts["test"]
    )
