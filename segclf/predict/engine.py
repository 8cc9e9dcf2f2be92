"""A loaded model and how it is run: device, precision, window, mirrored copies."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from segclf.core.config import Recipe
from segclf.core.errors import ConfigError, IntegrityError
from segclf.core.records import Case
from segclf.core.runs import shown
from segclf.core.slice_settings import SliceSettings
from segclf.networks import Segmenter, finding_logits
from segclf.predict.feed import Quarantined, Ready, batches, by_input_shape, read_ahead
from segclf.predict.identity import differences, image_settings
from segclf.predict.prepare import REDUCED, prepare_network
from segclf.segment import ModelCard, infer_logits, load_segmenter
from segclf.segment.infer import window_px
from segclf.training.runtime import PrecisionName, memory_format, pick_device, pick_precision

LARGE_PX = {2: 2**22, 3: 2**23}
"""Images with more pixels than this never enter the network whole; about 2048 x 2048 and 203^3."""
LARGE_WINDOW_PX = {2: (1024, 1024), 3: (128, 128, 128)}


@dataclass(frozen=True)
class Engine:
    """A segmenter ready to run."""

    network: Segmenter
    card: ModelCard
    recipe: Recipe
    device: torch.device
    precision: PrecisionName


def load_engine(model_folder: Path, recipe: Recipe) -> Engine:
    """The trained segmenter in a folder, prepared for inference by the recipe's settings.

    Raises:
        IntegrityError: The model was trained on images prepared in another way.
        ConfigError: Settings of the recipe contradict each other or the device.
    """
    network, card = load_segmenter(model_folder)
    slices = SliceSettings.model_validate(card.recipe.get("slices", {}))
    trained_on = {"image": image_settings(card.image), **slices.in_use}
    now = {"image": image_settings(recipe.image), **recipe.slices.in_use}
    if differs := differences(trained_on, now):
        raise IntegrityError(
            "the model was trained on images prepared in another way: " + "; ".join(differs) + ".",
            where=shown(model_folder),
            expected="the image settings of the training",
            fix="leave these settings as they were, or train again",
        )
    if recipe.predict.flip_tta and not recipe.augment.flip_axes:
        raise ConfigError(
            "predict.flip_tta is on, but no axis may be mirrored.",
            where="augment.flip_axes = ()",
            expected="the axes along which training mirrored its images",
            fix="set predict.flip_tta: false",
        )
    device = pick_device()
    precision = pick_precision(recipe.predict.precision, device)
    return Engine(prepare_network(network, precision, device), card, recipe, device, precision)


@dataclass(frozen=True)
class Group:
    """Cases of one input shape with their logits."""

    cases: list[Ready]
    logits: Tensor
    """(case, finding, *input space) float32; their sigmoid is the probability."""


def logit_groups(
    engine: Engine, cases: Sequence[Case], *, with_truth: bool = True
) -> Iterator[Group | Quarantined]:
    """Logits of all cases on the grids of their input images; groups are small and lazy."""
    ready = read_ahead(
        cases, engine.recipe, n_channels=engine.card.n_channels, with_truth=with_truth
    )
    for batch in batches(ready, engine.recipe.predict.batch_size):
        if isinstance(batch, Quarantined):
            yield batch
        else:
            yield from input_logits(engine, batch)


def input_logits(engine: Engine, batch: Sequence[Ready]) -> list[Group]:
    """Logits of a batch, in groups of one input shape.

    Raw outputs are interpolated (bi- or trilinear) before findings are derived from them, so that
    probabilities of exclusive findings sum to at most 1 at every pixel.

    Args:
        engine: The model.
        batch: Cases whose prepared images have one shape.
    """
    mode = "bilinear" if engine.card.spatial_dims == 2 else "trilinear"
    groups = []
    with torch.inference_mode():
        raw = raw_logits(engine, torch.stack([ready.sample.image for ready in batch]))
        for positions in by_input_shape(batch):
            shape = batch[positions[0]].sample.input_shape
            part = raw if len(positions) == len(batch) else raw[positions]
            if shape != tuple(raw.shape[2:]):
                part = functional.interpolate(part, shape, mode=mode, align_corners=False)
            members = [batch[position] for position in positions]
            groups.append(Group(members, finding_logits(part, engine.card.exclusive)))
    return groups


def raw_logits(engine: Engine, image: Tensor) -> Tensor:
    """Float32 outputs of the network for a batch, averaged over mirrored copies if asked."""
    layout = memory_format(engine.card.spatial_dims, engine.device)
    image = image.to(engine.device).contiguous(memory_format=layout)
    axes = [axis + 2 for axis in engine.recipe.augment.flip_axes]
    subsets = [
        list(subset)
        for n_axes in range(len(axes) + 1)
        for subset in itertools.combinations(axes, n_axes)
    ]
    if not engine.recipe.predict.flip_tta:
        subsets = [[]]
    total = None
    for flips in subsets:
        copy = image.flip(flips) if flips else image
        logits = _window_logits(engine, copy).float()
        logits = logits.flip(flips) if flips else logits
        total = logits if total is None else total + logits
    assert total is not None
    return total / len(subsets) if len(subsets) > 1 else total


def _window_logits(engine: Engine, image: Tensor) -> Tensor:
    reduced = REDUCED.get(engine.precision)
    with torch.autocast(engine.device.type, dtype=reduced, enabled=reduced is not None):
        return infer_logits(
            engine.network,
            image,
            patch_px=window_px(engine.recipe) or window_if_large(image.shape[2:]),
            overlap=engine.recipe.predict.overlap,
            batch_size=engine.recipe.predict.batch_size,
        )


def window_if_large(space: Sequence[int]) -> tuple[int, ...] | None:
    """The window for images that are too large for one pass; None for others."""
    n_axes = len(space)
    return LARGE_WINDOW_PX[n_axes] if math.prod(space) > LARGE_PX[n_axes] else None
