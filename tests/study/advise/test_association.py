"""Associations by patient, against SciPy, statsmodels and a calculation by hand."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from scipy.stats.contingency import association
from statsmodels.stats.multitest import multipletests

from segclf.manifest.values import Values
from segclf.study.advise.association import adjust, associate, column_of, score_test


def column(values, label, patient, *, number=False):
    """A column of texts, or of numbers."""
    names = sorted(set(values))
    codes = np.array([names.index(v) for v in values])
    numbers = np.array(values, dtype=float) if number else None
    found = Values(codes, tuple(map(str, names)), numbers)
    return column_of(found, np.array(label, dtype=float), np.array(patient), as_number=number)


@pytest.fixture
def patients():
    """60 patients with two cases each; a positive patient has one or two positive cases."""
    rng = np.random.default_rng(1)
    sick = rng.random(60) < 0.5
    label = np.stack([sick, sick & (rng.random(60) < 0.5)], axis=1)
    return sick, label.ravel(), np.repeat(np.arange(60), 2), rng


def test_two_values_of_patients_are_fishers_exact_test_with_one_row_per_patient(patients):
    sick, label, patient, rng = patients
    sex = np.where(rng.random(60) < 0.3 + 0.4 * sick, "F", "M")
    found = associate(column(np.repeat(sex, 2), label, patient))
    table = np.array([[np.sum((sex == s) & (sick == y)) for y in (False, True)] for s in "FM"])
    assert found["n_patients"] == 60
    assert found["p"] == pytest.approx(stats.fisher_exact(table).pvalue)
    assert found["effect"] == pytest.approx(association(table, method="cramer"))
    assert found["test"].startswith("Fisher")


def test_three_values_are_a_chi_square_test_and_few_patients_are_random_tables(patients):
    sick, label, patient, rng = patients
    site = rng.choice(list("ABC"), 60)
    found = associate(column(np.repeat(site, 2), label, patient))
    table = np.array([[np.sum((site == s) & (sick == y)) for y in (False, True)] for s in "ABC"])
    assert found["p"] == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    rare = np.where(np.arange(60) < 3, "C", np.where(rng.random(60) < 0.4 + 0.2 * sick, "A", "B"))
    found = associate(column(np.repeat(rare, 2), label, patient))
    table = np.array([[np.sum((rare == s) & (sick == y)) for y in (False, True)] for s in "ABC"])
    method = stats.PermutationMethod(n_resamples=4000, rng=np.random.default_rng(0))
    exact = stats.chi2_contingency(table, correction=False, method=method).pvalue
    assert "random tables" in found["test"]
    assert 0.05 < exact < 0.95
    assert found["p"] == pytest.approx(exact, abs=0.03)


def test_numbers_of_patients_are_a_mann_whitney_test_whose_effect_is_an_auroc(patients):
    sick, label, patient, rng = patients
    age = rng.normal(50 + 8 * sick, 10)
    found = associate(column(list(np.repeat(age, 2)), label, patient, number=True))
    witness = stats.mannwhitneyu(age[sick], age[~sick])
    assert found["p"] == pytest.approx(witness.pvalue)
    assert found["effect"] == pytest.approx(witness.statistic / (sick.sum() * (~sick).sum()))


def test_what_varies_within_patients_is_the_robust_score_test_of_statsmodels(patients):
    _, label, patient, rng = patients
    tube = rng.random(120) < 0.3 + 0.5 * label
    found = associate(column(list(np.where(tube, "1", "0")), label, patient))
    both = sm.add_constant(tube.astype(float))
    kind = {"family": sm.families.Gaussian(), "cov_struct": sm.cov_struct.Independence()}
    small = sm.GEE(label.astype(float), both[:, :1], groups=patient, **kind).fit()
    witness = sm.GEE(label.astype(float), both, groups=patient, **kind).compare_score_test(small)
    assert found["p"] == pytest.approx(float(witness["p-value"]), rel=1e-6)
    assert "case by case" in found["test"]


def test_the_score_statistic_by_hand():
    x, y = np.array([[1.0], [0.0], [1.0], [1.0]]), np.array([1.0, 0.0, 1.0, 0.0])
    # pulls (x - 3/4)(y - 1/2): 1/8 and 3/8 of patient 0, 1/8, -1/8
    statistic, df = score_test(x, y, np.array([0, 0, 1, 2]))
    assert statistic == pytest.approx(0.5**2 / (0.5**2 + 0.125**2 + 0.125**2))
    assert df == 1


def test_cases_of_one_patient_do_not_count_as_many():
    """Ten copies of every case change nothing of the p value."""
    rng = np.random.default_rng(0)
    sick = rng.random(40) < 0.5
    sex = np.where(rng.random(40) < 0.5, "F", "M")
    one = associate(column(sex, sick, np.arange(40)))
    ten = associate(column(np.repeat(sex, 10), np.repeat(sick, 10), np.repeat(np.arange(40), 10)))
    assert ten["p"] == one["p"]


def test_p_values_are_adjusted_over_all_tests_that_were_made():
    rows = adjust([{"p": p} for p in (0.01, None, 0.04, 0.03)])
    witness = multipletests([0.01, 0.04, 0.03], method="holm")[1]
    assert [row["p_adjusted"] for row in rows] == [
        pytest.approx(witness[0]), None, pytest.approx(witness[1]), pytest.approx(witness[2]),
    ]  # fmt: skip
    assert {row["n_tests"] for row in rows} == {3}


@pytest.mark.parametrize(
    ("values", "label", "reason"),
    [
        (["a"] * 20, [0, 1] * 10, "the column has one value"),
        (["a", "b"] * 10, [1] * 20, "all known labels agree"),
        (["a", "b"] * 10, [1] * 4 + [0] * 16, "4 patients with and 16 without a positive case"),
        (["a", "b"] * 10, [1] + [0] * 19, "1 patient with and 19 without a positive case"),
        (["a", "b"] * 10, [np.nan] * 20, "no case has both a value and a label"),
    ],
)
def test_what_cannot_be_tested_has_a_reason(values, label, reason):
    found = associate(column(values, label, np.arange(20)))
    assert found["p"] is None
    assert found["reason"].startswith(reason)
