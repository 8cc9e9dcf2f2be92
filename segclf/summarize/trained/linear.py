"""One linear layer: on a whole map, on a coarse pooled map, or on the means of a feature map."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from segclf.summarize.trained.heads import MapHead, Space, area_means

POOLED_PX = 4
"""Side of the grid of `pool_fc`."""


def build_linear(shape: Sequence[int], n_findings: int) -> nn.Module:
    """A linear layer on the flattened values `(case, channel, *grid)`."""
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), n_findings))


def means_and_maxima(maps: Tensor, grid: Space) -> Tensor:
    """Mean and maximum of each cell of a grid, `(case, 2 * channel, *grid)`, means first."""
    pool = functional.adaptive_max_pool2d if len(grid) == 2 else functional.adaptive_max_pool3d
    return torch.cat([area_means(maps, grid), pool(maps, grid)], dim=1)


def _fixed(space: Space, grid_px: int) -> Space:
    return (grid_px,) * len(space)


def _coarse(space: Space, _grid_px: int) -> Space:
    return (POOLED_PX,) * len(space)


def _one(space: Space, _grid_px: int) -> Space:
    return (1,) * len(space)


FC = MapHead(_fixed, build_linear)
"""One weight per cell of a fixed grid: knows where in the picture a lesion lies."""
POOL_FC = MapHead(_coarse, build_linear, reduce=means_and_maxima)
"""Mean and maximum of each cell of a 4 x 4 (x 4) grid: extent and peak, and roughly where."""
SIMPLE = MapHead(_one, build_linear)
"""Global average pooling: what is there, not where."""
