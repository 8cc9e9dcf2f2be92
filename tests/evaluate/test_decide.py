"""Thresholds are fitted on validation cases, frozen, and applied to all groups."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_curve

from segclf.core.errors import DataError, UsageError
from segclf.evaluate.decide import decide, parse_source


@pytest.fixture
def both(table):
    """Validation and test cases of two methods with two seeds, on different scales."""
    rng = np.random.default_rng(0)
    parts = []
    for m, method in enumerate("ab"):
        for seed in (0, 1):
            label = rng.integers(0, 2, 80)
            score = (rng.normal(size=80) + label) * (1 + 9 * m) + seed
            split = np.where(np.arange(80) < 40, "val", "test")
            parts.append(table(label, score, method=method, split=split, seed=seed))
    return pd.concat(parts, ignore_index=True)


def test_each_network_gets_the_youden_threshold_of_its_validation_cases(both):
    decided, records = decide(both, parse_source("val"))
    assert len(records) == 4
    for (method, seed), rows in decided.groupby(["method", "seed"]):
        val = rows.query("split == 'val'")
        fpr, tpr, _ = roc_curve(val["label"], val["score"])
        calls = val["score"] > rows["threshold"].iloc[0]
        sensitivity, false = calls[val["label"] == 1].mean(), calls[val["label"] == 0].mean()
        assert sensitivity - false == pytest.approx((tpr - fpr).max()), (method, seed)
        assert rows["threshold"].nunique() == 1
        assert (rows["decision"] == (rows["score"] > rows["threshold"])).all()


def test_no_test_label_or_score_moves_a_threshold(both):
    is_test = both["split"] == "test"
    other = both.assign(
        label=both["label"].where(~is_test, 1 - both["label"]),
        score=both["score"].where(~is_test, -both["score"]),
    )
    source = parse_source("val:specificity=0.9")
    one, two = decide(both, source)[0], decide(other, source)[0]
    assert one["threshold"].equals(two["threshold"])


def test_a_target_specificity_is_reached_on_validation_cases(both):
    decided, _ = decide(both, parse_source("val:specificity=0.9"))
    negatives = decided.query("split == 'val' and label == 0")
    assert ((1 - negatives["decision"]).groupby(negatives["method"]).mean() >= 0.9).all()


def test_rows_keep_their_order_and_a_missing_score_gets_no_decision(both):
    both.loc[3, ["score", "decision_value", "decision"]] = np.nan
    decided, records = decide(both, parse_source("val"))
    assert decided["case_id"].equals(both["case_id"])
    assert np.isnan(decided.loc[3, "decision"])
    assert records[0]["n_missing_value"] == 1


def test_one_class_in_validation_gives_no_decisions_and_says_so(table):
    scores = table([1, 1, 0, 1], [0.9, 0.8, 0.1, 0.7], split=["val", "val", "test", "test"])
    decided, records = decide(scores, parse_source("val"))
    assert decided["decision"].isna().all()
    assert records[0]["reason"]


def test_the_test_split_is_refused_unless_the_result_is_marked_exploratory():
    with pytest.raises(UsageError, match="--exploratory, which marks every output"):
        parse_source("test")
    assert parse_source("test", exploratory=True).split == "test"


@pytest.mark.parametrize(
    "text",
    [
        "dev",
        "val:youdn",
        "val:sensitivity",
        "val:specificity=1.5",
        "val:cost=-1",
        "val:cost=nan",
        "val:youden=1",
    ],
)
def test_a_source_that_cannot_be_read_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match=r"for example --threshold-from val:specificity=0\.9"):
        parse_source(text)


def test_a_method_without_validation_cases_is_refused(table):
    with pytest.raises(DataError, match="'m' has no case in the split 'val'"):
        decide(table([1, 0], [1, 0]), parse_source("val"))
