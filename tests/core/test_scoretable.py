import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segclf.core.errors import DataError
from segclf.core.scoretable import (
    COLUMNS,
    check_scores,
    empty_scores,
    missing_scores,
    read_record,
    read_scores,
    write_scores,
)

NAN = np.nan


@pytest.fixture
def scores():
    """Two methods, one fold each, one row without a score."""
    return pd.DataFrame(
        {
            "case_id": ["a", "b", "a"],
            "finding": ["lesion"] * 3,
            "method": ["tau", "tau", "resnet"],
            "score": [0.25, NAN, 0.125],
            "decision_value": [12.0, NAN, 0.125],
            "threshold": [5.0, 5.0, NAN],
            "decision": [1.0, NAN, NAN],
            "probability": [0.75, NAN, NAN],
            "split": ["test", "test", "val"],
            "fold": pd.array([0, 0, None], dtype="Int64"),
            "seed": pd.array([7, 7, 7], dtype="Int64"),
            "patient_id": ["p1", "p2", "p1"],
            "label": [1.0, 0.0, NAN],
        }
    )


def test_the_columns_are_those_of_the_design():
    assert ", ".join(COLUMNS) == (
        "case_id, finding, method, score, decision_value, threshold, decision, probability, "
        "split, fold, seed, patient_id, label"
    )


def test_a_good_table_passes_with_its_values_and_the_right_types(scores):
    shuffled = scores[list(scores)[::-1]].iloc[::-1]
    checked = check_scores(shuffled, "here")
    assert list(checked) == list(COLUMNS)
    assert {name: str(dtype) for name, dtype in checked.dtypes.items()} == COLUMNS
    pd.testing.assert_frame_equal(checked.iloc[::-1].reset_index(drop=True), scores.astype(COLUMNS))


def test_an_empty_table_is_a_score_table():
    assert check_scores(empty_scores(), "here").empty


def test_a_missing_column_is_named_with_the_nearest_one(scores):
    with pytest.raises(DataError) as caught:
        check_scores(scores.rename(columns={"decision_value": "decision_values"}), "s.csv")
    assert caught.value.wrong == "the score table has no column decision_value."
    assert caught.value.where == "s.csv"
    assert caught.value.fix == "rename decision_values"


def test_a_foreign_column_is_named(scores):
    with pytest.raises(DataError) as caught:
        check_scores(scores.assign(age=3), "here")
    assert caught.value.wrong == "the score table has other columns: age."


@pytest.mark.parametrize(
    ("column", "value", "wrong"),
    [
        ("probability", 1.5, "probability = 1.5 does not fit."),
        ("probability", -0.1, "probability = -0.1 does not fit."),
        ("label", 2.0, "label = 2.0 does not fit."),
        ("decision", 0.5, "decision = 0.5 does not fit."),
        ("score", np.inf, "score = inf does not fit."),
        ("score", "high", "score = 'high' does not fit."),
        ("split", "train2", "split = 'train2' does not fit."),
        ("fold", 1.5, "fold = 1.5 does not fit."),
        ("case_id", " ", "case_id = ' ' does not fit."),
        ("patient_id", None, "patient_id = None does not fit."),
    ],
)
def test_a_value_that_does_not_fit_is_shown_with_its_row(scores, column, value, wrong):
    scores[column] = scores[column].astype(object)
    scores.loc[0, column] = value
    with pytest.raises(DataError) as caught:
        check_scores(scores, "s.csv")
    assert caught.value.wrong == wrong
    assert caught.value.where == f"s.csv, row 1, column {column}"


def test_several_bad_rows_are_counted(scores):
    with pytest.raises(DataError) as caught:
        check_scores(scores.assign(label=[1, 2, 3]), "here")
    assert caught.value.wrong == "label = 2.0 does not fit (and 1 more rows)."
    assert caught.value.where == "here, row 2, column label"


def test_a_decision_that_its_threshold_does_not_give_is_refused(scores):
    with pytest.raises(DataError) as caught:
        check_scores(scores.assign(threshold=[12.0, 5.0, NAN]), "here")  # 12 is not above 12
    assert caught.value.expected == "1 where decision_value > threshold, else 0"


def test_a_case_without_a_score_has_no_decision(scores):
    scores.loc[1, "decision"] = 0.0
    with pytest.raises(DataError) as caught:
        check_scores(scores, "here")
    assert caught.value.expected == "blank where the score is blank"


def test_a_repeated_row_is_named(scores):
    with pytest.raises(DataError) as caught:
        check_scores(pd.concat([scores, scores.iloc[[0]]]), "here")
    assert caught.value.wrong == (
        "1 rows repeat an earlier one; the first is case_id a, finding lesion, method tau, "
        "fold 0, seed 7."
    )


def test_rows_without_a_fold_repeat_each_other_too(scores):
    with pytest.raises(DataError, match="repeat an earlier one"):
        check_scores(pd.concat([scores, scores.iloc[[2]]]), "here")


def test_missing_scores_are_counted_and_not_dropped(scores):
    assert len(check_scores(scores, "here")) == 3
    assert missing_scores(scores) == [
        {
            "method": "tau",
            "finding": "lesion",
            "split": "test",
            "n": 1,
            "first_case_ids": ["b"],
        }
    ]
    assert missing_scores(empty_scores()) == []


@pytest.mark.parametrize("name", ["", "scores.parquet", "scores.csv"])
def test_what_is_written_is_read_back(scores, tmp_path, name):
    write_scores(tmp_path, scores, {})
    pd.testing.assert_frame_equal(read_scores(tmp_path / name), scores.astype(COLUMNS))


texts = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), min_size=1, max_size=8
).filter(lambda text: text.strip() != "")


@given(case_id=texts, number=st.floats(allow_infinity=False, allow_nan=False))
@example(case_id="a\rb", number=0.1)
@example(case_id="a\r\nb\r", number=0.1)
@example(case_id='a\n,"b', number=5e-324)
@settings(deadline=None, max_examples=20)
def test_any_text_and_number_comes_back_from_the_csv(tmp_path_factory, case_id, number):
    row = pd.DataFrame(
        {name: ["1"] if dtype == "str" else [NAN] for name, dtype in COLUMNS.items()}
    ).assign(case_id=case_id, score=number, split="test", fold=pd.array([None], dtype="Int64"))
    folder = tmp_path_factory.mktemp("scores")
    write_scores(folder, row, {})
    found = read_scores(folder / "scores.csv")
    assert found["case_id"][0] == case_id
    assert found["score"][0] == number


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-1", "@sum(a1)", "\tx", "'=x", "NA", "nan"])
def test_a_spreadsheet_sees_no_formula_and_the_id_survives(scores, tmp_path, text):
    scores["case_id"] = [text, "b", "c"]
    write_scores(tmp_path, scores, {})
    cell = pd.read_csv(tmp_path / "scores.csv", dtype=str, keep_default_na=False)["case_id"][0]
    assert cell[0] not in "=+-@\t"
    assert read_scores(tmp_path / "scores.csv")["case_id"][0] == text


def test_numbers_in_a_csv_by_hand_are_read_as_numbers(tmp_path):
    (tmp_path / "s.csv").write_text(
        "case_id,finding,method,score,decision_value,threshold,decision,probability,split,fold,"
        "seed,patient_id,label\n007,lesion,mine,0.5,,,,,test,,0,12,1\n",
        encoding="utf-8-sig",
    )
    row = read_scores(tmp_path / "s.csv").iloc[0]
    assert (row["case_id"], row["patient_id"], row["score"], row["label"]) == ("007", "12", 0.5, 1)
    assert pd.isna(row["fold"])


def test_a_file_that_is_no_table_is_reported_without_its_full_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scores.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError) as caught:
        read_scores(tmp_path)
    assert caught.value.where == "scores.parquet"
    assert caught.value.wrong.startswith("the score table cannot be read: Arrow")
    with pytest.raises(DataError, match="there is no such score table"):
        read_scores(tmp_path / "none.csv")


def test_the_record_keeps_plain_data_arrays_and_missing_numbers(scores, tmp_path):
    plane = {"t": np.array([0.1, 0.5]), "n": np.array([[1, 2], [3, 4]])}
    record = {"rule": "tau", "fits": [{"t": np.float64(0.5), "bad": NAN, "plane": plane}]}
    write_scores(tmp_path, scores, record)
    text = json.loads((tmp_path / "summarizer.json").read_text())
    assert text["fits"][0]["bad"] is None
    assert text["fits"][0]["plane"]["n"] == {"array": "fits/0/plane/n"}
    assert text["missing_scores"][0]["n"] == 1
    found = read_record(tmp_path)["fits"][0]
    assert found["t"] == 0.5
    np.testing.assert_array_equal(found["plane"]["n"], plane["n"])
    write_scores(tmp_path, scores, {"rule": "mean"})
    assert not (tmp_path / "plane.npz").exists()
    assert read_record(tmp_path)["rule"] == "mean"


def test_the_record_may_have_another_name(scores, tmp_path):
    write_scores(tmp_path, scores, {"rule": "x"}, record_name="classifier.json")
    assert json.loads((tmp_path / "classifier.json").read_text())["rule"] == "x"
    assert not (tmp_path / "summarizer.json").exists()


def test_writing_twice_gives_the_same_bytes(scores, tmp_path):
    record = {"plane": {"t": np.arange(3.0)}}
    for folder in ("one", "two"):
        write_scores(tmp_path / folder, scores, record)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["plane.npz", "scores.csv", "scores.parquet", "summarizer.json"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_bad_table_is_not_written(scores, tmp_path):
    with pytest.raises(DataError):
        write_scores(tmp_path / "s", scores.assign(label=5), {})
    assert not (tmp_path / "s").exists()
