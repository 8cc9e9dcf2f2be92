"""What every metric of the tables promises; list a metric and it is tested."""

import numpy as np
import pytest

from segclf.evaluate import METRICS
from segclf.evaluate.metrics import MASK_METRICS

LABEL = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
SCORE = np.array([0.9, 0.4, 0.7, 0.3, 0.5, 0.1, 0.2, 0.3, 0.6, 0.2])
WEIGHT = np.array([2, 1, 0, 3, 1, 2, 1, 1, 0, 1])
ALL = METRICS | MASK_METRICS
DECIDED = [name for name, metric in ALL.items() if metric.needs != "score"]


def value_of(metric):
    return SCORE if metric.needs == "score" else (SCORE > 0.35).astype(int)


@pytest.fixture(params=ALL, ids=str)
def metric(request):
    return ALL[request.param]


def test_a_metric_says_when_it_is_undefined(metric):
    assert metric.undefined_for.startswith("without ")


def test_one_class_gives_nan_exactly_where_the_metric_needs_the_other(metric):
    for label, needed in ((1, ("both", "negatives")), (0, ("both", "positives"))):
        value = value_of(metric)[label == LABEL]
        of_one_class = metric.function(np.full(len(value), label), value, np.ones(len(value)))
        if metric.uses_prevalence and metric.needs == "decision":
            assert of_one_class in (0.0, 1.0)  # PPV of positives alone: every call is right
        else:
            assert np.isnan(of_one_class) == (metric.uses in needed)


def test_no_weight_at_all_gives_nan(metric):
    assert np.isnan(metric.function(LABEL, value_of(metric), np.zeros(len(LABEL))))


def test_the_order_of_cases_changes_nothing(metric):
    order = np.random.default_rng(0).permutation(len(LABEL))
    value = value_of(metric)
    shuffled = metric.function(LABEL[order], value[order], WEIGHT[order])
    assert shuffled == pytest.approx(metric.function(LABEL, value, WEIGHT), abs=1e-15)


def test_a_weight_of_k_is_the_case_k_times(metric):
    value, ones = value_of(metric), np.ones(WEIGHT.sum())
    repeated = metric.function(np.repeat(LABEL, WEIGHT), np.repeat(value, WEIGHT), ones)
    assert repeated == pytest.approx(metric.function(LABEL, value, WEIGHT), abs=1e-15)


def test_a_perfect_method_has_the_best_value(metric):
    best = 1.0 if metric.higher_is_better else 0.0
    is_distance = metric.uses == "positives" and not metric.higher_is_better
    assert metric.function(LABEL, 0 * LABEL if is_distance else LABEL, WEIGHT) == best


def test_the_value_lies_between_0_and_1(metric):
    assert 0 < metric.function(LABEL, value_of(metric), WEIGHT) < 1


def test_labels_other_than_0_and_1_are_refused_with_the_value(metric):
    with pytest.raises(ValueError, match=r"a label is 0 or 1: got \[2\]"):
        metric.function(LABEL + (np.arange(10) == 3), value_of(metric), WEIGHT)


def test_a_nan_is_refused_with_the_number_of_them(metric):
    with pytest.raises(ValueError, match="1 values are NaN"):
        metric.function(LABEL, np.where(np.arange(10) == 3, np.nan, SCORE), WEIGHT)


def test_lengths_that_differ_are_refused_with_the_lengths(metric):
    with pytest.raises(ValueError, match="10, 9, 10"):
        metric.function(LABEL, SCORE[:9], WEIGHT)


@pytest.mark.parametrize("name", DECIDED)
def test_weights_of_many_replicates_give_one_value_each(name):
    metric = ALL[name]
    weights = np.random.default_rng(1).integers(0, 3, (10, 5, 4))
    together = metric.function(LABEL, value_of(metric), weights[:, :, 0])
    alone = [metric.function(LABEL, value_of(metric), weights[:, i, 0]) for i in range(5)]
    np.testing.assert_allclose(together, alone, rtol=1e-15)


@pytest.mark.parametrize("name", [name for name, m in METRICS.items() if m.uses_prevalence])
def test_twice_as_many_negatives_change_a_metric_that_uses_prevalence(name):
    value = value_of(METRICS[name])
    more = METRICS[name].function(LABEL, value, np.where(LABEL == 0, 2, 1))
    assert more != METRICS[name].function(LABEL, value, np.ones(10))


@pytest.mark.parametrize("name", [n for n, m in METRICS.items() if not m.uses_prevalence])
def test_twice_as_many_negatives_do_not_change_another_metric(name):
    value = value_of(METRICS[name])
    more = METRICS[name].function(LABEL, value, np.where(LABEL == 0, 2, 1))
    assert more == pytest.approx(METRICS[name].function(LABEL, value, np.ones(10)), abs=1e-15)
