import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from segclf.core.config import make_recipe
from segclf.core.randomness import generator
from segclf.data import Batch
from segclf.training import Task

N_VAL = 6


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch):
    """Tests do not wait for the disk; files are as complete without it."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


def tiny_batch(step: int, rank: int, world: int, batch_size: int) -> Batch:
    """Images whose bright corner is the target; drawn from the step alone."""
    draw = generator("batch", step)
    target = (draw.random((batch_size, 1, 8, 8)) > 0.8).astype(np.float32)
    image = target + 0.3 * draw.standard_normal((batch_size, 1, 8, 8)).astype(np.float32)
    mine = slice(rank, None, world)
    return Batch(
        image=torch.from_numpy(image.astype(np.float32))[mine],
        target=torch.from_numpy(target)[mine],
        label=torch.ones(batch_size, 1)[mine],
        case_id=[f"s{step}-c{i}" for i in range(batch_size)][mine],
        step=step,
    )


def tiny_network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(4, 1, 3, padding=1),  # more than one channel: layouts differ in memory
        )


def measure(network: nn.Module, rank: int, world: int) -> np.ndarray:
    """Three positive and three negative cases whose score is the mean probability."""
    measured = np.zeros((N_VAL, 1, 6))
    for i in range(rank, N_VAL, world):
        batch = tiny_batch(10_000 + i, 0, 1, 1)
        positive = float(i % 2)
        logits = network(batch.image * positive).float()
        predicted, true = logits > 0, batch.target * positive > 0.5
        measured[i, 0] = [
            nn.functional.binary_cross_entropy_with_logits(logits, batch.target * positive),
            logits.sigmoid().mean(), positive, (predicted & true).sum(), predicted.sum(),
            true.sum(),
        ]  # fmt: skip
    return measured


@pytest.fixture
def tiny():
    """Recipe and task of a training that takes milliseconds."""

    def make(*, poison=None, network=None, identity=None, **train):
        settings = {
            "steps": 12, "batch_size": 4, "lr": 0.05, "warmup_steps": 2, "validate_every": 4,
            "checkpoint_every": 3, "precision": "fp32",
        }  # fmt: skip
        recipe = make_recipe({"train": settings | train}, where="test")
        size = recipe.train.batch_size

        def batches(start, n_steps, rank, world):
            for step in range(start, start + n_steps):
                batch = tiny_batch(step, rank, world, size)
                yield poison(batch) if poison else batch

        task = Task(
            kind="segment",
            network=network or tiny_network(),
            spatial_dims=2,
            batches=batches,
            loss=lambda raw, batch: nn.functional.binary_cross_entropy_with_logits(
                raw, batch.target
            ),
            measure=measure,
            identity=identity or {"seed": 0, "train.precision": "fp32"},
        )
        return SimpleNamespace(recipe=recipe, task=task)

    return make


@pytest.fixture
def poisoned_at():
    """A change of batches that makes the image of one step NaN."""

    def make(step):
        def poison(batch):
            if batch.step != step:
                return batch
            return dataclasses.replace(batch, image=batch.image * float("nan"))

        return poison

    return make
