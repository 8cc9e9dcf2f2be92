import json

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from segclf.core.calibration import apply_calibration, fit_calibration


@pytest.fixture
def drawn():
    """400 scores of two overlapping classes, on an awkward scale."""
    rng = np.random.default_rng(5)
    label = (rng.random(400) < 0.3).astype(float)
    return 1e-4 * (3.0 + rng.normal(label, 1.0)), label


def platt_targets(label):
    n_positive, n_negative = (label == 1).sum(), (label == 0).sum()
    return np.where(label == 1, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))


def test_the_curve_is_that_of_statsmodels(drawn):
    score, label = drawn
    x = (score - score.mean()) / score.std()
    model = sm.GLM(platt_targets(label), sm.add_constant(x), family=sm.families.Binomial())
    expected = model.fit(tol=1e-14).fittedvalues
    probability = apply_calibration(score, fit_calibration(score, label))
    np.testing.assert_allclose(probability, expected, atol=1e-9)


def test_the_curve_is_that_of_scikit_learn(drawn):
    score, label = drawn
    x = np.tile((score - score.mean()) / score.std(), 2)[:, None]
    target = platt_targets(label)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    model.fit(x, np.repeat([1, 0], 400), sample_weight=np.append(target, 1 - target))
    probability = apply_calibration(score, fit_calibration(score, label))
    np.testing.assert_allclose(probability, model.predict_proba(x[:400])[:, 1], atol=1e-5)


def test_probabilities_are_right_on_average_and_rise_with_the_score(drawn):
    score, label = drawn
    calibration = fit_calibration(score, label)
    probability = apply_calibration(np.sort(score), calibration)
    assert (np.diff(probability) > 0).all()
    assert probability.mean() == pytest.approx(platt_targets(label).mean(), abs=1e-9)
    assert calibration["reversed"] is False
    assert calibration["separated"] is False


def test_separated_classes_give_a_finite_curve_and_are_reported():
    score, label = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.0, 1.0, 1.0])
    calibration = fit_calibration(score, label)
    probability = apply_calibration(score, calibration)
    assert calibration["separated"] is True
    assert 0.0 < calibration["slope"] < 100.0
    # two cases per class: Platt's targets are 1/4 and 3/4, which two pairs of points cannot pass
    # through, but by symmetry the curve crosses 1/2 in the middle
    assert apply_calibration(np.array([2.5]), calibration)[0] == pytest.approx(0.5)
    np.testing.assert_allclose(probability + probability[::-1], 1.0)


def test_two_scores_are_calibrated_to_platts_targets():
    # one curve passes through two points: (3 + 1) / (3 + 2) = 0.8 and 1 / (1 + 2)
    calibration = fit_calibration(np.array([7.0, 7.0, 7.0, 2.0]), np.array([1.0, 1.0, 1.0, 0.0]))
    probability = apply_calibration(np.array([7.0, 2.0]), calibration)
    np.testing.assert_allclose(probability, [0.8, 1 / 3], atol=1e-9)


def test_a_score_that_ranks_the_wrong_way_is_reported():
    calibration = fit_calibration(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 0.0]))
    assert calibration["reversed"] is True


def test_unknown_labels_and_missing_scores_are_left_out_and_counted():
    nan = np.nan
    score, label = np.array([1.0, 2.0, nan, 9.0]), np.array([0.0, 1.0, 1.0, nan])
    calibration = fit_calibration(score, label)
    counts = {name: calibration[name] for name in ("n", "n_unknown_label", "n_missing_score")}
    assert counts == {"n": 2, "n_unknown_label": 1, "n_missing_score": 1}
    assert calibration["slope"] == fit_calibration(score[:2], label[:2])["slope"]
    assert np.isnan(apply_calibration(np.array([nan]), calibration)[0])


@pytest.mark.parametrize(
    ("score", "label", "reason"),
    [
        ([0.1, 0.2], [1, 1], "all 2 validation cases are positive"),
        ([0.5, 0.5], [0, 1], "all 2 validation cases have the score 0.5"),
        ([], [], "no validation case has a known label"),
    ],
)
def test_what_cannot_be_calibrated_gives_no_probability_and_the_reason(score, label, reason):
    calibration = fit_calibration(np.array(score), np.array(label))
    assert calibration["reason"] == reason
    assert np.isnan(apply_calibration(np.array([0.3, 0.4]), calibration)).all()


@pytest.mark.parametrize("far", [1e3, 1e6, 1e12])
def test_one_extreme_score_does_not_break_the_fit(far):
    score, label = np.array([0.0, 1.0, 2.0, 3.0, far]), np.array([0.0, 1.0, 0.0, 1.0, 1.0])
    probability = apply_calibration(score, fit_calibration(score, label))
    assert np.isfinite(probability).all()
    assert (np.diff(probability) >= 0).all()


def test_an_infinite_score_is_refused():
    with pytest.raises(ValueError, match="1 infinite"):
        fit_calibration(np.array([np.inf, 0.0]), np.array([1.0, 0.0]))


def test_the_isotonic_curve_is_that_of_scikit_learn_also_between_and_outside_its_corners(drawn):
    score, label = np.round(drawn[0], 5), drawn[1]  # with ties
    assert len(np.unique(score)) < len(score)
    calibration = fit_calibration(score, label, "isotonic")
    asked = np.linspace(score.min() - 1e-4, score.max() + 1e-4, 1001)
    witness = IsotonicRegression(out_of_bounds="clip").fit(score, label)
    np.testing.assert_allclose(
        apply_calibration(asked, calibration), witness.predict(asked), atol=1e-9
    )
    assert len(calibration["at_score"]) <= 2 * calibration["n_levels"]
    assert json.loads(json.dumps(calibration)) == calibration


def test_the_temperature_is_the_one_of_the_smallest_log_loss(drawn):
    _, label = drawn
    rng = np.random.default_rng(1)
    overconfident = np.clip(expit(3 * rng.normal(2 * label - 1, 2.0)), 2.0**-24, 1 - 2.0**-24)
    calibration = fit_calibration(overconfident, label, "temperature")
    witness = minimize_scalar(
        lambda t: log_loss(label, expit(logit(overconfident) / t)), bounds=(0.01, 100),
        method="bounded", options={"xatol": 1e-9},
    )  # fmt: skip
    assert calibration["temperature"] == pytest.approx(witness.x, rel=1e-5)
    assert calibration["temperature"] > 2
    probability = apply_calibration(np.array([0.5, 0.1, 0.9, 1.0, 0.0, 1.5]), calibration)
    assert probability[0] == 0.5
    assert probability[1] + probability[2] == pytest.approx(1.0)
    assert 0 < probability[4] < probability[1] < 0.5 < probability[2] < probability[3] < 1
    assert np.isnan(probability[5])
    exact = np.append(overconfident, [0.0, 1.0])
    counted = fit_calibration(exact, np.append(label, [0, 1]), "temperature")
    assert counted["n_clipped"] == 2


def test_a_temperature_without_an_end_stops_at_its_limit_and_says_so():
    label = np.array([0.0, 0.0, 1.0, 1.0])
    for score, is_sharp in (([0.2, 0.3, 0.7, 0.8], True), ([0.8, 0.7, 0.3, 0.2], False)):
        calibration = fit_calibration(np.array(score), label, "temperature")
        assert calibration["at_limit"]
        assert (calibration["temperature"] < 1) == is_sharp
        assert np.isfinite(apply_calibration(np.array(score), calibration)).all()


def test_scores_that_are_no_probabilities_have_no_temperature():
    calibration = fit_calibration(
        np.array([0.1, 7.0, 0.5]), np.array([0.0, 1.0, 1.0]), "temperature"
    )
    assert calibration["reason"] == "1 of 3 validation scores are outside 0 to 1"
    assert np.isnan(apply_calibration(np.array([0.3]), calibration)).all()


def test_none_fits_nothing_and_an_unknown_method_is_our_own_mistake(drawn):
    calibration = fit_calibration(*drawn, "none")
    assert "switched off" in calibration["reason"]
    assert np.isnan(apply_calibration(drawn[0], calibration)).all()
    with pytest.raises(ValueError, match="'beta'"):
        fit_calibration(*drawn, "beta")
