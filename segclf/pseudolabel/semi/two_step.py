"""`two_step`: features agree under augmentation; then soft pseudo-masks are learned as well."""

from dataclasses import replace
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from segclf.data import Batch
from segclf.networks import Segmenter
from segclf.pseudolabel.semi.method import Change, SemiMethod, with_strong_views
from segclf.pseudolabel.semi.pseudo import pseudo_change
from segclf.pseudolabel.semi.scene import Scene
from segclf.training import Task


class FeatureOutputs(NamedTuple):
    """Raw outputs, and the last features before them."""

    raw: Tensor
    features: Tensor


class WithFeatures(nn.Module):
    """A segmenter that in training also gives the features its head reads."""

    def __init__(self, segmenter: Segmenter) -> None:
        """Keep the segmenter."""
        super().__init__()
        self.segmenter = segmenter

    def forward(self, image: Tensor) -> FeatureOutputs | Tensor:
        """Raw outputs and features in training, raw outputs in evaluation."""
        if not self.training:
            return self.segmenter(image)
        found = self.segmenter.features(image)
        return FeatureOutputs(found.logits, found.shallow)


def features_loss(weak: Tensor, strong: Tensor) -> Tensor:
    """1 - cosine of the features of two views, mean over cases and places.

    Gradients flow through both views.

    Args:
        weak: (case, feature, *space) of the augmented image.
        strong: The same of its strong view.
    """
    return 1 - functional.cosine_similarity(weak.float(), strong.float(), dim=1).mean()


def consistent(learn_masks: Change | None) -> Change:
    """The consistency of features beside the training that learns masks, or pseudo-masks too.

    The recipe of the authors of segmentation-for-classification, in two trainings: masks and
    consistency of the last decoder features, on unlabelled cases, between the augmented image and
    a view of other contrast, brightness and noise; then, from scratch, the same and soft
    pseudo-masks of the first, of which pixels with max(p, 1 - p) at most 0.65 are left out, as in
    `pseudo`. `semi.boosted` filters the pseudo-masks; features belong to no finding, so that labels
    change nothing in the first training.

    Where we depart from the paper: one strong view, where it draws four and trains on one of them
    with a chance that rises with its loss; our own changes of the image; Dice beside cross-entropy
    if the recipe says so; one optimizer step on a mixed batch instead of five batches in turn; the
    weight is ramped.

    Source:
        Hooper et al., "Evaluating semi-supervision methods for medical image segmentation",
        Journal of Medical Imaging 10(2), 2023; pixels are left out as in their code.
    """

    def change(task: Task, scene: Scene) -> Task:
        plain = learn_masks(task, scene) if learn_masks else task

        def loss(outputs: FeatureOutputs, batch: Batch) -> Tensor:
            n = len(batch.image)
            total = plain.loss(outputs.raw[:n], batch)
            rows, weight = scene.rows(batch), scene.weight(batch.step)
            if not rows or weight == 0:
                return total
            weak, strong = outputs.features[rows], outputs.features[n:]
            return total + weight * features_loss(weak, strong)

        network = WithFeatures(task.network)  # type: ignore[arg-type] (that of a segmenter)
        return replace(with_strong_views(task, scene), network=network, loss=loss)

    return change


TWO_STEP = SemiMethod(
    consistent(pseudo_change), has_rounds=True, before=consistent(None), soft=True
)
