"""Bytes to tables of texts: what is refused, and in which words."""

import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segclf.core.errors import DataError
from segclf.manifest.sources import parse_table, read_bytes


def parsed(text, name="m.csv"):
    return parse_table(text.encode() if isinstance(text, str) else text, name)


def test_cells_are_stripped_quoted_and_counted_as_a_spreadsheet_does():
    table = parsed('id , note\n\n a,"x, ""y""\nz"\n b,NA\n')
    assert table.columns == {"id": ["a", "b"], "note": ['x, "y"\nz', "NA"]}
    assert table.rows == [3, 4]


def test_an_unnamed_index_column_is_left_out():
    assert list(parsed(",image\n0,a.png\n").columns) == ["image"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("image,label,label\na,1,0\n", "the header 'label' stands 2 times"),
        ("image,label\n", "the table has no rows"),
        ("image,label\n,\n\n", "the table has no rows"),
        ("", "the table is empty"),
        ("image;label\na.png;1\n", "not separated by commas"),
        ("image\tlabel\na.png\t1\n", "not separated by commas"),
        ("image,label\na.png,1\nb.png\n", "the row has 1 cells, the header 2"),
        ("image,label\na.png,1,2\n", "the row has 3 cells, the header 2"),
        ('image,label\n"a.png,1\n', "cannot be parsed"),
        ("image,label\na.png,1\n".encode("utf-16"), "not UTF-8"),
        ("image,n\u00e4me\na.png,1\n".encode("latin-1"), "not UTF-8: byte 0xe4 at 7"),
    ],
)
def test_what_is_no_table_is_refused(content, says):
    with pytest.raises(DataError, match=says) as caught:
        parsed(content)
    assert caught.value.exit_code == 3
    assert "m.csv" in caught.value.where


def test_the_row_of_a_cut_table_is_named():
    with pytest.raises(DataError) as caught:
        parsed("image,label\na.png,1\nb.p\n")
    assert "row 3" in caught.value.where


def test_broken_and_nested_parquet_is_refused():
    with pytest.raises(DataError, match="Parquet file cannot be read"):
        parsed(b"PAR1 nothing", "m.parquet")
    buffer = io.BytesIO()
    pd.DataFrame({"image": [["a", "b"]]}).to_parquet(buffer)
    with pytest.raises(DataError, match="the column 'image' holds list"):
        parsed(buffer.getvalue(), "m.parquet")


def test_parquet_numbers_become_the_texts_that_a_csv_would_hold():
    buffer = io.BytesIO()
    frame = pd.DataFrame({"a": [1.0, None], "b": [0.1, 2.0], "c": [True, None], "d": [7, 8]})
    frame["c"] = frame["c"].astype("boolean")
    frame.to_parquet(buffer)
    assert parsed(buffer.getvalue(), "m.parquet").columns == {
        "a": ["1", ""], "b": ["0.1", "2.0"], "c": ["1", ""], "d": ["7", "8"],
    }  # fmt: skip


def test_only_csv_and_parquet_are_tables(tmp_path):
    with pytest.raises(DataError, match=r"'m\.xlsx' is not a table"):
        read_bytes(tmp_path / "m.xlsx")


CELLS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=12)


@given(st.lists(st.tuples(CELLS, CELLS).filter(any), min_size=1, max_size=6))
def test_any_text_that_a_csv_writer_wrote_comes_back_stripped(rows):
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([("one", "two"), *rows])
    table = parsed(stream.getvalue())
    assert list(zip(*table.columns.values(), strict=True)) == [
        (one.strip(), two.strip()) for one, two in rows
    ]
