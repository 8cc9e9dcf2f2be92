import numpy as np
import pandas as pd
import pytest

from segclf.core.errors import DataError, UsageError
from segclf.evaluate.groups import check_cases, group_cases, parse_shortcut

CASES = pd.DataFrame(
    {
        "case_id": [f"c{i}" for i in range(12)],
        "patient_id": "p",
        "sex": ["F", "M", "F", None, "M", " ", "F", "M", "F", "M", "F", "M"],
        "age_years": [5, 39, 40, 59.5, 60, np.nan, 80, 81, 82, 83, 84, 85],
        "n_scans": [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3],
        "tube": [1, 0, np.nan, 1, 0, 1, 0, 1, 0, 1, 0, 1],
        "scanner": list("XYZXYZXYZXYZ"),
    }
)


def groups_of(by, cases=CASES, **roles):
    """Each group's name and the places of its cases, as the evaluation will see them."""
    grouping = group_cases(by, cases, roles=roles)
    positive = np.ones(len(cases), bool)
    members = grouping.members(grouping.code, positive)
    return {name: np.flatnonzero(member).tolist() for name, member in members}


def message_of(by, cases=CASES, **roles):
    with pytest.raises(UsageError) as caught:
        group_cases(by, cases, roles=roles)
    return str(caught.value)


def test_categories_are_sorted_and_blank_cases_are_a_group_of_their_own():
    assert groups_of("sex") == {
        "F": [0, 2, 6, 8, 10],
        "M": [1, 4, 7, 9, 11],
        "missing": [3, 5],
    }


def test_no_group_is_called_missing_where_no_value_is():
    assert list(groups_of("scanner")) == ["X", "Y", "Z"]


def test_a_category_called_missing_is_not_mixed_with_blanks():
    cases = CASES.assign(sex=["missing", "F", None, *["F"] * 9])
    assert groups_of("sex", cases)["missing"] == [0]
    assert groups_of("sex", cases)["missing (blank)"] == [2]


def test_few_numbers_are_categories_in_the_order_of_numbers():
    cases = CASES.assign(n_scans=[10, 2, 9] * 4)
    assert list(groups_of("n_scans", cases)) == ["2", "9", "10"]


def test_bins_hold_the_ends_with_square_brackets_only():
    assert groups_of("age_years:[5,40),[40,60),[60,)") == {
        "[5,40)": [0, 1],
        "[40,60)": [2, 3],
        "[60,)": [4, 6, 7, 8, 9, 10, 11],
        "missing": [5],
    }
    assert groups_of("age_years: (5,39] , (40,]")["(5,39]"] == [1]


def test_values_outside_the_bins_are_a_group_of_their_own():
    assert groups_of("age_years:[39,40]")["outside the bins"] == [0, 3, 4, 6, 7, 8, 9, 10, 11]


def test_an_asked_for_bin_without_cases_stays():
    assert groups_of("age_years:[0,5),[5,)")["[0,5)"] == []


def test_a_column_of_many_numbers_asks_for_bins_and_suggests_some():
    message = message_of("age_years")
    assert "'age_years' holds 11 different numbers" in message
    suggested = message.split("--by '")[1].split("'")[0]
    sizes = [len(cases) for name, cases in groups_of(suggested).items() if name != "missing"]
    assert sizes == [4, 3, 4]


def test_an_unknown_column_gets_near_names():
    message = message_of("scaner")
    assert "there is no column called 'scaner'" in message
    assert "--by scaner" in message
    assert "did you mean 'scanner'" in message


@pytest.mark.parametrize("by", ["case_id", "patient_id", "scanner"])
def test_a_column_that_identifies_cases_makes_no_groups(by):
    assert f"the column {by!r} identifies cases" in message_of(by, scanner="id")


def test_a_column_of_too_many_categories_is_refused_with_their_number():
    cases = pd.DataFrame({"case_id": range(60), "name": [f"n{i}" for i in range(60)]})
    assert "'name' holds 60 different values" in message_of("name", cases)


@pytest.mark.parametrize(
    ("by", "wrong"),
    [
        ("age_years:[40,0)", "the interval [40,0) is empty"),
        ("age_years:[40,40)", "the interval [40,40) is empty"),
        ("age_years:[0,40],[40,60)", "[0,40] and [40,60) overlap or descend"),
        ("age_years:[40,60),[0,40)", "[40,60) and [0,40) overlap or descend"),
        ("age_years:[0,40),60", "'60' is not an interval"),
        ("sex:[0,40)", "bins were given for a column that is not numeric"),
    ],
)
def test_bins_that_cannot_be_are_refused_with_the_bin(by, wrong):
    assert wrong in message_of(by)


def test_a_derived_column_cuts_the_positives_and_keeps_all_negatives():
    cases = pd.DataFrame({"case_id": list("abcd"), "size": ["small", "large", None, None]})
    grouping = group_cases("size", cases, roles={"size": "derived"})
    positive = np.array([True, True, False, False])
    members = dict(grouping.members(grouping.code, positive))
    assert members["small"].tolist() == [True, False, True, True]
    assert members["large"].tolist() == [False, True, True, True]
    assert list(members) == ["large", "small"]  # no 'missing': no positive lacks a value


def test_a_shortcut_of_0_and_1_needs_no_value_and_blanks_are_unknown():
    name, present = parse_shortcut("tube", CASES, roles={})
    assert name == "tube"
    np.testing.assert_array_equal(present[:4], [1, 0, np.nan, 1])


def test_a_shortcut_can_name_the_value_that_means_present():
    name, present = parse_shortcut("sex=F", CASES, roles={})
    assert name == "sex=F"
    np.testing.assert_array_equal(present[:6], [1, 0, 1, np.nan, 0, np.nan])
    by_number = parse_shortcut("tube=1", CASES, roles={})[1]
    np.testing.assert_array_equal(by_number, parse_shortcut("tube", CASES, roles={})[1])


def test_true_and_false_are_1_and_0():
    cases = pd.DataFrame({"case_id": list("abc"), "tube": [True, False, None]})
    np.testing.assert_array_equal(parse_shortcut("tube", cases, roles={})[1], [1, 0, np.nan])


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("sex", "'sex' is not a column of 0 and 1"),
        ("sex=f", "no case has sex = f"),
        ("tub", "did you mean 'tube'?"),
        ("case_id=c1", "identifies cases"),
    ],
)
def test_a_shortcut_that_cannot_be_is_refused(text, wrong):
    with pytest.raises(UsageError, match=wrong.replace("?", r"\?")) as caught:
        parse_shortcut(text, CASES, roles={})
    assert f"--shortcut {text}" in str(caught.value)


def test_a_case_table_with_a_case_twice_is_refused_with_the_case():
    with pytest.raises(DataError, match="such as 'c1'"):
        check_cases(pd.concat([CASES, CASES.iloc[1:3]]))
    with pytest.raises(DataError, match="lacks the column 'case_id'"):
        check_cases(CASES.drop(columns="case_id"))
