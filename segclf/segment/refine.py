"""`segment.refine_from`: few fine masks for a network that was trained on coarse ones."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from segclf.core.config import LossSettings, Recipe
from segclf.core.errors import ConfigError, DataError
from segclf.core.records import Case, MaskState
from segclf.core.text import counted
from segclf.data import Batch
from segclf.losses import build_loss
from segclf.networks import finding_logits
from segclf.segment.start import Start


def require_findings(start: Start, recipe: Recipe, findings: tuple[str, ...]) -> None:
    """Refuse a coarse network of other findings.

    Raises:
        ConfigError: They are others, stand in another order, or exclude each other only there.
    """
    theirs = (start.card.findings, start.card.exclusive)
    if theirs != (findings, recipe.exclusive):
        kinds = {True: "exclusive", False: "independent"}
        raise ConfigError(
            f"the segmenter of {start.run!r} looks for {', '.join(theirs[0])} "
            f"({kinds[theirs[1]]}), this recipe for {', '.join(findings)} "
            f"({kinds[recipe.exclusive]}).",
            where=f"{start.setting} = {start.run!r}",
            expected="the same findings in the same order",
            fix="name them alike in both recipes (findings:, columns:)",
        )


def require_fine_masks(train: Sequence[Case], start: Start) -> None:
    """Refuse cases of which none has a mask that is truth and drawn.

    Raises:
        DataError: All drawn masks are coarse, so that refining leaves them out.
    """
    drawn = [case for case in train if any(m.state is MaskState.DRAWN for m in case.masks)]
    if not drawn:
        raise DataError(
            f"none of {counted(len(train), 'training case')} has a fine mask: refining leaves "
            "coarse masks out.",
            where=f"{start.setting} = {start.run!r}, column mask_kind",
            expected="some drawn masks of kind full (blank) in the training cases",
            fix="draw some positives to the pixel, and say mask_kind full for them",
        )


def refining_loss(
    loss: Callable[[Tensor, Tensor], Tensor], coarse: nn.Module, recipe: Recipe
) -> Callable[[Tensor, Batch], Tensor]:
    """`loss` with the pixels reweighted in which the coarse network and the fine mask differ.

    With w = `segment.refine_weight` and D the known pixels whose fine mask is not what the coarse
    network predicts (p > 0.5) for the same augmented image:

        loss + (w - 1) * (sum of the cross-entropy over D) / (number of known pixels)

    so that with `loss.name: ce` each pixel of D weighs w and each other one 1. A coarse mask
    covers the fine one, so D is mostly what turns from foreground to background. The coarse
    network stays as it was.

    Args:
        loss: `(raw, target) -> scalar`, that of the recipe.
        coarse: The network as it was trained on coarse masks, in evaluation mode.
        recipe: `segment.refine_weight` and `exclusive` are used.

    Source:
        NegGrad-Seg ("Towards certified shortcut unlearning in medical imaging", 2026): refining a
        coarse mask is forgetting the pixels that it has and the fine one has not, whose part of
        the pixel loss gets a weight of its own. Coarseness of masks: Saab et al., MLHC 2022.
    """
    pixelwise = build_loss(LossSettings(name="ce"), exclusive=recipe.exclusive)
    extra = recipe.segment.refine_weight - 1.0

    def refining(raw: Tensor, batch: Batch) -> Tensor:
        target = batch.target
        with torch.no_grad():
            before = coarse.to(batch.image.device)(batch.image).float()
            differs = differing(finding_logits(before, recipe.exclusive) > 0, target)
            if recipe.exclusive:  # there the cross-entropy is that of a pixel, not of a finding
                differs = differs.any(1, keepdim=True).expand_as(target)
            region = torch.where(differs, target, torch.nan)
            share = _n_counted(region, recipe) / _n_counted(target, recipe).clamp_min(1)
        return loss(raw, target) + extra * share * pixelwise(raw, region)

    return refining


def differing(predicted: Tensor, target: Tensor) -> Tensor:
    """Where a mask is known and is not what was predicted."""
    return (target >= 0) & (predicted != (target > 0.5))


def _n_counted(target: Tensor, recipe: Recipe) -> Tensor:
    known = target >= 0
    return known.any(1).sum() if recipe.exclusive else known.sum()
