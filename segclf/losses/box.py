"""What a box says: outside nothing, inside unknown, but somewhere inside a positive pixel."""

import torch
from torch import Tensor
from torch.nn import functional

from segclf.core.records import BOX


def without_boxes(target: Tensor) -> Tensor:
    """`target` with the pixels of boxes not known, as every loss of single pixels sees them."""
    return torch.where(target == BOX, torch.nan, target)


def box_loss(logits: Tensor, target: Tensor, *, exclusive: bool) -> Tensor:
    """Mean over boxes of -log(p), p the largest probability inside; 0 if there is no box.

    The boxes of one finding in one case count as one: a term for their union. With a single box
    that is the binary cross-entropy of the max-pooled probability against 1.

    Args:
        logits: `(batch, finding, *space)`, with background as first output if exclusive.
        target: `(batch, finding, *space)`: `BOX` inside boxes; all other values have no influence.
        exclusive: Findings exclude each other at a pixel.

    Source:
        Hsu et al., "Weakly supervised instance segmentation using the bounding box tightness
        prior", NeurIPS 2019: max-pooled binary cross-entropy, there per line that crosses a box.
    """
    inside = (target == BOX).flatten(2)
    raw = logits.log_softmax(1)[:, 1:] if exclusive else logits
    best = raw.flatten(2).masked_fill(~inside, torch.finfo(raw.dtype).min).amax(2)
    loss = -best if exclusive else functional.softplus(-best)
    has_box = inside.any(2)
    return torch.where(has_box, loss, 0).sum() / has_box.sum().clamp_min(1)
