"""Pseudo-masks of a tiny run: files, tables, repetition, and what is never read."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segclf.core.errors import IntegrityError, UsageError
from segclf.core.records import MaskSource, MaskState
from segclf.experiment import open_experiment
from segclf.manifest import cases_of
from segclf.predict import predict_maps
from segclf.pseudolabel import FILTERS, make, make_pseudo_masks
from segclf.pseudolabel.finish import background_only


def table_of(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def lines_of(folder):
    return {row["case_id"]: row for row in table_of(folder / "ledger.csv")}


def record_of(folder):
    return json.loads((folder / "record.json").read_text())


def undrawn(exp):
    """Training cases whose mask is neither drawn nor known to be empty."""
    return [c for c in cases_of(exp.table, exp.split, "train") if c.masks[0].state == "unknown"]


def maps_of(exp, cases):
    return dict(predict_maps(cases, exp.run.stage("segment"), exp.recipe))


def fit_of(exp):
    record = json.loads((exp.run.stage("summarize", "tau") / "summarizer.json").read_text())
    return record["fits"][0]["t"], record["fits"][0]["threshold"]


def change_fit(exp, **facts):
    path = exp.run.stage("summarize", "tau") / "summarizer.json"
    record = json.loads(path.read_text())
    record["fits"][0] |= facts
    path.write_text(json.dumps(record))


def all_bytes(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def with_settings(exp, **settings):
    changed = exp.recipe.pseudolabel.model_copy(update=settings)
    return replace(exp, recipe=exp.recipe.model_copy(update={"pseudolabel": changed}))


def test_boosted_masks_are_the_pixels_above_t_of_cases_with_enough_area(exp):
    folder = make_pseudo_masks(exp, filter_name="boosted")
    t, tau = fit_of(exp)
    maps, rows = maps_of(exp, undrawn(exp)), lines_of(folder)
    labels = {case.case_id: case.labels[0] for case in undrawn(exp)}
    positive = [case_id for case_id, label in labels.items() if label == 1]
    assert len(positive) == 8
    for case_id in positive:
        expected = maps[case_id][0].astype(float) > t
        if expected.sum() > tau:
            assert rows[case_id]["action"] == "kept"
            stored = np.asarray(Image.open(folder / rows[case_id]["mask"]))
            np.testing.assert_array_equal(stored, expected.astype(np.uint8))
        else:
            assert (rows[case_id]["action"], rows[case_id]["mask"]) == ("dropped", "")
    assert {rows[c]["action"] for c in positive} == {"kept", "dropped"}  # both are seen here


@pytest.mark.parametrize("name", FILTERS)
def test_the_ledger_lists_every_case_of_the_manifest_once_and_its_counts_add_up(exp, name):
    folder = make_pseudo_masks(exp, filter_name=name)
    rows = table_of(folder / "ledger.csv")
    assert [row["case_id"] for row in rows] == list(exp.table.frame["case_id"])
    counts = record_of(folder)["counts"]["lesion"]
    assert sum(sum(reasons.values()) for reasons in counts.values()) == len(exp.table.cases) == 44
    found = pd.DataFrame(rows).groupby(["action", "reason"]).size()
    assert {(a, r): n for a, reasons in counts.items() for r, n in reasons.items()} == dict(found)
    assert counts["held_out"] == {"val": 12, "test": 12}
    assert counts["drawn"] == {"drawn_mask": 3}
    assert all(row["why"] and row["why"] != row["reason"] for row in rows)


def test_the_side_table_names_the_source_of_every_training_case_that_has_a_mask(exp):
    folder = make_pseudo_masks(exp, filter_name="boosted")
    side = {row["case_id"]: row for row in table_of(folder / "side.csv")}
    for case in exp.table.cases:
        row = lines_of(folder)[case.case_id]
        source = side.get(case.case_id, {}).get("mask_source_lesion")
        if row["action"] in ("held_out", "dropped"):
            assert source is None
        elif case.masks[0].state == "drawn":
            assert source == "drawn"
        else:
            assert source == ("empty-by-label" if case.labels[0] == 0 else "pseudo")
        if source == "pseudo":
            assert side[case.case_id]["mask_kind_lesion"] == "full"
            assert (folder / side[case.case_id]["mask_lesion"]).is_file()
        elif source:
            assert side[case.case_id]["mask_lesion"] == ""  # the manifest's own mask stays


def test_t_and_tau_come_from_validation_cases_also_if_they_were_not_fitted_before(exp):
    before = fit_of(exp)
    shutil.rmtree(exp.run.stage("summarize"))
    folder = make_pseudo_masks(exp, filter_name="none")
    assert fit_of(exp) == before
    (fitted,) = record_of(folder)["fitted"]
    assert (fitted["t"], fitted["tau"]) == fit_of(exp)
    assert (fitted["fitted_on"], fitted["n"]) == ("val", 12)
    assert record_of(folder)["fitted_in"] == "summarize/tau/summarizer.json"


def test_masks_that_are_uncertain_hold_two_between_the_bounds(exp):
    shutil.rmtree(exp.run.stage("summarize"))
    exp = with_settings(exp, uncertain=(0.02, 0.5))
    folder = make_pseudo_masks(exp, filter_name="confidence")
    maps = maps_of(exp, undrawn(exp))
    n_unknown = 0
    for case_id, (p,) in maps.items():
        row = lines_of(folder)[case_id]
        expected = np.where(p > np.float64(0.5), 1, np.where(p < np.float64(0.02), 0, 2))
        stored = np.asarray(Image.open(folder / row["mask"]))
        np.testing.assert_array_equal(stored, expected)
        assert (row["mask_kind"], int(row["unknown_px"])) == ("uncertain", (expected == 2).sum())
        n_unknown += (expected == 2).sum()
    assert n_unknown > 0
    assert not exp.run.stage("summarize").exists()  # neither t nor tau was needed


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
def test_soft_masks_are_the_probabilities_to_half_a_step(exp, bits, dtype):
    exp = with_settings(exp, soft_bits=bits)
    folder = make_pseudo_masks(exp, filter_name="none", soft=True)
    assert folder.name == "own-none-soft"
    for case_id, (p,) in maps_of(exp, undrawn(exp)).items():
        row = lines_of(folder)[case_id]
        stored = np.asarray(Image.open(folder / row["mask"]))
        assert (stored.dtype, row["mask_kind"]) == (dtype, "soft")
        np.testing.assert_allclose(stored / (2**bits - 1), p, atol=0.5 / (2**bits - 1) + 1e-7)


def test_a_soft_mask_has_nothing_where_the_filter_took_a_component_away(exp):
    hard = make_pseudo_masks(exp, filter_name="count")
    soft = make_pseudo_masks(exp, filter_name="count", soft=True)
    t, _ = fit_of(exp)
    n_removed = 0
    for case_id, (p,) in maps_of(exp, undrawn(exp)).items():
        if lines_of(soft)[case_id]["mask_kind"] != "soft":
            continue
        kept = np.asarray(Image.open(hard / lines_of(hard)[case_id]["mask"])) == 1
        stored = np.asarray(Image.open(soft / lines_of(soft)[case_id]["mask"])) / 65535
        removed = (p > np.float64(t)) & ~kept
        n_removed += removed.sum()
        np.testing.assert_allclose(stored, np.where(removed, 0, p), atol=1e-5)
    assert n_removed > 0


def test_a_filter_of_unknown_pixels_cannot_be_soft(exp):
    with pytest.raises(UsageError, match="the filter 'confidence' cannot be soft"):
        make_pseudo_masks(exp, filter_name="confidence", soft=True)


def test_with_free_empty_off_the_filter_decides_on_labels_of_0_and_can_drop_them(exp):
    exp = with_settings(exp, free_empty=False)
    negative = [c for c in cases_of(exp.table, exp.split, "train") if c.labels[0] == 0]
    maps, (t, _) = maps_of(exp, negative), fit_of(exp)
    tau = float(np.median([(p > np.float64(t)).sum() for (p,) in maps.values()]))
    change_fit(exp, threshold=tau)
    folder = make_pseudo_masks(exp, filter_name="label")
    seen = set()
    for case_id, (p,) in maps.items():
        row = lines_of(folder)[case_id]
        stored = np.asarray(Image.open(folder / row["mask"]))
        if (p > np.float64(t)).sum() > tau:  # a blank cell would leave the free empty mask
            assert (row["action"], row["mask_kind"]) == ("dropped", "uncertain")
            assert (stored == 2).all()
        else:
            assert row["action"] == "kept"
            np.testing.assert_array_equal(stored, p > np.float64(t))
        seen.add(row["action"])
    assert seen == {"dropped", "kept"}


def test_a_second_run_changes_no_file_and_says_so(exp):
    folder = make_pseudo_masks(exp, filter_name="boosted")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    events = []
    make_pseudo_masks(exp, filter_name="boosted", on_event=events.append)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert events == [
        {"kind": "message", "message": "all 12 cases were there already: nothing was done"}
    ]


def test_a_manifest_without_a_case_to_predict_is_not_called_done_already(exp, tmp_path):
    manifest = tmp_path / "gone.csv"
    manifest.write_text("image,mask,label\nnot_there.png,,1\n")
    events = []
    folder = make_pseudo_masks(
        exp, filter_name="boosted", manifest=manifest, on_event=events.append
    )
    assert record_of(folder)["counts"] == {"lesion": {"quarantined": {"missing_file": 1}}}
    assert [event["message"] for event in events] == [
        "no case to predict: each is drawn, empty, held out or set aside (ledger.csv)"
    ]


@pytest.mark.parametrize("n_before", [3, 9])  # in the first of two parts, in the second
def test_a_killed_run_continues_to_the_same_bytes(exp, monkeypatch, n_before):
    whole = all_bytes(make_pseudo_masks(exp, filter_name="none"))
    folder = exp.run.stage("pseudolabel", "own-none")
    shutil.rmtree(folder)
    real, n_calls = make.decide_case, 0

    def decide(*arguments):
        nonlocal n_calls
        n_calls += 1
        if n_calls > n_before:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(make, "decide_case", decide)
    with pytest.raises(KeyboardInterrupt):
        make_pseudo_masks(exp, filter_name="none")
    assert not (folder / "record.json").exists()
    assert (folder / "part-00000.json").exists() == (n_before > 6)
    (folder / "masks" / "train00003").mkdir(exist_ok=True, parents=True)
    (folder / "masks" / "train00003" / ".1234.part.lesion.png").write_bytes(b"half a file")
    n_left = 12 if n_before < 6 else 6  # the part that was finished is not made again
    n_before, n_calls = 99, 0
    make_pseudo_masks(exp, filter_name="none")
    assert all_bytes(folder) == whole
    assert n_calls == n_left


def test_a_damaged_mask_is_made_anew(exp):
    folder = make_pseudo_masks(exp, filter_name="none")
    whole = all_bytes(folder)
    name = next(name for name in whole if name.startswith("masks/"))
    (folder / name).write_bytes(b"damaged")
    make_pseudo_masks(exp, filter_name="none")
    assert all_bytes(folder) == whole


def test_another_filter_has_a_folder_of_its_own_and_other_settings_are_refused(exp):
    first = make_pseudo_masks(exp, filter_name="boosted")
    assert make_pseudo_masks(exp, filter_name="none") != first
    other = with_settings(exp, min_confidence=0.9)
    with pytest.raises(IntegrityError) as caught:
        make_pseudo_masks(other, filter_name="boosted")
    assert "settings.min_confidence is 0.65 there, 0.9 now" in caught.value.wrong
    assert "delete this folder" in caught.value.fix


def test_settings_that_the_filter_does_not_read_make_no_other_masks(exp):
    folder = make_pseudo_masks(exp, filter_name="boosted")
    whole = all_bytes(folder)
    other = with_settings(exp, uncertain=(0.2, 0.8), soft_bits=8)
    assert make_pseudo_masks(other, filter_name="boosted") == folder
    assert all_bytes(folder) == whole
    assert record_of(folder)["made_by"]["settings"] == {"free_empty": True, "min_confidence": 0.65}
    soft = make_pseudo_masks(exp, filter_name="none", soft=True)
    assert record_of(soft)["made_by"]["settings"] == {"free_empty": True, "soft_bits": 16}


def test_damaged_weights_are_refused(exp):
    path = exp.run.stage("segment") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(IntegrityError, match="SHA-256"):
        make_pseudo_masks(exp, filter_name="boosted")


def test_validation_predictions_of_other_weights_are_refused(exp):
    path = exp.run.stage("predict", "own") / "identity.json"
    value = json.loads(path.read_text())
    value["identity"]["model_sha256"] = "0" * 64
    path.write_text(json.dumps(value))
    with pytest.raises(IntegrityError, match="of validation cases are of other weights"):
        make_pseudo_masks(exp, filter_name="boosted")


def test_without_validation_predictions_the_error_says_what_to_run(exp):
    shutil.rmtree(exp.run.stage("predict"))
    with pytest.raises(UsageError) as caught:
        make_pseudo_masks(exp, filter_name="boosted")
    assert caught.value.wrong.startswith("t and tau cannot be fitted")
    assert caught.value.fix == f"run: segclf predict --run {exp.run.path.name}"


def test_validation_cases_of_one_label_give_no_t_and_tau(exp):
    change_fit(exp, t=None, threshold=None, reason="all 12 cases are positive")
    with pytest.raises(UsageError) as caught:
        make_pseudo_masks(exp, filter_name="none")
    assert caught.value.wrong == "there is no t and tau of lesion: all 12 cases are positive."


def test_a_broken_image_is_set_aside_and_stands_in_the_ledger(exp):
    (broken, *_) = undrawn(exp)
    broken.images[0].write_bytes(broken.images[0].read_bytes()[:60])
    folder = make_pseudo_masks(exp, filter_name="boosted")
    row = lines_of(folder)[broken.case_id]
    assert (row["action"], row["reason"]) == ("quarantined", "truncated")
    (line,) = (folder / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(line)["case_id"] == broken.case_id
    assert str(broken.images[0].parent) not in line
    assert record_of(folder)["n_quarantined"] == 1
    counts = record_of(folder)["counts"]["lesion"]
    assert sum(sum(reasons.values()) for reasons in counts.values()) == 44
    assert broken.case_id not in {row["case_id"] for row in table_of(folder / "side.csv")}


def test_what_stands_in_test_cases_changes_no_byte(exp):
    before = all_bytes(make_pseudo_masks(exp, filter_name="boosted"))
    shutil.rmtree(exp.run.stage("pseudolabel"))
    shutil.rmtree(exp.run.stage("summarize"))
    data = Path("data")
    table = pd.read_csv(data / "manifest.csv", dtype={"label": "Int64", "n_findings": "Int64"})
    for i in table.index[table["split"] == "test"]:
        Image.fromarray(np.full((32, 32), i, np.uint8)).save(data / str(table.loc[i, "image"]))
        table.loc[i, ["label", "mask", "n_findings"]] = pd.NA
    table.to_csv(data / "manifest.csv", index=False)
    after = all_bytes(make_pseudo_masks(open_experiment(exp.run), filter_name="boosted"))
    assert after == before


def test_validation_and_test_cases_without_a_mask_are_neither_opened_nor_labelled(exp):
    held = {c.case_id for part in ("val", "test") for c in cases_of(exp.table, exp.split, part)}
    nothing = (MaskSource(MaskState.UNKNOWN),)
    cases = [replace(c, masks=nothing) if c.case_id in held else c for c in exp.table.cases]
    for case in cases:
        if case.case_id in held:
            case.images[0].unlink()
    exp = replace(exp, table=replace(exp.table, cases=tuple(cases)))
    folder = make_pseudo_masks(exp, filter_name="boosted")
    assert record_of(folder)["n_quarantined"] == 0
    actions = {case_id: row["action"] for case_id, row in lines_of(folder).items()}
    assert {case_id for case_id, action in actions.items() if action == "held_out"} == held


def test_only_the_cases_asked_for_are_looked_at(exp):
    chosen = [*undrawn(exp)[:2], cases_of(exp.table, exp.split, "test")[0]]
    folder = make_pseudo_masks(exp, filter_name="none", cases=chosen)
    rows = lines_of(folder)
    assert [row["action"] for row in rows.values()] == ["kept", "kept", "held_out"]
    assert folder.name != make_pseudo_masks(exp, filter_name="none").name


def test_the_filter_count_needs_its_column(exp):
    table = replace(exp.table, frame=exp.table.frame.drop(columns="n_findings"))
    with pytest.raises(UsageError, match="no column 'n_findings'"):
        make_pseudo_masks(replace(exp, table=table), filter_name="count")


def test_an_unknown_filter_names_near_ones(exp):
    with pytest.raises(UsageError) as caught:
        make_pseudo_masks(exp, filter_name="boost")
    assert caught.value.fix == "did you mean 'boosted'?"


def test_a_fold_that_is_not_there_is_refused(exp):
    with pytest.raises(UsageError, match="there is no fold 1"):
        make_pseudo_masks(exp, filter_name="none", fold=1)


def test_pseudo_masks_without_a_single_pixel_are_warned_of():
    def row(finding, px, action="kept", source="pseudo"):
        return {"finding": finding, "action": action, "mask_source": source, "mask_px": px}

    empty = [row("tumour", 0), row("tumour", 0), row("tumour", 7, source="empty-by-label")]
    unknown = [row("tumour", 5, action="dropped")]  # a mask of unknown pixels
    told = background_only([*empty, *unknown, row("cyst", 0), row("cyst", 1)])
    assert told == [
        "none of the 2 pseudo-masks of tumour has a pixel of it: a network learns background from "
        "them. Train the segmenter longer, or look at t in record.json"
    ]
    assert background_only([]) == []


def test_the_warning_is_told_where_t_is_above_every_probability(exp):
    make_pseudo_masks(exp, filter_name="none", on_event=(events := []).append)
    assert not [event for event in events if "none of the" in event.get("message", "")]
    change_fit(exp, t=1.0)
    shutil.rmtree(exp.run.stage("pseudolabel"))
    make_pseudo_masks(exp, filter_name="none", on_event=events.append)
    warned = [event["message"] for event in events if "none of the" in event.get("message", "")]
    assert len(warned) == 1
    assert "has a pixel of it" in warned[0]
