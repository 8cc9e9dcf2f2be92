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
    members = grouping.members(np.arange(len(cases)), positive)
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
    members = dict(grouping.members(np.arange(len(cases)), positive))
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


def test_quantiles_cut_known_values_into_parts_of_equal_size():
    cases = CASES.assign(age_years=np.arange(12.0))
    assert groups_of("age_years:quantiles=4", cases) == {
        "[0,2.75)": [0, 1, 2],
        "[2.75,5.5)": [3, 4, 5],
        "[5.5,8.25)": [6, 7, 8],
        "[8.25,11]": [9, 10, 11],
    }


def test_quantiles_of_one_value_and_too_many_quantiles_are_refused():
    assert "all 12 values are 3" in message_of("n_scans:quantiles=2", CASES.assign(n_scans=3))
    assert "50 quantiles of 11 values" in message_of("age_years:quantiles=50")


def test_many_numbers_that_follow_from_the_truth_are_cut_into_quartiles():
    names = list(groups_of("age_years", age_years="derived"))
    assert names[:1] == ["[5,49.75)"]
    assert len(names) == 5
    assert names[-1] == "missing"


def test_an_intersection_lists_all_that_was_asked_for_and_the_rest_where_there_is_any():
    found = groups_of("sex*tube")
    assert found["F * 0"] == [6, 8, 10]
    assert found["F * 1"] == [0]
    assert found["F * missing"] == [2]
    assert found["missing * 1"] == [3, 5]
    assert list(found)[:4] == ["F * 0", "F * 1", "M * 0", "M * 1"]
    assert sorted(i for members in found.values() for i in members) == list(range(12))


def test_an_intersection_with_bins_and_three_parts():
    found = groups_of("sex*age_years:[0,60),[60,)*scanner")
    assert found["F * [0,60) * X"] == [0]
    assert found["M * [60,) * Y"] == [4, 7]
    assert found["M * [0,60) * Z"] == []


def test_an_intersection_of_too_many_groups_is_refused_with_their_number():
    cases = CASES.assign(a=[f"a{i % 8}" for i in range(12)], b=[f"b{i % 9}" for i in range(12)])
    assert "the intersection 'a*b' has 72 groups" in message_of("a*b", cases)


def test_slices_of_columns_of_0_and_1_may_overlap():
    cases = CASES.assign(wire=[1, 1, *[0] * 10])
    found = groups_of("tube+wire", cases)
    assert found == {"tube": [0, 3, 5, 7, 9, 11], "wire": [0, 1], "tube missing": [2]}
    assert "--by sex" in message_of("tube+sex", cases)
    assert "not a column of 0 and 1" in message_of("tube+sex", cases)


def test_a_case_that_the_table_lacks_is_in_the_last_group_only():
    grouping = group_cases("sex*scanner", CASES, roles={})
    positive = np.ones(1, bool)
    members = dict(grouping.members(np.array([-1]), positive))
    assert [name for name, member in members.items() if member[0]] == ["missing * missing"]


def test_a_size_and_a_sex_compare_with_negatives_of_that_sex():
    cases = pd.DataFrame(
        {
            "case_id": list("abcdef"),
            "size": ["s", "l", "s", None, None, None],
            "sex": list("FFMFMM"),
        }
    )
    grouping = group_cases("size*sex", cases, roles={"size": "derived"})
    positive = np.array([True, True, True, False, False, False])
    members = dict(grouping.members(np.arange(6), positive))
    assert np.flatnonzero(members["s * F"]).tolist() == [0, 3]
    assert np.flatnonzero(members["s * M"]).tolist() == [2, 4, 5]
    assert np.flatnonzero(members["l * F"]).tolist() == [1, 3]


def test_a_column_called_all_makes_no_groups():
    assert "a column called 'all'" in message_of("all", CASES.assign(all="x"))


def test_quantiles_of_a_size_leave_out_the_0_of_negatives():
    cases = CASES.assign(area=[0.0] * 6 + [1, 2, 3, 4, 5, 6])
    grouping = group_cases("area:quantiles=2", cases, roles={"area": "derived"})
    assert grouping.names[:2] == ("[1,3.5)", "[3.5,6]")
    assert grouping.member[0].sum() == grouping.member[1].sum() == 3
    assert group_cases("area:quantiles=2", cases, roles={}).names[0] == "[0,0.5)"
