"""Optimizer, learning rate and the moving average of weights."""

import math
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from segclf.core.config import TrainSettings

POLY_POWER = 0.9


def make_optimizer(
    network: nn.Module, settings: TrainSettings, *, fused: bool
) -> torch.optim.Optimizer:
    """The optimizer that the recipe names, over all trainable weights.

    Args:
        network: Its weights are already on their device.
        settings: Name, learning rate and weight decay.
        fused: One kernel for the whole step; cannot be combined with fp16 gradient scaling.
    """
    weights = [p for p in network.parameters() if p.requires_grad]
    shared: dict[str, Any] = {
        "lr": settings.lr,
        "weight_decay": settings.weight_decay,
        "fused": fused,
    }
    if settings.optimizer == "sgd":
        return torch.optim.SGD(weights, momentum=0.9, nesterov=True, **shared)
    kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
    return kinds[settings.optimizer](weights, **shared)


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Learning rate of a step (counted from 0): linear warm-up, then the schedule down to 0.

    The warm-up takes `warmup_steps`, but at most a quarter of all steps, so that short runs
    still reach the full rate. `poly` decays with the power 0.9.

    Source:
        Cosine: Loshchilov and Hutter, ICLR 2017. Poly: Chen et al., DeepLab, TPAMI 2018.
    """
    warmup = min(settings.warmup_steps, settings.steps // 4)
    if step < warmup:
        return settings.lr * (step + 1) / warmup
    progress = (step - warmup) / (settings.steps - warmup)
    if settings.schedule == "cosine":
        return settings.lr * 0.5 * (1.0 + math.cos(math.pi * progress))
    if settings.schedule == "poly":
        return settings.lr * (1.0 - progress) ** POLY_POWER
    return settings.lr


def start_average(network: nn.Module) -> nn.Module:
    """A copy of the network that will hold the moving average of its weights."""
    average = deepcopy(network).eval()
    return average.requires_grad_(False)


def update_average(average: nn.Module, network: nn.Module, *, decay: float, step: int) -> None:
    """Move the average towards the network's weights and normalization statistics.

    Early on the decay is lower, min(decay, (1 + step) / (10 + step)), so that the random
    start is forgotten.

    Args:
        average: From `start_average`; changed in place.
        network: The network as it is trained.
        decay: Share of the old average that is kept.
        step: Steps taken before this one.
    """
    decay = min(decay, (1 + step) / (10 + step))
    old, new = _tensors(average), _tensors(network)
    is_float = [tensor.is_floating_point() for tensor in old]
    floats = [pair for pair, keep in zip(zip(old, new, strict=True), is_float, strict=True) if keep]
    get_ema_multi_avg_fn(decay)([a for a, _ in floats], [b for _, b in floats], 0)
    for a, b, keep in zip(old, new, is_float, strict=True):
        if not keep:  # counters are not averaged
            a.copy_(b)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [t.detach() for t in (*network.parameters(), *network.buffers())]
