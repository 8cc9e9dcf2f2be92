"""A small head on feature maps: two convolutions, then the positions that matter are averaged."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segclf.summarize.trained.heads import MapHead, Space

WIDTH = 32
"""Channels of the head; few, since it is trained on few cases."""


class AttentionHead(nn.Module):
    """Two 3 x 3 (x 3) convolutions, attention over positions per finding, one linear layer.

    Source:
        Ilse, Tomczak and Welling, Attention-based deep multiple instance learning, ICML 2018,
        eq. 8, with one set of weights per finding.
    """

    def __init__(self, n_channels: int, n_axes: int, n_findings: int) -> None:
        """Fresh weights."""
        super().__init__()
        conv = nn.Conv2d if n_axes == 2 else nn.Conv3d
        self.features = nn.Sequential(
            conv(n_channels, WIDTH, 3, padding=1),
            nn.GroupNorm(4, WIDTH),
            nn.ReLU(),
            conv(WIDTH, WIDTH, 3, padding=1),
            nn.GroupNorm(4, WIDTH),
            nn.ReLU(),
        )
        self.attend = nn.Sequential(conv(WIDTH, WIDTH, 1), nn.Tanh(), conv(WIDTH, n_findings, 1))
        self.weight = nn.Parameter(torch.randn(n_findings, WIDTH) / WIDTH**0.5)
        self.bias = nn.Parameter(torch.zeros(n_findings))

    def forward(self, kept: Tensor) -> Tensor:
        """Logits `(case, finding)` of feature maps `(case, channel, *grid)`."""
        features = self.features(kept)
        share = self.attend(features).flatten(2).softmax(2)
        pooled = share @ features.flatten(2).transpose(1, 2)
        return (pooled * self.weight).sum(2) + self.bias


def build_attention(shape: Sequence[int], n_findings: int) -> nn.Module:
    """An `AttentionHead` for feature maps of shape `(channel, *grid)`."""
    return AttentionHead(shape[0], len(shape) - 1, n_findings)


def _at_most(space: Space, grid_px: int) -> Space:
    return tuple(min(side, grid_px) for side in space)


COMPLEX = MapHead(_at_most, build_attention)
