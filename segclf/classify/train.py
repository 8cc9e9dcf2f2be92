"""Train an ordinary classifier on the segmenter's encoder, cases and budget."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor, nn

from segclf.classify.head import Head, Parts
from segclf.classify.heads import find_head
from segclf.classify.score import score_table
from segclf.classify.start import Start, load_start
from segclf.classify.targets import Targets, balanced
from segclf.core.config import Recipe, make_recipe
from segclf.core.records import Case
from segclf.core.scoretable import write_scores
from segclf.data import Batch
from segclf.manifest import CaseTable, cases_of
from segclf.networks import check_network
from segclf.training import (
    ModelCard,
    Prepared,
    Task,
    begin_training,
    fit,
    initial_weights,
    load_weights,
    make_task,
    read_card,
    write_model,
)
from segclf.training.cases import drop_cache, write_quarantine
from segclf.training.runtime import full_disk_stops, is_first_rank, wait_for_all
from segclf.training.state import EventSink

RECORD = "classifier.json"


def train_classifier(
    table: CaseTable,
    split: pd.DataFrame,
    recipe: Recipe,
    folder: Path,
    *,
    fold: int | None = None,
    resume: bool = False,
    start: Start | None = None,
    on_event: EventSink | None = None,
) -> Path:
    """Train on the train part, select on the val part, score val and test; returns `folder`.

    Encoder, its first weights, augmentation, budget and selection rule are those of the
    segmenter of the same recipe. The folder gets `model.safetensors`, `model.json`,
    `metrics.jsonl`, `scores.parquet`, and `classifier.json` with how thresholds were fitted.
    Test cases are only scored.

    Args:
        table: The cases.
        split: From `make_split`.
        recipe: The experiment; `classify` has what only a classifier needs.
        folder: Where the model goes.
        fold: The fold whose parts are used; None without folds.
        resume: Continue an interrupted training; a finished one is left as it is.
        start: The segmenter whose encoder it starts from, from `find_start`.
        on_event: Gets the progress as plain data.

    Raises:
        SegclfError: The data, the recipe or the folder do not allow it; see `training.fit`.
    """
    on_event = on_event if is_first_rank() else None
    head = find_head(recipe)
    if head.train is not None:
        return head.train(
            table, split, recipe, folder, fold=fold, resume=resume, start=start, on_event=on_event
        )
    parts, targets = labelled_parts(head, table, split, recipe, fold=fold)
    _say_constant(targets, parts["train"], on_event)
    prepared = begin_training(
        parts["train"],
        parts["val"],
        recipe,
        folder,
        identity_parts=("classify",),
        findings=targets.names,
        table_sha256=table.sha256,
        fold=fold,
        facts={} if start is None else {"classify.init_from": start.card.sha256},
        resume=resume,
        check=partial(check_network, recipe.network, spatial_dims=recipe.image.spatial_dims),
        on_event=on_event,
    )
    if prepared is None:
        return folder
    task = _new_task(prepared, recipe, head, targets, start, on_event)
    result = fit(task, recipe, folder, resume=resume, on_event=on_event)
    if is_first_rank():
        held_out = {part: parts[part] for part in ("val", "test")}
        with full_disk_stops(folder):
            _write_scores(folder, task.network, prepared, held_out, recipe, head, targets, on_event)
            write_model(
                folder, task, prepared, recipe, result, head=recipe.classify.head,
                exclusive=targets.exclusive, classes=dict(targets.classes),
                size_px=recipe.image.size_px, init_from=None if start is None else start.facts,
            )  # fmt: skip
        drop_cache(folder)
    wait_for_all()
    return folder


def labelled_parts(
    head: Head, table: CaseTable, split: pd.DataFrame, recipe: Recipe, *, fold: int | None
) -> tuple[dict[str, tuple[Case, ...]], Targets]:
    """The cases of each part with one label per name of the head's targets, and these.

    Class weights are counted on the train part.

    Raises:
        DataError: The head cannot learn from these cases.
    """
    parts = {part: cases_of(table, split, part, fold) for part in ("train", "val", "test")}
    targets = head.targets(parts, table.findings, recipe)
    if recipe.classify.class_weights == "balanced":
        targets = balanced(targets, parts["train"])
    return {part: targets.relabelled(cases) for part, cases in parts.items()}, targets


def _say_constant(targets: Targets, train: Sequence[Case], on_event: EventSink | None) -> None:
    """Warn of findings about which the training cases say nothing, beside others that they do."""
    for place, finding in enumerate(targets.findings):
        known = [case.labels[place] for case in train if not np.isnan(case.labels[place])]
        if len(set(known)) > 1 or on_event is None:
            continue
        what = (
            f"all {len(known)} known labels of {finding} are {known[0]:g}"
            if known
            else (f"no label of {finding} is known")
        )
        message = f"{what} in training: nothing is learned of it, and its scores say nothing"
        on_event({"kind": "warning", "about": "labels", "message": message})


def load_classifier(folder: Path) -> tuple[nn.Module, ModelCard]:
    """The trained classifier in a folder, in evaluation mode on the CPU, and its card.

    Raises:
        IntegrityError: A file is missing, or is not the one that the training wrote.
    """
    card = read_card(folder, kind="classify")
    recipe = recipe_of(card)
    head = find_head(recipe)
    with initial_weights(card.seed):  # so that building draws nothing from the caller's stream
        network = head.build(recipe, targets_of(card), card.n_channels)
    return load_weights(folder, network), card


def recipe_of(card: ModelCard) -> Recipe:
    """The recipe of a training, as far as its card tells it; without weights to start from."""
    recipe = make_recipe(card.recipe, where="model.json")
    return recipe.model_copy(update={"network": card.network, "image": card.image})


def targets_of(card: ModelCard) -> Targets:
    """What the outputs of a trained classifier mean."""
    findings = () if card.classes else card.findings
    return Targets(findings=findings, exclusive=card.exclusive, classes=card.classes)


def _new_task(
    prepared: Prepared,
    recipe: Recipe,
    head: Head,
    targets: Targets,
    start: Start | None,
    on_event: EventSink | None,
) -> Task:
    def loss_of_batch(raw: Tensor, batch: Batch) -> Tensor:
        return head.loss(raw, batch, targets)

    def measure(network: nn.Module, batch: Batch) -> np.ndarray:
        return head.measure(network, batch, head, targets)

    with initial_weights(recipe.seed):
        network = head.build(recipe, targets, prepared.n_channels)
    head.begin(network, prepared, recipe)
    if start is not None:
        load_start(network, start)
    return make_task(
        "classify",
        network,
        prepared,
        recipe,
        loss=loss_of_batch,
        measure=measure,
        plan=head.plan(prepared.train, recipe, prepared.cache),
        select_by="auroc",  # a classifier has no Dice
        on_event=on_event,
    )


def _write_scores(
    folder: Path,
    network: nn.Module,
    prepared: Prepared,
    held_out: Parts,
    recipe: Recipe,
    head: Head,
    targets: Targets,
    on_event: EventSink | None,
) -> None:
    # part by part: no test image shares a batch, and its rounding, with a validation image
    scored = head.score(network, prepared, held_out, recipe, head, targets, on_event)
    scores, unread = scored
    rows, fits = score_table(scores, held_out, targets.names, recipe, fold=prepared.fold)
    quarantined = list(dict.fromkeys([*prepared.quarantined, *unread]))
    write_quarantine(folder, quarantined)
    record = {
        "method": recipe.classify.method,
        "head": recipe.classify.head,
        "fits": fits,
        "n_quarantined": len(quarantined),
    }
    write_scores(folder, rows, record, record_name=RECORD)
    head.more(folder, scored, held_out, targets, network=network, prepared=prepared, recipe=recipe)
