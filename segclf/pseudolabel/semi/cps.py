"""`cps`: two networks, each learns the other's masks."""

from dataclasses import replace
from typing import NamedTuple

from torch import Tensor, nn

from segclf.core.randomness import seed_of
from segclf.data import Batch
from segclf.pseudolabel.semi.method import SemiMethod
from segclf.pseudolabel.semi.scene import Part, Scene
from segclf.pseudolabel.semi.targets import counted, cross_entropy, hard_masks
from segclf.segment.measure import pixel_prior
from segclf.segment.train import new_network
from segclf.training import Task


class PairOutputs(NamedTuple):
    """Raw outputs of both networks for the same images."""

    first: Tensor
    second: Tensor


class Pair(nn.Module):
    """Two networks trained side by side; the first is the one that is validated and kept."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        """Keep both."""
        super().__init__()
        self.first, self.second = first, second

    def forward(self, image: Tensor) -> PairOutputs | Tensor:
        """Outputs of both in training, of the first in evaluation."""
        if not self.training:
            return self.first(image)
        return PairOutputs(self.first(image), self.second(image))


def cps_loss(part: Part, raw_second: Tensor, scene: Scene) -> Tensor:
    """Cross-entropy of each network with the hard masks of the other, summed over both.

    Only findings whose mask is not known count; `semi.boosted` corrects the probabilities of the
    network that teaches as in `targets.counted`.

    Where we depart from the paper: only unlabelled cases count, for labelled ones the masks
    themselves are there.

    Args:
        part: The unlabelled cases, with the outputs of the first network.
        raw_second: Outputs of the second network for them.
        scene: The training.

    Source:
        Chen et al., "Semi-supervised semantic segmentation with cross pseudo supervision",
        CVPR 2021.
    """
    return _taught_by(raw_second, part.raw, part, scene) + _taught_by(
        part.raw, raw_second, part, scene
    )


def _taught_by(teacher_raw: Tensor, raw: Tensor, part: Part, scene: Scene) -> Tensor:
    target, counts = counted(scene.probabilities(teacher_raw.detach()), part, scene)
    masks = hard_masks(teacher_raw, scene).masked_fill(target == 0, 0)  # label 0: the empty mask
    return cross_entropy(raw, masks, counts, scene)


def cps_change(task: Task, scene: Scene) -> Task:
    """Both networks on the masks, and on each other's masks; the second starts elsewhere.

    Encoder weights that the recipe names are the start of both; the rest differs by the seed.
    The norm of the gradient is clipped over both together.
    """
    prepared, recipe = scene.prepared, scene.recipe
    prior = pixel_prior(prepared.train, prepared.cache, prepared.findings)
    other = recipe.model_copy(update={"seed": seed_of(recipe.seed, "second network")})
    second = new_network(other, prepared.n_channels, prior)

    def loss(raw: PairOutputs, batch: Batch) -> Tensor:
        total = task.loss(raw.first, batch) + task.loss(raw.second, batch)
        part, weight = scene.part(raw.first, batch), scene.weight(batch.step)
        if part is None or weight == 0:
            return total
        return total + weight * cps_loss(part, raw.second[scene.rows(batch)], scene)

    return replace(task, network=Pair(task.network, second), loss=loss)


CPS = SemiMethod(cps_change)
