"""Intervals of rows, through `evaluate_scores`: against statsmodels, SciPy, published numbers."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from segclf.core.settings import EvaluateSettings
from segclf.evaluate import evaluate_scores

FAST = EvaluateSettings(n_boot=50)
TABLE = Path(__file__).parents[1] / "reference" / "delong1988.csv"


@pytest.fixture
def singles(drawn):
    """One image per patient; 300 of them."""
    scores, cases = drawn(n=300)
    return scores.assign(patient_id=scores["case_id"].str.replace("c", "p")), cases


def delong_by_hand(label, score):
    """AUROC and DeLong's variance, from all pairs."""
    positive, negative = score[label == 1], score[label == 0]
    won = (positive[:, None] > negative) + (positive[:, None] == negative) / 2
    parts = [won.mean(axis=1 - k).var(ddof=1) / won.shape[k] for k in (0, 1)]
    return won.mean(), sum(parts)


def informative(label, score):
    """Equal pulls with the same ratio of squared sum of squares to sum of fourth powers."""
    positive, negative = score[label == 1], score[label == 0]
    won = (positive[:, None] > negative) + (positive[:, None] == negative) / 2
    pulls = [(won.mean(axis=1 - k) - won.mean()) / won.shape[k] for k in (0, 1)]
    squared = np.concatenate(pulls) ** 2
    return squared.sum() ** 2 / (squared**2).sum()


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("sensitivity", lambda y, d: (((y == 1) & (d == 1)).sum(), (y == 1).sum())),
        ("specificity", lambda y, d: (((y == 0) & (d == 0)).sum(), (y == 0).sum())),
        ("ppv", lambda y, d: (((y == 1) & (d == 1)).sum(), (d == 1).sum())),
        ("npv", lambda y, d: (((y == 0) & (d == 0)).sum(), (d == 0).sum())),
    ],
)
@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_shares_of_single_images_have_wilsons_interval(singles, row, name, counts, confidence):
    scores, cases = singles
    settings = EvaluateSettings(n_boot=50, confidence=confidence)
    found = evaluate_scores(scores, cases, by=["site"], settings=settings).metrics
    for group in ("all", "A", "B", "C"):
        own = (cases["site"] == group) | (group == "all")
        hits, n = counts(scores["label"][own], scores["decision"][own])
        expected = proportion_confint(hits, n, alpha=1 - confidence, method="wilson")
        one = row(found, group=group, metric=name)
        assert [one["lo"], one["hi"]] == pytest.approx(list(expected), abs=1e-12)
        assert one["interval"] == "Wilson on effective n"
        assert one["design_effect"] == 1.0


def test_images_of_a_patient_that_are_all_alike_count_once(table, row):
    # 40 patients with 5 images each, all decided alike: as many shares as patients.
    rng = np.random.default_rng(0)
    label, right = np.repeat(rng.integers(0, 2, 40), 5), np.repeat(rng.random(40) < 0.8, 5)
    score = np.where(right, label, 1 - label) + 0.0
    scores = table(label, score, patient_id=[f"p{i // 5}" for i in range(200)])
    found = evaluate_scores(scores, scores[["case_id"]], settings=FAST).metrics
    sensitivity = row(found, metric="sensitivity")
    is_positive = label[::5] == 1
    hits, n = right[::5][is_positive].sum(), is_positive.sum()
    expected = proportion_confint(hits, n, method="wilson")
    assert [sensitivity["lo"], sensitivity["hi"]] == pytest.approx(list(expected), abs=0.02)
    assert sensitivity["design_effect"] == pytest.approx(5, rel=0.1)
    as_images = proportion_confint(5 * hits, 5 * n, method="wilson")
    assert sensitivity["hi"] - sensitivity["lo"] > 1.8 * (as_images[1] - as_images[0])


def test_an_auroc_of_single_images_has_delongs_variance_on_the_logit_scale(singles, row):
    scores, cases = singles
    one = row(evaluate_scores(scores, cases, settings=FAST).metrics, metric="auroc")
    label, score = scores["label"].to_numpy(), scores["score"].to_numpy()
    auroc, variance = delong_by_hand(label, score)
    reach = stats.t(2 * informative(label, score)).ppf(0.975) * np.sqrt(variance)
    half = reach / (auroc * (1 - auroc))
    logit = np.log(auroc / (1 - auroc))
    expected = 1 / (1 + np.exp(-(logit + np.array([-half, half]))))
    assert one["interval"] == "clustered DeLong, logit"
    assert [one["lo"], one["hi"]] == pytest.approx(expected.tolist(), abs=1e-10)
    assert one["design_effect"] == pytest.approx(1.0)
    normal = stats.norm.ppf(0.975) * np.sqrt(variance)  # Student's t is a little wider
    assert 2 * normal < one["hi"] - one["lo"] < 2.1 * normal


def test_an_auroc_of_few_patients_has_newcombes_interval(drawn, row):
    scores, cases = drawn(n=60)
    scores = scores.assign(patient_id=scores["case_id"].str.replace("c", "p"))
    one = row(evaluate_scores(scores, cases, settings=FAST).metrics, metric="auroc")
    assert one["interval"] == "Newcombe 5 on effective n"
    assert one["n_positive"] == one["n_positive_patients"] < 25
    auroc, m, n = one["estimate"], one["n_positive"], one["n_negative"]
    mean = (m + n) / 2 - 1
    # The plain variance is all there is: with one image per patient the design effect is 1.
    for t in (one["lo"], one["hi"]):
        spread = t * (1 - t) * (1 + mean * (1 - t) / (2 - t) + mean * t / (1 + t)) / (m * n)
        z = abs(auroc - t) / np.sqrt(spread)
        assert z == pytest.approx(stats.norm.ppf(0.975), rel=0.03)


def test_folds_are_strata_of_the_formula_too(drawn, row):
    # The mean over folds of independent AUROCs: a third of the root of the summed variances.
    scores, cases = drawn(n=300)
    fold = np.arange(300) % 3
    owner = scores["case_id"].str.replace("c", "p")
    scores = scores.assign(patient_id=owner, fold=pd.array(fold, dtype="Int64"))
    delong = EvaluateSettings(n_boot=50, interval="delong")
    one = row(evaluate_scores(scores, cases, settings=delong).metrics, metric="auroc")
    label, score = scores["label"].to_numpy(), scores["score"].to_numpy()
    parts = [delong_by_hand(label[fold == f], score[fold == f]) for f in range(3)]
    mean, error = np.mean([a for a, _ in parts]), np.sqrt(sum(v for _, v in parts)) / 3
    half = stats.norm.ppf(0.975) * error
    assert [one["lo"], one["hi"]] == pytest.approx([mean - half, mean + half], abs=1e-12)


def test_copies_shrink_the_interval_of_delong_and_leave_the_clustered_one(singles, row):
    scores, _ = singles
    copies = pd.concat([scores.assign(case_id=f"{k} " + scores["case_id"]) for k in "abc"])
    width = {}
    for interval in ("auto", "delong"):
        settings = EvaluateSettings(n_boot=50, interval=interval)
        for name, part in (("once", scores), ("copies", copies)):
            found = evaluate_scores(part, part[["case_id"]], settings=settings).metrics
            one = row(found, metric="auroc")
            width[interval, name] = one["hi"] - one["lo"]
            assert (
                one["interval"]
                == {
                    "auto": "clustered DeLong, logit",
                    "delong": "DeLong, cases as independent",
                }[interval]
            )
    assert width["auto", "copies"] == pytest.approx(width["auto", "once"], abs=1e-12)
    ratio = width["delong", "copies"] / width["delong", "once"]
    assert ratio == pytest.approx(1 / np.sqrt(3), rel=0.01)


def test_the_published_intervals_of_delong_1988_come_out_of_the_public_function(table, row):
    with TABLE.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    label = [int(r["popind"] == "1") for r in rows]
    columns = {
        "ALB": ([float(r["alb"]) for r in rows], 0.7366, 0.5549, 0.9182),
        "TP": ([float(r["tp"]) for r in rows], 0.6478, 0.4518, 0.8439),
        "KG": ([10 - float(r["totscore"]) for r in rows], 0.7258, 0.5243, 0.9273),
    }
    scores = pd.concat([table(label, c[0], method=name) for name, c in columns.items()])
    settings = EvaluateSettings(n_boot=50, interval="delong")
    found = evaluate_scores(scores, scores[["case_id"]].drop_duplicates(), settings=settings)
    for name, (_, auroc, lo, hi) in columns.items():
        one = row(found.metrics, method=name, metric="auroc")
        assert [one["estimate"], one["lo"], one["hi"]] == pytest.approx([auroc, lo, hi], abs=5e-5)


def auroc_of(label, score):
    return (score[label == 1][:, None] > score[label == 0]).mean()


def f1_of(label, score):
    called = score > 0.5
    return 2 * (called & (label == 1)).sum() / (called.sum() + (label == 1).sum())


@pytest.mark.parametrize(("name", "function"), [("auroc", auroc_of), ("f1", f1_of)])
def test_a_bca_interval_is_close_to_that_of_scipy(singles, row, name, function):
    # SciPy draws cases without keeping the classes' numbers, so it is a little wider.
    scores, cases = singles
    settings = EvaluateSettings(n_boot=3000, interval="bca")
    one = row(evaluate_scores(scores, cases, settings=settings).metrics, metric=name)
    label, score = scores["label"].to_numpy(), scores["score"].to_numpy()
    expected = stats.bootstrap(
        (label, score),
        function,
        paired=True,
        vectorized=False,
        n_resamples=4000,
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert one["interval"] == "BCa, patient bootstrap"
    assert [one["lo"], one["hi"]] == pytest.approx([expected.low, expected.high], abs=0.015)
    percentile = EvaluateSettings(n_boot=3000, interval="percentile")
    other = row(evaluate_scores(scores, cases, settings=percentile).metrics, metric=name)
    assert other["interval"] == "percentile, patient bootstrap"
    assert 1e-5 < abs(other["lo"] - one["lo"]) < 0.015


def test_bca_of_a_metric_that_moves_with_prevalence_centres_classes_apart(table, row):
    # Without a positive F1 is lower on average, without a negative higher: classes are resampled
    # apart, so only differences inside a class are skewness. As one sample: 0.394 to 0.606.
    rng = np.random.default_rng(8)
    label = np.repeat([1, 0], [25, 150])
    scores = table(label, rng.normal(size=175) + label, threshold=0.8)
    settings = EvaluateSettings(n_boot=20000, interval="bca")
    cases = scores[["case_id"]]
    found = evaluate_scores(scores, cases, metrics=["f1"], settings=settings).metrics
    one = row(found, metric="f1")
    decision = scores["decision"].to_numpy()

    def f1(positive, negative, axis=-1):
        right, wrong = positive.sum(axis=axis), negative.sum(axis=axis)
        return 2 * right / (right + wrong + 25)

    parts, rng = (decision[:25], decision[25:]), np.random.default_rng(0)
    expected = stats.bootstrap(parts, f1, n_resamples=20000, method="BCa", rng=rng)
    limits = expected.confidence_interval
    assert [one["lo"], one["hi"]] == pytest.approx([limits.low, limits.high], abs=0.006)


def test_seeds_that_call_different_numbers_of_cases_weigh_the_same(table, row):
    # Seed 0 calls 10 cases and has 9 right, seed 1 calls 100 and has 40 right: PPV is 0.65, with
    # the interval of 65 % of (10 + 100) / 2 cases.
    label = np.repeat([1, 0], [60, 140])
    called = np.zeros((2, 200))
    called[0, [*range(9), 60]] = 1
    called[1, [*range(40), *range(80, 140)]] = 1
    parts = [table(label, called[k], seed=pd.array([k] * 200, dtype="Int64")) for k in (0, 1)]
    scores = pd.concat(parts)
    cases = scores[["case_id"]].drop_duplicates()
    one = row(evaluate_scores(scores, cases, settings=FAST).metrics, metric="ppv")
    assert one["estimate"] == pytest.approx(0.65)
    expected = proportion_confint(0.65 * 55, 55, method="wilson")
    assert [one["lo"], one["hi"]] == pytest.approx(list(expected), abs=1e-9)
    assert one["design_effect"] == pytest.approx(1.0)
