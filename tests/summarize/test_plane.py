import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from segclf.core.maskstats import THRESHOLDS
from segclf.core.settings import SummarizeSettings
from segclf.summarize.plane import Runs, choose_point, fit_plane

INF = np.inf


def fit(curves, label, *, columns=None, tau=None, smallest_area=1.0, **values):
    """Fit on (case, column) areas; the columns stand for the first thresholds."""
    curves = np.array(curves, dtype=float)
    return fit_plane(
        lambda column: curves[:, column],
        np.array(label, dtype=float),
        SummarizeSettings(**values),
        smallest_area=smallest_area,
        columns=range(curves.shape[1]) if columns is None else columns,
        tau=tau,
    )


drawn_planes = st.integers(2, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=4), min_size=n, max_size=n),
        st.lists(st.integers(0, 1), min_size=n, max_size=n).filter(lambda y: 0 < sum(y) < len(y)),
    )
)


@given(drawn_planes)
@settings(deadline=None, max_examples=40)
def test_no_point_of_the_plane_is_better(plane):
    curves, label = np.array(plane[0], dtype=float), np.array(plane[1])
    t, tau, record = fit(curves, label)
    best = -1.0
    for column in range(4):
        false_positive, true_positive, cut = roc_curve(
            label, curves[:, column], drop_intermediate=False
        )
        allowed = cut > 0  # at least this area, cut > 0, is more than some tau >= 0
        best = max(best, (true_positive - false_positive)[allowed].max(initial=0.0))
    assert record["value"] == pytest.approx(best, abs=1e-12)
    decision = curves[:, np.flatnonzero(t == THRESHOLDS)[0]] > tau
    reached = decision[label == 1].mean() - decision[label == 0].mean()
    assert reached == pytest.approx(best, abs=1e-12)


@given(drawn_planes)
@settings(deadline=None, max_examples=40)
def test_the_grid_for_the_report_holds_the_counts_at_each_point(plane):
    curves, label = np.array(plane[0], dtype=float), np.array(plane[1])
    grid = fit(curves, label)[2]["plane"]
    assert grid["tau"][0] == 0.0
    assert (np.diff(grid["tau"]) > 0).all()
    for column in range(4):
        for i in (0, 1, 20, 47):
            decision = curves[:, column] > grid["tau"][i]
            assert grid["n_true_positive"][column, i] == (decision & (label == 1)).sum()
            assert grid["n_true_negative"][column, i] == (~decision & (label == 0)).sum()


def test_tau_is_the_centre_between_the_classes_at_one_t():
    t, tau, record = fit([[2], [4], [10], [30]], [0, 0, 1, 1])
    assert (t, tau) == (THRESHOLDS[0], 7.0)
    assert record["plateau"]["tau"] == [4.0, 10.0]
    assert (record["value"], record["n"], record["n_positive"]) == (1.0, 4, 2)


def test_t_is_the_middle_of_the_t_that_separate_the_classes():
    # columns 1, 2 and 3 separate, with gaps [6, 9), [4, 8), [2, 5); columns 0 and 4 do not
    negative, positive = [9, 6, 4, 2, 0], [9, 9, 8, 5, 0]
    t, tau, record = fit([negative, positive], [0, 1])
    assert (t, tau) == (THRESHOLDS[2], 6.0)
    assert record["plateau"]["t"] == [THRESHOLDS[1], THRESHOLDS[3]]
    assert (record["plateau"]["n_t"], record["plateau"]["n_plateaus"]) == (3, 1)


def test_of_two_middle_t_the_one_with_the_larger_tau_is_taken():
    negative, positive = [4, 2], [8, 5]
    assert fit([negative, positive], [0, 1])[:2] == (THRESHOLDS[0], 6.0)
    assert fit([negative[::-1], positive[::-1]], [0, 1])[:2] == (THRESHOLDS[1], 6.0)


def test_of_two_middle_t_with_one_tau_the_larger_t_is_taken():
    assert fit([[2, 2], [6, 6]], [0, 1])[:2] == (THRESHOLDS[1], 4.0)


def test_t_that_share_no_tau_belong_to_different_plateaus():
    # gaps [1, 2), [5, 9) and [6, 8): the first stands alone, the others share taus from 6 to 8
    negative, positive = [1, 5, 6], [2, 9, 8]
    t, tau, record = fit([negative, positive], [0, 1])
    assert record["plateau"]["n_plateaus"] == 2
    assert record["plateau"]["t"] == [THRESHOLDS[1], THRESHOLDS[2]]
    assert (t, tau) == (THRESHOLDS[2], 7.0)  # centres 7 and 7: the larger t


def test_the_plateau_that_spans_more_t_wins_over_a_wider_one():
    # columns 0 (gap [0, 90)) and 1 (none), then 2 and 3 with gaps [3, 5)
    negative, positive = [0, 9, 3, 3], [90, 9, 5, 5]
    assert fit([negative, positive], [0, 1])[:2] == (THRESHOLDS[3], 4.0)


def test_of_plateaus_that_span_equally_many_t_the_larger_tau_wins():
    negative, positive = [20, 9, 3], [22, 9, 9]
    t, tau, record = fit([negative, positive], [0, 1])
    assert record["plateau"]["n_plateaus"] == 2
    assert (t, tau) == (THRESHOLDS[0], 21.0)


def test_the_wider_of_two_stretches_of_one_plateau_is_taken():
    # at column 1, [1, 6) and [7, 8) are equally good; columns 0 and 2 tie them together
    found = [
        Runs(0, np.array([[1.0, 8.0]]), 9.0),
        Runs(1, np.array([[1.0, 6.0], [7.0, 8.0]]), 9.0),
        Runs(2, np.array([[1.0, 8.0]]), 9.0),
    ]
    column, tau, plateau = choose_point(found)
    assert (column, tau, plateau["n_plateaus"]) == (1, 3.5, 1)


@pytest.mark.parametrize("order", [1, -1])
def test_stretches_that_only_touch_share_no_tau(order):
    # tau = 5 belongs to [5, 9) alone
    ends = [np.array([[1.0, 5.0]]), np.array([[5.0, 9.0]])][::order]
    found = [Runs(column, ends[column], 9.0) for column in (0, 1)]
    assert choose_point(found)[2]["n_plateaus"] == 2


def test_an_open_end_counts_as_the_largest_area():
    _column, tau, plateau = choose_point([Runs(0, np.array([[4.0, INF]]), 10.0)])
    assert (tau, plateau["tau"]) == (7.0, [4.0, None])
    assert choose_point([Runs(0, np.array([[10.0, INF]]), 10.0)])[1] == 10.0


def test_columns_that_are_not_neighbours_are_different_plateaus():
    found = [Runs(0, np.array([[1.0, 3.0]]), 9.0), Runs(2, np.array([[1.0, 3.0]]), 9.0)]
    assert choose_point(found)[2]["n_plateaus"] == 2


def test_many_stretches_are_chosen_from_quickly():
    start = np.arange(20_000.0) * 2
    runs = np.column_stack([start, start + 1])
    found = [Runs(column, runs, 40_000.0) for column in range(20)]
    column, tau, plateau = choose_point(found)
    assert plateau["n_plateaus"] == 20_000
    assert (column, tau) == (10, 39_998.5)


def test_a_given_t_leaves_only_tau_to_fit_and_a_given_tau_only_t():
    negative, positive = [9, 6, 4, 2, 0], [9, 9, 8, 5, 0]
    assert fit([negative, positive], [0, 1], columns=[1])[:2] == (THRESHOLDS[1], 7.5)
    t, tau, record = fit([negative, positive], [0, 1], tau=3.0)  # only [2, 5) holds 3
    assert (t, tau, record["value"]) == (THRESHOLDS[3], 3.0, 1.0)
    t, tau, _ = fit([negative, positive], [0, 1], tau=6.0)  # [6, 9) and [4, 8) hold 6
    assert (t, tau) == (THRESHOLDS[2], 6.0)


def test_tau_is_never_below_zero_so_an_empty_mask_is_negative():
    _t, tau, record = fit([[0], [0], [5]], [1, 0, 1], objective="sensitivity", target=1.0)
    assert tau >= 0
    assert (record["sensitivity"], record["target_reached"]) == (0.5, False)


def test_a_target_is_reached_with_the_best_other_side():
    # 10 positives with areas 1 to 10, 10 negatives with areas 0 to 4.5
    curves = [[area] for area in [*range(1, 11), *np.arange(0, 5, 0.5)]]
    label = [1] * 10 + [0] * 10
    _t, tau, record = fit(curves, label, objective="sensitivity", target=0.9)
    assert (record["sensitivity"], record["specificity"]) == (0.9, 0.4)  # taus from 1.5 to 2
    assert tau == 1.75
    _t, tau, record = fit(curves, label, objective="specificity", target=0.85)
    assert (record["specificity"], record["sensitivity"]) == (1.0, 0.6)  # 4 would give 0.9, 0.6
    assert tau == 4.75


def test_unknown_labels_are_left_out_and_counted():
    _t, tau, record = fit([[2], [10], [99], [0]], [0, 1, np.nan, np.nan])
    assert tau == 6.0
    assert (record["n"], record["n_unknown_label"]) == (2, 2)


def test_one_class_gives_no_point_and_says_why():
    t, tau, record = fit([[2], [10]], [1, 1])
    assert np.isnan([t, tau]).all()
    assert record["reason"] == "all 2 validation cases are positive"
    assert "plane" not in record


def test_masks_that_are_all_empty_still_give_a_point():
    _t, tau, record = fit([[0, 0], [0, 0]], [0, 1])
    assert (tau, record["value"]) == (0.0, 0.0)
