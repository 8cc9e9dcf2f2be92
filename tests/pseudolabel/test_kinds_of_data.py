"""Several findings, exclusive ones, volumes, folds, and cases of another manifest."""

import csv
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segclf.io import read_image, read_mask
from segclf.manifest import cases_of
from segclf.predict import predict_maps
from segclf.pseudolabel import make_pseudo_masks


def lines_of(folder):
    with open(folder / "ledger.csv", newline="") as stream:
        return {(row["case_id"], row["finding"]): row for row in csv.DictReader(stream)}


def maps_of(exp, cases, fold=None):
    return dict(predict_maps(cases, exp.run.stage("segment", fold=fold), exp.recipe))


def write_pictures(folder, n, shape=(24, 20)):
    draw = np.random.default_rng(0)
    for i in range(n):
        picture = draw.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"case{i}.png")


def table_with(folder, rows):
    """A manifest: the rows, then two positive and two negative patients in each other part."""
    names = [name for name in rows[0] if name.startswith("label_")]
    filled = [row | {"image": f"case{i}.png", "split": "train"} for i, row in enumerate(rows)]
    for part in ("train", "val", "test"):
        for label in (0, 1, 0, 1):
            known = dict.fromkeys(names, label)
            filled.append({"image": f"case{len(filled)}.png", "split": part} | known)
    table = pd.DataFrame(filled).assign(case_id=[f"case{i}" for i in range(len(filled))])
    table.astype({name: "Int64" for name in names}).to_csv(folder / "manifest.csv", index=False)
    return len(filled)


@pytest.fixture
def drawn_plane(tmp_path):
    """Left half drawn."""
    plane = np.zeros((24, 20), np.uint8)
    plane[:, :10] = 1
    Image.fromarray(plane).save(tmp_path / "left.png")
    return plane == 1


def test_findings_are_filtered_apart_and_what_is_known_stays(tmp_path, untrained, drawn_plane):
    rows = [
        {"label_a": 1, "label_b": 0, "mask_a": None},
        {"label_a": 1, "label_b": 1, "mask_a": "left.png"},
        {"label_a": None, "label_b": 1, "mask_a": None},
    ]
    write_pictures(tmp_path, table_with(tmp_path, rows))
    exp = untrained([], cut=(0.5, 0.0, "px"))
    folder = make_pseudo_masks(exp, filter_name="none")
    lines, maps = lines_of(folder), maps_of(exp, exp.table.cases[:3])
    actions = {key: row["action"] for key, row in list(lines.items())[:6]}
    assert actions == {
        ("case0", "a"): "kept", ("case0", "b"): "empty",
        ("case1", "a"): "drawn", ("case1", "b"): "kept",
        ("case2", "a"): "kept", ("case2", "b"): "kept",
    }  # fmt: skip
    for (case_id, finding), action in actions.items():
        if action == "kept":
            plane = maps[case_id]["ab".index(finding)]
            stored = np.asarray(Image.open(folder / lines[case_id, finding]["mask"]))
            np.testing.assert_array_equal(stored, plane > 0.5)
    counts = json.loads((folder / "record.json").read_text())["counts"]
    totals = {f: sum(sum(r.values()) for r in of.values()) for f, of in counts.items()}
    assert totals == {"a": 15, "b": 15}


def test_exclusive_findings_give_way_to_what_is_known(tmp_path, untrained, drawn_plane):
    """Against a hand-written rule on the predicted maps, pixel by pixel."""
    rows = [
        {"label_a": 1, "label_b": 0, "mask_a": None},
        {"label_a": 1, "label_b": 1, "mask_a": "left.png"},
        {"label_a": 1, "label_b": 1, "mask_a": None},
    ]
    write_pictures(tmp_path, table_with(tmp_path, rows))
    t = 0.4
    exp = untrained(["exclusive=true"], cut=(t, 0.0, "px"))
    folder = make_pseudo_masks(exp, filter_name="boosted")
    lines, maps = lines_of(folder), maps_of(exp, exp.table.cases[:3])

    def stored(case_id, finding):
        return np.asarray(Image.open(folder / lines[case_id, finding]["mask"])) == 1

    a, _ = maps["case0"].astype(float)
    background = 1 - maps["case0"].astype(float).sum(0)
    np.testing.assert_array_equal(stored("case0", "a"), a / (a + background) > t)
    assert lines["case0", "a"]["action"] == "changed"  # pixels of b became a
    assert lines["case0", "b"]["action"] == "empty"
    _, b = maps["case1"].astype(float)
    background = 1 - maps["case1"].astype(float).sum(0)
    np.testing.assert_array_equal(stored("case1", "b"), (b / (b + background) > t) & ~drawn_plane)
    a, b = maps["case2"].astype(float)
    assert lines["case2", "a"]["action"] == ("kept" if (a > t).any() else "dropped")
    np.testing.assert_array_equal(stored("case2", "b"), (b > t) & ((b > a) | (a <= t)))


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_the_mask_of_a_volume_has_the_place_of_every_voxel(tmp_path, untrained, soft):
    """An image stored from left to right and top to bottom, with a spacing and an origin."""
    affine = np.array([[-2, 0, 0, 30], [0, 0, 1.5, -9], [0, -3, 0, 12], [0, 0, 0, 1.0]])
    draw = np.random.default_rng(0)
    rows = []
    for i in range(13):
        image = nib.Nifti1Image(draw.integers(0, 99, (12, 10, 16)).astype(np.int16), affine)
        nib.save(image, tmp_path / f"case{i}.nii.gz")
        part = ("train", "val", "test")[max(0, i - 1) // 4]
        rows.append({"image": f"case{i}.nii.gz", "label": int(i % 2 == 0), "split": part})
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    network = "network={name: basicunet, options: {features: [8, 8, 8, 8, 8, 8]}}"
    exp = untrained([network, "image.spatial_dims=3"], cut=(0.5, 0.0, "mL"))
    folder = make_pseudo_masks(exp, filter_name="boosted", soft=soft)
    row = lines_of(folder)["case0", "target"]
    assert row["action"] == "kept"
    stored = nib.load(folder / row["mask"])
    (p,) = maps_of(exp, exp.table.cases[:1])["case0"]
    image = read_image(tmp_path / "case0.nii.gz")  # RAS+, as the map
    np.testing.assert_allclose(np.asarray(stored.dataobj), p if soft else p > 0.5, atol=1e-6)
    voxel = np.array([3, 5, 7, 1])
    place = np.linalg.inv(affine) @ stored.affine @ voxel  # in the file of the image
    index = np.rint(place[:3]).astype(int)
    np.testing.assert_allclose(place[:3], index, atol=1e-5)
    file = np.asarray(nib.load(tmp_path / "case0.nii.gz").dataobj)
    assert file[tuple(index)] == image.array[0, 3, 5, 7]
    if not soft:
        np.testing.assert_array_equal(read_mask(folder / row["mask"]).array, p > 0.5)
    assert float(row["predicted_area"]) == pytest.approx((p > 0.5).sum() * 9 / 1000)


def test_each_fold_has_its_own_network_cases_and_masks(tmp_path, untrained):
    n = 24
    write_pictures(tmp_path, n)
    table = pd.DataFrame({"image": [f"case{i}.png" for i in range(n)], "label": [0, 1] * (n // 2)})
    table.to_csv(tmp_path / "manifest.csv", index=False)
    exp = untrained(["split.folds=2", "split.val_fraction=0.4"])
    path = exp.run.stage("summarize", "tau") / "summarizer.json"
    fits = json.loads(path.read_text())["fits"]
    fits[1]["t"] = 0.45
    path.write_text(json.dumps({"fits": fits}))
    for fold, t in enumerate((0.5, 0.45)):
        folder = make_pseudo_masks(exp, filter_name="none", fold=fold)
        assert folder == exp.run.stage("pseudolabel", "own-none", fold=fold)
        train = cases_of(exp.table, exp.split, "train", fold)
        lines = {case_id: row for (case_id, _), row in lines_of(folder).items()}
        assert {c for c, row in lines.items() if row["action"] != "held_out"} == {
            case.case_id for case in train
        }
        positive = [case for case in train if case.labels[0] == 1]
        for case_id, (p,) in maps_of(exp, positive, fold).items():
            stored = np.asarray(Image.open(folder / lines[case_id]["mask"]))
            np.testing.assert_array_equal(stored, p > np.float64(t))
    with pytest.raises(Exception, match="the run has folds"):
        make_pseudo_masks(exp, filter_name="none")


def test_held_out_cases_are_recognized_in_another_manifest(exp):
    """By id, image and patient, and by the manifest's own split; what is left is labelled."""
    own = pd.read_csv("data/manifest.csv")
    test, val = own.query("split == 'test'"), own.query("split == 'val'")
    train = own.query("split == 'train' and mask.isna() and label != 0")
    rows = [
        {"case_id": test["case_id"].iloc[0], "patient_id": "x1", "image": train["image"].iloc[0]},
        {"case_id": "n1", "patient_id": "x2", "image": test["image"].iloc[1]},
        {"case_id": "n2", "patient_id": val["patient_id"].iloc[0], "image": train["image"].iloc[1]},
        {"case_id": "n3", "patient_id": "x4", "image": train["image"].iloc[2], "split": "test"},
        {"case_id": "n4", "patient_id": "x5", "image": train["image"].iloc[3], "split": "train"},
        {"case_id": "n5", "patient_id": "x6", "image": "nothing.png", "split": "train"},
    ]
    table = pd.DataFrame(rows).assign(label=1).fillna({"split": "train"})
    table.to_csv("data/more.csv", index=False)
    made = make_pseudo_masks(exp, filter_name="none", manifest=Path("data/more.csv"))
    lines = {case_id: row for (case_id, _), row in lines_of(made).items()}
    told = {case_id: (row["action"], row["reason"]) for case_id, row in lines.items()}
    assert told == {
        rows[0]["case_id"]: ("held_out", "test"),
        "n1": ("held_out", "test"),
        "n2": ("held_out", "val"),
        "n3": ("held_out", "test"),
        "n4": ("kept", "no_filter"),
        "n5": ("quarantined", "missing_file"),
    }
    assert lines["n1"]["why"].startswith("test case (by its image)")
    assert lines["n2"]["why"].startswith("validation case (by its patient_id)")
    assert json.loads((made / "record.json").read_text())["n_cases"] == 6


def test_pictures_without_a_spacing_have_no_area_in_mm2(tmp_path, untrained):
    rows = [{"label_a": 1}, {"label_a": None}, {"label_a": 0}]
    write_pictures(tmp_path, table_with(tmp_path, rows))
    exp = untrained([], cut=(0.5, 2.0, "mm2"))
    lines = lines_of(make_pseudo_masks(exp, filter_name="boosted"))
    assert [lines[f"case{i}", "a"]["reason"] for i in range(3)] == [
        "no_pixel_size", "no_pixel_size", "label_0",
    ]  # fmt: skip
    shutil.rmtree(exp.run.stage("pseudolabel"))
