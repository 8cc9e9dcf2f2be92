"""Learning curves against SciPy's least squares, Hanley and McNeil's formula, and simulation."""

import numpy as np
import pytest
from scipy import special
from scipy.optimize import curve_fit

from segclf.study.advise import curve as curves
from segclf.study.advise.buy import Prices, Stock, cheapest, next_hour
from segclf.study.advise.curve import (
    Cases,
    Curve,
    errors_of,
    fit_curve,
    logit_variance,
    masks_needed,
    predict_auroc,
)

LABELS = np.full(9, 300)
MASKS = np.repeat([10, 20, 40], 3)


def one_curve(level, share, exponent):
    """A posterior of one draw."""
    arrays = (np.array([level]), np.array([share]), np.array([exponent]))
    return Curve(*arrays, np.array([0.01]), np.array([0.0]), 10, 100, 40, share[2] > 0, 1.0)


def test_without_noise_the_middle_of_the_interval_is_where_least_squares_goes_on():
    sizes = np.array([10, 20, 40, 80, 160])
    auroc = 0.98 - 0.3 * (sizes / 10) ** -0.8
    (asymptote, b, k), _ = curve_fit(
        lambda m, a, b, k: a - b * (m / 10) ** -k, sizes, auroc, p0=(0.9, 0.2, 0.5)
    )
    found = fit_curve(np.repeat(sizes, 3), np.full(15, 300), np.repeat(auroc, 3))
    for masks in (320, 640):
        middle, lo, hi = predict_auroc(found, masks, 300)
        witness = asymptote - b * (masks / 10) ** -k
        assert middle == pytest.approx(witness, abs=0.012)
        assert lo < witness < hi


def test_the_asymptote_never_passes_1_even_if_the_measurements_seem_to():
    found = fit_curve(MASKS, LABELS, np.repeat([0.7, 0.9, 0.9999], 3))
    assert (found.level * found.share[:, 0] >= 0).all()
    assert (1 - errors_of(found, 1e6, 300) <= 1).all()
    _, lo, hi = predict_auroc(found, 1e6, 300)
    assert 0 <= lo < hi <= 1


def test_fewer_measurements_and_further_sizes_have_wider_intervals():
    auroc = np.repeat([0.75, 0.82, 0.87], 3) + np.tile([-0.02, 0, 0.02], 3)
    found = fit_curve(MASKS, LABELS, auroc)
    widths = [np.ptp(predict_auroc(found, m, 300)[1:]) for m in (40, 80, 400)]
    assert widths[0] < widths[1] < widths[2]
    one = fit_curve(MASKS[::3], LABELS[::3], auroc[1::3])
    assert np.ptp(predict_auroc(one, 80, 300)[1:]) > widths[1]


def test_other_cases_add_the_sampling_errors_of_both_sets():
    found = fit_curve(MASKS, LABELS, np.repeat([0.75, 0.82, 0.87], 3))
    own = predict_auroc(found, 80, 300)
    few, many = Cases(20, 20), Cases(1e6, 1e6)
    other = predict_auroc(found, 80, 300, measured_on=few, judged_on=few)
    same = predict_auroc(found, 80, 300, measured_on=many, judged_on=many)
    assert np.ptp(other[1:]) > 2 * np.ptp(own[1:])
    assert same == pytest.approx(own, abs=1e-3)


def test_the_sampling_variance_is_that_of_hanley_and_mcneil():
    # by hand, A = 0.9, 60 positives, 40 negatives: Q1 = 9/11, Q2 = 1.62/1.9
    variance = (0.09 + 59 * (9 / 11 - 0.81) + 39 * (1.62 / 1.9 - 0.81)) / 2400
    found = logit_variance(np.array([0.9]), Cases(60, 40, 1.5))
    assert found == pytest.approx(1.5 * variance / 0.09**2)


def test_masks_needed_is_the_inverse_of_the_curve():
    one = one_curve(0.4, (0.1, 0.6, 0.3), (0.7, 0.5))
    needed = masks_needed(one, 0.8, 200)[0]
    assert errors_of(one, needed, 200)[0, 0] == pytest.approx(0.2)
    assert masks_needed(one, 0.97, 1e9)[0] == np.inf  # the asymptote is 0.96


@pytest.mark.parametrize("scatter", [0.1, 0.25])
def test_intervals_cover_simulated_trainings(scatter, monkeypatch):
    """80 curves, 3 x 3 measurements with scatter on the logit scale, judged at twice the size."""
    monkeypatch.setattr(curves, "LOG2_DRAWS", 13)
    rng = np.random.default_rng(5)
    hits = []
    for _ in range(80):
        level, rest, k = rng.uniform(0.1, 0.4), rng.uniform(0, 0.6), rng.uniform(0.4, 1.4)
        error = level * (rest + (1 - rest) * (np.array([10, 20, 40, 80]) / 10) ** -k)
        drawn = special.expit(special.logit(error) + scatter * rng.normal(size=(3, 4)))
        found = fit_curve(np.tile([10, 20, 40], 3), LABELS, 1 - drawn[:, :3].ravel())
        _, lo, hi = predict_auroc(found, 80, 300)
        hits.append(lo <= 1 - drawn[0, 3] <= hi)
    assert np.mean(hits) >= 0.88  # 95 % less two standard errors of 80, and a little


@pytest.mark.parametrize(
    ("masks", "auroc", "message"),
    [
        ([10, 10], [0.8, 0.8], "at least 2 numbers of masks"),
        ([10, 20], [0.8, 1.2], "in \\[0, 1\\]"),
    ],
)
def test_what_is_no_curve_is_refused(masks, auroc, message):
    with pytest.raises(ValueError, match=message):
        fit_curve(np.array(masks), np.array([1, 1]), np.array(auroc))


def test_the_cheapest_mix_is_that_of_a_search_over_all_whole_numbers():
    one = one_curve(0.4, (0.05, 0.55, 0.4), (0.7, 0.5))
    prices, stock = Prices(4.0, 0.5), Stock(0, 0, 0.5)
    found = cheapest(one, 0.85, prices, stock, anew=True)
    masks, labels = np.meshgrid(np.arange(10, 400), np.arange(20, 3000, 5), indexing="ij")
    error = errors_of(one, masks.ravel(), 1)[0]  # checks shapes alone
    error = 0.4 * (0.05 + 0.55 * (masks / 10) ** -0.7 + 0.4 * (labels / 100) ** -0.5)
    fine = (error <= 0.15) & (masks <= 0.5 * labels)
    best = np.where(fine, 4.0 * masks + 0.5 * labels, np.inf).min()
    assert found["minutes"] == pytest.approx(best, rel=0.02)
    assert found["masks"] <= 0.5 * found["labels"]
    assert found["reached_by"] == 1.0


def test_where_labels_were_not_measured_more_are_bought_only_to_find_positives():
    one = one_curve(0.4, (0.05, 0.95, 0.0), (0.7, 0.5))
    found = cheapest(one, 0.9, Prices(4, 1), Stock(20, 100, 0.2), anew=False)
    masks = int(np.ceil(10 * ((0.25 - 0.05) / 0.95) ** (-1 / 0.7)))  # by hand
    assert found["masks"] == masks
    assert found["labels"] == 5 * masks
    assert found["minutes"] == 4 * (masks - 20) + (5 * masks - 100)


def test_a_target_above_the_asymptote_is_undefined_with_the_reason():
    one = one_curve(0.4, (0.3, 0.7, 0.0), (0.7, 0.5))
    found = cheapest(one, 0.9, Prices(4, 1), Stock(20, 100, 0.5), anew=False)
    assert found["minutes"] is None
    assert "the asymptote is 0.880" in found["reason"]
    assert "0 % of the curves" in found["reason"]
    assert "with up to 1,000,000 masks" in found["reason"]


def test_the_next_hour_buys_60_over_the_minutes_of_a_mask():
    one = one_curve(0.4, (0.05, 0.95, 0.0), (0.7, 0.5))
    found = next_hour(one, Prices(4), Stock(40, 100, 0.5))
    assert found["more_masks"] == 15
    before, after = (0.4 * (0.05 + 0.95 * (m / 10) ** -0.7) for m in (40, 55))
    assert found["gain"]["value"] == pytest.approx(before - after)
    assert (found["more_labels"], found["label_minutes"]) == (10, 0.0)


def test_labels_that_find_the_positives_are_part_of_the_hour():
    one = one_curve(0.4, (0.05, 0.55, 0.4), (0.7, 0.5))
    # 10 positives are known (40 min); each further mask takes 4 min and 2 labels of 1 min: 18 min
    found = next_hour(one, Prices(4, 1), Stock(40, 100, 0.5))
    assert (found["more_masks"], found["more_labels"], found["label_minutes"]) == (13, 6, 6.0)
    before, after = (
        0.4 * (0.05 + 0.55 * (m / 10) ** -0.7 + 0.4 * (n / 100) ** -0.5)
        for m, n in ((40, 100), (53, 106))
    )
    assert found["gain"]["value"] == pytest.approx(before - after)
    assert next_hour(one, Prices(4), Stock(40, 100, 1.0))["more_labels"] == 0
