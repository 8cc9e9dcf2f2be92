"""Statistics parts: what is written is read back, and nothing damaged is read at all."""

import hashlib
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.special import expit

from segclf.core.errors import DataError, ExitCode, IntegrityError
from segclf.core.maskstats import make_statistics, mask_statistics
from segclf.core.statstable import (
    SCHEMA_VERSION,
    commit_path,
    part_path,
    read_commit,
    read_statistics,
    write_identity,
    write_part,
)

IDENTITY = {"schema": SCHEMA_VERSION, "model": "aa"}


def some_statistics(case_ids, *, fold=None, px_size=float("nan")):
    rows = []
    for case_id in case_ids:
        logits = np.random.default_rng(len(case_id)).normal(-1, 3, (6, 7)).astype(np.float32)
        truth = None if case_id.endswith("?") else logits > 1
        found = mask_statistics(
            expit(logits), logits, px_size=px_size, truth=truth, component_t=0.5
        )
        fold_value = pd.NA if fold is None else fold
        rows.append({"case_id": case_id, "finding": "lesion", "fold": fold_value, **found})
    return make_statistics(rows)


@pytest.fixture
def folder(tmp_path):
    """Two finished parts of two cases and one case."""
    folder = tmp_path / "own"
    write_identity(folder, IDENTITY, n_parts=2)
    for index, ids in enumerate((["a", "bb?"], ["ccc"])):
        write_part(folder, index, some_statistics(ids), {"identity": hash_in(folder)})
    return folder


def hash_in(folder):
    return json.loads((folder / "identity.json").read_text())["hash"]


def test_what_is_written_is_read_back_in_order(folder):
    read = read_statistics(folder)
    expected = some_statistics(["a", "bb?", "ccc"])
    pd.testing.assert_frame_equal(read.frame, expected.frame)
    np.testing.assert_array_equal(read.area_curve, expected.area_curve)
    np.testing.assert_array_equal(read.overlap_curve, expected.overlap_curve)
    assert read.area_curve.dtype == np.int64
    assert read.frame["true_px"].isna().tolist() == [False, True, False]


def test_the_commit_record_vouches_for_the_bytes(folder):
    record = json.loads(commit_path(folder, 0).read_text())
    assert record["rows"] == 2
    assert record["sha256"] == hashlib.sha256(part_path(folder, 0).read_bytes()).hexdigest()
    assert pq.read_table(part_path(folder, 0)).num_rows == 2


def test_the_same_statistics_give_the_same_bytes(folder, tmp_path):
    write_identity(tmp_path / "again", IDENTITY, n_parts=2)
    write_part(tmp_path / "again", 0, some_statistics(["a", "bb?"]), {"identity": "x"})
    assert part_path(tmp_path / "again", 0).read_bytes() == part_path(folder, 0).read_bytes()


def test_folds_are_read_together_and_one_case_may_be_in_several(tmp_path):
    for fold in (0, 1):
        folder = tmp_path / f"fold{fold}"
        write_identity(folder, IDENTITY, n_parts=1)
        statistics = some_statistics(["a"], fold=fold, px_size=0.25)
        write_part(folder, 0, statistics, {"identity": hash_in(folder)})
    read = read_statistics([tmp_path / "fold0", tmp_path / "fold1"])
    assert read.frame["fold"].tolist() == [0, 1]
    assert read.frame["px_size"].tolist() == [0.25, 0.25]


def test_a_case_that_occurs_twice_is_refused(folder):
    with pytest.raises(IntegrityError, match="case 'a' has two predictions of 'lesion'"):
        read_statistics([folder, folder])


def test_a_part_without_the_columns_of_this_version_is_refused(folder):
    path, record = part_path(folder, 0), json.loads(commit_path(folder, 0).read_text())
    pq.write_table(pq.read_table(path).drop_columns(["surface_dice", "hd95_mm"]), path)
    record["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    commit_path(folder, 0).write_text(json.dumps(record))
    with pytest.raises(IntegrityError, match="2 rows, or columns of another version") as caught:
        read_statistics(folder)
    assert caught.value.expected == f"2 rows in schema version {SCHEMA_VERSION}"
    assert caught.value.fix == "delete the folder and run `segclf predict` again"


def test_an_unfinished_folder_is_refused_unless_partial_is_asked_for(folder):
    commit_path(folder, 1).unlink()
    with pytest.raises(DataError, match=r"1 of 2 parts are missing \(the first is part-00001"):
        read_statistics(folder)
    assert read_statistics(folder, partial=True).frame["case_id"].tolist() == ["a", "bb?"]
    commit_path(folder, 0).unlink()
    assert len(read_statistics(folder, partial=True).frame) == 0


def test_a_folder_without_predictions_says_which_command_makes_them(tmp_path):
    with pytest.raises(DataError, match="run: segclf predict"):
        read_statistics(tmp_path)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_part_is_refused_and_not_counted_as_done(folder, damage):
    path = part_path(folder, 0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flip" else data[:100])
    assert read_commit(folder, 0) is None
    with pytest.raises(IntegrityError, match="not what its commit record says") as caught:
        read_statistics(folder)
    assert caught.value.exit_code == ExitCode.INTEGRITY
    assert read_commit(folder, 1) is not None


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"sha256": 3}', "not json"])
def test_a_damaged_commit_record_does_not_vouch_for_anything(folder, text):
    commit_path(folder, 0).write_text(text)
    assert read_commit(folder, 0) is None


def test_a_part_of_another_model_is_refused(folder):
    write_part(folder, 1, some_statistics(["ccc"]), {"identity": "of another model"})
    with pytest.raises(IntegrityError, match="another model or recipe"):
        read_statistics(folder)


def test_a_changed_identity_is_refused(folder):
    path = folder / "identity.json"
    path.write_text(path.read_text().replace("aa", "bb"))
    with pytest.raises(IntegrityError, match="was changed"):
        read_statistics(folder)


def test_a_part_without_rows_is_a_part(tmp_path):
    write_identity(tmp_path, IDENTITY, n_parts=1)
    write_part(tmp_path, 0, make_statistics([]), {"identity": hash_in(tmp_path)})
    assert len(read_statistics(tmp_path).frame) == 0


def test_an_unchanged_identity_is_not_rewritten(folder):
    before = (folder / "identity.json").stat().st_mtime_ns
    write_identity(folder, IDENTITY, n_parts=2)
    assert (folder / "identity.json").stat().st_mtime_ns == before


def test_columns_of_plug_ins_are_kept_and_missing_where_a_part_has_none(tmp_path):
    write_identity(tmp_path, IDENTITY, n_parts=2)
    measured = some_statistics(["a", "bb?"])
    measured.frame["edge"] = [0.5, np.nan]
    write_part(tmp_path, 0, measured, {"identity": hash_in(tmp_path)})
    write_part(tmp_path, 1, some_statistics(["ccc"]), {"identity": hash_in(tmp_path)})
    read = read_statistics(tmp_path)
    assert read.frame["edge"].tolist() == pytest.approx([0.5, np.nan, np.nan], nan_ok=True)
    expected = some_statistics(["a", "bb?", "ccc"])
    pd.testing.assert_frame_equal(read.frame.drop(columns="edge"), expected.frame)
    np.testing.assert_array_equal(read.area_curve, expected.area_curve)
