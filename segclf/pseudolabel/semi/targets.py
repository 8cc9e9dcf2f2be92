"""What the unlabelled pixels are taught: probabilities or hard masks, corrected by image labels."""

import torch
from torch import Tensor
from torch.nn import functional

from segclf.losses import ce
from segclf.pseudolabel.semi.scene import Part, Scene

T = 0.5
"""A pixel with a higher probability counts for the area of a target."""


def counted(target: Tensor, part: Part, scene: Scene) -> tuple[Tensor, Tensor]:
    """The target after `boosted`, and which of its pixels teach: those of unknown masks.

    With `semi.boosted`, for each case and finding whose mask is not known:

    * label 0: the target is the empty mask;
    * label 1, and at most `semi.least_area` of the pixels of the target above 0.5: the target
      misses the finding and would teach background, so it teaches nothing;
    * label 1 otherwise: the target teaches as it is;
    * label not known: only pixels of which the target is sure enough (max(p, 1 - p) above the
      confidence of the method) teach.

    Args:
        target: Probabilities `(case, finding, *space)`, without a gradient.
        part: The unlabelled cases.
        scene: The training.

    Returns:
        The target, and bool of the same shape.
    """
    space = (1,) * (target.ndim - 2)
    counts = part.planes.reshape(*part.planes.shape, *space).expand_as(target)
    if not scene.settings.boosted:
        return target, counts
    area = (target > T).flatten(2).float().mean(2)
    is_missed = (part.label == 1) & (area <= scene.settings.least_area)
    is_open = part.label.isnan().reshape(*area.shape, *space)
    counts = counts & ~is_missed.reshape(*area.shape, *space)
    counts = counts & (is_sure(target, scene.confidence) | ~is_open)
    return target.masked_fill((part.label == 0).reshape(*area.shape, *space), 0), counts


def is_sure(probability: Tensor, confidence: float) -> Tensor:
    """Whether the more probable side of each pixel is more probable than `confidence`."""
    return torch.maximum(probability, 1 - probability) > confidence


def squared_difference(probability: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """Mean squared difference over the pixels that count; 0 if there are none."""
    total = ((probability - target).square() * counts).sum()
    return total / counts.sum().clamp_min(1)


def hard_masks(raw: Tensor, scene: Scene) -> Tensor:
    """1 where a finding is predicted, else 0, `(case, finding, *space)`, without a gradient.

    A pixel is predicted above a probability of 0.5; of exclusive findings, where it is more
    probable than background and every other finding.
    """
    raw = raw.detach().float()
    if not scene.recipe.exclusive:
        return (raw > 0).float()
    n_classes = raw.shape[1]
    classes = functional.one_hot(raw.argmax(1), n_classes).movedim(-1, 1)
    return classes[:, 1:].float()


def cross_entropy(raw: Tensor, masks: Tensor, counts: Tensor, scene: Scene) -> Tensor:
    """Mean cross-entropy with hard masks over the pixels that count; others are left out."""
    target = torch.where(counts, masks, torch.nan)
    return ce(raw, target, exclusive=scene.recipe.exclusive)
