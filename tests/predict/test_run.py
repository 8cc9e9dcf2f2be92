"""Cases to committed parts: the right numbers, and no way to lose, repeat or mix work."""

import errno
import json
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import ndimage
from scipy.special import expit

from segclf.core.errors import DataError, ExitCode, IntegrityError, StoppedError, UsageError
from segclf.core.maskstats import THRESHOLDS, mask_statistics
from segclf.core.records import MaskSource, MaskState
from segclf.core.statstable import read_statistics, write_part
from segclf.data import read_case
from segclf.predict import predict_cases, predict_maps
from segclf.segment import load_segmenter


def state_of(folder):
    """Bytes and times of every file in a folder."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def parts_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*.parquet"))}


def test_rows_are_the_statistics_of_the_networks_maps(a_recipe, a_model, some_cases, tmp_path):
    recipe, cases = a_recipe(), some_cases(6)
    model = a_model(recipe)
    result = predict_cases(cases, model, recipe, tmp_path / "own", fold=2)
    assert (result.n_cases, result.n_quarantined, result.n_parts, result.n_parts_made) == (
        6,
        0,
        2,
        2,
    )
    read = read_statistics(tmp_path / "own")
    assert read.frame["case_id"].tolist() == [case.case_id for case in cases]
    assert set(read.frame["fold"]) == {2}
    network, _ = load_segmenter(model)
    for i, case in enumerate(cases):
        with torch.no_grad():
            logits = network(read_case(case, recipe).image[None])[0, 0].numpy()
        truth = {0: np.asarray(Image.open(case.masks[0].path)) if i % 3 == 0 else None,
                 1: np.zeros_like(logits), 2: None}[i % 3]  # fmt: skip
        expected = mask_statistics(
            expit(logits.astype(np.float64)), logits, px_size=0.125, truth=truth, component_t=0.5
        )
        row = read.frame.iloc[i]
        assert row["px_size"] == 0.125  # 0.5 mm x 0.25 mm
        assert row["n_px"] == 40 * 48
        assert row["mean_p"] == pytest.approx(expected["mean_p"], rel=1e-4)
        assert row["max_p"] == pytest.approx(expected["max_p"], rel=1e-4)
        # folding batch norm moves logits by rounding; a pixel may cross a threshold
        assert np.abs(read.area_curve[i] - expected["area_curve"]).max() <= 2
        assert np.abs(read.overlap_curve[i] - expected["overlap_curve"]).max() <= 2
        assert row["true_px"] is pd.NA if truth is None else row["true_px"] == truth.sum()


def test_outlines_are_measured_in_mm_where_the_truth_has_a_pixel(
    a_recipe, a_model, some_cases, tmp_path
):
    predict = {"component_t": float(THRESHOLDS[77]), "surface_tolerance_mm": 1.25}
    # 32 x 32 inside, so that masks are compared on another grid than that of the network
    recipe = a_recipe(predict=predict, image={"size_px": [32, 32]})
    cases = some_cases(7)
    cases[6] = replace(cases[6], spacing_mm=None)
    model = a_model(recipe)
    predict_cases(cases, model, recipe, tmp_path / "own")
    frame = read_statistics(tmp_path / "own").frame
    assert set(frame["surface_tolerance_mm"]) == {1.25}
    maps = dict(predict_maps(cases, model, recipe))
    for i in (0, 3):  # drawn; the others are empty, not known, and without a spacing
        predicted = maps[f"case{i}"][0] > THRESHOLDS[77]
        truth = np.asarray(Image.open(cases[i].masks[0].path)) > 0
        outlines = [mask & ~ndimage.binary_erosion(mask) for mask in (predicted, truth)]
        mm = [
            ndimage.distance_transform_edt(~other, sampling=(0.5, 0.25))[one]
            for one, other in (outlines, outlines[::-1])
        ]
        assert 0 < (agreement := (np.concatenate(mm) <= 1.25).mean()) < 1
        assert frame["surface_dice"][i] == pytest.approx(agreement)
        assert frame["hd95_mm"][i] == pytest.approx(max(np.percentile(d, 95) for d in mm))
    unmeasured = frame.loc[[1, 2, 4, 5, 6], ["surface_dice", "hd95_mm"]]
    assert unmeasured.isna().all(axis=None)


def test_a_target_that_is_missed_has_a_surface_dice_of_0_and_no_distance(
    a_recipe, a_model, some_cases, tmp_path
):
    recipe = a_recipe(predict={"component_t": float(THRESHOLDS[-1])})
    predict_cases(some_cases(1), a_model(recipe), recipe, tmp_path / "own")
    row = read_statistics(tmp_path / "own").frame.iloc[0]
    assert (row["n_components"], row["surface_dice"]) == (0, 0.0)
    assert np.isnan(row["hd95_mm"])


def test_another_tolerance_is_another_prediction(a_recipe, a_model, some_cases, tmp_path):
    recipe, cases = a_recipe(), some_cases(1)
    predict_cases(cases, a_model(recipe), recipe, tmp_path / "own")
    other = a_recipe(predict={"surface_tolerance_mm": 3.0})
    with pytest.raises(IntegrityError, match=r"surface_tolerance_mm is 2\.0 there, 3\.0 now"):
        predict_cases(cases, a_model(other), other, tmp_path / "own")


def test_a_truth_without_pixels_costs_no_measuring(
    a_recipe, a_model, some_cases, tmp_path, monkeypatch
):
    import segclf.predict.rows as rows

    measured = []
    monkeypatch.setattr(
        rows, "surface_statistics", lambda *masks, **options: measured.append(options) or {}
    )
    recipe, cases = a_recipe(), some_cases(3)  # drawn, empty, not known
    predict_cases(cases, a_model(recipe), recipe, tmp_path / "own")
    assert measured == [{"spacing_mm": (0.5, 0.25), "tolerance_mm": 2.0}]


def test_statistics_are_counted_on_the_grid_of_the_input_image(
    a_recipe, a_model, some_cases, tmp_path
):
    recipe = a_recipe(image={"size_px": [32, 32]})
    cases = [*some_cases(2, (40, 48)), replace(some_cases(3, (64, 24), folder="b")[2], case_id="x")]
    model = a_model(recipe)
    predict_cases(cases, model, recipe, tmp_path / "own")
    read = read_statistics(tmp_path / "own")
    assert read.frame["n_px"].tolist() == [40 * 48, 40 * 48, 64 * 24]
    network, _ = load_segmenter(model)
    sample = read_case(cases[2], recipe)
    assert sample.image.shape == (1, 32, 32)
    with torch.no_grad():
        small = network(sample.image[None])[0, 0].numpy()
    # bilinear with half-pixel centres and a repeated edge, written out by hand
    rows, columns = (np.clip((np.arange(n) + 0.5) * 32 / n - 0.5, 0, 31) for n in (64, 24))
    along = np.stack([np.interp(rows, np.arange(32), small[:, c]) for c in range(32)], axis=1)
    logits = np.stack([np.interp(columns, np.arange(32), along[r]) for r in range(64)])
    assert read.frame["mean_p"][2] == pytest.approx(expit(logits).mean(), rel=1e-4)
    assert read.frame["max_p"][2] == pytest.approx(expit(logits).max(), rel=1e-4)


def test_exclusive_findings_are_softmax_probabilities(a_recipe, a_model, some_cases, tmp_path):
    recipe = a_recipe(exclusive=True, findings=["a", "b"])
    cases = some_cases(2, n_findings=2)
    model = a_model(recipe, findings=("a", "b"))
    predict_cases(cases, model, recipe, tmp_path / "own")
    read = read_statistics(tmp_path / "own")
    assert read.frame[["case_id", "finding"]].to_numpy().tolist() == [
        ["case0", "a"], ["case0", "b"], ["case1", "a"], ["case1", "b"],
    ]  # fmt: skip
    network, _ = load_segmenter(model)
    with torch.no_grad():
        raw = network(read_case(cases[0], recipe).image[None])
    expected = raw.softmax(1)[0, 1:].mean((1, 2)).tolist()  # background is first
    assert read.frame["mean_p"][:2].tolist() == pytest.approx(expected, rel=1e-4)


def test_a_second_call_touches_nothing(a_recipe, a_model, some_cases, tmp_path):
    recipe, cases = a_recipe(), some_cases(6)
    cases[1].images[0].write_bytes(b"not a picture")
    model = a_model(recipe)
    first = predict_cases(cases, model, recipe, tmp_path / "own", save_maps="png")
    before = state_of(tmp_path / "own")
    second = predict_cases(cases, model, recipe, tmp_path / "own", save_maps="png")
    assert state_of(tmp_path / "own") == before
    assert second == replace(first, n_parts_made=0)
    third = predict_cases(cases, model, recipe, tmp_path / "own")  # maps are there, not asked for
    assert state_of(tmp_path / "own") == before
    assert third.n_parts_made == 0


def test_more_cases_continue_and_other_cases_are_made_anew(a_recipe, a_model, some_cases, tmp_path):
    recipe, cases = a_recipe(), some_cases(10)
    model, folder = a_model(recipe), tmp_path / "own"
    predict_cases(cases[:6], model, recipe, folder)
    kept = (folder / "part-00000.parquet").stat().st_mtime_ns
    more = predict_cases(cases, model, recipe, folder)
    assert (more.n_parts, more.n_parts_made) == (3, 2)  # cases 0-3 stay
    assert (folder / "part-00000.parquet").stat().st_mtime_ns == kept
    assert len(read_statistics(folder).frame) == 10
    fewer = predict_cases(cases[:4], model, recipe, folder)
    assert (fewer.n_parts, fewer.n_parts_made) == (1, 0)
    assert sorted(path.name for path in folder.glob("part-*")) == [
        "part-00000.json", "part-00000.parquet",
    ]  # fmt: skip
    some_cases(1)  # the file of case 0 is written again
    assert predict_cases(cases[:4], model, recipe, folder).n_parts_made == 1


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "no record"])
def test_a_damaged_part_is_made_again_with_the_same_bytes(
    damage, a_recipe, a_model, some_cases, tmp_path
):
    recipe, cases = a_recipe(), some_cases(6)
    model, folder = a_model(recipe), tmp_path / "own"
    predict_cases(cases, model, recipe, folder)
    before = parts_of(folder)
    path = folder / "part-00001.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "gone":
        path.unlink()
    elif damage == "no record":
        path.with_suffix(".json").unlink()
    else:
        path.write_bytes(data if damage == "flip" else data[:99])
    assert predict_cases(cases, model, recipe, folder).n_parts_made == 1
    assert parts_of(folder) == before


def test_another_model_or_recipe_is_refused_and_named(a_recipe, a_model, some_cases, tmp_path):
    recipe, cases = a_recipe(), some_cases(2)
    folder = tmp_path / "own"
    predict_cases(cases, a_model(recipe), recipe, folder)
    before = state_of(folder)
    with pytest.raises(
        IntegrityError, match=r"model_sha256 is \w{12}… there, \w{12}… now"
    ) as caught:
        predict_cases(cases, a_model(recipe, seed=1), recipe, folder)
    assert caught.value.exit_code == ExitCode.INTEGRITY
    other = a_recipe(predict={"overlap": 0.5, "flip_tta": True})
    with pytest.raises(IntegrityError) as caught:
        predict_cases(cases, a_model(recipe), other, folder)
    assert caught.value.wrong == (
        "the folder holds predictions of another model or recipe: "
        "predict.flip_axes is [] there, [1] now; predict.flip_tta is False there, True now; "
        "predict.overlap is 0.25 there, 0.5 now."
    )
    assert state_of(folder) == before
    # what does not change a number may change
    wider = a_recipe(predict={"batch_size": 2}, image={"cache_gib": 0})
    assert predict_cases(cases, a_model(recipe), wider, folder).n_parts_made == 0


def test_images_must_be_prepared_as_in_training(a_recipe, a_model, some_cases, tmp_path):
    model = a_model(a_recipe())
    recipe = a_recipe(image={"intensity": "zscore"})
    with pytest.raises(IntegrityError, match=r"image\.intensity is percentile there, zscore now"):
        predict_cases(some_cases(1), model, recipe, tmp_path / "own")


def test_findings_must_be_those_of_the_model(a_recipe, a_model, some_cases, tmp_path):
    model = a_model(a_recipe())
    with pytest.raises(IntegrityError, match="looks for lesion, the manifest and recipe for cyst"):
        predict_cases(some_cases(1), model, a_recipe(findings=["cyst"]), tmp_path / "own")
    with pytest.raises(IntegrityError, match="another number of findings"):
        predict_cases(some_cases(1, n_findings=2), model, a_recipe(), tmp_path / "own")


def test_a_component_threshold_off_the_grid_is_refused_before_any_work(
    a_recipe, a_model, some_cases, tmp_path
):
    recipe = a_recipe(predict={"component_t": 0.3})
    with pytest.raises(UsageError, match=r"use 0.2966 or 0.3196"):
        predict_cases(some_cases(1), a_model(a_recipe()), recipe, tmp_path / "own")
    assert not (tmp_path / "own").exists()


def test_bad_images_are_set_aside_with_a_reason_and_no_secrets(
    a_recipe, a_model, some_cases, tmp_path
):
    recipe, cases = a_recipe(), some_cases(8)
    cases[1].images[0].write_bytes(b"not a picture")
    cases[2].images[0].unlink()
    Image.fromarray(np.zeros((40, 48, 3), np.uint8)).save(cases[4].images[0])
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(cases[6].masks[0].path)
    folder = tmp_path / "own"
    result = predict_cases(cases, a_model(recipe), recipe, folder)
    assert (result.n_cases, result.n_quarantined) == (4, 4)
    text = (folder / "quarantine.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["case_id"], line["reason"]) for line in lines] == [
        ("case1", "unreadable"),
        ("case2", "missing_file"),
        ("case4", "channels_differ"),
        ("case6", "shape_mismatch"),
    ]
    assert all(set(line) == {"case_id", "reason", "message"} for line in lines)
    assert "the image has 3 channels, the model 1" in lines[2]["message"]
    assert str(tmp_path) not in text
    assert "secret" not in text
    read = read_statistics(folder)
    assert read.frame["case_id"].tolist() == ["case0", "case3", "case5", "case7"]


def test_quarantined_cases_leave_the_rows_of_others_as_they_are(
    a_recipe, a_model, some_cases, tmp_path
):
    recipe, cases = a_recipe(predict={"batch_size": 1}), some_cases(3)
    model = a_model(recipe)
    predict_cases(cases, model, recipe, tmp_path / "all")
    cases[1].images[0].write_bytes(b"")
    predict_cases(cases, model, recipe, tmp_path / "some")
    every, some = read_statistics(tmp_path / "all"), read_statistics(tmp_path / "some")
    kept = every.frame[every.frame["case_id"] != "case1"].reset_index(drop=True)
    pd.testing.assert_frame_equal(some.frame, kept)


def test_logits_that_are_not_finite_are_set_aside(a_recipe, a_model, some_cases, tmp_path):
    def spoil(network):
        torch.nn.init.constant_(next(network.head.parameters()), torch.inf)

    recipe = a_recipe()
    result = predict_cases(some_cases(2), a_model(recipe, spoil=spoil), recipe, tmp_path / "own")
    assert (result.n_cases, result.n_quarantined) == (0, 2)
    assert "nonfinite_logits" in (tmp_path / "own" / "quarantine.jsonl").read_text()


def test_images_of_many_shapes_are_predicted_in_the_order_asked_for(
    a_recipe, a_model, some_cases, tmp_path
):
    recipe = a_recipe(predict={"part_size": 50})
    shapes = [(40, 48), (32, 32), (17, 90)]
    cases = [
        replace(some_cases(i + 1, shapes[i % 3], folder=f"f{i}")[i], case_id=f"c{i}")
        for i in range(8)
    ]
    model = a_model(recipe)
    predict_cases(cases, model, recipe, tmp_path / "own")
    read = read_statistics(tmp_path / "own")
    assert read.frame["case_id"].tolist() == [f"c{i}" for i in range(8)]
    alone = a_recipe(predict={"batch_size": 1})
    predict_cases(cases[5:6], model, alone, tmp_path / "one")
    one = read_statistics(tmp_path / "one").frame["mean_p"][0]
    assert read.frame["mean_p"][5] == pytest.approx(one, rel=1e-5)


def test_volumes_go_through_a_window_and_keep_their_spacing(
    a_recipe, a_model, some_cases, tmp_path
):
    network = {"name": "segresnet", "options": {"init_filters": 8, "blocks_down": [1, 1],
                                                 "blocks_up": [1]}}  # fmt: skip
    recipe = a_recipe(
        image={"spatial_dims": 3}, network=network, segment={"patch_px": [16, 16, 16]}
    )
    cases = some_cases(2, (24, 20, 18))
    predict_cases(cases, a_model(recipe), recipe, tmp_path / "own", save_maps="nifti")
    read = read_statistics(tmp_path / "own")
    assert read.frame["is_volume"].all()
    assert read.frame["n_px"].tolist() == [24 * 20 * 18] * 2
    import nibabel

    saved = nibabel.load(tmp_path / "own" / "maps" / "case0" / "lesion.nii.gz")
    original = nibabel.load(cases[0].images[0])
    np.testing.assert_array_equal(saved.affine, original.affine)
    assert saved.get_fdata().mean() == pytest.approx(read.frame["mean_p"][0], rel=1e-5)


def test_no_size_or_distance_is_made_from_a_nominal_spacing(
    a_recipe, a_model, some_cases, tmp_path
):
    cases, found = some_cases(1), {}
    for is_nominal in (False, True):
        recipe = a_recipe(nominal_spacing=is_nominal)
        predict_cases(cases, a_model(recipe), recipe, tmp_path / str(is_nominal))
        found[is_nominal] = read_statistics(tmp_path / str(is_nominal)).frame.loc[0]
    assert found[False]["px_size"] == 0.125
    assert not np.isnan(found[False]["surface_dice"])
    assert np.isnan(found[True]["px_size"])
    assert np.isnan(found[True]["surface_dice"])
    assert found[True]["mean_p"] == found[False]["mean_p"]
    real = a_recipe()
    model = a_model(real)
    with pytest.raises(IntegrityError, match="nominal_spacing is True there, None now"):
        predict_cases(cases, model, real, tmp_path / "True")


def test_flips_are_averaged_in_logits(a_recipe, a_model, some_cases):
    recipe = a_recipe(predict={"flip_tta": True}, augment={"flip_axes": [0, 1]})
    cases, model = some_cases(1), a_model(recipe)
    ((case_id, probability),) = predict_maps(cases, model, recipe)
    network, _ = load_segmenter(model)
    image = read_case(cases[0], recipe).image[None]
    with torch.no_grad():
        copies = [network(image.flip(axes)).flip(axes) for axes in ([], [2], [3], [2, 3])]
    expected = torch.stack(copies).mean(0).sigmoid()[0].numpy()
    assert case_id == "case0"
    np.testing.assert_allclose(probability, expected, rtol=1e-4)


def test_maps_without_a_word_on_bad_cases_still_say_so(a_recipe, a_model, some_cases):
    recipe, cases, events = a_recipe(), some_cases(3), []
    cases[1].images[0].unlink()
    maps = dict(predict_maps(cases, a_model(recipe), recipe, on_event=events.append))
    assert set(maps) == {"case0", "case2"}
    assert maps["case0"].shape == (1, 40, 48)
    assert [(event["case_id"], event["reason"]) for event in events] == [("case1", "missing_file")]


def test_progress_counts_every_case_once(a_recipe, a_model, some_cases, tmp_path):
    recipe, cases, events = a_recipe(), some_cases(9), []
    cases[2].images[0].unlink()
    model = a_model(recipe)
    predict_cases(cases[:4], model, recipe, tmp_path / "own", on_event=lambda event: None)
    predict_cases(cases, model, recipe, tmp_path / "own", on_event=events.append)
    steps = [event["step"] for event in events]
    assert steps == sorted(steps)
    assert steps[0] > 4  # the first part was there
    assert steps[-1] == events[-1]["of"] == 9


def test_memory_does_not_grow_with_the_number_of_cases(
    a_recipe, a_model, some_cases, tmp_path, monkeypatch
):
    import weakref

    import segclf.predict.feed as feed

    alive, most = weakref.WeakSet(), 0

    def counted(case, recipe, **options):
        nonlocal most
        sample = read_case(case, recipe, **options)
        alive.add(sample.image)
        most = max(most, len(alive))
        return sample

    monkeypatch.setattr(feed, "read_case", counted)
    one = some_cases(1)[0]
    cases = [replace(one, case_id=f"c{i}") for i in range(120)]
    recipe = a_recipe(predict={"batch_size": 4, "part_size": 120})
    predict_cases(cases, a_model(recipe), recipe, tmp_path / "own")
    assert 4 <= most <= 4 * 4 + 4  # waiting to be taken, in the network, in statistics


def test_worker_processes_change_nothing(a_recipe, a_model, some_cases, tmp_path):
    cases, model = some_cases(5), a_model(a_recipe())
    cases[1].images[0].write_bytes(b"broken")
    for workers in (0, 1):
        recipe = a_recipe(predict={"workers": workers})
        predict_cases(cases, model, recipe, tmp_path / str(workers))
    assert parts_of(tmp_path / "1") == parts_of(tmp_path / "0")


def test_a_full_disk_keeps_what_is_done_and_says_how_to_go_on(
    a_recipe, a_model, some_cases, tmp_path, monkeypatch
):
    import segclf.predict.run as run

    def full(folder, index, *rest):
        if index == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_part(folder, index, *rest)

    recipe, cases = a_recipe(), some_cases(6)
    model, folder = a_model(recipe), tmp_path / "own"
    predict_cases(cases, model, recipe, folder)
    changed = [*cases[:5], replace(cases[5], spacing_mm=(1.0, 1.0))]
    monkeypatch.setattr(run, "write_part", full)
    with pytest.raises(StoppedError, match="the disk is full") as caught:
        predict_cases(changed, model, recipe, folder)
    assert caught.value.exit_code == ExitCode.STOPPED
    monkeypatch.undo()
    with pytest.raises(DataError, match="1 of 2 parts are missing"):  # not the outdated one
        read_statistics(folder)
    assert predict_cases(cases, model, recipe, folder).n_parts_made == 1


RUN = """
import json, sys, torch
from pathlib import Path
from segclf.core.config import make_recipe
from segclf.core.records import Case, MaskSource, MaskState
from segclf.predict import predict_cases
torch.set_num_threads(1)
folder, model, images, recipe = sys.argv[1:]
masks = (MaskSource(MaskState.UNKNOWN),)
cases = [
    Case(f"case{i}", (Path(images) / f"case{i}.png",), masks, (1.0,), "p") for i in range(24)
]
recipe = make_recipe(json.loads(recipe), where="test")
say = lambda event: print(event["step"], flush=True)
predict_cases(cases, Path(model), recipe, Path(folder), save_maps="png", on_event=say)
"""


def test_after_sigkill_the_same_call_ends_with_the_same_bytes(
    a_recipe, a_model, some_cases, tmp_path
):
    recipe, cases = a_recipe(predict={"part_size": 3}), some_cases(24)
    cases = [replace(case, masks=(MaskSource(MaskState.UNKNOWN),)) for case in cases]
    cases = [replace(case, spacing_mm=None) for case in cases]
    cases[7].images[0].write_bytes(b"broken")
    model, whole, killed = a_model(recipe), tmp_path / "whole", tmp_path / "killed"
    predict_cases(cases, model, recipe, whole, save_maps="png")
    arguments = [killed, model, cases[0].images[0].parent, recipe.model_dump_json()]
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(4):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    n_before = len(list(killed.glob("part-*.json")))
    assert 0 < n_before < 8
    result = predict_cases(cases, model, recipe, killed, save_maps="png")
    assert result.n_parts_made == 8 - n_before
    assert parts_of(killed) == parts_of(whole)
    for name in ("quarantine.jsonl", "identity.json", "part-00000.json"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert sorted(path.name for path in (killed / "maps").rglob("*.png")) == sorted(
        path.name for path in (whole / "maps").rglob("*.png")
    )
