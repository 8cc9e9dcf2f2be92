"""Losses that compare areas: Dice, Tversky, and Dice with cross-entropy."""

from collections.abc import Callable

import torch
from monai.losses.dice import DiceLoss
from monai.losses.tversky import TverskyLoss
from torch import Tensor

from segclf.losses.pixelwise import ce

KINDS = (False, True)
"""Of truth: hard (every pixel 0 or 1), soft."""


def dice(logits: Tensor, target: Tensor, *, exclusive: bool, batch: bool = True) -> Tensor:
    """Dice loss 1 - 2 TP / (P + T), averaged over findings; 0 if nothing is known.

    TP is the sum of probabilities inside the target, P the sum of all of them, T the target's
    area. The sums run over the whole batch by default, so that the empty cases, half of a balanced
    batch, share a denominator with the positive ones. Take two cases of 1000 pixels, the first
    with a target of 4 (0.4 %), the second empty:

    * At the start, all probabilities 0.002: the gradient is -0.24975 on a target pixel and 0.00025
      on any other; the sum of all is -0.5, so raising everything lowers the loss and the network
      is not drawn towards an empty mask. It cannot be: for equal probabilities q on N pixels the
      loss falls in q, by 2 T^2 / (N q + T)^2.
    * Lesion found (1 inside, 0 outside): a false pixel in the empty case costs 0.125.

    Summed per case (`batch=False`) every lesion counts the same whatever its size, but a false
    pixel in the empty case costs only 0.0005 then, and more negative images get a false alarm.

    A finding (a case and finding, per case) without any target pixel has no Dice. MONAI's small
    smoothing constants answer that with a cliff: hardly a gradient until all probabilities are
    near zero, then one that outweighs every lesion. Here its loss is the mean probability of the
    known pixels, as gentle as cross-entropy. Unknown pixels count neither in TP, P nor T.

    Soft truth (a sum over a pixel with a target between 0 and 1) takes TP as the sum of the
    smaller of probability and target, which is the same for 0 and 1 and, unlike their product, is
    best where both are equal.

    Args:
        logits: `(batch, finding, *space)`, with background as first output if exclusive; Dice is
            that of the findings, background has none.
        target: `(batch, finding, *space)`: from 0 to 1, NaN at each pixel that is not known.
        exclusive: Findings exclude each other at a pixel.
        batch: Sum areas over the batch before dividing.

    Source:
        Wang et al., "Dice semimetric losses", MICCAI 2023, for soft truth.
        Milletari et al., "V-Net", 3DV 2016, without squares; Isensee et al., "nnU-Net", Nature
        Methods 18 (2021) for the sums over a batch.
    """
    hard, soft = (DiceLoss(batch=batch, reduction="none", soft_label=is_soft) for is_soft in KINDS)
    return _averaged(hard, soft, logits, target, exclusive=exclusive, batch=batch)


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
    that is missed altogether changes the image's label. Empty targets, sums over the batch,
    unknown pixels and soft truth are treated as in `dice`.

    Args:
        logits: `(batch, finding, *space)`, with background as first output if exclusive.
        target: `(batch, finding, *space)`: from 0 to 1, NaN at each pixel that is not known.
        exclusive: Findings exclude each other at a pixel.
        batch: Sum areas over the batch before dividing.
        alpha: Weight of false positive pixels.
        beta: Weight of false negative pixels.

    Source:
        Salehi et al., "Tversky loss function for image segmentation using 3D fully convolutional
        deep networks", MLMI 2017; alpha and beta as found best there for small lesions.
    """
    hard, soft = (
        TverskyLoss(alpha=alpha, beta=beta, batch=batch, reduction="none", soft_label=is_soft)
        for is_soft in KINDS
    )
    return _averaged(hard, soft, logits, target, exclusive=exclusive, batch=batch)


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
        target: `(batch, finding, *space)`: from 0 to 1, NaN at each pixel that is not known.
        exclusive: Findings exclude each other at a pixel.
        batch: Sum areas over the batch before dividing, see `dice`.
        dice_weight: Factor of the Dice loss.
        ce_weight: Factor of the cross-entropy.
    """
    return dice_weight * dice(logits, target, exclusive=exclusive, batch=batch) + ce_weight * ce(
        logits, target, exclusive=exclusive
    )


def _averaged(
    hard: Callable[[Tensor, Tensor], Tensor],
    soft: Callable[[Tensor, Tensor], Tensor],
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
    loss = hard(probability, truth).reshape(n_known.shape)
    is_soft = ((truth > 0) & (truth < 1)).any(areas)
    loss = torch.where(is_soft, soft(probability, truth).reshape(n_known.shape), loss)
    loss = torch.where(truth.sum(areas) > 0, loss, probability.sum(areas) / n_known.clamp_min(1))
    is_known = n_known > 0
    return (loss * is_known).sum() / is_known.sum().clamp_min(1)
