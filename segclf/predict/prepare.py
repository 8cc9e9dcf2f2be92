"""A trained network made fast for inference; its logits stay the same to rounding."""

import copy
import functools
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.fusion import fuse_conv_bn_eval

from segclf.networks import Segmenter
from segclf.training.runtime import PrecisionName, memory_format

TRIAL_PX = 64
"""Side of the random image on which a change of the network is tried."""
TOLERANCE = 1e-3
"""Largest change of a logit by folding, relative to the largest logit."""
REDUCED = {"bf16": torch.bfloat16, "fp16": torch.float16}


def prepare_network(
    network: Segmenter, precision: PrecisionName, device: torch.device
) -> Segmenter:
    """The network on `device`, for inference only: normalization folded, weights cast, laid out.

    Batch norm is folded into the convolution before it. At reduced precision, convolution weights
    are cast once, and the head stays in float32: its logits are what statistics are made from,
    and bf16 keeps only 8 bits of them. The layout is channels-last where that is faster.

    Args:
        network: Trained; it is changed, do not use it afterwards.
        precision: As `pick_precision` gives it.
        device: Where it will run.
    """
    network = fold_batch_norm(network.eval()).to(device)
    n_axes = len(network.divisor_px)
    network = network.to(memory_format=memory_format(n_axes, device))
    if precision != "fp32":
        for part in (network.encoder, network.decoder):
            for module in part.modules():
                if isinstance(module, _ConvNd):
                    module.to(REDUCED[precision])
        network.head = Float32Head(network.head, device.type)
    return network.requires_grad_(False)


class Float32Head(nn.Module):
    """A head that computes in float32 whatever the precision around it."""

    def __init__(self, head: nn.Module, device_type: str) -> None:
        """Keep the head."""
        super().__init__()
        self.head, self.device_type = head, device_type

    def forward(self, shallow: Tensor) -> Tensor:
        """Float32 logits of features in any precision."""
        with torch.autocast(self.device_type, enabled=False):
            return self.head(shallow.float())


@torch.no_grad()
def fold_batch_norm(network: Segmenter) -> Segmenter:
    """The network with each batch norm that directly follows a convolution folded into it.

    Pairs are found by running the network once, so that it works for every architecture. Should
    the folded network answer differently (a convolution whose output is also read elsewhere), the
    network is returned as it was.
    """
    if not any(isinstance(module, _BatchNorm) for module in network.modules()):
        return network
    shape = (1, network.n_channels, *network.padded((TRIAL_PX,) * len(network.divisor_px)))
    trial = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    folded = copy.deepcopy(network)
    for conv_name, norm_name in _pairs(folded, trial):
        conv = cast(_ConvNd, folded.get_submodule(conv_name))
        norm = cast(_BatchNorm, folded.get_submodule(norm_name))
        transpose = isinstance(conv, _ConvTransposeNd)
        _replace(folded, conv_name, fuse_conv_bn_eval(conv, norm, transpose=transpose))
        _replace(folded, norm_name, nn.Identity())
    before, after = network(trial), folded(trial)
    is_same = (before - after).abs().max() <= TOLERANCE * before.abs().max().clamp(min=1)
    return folded if is_same else network


def _pairs(network: nn.Module, trial: Tensor) -> list[tuple[str, str]]:
    """Names of (convolution, batch norm) where the second reads the output of the first."""
    calls: list[tuple[str, nn.Module, Tensor, Tensor]] = []

    def note(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls.append((name, module, inputs[0], output))

    hooks = [
        module.register_forward_hook(functools.partial(note, name))
        for name, module in network.named_modules()
        if isinstance(module, _ConvNd | _BatchNorm)
    ]
    network(trial)
    for hook in hooks:
        hook.remove()
    names = [name for name, *_ in calls]
    made_by = {id(output): name for name, module, _, output in calls if isinstance(module, _ConvNd)}
    return [
        (made_by[id(read)], name)
        for name, module, read, _ in calls
        if isinstance(module, _BatchNorm)
        and id(read) in made_by
        and names.count(name) == names.count(made_by[id(read)]) == 1
    ]


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, module)
