"""How good masks are on validation cases; and the share of positive pixels to begin with."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from segclf.core.config import Recipe
from segclf.core.errors import DataError
from segclf.core.records import Case
from segclf.data import Batch, CaseCache
from segclf.networks import finding_logits
from segclf.segment.infer import infer_logits, window_px


def measure_masks(
    network: nn.Module,
    batch: Batch,
    *,
    recipe: Recipe,
    loss: Callable[[Tensor, Tensor], Tensor],
) -> np.ndarray:
    """Measures `(case, finding, measure)` of whole validation images, see `training.MEASURES`.

    The score is the mean pixel probability, whose AUROC selects the weights. A pixel is predicted
    above a probability of 0.5. Pixels that are not known count nowhere. A case whose label is not
    known gets it from its mask: 1 if a known pixel is positive, 0 if all are known and none is.

    Args:
        network: In evaluation mode.
        batch: On the network's device.
        recipe: Window and kind of findings.
        loss: `(raw, target) -> scalar`, that of the training.
    """
    raw = infer_logits(
        network,
        batch.image,
        patch_px=window_px(recipe),
        overlap=recipe.predict.overlap,
        batch_size=recipe.predict.batch_size,
    )
    logits = finding_logits(raw, recipe.exclusive).flatten(2)
    target = batch.target.flatten(2)
    known = target >= 0  # neither NaN nor inside a box
    unknown = ~known.any(2)
    true, predicted = target > 0.5, (logits > 0) & (known | unknown[..., None])
    true_px = _count(true).masked_fill(unknown, torch.nan)
    from_mask = (true_px > 0).float().masked_fill((true_px == 0) & ~known.all(2), torch.nan)
    label = torch.where(batch.label.isnan(), from_mask, batch.label)
    label = label.masked_fill(batch.label.isnan() & unknown, torch.nan)
    columns = [
        loss(raw, batch.target).expand(true_px.shape),
        logits.sigmoid().mean(2),
        label,
        _count(true & predicted),
        _count(predicted),
        true_px,
    ]
    return torch.stack([column.double().cpu() for column in columns], dim=2).numpy()


def _count(mask: Tensor) -> Tensor:
    return mask.sum(2).float()


def pixel_prior(
    cases: Sequence[Case], cache: CaseCache, findings: Sequence[str]
) -> tuple[float, ...]:
    """Share of positive pixels per finding, over the known pixels of `cases`.

    The pixels inside the boxes of a case count with one positive among them, which they promise.

    Raises:
        DataError: A finding has no positive pixel in any known mask.
    """
    n_positive, n_px = [0] * len(findings), [0] * len(findings)
    for case in cases:
        counts = zip(cache.foreground_px(case), cache.known_px(case), strict=True)
        for finding, (positive, known) in enumerate(counts):
            if positive is not None and known is not None:
                n_positive[finding] += positive
                n_px[finding] += known
    for name, positive, total in zip(findings, n_positive, n_px, strict=True):
        if not positive:
            cause = "its known masks are all empty" if total else "none of its masks is known"
            raise DataError(
                f"the finding {name!r} has no positive pixel in the training cases: {cause}.",
                where=f"mask_{name} of {len(cases)} training cases",
                expected="at least one mask that is not empty",
                fix="add masks, look at mask_values (segclf check MANIFEST), or leave the finding "
                "out of `findings`",
            )
    return tuple(positive / total for positive, total in zip(n_positive, n_px, strict=True))
