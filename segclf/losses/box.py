"""What a box says: outside nothing, inside unknown, but somewhere inside a positive pixel."""

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from segclf.core.records import BOX


def without_boxes(target: Tensor) -> Tensor:
    """`target` with the pixels of boxes not known, as every loss of single pixels sees them."""
    return torch.where(target == BOX, torch.nan, target)


def box_loss(logits: Tensor, target: Tensor, *, exclusive: bool) -> Tensor:
    """Mean over boxes of -log(p), p the largest probability inside; 0 if there is no box.

    Each box is a term: the binary cross-entropy of its max-pooled probability against 1. Boxes of
    one finding in one case that touch, also at a corner, cannot be told apart: they are one.

    Args:
        logits: `(batch, finding, *space)`, with background as first output if exclusive.
        target: `(batch, finding, *space)`: `BOX` inside boxes; all other values have no influence.
        exclusive: Findings exclude each other at a pixel.

    Source:
        Hsu et al., "Weakly supervised instance segmentation using the bounding box tightness
        prior", NeurIPS 2019: max-pooled binary cross-entropy, there per line that crosses a box.
    """
    raw = logits.log_softmax(1)[:, 1:] if exclusive else logits
    best = [raw[place][inside].amax() for place, inside in _boxes(target == BOX)]
    if not best:
        return raw.new_zeros(())
    of_boxes = torch.stack(best)
    return (-of_boxes if exclusive else functional.softplus(-of_boxes)).mean()


def _boxes(inside: Tensor) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """Case and finding of each box, and its pixels (*space) bool."""
    for case, finding in inside.flatten(2).any(2).nonzero().tolist():
        plane = inside[case, finding]
        touching = np.ones((3,) * plane.ndim)
        labelled = ndimage.label(plane.cpu().numpy(), structure=touching)
        numbers, n_boxes = cast("tuple[np.ndarray, int]", labelled)
        for number in range(1, n_boxes + 1):
            yield (case, finding), torch.from_numpy(numbers == number).to(plane.device)
