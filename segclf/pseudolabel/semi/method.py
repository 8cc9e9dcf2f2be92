"""What a semi-supervised method is: how it changes the plain training."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from segclf.data import Batch
from segclf.pseudolabel.semi.scene import Part, Scene
from segclf.pseudolabel.semi.views import perturbed
from segclf.training import Task

Change = Callable[[Task, Scene], Task]
"""The plain task, which learns the known masks, to the one that is trained."""
TeacherLoss = Callable[[Part, nn.Module, Scene], Tensor]
"""Unlabelled part of a batch, the teacher in evaluation mode, and the training, to a scalar."""


@dataclass(frozen=True)
class SemiMethod:
    """One way to learn from cases without masks."""

    change: Change
    """Of the training whose weights are kept."""
    has_rounds: bool = False
    """It learns pseudo-masks of an earlier training, from scratch."""
    before: Change | None = None
    """With rounds: of the first training, whose pseudo-masks are learned; None trains on masks
    alone."""
    soft: bool = False
    """With rounds: pseudo-masks are always probabilities."""


def with_teacher(unlabelled: TeacherLoss) -> Change:
    """The plain training and the weighted loss of a teacher, the moving average of the network."""

    def change(task: Task, scene: Scene) -> Task:
        def taught(raw: Tensor, batch: Batch, average: nn.Module) -> Tensor:
            part, weight = scene.part(raw, batch), scene.weight(batch.step)
            if part is None or weight == 0:
                return raw.new_zeros(())
            return weight * unlabelled(part, average, scene)

        return replace(task, ema=scene.settings.ema, taught=taught)

    return change


def with_strong_views(task: Task, scene: Scene) -> Task:
    """The task whose network sees the batch and, behind it, a strong view of each unlabelled case.

    Its loss has to be made for both: see `fixmatch`.
    """

    def inputs(batch: Batch) -> Tensor:
        seen, settings = batch.image[scene.rows(batch)], scene.settings
        views = perturbed(seen, strength=settings.strength, noise=settings.noise)
        return torch.cat([batch.image, views])

    return replace(task, inputs=inputs)
