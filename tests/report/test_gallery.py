"""What a wrong decision is explained by: regions, distances and the nearest flip."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from segclf.core.maskstats import THRESHOLDS
from segclf.report import explain_error, pick_errors
from segclf.report.facts import alt_text, fact_lines
from segclf.report.gallery import fewest_px, flip_t


def test_the_missed_region_and_the_nearest_prediction_are_measured_by_hand(missed):
    facts = explain_error(missed)
    assert (facts.n_components, facts.n_missed, facts.n_above_t) == (1, 1, 1)
    assert (facts.target.n_px, facts.target.max_p, facts.target.size) == (4, 0.3, None)
    assert facts.target.centre in {(5, 2), (5, 3), (6, 2), (6, 3)}
    assert (facts.nearest.n_px, facts.nearest.max_p) == (1, 0.9)
    assert facts.distance == 5.0  # from column 3 to column 8 of row 5


def test_lengths_and_areas_are_in_mm_where_the_file_has_a_spacing(missed):
    facts = explain_error(replace(missed, spacing_mm=(3.0, 0.5), tau=2.0, unit="mm2"))
    assert facts.target.size == 6.0  # 4 px of 3 x 0.5 mm
    assert facts.distance == 2.5  # 5 columns of 0.5 mm
    assert facts.flip_tau == 1.5  # one pixel above t


def test_the_flip_of_a_missed_case_needs_the_third_highest_pixel(missed):
    facts = explain_error(missed)
    # tau = 2 px: three pixels have to be above t, and the third highest probability is 0.2
    assert facts.flip_t == THRESHOLDS[THRESHOLDS < 0.2].max()
    assert facts.flip_tau == 1.0


def test_the_flip_of_a_false_alarm_is_at_a_higher_t(missed):
    facts = explain_error(replace(missed, kind="false alarm", truth=None, t=0.1, tau=3.0))
    assert facts.n_above_t == 4  # 0.9, 0.3, 0.2 and 0.15
    assert facts.flip_t == THRESHOLDS[THRESHOLDS >= 0.15].min()
    assert facts.flip_tau == 4.0
    assert facts.target is None
    assert facts.nearest.n_px == 3
    assert facts.distance is None


@pytest.mark.parametrize("seed", range(20))
def test_the_flip_is_the_nearest_threshold_that_changes_the_decision(seed):
    rng = np.random.default_rng(seed)
    probability = rng.random((6, 7)) ** 3 if seed % 2 else rng.choice(THRESHOLDS, (6, 7))
    t, n_needed = float(rng.choice(THRESHOLDS)), int(rng.integers(1, 30))
    decisions = [(probability > other).sum() >= n_needed for other in THRESHOLDS]
    now = (probability > t).sum() >= n_needed
    changed = [abs(other - t) for other, d in zip(THRESHOLDS, decisions, strict=True) if d != now]
    found = flip_t(probability, t, n_needed)
    assert (found is None) == (not changed)
    if changed:
        assert abs(found - t) == min(changed)


def test_no_threshold_flips_a_case_that_has_too_few_pixels_or_too_certain_ones():
    assert flip_t(np.full((2, 2), 0.9), 0.5, 5) is None
    assert flip_t(np.full((2, 2), 0.9999), 0.5, 4) is None
    assert flip_t(np.full((2, 2), 0.0001), 0.5, 1) is None


def test_the_fewest_pixels_above_tau_are_found_without_rounding_errors():
    for one in (1.0, 0.1, 0.35 * 0.35, 100 / 9216):
        for n in range(60):
            assert fewest_px(n * one, one) == n + 1
    assert fewest_px(0.0, 2.0) == 1
    assert fewest_px(14.5, 1.0) == 15


def test_only_regions_that_the_prediction_does_not_touch_are_missed(missed):
    truth = np.array(missed.truth)
    truth[4:7, 8] = 1  # touched by the predicted pixel
    truth[0, 15] = 1  # missed too, and smaller
    facts = explain_error(replace(missed, truth=truth))
    assert (facts.n_components, facts.n_missed, facts.target.n_px) == (3, 2, 4)


def test_without_a_probability_map_only_the_target_is_known(missed):
    facts = explain_error(replace(missed, probability=None, tau=None, score=0.2, threshold=0.7))
    assert facts.target.n_px == 4
    assert (facts.nearest, facts.flip_t, facts.flip_tau) == (None, None, None)


def test_maps_of_different_shapes_are_refused(missed):
    with pytest.raises(ValueError, match=r"truth \(12, 15\)"):
        explain_error(replace(missed, truth=missed.truth[:, :15]))


def test_a_tau_in_mm2_needs_a_spacing(missed):
    with pytest.raises(ValueError, match="tau = 2 mm2 needs a spacing"):
        explain_error(replace(missed, unit="mm2"))


def test_the_facts_of_a_missed_case_in_words(missed):
    lines = dict(fact_lines(missed, explain_error(missed)))
    assert lines["Target"] == "missed: 4 px; highest probability inside 0.3"
    assert lines["Nearest prediction"] == "5 px away: 1 px; highest probability 0.9"
    assert lines["Decision"] == "negative: 1 px above t = 0.5 are not more than tau = 2 px"
    assert lines["Would flip"] == (
        "at t = 0.197 or less with this tau, or at tau below 1 px with this t"
    )


def test_the_facts_of_a_false_alarm_in_words(missed):
    item = replace(missed, kind="false alarm", truth=None, t=0.1, tau=3.0)
    lines = dict(fact_lines(item, explain_error(item)))
    assert lines["Target"] == "none: the case is negative"
    assert lines["Largest prediction"] == "3 px; highest probability 0.3"
    assert lines["Decision"] == "positive: 4 px above t = 0.1 are more than tau = 3 px"
    assert lines["Would flip"].endswith("or at tau = 4 px or more with this t")
    assert "or more with this tau" in lines["Would flip"]


def test_a_case_without_any_prediction_says_so(missed):
    item = replace(missed, probability=np.full((12, 16), 0.0001))
    lines = dict(fact_lines(item, explain_error(item)))
    assert lines["Nearest prediction"] == "none: no pixel is above t = 0.5"
    assert lines["Would flip"] == (
        "at no t of the grid with this tau; at no tau with this t, since no pixel is above it"
    )


def test_several_regions_and_a_spacing_in_words(missed):
    truth = np.array(missed.truth)
    truth[0, 15] = 1
    item = replace(missed, truth=truth, spacing_mm=(0.5, 0.5))
    target = dict(fact_lines(item, explain_error(item)))["Target"]
    assert target == (
        "2 of 2 regions missed, the largest: 4 px (1 mm²); highest probability inside 0.3"
    )
    touched = replace(missed, probability=np.full((12, 16), 0.6), tau=500.0)
    assert dict(fact_lines(touched, explain_error(touched)))["Target"] == (
        "touched by the prediction: 4 px; highest probability inside 0.6"
    )


def test_a_touched_target_of_several_regions_and_one_that_nobody_drew(missed):
    truth = np.array(missed.truth)
    truth[0, 15] = 1
    item = replace(missed, truth=truth, probability=np.full((12, 16), 0.6), tau=500.0)
    assert dict(fact_lines(item, explain_error(item)))["Target"].startswith(
        "all 2 regions touched by the prediction: 4 px"
    )
    item = replace(missed, truth=None)
    assert dict(fact_lines(item, explain_error(item)))["Target"] == (
        "not drawn; the label says that there is one"
    )


def test_a_method_without_tau_flips_at_its_score(missed):
    item = replace(missed, tau=None, score=0.25, threshold=0.75, probability=None)
    lines = dict(fact_lines(item, explain_error(item)))
    assert lines["Target"] == "4 px"
    assert lines["Decision"] == "negative: the score 0.25 is not above the threshold 0.75"
    assert lines["Would flip"] == "at a threshold below 0.25"
    assert "Nearest prediction" not in lines
    assert alt_text(item) == "Case case07, missed: image with outlines of the target."


def test_the_worst_errors_are_the_most_confident_wrong_decisions(scores):
    picked = pick_errors(scores, method="tau", finding="lesion", n_missed=2, n_false=3)
    own = scores[scores["method"] == "tau"]
    missed = own[(own["label"] == 1) & (own["score"] <= 0.5)].sort_values("score")
    false = own[(own["label"] == 0) & (own["score"] > 0.5)].sort_values("score")
    assert len(missed) > 2
    assert len(false) > 3
    expected = [*missed["case_id"][:2], *false["case_id"][::-1][:3]]
    assert [row["case_id"] for row in picked] == expected
    assert [row["kind"] for row in picked] == ["missed"] * 2 + ["false alarm"] * 3
    assert set(picked[0]) == {"case_id", "fold", "kind", "score", "decision_value", "threshold"}


def test_validation_cases_are_never_shown_and_a_case_counts_once(scores):
    again = scores.assign(seed=1, score=scores["score"] - 100)
    others = scores.assign(split="val", score=-999.0, case_id="v" + scores["case_id"])
    both = pd.concat([scores, again, others])
    picked = pick_errors(both, method="tau", finding="lesion", n_missed=50, n_false=50)
    assert min(row["score"] for row in picked) > -50
    assert len({row["case_id"] for row in picked}) == len(picked)
