"""`fixmatch`: a strongly changed view learns what a weakly changed one is sure of."""

from dataclasses import replace

from torch import Tensor

from segclf.data import Batch
from segclf.pseudolabel.semi.method import SemiMethod, with_strong_views
from segclf.pseudolabel.semi.scene import Part, Scene
from segclf.pseudolabel.semi.targets import counted, cross_entropy, hard_masks, is_sure
from segclf.training import Task


def fixmatch_loss(part: Part, raw_strong: Tensor, scene: Scene) -> Tensor:
    """Cross-entropy of the strong view with the hard masks of the weak view, where it is sure.

    The weak view is the augmented image as the network saw it. A pixel counts if the probability
    of its more probable side is above the confidence (0.95); pixels of which the network is less
    sure are left out and never become background. Only findings whose mask is not known count;
    `semi.boosted` corrects the weak view's probabilities as in `targets.counted`.

    Where we depart from the paper: the mean is over the pixels that count, not over all; strong
    means contrast, brightness and noise, so that masks keep their place; the weight is ramped; the
    moving average of weights is kept only if the recipe asks for one (`train.ema`), as for a
    training on masks alone. Pseudo-masks come from the network itself, as in the paper.

    Args:
        part: The unlabelled cases, with the outputs for the weak view.
        raw_strong: Outputs for the strong view of the same cases.
        scene: The training.

    Source:
        Sohn et al., "FixMatch", NeurIPS 2020; here for each pixel.
    """
    weak = scene.probabilities(part.raw.detach())
    target, counts = counted(weak, part, scene)
    counts = counts & is_sure(target, scene.confidence)
    masks = hard_masks(part.raw, scene).masked_fill(target == 0, 0)  # label 0: the empty mask
    return cross_entropy(raw_strong, masks, counts, scene)


def fixmatch_change(task: Task, scene: Scene) -> Task:
    """The masks, and the strong views; the network sees both in one pass."""

    def loss(raw: Tensor, batch: Batch) -> Tensor:
        n = len(batch.image)
        total = task.loss(raw[:n], batch)
        part, weight = scene.part(raw[:n], batch), scene.weight(batch.step)
        if part is None or weight == 0:
            return total
        return total + weight * fixmatch_loss(part, raw[n:], scene)

    return replace(with_strong_views(task, scene), loss=loss)


FIXMATCH = SemiMethod(fixmatch_change)
