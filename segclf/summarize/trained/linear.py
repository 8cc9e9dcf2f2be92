"""One linear layer: on a whole map, on a coarse pooled map, or on the means of a feature map."""

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from segclf.summarize.trained.heads import MapHead, Space, area_means

POOLED_PX = 4
"""Side of the grid of `pool_fc`."""
LEAST_SPREAD, PRIOR_FLOOR = 1e-6, 1e-3
"""An SD below this share of the mean is rounding alone; the smallest prior that a bias takes."""


class Linear(nn.Module):
    """A linear layer on values `(case, channel, *grid)` in units of the training cases' spread.

    Probabilities of small lesions are about 0.01: unscaled, the learning rate of a segmenter would
    need thousands of steps. Each channel has one mean and one SD, over cases and cells, so that a
    cell that is nearly always empty is not blown up, and mirroring changes neither.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, shape: Sequence[int], n_findings: int) -> None:
        """Random weights and no scaling, until `start_linear` has seen the training cases."""
        super().__init__()
        of_channel = (shape[0], *(1 for _ in shape[1:]))
        self.register_buffer("mean", torch.zeros(of_channel))
        self.register_buffer("sd", torch.ones(of_channel))
        self.layer = nn.Linear(prod(shape), n_findings)

    def forward(self, values: Tensor) -> Tensor:
        """Logits (case, finding)."""
        return self.layer(((values - self.mean) / self.sd).flatten(1))


def build_linear(shape: Sequence[int], n_findings: int) -> Linear:
    """A linear layer on the flattened, standardised values `(case, channel, *grid)`."""
    return Linear(shape, n_findings)


@torch.no_grad()
def start_linear(network: nn.Module, values: np.ndarray, prior: np.ndarray) -> None:
    """Take mean and SD from the training cases; weights begin at 0 and the bias at the prior.

    A channel that is the same in all training cases says nothing and is only centred.

    Args:
        network: From `build_linear`.
        values: (case, channel, *grid) of the training cases; read one by one.
        prior: (finding,) share of positives in batches, NaN where no label is known.
    """
    assert isinstance(network, Linear)
    cells = tuple(range(1, values.ndim - 1))
    mean = np.mean([np.float64(case).mean(cells) for case in values], axis=0)
    centre = mean.reshape(network.mean.shape)
    sd = np.sqrt(np.mean([((case - centre) ** 2).mean(cells) for case in values], axis=0))
    sd = np.where(sd > LEAST_SPREAD * np.abs(mean), sd, 1.0)
    share = np.clip(np.nan_to_num(prior, nan=0.5), PRIOR_FLOOR, 1 - PRIOR_FLOOR)
    network.mean.copy_(torch.from_numpy(centre))
    network.sd.copy_(torch.from_numpy(sd.reshape(centre.shape)))
    network.layer.weight.zero_()
    network.layer.bias.copy_(torch.from_numpy(np.log(share / (1 - share))))


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


FC = MapHead(_fixed, build_linear, start=start_linear)
"""One weight per cell of a fixed grid: knows where in the picture a lesion lies."""
POOL_FC = MapHead(_coarse, build_linear, reduce=means_and_maxima, start=start_linear)
"""Mean and maximum of each cell of a 4 x 4 (x 4) grid: extent and peak, and roughly where."""
SIMPLE = MapHead(_one, build_linear, start=start_linear)
"""Global average pooling: what is there, not where."""
