"""Score tables of other tools: mapped, filled in, and refused with a fix."""

import pandas as pd
import pytest

from segclf.core.errors import DataError, UsageError
from segclf.evaluate.outside import read_outside


@pytest.fixture
def written(tmp_path):
    """`written(name, text)`: a CSV file of that text."""

    def write(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


PLAIN = "case_id,label,score,sex,size\n007,1,0.9,F,3\nb,0,0.2,,\nc,0,0.4,M,\n"


def test_three_columns_are_enough_and_the_rest_is_filled_in_and_said(written):
    found = read_outside([written("net.csv", "case_id,label,score\n007,1,0.9\nb,0,0.2\n")])
    scores = found.scores
    assert scores["case_id"].tolist() == ["007", "b"]  # an id is text
    assert set(scores["method"]) == {"net"}
    assert set(scores["split"]) == {"test"}
    assert scores["patient_id"].tolist() == scores["case_id"].tolist()
    assert scores["decision"].isna().all()
    assert [note for note in found.notes if "`split`" in note]
    assert list(found.cases.columns) == ["case_id"]


def test_other_columns_describe_the_cases(written):
    found = read_outside([written("net.csv", PLAIN)])
    cases = found.cases.set_index("case_id")
    assert cases.loc["007", "sex"] == "F"
    assert pd.isna(cases.loc["b", "sex"])
    assert cases.loc["007", "size"] == 3
    assert found.roles == {"size": "derived"}  # blank for every negative
    assert any("compared with all negatives" in note for note in found.notes)


def test_columns_are_mapped_and_methods_of_several_files_kept_apart(written):
    mapping = {"case_id": "image", "score": "p", "label": "y", "patient_id": "pid"}
    one = written("a.csv", "image,y,p,pid\nx,1,0.9,p1\nz,0,0.1,p2\n")
    two = written("b.csv", "image,y,p,pid\nx,1,0.8,p1\nz,0,0.3,p2\n")
    scores = read_outside([one, two], mapping).scores
    assert scores["method"].tolist() == ["a", "a", "b", "b"]
    assert scores["score"].tolist() == [0.9, 0.1, 0.8, 0.3]
    assert scores["patient_id"].tolist() == ["p1", "p2"] * 2


def test_a_parquet_file_says_the_same_as_a_csv_file(written, tmp_path):
    csv = read_outside([written("net.csv", PLAIN)])
    frame = pd.DataFrame(
        {
            "case_id": ["007", "b", "c"],
            "label": [1, 0, 0],
            "score": [0.9, 0.2, 0.4],
            "sex": ["F", None, "M"],
            "size": [3.0, None, None],
        }
    )
    frame.to_parquet(tmp_path / "net.parquet")
    parquet = read_outside([tmp_path / "net.parquet"])
    pd.testing.assert_frame_equal(csv.scores, parquet.scores)
    pd.testing.assert_frame_equal(csv.cases, parquet.cases, check_dtype=False)


def test_what_one_file_leaves_blank_is_taken_from_another(written):
    one = written("a.csv", "case_id,label,score,site\nx,1,0.9,\nz,0,0.1,A\n")
    two = written("b.csv", "case_id,label,score,site\nx,1,0.8,B\nz,0,0.3,A\n")
    cases = read_outside([one, two]).cases
    assert dict(zip(cases["case_id"], cases["site"], strict=True)) == {"x": "B", "z": "A"}


@pytest.mark.parametrize(
    ("text", "mapping", "error", "says"),
    [
        ("id,label,score\na,1,1\n", {}, DataError, "--columns case_id=NAME"),
        ("case_id,label,score\na,maybe,1\n", {}, DataError, "label = 'maybe'"),
        ("case_id,label,score\na,2,1\n", {}, DataError, "1, 0 or blank"),
        ("case_id,label,score,probability\na,1,1,1.5\n", {}, DataError, "0 to 1, or blank"),
        ("case_id,label,score\na,1,1\na,1,2\n", {}, DataError, "repeat an earlier one"),
        ("case_id,label,score,s\na,1,1,F\na,1,2,M\n", {}, DataError, "repeat an earlier one"),
        ("case_id,label,score\na,1,1\n", {"score": "scor"}, UsageError, "did you mean 'score'"),
        ("case_id,label,score\na,1,1\n", {"skore": "score"}, UsageError, "did you mean 'score'"),
        ("case_id,label,score,p\na,1,1,2\n", {"score": "p"}, UsageError, "'score' already"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_the_fix(written, text, mapping, error, says):
    with pytest.raises(error) as caught:
        read_outside([written("net.csv", text)], mapping)
    assert says in str(caught.value)
    assert "net.csv" in str(caught.value) or "--columns" in str(caught.value)


def test_a_case_that_two_files_describe_differently_is_refused(written):
    one = written("a.csv", "case_id,label,score,sex\nx,1,0.9,F\n")
    two = written("b.csv", "case_id,label,score,sex\nx,1,0.8,M\n")
    with pytest.raises(DataError, match="'x' is described in two ways"):
        read_outside([one, two])


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(DataError, match="cannot be read: FileNotFoundError"):
        read_outside([tmp_path / "no.csv"])


def test_a_mapping_is_for_the_files_that_have_the_other_name(written):
    one = written("a.csv", "case_id,label,score,subject\nx,1,0.9,p\ny,0,0.1,q\n")
    two = written("b.csv", "case_id,label,score,patient_id\nx,1,0.7,p\ny,0,0.2,q\n")
    found = read_outside([one, two], {"patient_id": "subject"}).scores
    assert found["patient_id"].tolist() == ["p", "q", "p", "q"]
    with pytest.raises(UsageError, match=r"no column in a\.csv, b\.csv called 'person'"):
        read_outside([one, two], {"patient_id": "person"})


def test_a_number_is_the_same_in_parquet_and_in_csv(written, tmp_path):
    one = written("a.csv", "case_id,label,score,age\n1,1,0.9,40 \n2,0,0.1,\n")
    frame = pd.DataFrame({"case_id": [1.0, 2.0], "label": [1, 0], "score": [0.5, 0.2]})
    frame.assign(age=[40.0, 35.0]).to_parquet(tmp_path / "b.parquet")
    found = read_outside([one, tmp_path / "b.parquet"])
    assert found.cases.set_index("case_id")["age"].to_dict() == {"1": 40.0, "2": 35.0}
    assert sorted(found.scores["case_id"].unique()) == ["1", "2"]


def test_two_descriptions_of_a_case_are_named_with_column_and_values(written):
    one = written("a.csv", "case_id,label,score,sex\nx,1,0.9,F\n")
    two = written("b.csv", "case_id,label,score,sex\nx,1,0.7,M\n")
    with pytest.raises(DataError, match="'x' is described in two ways: sex is 'F' and 'M'"):
        read_outside([one, two])


def test_a_size_of_0_for_negatives_follows_from_the_truth(written):
    text = "case_id,label,score,area,tube\na,1,0.9,12,1\nb,0,0.2,0,0\nc,0,0.4,0,0\nd,1,0.3,4,1\n"
    assert read_outside([written("net.csv", text)]).roles == {"area": "derived"}
