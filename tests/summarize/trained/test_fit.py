"""Batches of kept maps, and which findings can be fitted."""

import numpy as np

from segclf.core.config import make_recipe
from segclf.data.augment import draw_augmentation
from segclf.summarize.trained.fit import _batches, _plan
from segclf.summarize.trained.fold import map_facts, not_fitted
from segclf.summarize.trained.store import Store


def a_store(label):
    values = np.random.default_rng(0).random((len(label), 1, 4, 5)).astype(np.float16)
    ids = [f"c{i}" for i in range(len(label))]
    return Store(ids, values, label, np.full(label.shape, 0.5), [])


def a_recipe(**train):
    values = {"train": {"batch_size": 4, **train}, "augment": {"flip_axes": [0, 1]}}
    return make_recipe(values, where="test")


def test_batches_are_balanced_mirrored_as_drawn_and_depend_on_the_step_alone():
    label = np.array([[1.0]] * 3 + [[0.0]] * 9 + [[np.nan]] * 2)
    store, recipe = a_store(label), a_recipe()
    plan = _plan(label, recipe)
    batches = list(_batches(0, 12, 0, 1, store=store, plan=plan, recipe=recipe))
    assert all((batch.label == 1).sum() == 2 for batch in batches)
    seen = [case_id for batch in batches for case_id in batch.case_id]
    assert set(seen) == {f"c{i}" for i in range(12)}  # those with a known label
    mirrored = 0
    for step, batch in enumerate(batches):
        for (row, epoch), image in zip(plan.draw(step), batch.image.numpy(), strict=True):
            flips = draw_augmentation(recipe.augment, 2, recipe.seed, epoch, f"c{row}").flips
            original = store.values[row].astype(np.float32)
            np.testing.assert_array_equal(np.flip(image, [axis + 1 for axis in flips]), original)
            mirrored += bool(flips)
    assert 0 < mirrored < 48
    (later,) = _batches(7, 1, 0, 1, store=store, plan=plan, recipe=recipe)
    assert later.case_id == batches[7].case_id
    np.testing.assert_array_equal(later.image, batches[7].image)


def test_one_kind_of_label_is_drawn_uniformly():
    label = np.zeros((6, 1))
    assert len(_plan(label, a_recipe()).pools) == 1
    label[0] = 1
    assert len(_plan(label, a_recipe()).pools) == 2
    assert len(_plan(label, a_recipe(positive_share=None)).pools) == 1


def test_a_finding_is_fitted_only_if_both_kinds_of_label_are_known():
    label = np.array([[1, 1, 0, np.nan], [0, np.nan, 0, np.nan], [np.nan, 1, 0, np.nan]])
    assert not_fitted(label, ("both", "all", "none", "unknown")) == {
        "all": "all 2 cases to fit on are positive",
        "none": "all 3 cases to fit on are negative",
        "unknown": "no case to fit on has a known label",
    }


def test_the_record_says_how_optimistic_maps_are():
    store = a_store(np.array([[1.0], [1.0], [0.0], [np.nan]]))
    store.mean_p[:, 0] = [0.4, 0.2, 0.3, 0.9]
    facts = map_facts(store, ("lesion",))["lesion"]
    assert (facts["n_positive"], facts["n_negative"]) == (2, 1)
    assert facts["mean_p_positive"] == np.mean([0.4, 0.2])
    assert (facts["mean_p_negative"], facts["auroc_of_mean_p"]) == (0.3, 0.5)
