import numpy as np
import pandas as pd
import pytest

from segclf.core.errors import UsageError
from segclf.core.settings import EvaluateSettings
from segclf.evaluate import column_scores, evaluate_scores

LABEL = pd.Series([1, 0, 1, 0] * 5, index=[f"c{i}" for i in range(20)], dtype=float)


def split_of(**columns):
    values = {
        "case_id": LABEL.index,
        "patient_id": LABEL.index,
        "split": ["val"] * 8 + ["test"] * 12,
        "fold": pd.array([pd.NA] * 20, dtype="Int64"),
    }
    return pd.DataFrame({**values, **columns})


def cases_of(**columns):
    return pd.DataFrame({"case_id": LABEL.index, **columns})


def test_a_column_becomes_a_method_that_can_be_evaluated(row):
    cases = cases_of(slice=np.where(LABEL == 1, 5, 3) + np.arange(20) % 2 * 0.1)
    scores = column_scores(cases, "slice", finding="lesion", labels=LABEL, split=split_of())
    assert set(scores["method"]) == {"column:slice"}
    found = evaluate_scores(scores, cases, settings=EvaluateSettings(n_boot=20)).metrics
    auroc = row(found, metric="auroc")
    assert (auroc["estimate"], auroc["n_cases"]) == (1.0, 12)
    assert row(found, metric="balanced_accuracy")["estimate"] == 1.0


def test_the_direction_is_fitted_on_validation_and_not_on_test_cases(row):
    # In validation positives have the lower value, in test the higher one.
    value = np.where(LABEL == 1, 1.0, 2.0)
    value[8:] = 3 - value[8:]
    cases = cases_of(slice=value)
    scores = column_scores(cases, "slice", finding="lesion", labels=LABEL, split=split_of())
    assert (scores["score"] == -value).all()
    found = evaluate_scores(scores, cases, settings=EvaluateSettings(n_boot=20)).metrics
    assert row(found, metric="auroc")["estimate"] == 0.0


def test_each_fold_has_its_own_direction():
    fold = pd.array([0, 1] * 10, dtype="Int64")
    split = split_of(fold=fold, split=["val", "val", "test", "test"] * 5)
    labels = pd.Series(([1, 1, 1, 1, 0, 0, 0, 0] * 3)[:20], index=LABEL.index, dtype=float)
    sign = np.where(np.arange(20) % 2 == 0, 1, -1)
    cases = cases_of(slice=labels.to_numpy() * sign)
    scores = column_scores(cases, "slice", finding="lesion", labels=labels, split=split)
    assert (scores["score"] == labels.to_numpy()).all()


def test_a_column_whose_middle_is_positive_is_ranked_by_distance():
    # Positives lie at 5, negatives at 1 and 9: no direction separates them, the distance does.
    cases = cases_of(slice=np.where(LABEL == 1, 5.0, np.arange(20) % 4 * 4.0 - 3.0))
    scores = column_scores(
        cases, "slice", finding="lesion", labels=LABEL, split=split_of(), by_distance=True
    )
    assert set(scores["method"]) == {"distance:slice"}
    assert (scores["score"] == -4.0 * (1 - LABEL.to_numpy())).all()
    assert (scores["decision"] == LABEL.to_numpy()).all()


def test_a_case_without_a_value_has_no_score_and_no_decision():
    cases = cases_of(slice=[np.nan, *range(19)]).drop(index=3)
    scores = column_scores(cases, "slice", finding="lesion", labels=LABEL, split=split_of())
    assert scores.loc[scores["score"].isna(), "case_id"].tolist() == ["c0", "c3"]
    assert scores["decision"].isna().sum() == 2


def test_validation_cases_of_one_class_give_no_decisions():
    labels = LABEL.where(np.arange(20) >= 8, 1.0)
    cases = cases_of(slice=np.arange(20))
    scores = column_scores(cases, "slice", finding="lesion", labels=labels, split=split_of())
    assert scores["decision"].isna().all()
    assert (scores["score"] == np.arange(20)).all()


@pytest.mark.parametrize("column", ["site", "slize"])
def test_a_column_that_is_no_number_is_refused_with_those_that_are(column):
    cases = cases_of(slice=np.arange(20), site="A")
    with pytest.raises(UsageError, match="cannot rank cases") as caught:
        column_scores(cases, column, finding="lesion", labels=LABEL, split=split_of())
    assert "a numeric column: slice" in str(caught.value)
