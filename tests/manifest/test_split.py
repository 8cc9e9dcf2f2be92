"""Splits: by patient, stratified, seeded, and refused when a part is too small."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segclf.core.config import SplitSettings, make_recipe
from segclf.core.errors import ConfigError, DataError
from segclf.core.records import Case, MaskSource, MaskState
from segclf.manifest import CaseTable, cases_of, make_split, read_fold_file, split_text

UNKNOWN = MaskSource(MaskState.UNKNOWN)


def table_of(patients, labels, *, findings=("target",), **columns):
    """One case per entry; labels may be numbers (one finding) or tuples."""
    labels = [label if isinstance(label, tuple) else (label,) for label in labels]
    ids = [f"c{index}" for index in range(len(patients))]
    cases = tuple(
        Case(case_id, (Path(case_id),), (UNKNOWN,) * len(findings), tuple(map(float, row)), patient)
        for case_id, patient, row in zip(ids, patients, labels, strict=True)
    )
    frame = pd.DataFrame({"case_id": ids, "patient_id": patients, **columns})
    for k, finding in enumerate(findings):
        frame[f"label_{finding}"] = [float(row[k]) for row in labels]
    return CaseTable(cases, frame, findings, {}, False, "0", Path())


@pytest.fixture
def fifty():
    """50 patients with 1 to 3 cases; the first 20 have a positive case, and negative ones."""
    patients, labels = [], []
    for number in range(50):
        for case in range(number % 3 + 1):
            patients.append(f"p{number:02}")
            labels.append(int(number < 20 and case == 0))
    return table_of(patients, labels)


def part_of_patient(frame):
    assert (frame.groupby(["fold", "patient_id"], dropna=False)["split"].nunique() == 1).all()
    return frame.drop_duplicates(["fold", "patient_id"])


def test_patients_are_divided_60_20_20_with_the_same_prevalence(fifty):
    frame = make_split(fifty, SplitSettings(), 0)
    assert list(frame.columns) == ["case_id", "patient_id", "split", "fold"]
    assert frame["fold"].isna().all()
    parts = part_of_patient(frame)
    assert Counter(parts["split"]) == {"train": 30, "val": 10, "test": 10}
    positive = parts[parts["patient_id"] < "p20"]
    assert Counter(positive["split"]) == {"train": 12, "val": 4, "test": 4}


def test_each_fold_tests_once_and_validation_is_nested_in_the_rest(fifty):
    frame = make_split(fifty, SplitSettings(folds=5), 0)
    assert len(frame) == 5 * len(fifty.cases)
    parts = part_of_patient(frame)
    tested = parts[parts["split"] == "test"]
    assert sorted(tested["patient_id"]) == sorted(set(fifty.frame["patient_id"]))
    for fold, group in parts.groupby("fold"):
        assert Counter(group["split"]) == {"train": 32, "val": 8, "test": 10}, fold
        positive = group[group["patient_id"] < "p20"]
        assert Counter(positive["split"]) == {"train": 13, "val": 3, "test": 4}, fold


def test_the_split_depends_on_seed_and_patients_and_not_on_the_order_of_rows(fifty):
    frame = make_split(fifty, SplitSettings(), 3)
    again = make_split(fifty, SplitSettings(), 3)
    pd.testing.assert_frame_equal(frame, again)
    order = np.random.default_rng(0).permutation(len(fifty.cases))
    turned = CaseTable(
        tuple(fifty.cases[i] for i in order),
        fifty.frame.iloc[order].reset_index(drop=True),
        *(fifty.findings, {}, False, "0", Path()),
    )
    other_order = make_split(turned, SplitSettings(), 3)
    assert dict(zip(frame["case_id"], frame["split"], strict=True)) == dict(
        zip(other_order["case_id"], other_order["split"], strict=True)
    )
    other = make_split(fifty, SplitSettings(), 4)
    assert (other["split"] != frame["split"]).any()


def test_several_findings_are_all_balanced():
    labels = [(1, 1), (1, 0), (0, 1), (0, 0)] * 10
    table = table_of([f"p{i:02}" for i in range(40)], labels, findings=("a", "b"))
    frame = make_split(table, SplitSettings(folds=5), 1)
    merged = frame[frame["split"] == "test"].merge(table.frame, on="case_id")
    kinds = merged.groupby(["fold", "label_a", "label_b"]).size()
    assert len(kinds) == 20
    assert set(kinds) == {2}


def test_the_fold_table_is_honoured_exactly(fifty):
    fold_of = {f"p{number:02}": number % 4 for number in range(60)}  # more patients than needed
    folds = pd.DataFrame({"patient_id": list(fold_of), "fold": list(fold_of.values())})
    frame = make_split(fifty, SplitSettings(folds=4), 0, fold_table=folds)
    tested = frame[frame["split"] == "test"]
    assert (tested["fold"] == tested["patient_id"].map(fold_of)).all()
    with pytest.raises(DataError, match="the folds are 0, 1, 2, 3") as caught:
        make_split(fifty, SplitSettings(folds=5), 0, fold_table=folds)
    assert "5 of them" in caught.value.expected


def test_a_fold_table_must_cover_the_patients(fifty):
    folds = pd.DataFrame({"patient_id": [f"p{n:02}" for n in range(48)], "fold": [0, 1] * 24})
    with pytest.raises(DataError, match="lacks the patients of 3 cases") as caught:
        make_split(fifty, SplitSettings(), 0, fold_table=folds)
    assert "p48" not in str(caught.value)  # patient ids stay inside
    twice = pd.DataFrame({"patient_id": ["p00", "p00"], "fold": [0, 1]})
    with pytest.raises(DataError, match="two folds"):
        make_split(fifty, SplitSettings(), 0, fold_table=twice)


def test_the_manifests_split_column_wins_over_settings(fifty):
    split = fifty.frame["patient_id"].map(lambda p: ["train", "val", "test"][int(p[1:]) % 3])
    table = table_of(fifty.frame["patient_id"], fifty.frame["label_target"], split=split)
    frame = make_split(table, SplitSettings(folds=5), 0)
    assert (frame["split"] == split).all()
    assert "the recipe's folds were not" in frame.attrs["notes"][0]


def test_the_manifests_fold_column_gives_the_folds(fifty):
    fold = fifty.frame["patient_id"].map(lambda p: int(p[1:]) % 3)
    table = table_of(
        fifty.frame["patient_id"], fifty.frame["label_target"], fold=pd.array(fold, dtype="Int64")
    )
    frame = make_split(table, SplitSettings(), 0)
    tested = frame[frame["split"] == "test"]
    assert len(tested) == len(table.cases)
    assert (tested["fold"].to_numpy() == fold.to_numpy()[tested.index % len(fold)]).all()


@pytest.mark.parametrize("column", ["split", "fold"])
def test_a_patient_in_two_parts_is_refused_without_naming_the_patient(column):
    values = ["train", "test"] if column == "split" else [0, 1]
    table = table_of(["anna", "anna"], [1, 0], **{column: values})
    with pytest.raises(
        DataError, match=f"a patient is in {values[0]} and in {values[1]}"
    ) as caught:
        make_split(table, SplitSettings(), 0)
    assert "row 3" in caught.value.where
    assert "anna" not in str(caught.value)


def test_too_few_patients_are_refused_with_the_counts():
    table = table_of([f"p{n}" for n in range(20)], [1] * 5 + [0] * 15)
    with pytest.raises(DataError, match="the val part has 1 positive and 3 negative") as caught:
        make_split(table, SplitSettings(), 0)
    assert "train 3 / 9, val 1 / 3, test 1 / 3" in caught.value.where
    with pytest.raises(DataError, match="at least 2 positive and 2 negative") as caught:
        make_split(table, SplitSettings(folds=5), 0)
    assert "fold 0" in caught.value.where
    make_split(table_of([f"p{n}" for n in range(20)], [1] * 10 + [0] * 10), SplitSettings(), 0)


def test_a_given_split_without_test_cases_is_for_a_test_elsewhere():
    split = ["train"] * 4 + ["val"] * 4
    table = table_of(list("abcdefgh"), [1, 1, 0, 0] * 2, split=split)
    assert cases_of(table, make_split(table, SplitSettings(), 0), "test") == ()
    bad = table_of(list("abcdefgh"), [1, 1, 0, 0, 1, 0, 0, 0], split=split)
    with pytest.raises(DataError, match="the val part has 1 positive") as caught:
        make_split(bad, SplitSettings(), 0)
    assert "split column" in caught.value.fix


def test_without_labels_the_split_is_unstratified_and_says_so():
    table = table_of([f"p{n}" for n in range(10)], [math.nan] * 10)
    frame = make_split(table, SplitSettings(), 0)
    assert Counter(frame["split"]) == {"train": 6, "val": 2, "test": 2}
    assert frame.attrs["notes"] == ["no label of target is known: not stratified on it"]
    assert "note: no label of target" in split_text(frame, table)


def test_a_finding_that_everybody_has_is_not_counted_beside_one_that_varies():
    labels = [(1, n % 2) for n in range(20)]
    table = table_of([f"p{n}" for n in range(20)], labels, findings=("organ", "lesion"))
    frame = make_split(table, SplitSettings(), 0)
    assert "all known patients agree in organ" in frame.attrs["notes"][0]
    with pytest.raises(DataError, match="0 negative patients of target"):
        make_split(table_of(list("abcdefghij"), [1] * 10), SplitSettings(), 0)


def test_shares_must_add_up(fifty):
    with pytest.raises(ConfigError, match=r"add up to 0\.9"):
        make_split(fifty, SplitSettings(fractions=(0.5, 0.2, 0.2)), 0)


def test_cases_of_a_part_come_in_table_order_and_need_the_fold(fifty):
    frame = make_split(fifty, SplitSettings(folds=3), 0)
    names = [case.case_id for part in ("train", "val", "test") for case in
             cases_of(fifty, frame, part, 1)]  # fmt: skip
    assert sorted(names) == sorted(case.case_id for case in fifty.cases)
    train = [case.case_id for case in cases_of(fifty, frame, "train", 1)]
    assert train == [case.case_id for case in fifty.cases if case.case_id in set(train)]
    for part, fold in (("train", None), ("train", 3), ("dev", 0)):
        with pytest.raises(ValueError, match="no part"):
            cases_of(fifty, frame, part, fold)


def test_a_fold_file_is_read_as_texts_and_checked(tmp_path, monkeypatch):
    (tmp_path / "folds.csv").write_text("patient_id,fold,note\n007,0,x\nNA,1,\n")
    monkeypatch.setenv("FOLDS", "folds")
    recipe = make_recipe({"split": {"fold_file": "${FOLDS}.csv"}}, where="")
    frame = read_fold_file(recipe, base=tmp_path)
    assert frame is not None
    assert frame["patient_id"].tolist() == ["007", "NA"]
    assert frame["fold"].tolist() == [0, 1]
    (tmp_path / "folds.csv").write_text("patient_id,fold\n007,first\n")
    with pytest.raises(DataError, match="fold is 'first'"):
        read_fold_file(recipe, base=tmp_path)
    (tmp_path / "folds.csv").write_text("patient,fold\n007,0\n")
    with pytest.raises(DataError, match="no column 'patient_id'"):
        read_fold_file(recipe, base=tmp_path)
    assert read_fold_file(make_recipe({}, where="")) is None


def test_the_text_counts_cases_patients_and_positives(fifty):
    text = split_text(make_split(fifty, SplitSettings(), 0), fifty)
    train, val, test = text.splitlines()
    total = [int(line.split()[1]) for line in (train, val, test)]
    assert sum(total) == len(fifty.cases)
    assert "10 patients   positive: target 4 of" in val


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, math.nan]), min_size=40, max_size=90),
    st.integers(0, 5),
    st.sampled_from([None, 3]),
)
def test_any_accepted_split_keeps_patients_together_and_strata_even(labels, seed, folds):
    patients = [f"p{index // 2}" for index in range(len(labels))]
    table = table_of(patients, labels)
    try:
        frame = make_split(table, SplitSettings(folds=folds), seed)
    except DataError:
        return
    part_of_patient(frame)
    n_patients = len(set(patients))
    counts = frame[frame["fold"].fillna(0) == 0].groupby("split")["patient_id"].nunique()
    expected = n_patients / 3 if folds else 0.2 * n_patients
    assert abs(counts["test"] - expected) <= 1


@pytest.mark.parametrize(("labels", "alike"), [([0] * 12, 0), ([1] * 8 + [1, 1, 0, 0], 1)])
def test_one_label_in_train_and_val_is_no_fault_of_the_split(labels, alike):
    split = ["train"] * 4 + ["val"] * 4 + ["test"] * 4
    table = table_of([f"p{i}" for i in range(12)], labels, split=split)
    with pytest.raises(DataError, match="the train part has") as caught:
        make_split(table, SplitSettings(), 0)
    assert f"all 8 known patients of train and val have the label {alike}" in caught.value.fix
    assert f"add some whose label is {1 - alike}" in caught.value.fix
