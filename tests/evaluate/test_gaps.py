import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from segclf.core.randomness import seed_of
from segclf.core.settings import EvaluateSettings
from segclf.evaluate import evaluate_scores
from segclf.evaluate.inference import kernel
from segclf.evaluate.inference.simultaneous import simultaneous_bounds
from segclf.evaluate.inference.worst import worst_group
from segclf.evaluate.sample import make_sample, select_rows


def test_the_worst_group_and_the_gap_are_those_of_the_table(drawn, row):
    scores, cases = drawn(n=600, n_patients=300)
    found = evaluate_scores(scores, cases, by=["site"], settings=EvaluateSettings(n_boot=50))
    label, score, site = scores["label"], scores["score"], cases["site"]
    by_site = {s: roc_auc_score(label[site == s], score[site == s]) for s in "ABC"}
    gap = row(found.gaps, metric="auroc")
    assert gap["worst_group"] == min(by_site, key=by_site.get)
    assert gap["best_group"] == max(by_site, key=by_site.get)
    assert gap["worst"] == pytest.approx(min(by_site.values()))
    assert gap["gap"] == pytest.approx(max(by_site.values()) - min(by_site.values()))
    worst = row(found.metrics, group=gap["worst_group"], metric="auroc")
    assert gap["worst_probability"] == worst["p_worst"]
    assert gap["sd"] == pytest.approx(np.std(list(by_site.values()), ddof=1))
    assert (gap["n_groups"], gap["left_out"]) == (3, "")
    assert gap["note"].startswith("raw: ")


def test_what_is_corrected_rests_on_the_joint_resamples(drawn, row):
    scores, cases = drawn()
    settings = EvaluateSettings(n_boot=80)
    found = evaluate_scores(scores, cases, by=["site"], settings=settings, seed=3)
    sample = make_sample(select_rows(scores)[0], "lesion")
    weights = np.empty((int(sample.stratum_start[-1]), 81), np.uint8)
    kernel.draw_weights(
        sample.stratum_start, np.uint64(seed_of(3, "evaluate", "lesion")), 0, weights
    )
    weight, site = weights[sample.patient], cases["site"].to_numpy()
    drawn_values, n_patients = np.empty((3, 81)), np.empty((2, 3))
    for g, s in enumerate("ABC"):
        own = site == s
        y, x = sample.positive[own], sample.score[own]
        for b in range(81):
            drawn_values[g, b] = roc_auc_score(y, x, sample_weight=weight[own, b])
        n_patients[:, g] = [len(np.unique(sample.patient[own][y == kind])) for kind in (1, 0)]
    value, replicates = drawn_values[:, 0], drawn_values[:, 1:]
    expected = worst_group(value, replicates, n_patients, seed=seed_of(3, "evaluate", "lesion"))
    bounds = simultaneous_bounds(value, replicates, n_patients)
    gap = row(found.gaps, metric="auroc")
    names = ("worst_corrected", "gap_corrected", "sd_corrected")
    assert [gap[n] for n in names] == pytest.approx([getattr(expected, n) for n in names], abs=1e-9)
    assert gap["worst_bound"] == pytest.approx(bounds.min(), abs=1e-9)
    p_worst = [row(found.metrics, group=s, metric="auroc")["p_worst"] for s in "ABC"]
    assert p_worst == pytest.approx(expected.probability.tolist(), abs=1e-12)


def test_a_small_group_is_never_the_worst_and_is_listed_with_its_reason(table, row):
    # The two positives of site C rank below everything: its AUROC would be 0.
    label = [1, 1, 0, 0, 0, 0, 0, 0] + [1, 0] * 20
    score = np.append([-9, -9, *range(6)], np.tile([2, 1, 3, 4], 10))
    scores = table(label, score)
    cases = scores[["case_id"]].assign(site=["C"] * 8 + ["A", "A", "B", "B"] * 10)
    found = evaluate_scores(scores, cases, by=["site"], settings=EvaluateSettings(n_boot=20))
    gap = row(found.gaps, metric="auroc")
    assert gap["worst_group"] == "B"
    assert gap["n_groups"] == 2
    assert gap["left_out"] == "C: 2 positive patients (fewer than 5)"


def test_without_any_usable_group_the_row_says_so(table, row):
    scores = table([1, 0] * 4, np.arange(8))
    cases = scores[["case_id"]].assign(sex=["F", "F", "M", "M"] * 2)
    found = evaluate_scores(scores, cases, by=["sex"], settings=EvaluateSettings(n_boot=20))
    gap = row(found.gaps, metric="auroc")
    assert gap["reason"] == "no group can be estimated"
    assert gap["left_out"].count("2 positive and 2 negative patients (fewer than 5)") == 2
    assert gap["worst_group"] is None or np.isnan(gap["worst_group"])


def test_overall_rows_have_no_gap(drawn):
    scores, cases = drawn()
    found = evaluate_scores(scores, cases, settings=EvaluateSettings(n_boot=20))
    assert found.gaps.empty
    assert "worst_group" in found.gaps
