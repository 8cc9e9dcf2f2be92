"""Volumes that are two voxels deep somewhere in the network, in bf16."""

import copy

import pytest
import torch
from torch import nn

from segclf.training.thin import guard_thin

ROUNDS = 12


def worst_gradient_error(network, shape):
    """Largest difference to the fp64 gradient of the weights over several rounds; inf for NaN."""
    worst = 0.0
    exact = copy.deepcopy(network).double()
    for _ in range(ROUNDS):
        junk = [torch.full((64 * k,), float("nan"), dtype=torch.bfloat16) for k in (7, 100, 1000)]
        del junk  # what freed memory may hold
        image = torch.rand(4, 16, *shape)
        for one, x in ((network, image), (exact, image.double())):
            one.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=one is network):
                y = one(x)
            y.pow(2).mean().backward()
        error = (network.weight.grad - exact.weight.grad).abs().max().item()
        worst = max(worst, error if error == error else float("inf"))
    return worst


@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 2, 2), (4, 4, 4)])
def test_gradients_of_thin_volumes_are_those_of_fp64(shape):
    torch.manual_seed(0)
    network = nn.Conv3d(16, 16, 3, padding=1)
    guard_thin(network)
    assert worst_gradient_error(network, shape) < 2e-3


def test_weights_and_their_names_stay_and_copies_are_guarded_too():
    network = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.Conv2d(1, 1, 3))
    before = copy.deepcopy(network.state_dict())
    guard_thin(network)
    after = copy.deepcopy(network).state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    with torch.autocast("cpu", torch.bfloat16):
        assert copy.deepcopy(network)[0](torch.rand(1, 1, 2, 4, 4)).dtype == torch.float32
        assert network[0](torch.rand(1, 1, 4, 4, 4)).dtype == torch.bfloat16
        assert type(network[1]) is nn.Conv2d
