"""Batches of kept maps, and which findings can be fitted."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import StandardScaler

from segclf.core.config import make_recipe
from segclf.data.augment import draw_augmentation
from segclf.summarize.trained import TRAINED
from segclf.summarize.trained.fit import (
    _batches,
    _plan,
    fit_network,
    network_scores,
    new_network,
    prior_of,
)
from segclf.summarize.trained.fold import map_facts, not_fitted
from segclf.summarize.trained.represent import Reader
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


def faint(shape, n_cases, *, seed):
    """Values about 0.001, and in every other case one cell of each channel that is a bit more."""
    draw = np.random.default_rng(seed)
    values = draw.normal(1e-3, 2e-4, (n_cases, *shape)).astype(np.float32)
    flat = values.reshape(n_cases, shape[0], -1)
    flat[np.arange(0, n_cases, 2), :, draw.integers(0, flat.shape[2], n_cases // 2)] += 2e-3
    label = np.zeros((n_cases, 1))
    label[::2] = 1
    return Store([f"c{i:03d}" for i in range(n_cases)], values, label, label, [])


@pytest.mark.parametrize("rule", ["fc", "pool_fc", "shallow_simple", "deep_simple"])
def test_a_linear_head_learns_faint_maps_within_a_hundred_steps(rule, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    shape = (2, 1, 1) if rule.endswith("simple") else (2, 4, 4)
    head = TRAINED[rule].load()
    reader = Reader(TRAINED[rule], head, shape[1:], False, shape)
    train, val = faint(shape, 200, seed=1), faint(shape, 100, seed=2)
    recipe = a_recipe(steps=100, batch_size=16, lr=0.001, validate_every=100, precision="fp32")
    found = fit_network(reader, train, val, recipe, tmp_path, "test", None)
    score = network_scores(found.network, val.values)[:, 0]
    assert roc_auc_score(val.label[:, 0], score) > 0.9
    assert found.facts["loss"] < 0.95 * found.facts["loss_of_prior"]
    assert found.facts["loss_of_prior"] == pytest.approx(np.log(2))


def test_a_linear_head_starts_at_the_prior_and_scales_channels_as_scikit_learn_does():
    head, values = TRAINED["fc"].load(), np.random.default_rng(0).random((30, 2, 3, 4))
    values[:, 1] = 0.25  # says nothing, and must not divide by 0
    network = new_network(head, values.shape[1:], 2, seed=0)
    head.start(network, values.astype(np.float32), np.array([0.2, np.nan]))
    np.testing.assert_allclose(network_scores(network, values), [[0.2, 0.5]] * 30, rtol=1e-6)
    channels = np.moveaxis(values, 1, -1).reshape(-1, 2)
    scaler = StandardScaler().fit(channels)
    np.testing.assert_allclose(network.mean.flatten(), scaler.mean_, rtol=1e-6)
    np.testing.assert_allclose(network.sd.flatten(), scaler.scale_, rtol=1e-6)
    assert set(network.state_dict()) == {"mean", "sd", "layer.weight", "layer.bias"}
    assert torch.isfinite(network(torch.from_numpy(values).float())).all()


def test_the_loss_of_the_prior_is_that_of_the_share_in_batches():
    label = np.array([[1, 1], [1, np.nan], *[[0, np.nan]] * 5, [0, 0], [np.nan, np.nan]])
    prior, loss = prior_of(label, _plan(label, a_recipe(positive_share=None)))
    np.testing.assert_allclose(prior, [2 / 8, 1 / 2])
    known = ~np.isnan(label)
    answers = np.broadcast_to(prior, label.shape)[known]
    assert loss == pytest.approx(log_loss(label[known], answers))
    prior, loss = prior_of(label[:, :1], _plan(label[:, :1], a_recipe(positive_share=0.5)))
    assert (prior[0], loss) == (pytest.approx(0.5), pytest.approx(np.log(2)))
