"""Score tables that are wrong: each has its error, or its treatment with counts in the ledger."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from segclf.core.errors import DataError, UsageError
from segclf.core.settings import EvaluateSettings
from segclf.evaluate import evaluate_scores

FAST = EvaluateSettings(n_boot=50)


def entries(found):
    return {e["reason"]: (e["n_rows"], e["n_cases"]) for e in found.ledger["exclusions"]}


def test_nan_scores_are_left_out_and_counted(drawn, row):
    scores, cases = drawn(probability=np.nan)
    is_blank = np.arange(240) % 12 == 0
    blank = scores.assign(
        score=scores["score"].mask(is_blank),
        decision_value=scores["score"].mask(is_blank),
        decision=scores["decision"].mask(is_blank),
    )
    found = evaluate_scores(blank, cases, by=["sex"], settings=FAST)
    assert entries(found)["score is NaN"] == (20, 20)
    kept = scores.loc[~is_blank]
    one = row(found.metrics, group="all", metric="auroc")
    assert one["estimate"] == pytest.approx(roc_auc_score(kept["label"], kept["score"]), abs=1e-14)
    assert one["n_cases"] == found.ledger["n_rows_evaluated"] == 220
    assert found.ledger["n_rows"] == 240


def test_a_table_of_nan_scores_alone_is_refused_with_their_number(drawn):
    scores, cases = drawn(decision=np.nan)
    blank = scores.assign(score=np.nan, decision_value=np.nan)
    with pytest.raises(DataError, match="found 240 rows: score is NaN"):
        evaluate_scores(blank, cases, settings=FAST)


@pytest.mark.parametrize("infinite", [np.inf, -np.inf])
def test_infinite_scores_are_refused_with_the_row(drawn, infinite):
    scores, cases = drawn()
    scores.loc[4, "score"] = infinite
    with pytest.raises(DataError, match="finite numbers or blank") as caught:
        evaluate_scores(scores, cases, settings=FAST)
    assert "score" in str(caught.value)
    assert str(infinite) in str(caught.value)


def test_unknown_labels_are_left_out_and_counted(drawn, row):
    scores, cases = drawn()
    scores["label"] = scores["label"].mask(np.arange(240) < 15)
    found = evaluate_scores(scores, cases, settings=FAST)
    assert entries(found)["label not known"] == (15, 15)
    assert row(found.metrics, metric="auroc")["n_cases"] == 225


def test_labels_other_than_0_and_1_are_refused_with_the_value(drawn):
    scores, cases = drawn()
    scores.loc[3, "label"] = 2
    with pytest.raises(DataError, match="1, 0 or blank") as caught:
        evaluate_scores(scores, cases, settings=FAST)
    assert "2" in str(caught.value)


def test_a_duplicated_case_is_refused_with_its_id(drawn):
    scores, cases = drawn()
    with pytest.raises(DataError, match="c0007"):
        evaluate_scores(pd.concat([scores, scores.iloc[[7]]]), cases, settings=FAST)
    with pytest.raises(DataError, match="1 rows of the case table repeat a case, such as 'c0007'"):
        evaluate_scores(scores, pd.concat([cases, cases.iloc[[7]]]), settings=FAST)


@pytest.mark.parametrize("column", ["score", "label", "method", "patient_id", "probability"])
def test_a_missing_column_is_refused_with_its_name(drawn, column):
    scores, cases = drawn()
    with pytest.raises(DataError, match=f"no column {column}"):
        evaluate_scores(scores.drop(columns=column), cases, settings=FAST)


def test_a_group_column_that_is_missing_is_refused_with_near_names(drawn):
    with pytest.raises(UsageError, match="'site'"):
        evaluate_scores(*drawn(), by=["sites"], settings=FAST)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_is_rows_with_reasons_also_for_probabilities(table, label):
    score = np.linspace(0.1, 0.9, 40)
    scores = pd.concat([table([label] * 40, score, method=m, probability=score) for m in "ab"])
    cases = scores[["case_id"]].drop_duplicates().assign(site=["A", "B"] * 20)
    found = evaluate_scores(scores, cases, by=["site"], settings=FAST)
    metrics = found.metrics.set_index("metric")
    for name in ("auroc", "brier", "calibration_slope", "net_benefit@0.1"):
        assert metrics.loc[name, "estimate"].isna().all()
        few = f"0 {'negative' if label else 'positive'} patients (fewer than 5)"
        reasons = {few, "undefined: without positives or without negatives"}
        assert set(metrics.loc[name, "reason"]) <= reasons
    share = "sensitivity" if label else "specificity"
    assert metrics.loc[share, "estimate"].notna().all()
    auroc = found.comparisons.loc[found.comparisons["metric"] == "auroc"]
    assert len(auroc)
    assert auroc["p"].isna().all()
    assert (auroc["reason"] != "").all()
    assert found.gaps.loc[found.gaps["metric"] == "auroc", "worst"].isna().all()


def test_methods_on_different_cases_are_counted_and_compared_on_common_ones(drawn, row):
    scores, cases = drawn()
    both = pd.concat([scores, scores[60:].assign(method="other", score=-scores["score"][60:])])
    both = both.assign(decision_value=np.nan)
    found = evaluate_scores(both, cases, settings=FAST)
    reason = "scored by another method only: methods differ in cases"
    assert entries(found)[reason] == (0, 60)
    assert [row(found.metrics, method=m, metric="auroc")["n_cases"] for m in ("m", "other")] == [
        240,
        180,
    ]
    one = row(found.comparisons, metric="auroc")
    kept = scores[60:]
    expected = 2 * roc_auc_score(kept["label"], kept["score"]) - 1
    assert one["difference"] == pytest.approx(expected, abs=1e-12)
    assert one["reason"] == "60 cases of which only one method has a score are left out"


@pytest.mark.parametrize("kind", ["text", "numbers"])
def test_a_group_column_of_10000_values_is_refused_with_their_number(table, kind):
    n = 10_000
    scores = table(np.arange(n) % 2, np.arange(n) % 7)
    value = [f"v{i}" for i in range(n)] if kind == "text" else np.arange(n) + 0.5
    with pytest.raises(UsageError, match="10000 different") as caught:
        evaluate_scores(scores, scores[["case_id"]].assign(device=value), by=["device"])
    assert ("at most 50 groups" if kind == "text" else "needs bins") in str(caught.value)


@pytest.mark.parametrize("value", [1.2, -0.1, np.inf])
def test_probabilities_outside_0_and_1_are_refused_with_the_value(drawn, value):
    scores, cases = drawn(probability=0.5)
    scores.loc[11, "probability"] = value
    with pytest.raises(DataError, match="0 to 1, or blank") as caught:
        evaluate_scores(scores, cases, settings=FAST)
    assert "probability" in str(caught.value)
    assert str(value) in str(caught.value)


def test_blank_probabilities_leave_their_metrics_alone_and_are_counted(drawn, row):
    scores, cases = drawn()
    probability = (1 / (1 + np.exp(-scores["score"]))).mask(np.arange(240) % 4 == 0)
    found = evaluate_scores(scores.assign(probability=probability), cases, settings=FAST)
    assert entries(found)["no probability: left out of metrics of probabilities"] == (60, 60)
    one = row(found.metrics, metric="brier")
    kept = probability.notna()
    loss = ((probability - scores["label"]) ** 2)[kept].mean()
    assert one["estimate"] == pytest.approx(loss, abs=1e-14)
    assert "60 rows without a probability left out" in one["reason"]


def test_sure_probabilities_have_no_calibration_line_and_say_how_many(drawn, row):
    scores, cases = drawn(probability=0.4)
    scores.loc[[1, 5, 8], "probability"] = [0.0, 1.0, 1.0]
    found = evaluate_scores(scores, cases, settings=FAST).metrics
    for name in ("calibration_intercept", "calibration_slope"):
        one = row(found, metric=name)
        assert np.isnan(one["estimate"])
        assert "3 probabilities are 0 or 1" in one["reason"]
    assert not np.isnan(row(found, metric="brier")["estimate"])
