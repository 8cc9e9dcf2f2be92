"""Does a column go along with the label? Tests in which the patient is the unit."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from segclf.core.randomness import generator
from segclf.core.text import counted, plural
from segclf.evaluate.inference.multiplicity import holm
from segclf.manifest.values import Values

MIN_PATIENTS = 5
"""Fewest patients with, and without, a positive case for a test."""
N_TABLES = 9999
MIN_EXPECTED = 5.0
ALPHA = 0.05
Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A column, a label, and whose cases they are; cases where either is missing are left out."""

    codes: np.ndarray
    """(case,) from 0."""
    numbers: np.ndarray | None
    """(case,) for a number with many values."""
    names: tuple[str, ...]
    label: np.ndarray
    """(case,) bool."""
    patient: np.ndarray
    """(case,) from 0."""


def column_of(values: Values, label: np.ndarray, patient: np.ndarray, *, as_number: bool) -> Column:
    """The column in the cases where it and the label are known.

    Args:
        values: Of the column.
        label: (case,) 1, 0 or NaN.
        patient: (case,) codes.
        as_number: Whether the column is ranked rather than counted.
    """
    known = (values.codes >= 0) & ~np.isnan(label)
    present, codes = np.unique(values.codes[known], return_inverse=True)
    return Column(
        codes,
        values.numbers[known] if as_number and values.numbers is not None else None,
        tuple(values.names[code] for code in present),
        label[known] == 1,
        np.unique(patient[known], return_inverse=True)[1],
    )


def associate(column: Column, seed: int = 0, *, unit: str = "patient") -> Row:
    """Test and effect size of a column and a label; `p` is None with a reason if undefined.

    A column with one value per patient is tested with one row per patient, who is positive with
    any positive case: Fisher's exact test (two values), the chi-square test of independence (by
    random tables with the same margins where fewer than five patients are expected in a cell), or
    the Mann-Whitney test (numbers). Any other column is tested case by case, with a score test
    whose variance is summed over patients. The effect is Cramér's V, or for numbers the AUROC of
    the column for the label.

    Args:
        column: From `column_of`.
        seed: Of the random tables.
        unit: The word for a patient.

    Source:
        Cramér 1946; Mann and Whitney 1947; the robust score test: Boos, Am. Stat. 46 (1992) 327.
        Witness: SciPy, statsmodels.
    """
    of_patient = _positive_patients(column)
    counts = int(of_patient.sum()), int((~of_patient).sum())
    row: Row = {
        "n_cases": len(column.label),
        "n_patients": len(of_patient),
        "effect": None,
        "effect_name": "AUROC" if column.numbers is not None else "Cramér's V",
        "test": None,
        "p": None,
    }
    if not len(column.label):
        return row | {"reason": "no case has both a value and a label"}
    if len(column.names) < 2:
        return row | {"reason": "the column has one value"}
    if not column.label.any() or column.label.all():
        return row | {"reason": "all known labels agree"}
    if _is_constant(column):
        if min(counts) < MIN_PATIENTS:
            reason = f"{counted(counts[0], unit)} with and {counts[1]} without a positive case"
            return row | {"reason": f"{reason}; {MIN_PATIENTS} of each are needed"}
        return row | _by_patient(column, of_patient, seed, unit)
    n_with = len(np.unique(column.patient[column.label]))
    n_without = len(np.unique(column.patient[~column.label]))
    if min(n_with, n_without) < MIN_PATIENTS:
        reason = f"{counted(n_with, unit)} with a positive and {n_without} with a negative case"
        return row | {"reason": f"{reason}; {MIN_PATIENTS} of each are needed"}
    return row | _by_case(column, unit)


def adjust(rows: list[Row]) -> list[Row]:
    """The rows with `p_adjusted`: Holm, over all tests of all columns and findings."""
    p = np.array([np.nan if row["p"] is None else row["p"] for row in rows], dtype=float)
    adjusted = holm(p) if len(p) else p
    return [
        row
        | {"p_adjusted": None if np.isnan(a) else float(a), "n_tests": int((~np.isnan(p)).sum())}
        for row, a in zip(rows, adjusted, strict=True)
    ]


def cramers_v(table: np.ndarray) -> float:
    """Cramér's V of a table of counts without empty rows and columns."""
    chi2 = _chi2(table[None])[0]
    return float(np.sqrt(chi2 / (table.sum() * (min(table.shape) - 1))))


def score_test(x: np.ndarray, label: np.ndarray, patient: np.ndarray) -> tuple[float, int]:
    """Chi-square and degrees of freedom of no association, patients being independent.

    Args:
        x: (case, column) what is associated.
        label: (case,) 0 or 1.
        patient: (case,) codes from 0.
    """
    pull = (x - x.mean(axis=0)) * (label - label.mean())[:, None]
    by_patient = np.zeros((int(patient.max()) + 1, x.shape[1]))
    np.add.at(by_patient, patient, pull)
    total, spread = by_patient.sum(axis=0), by_patient.T @ by_patient
    df = int(np.linalg.matrix_rank(spread))
    return float(total @ np.linalg.pinv(spread) @ total), df


def _by_patient(column: Column, positive: np.ndarray, seed: int, unit: str) -> Row:
    first = np.unique(column.patient, return_index=True)[1]
    if column.numbers is not None:
        x = column.numbers[first]
        found = stats.mannwhitneyu(x[positive], x[~positive], alternative="two-sided")
        n_pairs = int(positive.sum()) * int((~positive).sum())
        return {
            "test": f"Mann-Whitney, one row per {unit}",
            "p": float(found.pvalue),
            "effect": float(found.statistic) / n_pairs,
        }
    table = _table(column.codes[first], positive)
    row: Row = {"effect": cramers_v(table)}
    if table.shape == (2, 2):
        p = float(stats.fisher_exact(table)[1])  # type: ignore[arg-type] (a tuple with names)
        return row | {"test": f"Fisher's exact, one row per {unit}", "p": p}
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    if expected.min() >= MIN_EXPECTED:
        p = float(stats.chi2.sf(_chi2(table[None])[0], len(table) - 1))
        return row | {"test": f"chi-square, one row per {unit}", "p": p}
    draws = stats.random_table(table.sum(axis=1), table.sum(axis=0)).rvs(
        N_TABLES, random_state=generator(seed, "association")
    )
    as_far = _chi2(draws) >= _chi2(table[None])[0] * (1 - 1e-12)
    p = (1 + int(as_far.sum())) / (1 + N_TABLES)
    return row | {"test": f"chi-square by random tables, one row per {unit}", "p": p}


def _by_case(column: Column, unit: str) -> Row:
    label = column.label.astype(float)
    if column.numbers is not None:
        ranks = stats.rankdata(column.numbers)
        x = ranks[:, None] / len(ranks)
        n1 = int(column.label.sum())
        u = ranks[column.label].sum() - n1 * (n1 + 1) / 2
        effect = float(u / (n1 * (len(ranks) - n1)))
    else:
        x = np.eye(len(column.names))[column.codes][:, 1:]
        effect = cramers_v(_table(column.codes, column.label))
    statistic, df = score_test(x, label, column.patient)
    test = f"score test with variance over {plural(unit)}, case by case"
    if df == 0:
        return {"test": test, "effect": effect, "reason": f"no {unit} carries information"}
    return {"test": test, "effect": effect, "p": float(stats.chi2.sf(statistic, df))}


def _is_constant(column: Column) -> bool:
    pairs = np.unique(np.stack([column.patient, column.codes]), axis=1)
    return pairs.shape[1] == len(np.unique(column.patient))


def _positive_patients(column: Column) -> np.ndarray:
    n = int(column.patient.max()) + 1 if len(column.patient) else 0
    return np.bincount(column.patient, column.label, minlength=n) > 0


def _table(codes: np.ndarray, positive: np.ndarray) -> np.ndarray:
    table = np.zeros((int(codes.max()) + 1, 2), dtype=np.int64)
    np.add.at(table, (codes, positive.astype(int)), 1)
    return table[table.sum(axis=1) > 0]


def _chi2(tables: np.ndarray) -> np.ndarray:
    """(table,) Pearson's statistic of tables (table, row, column) with the same margins."""
    tables = tables.astype(float)
    rows, columns = tables[0].sum(axis=1), tables[0].sum(axis=0)
    expected = np.outer(rows, columns) / rows.sum()
    return ((tables - expected) ** 2 / expected).sum(axis=(1, 2))
