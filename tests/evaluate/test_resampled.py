"""Every resampled number equals the plain function under the drawn weights."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, f1_score, log_loss, matthews_corrcoef, roc_auc_score

from segclf.core.settings import EvaluateSettings
from segclf.evaluate import METRICS
from segclf.evaluate.inference import kernel
from segclf.evaluate.metrics import declared_metrics
from segclf.evaluate.metrics.probability import calibration_error
from segclf.evaluate.resample import leave_out_each, resample
from segclf.evaluate.sample import Slice, make_sample, select_rows

N = 700
DECLARED = declared_metrics(EvaluateSettings(deploy_prevalence=0.05, net_benefit_at=(0.1, 0.4)))


@pytest.fixture(params=[0, 1, 12], ids=["many ties", "ties", "no ties"])
def decimals(request):
    return request.param


@pytest.fixture
def sample(drawn, decimals):
    scores, _ = drawn(n=N, n_patients=200)
    score = scores["score"].round(decimals)
    probability = 1 / (1 + np.exp(1.5 - score))
    decision = (score > 0.5).astype(float)
    rows = scores.assign(score=score, decision_value=score, probability=probability)
    return make_sample(select_rows(rows.assign(decision=decision))[0], "lesion")


def weights_of(sample, n, seed=4):
    weights = np.empty((int(sample.stratum_start[-1]), n), np.uint8)
    kernel.draw_weights(sample.stratum_start, np.uint64(seed), 0, weights)
    return weights[sample.patient].astype(float)


def test_partial_areas_equal_scikit_learn_under_the_drawn_weights(sample):
    group = np.arange(N) % 3 == 0
    slices = [Slice("all", "all", np.ones(N, bool)), Slice("g", "1", group)]
    found = resample(sample, slices, METRICS, n_boot=40, seed=4).values["partial_auroc"]
    weights = weights_of(sample, 41)
    for s, own in enumerate((np.ones(N, bool), group)):
        for b in range(41):
            y, x, w = sample.positive[own], sample.score[own], weights[own, b]
            expected = roc_auc_score(y, x, sample_weight=w, max_fpr=0.1)
            assert found[0, s, 0, 0, b] == pytest.approx(expected, abs=1e-12)


def test_losses_and_net_benefit_equal_the_plain_sums_under_the_drawn_weights(sample):
    slices = [Slice("all", "all", np.ones(N, bool))]
    metrics = METRICS | DECLARED
    found = resample(sample, slices, metrics, n_boot=30, seed=4).pooled
    weights, y, p = weights_of(sample, 31), sample.positive, sample.probability
    for b in range(31):
        w = weights[:, b]
        # At a prevalence of 0.05, positives weigh 0.05 in all and negatives 0.95.
        deployed = np.where(y, 0.05 * w / w[y].sum(), 0.95 * w / w[~y].sum())
        expected = {
            "brier": brier_score_loss(y, p, sample_weight=w),
            "log_loss": log_loss(y, p, sample_weight=w),
            "brier_deployed": brier_score_loss(y, p, sample_weight=deployed),
        }
        for t in (0.1, 0.4):
            for name, v in ((f"net_benefit@{t}", w), (f"net_benefit_deployed@{t}", deployed)):
                right, wrong = v[y & (p >= t)].sum(), v[~y & (p >= t)].sum()
                expected[name] = (right - wrong * t / (1 - t)) / v.sum()
        for name, value in expected.items():
            assert found[name][0, 0, 0, b] == pytest.approx(value, abs=1e-12), name


def test_calibration_errors_are_those_of_the_drawn_cases_moved_by_their_mean(sample):
    slices = [Slice("all", "all", np.ones(N, bool))]
    found = resample(sample, slices, METRICS, n_boot=30, seed=4).pooled
    weights, y, p = weights_of(sample, 31), sample.positive, sample.probability
    error = calibration_error(y.astype(int), p, weights)
    excess = found["calibration_error_excess"][0, 0, 0]
    np.testing.assert_allclose(np.diff(excess[1:]), np.diff(error[1:]), atol=1e-12)
    assert excess[1:].mean() == pytest.approx(excess[0], abs=1e-12)
    assert 0 < error[0] - excess[0] < error[0]  # what chance makes is taken off


@pytest.mark.parametrize("name", ["calibration_intercept", "calibration_slope"])
def test_calibration_lines_are_close_to_those_of_the_drawn_cases(sample, name):
    # One Newton step from the line of the sample, instead of a fit per replicate.
    slices = [Slice("all", "all", np.ones(N, bool))]
    found = resample(sample, slices, METRICS, n_boot=30, seed=4).pooled[name][0, 0, 0]
    weights, label = weights_of(sample, 31), sample.positive.astype(int)
    full = [METRICS[name].function(label, sample.probability, w) for w in weights.T]
    assert found[0] == pytest.approx(full[0], abs=1e-9)
    assert np.std(found[1:]) == pytest.approx(np.std(full[1:]), rel=0.1)
    assert np.corrcoef(found[1:], full[1:])[0, 1] > 0.99


def test_decisions_equal_scikit_learn_under_the_drawn_weights(sample):
    slices = [Slice("all", "all", np.ones(N, bool))]
    counts = resample(sample, slices, METRICS, n_boot=20, seed=4).counts[0, 0, 0, 0]
    weights, label, decision = weights_of(sample, 21), np.array([0, 0, 1, 1]), np.array([0, 1] * 2)
    for name, witness in (("f1", f1_score), ("mcc", matthews_corrcoef)):
        found = METRICS[name].function(label, decision, counts)
        for b in range(21):
            w = weights[:, b]
            expected = witness(sample.positive, sample.decision, sample_weight=w)
            assert found[b] == pytest.approx(expected, abs=1e-12), name


def test_leaving_a_patient_out_is_the_metric_of_the_others(sample):
    slices = [Slice("all", "all", np.ones(N, bool))]
    found = leave_out_each(sample, slices, METRICS | DECLARED)
    y, x, p = sample.positive, sample.score, sample.probability
    assert found.values["auroc"].shape[-1] == 1 + len(np.unique(sample.patient))
    for out in (0, 17, int(sample.patient.max())):
        kept = sample.patient != out
        auroc = found.values["auroc"][0, 0, 0, 0, out + 1]
        assert auroc == pytest.approx(roc_auc_score(y[kept], x[kept]), abs=1e-14)
        brier = found.pooled["brier"][0, 0, 0, out + 1]
        assert brier == pytest.approx(brier_score_loss(y[kept], p[kept]), abs=1e-14)
