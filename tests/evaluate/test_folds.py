import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from segclf.core.settings import EvaluateSettings
from segclf.evaluate import evaluate_scores

FAST = EvaluateSettings(n_boot=60)
DRAWN = EvaluateSettings(n_boot=60, interval="percentile")


@pytest.fixture
def folded(drawn):
    """300 cases in 3 folds by patient; the networks of the folds score on different scales."""
    scores, cases = drawn(n=300, n_patients=90)
    fold = scores["patient_id"].str[1:].astype(int) % 3
    shifted = scores["score"] * (1 + fold) + 100 * fold
    return scores.assign(
        score=shifted, decision_value=scores["score"], fold=fold.astype("Int64")
    ), cases


def aurocs(scores):
    return [roc_auc_score(part["label"], part["score"]) for _, part in scores.groupby("fold")]


def test_the_auroc_is_the_mean_over_folds_and_scores_are_never_pooled(folded, row):
    scores, cases = folded
    found = evaluate_scores(scores, cases, settings=FAST).metrics
    overall = row(found, metric="auroc")
    assert overall["estimate"] == pytest.approx(np.mean(aurocs(scores)))
    pooled = roc_auc_score(scores["label"], scores["score"])
    assert abs(overall["estimate"] - pooled) > 0.1
    assert overall["n_folds"] == 3
    assert [overall["fold_min"], overall["fold_max"]] == pytest.approx(
        [min(aurocs(scores)), max(aurocs(scores))]
    )


def test_decisions_of_all_folds_are_pooled(folded, row):
    scores, cases = folded
    found = evaluate_scores(scores, cases, settings=FAST).metrics
    sensitivity = row(found, metric="sensitivity")
    assert sensitivity["estimate"] == pytest.approx(
        recall_score(scores["label"], scores["decision"])
    )
    by_fold = [recall_score(p["label"], p["decision"]) for _, p in scores.groupby("fold")]
    assert [sensitivity["fold_min"], sensitivity["fold_max"]] == pytest.approx(
        [min(by_fold), max(by_fold)]
    )


def test_a_fold_without_positives_is_left_out_with_its_count(folded, row):
    scores, cases = folded
    site = np.where((scores["fold"] == 1) & (scores["label"] == 1), "x", "y")
    found = evaluate_scores(scores, cases.assign(site=site), by=["site"], settings=FAST).metrics
    one = row(found, group="y", metric="auroc")
    kept = scores[scores["fold"] != 1]
    assert one["estimate"] == pytest.approx(np.mean(aurocs(kept)))
    assert "mean of 2 folds; 1 left out, without positives or" in one["reason"]


def test_patients_are_resampled_within_folds(folded, row):
    # Each fold keeps its patients in every resample, so a metric that differs only between
    # folds, not within, does not vary: all decisions of fold 0 are right, all others wrong.
    scores, cases = folded
    right = scores["fold"] == 0
    decided = np.where(right, scores["label"], 1 - scores["label"])
    owner = scores["case_id"].str.replace("c", "p")  # one image per patient
    scores = scores.assign(decision=decided, decision_value=np.nan, patient_id=owner)
    found = evaluate_scores(scores, cases, settings=DRAWN).metrics
    assert "no width" in row(found, metric="sensitivity")["reason"]
    joined = scores.assign(fold=pd.array([pd.NA] * 300, dtype="Int64"))
    free = row(evaluate_scores(joined, cases, settings=DRAWN).metrics, metric="sensitivity")
    assert free["hi"] - free["lo"] > 0.1


def test_seeds_are_averaged_and_a_case_counts_once(drawn, row):
    scores, cases = drawn()
    rng = np.random.default_rng(5)
    noisy = scores["score"] + rng.normal(size=240)
    seeds = pd.concat(
        [
            scores.assign(seed=pd.array([0] * 240, dtype="Int64")),
            scores.assign(
                seed=pd.array([1] * 240, dtype="Int64"),
                score=noisy,
                decision_value=noisy,
                decision=(noisy > 0.5).astype(float),
            ),
        ]
    )
    found = evaluate_scores(seeds, cases, settings=FAST).metrics
    label = scores["label"]
    each = [roc_auc_score(label, scores["score"]), roc_auc_score(label, noisy)]
    overall = row(found, metric="auroc")
    assert overall["estimate"] == pytest.approx(np.mean(each))
    assert [overall["seed_min"], overall["seed_max"]] == pytest.approx(sorted(each))
    assert (overall["n_seeds"], overall["n_cases"]) == (2, 240)
    found_by_seed = [recall_score(label, s > 0.5) for s in (scores["score"], noisy)]
    sensitivity = row(found, metric="sensitivity")["estimate"]
    assert sensitivity == pytest.approx(np.mean(found_by_seed))


def test_decisions_that_only_all_folds_together_define_have_no_spread_over_folds(table, row):
    # Fold 0 holds the positives and fold 1 the negatives: no fold has a balanced accuracy.
    label = np.repeat([1, 0], 20)
    score = label + np.tile([0.0, 0.4, 0.9, -0.7], 10)
    fold = pd.array(1 - label, dtype="Int64")
    scores = table(label, score, fold=fold)
    found = evaluate_scores(scores, scores[["case_id"]], settings=FAST).metrics
    one = row(found, metric="balanced_accuracy")
    decided = score > 0.5
    expected = (decided[:20].mean() + 1 - decided[20:].mean()) / 2
    assert one["estimate"] == pytest.approx(expected)
    assert np.isnan([one["fold_min"], one["fold_max"]]).all()
    assert (
        row(found, metric="auroc")["reason"] == "undefined: without positives or without negatives"
    )
