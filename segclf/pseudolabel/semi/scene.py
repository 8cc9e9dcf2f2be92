"""What a method knows about a training: its settings, and which masks are not known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from segclf.core.config import Recipe
from segclf.core.records import Case, MaskSource, MaskState
from segclf.core.semi_settings import SemiSettings
from segclf.data import Batch
from segclf.networks import finding_logits
from segclf.training import Prepared

CONFIDENCE = {"fixmatch": 0.95}
"""Threshold of the method's paper, where it is another than `USUAL_CONFIDENCE`."""
USUAL_CONFIDENCE = 0.65
SHARPNESS = 5.0


@dataclass(frozen=True)
class Part:
    """The cases of a batch in which the mask of a finding is not known."""

    image: Tensor
    """(case, channel, *space), as the network saw it."""
    raw: Tensor
    """(case, output, *space): raw outputs of the network for it, with their gradient."""
    label: Tensor
    """(case, finding): 1, 0, or NaN for not known."""
    planes: Tensor
    """(case, finding) bool: the mask of this finding is not known."""
    step: int


@dataclass(frozen=True)
class Scene:
    """One semi-supervised training."""

    recipe: Recipe
    prepared: Prepared
    """Its cases; their masks may be pseudo-masks."""
    known: tuple[Case, ...]
    """The training cases, in the same order, with the masks that are not pseudo-masks."""
    unknown: dict[str, tuple[bool, ...]]
    """Per case in which a mask is not known: of which findings."""
    learns_pseudo_masks: bool
    """The masks of `prepared` are laid over those that are known."""

    @property
    def settings(self) -> SemiSettings:
        """What the recipe says about semi-supervised training."""
        return self.recipe.semi

    @property
    def confidence(self) -> float:
        """Probability that the more probable side of a pixel has to exceed."""
        given = self.settings.confidence
        usual = CONFIDENCE.get(self.settings.method or "", USUAL_CONFIDENCE)
        return usual if given is None else given

    def rows(self, batch: Batch) -> list[int]:
        """Places in the batch of the cases in which a mask is not known."""
        return [row for row, case_id in enumerate(batch.case_id) if case_id in self.unknown]

    def planes(self, batch: Batch) -> Tensor:
        """(case, finding) bool, on the batch's device: the mask of this finding is not known."""
        none = (False,) * batch.target.shape[1]
        planes = [self.unknown.get(case_id, none) for case_id in batch.case_id]
        return torch.tensor(planes, device=batch.target.device)

    def part(self, raw: Tensor, batch: Batch) -> Part | None:
        """The unlabelled part of a batch; None if there is no such case in it.

        Args:
            raw: The raw outputs of the cases of `batch`, in its order.
            batch: On its device.
        """
        rows = self.rows(batch)
        if not rows:
            return None
        return Part(
            batch.image[rows], raw[rows], batch.label[rows], self.planes(batch)[rows], batch.step
        )

    def ramp(self, step: int) -> float:
        """How far the unlabelled loss has come in at a step: from 0 in the first to 1.

        0 in the first step, then exp(-5 (1 - x)^2), where x grows from 0 to 1 over the first
        `semi.ramp` of all steps of this training, however many they are.

        Source:
            Laine and Aila, "Temporal ensembling for semi-supervised learning", ICLR 2017.
        """
        n_steps = self.settings.ramp * self.recipe.train.steps
        if step >= n_steps:
            return 1.0
        return math.exp(-SHARPNESS * (1.0 - step / n_steps) ** 2) if step else 0.0

    def weight(self, step: int) -> float:
        """Weight of the unlabelled loss at a step."""
        return self.settings.weight * self.ramp(step)

    def probabilities(self, raw: Tensor) -> Tensor:
        """Probability of each finding, float32 `(case, finding, *space)`, of raw outputs."""
        return finding_logits(raw.float(), self.recipe.exclusive).sigmoid()

    @torch.no_grad()
    def taught(self, teacher: nn.Module, image: Tensor) -> Tensor:
        """The probabilities that a teacher gives, without a gradient."""
        return self.probabilities(teacher(image))


def make_scene(recipe: Recipe, prepared: Prepared, known: Sequence[Case] | None) -> Scene:
    """The scene of a training.

    Args:
        recipe: The experiment.
        prepared: The cases that are trained on.
        known: If their masks may be pseudo-masks, the same cases, and perhaps others, without
            them.
    """
    by_id = {case.case_id: case for case in (prepared.train if known is None else known)}
    cases = tuple(_as_known(by_id[case.case_id], case) for case in prepared.train)
    planes = {
        case.case_id: tuple(mask.state is MaskState.UNKNOWN for mask in case.masks)
        for case in cases
    }
    unknown = {case_id: plane for case_id, plane in planes.items() if any(plane)}
    return Scene(recipe, prepared, cases, unknown, known is not None)


def _as_known(known: Case, laid_over: Case) -> Case:
    """The case with only those masks that no pseudo-mask was laid over."""
    pairs = zip(known.masks, laid_over.masks, strict=True)
    unknown = MaskSource(MaskState.UNKNOWN)
    return replace(known, masks=tuple(a if a == b else unknown for a, b in pairs))
