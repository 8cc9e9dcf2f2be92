import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from segclf.core.randomness import seed_of
from segclf.core.settings import EvaluateSettings
from segclf.evaluate import evaluate_scores
from segclf.evaluate.inference import kernel
from segclf.evaluate.sample import make_sample, select_rows

FAST = EvaluateSettings(n_boot=60)


def published_mask(y, s):
    """Cases of robust AUROC as Saab et al. define them."""
    return ((y == 1) & (s == 0)) | ((y == 0) & (s == 1))


def test_robust_auroc_is_on_positives_without_and_negatives_with_the_shortcut(drawn, row):
    scores, cases = drawn(n=400)
    found = evaluate_scores(scores, cases, shortcut="tube", settings=FAST).robust
    y, s, score = scores["label"], cases["tube"], scores["score"]
    kept = published_mask(y, s)
    robust = row(found, quantity="robust")
    assert robust["estimate"] == pytest.approx(roc_auc_score(y[kept], score[kept]))
    assert (robust["n_positive"], robust["n_negative"]) == (
        ((y == 1) & (s == 0)).sum(),
        ((y == 0) & (s == 1)).sum(),
    )
    aligned = row(found, quantity="aligned")
    assert aligned["estimate"] == pytest.approx(roc_auc_score(y[~kept], score[~kept]))
    assert aligned["lo"] < aligned["estimate"] < aligned["hi"]
    assert "positives without the shortcut against negatives with it" in robust["definition"]


def test_the_other_published_definition_is_on_cases_without_the_shortcut(drawn, row):
    scores, cases = drawn(n=400)
    found = evaluate_scores(scores, cases, shortcut="tube", settings=FAST).robust
    free = cases["tube"] == 0
    y, score = scores["label"][free], scores["score"][free]
    absent = row(found, quantity="robust, absent")
    assert absent["estimate"] == pytest.approx(roc_auc_score(y, score), abs=1e-14)
    assert (absent["n_positive"], absent["n_negative"]) == ((y == 1).sum(), (y == 0).sum())
    assert "against negatives without it" in absent["definition"]
    assert absent["estimate"] != row(found, quantity="robust")["estimate"]


def test_a_score_that_is_the_shortcut_has_a_robust_auroc_of_0(drawn, row):
    scores, cases = drawn()
    copied = cases["tube"].astype(float)
    scores = scores.assign(score=copied, decision_value=copied, decision=copied)
    found = evaluate_scores(scores, cases, shortcut="tube=1", settings=FAST).robust
    assert row(found, quantity="robust")["estimate"] == 0.0
    assert row(found, quantity="aligned")["estimate"] == 1.0
    assert row(found, quantity="aligned - robust")["estimate"] == 1.0


def test_the_grid_has_all_four_cells(drawn, row):
    scores, cases = drawn(n=400)
    found = evaluate_scores(scores, cases, shortcut="tube", settings=FAST).grid
    y, s, score = scores["label"], cases["tube"], scores["score"]
    state = {"with": 1, "without": 0}
    for positives in state:
        for negatives in state:
            kept = s == np.where(y == 1, state[positives], state[negatives])
            cell = row(found, positives=positives, negatives=negatives)
            assert cell["estimate"] == pytest.approx(roc_auc_score(y[kept], score[kept]))
            assert cell["n_positive"] + cell["n_negative"] == kept.sum()


def test_the_difference_is_resampled_jointly(drawn, row):
    scores, cases = drawn(n=400)
    found = evaluate_scores(scores, cases, shortcut="tube", settings=FAST, seed=2).robust
    sample = make_sample(select_rows(scores)[0], "lesion")
    weights = np.empty((int(sample.stratum_start[-1]), 61), np.uint8)
    kernel.draw_weights(
        sample.stratum_start, np.uint64(seed_of(2, "evaluate", "lesion")), 0, weights
    )
    y, x, weight = sample.positive, sample.score, weights[sample.patient]
    robust = published_mask(y, cases["tube"].to_numpy())
    expected = [
        roc_auc_score(y[~robust], x[~robust], sample_weight=weight[~robust, b])
        - roc_auc_score(y[robust], x[robust], sample_weight=weight[robust, b])
        for b in range(1, 61)
    ]
    difference = row(found, quantity="aligned - robust")
    assert [difference["lo"], difference["hi"]] == pytest.approx(
        np.quantile(expected, [0.025, 0.975]), abs=1e-12
    )


def test_a_blank_shortcut_is_excluded_and_counted(drawn, row):
    scores, cases = drawn(n=400)
    blank = np.arange(400) % 4 == 0
    tube = cases["tube"].astype(float).mask(blank)
    found = evaluate_scores(scores, cases.assign(tube=tube), shortcut="tube", settings=FAST)
    entries = [e for e in found.ledger["exclusions"] if "probability" not in e["reason"]]
    assert entries == [
        {
            "method": "m",
            "finding": "lesion",
            "reason": "tube is blank: left out of robust AUROC",
            "n_rows": 100,
            "n_cases": 100,
        }
    ]
    assert found.grid["n_positive"].sum() == 2 * (scores["label"][~blank] == 1).sum()
    assert row(found.metrics, metric="auroc")["n_cases"] == 400


def test_a_case_outside_the_case_table_has_an_unknown_shortcut(drawn):
    scores, cases = drawn(n=400)
    found = evaluate_scores(scores, cases[:300], shortcut="tube", settings=FAST)
    assert found.grid["n_positive"].sum() == 2 * (scores["label"][:300] == 1).sum()
    counts = {entry["reason"]: entry["n_rows"] for entry in found.ledger["exclusions"]}
    assert counts["tube is blank: left out of robust AUROC"] == 100


def test_a_cell_without_support_says_why_and_so_does_the_difference(drawn, row):
    scores, cases = drawn()
    aligned = scores["label"].astype(int)
    found = evaluate_scores(scores, cases.assign(tube=aligned), shortcut="tube", settings=FAST)
    robust = row(found.robust, quantity="robust")
    assert np.isnan(robust["estimate"])
    why = "0 positive and 0 negative patients (fewer than 5)"
    assert robust["reason"] == why
    difference = row(found.robust, quantity="aligned - robust")
    assert np.isnan(difference["estimate"])
    assert difference["reason"] == f"robust: {why}"


def test_without_a_shortcut_the_tables_are_empty_and_have_their_columns(drawn):
    found = evaluate_scores(*drawn(), settings=FAST)
    assert found.robust.empty
    assert {"quantity", "estimate", "reason"} <= set(found.robust.columns)
    assert found.grid.empty


def test_every_method_and_finding_has_its_rows(drawn):
    scores, cases = drawn()
    parts = [scores.assign(method=m, finding=f) for m in "ab" for f in ("x", "y")]
    found = evaluate_scores(pd.concat(parts), cases, shortcut="tube", settings=FAST)
    assert len(found.robust) == 4 * 4
    assert len(found.grid) == 4 * 4
