"""A network in three parts, so that a segmenter and a classifier can share the first one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call


def last_of(features: Sequence[Tensor]) -> Tensor:
    """The last feature map; a function of ours, since `torch.compile` cannot trace `itemgetter`."""
    return features[-1]


@dataclass(frozen=True)
class Parts:
    """What a builder of the catalog returns: encoder, decoder and head of one network."""

    encoder: nn.Module
    """Image `(batch, channel, *space)` to feature maps, the deepest one last."""
    decoder: nn.Module
    """What `encoder` returns to the shallow features `(batch, feature, *space)`."""
    head: nn.Module
    """Shallow features to logits `(batch, output, *space)` at the size of the padded image."""
    divisor_px: tuple[int, ...]
    """Every axis of the image is padded to a multiple of this."""
    minimum_px: tuple[int, ...] = ()
    """Smallest padded image per axis that the parts accept; () for no more than `divisor_px`."""
    deep_of: Callable[[Any], Tensor] = last_of
    """Picks the deepest feature map from what `encoder` returns."""


class Stages(nn.ModuleList):
    """Encoder of a U-shaped network: each stage reads the output of the one before."""

    def forward(self, image: Tensor) -> list[Tensor]:
        """The output of every stage, the deepest last."""
        features = []
        for stage in self:
            image = stage(image)
            features.append(image)
        return features


class Steps(nn.ModuleList):
    """Decoder of a U-shaped network: each step reads the last output and one skip connection."""

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """The features at the resolution of the first stage."""
        *skips, lower = features
        for step, skip in zip(self, reversed(skips), strict=True):
            lower = step(lower, skip)
        return lower


class DryRun(NamedTuple):
    """What a pass without data found out about a module."""

    shape: tuple[int, ...]
    """Shape of the output."""
    unused: tuple[str, ...]
    """Parameters that do not influence the output."""


def dry_run(
    module: nn.Module, image_shape: Sequence[int], pick: Callable[[Any], Tensor] = lambda out: out
) -> DryRun:
    """Shape of a module's output and its unused parameters, found without computing a number.

    The pass runs on PyTorch's `meta` device, where tensors have shapes but no memory: it costs
    the same for every image size, draws no random numbers and leaves the weights alone.

    Args:
        module: Fresh from its builder; it is left in training mode.
        image_shape: `(batch, channel, *space)`.
        pick: Selects the tensor of interest from what the module returns.
    """
    tensors = {
        name: torch.empty_like(tensor, device="meta").requires_grad_(tensor.requires_grad)
        for name, tensor in chain(module.named_parameters(), module.named_buffers())
    }
    module.eval()
    output = pick(functional_call(module, tensors, (torch.empty(*image_shape, device="meta"),)))
    module.train()
    leaves = {name: tensor for name, tensor in tensors.items() if tensor.requires_grad}
    gradients = torch.autograd.grad(output.sum(), list(leaves.values()), allow_unused=True)
    unused = (name for name, grad in zip(leaves, gradients, strict=True) if grad is None)
    return DryRun(tuple(output.shape), tuple(unused))


def freeze(module: nn.Module, names: Iterable[str]) -> None:
    """Take the named parameters out of training.

    Some library encoders carry stages that the chosen architecture never calls (PSPNet stops
    after three); without this, training on several devices waits for gradients that never come.
    """
    for name in names:
        module.get_parameter(name).requires_grad_(False)
