"""`joint`: masks and image labels trained together on one encoder (the idea of SMP aux_params)."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import Tensor, nn

from segclf.classify.findings import check_exclusive
from segclf.classify.head import Head, Parts, label_loss, score_parts
from segclf.classify.score import Scored
from segclf.classify.targets import Targets
from segclf.core.atomic import sha256_of, write_bytes, write_json
from segclf.core.config import Recipe
from segclf.core.records import Case
from segclf.data import Batch, CaseCache, Plan, plan_sampling
from segclf.losses import build_loss
from segclf.networks import ImageSide, JointNetwork, JointOutputs, build_joint, set_output_bias
from segclf.segment.measure import measure_masks, pixel_prior
from segclf.training import MEASURES, Prepared, read_card
from segclf.training.checkpoints import to_bytes
from segclf.training.identity import MODEL
from segclf.training.models import WEIGHTS
from segclf.training.state import EventSink

SEGMENTER = "segmenter"
"""Folder, inside that of the joint model, of its encoder, decoder and mask head alone."""


def joint_head(recipe: Recipe) -> Head:
    """The head for the loss of masks that the recipe names.

    Raises:
        UsageError: No loss has that name.
        ConfigError: It does not take its options.
    """
    mask_loss = build_loss(recipe.loss, exclusive=recipe.exclusive)

    def loss(raw: JointOutputs, batch: Batch, targets: Targets) -> Tensor:
        of_labels = label_loss(raw.image, batch, targets)
        return mask_loss(raw.masks, batch.target) + recipe.classify.joint_weight * of_labels

    return Head(
        joint_targets,
        loss=loss,
        build=new_joint,
        begin=start_at_prior,
        plan=plan_any_truth,
        measure=partial(measure_joint, recipe=whole_images(recipe)),
        score=score_images,
    )


def joint_targets(parts: Parts, findings: tuple[str, ...], recipe: Recipe) -> Targets:
    """The findings; they exclude each other in the image if they do at a pixel.

    Raises:
        DataError: They do, and a case has two.
    """
    if recipe.exclusive:
        check_exclusive(parts, findings, recipe)
    return Targets(findings=findings, exclusive=recipe.exclusive)


def new_joint(recipe: Recipe, targets: Targets, n_channels: int) -> JointNetwork:
    """Encoder, decoder and mask head of the segmenter, and an image head."""
    return build_joint(
        recipe.network,
        n_channels=n_channels,
        n_masks=len(targets.findings) + int(recipe.exclusive),
        n_outputs=targets.n_outputs,
        spatial_dims=recipe.image.spatial_dims,
        dropout=recipe.classify.dropout,
        size_px=recipe.image.size_px,
    )


def start_at_prior(network: nn.Module, prepared: Prepared, recipe: Recipe) -> None:
    """Let the masks start at the share of positive pixels, as those of the segmenter.

    Raises:
        DataError: A finding has no positive pixel in any known mask.
    """
    prior = pixel_prior(prepared.train, prepared.cache, prepared.findings)
    if recipe.segment.bias_from_prior and isinstance(network, JointNetwork):
        set_output_bias(network, prior, exclusive=recipe.exclusive)


def plan_any_truth(cases: Sequence[Case], recipe: Recipe, cache: CaseCache) -> Plan:
    """Cases of which a label or a mask is known, balanced by `train.positive_share`."""
    return plan_sampling(cases, recipe, task="joint", cache=cache)


def measure_joint(
    network: nn.Module, batch: Batch, head: Head, targets: Targets, *, recipe: Recipe
) -> np.ndarray:
    """Measures of validation images: score and label of the image head, overlap of the masks."""
    raw: JointOutputs = network(batch.image)
    raw = JointOutputs(raw.masks.float(), raw.image.float())
    loss = head.loss(raw, batch, targets)
    masks = nn.Identity()
    measured = measure_masks(
        masks, _with_image(batch, raw.masks), recipe=recipe, loss=lambda _raw, _target: loss
    )
    score = head.probabilities(raw.image.cpu(), targets).numpy()
    measured[..., MEASURES.index("score")] = score
    measured[..., MEASURES.index("label")] = batch.label.cpu().numpy()
    return measured


def score_images(
    network: nn.Module, prepared: Prepared, held_out: Parts, recipe: Recipe, head: Head,
    targets: Targets, on_event: EventSink | None,
) -> Scored:  # fmt: skip
    """Scores of the image head."""
    side = ImageSide(network)
    return score_parts(side, prepared, held_out, recipe, head, targets, on_event)


def joint_segmenter(folder: Path) -> Path:
    """The masks' side of a joint model as a segmenter in a folder of its own, for `predict`.

    Raises:
        IntegrityError: The joint model is missing or damaged.
    """
    card = read_card(folder, kind="classify")
    state = {
        name: tensor
        for name, tensor in load_file(folder / WEIGHTS).items()
        if not name.startswith("image_head.")
    }
    own = folder / SEGMENTER
    own.mkdir(exist_ok=True)
    write_bytes(own / WEIGHTS, to_bytes(state))
    changes = {"kind": "segment", "head": None, "sha256": sha256_of(own / WEIGHTS)}
    write_json(own / MODEL, card.model_copy(update=changes).model_dump(mode="json"))
    return own


def whole_images(recipe: Recipe) -> Recipe:
    """The recipe without crops and windows: the image head needs the whole image."""
    return recipe.model_copy(
        update={
            "segment": recipe.segment.model_copy(update={"patch_px": None}),
            "predict": recipe.predict.model_copy(update={"patch_px": None}),
        }
    )


def _with_image(batch: Batch, image: Tensor) -> Batch:
    return Batch(image, batch.target, batch.label, batch.case_id, batch.step)
