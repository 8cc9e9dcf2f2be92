"""The factor of fewer images, by hand, against scikit-learn and with a known truth."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.isotonic import IsotonicRegression

from segclf.study.science import crossed
from segclf.study.science.factor import factor, monotone, size_reached

SIZES = np.array([10.0, 20, 40, 80])


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch):
    monkeypatch.setattr(crossed, "N_RESAMPLES", 300)


def study(strength, *, n_cases=200, seeds=range(5), sizes=SIZES, seed=0, spread=0.0):
    """Scores whose separation grows with log2(strength of the arm x size)."""
    rng = np.random.default_rng(seed)
    label = np.arange(n_cases) % 2
    hard = rng.normal(size=n_cases)
    parts = []
    for arm, own in strength.items():
        for x in sizes:
            for number in seeds:
                signal = max(0.35 * np.log2(own * x / 4), 0) + spread * rng.normal()
                score = signal * label + 0.8 * hard + 0.6 * rng.normal(size=n_cases)
                parts.append(
                    pd.DataFrame({
                        "regime": "r", "level": str(x), "x": x, "arm": arm, "seed": number,
                        "fold": pd.array([None] * n_cases, dtype="Int64"),
                        "case_id": np.arange(n_cases), "patient_id": np.arange(n_cases),
                        "label": label, "score": score, "decision": np.nan,
                        "spurious": np.nan, "group": pd.NA,
                    })
                )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_a_fit_that_never_falls_is_that_of_scikit_learn():
    values = np.random.default_rng(0).normal(size=(6, 20))
    witness = [IsotonicRegression().fit_transform(range(6), column) for column in values.T]
    assert monotone(values) == pytest.approx(np.array(witness).T)


def test_the_size_is_interpolated_in_log_size_and_bounded_where_it_was_not_measured():
    values = np.array([[0.6, 0.6, 0.6, 0.6], [0.7] * 4, [0.7] * 4, [0.9] * 4])
    aim = np.array([0.65, 0.7, 0.5, 0.95])
    least, most = np.exp(size_reached(values, np.log(SIZES), aim))
    assert least == pytest.approx([np.sqrt(200), 20, 0, 80])  # halfway in log; first to reach
    assert most == pytest.approx([np.sqrt(200), 20, 10, np.inf])


def exact(aurocs):
    """One training per size whose AUROC over 10 x 10 pairs is `aurocs`, without ties."""
    parts = []
    for arm, values in aurocs.items():
        for x, value in zip(SIZES, values, strict=True):
            lost = round(100 * (1 - value))  # pairs that the first negatives win
            above = np.repeat(10, lost // 10).tolist() + ([lost % 10] if lost % 10 else [])
            negative = np.r_[np.array(above) - 0.5, np.full(10 - len(above), -1.0)]
            score = np.r_[np.arange(10.0), negative]
            own = {"regime": "r", "level": str(x), "x": x, "arm": arm, "seed": 0, "fold": pd.NA}
            own |= {"case_id": range(20), "patient_id": range(20), "label": [1] * 10 + [0] * 10}
            parts.append(pd.DataFrame(own | {"score": score, "group": pd.NA}))
    return pd.concat(parts, ignore_index=True)


def test_the_factor_by_hand():
    scores = exact({"seg": [0.7, 0.8, 0.85, 0.9], "cls": [0.6, 0.65, 0.75, 0.95]})
    found = factor(scores, "seg", "cls")
    assert [row["state"] for row in found] == ["at least", "at least", "exact", "at most"]
    # 10 / 10, 20 / 10, 40 / sqrt(10 x 20), 80 / 80
    assert [row["value"] for row in found] == pytest.approx([1, 2, 40 / np.sqrt(200), 1])
    assert [row["aim"] for row in found] == pytest.approx([0.6, 0.65, 0.75, 0.95])
    back = factor(scores, "cls", "seg")[0]  # 0.7 is reached at sqrt(20 x 40)
    assert back["value"] == pytest.approx(10 / np.sqrt(800))


def test_the_known_factor_lies_in_the_interval():
    """The separation of `seg` at n is that of `cls` at 4 n."""
    found = [
        factor(study({"seg": 4, "cls": 1}, seed=k, spread=0.1), "seg", "cls")[-1] for k in range(8)
    ]
    held = [
        (row["lo"] is None or row["lo"] <= 4) and (row["hi"] is None or row["hi"] >= 4)
        for row in found
    ]
    assert sum(held) >= stats.binom.ppf(0.01, 8, 0.95)
    assert np.median([row["value"] for row in found]) == pytest.approx(4, rel=0.25)
    assert np.median([row["lo"] or 0 for row in found]) > 1


def test_where_it_was_not_measured_an_interval_has_no_end():
    ahead = factor(study({"seg": 100, "cls": 1}), "seg", "cls")
    assert [row["state"] for row in ahead] == ["at least"] * 4
    assert [row["value"] for row in ahead] == pytest.approx([1, 2, 4, 8])
    assert (ahead[-1]["lo"], ahead[-1]["hi"]) == (pytest.approx(8), None)
    assert ahead[-1]["reason"] == "no upper end: it lies beyond the sizes of the study"
    (same,) = factor(study({"seg": 1, "cls": 1}, sizes=[10.0]), "seg", "cls")
    assert (same["value"], same["lo"], same["hi"]) == (pytest.approx(1), None, None)
    assert same["reason"] == ("no lower and no upper end: they lie beyond the sizes of the study")
    behind = factor(study({"seg": 100, "cls": 1}), "cls", "seg")
    assert [row["state"] for row in behind] == ["at most"] * 4
    assert [row["value"] for row in behind] == pytest.approx([1 / 8, 1 / 4, 1 / 2, 1])
    assert (behind[0]["lo"], behind[0]["hi"]) == (None, pytest.approx(1 / 8))


def test_a_training_that_one_size_lacks_is_left_out_everywhere():
    scores = study({"seg": 4, "cls": 1})
    holed = scores[~((scores["seed"] == 2) & (scores["x"] == 20) & (scores["arm"] == "seg"))]
    assert factor(holed, "seg", "cls")[0]["seeds"] == [0, 1, 3, 4]
    without = factor(scores[scores["seed"] != 2], "seg", "cls")
    assert factor(holed, "seg", "cls")[-1]["value"] == without[-1]["value"]


def test_a_study_without_an_arm_has_no_factor():
    scores = study({"cls": 1}, n_cases=20, seeds=[0])
    (found,) = factor(scores, "seg", "cls")
    assert (found["value"], found["reason"]) == (None, "no training of seg")
    with pytest.raises(ValueError, match="sizes are above 0"):
        factor(scores.assign(x=0.0, arm="seg"), "seg", "seg")
