"""Nested subsets of masks, against counts by hand and against the manifest read again."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from segclf.core.config import make_recipe
from segclf.core.records import MaskSource, MaskState
from segclf.manifest import make_split, read_manifest
from segclf.phantom import PhantomSettings, write_phantom
from segclf.study.advise import keep_subset, write_subset

SIZES = {"train": 60, "val": 30, "test": 20}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    home = tmp_path_factory.mktemp("subsets")
    settings = PhantomSettings.model_validate({"n_cases": SIZES, "size_px": (16, 16)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _descriptor: None)
        write_phantom(home, settings)
    recipe = make_recipe({"manifest": "manifest.csv", "findings": ["lesion"]}, where="test")
    table = read_manifest(recipe, base=home)
    return home, table, make_split(table, recipe.split, 0)


def states(table, part=None, split=None):
    """Mask state per case id, of one part."""
    wanted = {c.case_id for c in table.cases}
    if part:
        wanted = set(split.loc[split["split"] == part, "case_id"])
    return {c.case_id: c.masks[0].state for c in table.cases if c.case_id in wanted}


def drawn(table, part, split):
    return {i for i, state in states(table, part, split).items() if state is MaskState.DRAWN}


def test_a_smaller_share_is_inside_a_larger_one_and_patients_stay_whole(phantom):
    _, table, split = phantom
    patient = {case.case_id: case.patient_id for case in table.cases}
    for part in ("train", "val"):
        full = drawn(table, part, split)
        before: set[str] = set()
        for share in (0.1, 0.2, 0.4, 0.8):
            now = drawn(keep_subset(table, split, share, 3).table, part, split)
            assert before <= now <= full
            assert not {patient[i] for i in now} & {patient[i] for i in full - now}
            # one patient has at most two images here, so the share is passed by less than two
            assert share * len(full) <= len(now) < share * len(full) + 2
            before = now


def test_labels_and_test_masks_stay_and_negatives_are_empty(phantom):
    _, table, split = phantom
    few = keep_subset(table, split, 0.1, 0).table
    assert [c.labels for c in few.cases] == [c.labels for c in table.cases]
    assert states(few, "test", split) == states(table, "test", split)
    for case in few.cases:
        if case.masks[0].state is MaskState.EMPTY:
            assert case.labels == (0.0,)
        if case.masks[0].state is MaskState.UNKNOWN:
            assert case.labels == (1.0,)
    assert few.sha256 != table.sha256
    assert keep_subset(table, split, 1.0, 0).table is table


def test_subsets_of_another_number_or_seed_are_others(phantom):
    _, table, split = phantom
    first = drawn(keep_subset(table, split, 0.2, 0).table, "train", split)
    assert drawn(keep_subset(table, split, 0.2, 0).table, "train", split) == first
    assert drawn(keep_subset(table, split, 0.2, 0, number=1).table, "train", split) != first
    assert drawn(keep_subset(table, split, 0.2, 1).table, "train", split) != first


def test_a_drawn_mask_of_a_negative_costs_nothing_and_becomes_an_empty_one(phantom):
    _, table, split = phantom
    full = {i for i in drawn(table, "train", split)}
    path = next(c.masks[0].path for c in table.cases if c.masks[0].path)
    cases = tuple(
        replace(c, masks=(MaskSource(MaskState.DRAWN, path),)) if c.labels == (0.0,) else c
        for c in table.cases
    )
    kept = keep_subset(replace(table, cases=cases), split, 0.5, 0)
    n = len(full) / 2
    assert n <= kept.n_masks["train"] < n + 2
    outside = [c for c in kept.table.cases if c.case_id in kept.blanked]
    assert {c.masks[0].state for c in outside if c.labels == (0.0,)} == {MaskState.EMPTY}


def test_labels_can_be_fewer_too_and_masks_keep_theirs(phantom):
    _, table, split = phantom
    kept = keep_subset(table, split, 0.4, 0, labels=0.5)
    train = set(split.loc[split["split"] == "train", "case_id"])
    known = {c.case_id for c in kept.table.cases if not math.isnan(c.labels[0])}
    assert kept.n_labels == len(known & train)
    assert 30 <= kept.n_labels <= 34
    assert drawn(kept.table, "train", split) <= known
    assert {c.case_id for c in table.cases} - train <= known
    assert states(kept.table)[min(kept.unlabelled)] is MaskState.UNKNOWN
    assert np.isnan(
        kept.table.frame.set_index("case_id").loc[sorted(kept.unlabelled), "label_lesion"]
    ).all()
    assert kept.n_masks == keep_subset(table, split, 0.4, 0).n_masks


def test_a_written_subset_is_read_again_as_the_same_cases(phantom, tmp_path):
    home, table, split = phantom
    kept = keep_subset(table, split, 0.3, 0, labels=0.6)
    path = write_subset(kept, home / "manifest.csv", tmp_path / "few")
    text = path.read_text()
    assert str(home) not in text
    again = read_manifest(
        make_recipe(
            {
                "manifest": "manifest.csv",
                "findings": ["lesion"],
                "data_root": str(table.root),
            },
            where="test",
        ),
        base=path.parent,
    )
    assert [c.case_id for c in again.cases] == [c.case_id for c in table.cases]
    for ours, theirs in zip(kept.table.cases, again.cases, strict=True):
        assert ours.masks == theirs.masks
        np.testing.assert_array_equal(ours.labels, theirs.labels)
    before = pd.read_csv(home / "manifest.csv", dtype=str, keep_default_na=False)
    after = pd.read_csv(path.parent / "manifest.csv", dtype=str, keep_default_na=False)
    same = [name for name in before if name not in ("mask", "label")]
    pd.testing.assert_frame_equal(before[same], after[same])


@pytest.mark.parametrize("share", [0, -0.1, 1.5])
def test_a_share_outside_0_to_1_is_refused(phantom, share):
    _, table, split = phantom
    with pytest.raises(ValueError, match=f"share must be above 0 and at most 1: got {share}"):
        keep_subset(table, split, share, 0)


def test_side_tables_are_not_written_as_a_subset(phantom):
    home, table, split = phantom
    kept = keep_subset(table, split, 0.3, 0)
    recipe = table.recipe.model_copy(update={"side_tables": ("a.csv",)})
    other = replace(kept, table=replace(kept.table, recipe=recipe))
    with pytest.raises(ValueError, match="side tables are not written"):
        write_subset(other, home / "manifest.csv", Path("unused"))
