"""The share of a gap, by hand and against scikit-learn and a plain bootstrap."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from segclf.study.gap import Scored, gap_closed, pair_gain

LABEL = np.array([True, True, False, False])
PATIENT = np.arange(4)
HALF = np.array([1.0, 4.0, 2.0, 3.0])  # pairs won: 0 of 2, 2 of 2
BEST = np.array([3.0, 4.0, 1.0, 2.0])
THREE = np.array([2.5, 4.0, 1.0, 3.0])  # pairs won: 1 of 2, 2 of 2


def scored(**score):
    return Scored(LABEL, PATIENT, {name: np.array(rows) for name, rows in score.items()})


def test_the_share_by_hand():
    found = gap_closed(scored(few=[HALF, HALF], full=[BEST, BEST], m=[THREE, BEST]), "few", "full")[
        "m"
    ]
    # means over the two subsets: few 1/2, full 1, m (3/4 + 1) / 2 = 7/8
    assert found["auroc"] == pytest.approx(7 / 8)
    assert found["gain"]["value"] == pytest.approx(3 / 8)
    assert found["share"]["value"] == pytest.approx(3 / 4)
    assert (found["lowest"], found["highest"]) == (pytest.approx(3 / 4), 1.0)


@pytest.fixture(scope="module")
def large():
    """100 patients with two cases; a method between few and full, on four subsets."""
    rng = np.random.default_rng(3)
    label = np.repeat(rng.random(100) < 0.5, 2)
    patient = np.repeat(np.arange(100), 2)
    shared = rng.normal(size=200)

    def scores(signal):
        return np.stack([signal * label + shared + 0.3 * rng.normal(size=200) for _ in range(4)])

    return Scored(label, patient, {"few": scores(0.6), "full": scores(2.5), "m": scores(1.2)})


def test_the_interval_of_the_gain_is_that_of_a_plain_paired_bootstrap(large):
    found = gap_closed(large, "few", "full")["m"]
    rng = np.random.default_rng(0)
    gains, shares = [], []
    for _ in range(150):
        patients, subsets = rng.integers(0, 100, 100), rng.integers(0, 4, 4)
        rows = np.concatenate([2 * patients, 2 * patients + 1])
        m, b, f = (
            np.mean([roc_auc_score(large.label[rows], large.score[name][s][rows]) for s in subsets])
            for name in ("m", "few", "full")
        )
        gains.append(m - b)
        shares.append((m - b) / (f - b))
    for key, witness in (("gain", gains), ("share", shares)):
        lo, hi = np.quantile(witness, (0.025, 0.975))
        assert found[key]["lo"] == pytest.approx(lo, abs=0.25 * (hi - lo))
        assert found[key]["hi"] == pytest.approx(hi, abs=0.25 * (hi - lo))


def test_pairing_makes_the_interval_narrower_than_independent_errors_would(large):
    found = pair_gain(large, "m", "few")
    rows = np.stack([large.score["m"].mean(0), large.score["few"].mean(0)])
    each = [
        stats.bootstrap(
            (np.arange(200),), lambda i, r=r: roc_auc_score(large.label[i], r[i]),
            n_resamples=100, vectorized=False, rng=np.random.default_rng(0),
        ).standard_error
        for r in rows
    ]  # fmt: skip
    assert found["value"] == pytest.approx(gap_closed(large, "few", "full")["m"]["gain"]["value"])
    assert found["hi"] - found["lo"] < 2 * 1.96 * np.hypot(*each)


def test_without_a_gap_the_share_is_undefined_with_the_reason():
    found = gap_closed(scored(few=[BEST], full=[HALF], m=[THREE]), "few", "full")["m"]
    assert found["share"] is None
    assert "there is no gap" in found["reason"]
    assert found["gain"]["value"] == pytest.approx(-1 / 4)


def test_a_missing_training_is_left_out_for_all_that_it_is_compared_with():
    nothing = np.full(4, np.nan)
    found = gap_closed(
        scored(few=[HALF, THREE], full=[BEST, BEST], m=[THREE, nothing], n=[nothing, nothing]),
        "few",
        "full",
    )
    assert found["m"]["n_subsets"] == 1
    assert found["m"]["share"]["value"] == pytest.approx(1 / 2)
    assert found["n"]["auroc"] is None
    assert found["n"]["reason"] == "not run, or failed, on every subset"


def test_subsets_of_folds_are_scored_on_their_own_cases_and_only_patients_are_drawn(large):
    tested = np.zeros((2, 200), bool)
    tested[0, :80], tested[1, 80:] = True, True
    score = {name: rows[:2] for name, rows in large.score.items()}
    found = gap_closed(Scored(large.label, large.patient, score, tested), "few", "full")["m"]
    each = [roc_auc_score(large.label[own], score["m"][k][own]) for k, own in enumerate(tested)]
    assert found["each"] == pytest.approx(each)
    assert found["auroc"] == pytest.approx(np.mean(each))
    rng = np.random.default_rng(1)
    gains = []
    for _ in range(200):
        patients = rng.integers(0, 100, 100)
        rows = np.concatenate([2 * patients, 2 * patients + 1])
        gains.append(
            np.mean(
                [
                    roc_auc_score(large.label[i], score["m"][k][i])
                    - roc_auc_score(large.label[i], score["few"][k][i])
                    for k, own in enumerate(tested)
                    for i in [rows[own[rows]]]
                ]
            )
        )
    lo, hi = np.quantile(gains, (0.025, 0.975))
    assert found["gain"]["lo"] == pytest.approx(lo, abs=0.2 * (hi - lo))
    assert found["gain"]["hi"] == pytest.approx(hi, abs=0.2 * (hi - lo))
