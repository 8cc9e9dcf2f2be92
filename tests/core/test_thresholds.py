import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, recall_score, roc_curve

from segclf.core.errors import UsageError
from segclf.core.settings import SummarizeSettings
from segclf.core.thresholds import fit_threshold, list_cuts, make_objective

YOUDEN = SummarizeSettings()


def wanting(**values):
    return SummarizeSettings(**values)


def brute_force(score, label, objective):
    """Best (value, ...) over thresholds below, between and above all scores, by scikit-learn."""
    distinct = np.unique(score)
    found = []
    for threshold in [distinct[0] - 1, *distinct]:
        (tn, fp), (fn, tp) = confusion_matrix(label, score > threshold, labels=[0, 1])
        found.append(objective(tp / (tp + fn), tn / (tn + fp), fp, fn))
    return max(found)


labelled = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=25).filter(
    lambda rows: len({truth for _, truth in rows}) == 2
)


@given(labelled)
@settings(deadline=None, max_examples=40)
def test_the_youden_index_is_the_largest_of_the_roc_curve(rows):
    score, label = np.array(rows, dtype=float).T
    false_positive, true_positive, _ = roc_curve(label, score, drop_intermediate=False)
    threshold, record = fit_threshold(score, label, YOUDEN)
    assert record["value"] == pytest.approx((true_positive - false_positive).max(), abs=1e-12)
    reached = recall_score(label, score > threshold) + recall_score(
        label, score > threshold, pos_label=0
    )
    assert reached - 1 == pytest.approx(record["value"], abs=1e-12)


@given(labelled, st.sampled_from([0.0, 0.5, 0.7, 0.9, 1.0]))
@settings(deadline=None, max_examples=40)
def test_a_target_is_reached_and_then_the_other_side_is_the_best_there_is(rows, target):
    score, label = np.array(rows, dtype=float).T
    _, record = fit_threshold(score, label, wanting(objective="sensitivity", target=target))
    best = brute_force(
        score,
        label,
        lambda sens, spec, fp, fn: (
            (sens >= target, spec, sens) if sens >= target else (False, 0, 0)
        ),
    )
    assert record["target_reached"]
    assert (record["value"], record["sensitivity"]) == pytest.approx(best[1:])
    _, record = fit_threshold(score, label, wanting(objective="specificity", target=target))
    best = brute_force(
        score,
        label,
        lambda sens, spec, fp, fn: (
            (spec >= target, sens, spec) if spec >= target else (False, 0, 0)
        ),
    )
    assert (record["value"], record["specificity"]) == pytest.approx(best[1:])


@given(labelled, st.sampled_from([0.1, 0.3, 1.0, 5.0]))
@settings(deadline=None, max_examples=40)
def test_the_cost_is_the_lowest_there_is(rows, ratio):
    score, label = np.array(rows, dtype=float).T
    _, record = fit_threshold(score, label, wanting(objective="cost", cost_ratio=ratio))
    lowest = -brute_force(score, label, lambda sens, spec, fp, fn: -(ratio * fn + fp))
    assert record["value"] == pytest.approx(lowest / len(label))


@given(labelled)
def test_a_higher_threshold_never_finds_more(rows):
    score, label = np.array(rows, dtype=float).T
    cuts = list_cuts(score, label == 1)
    assert (np.diff(cuts.n_true_positive) <= 0).all()
    assert (np.diff(cuts.n_true_negative) >= 0).all()
    for start, n_tp, n_tn in zip(
        cuts.start, cuts.n_true_positive, cuts.n_true_negative, strict=True
    ):
        (tn, _), (_, tp) = confusion_matrix(label, score > start, labels=[0, 1])
        assert (n_tp, n_tn) == (tp, tn)


def test_the_threshold_is_the_centre_of_the_gap_between_the_classes():
    threshold, record = fit_threshold([1.0, 2.0, 6.0, 9.0], [0, 0, 1, 1], YOUDEN)
    assert threshold == 4.0
    assert record["stretch"] == [2.0, 6.0]
    assert (record["value"], record["sensitivity"], record["specificity"]) == (1.0, 1.0, 1.0)
    assert (record["n"], record["n_positive"], record["n_negative"]) == (4, 2, 2)


def test_of_two_best_stretches_the_wider_one_wins():
    # J = 0.5 on [1, 2) and on [3, 8); in between J = 0
    score, label = [1.0, 2.0, 3.0, 8.0], [0, 1, 0, 1]
    threshold, record = fit_threshold(score, label, YOUDEN)
    assert (threshold, record["stretch"]) == (5.5, [3.0, 8.0])


def test_of_two_stretches_of_one_width_the_larger_threshold_wins():
    threshold, _ = fit_threshold([1.0, 2.0, 3.0, 4.0], [0, 1, 0, 1], YOUDEN)
    assert threshold == 3.5


def test_neighbouring_cuts_of_equal_worth_are_one_stretch():
    # [1, 2): sensitivity 1, specificity 1/2; [2, 6): 1/2 and 1; equal, so one stretch from 1 to 6
    threshold, record = fit_threshold([1.0, 2.0, 2.0, 6.0], [0, 0, 1, 1], YOUDEN)
    assert (threshold, record["stretch"]) == (3.5, [1.0, 6.0])


def test_a_stretch_below_all_scores_gives_a_threshold_below_all_scores():
    settings = wanting(objective="specificity", target=0.0)
    threshold, record = fit_threshold([5.0, 7.0, 9.0], [1, 0, 1], settings)
    assert threshold < 5.0
    assert (record["stretch"], record["sensitivity"]) == ([None, 5.0], 1.0)


def test_a_stretch_above_all_scores_begins_at_the_largest():
    settings = wanting(objective="sensitivity", target=0.0)
    threshold, record = fit_threshold([5.0, 7.0, 9.0], [0, 1, 0], settings)
    assert (threshold, record["stretch"]) == (9.0, [9.0, None])
    assert record["specificity"] == 1.0


def test_a_score_equal_to_the_threshold_is_not_above_it():
    low = np.nextafter(1.0, 2.0)
    score = np.array([low, np.nextafter(low, 2.0)])  # nothing lies between; the mean rounds up
    threshold, record = fit_threshold(score, [0, 1], YOUDEN)
    assert threshold == low
    assert (score > threshold).tolist() == [False, True]
    assert record["value"] == 1.0


def test_equal_scores_cannot_be_told_apart():
    threshold, record = fit_threshold([3.0] * 4, [0, 1, 0, 1], YOUDEN)
    assert record["value"] == 0.0
    assert threshold == 3.0  # both cuts are worth nothing: calling nothing positive is the larger


def test_a_cost_ratio_is_counted_exactly():
    # 0.1 * 30 + 0 false alarms and 0.1 * 0 + 3 false alarms cost the same, but not in floats
    score = [0.0] * 3 + [1.0] * 30 + [2.0]
    label = [0] * 3 + [1] * 30 + [1]
    objective = make_objective(
        wanting(objective="cost", cost_ratio=0.1), n_positive=31, n_negative=3
    )
    assert objective.value([31], [0]) == objective.value([1], [3])
    assert fit_threshold(score, label, wanting(objective="cost", cost_ratio=0.1))[0] == 0.5


def test_a_target_that_cuts_the_count_exactly_is_met_exactly():
    label = np.array([1] * 10 + [0])
    score = np.append(np.arange(10.0), -1.0)
    for target, n_found in [(0.7, 7), (0.9, 9), (0.95, 10)]:
        objective = make_objective(
            wanting(objective="sensitivity", target=target), n_positive=10, n_negative=1
        )
        assert objective.needed == (n_found, 0)
    _, record = fit_threshold(score, label, wanting(objective="sensitivity", target=0.7))
    assert record["sensitivity"] == 1.0  # as specific as any, and more sensitive


def test_missing_values_and_unknown_labels_are_left_out_and_counted():
    nan = np.nan
    threshold, record = fit_threshold([1.0, 5.0, nan, 100.0, nan], [0, 1, 1, nan, nan], YOUDEN)
    assert threshold == 3.0
    assert (record["n"], record["n_unknown_label"], record["n_missing_value"]) == (2, 2, 1)


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ([1, 1], "all 2 validation cases are positive"),
        ([0, 0], "all 2 validation cases are negative"),
        ([np.nan, np.nan], "no validation case has a known label"),
    ],
)
def test_one_class_gives_no_threshold_and_says_why(label, reason):
    threshold, record = fit_threshold([0.1, 0.9], label, YOUDEN)
    assert np.isnan(threshold)
    assert record["reason"] == reason
    assert "value" not in record


def test_the_record_names_the_objective():
    _, record = fit_threshold([0.0, 1.0], [0, 1], wanting(objective="cost", cost_ratio=5))
    assert (record["objective"], record["cost_ratio"]) == ("cost", 5.0)
    assert record["fitted_on"] == "val"
    _, record = fit_threshold([0.0, 1.0], [0, 1], wanting(objective="sensitivity", target=0.9))
    assert (record["objective"], record["target"]) == ("sensitivity", 0.9)


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"objective": "sensitivity"}, "the objective 'sensitivity' has no target."),
        ({"objective": "youden", "target": 0.9}, "the objective 'youden' takes no target (0.9)."),
        ({"objective": "cost", "cost_ratio": 1e-300}, "a cost ratio of 1e-300 cannot be counted"),
    ],
)
def test_an_objective_that_makes_no_sense_is_refused(values, wrong):
    with pytest.raises(UsageError) as caught:
        fit_threshold([0.0, 1.0], [0, 1], wanting(**values))
    assert caught.value.wrong.startswith(wrong)
    assert caught.value.where.startswith("summarize.")


def test_infinite_values_and_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="1 values are infinite"):
        fit_threshold([np.inf, 0.0], [0, 1], YOUDEN)
    with pytest.raises(ValueError, match="one value per label"):
        fit_threshold([0.0], [0, 1], YOUDEN)
