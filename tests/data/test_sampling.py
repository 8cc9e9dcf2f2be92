from collections import Counter

import numpy as np
import pytest

from segclf.core.errors import DataError
from segclf.core.records import MaskState
from segclf.data import CaseCache, plan_sampling, plan_uniform


def plan_of(cases, settings, task="segment"):
    return plan_sampling(cases, settings, task=task, cache=CaseCache(cases, settings, None))


def test_half_of_each_batch_is_positive_and_every_case_is_seen_equally_often(many_cases, recipe):
    plan = plan_of(many_cases, recipe(train={"batch_size": 4}))
    seen = Counter()
    for step in range(40):
        chosen = plan.draw(step)
        assert len(chosen) == 4
        assert sum(index % 3 == 0 for index, _ in chosen) == 2
        seen.update(index for index, _ in chosen)
    assert {seen[index] for index in range(0, 12, 3)} == {20}  # 80 draws of 4 positive cases
    assert {seen[index] for index in range(12) if index % 3} == {10}  # 80 draws of 8 others


def test_a_share_that_is_no_whole_number_is_met_on_average(many_cases, recipe):
    plan = plan_of(many_cases, recipe(train={"batch_size": 3, "positive_share": 0.4}))
    counts = [sum(index % 3 == 0 for index, _ in plan.draw(step)) for step in range(10)]
    assert sum(counts) == 12
    assert set(counts) == {1, 2}
    assert all(len(plan.draw(step)) == 3 for step in range(10))


def test_the_epoch_counts_how_often_a_case_was_seen_before(many_cases, recipe):
    plan = plan_of(many_cases, recipe(train={"batch_size": 4}))
    seen = Counter()
    for step in range(20):
        for index, epoch in plan.draw(step):
            assert epoch == seen[index]
            seen[index] += 1


def test_orders_differ_between_epochs_and_seeds(many_cases, recipe):
    settings = recipe(train={"batch_size": 12, "positive_share": None})
    plan = plan_of(many_cases, settings)
    first, second = ([index for index, _ in plan.draw(step)] for step in (0, 1))
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second
    other = plan_of(many_cases, settings.model_copy(update={"seed": 1}))
    assert [index for index, _ in other.draw(0)] != first


def test_without_other_cases_batches_are_uniform_and_a_note_says_why(many_cases, recipe):
    positive = many_cases[::3]
    plan = plan_of(positive, recipe(train={"batch_size": 4}))
    assert sorted(index for index, _ in plan.draw(0)) == [0, 1, 2, 3]
    assert plan.note.startswith("train.positive_share = 0.5 needs positive and other cases")
    assert "of 4 training cases 4 are positive" in plan.note
    assert plan_of(many_cases, recipe()).note is None


def test_a_drawn_mask_makes_a_case_positive_when_no_label_does(write_case, recipe):
    image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    masks = [np.eye(4, dtype=np.uint8), np.zeros((4, 4), dtype=np.uint8)]
    cases = [write_case(f"c{k}", image, masks=(m,), labels=(np.nan,)) for k, m in enumerate(masks)]
    plan = plan_of(cases, recipe(train={"batch_size": 2}))
    assert plan.pools == ((0,), (1,))


def test_a_drawn_mask_does_not_steer_what_learns_labels_alone(write_case, recipe):
    image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    drawn, empty = np.eye(4, dtype=np.uint8), np.zeros((4, 4), dtype=np.uint8)
    labels = [(1.0, 0.0), (0.0, np.nan), (0.0, 0.0)]
    masks = [(drawn, empty), (empty, drawn), (empty, empty)]
    cases = [write_case(f"c{k}", image, masks=masks[k], labels=labels[k]) for k in range(3)]
    settings = recipe(train={"batch_size": 2})
    assert plan_of(cases, settings, "classify").pools == ((0,), (1, 2))
    assert plan_of(cases, settings, "segment").pools == ((0, 1), (2,))


def test_cases_with_nothing_to_learn_from_are_left_out_per_task(write_case, recipe):
    image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    cases = [
        write_case("no_mask", image, masks=(MaskState.UNKNOWN,), labels=(1.0,)),
        write_case("no_label", image, masks=(np.eye(4, dtype=np.uint8),), labels=(np.nan,)),
    ]
    uniform = recipe(train={"positive_share": None})
    assert plan_of(cases, uniform, "segment").pools == ((1,),)
    assert plan_of(cases, uniform, "classify").pools == ((0,),)
    with pytest.raises(DataError, match="none of the 1 training cases has a known label"):
        plan_of(cases[1:], uniform, "classify")


def test_uniform_batches_see_the_named_cases_alone(many_cases, recipe):
    plan = plan_uniform(many_cases, recipe(train={"batch_size": 3}), [1, 4, 7])
    assert sorted(index for index, _ in plan.draw(5)) == [1, 4, 7]
    with pytest.raises(DataError, match="none of the 12 training cases has a known label"):
        plan_uniform(many_cases, recipe(), [])
