"""Heads by hand: what is kept of a map and what a linear layer makes of it, in NumPy."""

import numpy as np
import pytest
import torch
from scipy.special import expit

from segclf.losses import independent_loss
from segclf.summarize.trained import TRAINED
from segclf.summarize.trained.fit import network_scores, new_network


def cells(side, n_cells):
    """First pixel and the one behind the last of each cell: every pixel is in at least one."""
    return [(side * i // n_cells, -(-side * (i + 1) // n_cells)) for i in range(n_cells)]


def pooled(maps, n_cells, how):
    rows, columns = cells(maps.shape[2], n_cells), cells(maps.shape[3], n_cells)
    return np.array(
        [[[[how(plane[a:b, c:d]) for c, d in columns] for a, b in rows] for plane in case]
         for case in maps]
    )  # fmt: skip


@pytest.fixture
def maps():
    return np.random.default_rng(0).random((3, 2, 11, 14)).astype(np.float32)


@pytest.mark.parametrize("rule", ["fc", "pool_fc"])
def test_a_linear_head_is_a_weighted_sum_of_the_means_and_maxima_of_cells(rule, maps):
    head = TRAINED[rule].load()
    grid = head.grid((11, 14), 5)
    values = head.reduce(torch.from_numpy(maps), grid).numpy()
    by_hand = pooled(maps, grid[0], np.mean)
    if rule == "pool_fc":
        by_hand = np.concatenate([by_hand, pooled(maps, 4, np.max)], axis=1)
    np.testing.assert_allclose(values, by_hand, rtol=1e-6)
    network = new_network(head, values.shape[1:], 2, seed=0)
    weight, bias = (p.detach().numpy() for p in network.layer.parameters())
    logits = by_hand.reshape(3, -1) @ weight.T + bias
    np.testing.assert_allclose(network_scores(network, values), expit(logits), rtol=1e-5)


def test_the_simple_head_keeps_the_mean_of_each_feature(maps):
    head = TRAINED["deep_simple"].load()
    kept = head.reduce(torch.from_numpy(maps), head.grid((11, 14), 32)).numpy()
    np.testing.assert_allclose(kept[..., 0, 0], maps.mean((2, 3)), rtol=1e-6)


def test_attention_averages_positions_by_the_softmax_of_their_weights(maps):
    network = new_network(TRAINED["deep_complex"].load(), (2, 11, 14), 3, seed=0).double()
    x = network.features(torch.from_numpy(maps).double())
    features = x.flatten(2).detach().numpy()
    raw = network.attend(x).flatten(2).detach().numpy()
    share = np.exp(raw) / np.exp(raw).sum(2, keepdims=True)
    pooled_features = np.einsum("bfp,bcp->bfc", share, features)
    logits = np.einsum("bfc,fc->bf", pooled_features, network.weight.detach().numpy())
    out = network(torch.from_numpy(maps).double()).detach().numpy()
    np.testing.assert_allclose(out, logits + network.bias.detach().numpy(), rtol=1e-10)


def test_squeezenet_can_say_that_a_finding_is_unlikely():
    network = new_network(TRAINED["squeezenet"].load(), (1, 20, 20), 6, seed=0).eval()
    assert (network(torch.rand(4, 1, 20, 20)) < 0).any()


def test_the_loss_is_the_mean_cross_entropy_over_known_labels():
    raw = torch.tensor([[0.3, -1.2], [2.0, 0.1]], requires_grad=True)
    label = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
    p = expit(raw.detach().numpy())
    by_hand = -(np.log(p[0, 0]) + np.log(1 - p[1, 0]) + np.log(p[1, 1])) / 3
    assert independent_loss(raw, label).item() == pytest.approx(by_hand, rel=1e-6)
    nothing = independent_loss(raw, torch.full((2, 2), float("nan")))
    nothing.backward()
    assert nothing.item() == 0
    assert torch.equal(raw.grad, torch.zeros(2, 2))
