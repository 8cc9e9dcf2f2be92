import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score

from segclf.core.scoretable import COLUMNS
from segclf.core.settings import EvaluateSettings
from segclf.evaluate import class_predictions, head_rows

SETTINGS = EvaluateSettings(n_boot=500)
NAMES = ("H", "L", "M")


def table_of(probability, truth, *, patients=None, split="test", fold=None, seed=0):
    """Rows of the head `density`; a truth of -1 is not known."""
    rows = []
    for i, (p, y) in enumerate(zip(probability, truth, strict=True)):
        for k, name in enumerate(NAMES):
            rows.append(
                {
                    "case_id": f"c{i}", "finding": f"density={name}", "method": "multihead",
                    "score": p[k], "decision_value": p[k], "split": split, "seed": seed,
                    "fold": fold, "label": np.nan if y < 0 else float(y == k),
                    "patient_id": f"p{i if patients is None else patients[i]}",
                }
            )  # fmt: skip
    frame = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    return frame.astype(COLUMNS)


@pytest.fixture
def drawn():
    random = np.random.default_rng(3)
    truth = random.integers(0, 3, 60)
    probability = random.dirichlet(np.ones(3), 60) + 0.4 * np.eye(3)[truth]
    return probability / probability.sum(1, keepdims=True), truth


def test_metrics_of_a_head_are_scikit_learns(drawn):
    probability, truth = drawn
    (row,) = head_rows(table_of(probability, truth), SETTINGS, seed=0).to_dict("records")
    predicted = probability.argmax(1)
    assert row["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert row["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert row["log_loss"] == pytest.approx(log_loss(truth, probability))
    assert row["auroc"] == pytest.approx(roc_auc_score(truth, probability, multi_class="ovr"))
    assert row["most_frequent"] == pytest.approx(np.bincount(truth).max() / 60)
    assert (row["head"], row["n"], row["n_unknown"], row["n_categories"]) == ("density", 60, 0, 3)


def test_unknown_truth_is_counted_and_left_out(drawn):
    probability, truth = drawn
    partly = np.where(np.arange(60) % 3 == 0, -1, truth)
    (row,) = head_rows(table_of(probability, partly), SETTINGS, seed=0).to_dict("records")
    assert (row["n"], row["n_unknown"]) == (40, 20)
    known = partly >= 0
    assert row["accuracy"] == accuracy_score(truth[known], probability.argmax(1)[known])
    (none,) = head_rows(table_of(probability, np.full(60, -1)), SETTINGS, seed=0).to_dict("records")
    assert np.isnan(none["accuracy"])
    assert none["reason"] == "none of 60 test cases has a known category"


def test_a_category_that_does_not_occur_is_named(drawn):
    probability, truth = drawn
    truth = np.minimum(truth, 1)
    (row,) = head_rows(table_of(probability, truth), SETTINGS, seed=0).to_dict("records")
    assert row["n_absent"] == 1
    assert "no AUROC of density=M" in row["reason"]
    expected = [roc_auc_score(truth == k, probability[:, k]) for k in (0, 1)]
    assert row["auroc"] == pytest.approx(np.mean(expected))


def test_the_interval_draws_patients_not_cases(drawn):
    probability, truth = drawn
    one_each = head_rows(table_of(probability, truth), SETTINGS, seed=0).iloc[0]
    assert one_each["lo"] < one_each["accuracy"] < one_each["hi"]
    hit = probability.argmax(1) == truth
    half = 1.96 * np.sqrt(hit.mean() * (1 - hit.mean()) / 60)
    assert one_each["hi"] - one_each["lo"] == pytest.approx(2 * half, rel=0.15)
    order = np.argsort(hit)  # patients who are all right or all wrong: a third of the information
    clustered = head_rows(
        table_of(probability[order], truth[order], patients=np.arange(60) // 6), SETTINGS, seed=0
    ).iloc[0]
    assert clustered["hi"] - clustered["lo"] > 1.5 * (one_each["hi"] - one_each["lo"])


def test_folds_are_averaged_for_auroc_and_seeds_stand_apart(drawn):
    probability, truth = drawn
    halves = [slice(0, 30), slice(30, 60)]
    tables = [table_of(probability[h], truth[h], fold=k) for k, h in enumerate(halves)]
    tables[1]["case_id"] = "second" + tables[1]["case_id"]
    (row,) = head_rows(pd.concat(tables), SETTINGS, seed=0).to_dict("records")
    expected = [roc_auc_score(truth[h], probability[h], multi_class="ovr") for h in halves]
    assert row["auroc"] == pytest.approx(np.mean(expected))
    assert row["n"] == 60
    seeds = pd.concat([table_of(probability, truth, seed=s) for s in (0, 1)])
    assert list(head_rows(seeds, SETTINGS, seed=0)["seed"]) == [0, 1]


def test_predictions_have_a_row_per_case_and_ties_are_alphabetical():
    table = table_of([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7]], [1, -1])
    table.loc[len(table)] = table.iloc[0].to_dict() | {"finding": "lesion"}
    found = class_predictions(table)
    assert list(found["predicted"]) == ["H", "M"]
    assert found["truth"].to_list()[0] == "L"
    assert found["truth"].isna().to_list() == [False, True]
    assert found["truth_probability"].iloc[0] == 0.4
    assert len(class_predictions(table.query("finding == 'lesion'"))) == 0


def test_validation_cases_do_not_count(drawn):
    probability, truth = drawn
    both = pd.concat([table_of(probability, truth), table_of(1 - probability, truth, split="val")])
    both.loc[both["split"] == "val", "case_id"] += "v"
    expected = head_rows(table_of(probability, truth), SETTINGS, seed=0)
    pd.testing.assert_frame_equal(head_rows(both, SETTINGS, seed=0), expected)


def test_scores_that_are_no_probabilities_have_no_log_loss(drawn):
    probability, truth = drawn
    table = table_of(np.log(probability), truth)
    (row,) = head_rows(table, SETTINGS, seed=0).to_dict("records")
    assert np.isnan(row["log_loss"])
    assert row["reason"] == "no log loss: the scores are no probabilities"
    assert row["accuracy"] == accuracy_score(truth, probability.argmax(1))
    assert class_predictions(table)["probability"].isna().all()
