"""`uncertainty_mean_teacher`: the student agrees with its teacher where the teacher is sure."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from segclf.pseudolabel.semi.method import SemiMethod, with_teacher
from segclf.pseudolabel.semi.scene import Part, Scene
from segclf.pseudolabel.semi.targets import counted, squared_difference
from segclf.pseudolabel.semi.views import perturbed

FIRST_SHARE = 0.75
"""Share of the largest entropy, ln 2, at which the threshold starts."""


def uncertainty_loss(part: Part, teacher: nn.Module, scene: Scene) -> Tensor:
    """Mean squared difference of the probabilities where the teacher's entropy is low.

    The teacher passes `semi.passes` times, each with noise of its own and with its dropout layers
    switched on; the mean of the passes is the target. Pixels whose entropy of that mean,
    -p ln p - (1 - p) ln(1 - p), is below (0.75 + 0.25 ramp) ln 2 count: the threshold rises with
    the ramp of the weight until every pixel counts that is not exactly at one half.

    Where we depart from the paper: the target is the mean of the passes instead of a pass of its
    own, the entropy is that of each finding by itself, and what is said of `mean_teacher`.

    Args:
        part: The unlabelled cases.
        teacher: The moving average of the student.
        scene: The training.

    Source:
        Yu et al., "Uncertainty-aware self-ensembling model for semi-supervised 3D left atrium
        segmentation", MICCAI 2019.
    """
    strength, noise = scene.recipe.augment.intensity, scene.settings.noise
    mean = torch.zeros(())
    with dropping(teacher):
        for n_before in range(scene.settings.passes):
            view = perturbed(part.image, strength=strength, noise=noise)
            taught = scene.taught(teacher, view)
            mean = taught if n_before == 0 else mean + (taught - mean) / (n_before + 1)
    threshold = (FIRST_SHARE + (1 - FIRST_SHARE) * scene.ramp(part.step)) * math.log(2)
    target, counts = counted(mean, part, scene)
    counts = counts & (entropy(mean) < threshold)
    return squared_difference(scene.probabilities(part.raw), target, counts)


def entropy(probability: Tensor) -> Tensor:
    """Entropy in nats of each probability; 0 at 0 and at 1."""
    return torch.special.entr(probability) + torch.special.entr(1 - probability)


@contextmanager
def dropping(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode, but for its dropout layers."""
    layers = [module for module in network.modules() if isinstance(module, _DropoutNd)]
    for layer in layers:
        layer.train()
    try:
        yield
    finally:
        for layer in layers:
            layer.eval()


UNCERTAINTY_MEAN_TEACHER = SemiMethod(with_teacher(uncertainty_loss))
