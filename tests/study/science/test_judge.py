"""Curves, differences and trends, by hand, against scikit-learn, SciPy and a plain bootstrap."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, recall_score, roc_auc_score

from segclf.study.science import crossed
from segclf.study.science.crossed import Crossed, Draws, interval, tail_of
from segclf.study.science.judge import curve, paired, row_of, trend

LABEL = [1, 1, 0, 0]


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch):
    monkeypatch.setattr(crossed, "N_RESAMPLES", 400)


def rows(score, *, label=None, arm="a", seed=0, level="10", regime="r", **more):
    n = len(score)
    own = {
        "regime": regime, "level": level, "x": float(level), "arm": arm, "seed": seed,
        "fold": pd.array([more.pop("fold", None)] * n, dtype="Int64"),
        "case_id": [f"c{i}" for i in range(n)], "patient_id": [f"p{i}" for i in range(n)],
        "label": LABEL if label is None else label, "score": np.asarray(score, float),
        "decision": (np.asarray(score) > 2.5).astype(float), "spurious": np.nan, "group": pd.NA,
    }  # fmt: skip
    return pd.DataFrame(own | more)


def table(*parts):
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def large():
    """60 patients with two cases, three trainings, two arms that share what is hard."""
    rng = np.random.default_rng(3)
    label = np.repeat(rng.random(60) < 0.5, 2).astype(int)
    hard = rng.normal(size=120)
    patient = [f"p{i // 2}" for i in range(120)]
    return table(
        *(
            rows(
                (signal + 0.3 * rng.normal()) * label + hard + 0.5 * rng.normal(size=120),
                label=label, arm=arm, seed=seed, patient_id=patient,
            )
            for arm, signal in (("a", 2.2), ("b", 0.9))
            for seed in range(3)
        )
    )  # fmt: skip


def of(scores, arm, seed):
    return scores[(scores["arm"] == arm) & (scores["seed"] == seed)]


@pytest.mark.parametrize(
    ("metric", "witness"),
    [
        ("auroc", lambda own: roc_auc_score(own.label, own.score)),
        ("average_precision", lambda own: average_precision_score(own.label, own.score)),
        ("recall", lambda own: recall_score(own.label, own.decision)),
        ("specificity", lambda own: recall_score(own.label, own.decision, pos_label=0)),
    ],
)
def test_a_mean_over_trainings_is_that_of_scikit_learn(large, metric, witness):
    found = row_of(curve(large, metric), arm="a")
    each = [witness(of(large, "a", seed)) for seed in range(3)]
    assert list(found["each"].values()) == pytest.approx(each)
    assert found["value"] == pytest.approx(np.mean(each))
    assert found["lo"] < found["value"] < found["hi"]


def test_robust_auroc_is_of_positives_without_the_shortcut_and_negatives_with_it():
    scores = rows([3, 1, 2, 4, 9, 0], label=[1, 1, 0, 0, 1, 0], spurious=[0, 0, 1, 1, 1, 0])
    (found,) = curve(scores, "robust_auroc")
    assert found["value"] == pytest.approx(1 / 4)  # of 3 and 1 against 2 and 4, one pair is won
    assert (found["n_positive"], found["n_negative"]) == (2, 2)


def test_what_cannot_be_measured_is_missing_with_its_reason():
    scores = table(
        rows([3, 1], label=[1, 1], level="10"),
        rows([3, 1], label=[1, 0], level="20", spurious=[1.0, 1.0]),
        rows([np.nan, np.nan], label=[1, 0], level="30"),
    )
    none, once, empty = [row["reason"] for row in curve(scores, "auroc")]
    assert none == "no negative test case"
    share = re.fullmatch(r"undefined in (\d+) % of resamples", once)[1]
    assert int(share) == pytest.approx(50, abs=8)  # one patient of two is drawn twice
    assert empty == "no training has a value for such test cases"
    assert [row["value"] for row in curve(scores, "auroc")] == [None, 1.0, None]
    robust = curve(scores, "robust_auroc")[1]
    assert robust["reason"] == "no positive test case without the shortcut"


def test_a_metric_undefined_in_one_resample_of_forty_has_an_interval_still():
    values = np.r_[np.full(10, np.nan), np.linspace(0, 1, 390)]
    assert interval(values, 1e9)["lo"] == pytest.approx(0.025, abs=0.005)
    assert "reason" in interval(np.r_[np.nan, values], 1e9)


def test_a_case_set_aside_in_one_arm_is_set_aside_in_both():
    scores = table(rows([3, 1, 2, 0]), rows([1, np.nan, 2, 0], arm="b"))
    (found,) = paired(scores, "a", "b", "auroc")
    assert (found["n_cases"], found["n_set_aside"]) == (3, 1)
    assert found["value"] == 1.0  # of 3 against 2 and 0
    assert found["other_value"] == pytest.approx(1 / 2)
    assert found["relative"]["value"] == pytest.approx(100)


def test_arms_are_compared_on_the_trainings_that_both_have():
    best = [3, 4, 1, 2]
    scores = table(
        rows(best, seed=0), rows([1, 4, 2, 3], seed=1), rows(best, arm="b", seed=0),
        rows(np.full(4, np.nan), arm="b", seed=1),
    )  # fmt: skip
    (found,) = paired(scores, "a", "b", "auroc")
    assert found["seeds"] == [0]
    assert found["difference"]["value"] == 0
    assert row_of(curve(scores, "auroc"), arm="a")["value"] == pytest.approx(3 / 4)
    (none,) = paired(scores, "a", "c", "auroc")
    assert none["reason"] == "no training of both has a value"
    assert none["p_adjusted"] is None


def test_the_interval_is_that_of_a_plain_crossed_bootstrap(large, monkeypatch):
    monkeypatch.setattr(crossed, "N_RESAMPLES", 2000)
    (found,) = paired(large, "a", "b", "auroc")
    score = {arm: [of(large, arm, k).score.to_numpy() for k in range(3)] for arm in "ab"}
    label = of(large, "a", 0).label.to_numpy()
    rng = np.random.default_rng(0)
    witness = []
    for _ in range(150):
        patients, trainings = rng.integers(0, 60, 60), rng.integers(0, 3, 2)  # one less than 3
        cases = np.concatenate([2 * patients, 2 * patients + 1])
        a, b = (
            np.mean([roc_auc_score(label[cases], score[arm][k][cases]) for k in trainings])
            for arm in "ab"
        )
        witness.append((a - b, 100 * (a - b) / b))
    tail = stats.norm.cdf(stats.t.ppf(0.025, found["df"]))
    for key, column in (("difference", 0), ("relative", 1)):
        lo, hi = np.quantile(np.array(witness)[:, column], (tail, 1 - tail))
        assert found[key]["lo"] == pytest.approx(lo, abs=0.25 * (hi - lo))
        assert found[key]["hi"] == pytest.approx(hi, abs=0.25 * (hi - lo))
    error = np.std(witness, axis=0)[0]
    t = found["difference"]["value"] / error
    assert np.log(found["p"]) == pytest.approx(np.log(2 * stats.t.sf(t, found["df"])), rel=0.4)


def test_few_trainings_widen_the_tails_as_students_t_does():
    assert tail_of(4) == pytest.approx(stats.norm.cdf(stats.t.ppf(0.025, 4)))
    assert tail_of(1e9) == pytest.approx(0.025)


def drawn(rng, spread, n_seeds=5, n=60):
    """Two arms of one law: trainings differ by `spread`, and each has its own errors."""
    weight = np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), 400)])
    offset = spread * rng.normal(size=(2, 1, n_seeds))
    error = 0.1 * rng.normal(size=(2, n, n_seeds))
    value = offset + np.einsum("rn,ans->ars", weight / n, error)
    return Crossed(value, {}, False, Draws(pd.Series(range(n)), weight, int(rng.integers(9**9))))


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.2])
def test_intervals_hold_the_truth_however_much_trainings_differ(spread):
    """By simulation, with five trainings.

    Where trainings alone count, an interval ends at the smallest and the largest of five, between
    which the truth lies in 1 - 2 / 2^5 = 94 %; five drawn and tails of 2.5 % hold it in 83 %.
    """
    rng = np.random.default_rng(0)
    held = []
    for _ in range(200):
        found = drawn(rng, spread)
        means = found.means()
        ends = interval((means[0] - means[1])[1:], found.freedom([1, -1]))
        held.append(ends["lo"] <= 0 <= ends["hi"])
    assert np.mean(held) >= stats.binom.ppf(0.01, 200, 15 / 16) / 200


def test_trainings_of_folds_are_scored_on_their_own_cases_and_not_drawn_anew(large):
    folded = large[large["arm"] == "a"].copy()
    number = folded["patient_id"].str[1:].astype(int) % 3
    folded = folded[number == folded["seed"]].assign(fold=lambda f: f["seed"])
    (found,) = curve(folded, "auroc")
    each = [roc_auc_score(own.label, own.score) for _, own in folded.groupby("seed")]
    assert list(found["each"].values()) == pytest.approx(each)
    assert (found["n_cases"], found["n_patients"]) == (120, 60)
    constant = folded.assign(score=folded["label"] + 10.0 * folded["seed"])
    (same,) = curve(constant, "auroc")
    assert (same["lo"], same["hi"]) == (1, 1)


def test_p_values_pay_for_all_levels_of_a_study(large):
    scores = table(*(large.assign(level=str(x), x=x) for x in (1.0, 2.0, 3.0)))
    scores.loc[(scores["level"] == "2.0") & (scores["arm"] == "a"), "score"] *= -1
    found = paired(scores, "a", "b", "auroc")
    p = np.array([row["p"] for row in found])
    ranked = np.sort(p)
    by_hand = np.maximum.accumulate(np.minimum(ranked * [3, 2, 1], 1))[np.argsort(np.argsort(p))]
    assert [row["p_adjusted"] for row in found] == pytest.approx(by_hand)
    assert found[0]["difference"]["value"] > 0 > found[1]["difference"]["value"]


def test_a_group_is_judged_alone_and_a_zero_makes_a_gain_endless():
    label = [1] * 30 + [0] * 10
    group = ["rare"] * 20 + ["other"] * 20
    scores = table(
        rows(np.full(40, 3.0), label=label, group=group),
        rows([3.0] + [0.0] * 39, label=label, group=group, arm="b"),
    )
    (found,) = paired(scores, "a", "b", "recall", group="rare")
    assert (found["value"], found["other_value"]) == (1.0, pytest.approx(1 / 20))
    assert found["relative"]["value"] == pytest.approx(1900)
    assert found["relative"]["hi"] is None  # the one case is missing in 1/e of the resamples
    assert found["relative"]["reason"].startswith("no upper end")
    zero = scores.assign(decision=lambda s: s["decision"].where(s["arm"] == "a", 0.0))
    (none,) = paired(zero, "a", "b", "recall", group="rare")
    assert none["relative"]["reason"] == "the other's value is 0"


def test_a_trend_rises_only_if_every_step_does(large):
    middle = large[large["arm"] == "b"].assign(arm="m", score=lambda s: s["score"] + 0.45 * s.label)
    scores = table(large, middle)
    (up,) = trend(scores, ["b", "m", "a"], "auroc")
    pair = row_of(paired(scores, "m", "b", "auroc"), level="10")
    assert up["steps"][0]["difference"] == pair["difference"]
    assert up["is_rising"]
    (down,) = trend(scores, ["b", "a", "m"], "auroc")
    assert down["is_rising"] is False
    (none,) = trend(scores, ["b", "x", "a"], "auroc")
    assert none["is_rising"] is None


def test_a_case_that_comes_twice_is_refused():
    with pytest.raises(ValueError, match="4 cases come twice"):
        curve(table(rows([1, 2, 3, 4]), rows([1, 2, 3, 4])), "auroc")
    with pytest.raises(ValueError, match="two labels or patients"):
        paired(
            table(rows([1, 2, 3, 4]), rows([1, 2, 3, 4], arm="b", label=[0, 1, 1, 0])),
            "a", "b", "auroc",
        )  # fmt: skip
