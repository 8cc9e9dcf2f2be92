"""Curves, differences and trends, by hand, against scikit-learn, SciPy and a plain bootstrap."""

import re
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, recall_score, roc_auc_score, roc_curve

from segclf.study.science import crossed
from segclf.study.science.crossed import Crossed, Draws, interval, tail_of
from segclf.study.science.judge import curve, paired, row_of, trend
from segclf.study.weighted import weighted_aurocs

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


def recall_at(own, specificity):
    """The largest of a threshold whose specificity is at least the one asked for."""
    fpr, tpr, _ = roc_curve(own.label, own.score, drop_intermediate=False)
    return tpr[fpr <= 1 - specificity + 1e-9].max()


def of(scores, arm, seed):
    return scores[(scores["arm"] == arm) & (scores["seed"] == seed)]


@pytest.mark.parametrize(
    ("metric", "witness"),
    [
        ("auroc", lambda own: roc_auc_score(own.label, own.score)),
        ("average_precision", lambda own: average_precision_score(own.label, own.score)),
        ("recall", lambda own: recall_score(own.label, own.decision)),
        ("specificity", lambda own: recall_score(own.label, own.decision, pos_label=0)),
        ("recall_at_specificity", lambda own: recall_at(own, 0.9)),
    ],
)
def test_a_mean_over_trainings_is_that_of_scikit_learn(large, metric, witness):
    found = row_of(curve(large, metric), arm="a")
    each = [witness(of(large, "a", seed)) for seed in range(3)]
    assert list(found["each"].values()) == pytest.approx(each)
    assert found["value"] == pytest.approx(np.mean(each))
    assert found["lo"] < found["value"] < found["hi"]


def test_recall_at_a_specificity_is_read_among_the_negatives_of_the_group(large):
    scores = large.assign(group=np.where(large["patient_id"].str.len() == 2, "rare", "other"))
    found = row_of(curve(scores, "recall_at_specificity", group="rare"), arm="b")
    own = [part[part["group"] == "rare"] for part in (of(scores, "b", k) for k in range(3))]
    assert list(found["each"].values()) == pytest.approx([recall_at(part, 0.9) for part in own])
    every = row_of(curve(scores, "recall_at_specificity"), arm="b")
    assert found["n_negative"] < every["n_negative"]
    assert (
        row_of(curve(scores[scores["label"] == 1], "recall_at_specificity"), arm="b")["reason"]
        == "no negative test case"
    )


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
    return Crossed(value, {}, Draws(pd.Series(range(n)), weight, int(rng.integers(9**9))))


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


def two_alike(rng, *, is_folds, noise=0.3, n=200, n_seeds=5):
    """AUROC of two arms of one law: d' differs by training, and what is hard is shared."""
    label, fold = np.arange(n) % 2 == 1, np.arange(n) // 2 % n_seeds
    hard = 0.9 * rng.normal(size=n)
    weight = np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), 100)])
    value = np.empty((2, 101, n_seeds))
    for arm, k in np.ndindex(2, n_seeds):
        own = fold == k if is_folds else np.full(n, True)
        signal = 1.2 + noise * rng.normal()
        score = (signal * label + hard + 0.2 * rng.normal(size=n))[own]
        value[arm, :, k] = weighted_aurocs(score, label[own], weight[:, own])
    return Crossed(value, {}, Draws(pd.Series(range(n)), weight, int(rng.integers(9**9))))


def two_learned(rng, *, n=150, n_features=40, n_seeds=5):
    """AUROC of two arms, each a direction of features of its own: training sets of folds overlap.

    A t test over folds alone says p < 0.05 in a tenth.
    """
    label, fold = np.arange(n) % 2 == 1, np.arange(n) // 2 % n_seeds
    weight = np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), 100)])
    value = np.empty((2, 101, n_seeds))
    for arm in range(2):
        features = rng.normal(size=(n, n_features)) + 0.2 * label[:, None]
        for k in range(n_seeds):
            train, test = fold != k, fold == k
            up, down = (features[train & own].mean(axis=0) for own in (label, ~label))
            direction = up - down + 0.1 * rng.normal(size=n_features)
            value[arm, :, k] = weighted_aurocs(
                features[test] @ direction, label[test], weight[:, test]
            )
    return Crossed(value, {}, Draws(pd.Series(range(n)), weight, int(rng.integers(9**9))))


@pytest.mark.parametrize(
    "draw",
    [partial(two_alike, is_folds=False), partial(two_alike, is_folds=True), two_learned],
    ids=["one split", "folds", "learned in folds"],
)
def test_two_arms_of_one_law_seldom_differ_however_trainings_are_split(draw, monkeypatch):
    """By simulation: p < 0.05 comes in a third of repeats where folds are not drawn anew."""
    monkeypatch.setattr(crossed, "N_RESAMPLES", 100)
    rng = np.random.default_rng(0)
    shown, missed = [], []
    for _ in range(200):
        found = draw(rng)
        differences, freedom = np.subtract(*found.means()), found.freedom([1, -1])
        t = abs(differences[0]) / np.std(differences[1:], ddof=1)
        shown.append(2 * stats.t.sf(t, freedom) < 0.05)
        ends = interval(differences[1:], freedom)
        missed.append(not ends["lo"] <= 0 <= ends["hi"])
    assert np.mean(shown) <= 0.1
    assert np.mean(missed) <= 0.1


def folded(scores, n=3):
    """Each training on a part of the patients."""
    number = scores["patient_id"].str[1:].astype(int) % n
    return scores[number == scores["seed"]].assign(fold=lambda f: f["seed"])


def test_trainings_of_folds_are_scored_on_their_own_cases_and_drawn_anew(large):
    own = folded(large[large["arm"] == "a"])
    (found,) = curve(own, "auroc")
    each = [roc_auc_score(part.label, part.score) for _, part in own.groupby("seed")]
    assert list(found["each"].values()) == pytest.approx(each)
    assert (found["n_cases"], found["n_patients"]) == (120, 60)
    constant = own.assign(score=own["label"] + 10.0 * own["seed"])
    (same,) = curve(constant, "auroc")
    assert (same["lo"], same["hi"]) == (1, 1)
    sign = np.where(constant["seed"] == 0, -1, 1)
    (one_failed,) = curve(constant.assign(score=constant["score"] * sign), "auroc")
    assert one_failed["value"] == pytest.approx(2 / 3)  # whoever the patients are, 0, 1 and 1
    assert (one_failed["lo"], one_failed["hi"]) == (0, 1)


def test_a_fold_that_is_not_drawn_needs_no_value(large):
    value = np.ones((1, 401, 3))
    value[0, 1:, 2] = np.nan
    draws = Draws(pd.Series(range(9)), np.ones((401, 9)), 0)
    missing = np.isnan(Crossed(value, {}, draws).means()[0]).mean()
    assert missing == pytest.approx(1 - (2 / 3) ** 2, abs=0.08)  # two are drawn


@pytest.mark.parametrize("of_folds", [False, True])
def test_one_training_has_an_interval_of_patients_and_no_p_value(large, of_folds):
    own = (folded(large) if of_folds else large).query("seed == 0")
    (found,) = paired(own, "a", "b", "auroc")
    assert found["difference"]["lo"] > 0
    assert (found["p"], found["p_adjusted"]) == (None, None)
    assert found["p_reason"] == "one training: its noise is not known"


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
