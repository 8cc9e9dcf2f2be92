"""What every metric of the tables promises; list a metric and it is tested."""

import numpy as np
import pytest

from segclf.core.settings import EvaluateSettings
from segclf.evaluate import METRICS
from segclf.evaluate.metrics import MASK_METRICS, declared_metrics

LABEL = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
SCORE = np.array([0.9, 0.4, 0.7, 0.3, 0.5, 0.1, 0.2, 0.3, 0.6, 0.2])
WEIGHT = np.array([2, 1, 0, 3, 1, 2, 1, 1, 0, 1])
DECLARED = declared_metrics(EvaluateSettings(deploy_prevalence=0.1, net_benefit_at=(0.1, 0.4)))
ALL = METRICS | MASK_METRICS | DECLARED
PLAIN_COUNTS = [name for name, metric in ALL.items() if metric.needs in ("decision", "mask")]
OF_SUMS = [name for name, metric in ALL.items() if metric.sums is not None]
MISSING_CLASSES = {
    "without positives or without negatives": {0, 1},
    "without positives": {1},
    "without two kinds of labels and of decisions": {0, 1},
    "without positives, negatives or positive calls": {0, 1},
    "without positives, negatives or negative calls": {0, 1},
    "without positive calls": set(),
    "without negative calls": set(),
    "without cases": set(),
}
"""What a metric of both classes says of itself, and without which class it has no value."""


def missing_classes(metric):
    if metric.uses == "both":
        return MISSING_CLASSES[metric.undefined_for]
    return {1} if metric.uses == "positives" else {0}


def value_of(metric):
    if metric.needs in ("score", "probability"):
        return SCORE
    value = (SCORE > 0.35).astype(int)
    return value if metric.needs == "decision" or metric.is_fraction else 7 * value  # mm, mm2


def best_and_worst(metric):
    """Values of cases: of masks they are measured already, of all else compared with labels."""
    if metric.needs != "mask":
        return LABEL, 1 - LABEL
    best = np.full(10, int(metric.higher_is_better))
    return best, 1 - best


@pytest.fixture(params=ALL, ids=str)
def metric(request):
    return ALL[request.param]


def test_a_metric_says_when_it_is_undefined(metric):
    if metric.uses == "both":
        assert metric.undefined_for in MISSING_CLASSES
    else:
        assert metric.undefined_for.startswith(f"without {metric.uses}")


def test_one_class_gives_nan_exactly_where_the_metric_says_so(metric):
    for label in (0, 1):
        value = value_of(metric)[label == LABEL]
        of_one_class = metric.function(np.full(len(value), label), value, np.ones(len(value)))
        assert np.isnan(of_one_class) == (1 - label in missing_classes(metric))


def test_a_metric_of_one_class_does_not_look_at_the_other(metric):
    label_used = {"both": None, "positives": 1, "negatives": 0}[metric.uses]
    value = value_of(metric)
    once = np.ones(10)
    expected = metric.function(LABEL, value, once)
    flipped = (np.where(k == LABEL, 1 - value, value) for k in (0, 1))
    changed = [metric.function(LABEL, of_one_class, once) for of_one_class in flipped]
    is_same = [abs(c - expected) < 1e-12 for c in changed]
    if label_used is None:
        assert not all(is_same)
    else:
        assert is_same[1 - label_used]
        assert not is_same[label_used]


def test_no_weight_at_all_gives_nan(metric):
    assert np.isnan(metric.function(LABEL, value_of(metric), np.zeros(len(LABEL))))


def test_the_order_of_cases_changes_nothing(metric):
    order = np.random.default_rng(0).permutation(len(LABEL))
    value = value_of(metric)
    shuffled = metric.function(LABEL[order], value[order], WEIGHT[order])
    assert shuffled == pytest.approx(metric.function(LABEL, value, WEIGHT), abs=1e-12)


def test_a_weight_of_k_is_the_case_k_times(metric):
    value, ones = value_of(metric), np.ones(WEIGHT.sum())
    repeated = metric.function(np.repeat(LABEL, WEIGHT), np.repeat(value, WEIGHT), ones)
    assert repeated == pytest.approx(metric.function(LABEL, value, WEIGHT), abs=1e-12)


def test_a_perfect_method_has_the_best_value(metric):
    # Where neither more nor less is better, sure probabilities have no value: no logit.
    best, worst = best_and_worst(metric)
    perfect = metric.function(LABEL, best, WEIGHT)
    if metric.higher_is_better is None:
        assert np.isnan(perfect)
        return
    if metric.is_fraction:
        assert perfect == (1.0 if metric.higher_is_better else 0.0)
    sign = 1 if metric.higher_is_better else -1
    for value in (value_of(metric), worst):
        assert sign * (perfect - metric.function(LABEL, value, WEIGHT)) > -1e-12
    assert sign * (perfect - metric.function(LABEL, worst, WEIGHT)) > 0.05


def test_the_value_lies_between_0_and_1_where_the_metric_says_so_and_only_there(metric):
    constant = np.full(10, 0.4)  # as calibrated as can be
    values = [value_of(metric), 1 - np.minimum(value_of(metric), 1), *best_and_worst(metric)]
    values += [constant] if metric.needs == "probability" else []
    found = np.array([metric.function(LABEL, value, WEIGHT) for value in values], np.float64)
    found = np.append(found, metric.function(LABEL, constant > 2, np.ones(10)))
    if metric.needs == "probability":
        found = np.append(found, metric.function(LABEL, constant, np.ones(10)))
    found = found[~np.isnan(found)]
    assert len(found)
    assert ((found >= 0) & (found <= 1)).all() == metric.is_fraction


def test_labels_other_than_0_and_1_are_refused_with_the_value(metric):
    with pytest.raises(ValueError, match=r"a label is 0 or 1: got \[2\]"):
        metric.function(LABEL + (np.arange(10) == 3), value_of(metric), WEIGHT)


def test_a_nan_is_refused_with_the_number_of_them(metric):
    with pytest.raises(ValueError, match="1 values are NaN"):
        metric.function(LABEL, np.where(np.arange(10) == 3, np.nan, SCORE), WEIGHT)


def test_lengths_that_differ_are_refused_with_the_lengths(metric):
    with pytest.raises(ValueError, match="10, 9, 10"):
        metric.function(LABEL, SCORE[:9], WEIGHT)


@pytest.mark.parametrize("name", PLAIN_COUNTS)
def test_weights_of_many_replicates_give_one_value_each(name):
    metric = ALL[name]
    weights = np.random.default_rng(1).integers(0, 3, (10, 5, 4))
    together = metric.function(LABEL, value_of(metric), weights[:, :, 0])
    alone = [metric.function(LABEL, value_of(metric), weights[:, i, 0]) for i in range(5)]
    np.testing.assert_allclose(together, alone, rtol=1e-15)


@pytest.mark.parametrize("name", OF_SUMS)
def test_the_sums_of_the_sample_give_the_value_of_the_function(name):
    metric, patient = ALL[name], np.arange(10)
    terms, value_of_sums = metric.sums(LABEL, SCORE, patient)
    assert terms.shape[0] == 10
    found = value_of_sums(terms.T @ np.ones((10, 3)))
    expected = metric.function(LABEL, SCORE, np.ones(10))
    np.testing.assert_allclose(found, np.full(3, float(expected)), atol=1e-9)


def test_metrics_of_probabilities_and_only_those_have_sums():
    assert set(OF_SUMS) == {name for name, metric in ALL.items() if metric.needs == "probability"}


@pytest.mark.parametrize("name", [name for name, m in ALL.items() if m.uses_prevalence])
def test_twice_as_many_negatives_change_a_metric_that_uses_prevalence(name):
    value = value_of(ALL[name])
    more = ALL[name].function(LABEL, value, np.where(LABEL == 0, 2, 1))
    assert abs(more - ALL[name].function(LABEL, value, np.ones(10))) > 1e-6


@pytest.mark.parametrize("name", [n for n, m in ALL.items() if not m.uses_prevalence])
def test_twice_as_many_negatives_do_not_change_another_metric(name):
    value = value_of(ALL[name])
    more = ALL[name].function(LABEL, value, np.where(LABEL == 0, 2, 1))
    assert more == pytest.approx(ALL[name].function(LABEL, value, np.ones(10)), abs=1e-15)
