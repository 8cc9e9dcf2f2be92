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
        target: `(batch, finding, *space)`: from 0 to 1, NaN at each pixel that is not known.
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
    with all findings known that is the usual softmax focal loss. Where the target is soft,
    |target - p| takes the place of 1 - p_t (for exclusive findings half the sum over all outputs),
    which is the same for 0 and 1.

    Args:
        logits: `(batch, finding, *space)`, with background as first output if exclusive.
        target: `(batch, finding, *space)`: from 0 to 1, NaN at each pixel that is not known.
        exclusive: Findings exclude each other at a pixel.
        gamma: How strongly pixels that are already right count less.
        alpha: Weight of positive pixels, 1 - alpha that of the others; None weighs all the same.

    Source:
        Lin et al., "Focal loss for dense object detection", ICCV 2017; Li et al., "Generalized
        focal loss", NeurIPS 2020, for soft targets.
    """
    if not exclusive:
        known = ~target.isnan()
        truth = torch.where(known, target, 0)
        hard = sigmoid_focal_loss(logits, truth, gamma, alpha)
        soft = _soft_focal(logits, truth, gamma, alpha)
        return _mean(torch.where(_is_soft(truth), soft, hard), known)
    nll, counted = exclusive_nll(logits, target)
    eps = torch.finfo(nll.dtype).eps
    loss = (1 - (-nll).exp()).clamp_min(eps) ** gamma * nll
    truth, rest, log_p, log_rest = _shares(logits, target)
    apart = ((truth - log_p.exp()) * ~target.isnan()).abs().sum(1) + (rest - log_rest.exp()).abs()
    is_soft = _is_soft(target).any(1)
    loss = torch.where(is_soft, (apart / 2).clamp_min(eps) ** gamma * nll, loss)
    if alpha is not None:
        weight = torch.where((target == 1).any(1), alpha, 1 - alpha)
        of_soft = alpha * truth.sum(1) + (1 - alpha) * rest
        loss = loss * torch.where(is_soft, of_soft, weight)
    return _mean(loss, counted)


def exclusive_nll(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Minus log probability of what the target allows at each pixel, and where that says anything.

    A pixel that a known finding covers is that finding and nothing else. Elsewhere the pixel may
    be background or any finding that is not known for this case: their probabilities are added
    (the marginal loss for partly labelled data). With all findings known this is categorical
    cross-entropy; with none known it is 0, and the pixel is not counted. Soft targets are the
    shares of the known findings in the pixel; what is left to 1 is background or an unknown
    finding, and the loss is the cross-entropy of these shares.

    Args:
        logits: `(batch, 1 + finding, *space)`, background first.
        target: `(batch, finding, *space)`: from 0 to 1, NaN at each pixel that is not known.

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
    truth, rest, log_p, log_rest = _shares(logits, target)
    of_shares = -(truth * log_p).sum(1) - rest * log_rest
    nll = torch.where(_is_soft(target).any(1), of_shares, -log_probability.logsumexp(1))
    return nll, known.any(1)


def _shares(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Target share of each finding (0 where unknown) and of all else; log p of both."""
    known = ~target.isnan()
    truth = torch.where(known, target, 0)
    rest = (1 - truth.sum(1)).clamp_min(0)
    log_p = logits.log_softmax(1)
    is_open = torch.cat([torch.ones_like(known[:, :1]), ~known], dim=1)
    return truth, rest, log_p[:, 1:], log_p.masked_fill(~is_open, -torch.inf).logsumexp(1)


def _soft_focal(logits: Tensor, truth: Tensor, gamma: float, alpha: float | None) -> Tensor:
    apart = (truth - logits.sigmoid()).abs().clamp_min(torch.finfo(logits.dtype).eps)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    weight = 1.0 if alpha is None else truth * alpha + (1 - truth) * (1 - alpha)
    return weight * apart**gamma * entropy


def _is_soft(target: Tensor) -> Tensor:
    return (target > 0) & (target < 1)


def _mean(loss: Tensor, counted: Tensor) -> Tensor:
    return torch.where(counted, loss, 0).sum() / counted.sum().clamp_min(1)
