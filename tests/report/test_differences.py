"""Comparisons, worst groups, intersections and decomposition as tables."""

import numpy as np
import pandas as pd
import pytest

from segclf.report.cells import DAGGER
from segclf.report.differences import (
    groups_table,
    heterogeneity_table,
    methods_table,
    p_text,
    relative_table,
    worst_table,
)
from segclf.report.names import families, metric_name, threshold_of
from segclf.report.rows import as_rows
from segclf.report.scored import Scored
from segclf.report.tables import (
    crosstab_table,
    decomposition_table,
    matrix_table,
    metrics_table,
    shrunken_table,
    spread_table,
)

DASH = "\N{EN DASH}"


def compared(**values):
    row = {"metric": "auroc", "group_column": "all", "group": "all", "method": "", "reason": ""}
    row |= {"first": "a", "second": "b", "estimate_first": 0.9, "estimate_second": 0.8}
    row |= {"difference": 0.1, "lo": -0.02, "hi": 0.2, "interval": "clustered DeLong"}
    row |= {"test": "clustered DeLong", "p": 0.0002, "p_adjusted": 0.0412, "adjusted_by": "Holm"}
    row |= {"family": "methods", "n_tests": 3, "margin": 0.05, "verdict": "better", "n_cases": 9}
    row |= {"n_patients": 4, "n_positive": 5, "n_negative": 4, "n_seeds": 2}
    return row | {"seed_sd_first": 0.01, "seed_sd_second": np.nan} | values


def test_a_comparison_shows_both_p_values_the_family_and_a_verdict():
    table = methods_table([compared()], caption="c")
    assert table.head == [
        "cases", "first", "value", "second", "value", "difference", "p", "adjusted p", "verdict",
    ]  # fmt: skip
    (cells,) = table.rows
    assert [cell.text for cell in cells] == [
        "all cases", "a", "0.900", "b", "0.800", "0.100", "<\N{NO-BREAK SPACE}0.001", "0.041",
        "first is better",
    ]  # fmt: skip
    assert [cells[i].small for i in (2, 4, 5, 8)] == [
        "SD of seeds 0.010", "", "-0.020 to 0.200", "margin 0.050",
    ]  # fmt: skip
    assert table.notes == {cells[7].note: "Holm over 3 tests of the family: methods"}
    assert table.foot == ["Intervals: clustered DeLong.", "Tests: clustered DeLong."]


def test_a_comparison_that_failed_says_why_and_invents_no_verdict():
    blank = {"difference": np.nan, "lo": np.nan, "p": np.nan, "p_adjusted": np.nan}
    blank |= {"verdict": "", "margin": np.nan, "reason": "no pair of patients"}
    table = methods_table([compared(**blank)], caption="c")
    shown = [cell.text for cell in table.rows[0]][-4:]
    assert shown == ["not estimated", DASH, DASH, "no margin"]
    assert list(table.notes.values()) == ["no pair of patients"]


def test_a_p_value_without_a_family_is_said_to_be_raw():
    table = methods_table([compared(p_adjusted=np.nan)], caption="c")
    assert table.rows[0][7].text == "not adjusted"


def test_several_metrics_in_one_table_are_named_in_each_row():
    table = groups_table([compared(), compared(metric="net_benefit@0.1")], caption="c")
    assert [row[2].text for row in table.rows] == ["AUROC", "Net benefit at 0.1"]


def test_heterogeneity_names_its_test_and_counts_cases():
    row = compared(group_column="site", method="tau", test="joint patient bootstrap", p=0.21)
    table = heterogeneity_table([row], caption="c", unit_name="study")
    assert table.head[:5] == ["groups by", "method", "cases", "studies", "test"]
    assert [c.text for c in table.rows[0]][4:] == ["joint patient bootstrap", "0.210", "0.041"]
    assert table.rows[0][2].small == "5 pos., 4 neg."


def test_a_relative_improvement_is_a_signed_share():
    row = compared(estimate_first=0.84, estimate_second=0.58, difference=0.448, lo=-0.1, hi=0.62)
    cell = relative_table([row], caption="c").rows[0][-1]
    assert (cell.text, cell.small) == ("+44.8 %", "-10.0 % to +62.0 %")


def test_the_worst_group_is_shown_raw_and_corrected_with_those_left_out():
    row = {"method": "tau", "group_column": "site", "metric": "auroc", "worst_group": "north"}
    row |= {"worst": 0.7, "worst_corrected": 0.75, "worst_probability": 0.625, "worst_bound": 0.6}
    row |= {"best_group": "south", "best": 0.9, "gap": 0.2, "gap_corrected": 0.1, "sd": 0.08}
    row |= {"sd_corrected": 0.0, "n_groups": 3, "left_out": "isle: 2 patients", "reason": ""}
    (cells,) = worst_table([row], caption="c").rows
    assert [cell.text for cell in cells] == [
        "site", "tau", "3", "north", "0.700", "62 %", "0.600", "south", "0.900", "0.200", "0.080",
        "isle: 2 patients",
    ]  # fmt: skip
    assert [cells[i].small for i in (4, 9, 10)] == [
        "corrected 0.750", "corrected 0.100", "corrected 0.000",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0, "<\N{NO-BREAK SPACE}0.001"),
        (0.0006, "0.001"),
        (0.5, "0.500"),
        (np.nan, DASH),
        (None, DASH),
    ],
)
def test_a_p_value_is_never_0(p, text):
    assert p_text(p) == text


def test_the_probability_of_being_worst_follows_the_auroc(metrics):
    frame = metrics.assign(design_effect=1.5)
    frame.loc[(frame["group"] == "M") & (frame["metric"] == "auroc"), "p_worst"] = 0.8
    table = metrics_table(as_rows(frame), caption="c", unit_name="study")
    assert table.head[4:6] == ["AUROC", "P(worst)"]
    assert [row[-3].text for row in table.rows] == [DASH] * 4 + ["80 %"] * 2
    assert table.rows[0][3].small == "design effect 1.50"


def test_a_table_says_how_its_intervals_were_made(metrics):
    frame = metrics.copy()
    frame.loc[(frame["metric"] == "auroc") & (frame["group"] == "F"), "interval"] = "Newcombe 5"
    table = metrics_table(as_rows(frame), caption="c", unit_name="study")
    assert table.foot == [
        "Intervals: AUROC: percentile, patient bootstrap (3 rows); Newcombe 5 (2 rows). "
        "Sensitivity, Specificity: percentile, patient bootstrap."
    ]


def test_numbers_of_exploratory_thresholds_carry_a_dagger(metrics):
    rows = as_rows(metrics)
    for row in rows:
        row["exploratory"] = row["metric"] != "auroc"
    table = metrics_table(rows, caption="c", unit_name="study")
    assert [cell.flag for cell in table.rows[0][-3:]] == ["", DAGGER, DAGGER]
    assert table.foot[-1].startswith(f"{DAGGER} exploratory")


def test_a_shrunken_estimate_stands_beside_the_raw_one(metrics):
    rows = as_rows(metrics.assign(shrunken=0.85, shrunken_lo=0.8, shrunken_hi=0.9))[3:4]
    table = shrunken_table(rows, caption="c", unit_name="study")
    assert [cell.text for cell in table.rows[0]][-3:] == ["20", "0.900", "0.850"]
    assert table.rows[0][-2].small.endswith("; 16 pos., 24 neg.")


def test_the_decomposition_and_its_matrix_read_their_own_rows():
    pairs = [("all", "", "", 0.8, 1.0), ("within", "", "", 0.9, 0.4), ("across", "", "", 0.7, 0.6)]
    cells = [("F", "M", 0.6, 0.3), ("F", "F", 0.95, 0.2), ("M", "F", np.nan, 0.0)]
    pairs += [("groups", *cell) for cell in cells]
    columns = ["pairs", "positives", "negatives", "auroc", "share_of_pairs"]
    rows = as_rows(pd.DataFrame(pairs, columns=columns).assign(method="tau"))
    (shown,) = decomposition_table(rows, caption="c").rows
    assert [(cell.text, cell.small) for cell in shown[1:]] == [
        ("0.800", "100 % of pairs"), ("0.900", "40 % of pairs"), ("0.700", "60 % of pairs"),
    ]  # fmt: skip
    matrix = matrix_table(rows, caption="c")
    assert matrix.head == ["", "negatives: M", "negatives: F"]
    assert [[cell.text for cell in row] for row in matrix.rows] == [
        ["positives: F", "0.600", "0.950"], ["positives: M", DASH, DASH],
    ]  # fmt: skip


def test_decisions_are_counted_against_labels():
    label = np.array([1.0, 1, 1, 0, 0, 0, 0, 1])
    decision = np.array([1.0, 1, 0, 1, 0, 0, np.nan, np.nan])
    own = Scored(label.astype(object), label, label, label, label, decision)
    table = crosstab_table([("all cases", "tau", own)], caption="c", exploratory=False)
    assert [cell.text for cell in table.rows[0]][2:] == ["2", "1", "1", "2", "2"]
    assert not any(cell.flag for cell in table.rows[0])


def test_the_spread_over_folds_is_shown(metrics):
    rows = as_rows(metrics.assign(n_folds=5, fold_min=0.7, fold_max=0.95))[:1]
    (cells,) = spread_table(rows, caption="c").rows
    assert [cell.text for cell in cells] == [
        "tau", "AUROC", "0.900", "5", "0.700 to 0.950", "1", DASH,
    ]  # fmt: skip


def test_metrics_are_named_and_put_where_they_belong():
    names = ["net_benefit@0.1", "auroc", "my_metric", "ppv_deployed", "brier", "f1"]
    assert families(names) == {
        "Ranking and decisions": ["auroc"],
        "More of ranking and decisions": ["f1"],
        "Probabilities": ["brier"],
        "Net benefit": ["net_benefit@0.1"],
        "At the deployment prevalence": ["ppv_deployed"],
        "Further numbers": ["my_metric"],
    }
    assert metric_name("net_benefit_deployed@0.2") == "Net benefit at 0.2"
    assert threshold_of("net_benefit@0.05") == 0.05
    assert threshold_of("net_benefit_deployed@0.05") is None
