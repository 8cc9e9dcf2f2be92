"""The metrics against scikit-learn and statsmodels; a table by group against fairlearn."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from fairlearn.metrics import MetricFrame
from sklearn import metrics as sklearn

from segclf.core.settings import EvaluateSettings
from segclf.evaluate import METRICS, evaluate_scores


def calibration_line(y, p, *, sample_weight, slope):
    """Intercept at slope 1, or the slope, of a logistic regression on the logit."""
    logit = np.log(p / (1 - p))
    design = np.column_stack([np.ones(len(y)), logit]) if slope else np.ones((len(y), 1))
    options = {"family": sm.families.Binomial(), "freq_weights": sample_weight}
    fitted = sm.GLM(y, design, offset=None if slope else logit, **options).fit(tol=1e-14)
    return fitted.params[-1]


def calibration_error_excess(y, p, *, sample_weight):
    """Mean error over 15 bins, less its mean over labels drawn from the probabilities."""
    y, p = np.repeat(y, sample_weight), np.repeat(p, sample_weight)
    place = np.minimum(np.floor(p * 15).astype(int), 14)

    def error(labels):
        return sum(abs((labels - p)[..., place == b].sum(axis=-1)) for b in range(15)) / len(p)

    return error(y) - error(np.random.default_rng(0).random((8000, len(p))) < p).mean()


WITNESS = {
    "auroc": sklearn.roc_auc_score,
    "average_precision": sklearn.average_precision_score,
    "sensitivity": sklearn.recall_score,
    "specificity": lambda y, d, **kwargs: sklearn.recall_score(y, d, pos_label=0, **kwargs),
    "ppv": sklearn.precision_score,
    "npv": lambda y, d, **kwargs: sklearn.precision_score(y, d, pos_label=0, **kwargs),
    "balanced_accuracy": sklearn.balanced_accuracy_score,
    "partial_auroc": partial(sklearn.roc_auc_score, max_fpr=0.1),
    "f1": sklearn.f1_score,
    "youden": partial(sklearn.balanced_accuracy_score, adjusted=True),
    "mcc": sklearn.matthews_corrcoef,
    "brier": sklearn.brier_score_loss,
    "log_loss": sklearn.log_loss,
    "calibration_intercept": partial(calibration_line, slope=False),
    "calibration_slope": partial(calibration_line, slope=True),
    "calibration_error_excess": calibration_error_excess,
}
TOLERANCE = {"calibration_intercept": 1e-9, "calibration_slope": 1e-9}
TOLERANCE |= {"calibration_error_excess": 1e-3}  # the witness draws; large bins count as normal


@pytest.mark.parametrize("decimals", [1, 12], ids=["ties", "no ties"])
@pytest.mark.parametrize("name", METRICS)
def test_a_metric_equals_that_of_its_witness_with_weights(name, decimals):
    rng = np.random.default_rng(7)
    label = (rng.random(300) < 0.2).astype(int)
    score = np.round(rng.normal(size=300) + label, decimals)
    weight = rng.integers(0, 4, 300)
    values = {"score": score, "probability": 1 / (1 + np.exp(1 - score))}
    value = values.get(METRICS[name].needs, (score > 0.5).astype(int))
    expected = WITNESS[name](label, value, sample_weight=weight)
    found = METRICS[name].function(label, value, weight)
    assert found == pytest.approx(expected, abs=TOLERANCE.get(name, 1e-14))


def test_every_metric_has_a_witness():
    assert WITNESS.keys() == METRICS.keys()


def test_groups_without_a_class_are_missing_where_fairlearn_reads_no_difference():
    # fairlearn: a group without positives is NaN, and the difference of groups ignores it.
    rng = np.random.default_rng(1)
    n = 160
    group = rng.choice(list("ABC"), n)
    label = np.where(group == "C", 0, rng.integers(0, 2, n))
    score = rng.normal(size=n) + label
    ids = [f"c{i}" for i in range(n)]
    scores = pd.DataFrame(
        {
            "case_id": ids,
            "finding": "lesion",
            "method": "m",
            "score": score,
            "decision_value": score,
            "threshold": 0.5,
            "decision": (score > 0.5).astype(float),
            "probability": np.nan,
            "split": "test",
            "fold": pd.array([pd.NA] * n, dtype="Int64"),
            "seed": pd.array([pd.NA] * n, dtype="Int64"),
            "patient_id": ids,
            "label": label.astype(float),
        }
    )
    cases = pd.DataFrame({"case_id": ids, "site": group})
    found = evaluate_scores(scores, cases, by=["site"], settings=EvaluateSettings(n_boot=20))
    ours = found.metrics.set_index(["metric", "group"])["estimate"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one class only: scikit-learn warns inside fairlearn
        ranked = MetricFrame(
            metrics=sklearn.roc_auc_score, y_true=label, y_pred=score, sensitive_features=group
        )
        decided = MetricFrame(
            metrics={"ppv": sklearn.precision_score, "specificity": WITNESS["specificity"]},
            y_true=label,
            y_pred=(score > 0.5).astype(int),
            sensitive_features=group,
        )
    np.testing.assert_allclose(ours["auroc"].loc[list("ABC")], ranked.by_group.loc[list("ABC")])
    assert np.isnan(ours["auroc", "C"])
    for name in ("ppv", "specificity"):
        expected = decided.by_group[name].loc[list("AB")]
        np.testing.assert_allclose(ours[name].loc[list("AB")], expected)
    gap = found.gaps.set_index("metric").loc["auroc"]
    assert gap["gap"] == pytest.approx(abs(ours["auroc", "A"] - ours["auroc", "B"]))
    assert gap["left_out"].startswith("C: 0 positive images (fewer than 5)")
