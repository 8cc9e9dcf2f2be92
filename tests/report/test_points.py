"""Points of curves against scikit-learn, and net benefit against a count by hand."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from segclf.report.points import (
    calibration_bins,
    net_benefit_points,
    precision_at,
    precision_recall_points,
    roc_points,
    thinned,
    treat_all_points,
)


def drawn(seed, n=60):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n).astype(float)
    return label, np.round(rng.standard_normal(n) + label, 1)  # with ties


@pytest.mark.parametrize("seed", range(5))
def test_roc_points_are_those_of_scikit_learn(seed):
    label, score = drawn(seed)
    expected = roc_curve(label, score, drop_intermediate=False)
    np.testing.assert_allclose(roc_points(label, score), expected[:2])


@pytest.mark.parametrize("seed", range(5))
def test_precision_and_recall_are_those_of_scikit_learn(seed):
    label, score = drawn(seed)
    precision, recall, _ = precision_recall_curve(label, score)
    x, y = precision_recall_points(label, score)
    np.testing.assert_allclose(x, recall[-2::-1])  # its last point is an end without a threshold
    np.testing.assert_allclose(y, precision[-2::-1])


@pytest.mark.parametrize("seed", range(5))
def test_the_steps_of_precision_enclose_the_average_precision(seed):
    label, score = drawn(seed)
    recall = (np.arange(60_000) + 0.5) / 60_000
    area = precision_at(recall, precision_recall_points(label, score)).mean()
    assert area == pytest.approx(average_precision_score(label, score), abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_calibration_bins_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    probability = rng.beta(0.5, 2, 300)  # some bins are empty
    label = (rng.random(300) < probability).astype(float)
    share, mean = calibration_curve(label, probability, n_bins=10, strategy="uniform")
    bins = calibration_bins(label, probability)
    np.testing.assert_allclose(bins.share, share)
    np.testing.assert_allclose(bins.mean, mean)
    assert bins.n.sum() == 300


def test_a_probability_of_1_is_in_the_last_bin():
    bins = calibration_bins(np.array([1.0, 0.0]), np.array([1.0, 0.95]))
    assert (bins.n.tolist(), bins.left.tolist()) == ([2], [0.9])


def test_net_benefit_is_counted_by_hand():
    label = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0], float)
    probability = np.array([0.9, 0.5, 0.1, 0.6, 0.5, 0.2, 0.1, 0.1, 0.0, 0.0])
    found = net_benefit_points(label, probability, np.array([0.2, 0.5, 0.6]))
    # at 0.2: 2 true, 3 false; at 0.5: 2 and 2, the equal ones called; at 0.6: 1 and 1
    assert found == pytest.approx([(2 - 3 / 4) / 10, (2 - 2) / 10, (1 - 1.5) / 10])
    assert treat_all_points(0.3, np.array([0.2])) == pytest.approx([(3 - 7 / 4) / 10])
    assert np.isnan(net_benefit_points(np.empty(0), np.empty(0), np.array([0.5]))).all()


def test_calling_every_case_is_the_net_benefit_of_equal_probabilities():
    label, grid = np.array([1.0, 0, 0, 1, 0]), np.linspace(0.05, 0.95, 10)
    np.testing.assert_allclose(
        net_benefit_points(label, np.ones(5), grid), treat_all_points(0.4, grid)
    )


def test_curves_of_one_class_are_undefined():
    assert len(roc_points(np.ones(3), np.arange(3.0))[0]) == 0
    assert len(roc_points(np.array([]), np.array([]))[0]) == 0
    assert len(precision_recall_points(np.zeros(3), np.arange(3.0))[0]) == 0


def test_thinning_moves_no_curve_by_more_than_a_thousandth():
    rng = np.random.default_rng(0)
    label = (rng.random(100_000) < 0.3).astype(float)
    x, y = roc_points(label, rng.standard_normal(100_000) + label)
    thin = thinned(x, y)
    assert len(thin[0]) < 5000 < len(x)
    assert (thin[0][0], thin[0][-1], thin[1][-1]) == (0, 1, 1)
    assert np.abs(np.interp(x, *thin) - y).max() < 0.002
