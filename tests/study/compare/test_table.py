"""Numbers of the table against scikit-learn, statsmodels and brute force."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, recall_score, roc_auc_score
from statsmodels.stats.multitest import multipletests

from segclf.core.config import make_recipe
from segclf.core.maskstats import MaskStatistics
from segclf.evaluate import overlap_rows
from segclf.study.compare.methods import references
from segclf.study.compare.numbers import unscored
from segclf.study.compare.table import (
    differences,
    evaluate_methods,
    finding_tables,
    flat_row,
    joined_seeds,
)

METHODS = {"tau": 1.6, "mean": 1.3, "softmax": 0.7}
N_PATIENTS, SEEDS = 60, (0, 1, 2)


def drawn_scores():
    """Two cases per patient, two folds, three seeds whose scores differ."""
    rng = np.random.default_rng(3)
    patient = np.arange(2 * N_PATIENTS) // 2
    label = (patient % 2).astype(float)
    own = rng.standard_normal(len(patient)) * 0.6
    tables = []
    for method, signal in METHODS.items():
        for seed in SEEDS:
            noise = rng.standard_normal(len(patient))
            score = (signal + 0.3 * seed) * label + own + noise
            tables.append(
                pd.DataFrame(
                    {
                        "case_id": [f"c{i}" for i in range(len(patient))],
                        "finding": "lesion",
                        "method": method,
                        "score": score,
                        "decision_value": score,
                        "threshold": 0.5,
                        "decision": (score > 0.5).astype(float),
                        "probability": np.nan,
                        "split": "test",
                        "fold": pd.array(patient // 2 % 2, dtype="Int64"),
                        "seed": seed,
                        "patient_id": [f"p{i}" for i in patient],
                        "label": label,
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def judged():
    scores = drawn_scores()
    cases = scores.drop_duplicates("case_id").reset_index(drop=True)[["case_id"]]
    number = cases["case_id"].str[1:].astype(int)
    cases = cases.assign(
        sex=np.where(number // 4 % 2, "F", "M"), tube=(number // 2 % 2) ^ (number // 8 % 3 == 0)
    )
    recipe = make_recipe(
        {
            "manifest": "m.csv",
            "evaluate": {
                "by": ["sex"], "shortcut": "tube", "n_boot": 2000, "margins": {"auroc": 0.05},
            },
        },
        where="test",
    )  # fmt: skip
    nothing = pd.DataFrame({"case_id": pd.Series(dtype="str")})
    evaluation = evaluate_methods(scores, cases, recipe, sizes=nothing, roles={})
    (found,) = finding_tables(evaluation, list(METHODS), ["none", "softmax"], confidence=0.95)
    return scores, cases, found


def mean_over(scores, method, value):
    """The mean over seeds of the mean over folds."""
    own = scores[scores["method"] == method]
    by_seed = [
        np.mean([value(fold) for _, fold in seed.groupby("fold")])
        for _, seed in own.groupby("seed")
    ]
    return np.mean(by_seed), by_seed


def auroc(rows):
    return roc_auc_score(rows["label"], rows["score"])


def test_rows_hold_what_scikit_learn_gives_on_the_score_tables(judged):
    scores, _, found = judged
    for method in METHODS:
        row = flat_row(method, found, [])
        value, by_seed = mean_over(scores, method, auroc)
        assert row["auroc"] == pytest.approx(value)
        ends = (row["auroc_seed_min"], row["auroc_seed_max"])
        assert ends == pytest.approx((min(by_seed), max(by_seed)))
        precision, _ = mean_over(
            scores, method, lambda rows: average_precision_score(rows["label"], rows["score"])
        )
        assert row["average_precision"] == pytest.approx(precision)
        own = scores[scores["method"] == method]
        recall = [recall_score(s["label"], s["decision"]) for _, s in own.groupby("seed")]
        assert row["sensitivity"] == pytest.approx(np.mean(recall))
        recall = [
            recall_score(s["label"], s["decision"], pos_label=0) for _, s in own.groupby("seed")
        ]
        assert row["specificity"] == pytest.approx(np.mean(recall))
        assert (row["n_cases"], row["n_patients"], row["n_seeds"]) == (120, 60, 3)


def test_robust_auroc_and_worst_group_are_those_of_the_cases_in_question(judged):
    scores, cases, found = judged
    tube = cases.set_index("case_id")["tube"].reindex(scores["case_id"]).to_numpy()
    sex = cases.set_index("case_id")["sex"].reindex(scores["case_id"]).to_numpy()
    robust = scores[tube != scores["label"]]
    for method in METHODS:
        row = flat_row(method, found, [])
        assert row["robust_auroc"] == pytest.approx(mean_over(robust, method, auroc)[0])
        of_sex = {name: mean_over(scores[sex == name], method, auroc)[0] for name in ("F", "M")}
        worst = min(of_sex, key=lambda name: of_sex[name])
        assert row["worst_group"] == f"sex: {worst}"
        assert row["worst_group_auroc"] == pytest.approx(of_sex[worst])


def test_differences_are_from_the_reference_and_adjusted_among_themselves(judged):
    scores, _, found = judged
    rows = [r for r in found["differences"] if r["metric"] == "auroc" and r["group"] == "all"]
    assert [(row["first"], row["second"]) for row in rows] == [
        ("tau", "softmax"), ("mean", "softmax"),
    ]  # fmt: skip
    reference = mean_over(scores, "softmax", auroc)[0]
    for row in rows:
        value = mean_over(scores, row["first"], auroc)[0]
        assert row["estimate_first"] == pytest.approx(value)
        assert row["difference"] == pytest.approx(value - reference)
        assert row["lo"] < row["difference"] < row["hi"]
        assert row["n_tests"] == 2
    expected = multipletests([row["p"] for row in rows], method="holm")[1]
    assert [row["p_adjusted"] for row in rows] == pytest.approx(list(expected))


def test_intervals_are_of_patients_and_seeds_drawn_together(judged):
    scores, _, found = judged
    row = next(r for r in found["differences"] if r["first"] == "tau" and r["group"] == "all")
    rng = np.random.default_rng(0)
    patients = np.arange(N_PATIENTS)
    strata = [
        patients[(patients % 2 == y) & (patients // 2 % 2 == k)] for y in (0, 1) for k in (0, 1)
    ]
    wins = {}
    for (method, seed, fold), own in scores.groupby(["method", "seed", "fold"]):
        one, zero = own[own["label"] == 1], own[own["label"] == 0]
        above = one["score"].to_numpy()[:, None] > zero["score"].to_numpy()
        owner = [part["patient_id"].str[1:].astype(int).to_numpy() for part in (one, zero)]
        wins[method, seed, fold] = (above, *owner)
    drawn = []
    for _ in range(3000):
        weight = np.zeros(N_PATIENTS)
        for own in strata:
            np.add.at(weight, rng.choice(own, len(own)), 1)
        value = {}
        for key, (above, one, zero) in wins.items():
            value[key] = weight[one] @ above @ weight[zero] / weight[one].sum() / weight[zero].sum()
        by_seed = [
            np.mean([value["tau", seed, f] - value["softmax", seed, f] for f in (0, 1)])
            for seed in SEEDS
        ]
        again = np.mean(rng.choice(by_seed, len(SEEDS)))  # the same seeds of both
        drawn.append(np.mean(by_seed) + np.sqrt(3 / 2) * (again - np.mean(by_seed)))
    own = [np.array(mean_over(scores, method, auroc)[1]) for method in ("tau", "softmax")]
    spread = np.var(own[0] - own[1], ddof=1) / len(SEEDS)
    variance = np.var(drawn)
    of_patients = max(variance - spread, 0)
    scatter = spread**2 / (len(SEEDS) - 1) + of_patients**2 / 29
    quantile = stats.t.ppf(0.975, variance**2 / scatter)  # Satterthwaite; 30 patients per class
    assert (row["hi"] - row["lo"]) / 2 == pytest.approx(quantile * np.sqrt(variance), rel=0.08)
    assert row["test"] == "patients and seeds resampled"
    assert row["interval"] == "patients and seeds resampled"


def pair(first, second, difference, lo, hi, p):
    row = {"kind": "methods", "metric": "auroc", "group_column": "all", "group": "all"}
    row |= {"first": first, "second": second, "estimate_first": 0.9, "estimate_second": 0.8}
    row |= {"seed_sd_first": 0.1, "seed_sd_second": 0.2, "p_equivalence": None}
    return row | {"difference": difference, "lo": lo, "hi": hi, "p": p}


def test_a_pair_the_other_way_round_is_turned():
    (row,) = differences(
        [pair("softmax", "tau", 0.1, 0.05, 0.2, 0.01), pair("mean", "tau", 0.1, 0, 0.2, 0.01)],
        [("tau", "softmax")],
        family="x",
        confidence=0.95,
    )
    assert (row["first"], row["second"]) == ("tau", "softmax")
    assert (row["difference"], row["lo"], row["hi"]) == (-0.1, -0.2, -0.05)
    assert (row["estimate_first"], row["estimate_second"]) == (0.8, 0.9)
    assert (row["seed_sd_first"], row["seed_sd_second"]) == (0.2, 0.1)
    assert row["verdict"] == "worse"


def test_what_could_not_be_tested_counts_in_no_family_and_has_no_verdict():
    rows = differences(
        [pair("a", "r", None, None, None, None), pair("b", "r", 0.1, 0.0, 0.2, 0.04)],
        [("a", "r"), ("b", "r")],
        family="x",
        confidence=0.95,
    )
    assert [row["n_tests"] for row in rows] == [1, 1]
    assert [row["verdict"] for row in rows] == ["", "better"]
    assert (rows[0]["p_adjusted"], rows[1]["p_adjusted"]) == (None, 0.04)


def test_the_worst_group_is_the_lowest_of_all_columns():
    shared = {"method": "tau", "worst_corrected": None}
    worst = [
        {"group_column": "sex", "worst_group": "F", "worst": 0.8, **shared},
        {"group_column": "site", "worst_group": "B", "worst": 0.7, **shared},
        {"group_column": "age", "worst_group": "old", "worst": None, **shared},
    ]
    nothing = dict.fromkeys(("metrics", "robust", "differences"), ())
    row = flat_row("tau", {**nothing, "worst": worst}, [])
    assert (row["worst_group"], row["worst_group_auroc"]) == ("site: B", 0.7)


def test_masks_of_several_seeds_are_averaged_per_patient():
    rng = np.random.default_rng(1)
    n, frames, values = 12, [], []
    statistics = []
    for seed in range(2):
        true = np.full(n, 40)
        area = rng.integers(20, 60, n)
        overlap = np.minimum(area, true) - rng.integers(0, 20, n)
        values.append(2 * overlap / (area + true))
        curve = np.repeat(area[:, None], 129, axis=1)
        frame = pd.DataFrame({"case_id": [f"c{i}" for i in range(n)], "finding": "lesion"})
        frame["fold"] = pd.array([pd.NA] * n, dtype="Int64")
        frame["true_px"] = pd.array(true, dtype="Int64")
        for name in ("px_size", "component_t", "surface_tolerance_mm", "surface_dice", "hd95_mm"):
            frame[name] = np.nan
        frame["is_volume"], frame["n_px"] = False, 1024
        statistics.append(MaskStatistics(frame, curve, np.repeat(overlap[:, None], 129, axis=1)))
        ids = pd.DataFrame({"case_id": frame["case_id"], "patient_id": frame["case_id"]})
        frames.append(ids.assign(split="test", fold=pd.array([seed] * n, dtype="Int64")))
    rows = overlap_rows(joined_seeds(statistics, 1), pd.concat(frames, ignore_index=True), 0.5)
    dice = rows[(rows["metric"] == "dice") & (rows["group_column"] == "all")].iloc[0]
    assert dice["estimate"] == pytest.approx(np.mean(values))
    assert (dice["n_patients"], dice["n_folds"]) == (n, 2)  # each seed is a fold of its own
    assert dice["lo"] < dice["estimate"] < dice["hi"]


def test_methods_that_score_other_findings_say_what_they_score():
    rows = [("tau", "lesion"), *(("softmax", f"density={name}") for name in "HL")]
    tables = [pd.DataFrame(rows, columns=["method", "finding"])]
    found = {"finding": "lesion", "metrics": [{"method": "tau"}]}
    assert unscored(found, tables, ["tau", "softmax"]) == {
        "softmax": "scores density=..., not lesion"
    }


def test_the_reference_is_replaced_by_the_next_in_the_same_order():
    names = ["tau", "joint", "sigmoid@time"]
    assert references("softmax", names) == ["softmax", "sigmoid@time", "joint", "tau"]
    assert references("tau", names)[0] == "tau"


def test_an_interval_that_holds_all_that_there_can_be_is_none():
    row = {"kind": "methods", "metric": "auroc", "first": "tau", "second": "softmax"}
    row |= {"group_column": "all", "group": "all", "difference": 0.3, "reason": "", "p": 0.3}
    row |= {"lo": -1.0, "hi": 1.0, "p_equivalence": None}
    rows = [row, row | {"metric": "log_loss"}, row | {"lo": -0.6}]
    found = differences(rows, [("tau", "softmax")], family="f", confidence=0.95)
    assert [one["lo"] for one in found] == [None, -1.0, -0.6]
    assert found[0]["reason"] == "too few seeds for an interval"
    assert row["lo"] == -1.0
