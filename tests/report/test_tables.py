"""Tables: counts in every row, one mark per reason, and nothing undefined without a reason."""

import numpy as np
import pandas as pd
import pytest

from segclf.report.cells import Notes, plain_table
from segclf.report.differences import worst_table
from segclf.report.rows import as_rows, where
from segclf.report.tables import (
    grid_table,
    metrics_table,
    robust_table,
)
from segclf.report.text import (
    amount,
    count,
    number,
    plain,
    probability,
    without_folders,
)


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_each_group_is_headed_once_and_every_row_has_its_counts(metrics):
    table = metrics_table(as_rows(metrics), caption="c", unit_name="study")
    assert table.head == [
        "group", "method", "cases", "studies", "AUROC", "Sensitivity", "Specificity",
    ]  # fmt: skip
    assert [row[0].text for row in table.rows] == [
        "all cases", "sigmoid", "sex = F", "sigmoid", "sex = M", "sigmoid",
    ]  # fmt: skip
    assert [row[0].span for row in table.rows[::2]] == [2, 2, 2]
    for row in table.rows:
        sizes = row[-5:-3]
        assert (sizes[0].text, sizes[0].small) == ("40", "16 pos., 24 neg.")
        assert sizes[1].text == "20"


def test_the_column_of_groups_is_left_out_where_there_is_one(metrics):
    rows = where(as_rows(metrics), group_column="all")
    table = metrics_table(rows, caption="c", unit_name="patient")
    assert table.head[:3] == ["method", "cases", "patients"]
    assert texts(table)[1][0] == "sigmoid"
    assert texts(table)[1][3:] == ["0.700", "0.750", "0.600"]
    assert table.rows[0][3].small == "0.800\N{EN DASH}0.950"
    assert [is_number for _, is_number in table.columns] == [False, True, True, True, True, True]


def test_an_undefined_number_says_why_below_the_table(metrics):
    table = metrics_table(as_rows(metrics), caption="c", unit_name="patient")
    cell = table.rows[4][-3]
    assert (cell.text, cell.note, cell.small) == ("not estimated", "a", "")
    assert table.notes == {"a": "3 positive patients (fewer than 5)"}


def test_strata_of_positives_say_that_they_share_the_negatives(metrics):
    rows = as_rows(metrics.assign(negatives="all"))
    table = metrics_table(rows, caption="c", unit_name="patient")
    assert table.rows[1][1].small == "16 pos., 24 neg. (all)"


def test_equal_reasons_share_a_mark_and_marks_go_on_after_z():
    notes = Notes()
    marks = [notes.mark(f"reason {i}") for i in range(28)]
    assert (marks[0], marks[25], marks[26], marks[27]) == ("a", "z", "aa", "ab")
    assert notes.mark("reason 3") == "d"
    assert len(notes) == 28
    assert notes.mark("") == notes.mark(None) == notes.mark(np.nan) == ""


def test_a_difference_that_may_be_negative_is_not_written_with_a_dash():
    row = {"method": "m", "quantity": "aligned - robust", "estimate": -0.01, "lo": -0.1, "hi": 0.1}
    row |= {"n_positive": None, "n_negative": None, "reason": ""}
    (cells,) = robust_table([row], caption="c").rows
    assert cells[1].text == "-0.010"
    assert cells[1].small == "-0.100 to 0.100"


def test_the_grid_shows_the_counts_of_each_cell(content):
    (cells,) = grid_table(as_rows(content.grid), caption="c").rows
    assert cells[1].text == "0.800"
    assert cells[1].small.endswith("; 7 pos., 9 neg.")


def test_an_estimate_without_an_interval_says_so_and_why():
    row = {"method": "m", "quantity": "robust", "estimate": 1.0, "lo": np.nan, "hi": np.nan}
    row |= {"n_positive": 9, "n_negative": 8, "reason": "no errors among 9 patients"}
    table = robust_table([row], caption="c")
    assert table.rows[0][1].small == "no interval; 9 pos., 8 neg."
    assert table.notes == {table.rows[0][1].note: "no errors among 9 patients"}


def test_a_gap_that_cannot_be_computed_lists_what_was_left_out(content):
    table = worst_table(as_rows(content.gaps), caption="c")
    dash = "\N{EN DASH}"
    assert texts(table) == [[
        "sex", "tau", "1", "F", "0.900", "100 %", "0.800", dash, dash, "not estimated",
        "not estimated", "M: 3 positive patients (fewer than 5)",
    ]]  # fmt: skip
    assert table.rows[0][4].small == "corrected 0.910"
    assert table.notes == {"a": "a gap needs two groups"}


def test_tables_that_were_read_back_from_csv_are_shown_alike(content, tmp_path):
    frames = {"gaps": worst_table, "robust": robust_table, "grid": grid_table}
    for name, make in frames.items():
        frame = getattr(content, name).assign(left_out="")
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
        again = pd.read_csv(tmp_path / f"{name}.csv")  # blank cells become NaN
        assert make(as_rows(again), caption="c") == make(as_rows(frame), caption="c")


def test_any_table_is_shown_as_it_is():
    rows = [{"a_b": "x", "n": 1200, "share": 0.25}, {"a_b": None, "n": 3.0, "share": np.nan}]
    table = plain_table(rows, caption="c")
    assert table.head == ["a b", "n", "share"]
    assert texts(table) == [["x", "1,200", "0.250"], ["\N{EN DASH}", "3", "\N{EN DASH}"]]
    assert plain_table([], caption="c").columns == []


def test_numbers_are_written_for_readers():
    assert [number(v) for v in (0.12345, 12, np.int64(1200), np.float64(0.5), None)] == [
        "0.123", "12", "1,200", "0.500", "\N{EN DASH}",
    ]  # fmt: skip
    assert [count(v) for v in (7, 7.0, np.nan, None)] == ["7", "7", "\N{EN DASH}", "\N{EN DASH}"]
    assert [amount(v, "px") for v in (0.0, 3.0, 14.5, 0.00412, 12345.6)] == [
        "0 px", "3 px", "14.5 px", "0.00412 px", "12,346 px",
    ]  # fmt: skip
    assert amount(4.0, "mm2") == "4 mm²"
    assert [probability(p) for p in (0.0, 0.00012, 0.5, 0.123456, 0.99999)] == [
        "under 0.0005", "under 0.0005", "0.5", "0.123", "over 0.9995",
    ]  # fmt: skip


def test_ids_cannot_hide_or_reorder_text():
    assert plain("a\u202eb\x00c\u200bd\ne") == "a b c d e"
    assert plain("x" * 300).startswith("x" * 39 + "…")
    assert len(plain("x" * 300)) <= 80


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("manifest: /home/ann/data/m.csv", "manifest: …/m.csv"),
        ("C:\\Users\\ann\\m.csv", "…/m.csv"),
        ("../../ann/m.csv", "…/m.csv"),
        ("~/ann/m.csv", "…/m.csv"),
        ("images/a.png and 1/2", "images/a.png and 1/2"),
        ("mm/h", "mm/h"),
    ],
)
def test_folders_outside_are_not_shown(text, shown):
    assert without_folders(text) == shown
