"""Two methods on the same cases, through `evaluate_scores`."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import brier_score_loss, roc_auc_score

from segclf.core.settings import EvaluateSettings
from segclf.evaluate import evaluate_scores

FAST = EvaluateSettings(n_boot=200)
TABLE = Path(__file__).parents[1] / "reference" / "delong1988.csv"


def draw_pair(table, n=200, seed=0, **columns):
    """Two methods of unlike quality on the same cases, one image per patient."""
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.4).astype(int)
    shared = rng.normal(size=n)
    parts = []
    for method, effect in (("a", 1.5), ("b", 0.8)):
        score = shared + rng.normal(size=n) * 0.7 + effect * label
        parts.append(table(label, score, method=method, **columns))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def pair(table):
    return draw_pair(table)


def compare(scores, settings=FAST, cases=None, **options):
    cases = scores[["case_id"]].drop_duplicates() if cases is None else cases
    return evaluate_scores(scores, cases, settings=settings, **options).comparisons


def placements(label, score):
    positive, negative = score[label == 1], score[label == 0]
    won = (positive[:, None] > negative) + (positive[:, None] == negative) / 2
    return won.mean(), won.mean(axis=1), won.mean(axis=0)


def paired_by_hand(label, one, two):
    """DeLong's difference and its standard error, from the placement values of both methods."""
    (a, a10, a01), (b, b10, b01) = placements(label, one), placements(label, two)
    d10, d01 = a10 - b10, a01 - b01
    return a - b, np.sqrt(d10.var(ddof=1) / len(d10) + d01.var(ddof=1) / len(d01))


def test_two_aurocs_of_single_images_are_compared_by_delongs_statistic(pair, row):
    found = row(compare(pair), metric="auroc", kind="methods")
    a, b = (part.sort_values("case_id") for _, part in pair.groupby("method"))
    label = a["label"].to_numpy()
    difference, se = paired_by_hand(label, a["score"].to_numpy(), b["score"].to_numpy())
    # Student's t instead of Z: the positives less one are the degrees of freedom.
    t = stats.t(min(label.sum(), (1 - label).sum()) - 1)
    assert (found["first"], found["second"]) == ("a", "b")
    assert found["difference"] == pytest.approx(difference, abs=1e-14)
    assert found["p"] == pytest.approx(2 * t.sf(abs(difference) / se), rel=1e-9)
    reach = t.ppf(0.975) * se
    limits = [difference - reach, difference + reach]
    assert [found["lo"], found["hi"]] == pytest.approx(limits, abs=1e-12)
    assert (found["test"], found["interval"]) == ("clustered DeLong, paired",) * 2
    assert found["estimate_first"] == pytest.approx(roc_auc_score(label, a["score"]))
    assert found["estimate_second"] == pytest.approx(roc_auc_score(label, b["score"]))
    assert found["n_cases"] == 200


def test_the_contrasts_of_delong_1988_come_out_of_the_public_function(table, row):
    # The published table; judged by Student's t, with the smaller class less one as its degrees of
    # freedom, instead of by Z.
    with TABLE.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    label = np.array([int(r["popind"] == "1") for r in rows])
    columns = {
        "ALB": np.array([float(r["alb"]) for r in rows]),
        "KG": np.array([10 - float(r["totscore"]) for r in rows]),
        "TP": np.array([float(r["tp"]) for r in rows]),
    }
    scores = pd.concat([table(label, c, method=name) for name, c in columns.items()])
    found = compare(scores)
    for first, second in (("ALB", "KG"), ("ALB", "TP"), ("KG", "TP")):
        one = row(found, metric="auroc", first=first, second=second)
        difference, se = paired_by_hand(label, columns[first], columns[second])
        t = stats.t(min(label.sum(), (1 - label).sum()) - 1)
        assert one["difference"] == pytest.approx(difference, abs=1e-14)
        assert one["p"] == pytest.approx(2 * t.sf(abs(difference) / se), rel=1e-9)
    assert row(found, metric="auroc", second="KG")["difference"] == pytest.approx(
        0.7366 - 0.7258, abs=1e-4
    )


def test_copies_of_images_are_no_evidence_for_a_difference(pair, row):
    copies = pd.concat([pair.assign(case_id=f"{k} " + pair["case_id"]) for k in "abc"])
    once, many = (row(compare(part), metric="auroc") for part in (pair, copies))
    for name in ("difference", "lo", "hi", "p"):
        assert many[name] == pytest.approx(once[name], abs=1e-12)
    assert (many["n_cases"], many["n_patients"]) == (600, 200)


@pytest.mark.parametrize(("name", "label"), [("sensitivity", 1), ("specificity", 0)])
def test_decisions_on_single_images_are_compared_by_the_binomial_test(pair, row, name, label):
    found = row(compare(pair), metric=name, kind="methods")
    a, b = (part.sort_values("case_id") for _, part in pair.groupby("method"))
    own = a["label"].to_numpy() == label
    right = [(part["decision"].to_numpy() == label)[own] for part in (a, b)]
    only_a, only_b = (right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum()
    assert found["p"] == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue)
    assert found["difference"] == pytest.approx(right[0].mean() - right[1].mean())
    assert found["test"] == "McNemar, exact over patients"
    assert only_a > 0
    assert only_b > 0


def test_methods_that_scored_different_cases_are_compared_on_common_ones(pair, row):
    keep = ~((pair["method"] == "b") & (pair["case_id"] < "c0030"))
    keep &= ~((pair["method"] == "a") & (pair["case_id"] >= "c0190"))
    common = pair.loc[(pair["case_id"] >= "c0030") & (pair["case_id"] < "c0190")]
    found, expected = compare(pair.loc[keep]), compare(common)
    for name in ("auroc", "sensitivity", "specificity"):
        one, two = (row(part, metric=name) for part in (found, expected))
        assert one["difference"] == pytest.approx(two["difference"], abs=1e-14)
        assert one["p"] == pytest.approx(two["p"], abs=1e-12)
        assert (one["n_cases"], one["n_patients"]) == (160, 160)
        assert one["reason"].startswith("40 cases of which only one method has a ")
    # The row of each method is still over all cases that it scored.
    metrics = evaluate_scores(pair.loc[keep], pair[["case_id"]].drop_duplicates(), settings=FAST)
    assert row(metrics.metrics, method="a", metric="auroc")["n_cases"] == 190


@pytest.mark.parametrize("interval", ["auto", "percentile", "delong"])
def test_identical_methods_have_difference_0_and_p_1(pair, interval):
    one = pair.loc[pair["method"] == "a"].assign(probability=0.5)
    scores = pd.concat([one, one.assign(method="again")])
    found = compare(scores, EvaluateSettings(n_boot=50, interval=interval))
    assert {"auroc", "sensitivity", "brier", "net_benefit@0.1"} <= set(found["metric"])
    assert (found["difference"] == 0).all()
    assert (found["p"] == 1).all()
    assert (found["p_adjusted"] == 1).all()
    assert set(found["verdict"]) == {"inconclusive"}


def test_swapping_the_methods_turns_the_sign(pair, row):
    turned = pair.assign(method=pair["method"].map({"a": "z", "b": "b"}))
    one, two = row(compare(pair), metric="auroc"), row(compare(turned), metric="auroc")
    assert (two["first"], two["second"]) == ("b", "z")
    assert two["difference"] == -one["difference"]
    assert (two["lo"], two["hi"]) == pytest.approx((-one["hi"], -one["lo"]), abs=1e-12)
    assert two["p"] == pytest.approx(one["p"], rel=1e-9)


def test_less_is_better_is_heeded_in_the_verdict(pair, row):
    label = pair["label"].to_numpy()
    poor = np.where(label == 1, 0.45, 0.55)
    probability = np.where(pair["method"] == "a", np.where(label == 1, 0.9, 0.1), poor)
    found = row(compare(pair.assign(probability=probability)), metric="brier")
    expected = [
        brier_score_loss(label[pair["method"] == m], probability[pair["method"] == m]) for m in "ab"
    ]
    assert found["difference"] == pytest.approx(expected[0] - expected[1])
    assert found["difference"] < 0
    # Every case of a class has the same error, so only the drawn numbers of classes vary: none.
    assert found["reason"] == "the difference has a variance of 0, so it cannot be judged"
    noise = np.random.default_rng(0).uniform(-0.05, 0.05, len(pair))
    found = row(compare(pair.assign(probability=probability + noise)), metric="brier")
    assert found["verdict"] == "better"
    assert found["test"] == "joint bootstrap"


def test_several_seeds_are_averaged_and_their_spread_shown(table, row):
    rng = np.random.default_rng(3)
    base, runs = draw_pair(table, n=300), []
    for seed in range(3):
        noisy = base["score"] + rng.normal(size=len(base)) * 0.5
        decided = (noisy > 0.5).astype(float)
        runs.append(
            base.assign(score=noisy, decision_value=noisy, decision=decided).assign(
                seed=pd.array([seed] * len(base), dtype="Int64")
            )
        )
    scores = pd.concat(runs, ignore_index=True)
    found = row(compare(scores), metric="auroc")
    by_seed = {
        m: [
            roc_auc_score(p["label"], p["score"])
            for _, p in scores.loc[scores["method"] == m].groupby("seed")
        ]
        for m in "ab"
    }
    expected = np.mean(by_seed["a"]) - np.mean(by_seed["b"])
    assert found["difference"] == pytest.approx(expected, abs=1e-12)
    assert found["n_seeds"] == 3
    for name, m in (("seed_sd_first", "a"), ("seed_sd_second", "b")):
        assert found[name] == pytest.approx(np.std(by_seed[m], ddof=1), abs=1e-12)
    assert found["test"] == "patients and seeds resampled"
    assert found["lo"] < expected < found["hi"]
    # One seed alone says nothing of the spread over trainings, so its interval is narrower here.
    alone = row(compare(runs[0].assign(seed=pd.NA)), metric="auroc")
    assert alone["test"] == "clustered DeLong, paired"
    assert np.isnan(alone["seed_sd_first"])


def test_groups_are_compared_between_methods_too(pair, row):
    cases = pair[["case_id"]].drop_duplicates()
    cases = cases.assign(sex=np.where(np.arange(len(cases)) % 2, "M", "F"))
    found = compare(pair, cases=cases, by=["sex"])
    own = pair.merge(cases, on="case_id").query("sex == 'F'")
    a, b = (part.sort_values("case_id") for _, part in own.groupby("method"))
    one = row(found, kind="methods", metric="auroc", group="F")
    difference, se = paired_by_hand(
        a["label"].to_numpy(), a["score"].to_numpy(), b["score"].to_numpy()
    )
    df = min((a["label"] == 1).sum(), (a["label"] == 0).sum()) - 1
    assert one["difference"] == pytest.approx(difference, abs=1e-12)
    assert one["p"] == pytest.approx(2 * stats.t(df).sf(abs(difference) / se), rel=1e-9)


def test_few_patients_of_a_class_have_no_comparison_and_say_so(table, row):
    scores = draw_pair(table, n=30)
    keep = (scores["label"] == 0) | (scores.groupby(["method", "label"]).cumcount() < 3)
    found = row(compare(scores.loc[keep]), metric="auroc")
    assert np.isnan([found["difference"], found["p"], found["p_adjusted"]]).all()
    assert found["reason"] == "fewer than 5 patients of a class have both methods"


def test_relative_improvement_of_robust_auroc_is_between_methods(pair, row):
    cases = pair[["case_id"]].drop_duplicates()
    tube = np.random.default_rng(1).integers(0, 2, len(cases))
    found = compare(pair, cases=cases.assign(tube=tube), shortcut="tube")
    one = row(found, kind="relative improvement")
    values = {}
    for m, part in pair.merge(cases.assign(tube=tube), on="case_id").groupby("method"):
        kept = part.loc[part["label"] != part["tube"]]
        values[m] = roc_auc_score(kept["label"], kept["score"])
    assert (one["first"], one["second"]) == ("b", "a")
    assert one["difference"] == pytest.approx(values["b"] / values["a"] - 1, abs=1e-12)
    assert one["lo"] < one["difference"] < one["hi"]
    robust = row(found, kind="methods", group="robust", metric="auroc")
    assert robust["difference"] == pytest.approx(values["a"] - values["b"], abs=1e-12)


def test_cases_that_one_method_left_undecided_or_unsure_count_for_neither(pair, row):
    # b decides, and gives a probability, for the easy half only: it would look better than it is.
    hard = (pair["method"] == "b") & (np.abs(pair["score"] - pair["score"].median()) < 0.5)
    sure = pair.assign(probability=1 / (1 + np.exp(-pair["score"])))
    partial = sure.assign(
        decision=sure["decision"].mask(hard), probability=sure["probability"].mask(hard)
    )
    common = sure.loc[~sure["case_id"].isin(pair.loc[hard, "case_id"])]
    found, expected = compare(partial), compare(common)
    for name in ("sensitivity", "specificity", "brier"):
        one, two = (row(part, metric=name) for part in (found, expected))
        assert one["difference"] == pytest.approx(two["difference"], abs=1e-14)
        assert one["n_cases"] == two["n_cases"] == len(common) // 2
        assert f"{hard.sum()} cases of which only one method has a " in one["reason"]
    assert row(found, metric="auroc")["n_cases"] == len(pair) // 2


def test_a_perfect_and_an_inverted_method_differ_although_neither_has_a_variance(table, row):
    label = np.tile([1.0, 0, 0], 20)
    one = table(label, label, method="a")
    both = pd.concat([one, table(label, 1 - label, method="b")], ignore_index=True)
    found = row(compare(both), metric="auroc")
    assert found["difference"] == 1.0
    assert found["interval"] == "MOVER of both intervals"
    assert 0 < found["p"] < 1e-6
    assert 0.5 < found["lo"] < found["hi"] <= 1.0


def test_methods_that_share_all_scores_of_every_seed_do_not_differ(table, row):
    runs = [draw_pair(table, n=60, seed=k) for k in range(3)]
    labels = runs[0]["label"]
    runs = [run.loc[run["method"] == "a"].assign(label=labels) for run in runs]
    runs = [run.assign(seed=pd.array([k] * len(run), dtype="Int64")) for k, run in enumerate(runs)]
    one = pd.concat(runs, ignore_index=True)
    found = row(compare(pd.concat([one, one.assign(method="again")])), metric="auroc")
    assert (found["difference"], found["p"]) == (0.0, 1.0)
    assert np.isnan([found["lo"], found["hi"]]).all()
    assert found["reason"] == "no difference in any case"


def test_the_interval_of_a_difference_of_fractions_ends_at_1(table, row):
    label = np.tile([1.0, 0, 0], 12)
    rng, runs = np.random.default_rng(2), []
    for seed in range(2):
        good, poor = label + 0.1 * rng.normal(size=36), -label * seed + 0.5 * rng.normal(size=36)
        both = [table(label, good, method="a"), table(label, poor, method="b")]
        runs.append(pd.concat(both).assign(seed=pd.array([seed] * 72, dtype="Int64")))
    found = row(compare(pd.concat(runs, ignore_index=True)), metric="auroc")
    assert -1 <= found["lo"] < found["difference"] < found["hi"] == 1.0
