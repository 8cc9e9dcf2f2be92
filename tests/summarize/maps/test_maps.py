"""A folder of maps and a manifest to scores."""

import json
import os
import pickle
import subprocess
import sys
import zipfile

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from segclf.core.errors import DataError, UsageError
from segclf.core.scoretable import read_scores, write_scores
from segclf.core.statstable import read_statistics
from segclf.experiment import new_experiment
from segclf.io import write_image, write_mask
from segclf.maps import maps_text, summarize_maps
from segclf.tables import evaluate_tables


def quarantine(result):
    path = result.folder.parent / "statistics" / "quarantine.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return {case["case_id"]: case for case in map(json.loads, lines)}


def score(maps, manifest, rule="mean", **options):
    return summarize_maps(maps, rule, manifest=manifest, out=maps.parent / "out", **options)


def mean_of(result):
    return read_scores(result.folder).set_index("case_id")["score"].to_dict()


def png(path, p, top=255):
    write_image(path, np.rint(p * top).astype(np.uint8 if top == 255 else np.uint16)[None])


@pytest.mark.parametrize(("top", "atol"), [(255, 0.51 / 255), (65535, 0.51 / 65535)])
def test_png_maps_are_scored_and_judged(a_folder, blob, tmp_path, top, atol):
    manifest = a_folder(12)
    for i in range(12):
        png(tmp_path / f"maps/c{i}.png", blob(i), top)
    result = score(tmp_path / "maps", manifest, "tau")
    table = read_scores(result.folder)
    assert table["score"].tolist() == pytest.approx([blob(i).mean() for i in range(12)], abs=atol)
    assert set(table["method"]) == {"tau"}
    assert set(table["split"]) == {"val", "test"}
    test = table[table["split"] == "test"]
    assert roc_auc_score(test["label"], test["score"]) == 1.0
    fit = result.record["fits"][0]
    assert (fit["fitted_on"], fit["n"], fit["value"]) == ("val", 6, 1.0)
    assert result.n_quarantined == 0
    found = evaluate_tables(
        [result.folder / "scores.parquet"],
        {},
        tmp_path / "judged",
        (),
        None,
        ["evaluate.n_boot=20", "evaluate.min_group=2"],
    )
    auroc = found.metrics.query("metric == 'auroc'")
    assert auroc["estimate"].tolist() == [1.0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_float_maps_of_any_layout_give_the_same_score(a_folder, blob, tmp_path, dtype):
    manifest, maps = a_folder(4), tmp_path / "maps"
    maps.mkdir()
    p = [blob(i).astype(dtype) for i in range(4)]
    np.savez(maps / "c0.npz", p[0])
    write_image(maps / "c1.nii.gz", p[1][None])
    write_image(maps / "c2_target.npz", p[2][None])
    write_image(maps / "c3/target.npz", p[3][None], spacing_mm=(0.5, 0.5))
    expected = {f"c{i}": p[i].astype(np.float64).mean() for i in range(4)}
    assert mean_of(score(maps, manifest)) == pytest.approx(expected, rel=1e-6)


def nnunet(folder, name, p, *, affine=None, reader_axes=(2, 1, 0)):
    """Files as nnU-Net 2 writes them for p (x, y, z): (class, z, y, x) float16, and labels."""
    folder.mkdir(exist_ok=True)
    both = np.stack([1 - p, p]).astype(np.float16)
    array = both.transpose(0, *(axis + 1 for axis in reader_axes))
    np.savez_compressed(folder / f"{name}.npz", probabilities=array)
    labels = (p > 0.5).astype(np.uint8)
    nib.save(nib.Nifti1Image(labels, np.eye(4) if affine is None else affine),
             folder / f"{name}.nii.gz")  # fmt: skip
    (folder / f"{name}.pkl").write_bytes(b"cos\nsystem\n(S'touch " + b"pwned'\ntR.")


def test_nnunet_folders_are_read_without_their_pickles(a_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(pickle, "load", lambda *_: pytest.fail("a pickle was opened"))
    monkeypatch.chdir(tmp_path)
    shape, affine = (7, 9, 5), np.diag([-2.0, -1.0, 3.0, 1.0])  # LPS, as ITK writes CT
    manifest = a_folder(4, shape, suffix=".nii.gz", affine=affine)
    volumes = [np.random.default_rng(i).uniform(0, 0.4 + i / 10, shape) for i in range(4)]
    for i, p in enumerate(volumes):
        nnunet(tmp_path / "maps", f"c{i}", p, affine=affine)
    result = score(tmp_path / "maps", manifest, overrides=["image.spatial_dims=3"])
    expected = {f"c{i}": p.astype(np.float16).astype(float).mean() for i, p in enumerate(volumes)}
    assert mean_of(result) == pytest.approx(expected, rel=1e-6)
    frame = read_statistics(tmp_path / "out/statistics").frame
    assert frame["px_size"].tolist() == pytest.approx([6.0] * 4)  # 2 x 1 x 3 mm
    assert result.record["maps"]["files_without_case"] == 0
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("axes", [(2, 1, 0), "reoriented"])
def test_the_axes_of_nnunet_follow_the_segmentation(a_folder, tmp_path, axes):
    # stored as (z, x, y): RAS order differs from the order of the file
    affine = np.zeros((4, 4))
    affine[2, 0], affine[0, 1], affine[1, 2], affine[3, 3] = 3.0, 1.0, 2.0, 1.0
    stored = np.random.default_rng(0).uniform(0, 1, (5, 7, 9))
    manifest = a_folder(2, (7, 9, 5), suffix=".nii.gz", spacing_mm=(1.0, 2.0, 3.0))
    for i in range(2):
        # the reorienting reader stores (z, y, x) of RAS+, where x is axis 1, y axis 2, z axis 0
        order = (2, 1, 0) if axes != "reoriented" else (0, 2, 1)
        nnunet(tmp_path / "maps", f"c{i}", stored, affine=affine, reader_axes=order)
    seen = {}

    def keep(probability, spacing_mm):
        seen["map"], seen["spacing"] = probability, spacing_mm
        return {"x": 0.0}

    from segclf.core.mapstats import MAP_STATISTICS

    MAP_STATISTICS["keep"] = keep
    try:
        overrides = ["image.spatial_dims=3", "predict.statistics=[keep]"]
        result = score(tmp_path / "maps", manifest, overrides=overrides)
    finally:
        del MAP_STATISTICS["keep"]
    assert quarantine(result) == {}
    np.testing.assert_allclose(seen["map"], stored.transpose(1, 2, 0), atol=1e-3)
    assert seen["spacing"] == pytest.approx((1.0, 2.0, 3.0))


def test_a_2d_nnunet_folder_has_pngs_beside_its_arrays(a_folder, blob, tmp_path):
    manifest, maps = a_folder(2), tmp_path / "maps"
    maps.mkdir()
    for i in range(2):
        p = blob(i).astype(np.float16)
        np.savez(maps / f"c{i}.npz", probabilities=np.stack([1 - p, p])[:, None])
        write_mask(maps / f"c{i}.png", (p > 0.5).astype(np.uint8))
    found = mean_of(score(maps, manifest))
    assert found == pytest.approx({f"c{i}": blob(i).mean() for i in range(2)}, rel=1e-3)


def test_class_indices_become_findings(a_folder, blob, tmp_path):
    labels = {"label_a": [0, 1] * 2, "label_b": [1, 0] * 2}
    manifest, maps = a_folder(4, more=labels), tmp_path / "maps"
    maps.mkdir()
    planes = np.stack([np.full((24, 20), p) for p in (0.4, 0.3, 0.2, 0.1)]).astype(np.float32)
    for i in range(4):
        np.savez(maps / f"c{i}.npz", probabilities=planes[:, None])
    overrides = ["findings=[a, b]", "mask_values={1: b, 2: a, 3: b}", "columns={label.a: label_a}"]
    result = score(maps, manifest, overrides=overrides[:2])
    table = read_scores(result.folder)
    assert table.groupby("finding")["score"].first().to_dict() == pytest.approx(
        {"a": 0.2, "b": 0.4}
    )
    none_named = score(maps, manifest, overrides=overrides[:1])
    assert none_named.n_quarantined == 4
    assert quarantine(none_named)["c0"]["reason"] == "classes_differ"


def test_hard_masks_have_probability_0_or_1_and_a_note(a_folder, blob, tmp_path):
    manifest, maps = a_folder(4), tmp_path / "maps"
    for i in range(4):
        write_mask(maps / f"c{i}.nii.gz", (blob(i) > 0.5).astype(np.uint8))
    result = score(maps, manifest, "tau")
    assert mean_of(result) == pytest.approx({f"c{i}": (blob(i) > 0.5).mean() for i in range(4)})
    frame = read_statistics(tmp_path / "out/statistics")
    assert frame.area_curve.min(axis=1).tolist() == frame.area_curve.max(axis=1).tolist()
    assert "rules rank by area" in maps_text(result.record).replace(
        "every rule ranks", "rules rank"
    )


def test_masks_of_0_and_1_are_not_taken_for_faint_probabilities(a_folder, blob, tmp_path):
    manifest, maps = a_folder(4), tmp_path / "maps"
    for i in range(4):
        write_mask(maps / f"c{i}.png", (blob(i) > 0.5).astype(np.uint8))
    with pytest.raises(DataError, match="pixel values are at most 1") as caught:
        score(maps, manifest)
    assert "--maps-hold labels" in caught.value.fix
    found = mean_of(score(maps, manifest, hold="labels"))
    assert found["c1"] == pytest.approx((blob(1) > 0.5).mean())


def test_a_bad_file_sets_its_case_aside_and_stops_no_other(a_folder, blob, tmp_path):
    manifest, maps = a_folder(12), tmp_path / "maps"
    maps.mkdir()
    for i in (0, 1, 10, 11):
        png(maps / f"c{i}.png", blob(i))
    png(maps / "c2.png", np.zeros((24, 21)))
    (maps / "c3.png").write_bytes((maps / "c0.png").read_bytes()[:90])
    np.savez(maps / "c4.npz", probabilities=np.array([{"a": 1}], dtype=object))
    (maps / "c5.npz").write_bytes(b"PK\x03\x04 not a zip")
    np.savez(maps / "c6.npz", np.full((24, 20), np.nan, np.float32))
    np.savez(maps / "c7.npz", np.full((24, 20), 3.0, np.float32))
    (maps / "c8.nii.gz").write_bytes(b"\x1f\x8b nothing")
    (tmp_path / "secret.npz").write_bytes(b"")
    os.symlink(tmp_path / "secret.npz", maps / "c9.npz")
    result = score(maps, manifest)
    assert {case: row["reason"] for case, row in quarantine(result).items()} == {
        "c2": "map_size_differs", "c3": "truncated", "c4": "unreadable", "c5": "unreadable",
        "c6": "not_probability", "c7": "not_probability", "c8": "unreadable", "c9": "outside_root",
    }  # fmt: skip
    assert result.n_quarantined == 8
    assert set(mean_of(result)) == {"c0", "c1", "c10", "c11"}
    text = (tmp_path / "out/statistics/quarantine.jsonl").read_text()
    assert str(tmp_path) not in text
    assert "24 x 21 pixels, the image 24 x 20" in text


def test_an_array_that_claims_more_than_its_file_holds_takes_no_memory(a_folder, blob, tmp_path):
    manifest, maps = a_folder(2), tmp_path / "maps"
    png(maps / "c0.png", blob(0))
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 40000, 200, 200), }"
    header += b" " * (117 - len(header)) + b"\n"
    with zipfile.ZipFile(maps / "c1.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("probabilities.npy", b"\x93NUMPY\x01\x00" + b"\x76\x00" + header)
    assert quarantine(score(maps, manifest))["c1"]["reason"] in ("truncated", "too_large")


def test_missing_and_foreign_maps_are_counted(a_folder, blob, tmp_path):
    manifest, maps = a_folder(6), tmp_path / "maps"
    for i in (0, 1, 2, 4):
        png(maps / f"c{i}.png", blob(i))
    png(maps / "other.png", blob(0))
    (maps / "dataset.json").write_text("{}")
    result = score(maps, manifest)
    found = result.record["maps"]
    assert (found["cases"], found["without_a_map"], found["files_without_case"]) == (4, 2, 1)
    assert found["first_files_without_case"] == ["other.png"]
    missing = result.record["cases_without_statistics"]
    assert {split: part["first_case_ids"] for split, part in missing.items()} == {
        "test": ["c3", "c5"]
    }
    assert "1 files belong to no case" in maps_text(result.record)
    assert result.n_quarantined == 0


def test_one_file_is_never_the_map_of_two_cases(tmp_path, blob):
    rows = []
    for name in ("a", "a_f"):
        png(tmp_path / f"{name}.png", blob(0))
        rows.append({"case_id": name, "image": f"{name}.png", "label_f": 1})
    rows.append({"case_id": "b", "image": "a.png", "label_f": 0})
    pd.DataFrame(rows).to_csv(tmp_path / "cases.csv", index=False)
    for name in ("a_f", "b"):
        png(tmp_path / f"maps/{name}.png", blob(0))
    result = score(tmp_path / "maps", tmp_path / "cases.csv")
    assert {row["reason"] for row in quarantine(result).values()} == {"ambiguous_map"}
    assert set(mean_of(result)) == {"b"}


def test_thresholds_need_validation_cases_or_are_given(a_folder, blob, tmp_path):
    manifest, maps = a_folder(4, more={"split": ["test"] * 4}), tmp_path / "maps"
    for i in range(4):
        png(maps / f"c{i}.png", blob(i))
    with pytest.raises(UsageError, match="no validation cases to fit --t and --tau on"):
        score(maps, manifest, "tau")
    with pytest.raises(UsageError, match="to fit --tau on"):
        score(maps, manifest, "tau", t=0.5)
    table = read_scores(score(maps, manifest, "tau", t=0.5, tau="9px").folder)
    assert table["decision"].tolist() == [float((blob(i) > 0.5).sum() > 9) for i in range(4)]
    record = score(maps, manifest, "mean").record
    assert record["fits"][0]["reason"] == "no validation case has a known label"


def test_training_cases_are_left_out(a_folder, blob, tmp_path):
    manifest = a_folder(4, more={"split": ["train", "val", "val", "test"]})
    for i in range(4):
        png(tmp_path / f"maps/c{i}.png", blob(i))
    result = score(tmp_path / "maps", manifest)
    assert set(mean_of(result)) == {"c1", "c2", "c3"}
    assert result.record["maps"]["training_cases_left_out"] == 1


def test_another_rule_reads_no_map_again_and_a_changed_map_is_read(
    a_folder, blob, tmp_path, monkeypatch
):
    manifest, maps = a_folder(4), tmp_path / "maps"
    for i in range(4):
        png(maps / f"c{i}.png", blob(i))
    first = score(maps, manifest)
    from segclf.summarize.maps import stream

    calls = []
    monkeypatch.setattr(stream, "read_maps", lambda *a: calls.append(a) or read_maps(*a))
    from segclf.summarize.maps.read import read_maps

    again = score(maps, manifest, "max", method="nnunet-max")
    assert calls == []
    assert (again.folder.name, set(read_scores(again.folder)["method"])) == (
        "nnunet-max", {"nnunet-max"},
    )  # fmt: skip
    png(maps / "c0.png", np.ones((24, 20)))
    assert mean_of(score(maps, manifest))["c0"] == 1.0
    assert len(calls) == 4
    assert mean_of(first)["c0"] == 1.0  # the same folder, written anew


def test_the_number_of_threads_changes_nothing(a_folder, blob, tmp_path):
    manifest = a_folder(9)
    for i in range(9):
        png(tmp_path / f"maps/c{i}.png", blob(i))
    tables = [
        summarize_maps(
            tmp_path / "maps", "tau", manifest=manifest, out=tmp_path / f"out{n}", n_threads=n
        ).folder
        for n in (1, 5)
    ]
    assert (tables[0] / "scores.csv").read_bytes() == (tables[1] / "scores.csv").read_bytes()


def test_a_folder_without_any_map_of_a_case_is_refused(a_folder, tmp_path):
    manifest, maps = a_folder(2), tmp_path / "maps"
    with pytest.raises(DataError, match="does not exist"):
        score(maps, manifest)
    maps.mkdir()
    with pytest.raises(DataError, match="it is empty"):
        score(maps, manifest)
    Image.new("L", (20, 24)).save(maps / "patient9.png")
    with pytest.raises(DataError, match=r"named after a case: patient9\.png") as caught:
        score(maps, manifest)
    assert "c0.npz" in caught.value.expected
    with pytest.raises(UsageError, match="which these maps lack") as caught:
        score(maps, manifest, "resnet50")
    assert "a rule: tau, mean" in caught.value.expected
    with pytest.raises(UsageError, match="belong to no table"):
        summarize_maps(maps, "mean")


def test_maps_of_a_runs_cases_stand_beside_its_methods_on_its_split(
    a_folder, blob, tmp_path, monkeypatch
):
    manifest = a_folder(20, more={"split": None}).rename(tmp_path / "all.csv")
    pd.read_csv(manifest).drop(columns="split").to_csv(manifest, index=False)
    monkeypatch.chdir(tmp_path)
    for i in range(20):
        png(tmp_path / f"nnunet/c{i}.png", blob(i))
    exp = new_experiment(None, manifest, "mine", ["seed=3"])
    result = summarize_maps(tmp_path / "nnunet", "tau", run=exp.run)
    assert result.folder == exp.run.path / "summarize" / "nnunet-tau"
    table = read_scores(result.folder)
    assert set(table["method"]) == {"nnunet-tau"}
    split = exp.split.set_index("case_id")["split"]
    assert table.set_index("case_id")["split"].to_dict() == split[split != "train"].to_dict()
    assert "summarize/nnunet-tau" in (exp.run.path / "run.json").read_text()
    summarize_maps(tmp_path / "nnunet", "tau", run=exp.run)  # again, over its own
    write_scores(exp.run.path / "summarize" / "tau", table, {"rule": "tau"})
    with pytest.raises(UsageError, match="has its own method 'tau'"):
        summarize_maps(tmp_path / "nnunet", "tau", run=exp.run, method="tau")


def test_a_folder_of_damaged_maps_gives_an_empty_table_and_every_reason(a_folder, tmp_path):
    manifest, maps = a_folder(4), tmp_path / "maps"
    maps.mkdir()
    for i in range(4):
        (maps / f"c{i}.nii.gz").write_bytes(b"")
    result = score(maps, manifest, "tau")
    assert len(read_scores(result.folder)) == 0
    assert len(quarantine(result)) == result.n_quarantined == 4


def test_the_command_scores_maps_and_says_what_was_set_aside(a_folder, blob, tmp_path):
    manifest = a_folder(12, more={"site": ["a", "b"] * 6})
    for i in range(12):
        png(tmp_path / f"maps/c{i}.png", blob(i))
    (tmp_path / "maps/c11.png").write_bytes(b"no picture")
    command = [sys.executable, "-m", "segclf", "summarize", "--maps", "maps", "--rule", "mean"]
    done = subprocess.run(
        [*command, "--manifest", manifest], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 4, done.stderr
    assert "11 cases with maps from maps/" in done.stdout
    assert "1 set aside" in done.stdout
    assert "Traceback" not in done.stderr
    scores = tmp_path / "runs/maps-maps/mean/scores_and_columns.parquet"
    assert f"--scores {scores.relative_to(tmp_path)}" in done.stdout
    found = evaluate_tables(
        [scores], {}, tmp_path / "judged", ("site",), None,
        ["evaluate.n_boot=20", "evaluate.min_group=1"],
    )  # fmt: skip
    assert {"a", "b"} <= set(found.metrics["group"].dropna())
