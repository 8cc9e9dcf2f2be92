"""Losses that look at each pixel by itself: cross-entropy and focal loss."""

import torch
from monai.losses.focal_loss import sigmoid_focal_loss
from torch import Tensor
from torch.nn import functional


def ce(logits: Tensor, target: Tensor, *, exclusive: bool) -> Tensor:
    """Cross-entropy, averaged over the known pixels of all findings; 0 if nothing is known.

    Independent findings: binary cross-entropy. Exclusive findings: categorical cross-entropy, see
    `exclusive_nll` for cases in which only some findings are known.

    Args:
        logits: `(batch, finding, *space)`, with background as first output if exclusive.
        target: `(batch, finding, *space)`: 1, 0, or NaN where not known.
        exclusive: Findings exclude each other at a pixel.
    """
    if exclusive:
        nll, counted = exclusive_nll(logits, target)
        return _mean(nll, counted)
    known = ~target.isnan()
    truth = torch.where(known, target, 0)
    total = functional.binary_cross_entropy_with_logits(
        logits, truth, weight=known.to(logits.dtype), reduction="sum"
    )
    return total / known.sum().clamp_min(1)


def focal(
    logits: Tensor,
    target: Tensor,
    *,
    exclusive: bool,
    gamma: float = 2.0,
    alpha: float | None = None,
) -> Tensor:
    """Focal loss (1 - p_t)^gamma CE, averaged over the known pixels; 0 if nothing is known.

    Exclusive findings use the probability of everything the target allows as p_t, as `ce` does;
    with all findings known that is the usual softmax focal loss.

    Args:
        logits: `(batch, finding, *space)`, with background as first output if exclusive.
        target: `(batch, finding, *space)`: 1, 0, or NaN where not known.
        exclusive: Findings exclude each other at a pixel.
        gamma: How strongly pixels that are already right count less.
        alpha: Weight of positive pixels, 1 - alpha that of the others; None weighs all the same.

    Source:
        Lin et al., "Focal loss for dense object detection", ICCV 2017.
    """
    if not exclusive:
        known = ~target.isnan()
        truth = torch.where(known, target, 0)
        return _mean(sigmoid_focal_loss(logits, truth, gamma, alpha), known)
    nll, counted = exclusive_nll(logits, target)
    loss = (1 - (-nll).exp()).clamp_min(torch.finfo(nll.dtype).eps) ** gamma * nll
    if alpha is not None:
        loss = loss * torch.where((target == 1).any(1), alpha, 1 - alpha)
    return _mean(loss, counted)


def exclusive_nll(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Minus log probability of what the target allows at each pixel, and where that says anything.

    A pixel that a known finding covers is that finding and nothing else. Elsewhere the pixel may
    be background or any finding that is not known for this case: their probabilities are added
    (the marginal loss for partly labelled data). With all findings known this is categorical
    cross-entropy; with none known it is 0, and the pixel is not counted.

    Args:
        logits: `(batch, 1 + finding, *space)`, background first.
        target: `(batch, finding, *space)`: 1, 0, or NaN where not known.

    Returns:
        Two tensors `(batch, *space)`: the loss, and whether any finding is known.

    Source:
        Shi et al., "Marginal loss and exclusion loss for partially supervised multi-organ
        segmentation", Medical Image Analysis 70 (2021).
    """
    known = ~target.isnan()
    here = target > 0.5
    elsewhere = ~here.any(1, keepdim=True)
    allowed = torch.cat([elsewhere, torch.where(known, here, elsewhere)], dim=1)
    log_probability = logits.log_softmax(1).masked_fill(~allowed, -torch.inf)
    return -log_probability.logsumexp(1), known.any(1)


def _mean(loss: Tensor, counted: Tensor) -> Tensor:
    return torch.where(counted, loss, 0).sum() / counted.sum().clamp_min(1)
