"""Losses that compare areas: Dice, Tversky, and Dice with cross-entropy."""

from collections.abc import Callable

import torch
from monai.losses.dice import DiceLoss
from monai.losses.tversky import TverskyLoss
from torch import Tensor

from segclf.losses.pixelwise import ce


def dice(logits: Tensor, target: Tensor, *, exclusive: bool, batch: bool = True) -> Tensor:
    """Dice loss 1 - 2 TP / (predicted + true), averaged over findings; 0 if nothing is known.

    Areas are summed over the batch by default (`batch`).
    """
    overlap = DiceLoss(batch=batch, reduction="none")
    return _averaged(overlap, logits, target, exclusive=exclusive, batch=batch)


def tversky(
    logits: Tensor,
    target: Tensor,
    *,
    exclusive: bool,
    batch: bool = True,
    alpha: float = 0.3,
    beta: float = 0.7,
) -> Tensor:
    """Tversky loss 1 - TP / (TP + alpha FP + beta FN), averaged over findings.

    0 if nothing is known. Missed pixels cost more than false ones by default, since a small lesion
    that is missed altogether changes the image's label. Empty targets, sums over the batch and
    unknown findings are treated as in `dice`.

    Args:
        logits: `(batch, finding, *space)`, with background as first output if exclusive.
        target: `(batch, finding, *space)`: 1, 0, or NaN where not known.
        exclusive: Findings exclude each other at a pixel.
        batch: Sum areas over the batch before dividing.
        alpha: Weight of false positive pixels.
        beta: Weight of false negative pixels.

    Source:
        Salehi et al., "Tversky loss function for image segmentation using 3D fully convolutional
        deep networks", MLMI 2017; alpha and beta as found best there for small lesions.
    """
    overlap = TverskyLoss(alpha=alpha, beta=beta, batch=batch, reduction="none")
    return _averaged(overlap, logits, target, exclusive=exclusive, batch=batch)


def dice_ce(
    logits: Tensor,
    target: Tensor,
    *,
    exclusive: bool,
    batch: bool = True,
    dice_weight: float = 1.0,
    ce_weight: float = 1.0,
) -> Tensor:
    """Weighted sum of `dice` and `ce`; 0 if nothing is known.

    Args:
        logits: `(batch, finding, *space)`, with background as first output if exclusive.
        target: `(batch, finding, *space)`: 1, 0, or NaN where not known.
        exclusive: Findings exclude each other at a pixel.
        batch: Sum areas over the batch before dividing, see `dice`.
        dice_weight: Factor of the Dice loss.
        ce_weight: Factor of the cross-entropy.
    """
    return dice_weight * dice(logits, target, exclusive=exclusive, batch=batch) + ce_weight * ce(
        logits, target, exclusive=exclusive
    )


def _averaged(
    overlap: Callable[[Tensor, Tensor], Tensor],
    logits: Tensor,
    target: Tensor,
    *,
    exclusive: bool,
    batch: bool,
) -> Tensor:
    """Mean over findings (and cases, unless `batch`) of an overlap loss of known pixels."""
    probability = logits.softmax(1)[:, 1:] if exclusive else logits.sigmoid()
    known = ~target.isnan()
    probability = torch.where(known, probability, 0)
    truth = torch.where(known, target, 0)
    space = tuple(range(2, target.ndim))
    areas = (0, *space) if batch else space
    n_known = known.sum(areas)
    loss = overlap(probability, truth).reshape(n_known.shape)
    loss = torch.where(truth.sum(areas) > 0, loss, probability.sum(areas) / n_known.clamp_min(1))
    is_known = n_known > 0
    return (loss * is_known).sum() / is_known.sum().clamp_min(1)
