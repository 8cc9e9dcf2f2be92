"""Between raw outputs and probabilities: the starting point, and one logit per finding."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segclf.networks.segmenter import Segmenter

PRIOR_FLOOR = 1e-4
"""Least share of pixels that a bias may state; a sigmoid saturates far below it."""
START_SPREAD = 0.1
"""Norm of the last weights of an output at the start: the standard deviation of its logits if the
features have unit variance and are independent."""


def set_output_bias(segmenter: Segmenter, prior: Sequence[float], *, exclusive: bool) -> None:
    """Let an untrained segmenter predict the share of positive pixels, everywhere and at once.

    With a bias of zero every pixel starts at one half, and for a target of 0.4 % of the area the
    first hundred steps only lower that; a network often ends there, with an empty mask. The bias
    becomes logit(prior), or log(prior) with background if findings exclude each other. The last
    weights are scaled down to a norm of 0.1 per output, since logits of standard deviation s would
    raise the mean probability by about exp(s^2 / 2) above the prior. A second call changes nothing.

    Args:
        segmenter: Not yet trained.
        prior: Share of positive pixels per finding; at least `PRIOR_FLOOR` is used.
        exclusive: Findings exclude each other; the first output is background.

    Raises:
        ValueError: A prior is not in [0, 1], their number or sum does not fit, or the head ends in
            a layer without bias.

    Source:
        Lin et al., "Focal loss for dense object detection", ICCV 2017, section 4.1.
    """
    n_findings = segmenter.n_outputs - int(exclusive)
    if len(prior) != n_findings or not all(0 <= share <= 1 for share in prior):
        raise ValueError(f"expected {n_findings} shares in [0, 1] as prior: got {list(prior)}.")
    weight, bias = _last_parameters(segmenter)
    shares = [min(max(share, PRIOR_FLOOR), 1 - PRIOR_FLOOR) for share in prior]
    if exclusive:
        background = 1 - sum(shares)
        if background <= 0:
            raise ValueError(f"shares of exclusive findings sum up to less than 1: got {shares}.")
        logits = [math.log(share) for share in (background, *shares)]
    else:
        logits = [math.log(share / (1 - share)) for share in shares]
    with torch.no_grad():
        bias.copy_(bias.new_tensor(logits))
        norm = weight.norm() / math.sqrt(len(logits))
        weight.mul_(START_SPREAD / norm.clamp_min(1e-12))


def finding_logits(raw: Tensor, exclusive: bool) -> Tensor:
    """Logits per finding `(batch, finding, *space)` whose sigmoid is the probability.

    Independent findings: the outputs themselves. Exclusive findings: each against all the rest,
    z_f - log sum_{k != f} exp(z_k), because softmax_f = sigmoid of that. The result of exclusive
    findings is float32 at least.

    Args:
        raw: Outputs of a segmenter `(batch, output, *space)` or a classifier `(batch, output)`.
        exclusive: Findings exclude each other; the first output is background.

    Raises:
        ValueError: Exclusive outputs without a finding beside the background.
    """
    if not exclusive:
        return raw
    if raw.shape[1] < 2:
        raise ValueError(f"exclusive outputs need background and a finding: got {raw.shape[1]}.")
    return against_rest(raw, first=1)


def against_rest(raw: Tensor, first: int = 0) -> Tensor:
    """Logits of exclusive classes, each against all others: z_k - log sum_{j != k} exp(z_j).

    Their sigmoid is the softmax of `raw` without its rounding at 0 and 1. At least float32.

    Args:
        raw: `(batch, class, *space)`, at least two classes.
        first: Classes before this one are left out of the result.
    """
    raw = raw.to(torch.promote_types(raw.dtype, torch.float32))
    rest = [
        torch.cat([raw[:, :k], raw[:, k + 1 :]], dim=1).logsumexp(1)
        for k in range(first, raw.shape[1])
    ]
    return raw[:, first:] - torch.stack(rest, dim=1)


def _last_parameters(segmenter: Segmenter) -> tuple[nn.Parameter, nn.Parameter]:
    """Weight and bias of the convolution that makes the outputs."""
    kinds = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    layers = [m for m in segmenter.head.modules() if isinstance(m, kinds)]
    if not layers or layers[-1].out_channels != segmenter.n_outputs or layers[-1].bias is None:
        raise ValueError(
            f"the head of a network must end in a convolution with {segmenter.n_outputs} outputs "
            f"and a bias: got {layers[-1] if layers else 'no convolution'}."
        )
    return layers[-1].get_parameter("weight"), layers[-1].get_parameter("bias")
