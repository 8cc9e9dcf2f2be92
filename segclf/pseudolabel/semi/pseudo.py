"""`pseudo`: masks that an earlier training predicted count as masks."""

from dataclasses import replace

import torch
from torch import Tensor

from segclf.data import Batch
from segclf.pseudolabel.semi.method import SemiMethod
from segclf.pseudolabel.semi.scene import Scene
from segclf.pseudolabel.semi.targets import is_sure
from segclf.training import Task


def pseudo_loss(task: Task, raw: Tensor, batch: Batch, scene: Scene) -> Tensor:
    """The loss of the known masks and, weighted, the same loss of the pseudo-masks.

    Each is averaged over its own pixels, so that many pseudo-masks do not outweigh few masks. Of
    soft pseudo-masks, pixels of which they are not sure (max(p, 1 - p) at most the confidence,
    0.65) are left out. The weight has no ramp: the pseudo-masks come from a training that ended.

    Where we depart from the paper: the network starts from scratch on pseudo-masks that do not
    change, instead of going on with new ones in every step.

    Args:
        task: The plain training.
        raw: Raw outputs for the batch.
        batch: Its target holds masks and pseudo-masks.
        scene: The training; it knows which masks are not pseudo-masks.

    Source:
        Lee, "Pseudo-Label", ICML workshop 2013. Confidence of soft masks: Hooper et al., Journal
        of Medical Imaging 10(2), 2023.
    """
    known, pseudo = parted(batch.target, scene.planes(batch), scene.confidence)
    loss = task.loss(raw, replace(batch, target=known))
    return loss + scene.settings.weight * task.loss(raw, replace(batch, target=pseudo))


def parted(target: Tensor, planes: Tensor, confidence: float) -> tuple[Tensor, Tensor]:
    """The known masks alone and the pseudo-masks alone; the rest of each is NaN.

    Args:
        target: (case, finding, *space) with both.
        planes: (case, finding) bool: a pseudo-mask, or nothing known.
        confidence: Soft pixels that are less sure become NaN.
    """
    is_pseudo = planes.reshape(*planes.shape, *(1,) * (target.ndim - 2))
    is_soft = (target > 0) & (target < 1)
    left_out = ~is_pseudo | (is_soft & ~is_sure(target, confidence))
    return target.masked_fill(is_pseudo, torch.nan), target.masked_fill(left_out, torch.nan)


def pseudo_change(task: Task, scene: Scene) -> Task:
    """The masks, and the pseudo-masks of an earlier training."""

    def loss(raw: Tensor, batch: Batch) -> Tensor:
        return pseudo_loss(task, raw, batch, scene)

    return replace(task, loss=loss)


PSEUDO = SemiMethod(pseudo_change, has_rounds=True)
