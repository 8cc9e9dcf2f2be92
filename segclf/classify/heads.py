"""HEADS: what a classifier's outputs mean, and the loss that trains them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from segclf.core.errors import DataError
from segclf.core.records import Case


@dataclass(frozen=True)
class Head:
    """One kind of classifier output."""

    exclusive: bool
    """The outputs are background ("none of the findings") first, then the findings, of which at
    most one is present; else there is one independent output per finding."""
    loss: Callable[[Tensor, Tensor], Tensor]
    """`(raw (batch, output), label (batch, finding)) -> scalar`; NaN is an unknown label."""

    def n_outputs(self, n_findings: int) -> int:
        """Number of outputs for so many findings."""
        return n_findings + int(self.exclusive)


def sigmoid_loss(raw: Tensor, label: Tensor) -> Tensor:
    """Mean binary cross-entropy over known labels; 0, with a gradient path, if none is known.

    Args:
        raw: (batch, finding) logits.
        label: (batch, finding) 1, 0, or NaN for not known.
    """
    known = ~label.isnan()
    target = label.nan_to_num(0.0)
    losses = functional.binary_cross_entropy_with_logits(raw, target, reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def softmax_loss(raw: Tensor, label: Tensor) -> Tensor:
    """Mean negative log probability that the class is one of those that the labels allow.

    A positive label leaves only its class; negative ones exclude theirs; unknown ones leave both
    open. With all labels known this is the cross-entropy.

    Args:
        raw: (batch, 1 + finding) logits, background first.
        label: (batch, finding) 1, 0, or NaN for not known; at most one 1 per case.
    """
    positive = label == 1
    is_settled = positive.any(dim=1, keepdim=True)
    allowed = torch.where(is_settled, positive, label.isnan())
    allowed = torch.cat([~is_settled, allowed], dim=1)
    excluded = torch.finfo(raw.dtype).min
    losses = raw.logsumexp(1) - raw.masked_fill(~allowed, excluded).logsumexp(1)
    known = (~label.isnan()).any(dim=1)
    return (losses * known).sum() / known.sum().clamp(min=1)


HEADS: dict[str, Head] = {
    "sigmoid": Head(exclusive=False, loss=sigmoid_loss),
    "softmax": Head(exclusive=True, loss=softmax_loss),
}
"""Name of `classify.head` to its record; a plug-in registers under `segclf.heads`."""


def check_labels(head: Head, cases: Sequence[Case], findings: Sequence[str]) -> None:
    """Refuse labels that contradict the head.

    Raises:
        DataError: A case has two findings, but the head allows one.
    """
    if not head.exclusive:
        return
    for case in cases:
        present = [n for n, label in zip(findings, case.labels, strict=True) if label == 1]
        if len(present) > 1:
            raise DataError(
                f"the case {case.case_id!r} has the findings {' and '.join(present)}.",
                where="classify.head = softmax",
                expected="at most one finding per case, since softmax makes them exclusive",
                fix="use classify.head: sigmoid, or correct the labels",
            )
