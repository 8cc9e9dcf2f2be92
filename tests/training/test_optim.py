import pytest
import torch
from torch import nn

from segclf.core.settings import TrainSettings
from segclf.training.optim import learning_rate, make_optimizer, start_average, update_average


def rates(**settings):
    train = TrainSettings(lr=0.1, **settings)
    return [learning_rate(step, train) for step in range(train.steps)]


def test_warm_up_and_cosine_are_those_of_torch():
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=9),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40),
        ],
        milestones=[10],
    )
    expected = []
    for _ in range(50):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates(steps=50, warmup_steps=10) == pytest.approx(expected)


def test_poly_is_that_of_torch():
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=20, power=0.9)
    expected = []
    for _ in range(20):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates(steps=20, warmup_steps=0, schedule="poly") == pytest.approx(expected)


def test_a_short_run_still_reaches_the_full_rate():
    assert max(rates(steps=20, warmup_steps=50)) == pytest.approx(0.1)
    assert rates(steps=8, warmup_steps=50, schedule="constant")[:3] == pytest.approx(
        [0.05, 0.1, 0.1]
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)],
)
def test_the_recipe_names_the_optimizer_and_frozen_weights_are_left_out(name, kind):
    network = nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    optimizer = make_optimizer(
        network, TrainSettings(optimizer=name, lr=0.3, weight_decay=0.02), fused=True
    )
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert group["params"] == [network.weight]
    assert (group["lr"], group["weight_decay"]) == (0.3, 0.02)


def test_counters_are_copied_and_statistics_averaged():
    network = nn.BatchNorm1d(2)
    average = start_average(network)
    network.num_batches_tracked += 7
    network.running_mean += 1.0
    update_average(average, network, decay=0.75, step=1000)
    assert average.num_batches_tracked == 7
    assert torch.equal(average.running_mean, torch.tensor([0.25, 0.25]))
    assert not average.training
    assert not average.weight.requires_grad
