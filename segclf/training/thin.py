"""Convolutions of thin volumes, whose bf16 gradient is not to be trusted on the CPU."""

from torch import Tensor, autocast, nn

THIN = 2
"""Size along the first axis at which oneDNN, the library behind CPU convolutions, reads and writes
beyond its buffers: gradients are then now and then NaN, and the process may crash."""


class _ExactWhereThin(nn.Conv3d):
    """A convolution that computes in fp32 where its input is `THIN`."""

    def forward(self, input: Tensor) -> Tensor:
        if input.shape[2] != THIN or input.device.type != "cpu":
            return super().forward(input)
        with autocast("cpu", enabled=False):
            return super().forward(input.to(self.weight.dtype))


def guard_thin(network: nn.Module) -> None:
    """Let the 3D convolutions of a network compute in fp32 where bf16 fails; weights stay.

    Seen with torch 2.15 for kernels of 3 without stride; others, and 2D, were not affected.

    Args:
        network: Changed in place.
    """
    for module in network.modules():
        if type(module) is nn.Conv3d:
            module.__class__ = _ExactWhereThin
