"""The metrics against scikit-learn, and a table by group against fairlearn."""

import numpy as np
import pytest
from sklearn import metrics as sklearn

from segclf.evaluate import METRICS

WITNESS = {
    "auroc": sklearn.roc_auc_score,
    "average_precision": sklearn.average_precision_score,
    "sensitivity": sklearn.recall_score,
    "specificity": lambda y, d, **kwargs: sklearn.recall_score(y, d, pos_label=0, **kwargs),
    "ppv": sklearn.precision_score,
    "npv": lambda y, d, **kwargs: sklearn.precision_score(y, d, pos_label=0, **kwargs),
    "balanced_accuracy": sklearn.balanced_accuracy_score,
}


@pytest.mark.parametrize("decimals", [1, 12], ids=["ties", "no ties"])
@pytest.mark.parametrize("name", METRICS)
def test_a_metric_equals_that_of_scikit_learn_with_weights(name, decimals):
    rng = np.random.default_rng(7)
    label = (rng.random(300) < 0.2).astype(int)
    score = np.round(rng.normal(size=300) + label, decimals)
    weight = rng.integers(0, 4, 300)
    value = score if METRICS[name].needs == "score" else (score > 0.5).astype(int)
    expected = WITNESS[name](label, value, sample_weight=weight)
    assert METRICS[name].function(label, value, weight) == pytest.approx(expected, abs=1e-14)


def test_every_metric_has_a_witness():
    assert WITNESS.keys() == METRICS.keys()
