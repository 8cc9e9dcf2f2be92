"""Losses of image labels; what is not known has no influence."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def independent_loss(raw: Tensor, label: Tensor, weights: Sequence[float] | None = None) -> Tensor:
    """Mean binary cross-entropy over known labels; 0, with a gradient path, if none is known.

    Args:
        raw: (batch, finding) logits.
        label: (batch, finding) 1, 0, or NaN for not known.
        weights: Of absence per finding, then of presence per finding.
    """
    known = ~label.isnan()
    target = label.nan_to_num(0.0)
    losses = functional.binary_cross_entropy_with_logits(raw, target, reduction="none")
    if weights is not None:
        absent, present = raw.new_tensor(weights).chunk(2)
        losses = losses * torch.where(target == 1, present, absent)
    return (losses * known).sum() / known.sum().clamp(min=1)


def exclusive_loss(raw: Tensor, label: Tensor, weights: Sequence[float] | None = None) -> Tensor:
    """Mean negative log probability that the class is one of those that the labels allow.

    A positive label leaves only its class; negative ones exclude theirs; unknown ones leave both
    open. With all labels known this is the cross-entropy. If no label of any case is known it is
    0, with a gradient path.

    Args:
        raw: (batch, class) logits; with one more class than labels, the first is "none of them".
        label: (batch, class) 1, 0, or NaN for not known; at most one 1 per case.
        weights: Of each class; a case whose class is left open by its labels weighs 1.
    """
    positive = label == 1
    is_settled = positive.any(dim=1, keepdim=True)
    allowed = torch.where(is_settled, positive, label.isnan())
    if raw.shape[1] > label.shape[1]:
        allowed = torch.cat([~is_settled, allowed], dim=1)
    excluded = torch.finfo(raw.dtype).min
    losses = raw.logsumexp(1) - raw.masked_fill(~allowed, excluded).logsumexp(1)
    if weights is not None:
        weight = (raw.new_tensor(weights) * allowed).sum(1)
        losses = losses * weight.where(allowed.sum(1) == 1, 1.0)
    known = (~label.isnan()).any(dim=1)
    return (losses * known).sum() / known.sum().clamp(min=1)
