"""Train a segmenter: from cases to weights that find pixels."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
from torch import Tensor

from segclf.core.config import Recipe
from segclf.core.records import with_truth_only
from segclf.data import Batch
from segclf.losses import build_loss
from segclf.manifest import CaseTable, cases_of
from segclf.networks import Segmenter, build_segmenter, check_network, set_output_bias
from segclf.segment.infer import window_px
from segclf.segment.measure import measure_masks, pixel_prior
from segclf.segment.refine import refining_loss, require_findings, require_fine_masks
from segclf.segment.start import Start, require_channels
from segclf.segment.variant import Variant
from segclf.training import (
    ModelCard,
    Numbers,
    Prepared,
    Task,
    begin_training,
    fit,
    initial_weights,
    is_collapsed,
    load_weights,
    make_task,
    read_card,
    write_model,
)
from segclf.training.cases import drop_cache
from segclf.training.runtime import full_disk_stops, is_first_rank, wait_for_all
from segclf.training.state import EventSink


def train_segmenter(
    table: CaseTable,
    split: pd.DataFrame,
    recipe: Recipe,
    folder: Path,
    *,
    fold: int | None = None,
    resume: bool = False,
    start: Start | None = None,
    variant: Variant | None = None,
    on_event: EventSink | None = None,
) -> Path:
    """Train on the train part, select on the val part; returns `folder`.

    Test cases are not looked at. The folder gets `model.safetensors` and `model.json` when the
    training has ended, and `metrics.jsonl` and `checkpoints/` on the way.

    Args:
        table: The cases.
        split: From `make_split`.
        recipe: The experiment.
        folder: Where the model goes.
        fold: The fold whose train and val parts are used; None without folds.
        resume: Continue an interrupted training; a finished one is left as it is.
        start: The network that is refined, from `find_segmenter`: then only masks that are truth
            (full, drawn or empty) train, see `refining_loss`.
        variant: How it departs from training on masks alone.
        on_event: Gets the progress as plain data.

    Raises:
        SegclfError: The data, the recipe or the folder do not allow it; see `training.fit`.
    """
    on_event = on_event if is_first_rank() else None
    train = cases_of(table, split, "train", fold)
    if start is not None:
        require_findings(start, recipe, table.findings)
        train = tuple(with_truth_only(case) for case in train)
        require_fine_masks(train, start)
    prepared = begin_training(
        train,
        cases_of(table, split, "val", fold),
        recipe,
        folder,
        identity_parts=(*_identity_parts(recipe), *(variant.identity_parts if variant else ())),
        findings=table.findings,
        table_sha256=table.sha256,
        fold=fold,
        facts=_facts(start, variant),
        resume=resume,
        check=partial(_check, recipe),
        on_event=on_event,
    )
    if prepared is None:
        return folder
    prior = pixel_prior(prepared.train, prepared.cache, table.findings)
    task = _new_task(prepared, recipe, prior, start, variant, on_event)
    trained = variant.change(task, prepared) if variant else task
    result = fit(trained, recipe, folder, resume=resume, on_event=on_event)
    collapsed = is_collapsed(result.validation)
    if collapsed and on_event is not None:
        message = collapse_message(result.validation, recipe)
        on_event({"kind": "warning", "about": "collapse", "message": message})
    if is_first_rank():
        with full_disk_stops(folder):
            write_model(
                folder, task, prepared, recipe, result, prior=prior, collapsed=collapsed,
                exclusive=recipe.exclusive, size_px=_size_px(recipe),
                init_from=None if start is None else start.facts,
            )  # fmt: skip
        drop_cache(folder)
    wait_for_all()
    return folder


def load_segmenter(folder: Path) -> tuple[Segmenter, ModelCard]:
    """The trained segmenter in a folder, in evaluation mode on the CPU, and its card.

    Raises:
        IntegrityError: A file is missing, or is not the one that the training wrote.
    """
    card = read_card(folder, kind="segment")
    with initial_weights(card.seed):  # so that building draws nothing from the caller's stream
        network = build_segmenter(
            card.network,
            n_channels=card.n_channels,
            n_outputs=card.n_outputs,
            spatial_dims=card.spatial_dims,
            size_px=card.size_px,
        )
    return load_weights(folder, network), card


def collapse_message(numbers: Numbers, recipe: Recipe) -> str:
    """What to say, and what to change, when the masks are of no use."""
    hints = [] if recipe.segment.bias_from_prior else ["segment.bias_from_prior=true"]
    if recipe.loss.name not in ("dice_ce", "tversky"):
        hints.append("loss.name=dice_ce")
    if (recipe.train.positive_share or 0) < 0.5:
        hints.append("train.positive_share=0.5")
    hints += [f"train.steps={2 * recipe.train.steps}", f"train.lr={recipe.train.lr / 3:.1g}"]
    hints.append("larger images (image.size_px) or crops around the target (segment.patch_px)")
    n_positive, dice = numbers["n_masks_positive"], numbers["dice_positives"]
    return (
        f"the segmenter has collapsed: mean Dice on the {n_positive} positive validation masks is "
        f"{dice:.3f}, so its masks say nothing. Try: {'; '.join(hints)}"
    )


def _facts(start: Start | None, variant: Variant | None) -> dict[str, str]:
    """What a resumed training must agree in, beside the recipe and the cases."""
    facts = {} if start is None else {"segment.refine_from": f"sha256:{start.card.sha256}"}
    return facts | (variant.facts if variant else {})


def _check(recipe: Recipe) -> None:
    build_loss(recipe.loss, exclusive=recipe.exclusive)
    check_network(recipe.network, spatial_dims=recipe.image.spatial_dims)


def _new_task(
    prepared: Prepared,
    recipe: Recipe,
    prior: tuple[float, ...],
    start: Start | None,
    variant: Variant | None,
    on_event: EventSink | None,
) -> Task:
    loss = build_loss(recipe.loss, exclusive=recipe.exclusive)
    network = new_network(recipe, prepared.n_channels, prior)
    if start is not None:
        require_channels(start, prepared.n_channels)
        load_weights(start.folder, network)
    return make_task(
        "segment",
        network,
        prepared,
        recipe,
        loss=_loss_of_batch(loss, start, recipe),
        measure=partial(measure_masks, recipe=recipe, loss=loss),
        select_by=recipe.train.select_by,
        plan=variant.plan(prepared) if variant else None,
        on_event=on_event,
    )


def _loss_of_batch(
    loss: Callable[[Tensor, Tensor], Tensor], start: Start | None, recipe: Recipe
) -> Callable[[Tensor, Batch], Tensor]:
    if start is not None:
        return refining_loss(loss, load_segmenter(start.folder)[0], recipe)
    return lambda raw, batch: loss(raw, batch.target)


def new_network(recipe: Recipe, n_channels: int, prior: tuple[float, ...]) -> Segmenter:
    """An untrained segmenter, whose first weights depend on the recipe's seed alone.

    Args:
        recipe: Network, image size and seed.
        n_channels: Channels of the image.
        prior: Share of positive pixels per finding.
    """
    with initial_weights(recipe.seed):
        network = build_segmenter(
            recipe.network,
            n_channels=n_channels,
            n_outputs=len(prior) + int(recipe.exclusive),
            spatial_dims=recipe.image.spatial_dims,
            size_px=_size_px(recipe),
        )
    if recipe.segment.bias_from_prior:
        set_output_bias(network, prior, exclusive=recipe.exclusive)
    return network


def _identity_parts(recipe: Recipe) -> tuple[str, ...]:
    windowed = window_px(recipe) is not None
    return ("loss", "segment", *(("predict.patch_px", "predict.overlap") if windowed else ()))


def _size_px(recipe: Recipe) -> tuple[int, ...] | None:
    """The one shape of what the network is trained on; None if there are several."""
    return recipe.segment.patch_px or recipe.image.size_px
