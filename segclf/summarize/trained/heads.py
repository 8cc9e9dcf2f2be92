"""What a trained summarizer is made of: what it keeps of a map, and what it makes of that."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

Space = tuple[int, ...]


def area_means(maps: Tensor, grid: Space) -> Tensor:
    """Maps `(case, channel, *space)` averaged over the cells of a grid, `(case, channel, *grid)`.

    A cell that covers a part of a pixel takes the whole of it. No pixel is left out, so that a
    small lesion leaves its trace on every grid; the grid (1, 1) is global average pooling.
    """
    if tuple(maps.shape[2:]) == grid:
        return maps
    pool = functional.adaptive_avg_pool2d if len(grid) == 2 else functional.adaptive_avg_pool3d
    return pool(maps, grid)  # type: ignore[arg-type] (a tuple of the right length)


@dataclass(frozen=True)
class MapHead:
    """A network that reads maps, and the grid on which they are kept for it."""

    grid: Callable[[Space, int], Space]
    """`(shape of the map of a prepared image, summarize.grid_px) -> grid that is kept`."""
    build: Callable[[Sequence[int], int], nn.Module]
    """`((channel, *grid), number of findings) -> network`; `forward(kept (case, channel, *grid))`
    gives logits `(case, finding)`. Its weights are fresh: nothing is pretrained."""
    reduce: Callable[[Tensor, Space], Tensor] = area_means
    """`(maps (case, channel, *space), grid) -> what is kept (case, channel', *grid)`."""
    start: Callable[[nn.Module, np.ndarray, np.ndarray], None] | None = None
    """`(fresh network, kept training cases (case, channel, *grid), prior (finding,))` sets what the
    network takes from the training cases before the first step, as buffers: scaling, a bias.
    The prior is the share of positives in batches, NaN where no label is known."""
    takes_image: bool = False
    """Reads the prepared image beside the map if `summarize.with_image` says so."""


Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class StatisticsHead:
    """A model of mask statistics, one per finding, kept as plain arrays."""

    fit: Callable[[np.ndarray, np.ndarray, int], Arrays]
    """`(features (case, feature), positive (case,) 0 or 1 of both kinds, seed) -> arrays`."""
    probability: Callable[[Arrays, np.ndarray], np.ndarray]
    """`(arrays, features (case, feature)) -> (case,)`, in NumPy."""
    suffix: str
    """`.json` or `.npz`: how the arrays are kept."""
