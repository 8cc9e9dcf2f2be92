import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.linear_model import LogisticRegression

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
