"""Suggested roles, with SciPy as the witness for ranks and chances."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from segclf.manifest.suggest import CHANCE_OF_ONE_SIDE, Answer, suggest_roles


def roles(column, answers, *, patients=None, name="x"):
    n = len(column)
    frame = pd.DataFrame({"patient_id": patients or [f"p{i}" for i in range(n)], name: column})
    found = suggest_roles(frame, [name], answers)
    return found.get(name)


LABEL = np.array([0.0, 1.0] * 20)
IS_LABEL = [Answer("the label", LABEL, absent="the label is 0")]


def test_a_category_that_fixes_the_label_is_derived():
    found = roles(["normal", "cyst"] * 10 + ["normal", "tumour"] * 10, IS_LABEL)
    assert found.role == "derived"
    assert found.because == "its values determine the label"
    mixed = ["normal", "cyst"] * 19 + ["cyst", "normal"]
    assert roles(mixed, IS_LABEL) is None


def test_a_cut_of_a_number_that_parts_the_label_is_derived():
    rng = np.random.default_rng(0)
    assert roles(LABEL + rng.random(40), IS_LABEL).because == "one cut of it determines the label"
    assert roles(1.5 * LABEL - rng.random(40) * 3, IS_LABEL) is None


@pytest.mark.parametrize("n_others", [3, 4, 5])
def test_a_flag_that_only_positives_have_is_derived_once_chance_is_unlikely(n_others):
    """75 patients, 36 positive: SciPy's hypergeometric chance that all flags fall on them."""
    label = np.array([1.0] * 36 + [0.0] * 39)
    flag = np.zeros(75)
    flag[:n_others] = 1
    found = roles(flag, [Answer("the label", label, absent="the label is 0")])
    chance = stats.hypergeom(75, 36, n_others).pmf(n_others)
    assert (found is not None) == (chance < CHANCE_OF_ONE_SIDE)
    if found is not None:
        assert found.because == "it is 0 wherever the label is 0, and varies elsewhere"


def test_what_counts_for_chance_is_patients_and_not_their_slices():
    label = np.repeat([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], 10)
    patients = [f"p{i // 10}" for i in range(60)]
    flag = np.repeat([1.0, 1.0, 0.0, 0.0, 0.0, 0.0], 10)
    found = roles(flag, [Answer("the label", label, absent="-")], patients=patients)
    assert found.role == "patient"  # 2 of 6 patients prove nothing, although they are 20 slices


def test_a_flag_with_one_negative_carrier_is_not_derived():
    flag = LABEL.copy()
    flag[0] = 1
    assert roles(flag, IS_LABEL) is None


def test_ranks_that_follow_the_area_are_derived():
    rng = np.random.default_rng(1)
    area = np.concatenate([np.zeros(20), rng.integers(1, 500, 40)]).astype(float)
    answers = [Answer("the area", area)]
    near = area**2 + rng.normal(0, 3, 60)
    assert stats.spearmanr(near[20:], area[20:]).statistic > 0.98
    assert roles(near, answers).because == "its ranks follow the area"
    assert roles(-near, answers).role == "derived"
    loose = area + rng.normal(0, 80, 60)
    assert 0.7 < stats.spearmanr(loose[20:], area[20:]).statistic < 0.97
    assert roles(loose, answers) is None


def test_categories_that_are_ranges_of_the_area_are_derived():
    area = np.arange(1.0, 31)
    size = ["small" if a < 11 else "medium" if a < 21 else "large" for a in area]
    assert roles(size, [Answer("the area", area)]).because == "its values are ranges of the area"
    size[0] = "large"
    assert roles(size, [Answer("the area", area)]) is None


@pytest.mark.parametrize(
    ("name", "role"),
    [("age_years", "patient"), ("Sex", "patient"), ("slice", "acquisition"), ("orig_width",
     "acquisition"), ("Field strength", "acquisition"), ("source_file", "id"), ("notes", None)],
)  # fmt: skip
def test_names_that_the_field_uses_are_known(name, role):
    column = ["a", "b", "b", "a"] * 10
    found = roles(column, IS_LABEL, name=name)
    assert (found.role if found else None) == role


def test_a_patient_attribute_is_not_derived_even_if_it_separates():
    assert roles(["M" if label else "F" for label in LABEL], IS_LABEL, name="sex").role == "patient"


def test_a_site_that_fixes_the_label_is_flagged():
    assert roles(["s1" if y else "s2" for y in LABEL], IS_LABEL, name="site").role == "derived"


def test_values_say_id_or_patient():
    assert roles(list(range(40)), []).because == "a different value in each case"
    assert roles(np.linspace(0, 1, 40), []) is None  # a measurement, not an id
    patients = [f"p{i // 4}" for i in range(40)]
    constant = [f"v{i // 8}" for i in range(40)]
    found = roles(constant, [], patients=patients)
    assert found.because == "one value for all cases of a patient"


def test_unknown_answers_and_blank_cells_are_left_out():
    label = np.where(np.arange(40) < 4, np.nan, LABEL)
    column = ["?", None, "?", None, *["normal", "tumour"] * 18]
    assert roles(column, [Answer("the label", label, absent="-")]).role == "derived"
    nothing = np.full(40, np.nan)
    assert roles(column, [Answer("the label", nothing, absent="-")]) is None
