"""Train an ordinary classifier on the segmenter's encoder, cases and budget."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from segclf.classify.heads import HEADS, Head, check_labels
from segclf.classify.score import score_cases, score_table
from segclf.core.catalog import lookup
from segclf.core.config import Recipe
from segclf.core.records import Case
from segclf.core.scoretable import write_scores
from segclf.data import Batch
from segclf.manifest import CaseTable, cases_of
from segclf.networks import Classifier, build_classifier, check_network, finding_logits
from segclf.training import (
    MEASURES,
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
        on_event: Gets the progress as plain data.

    Raises:
        SegclfError: The data, the recipe or the folder do not allow it; see `training.fit`.
    """
    on_event = on_event if is_first_rank() else None
    head = lookup(recipe.classify.head, HEADS, kind="head", group="segclf.heads")
    parts = {part: cases_of(table, split, part, fold) for part in ("train", "val", "test")}
    check_labels(head, [*parts["train"], *parts["val"]], table.findings)
    prepared = begin_training(
        parts["train"],
        parts["val"],
        recipe,
        folder,
        identity_parts=("classify",),
        findings=table.findings,
        table_sha256=table.sha256,
        fold=fold,
        resume=resume,
        check=partial(check_network, recipe.network, spatial_dims=recipe.image.spatial_dims),
        on_event=on_event,
    )
    if prepared is None:
        return folder
    task = _new_task(prepared, recipe, head, on_event)
    result = fit(task, recipe, folder, resume=resume, on_event=on_event)
    if is_first_rank():
        held_out = {part: parts[part] for part in ("val", "test")}
        with full_disk_stops(folder):
            _write_scores(folder, task.network, prepared, held_out, recipe, head, on_event)
            write_model(
                folder, task, prepared, recipe, result, head=recipe.classify.head,
                exclusive=head.exclusive, size_px=recipe.image.size_px,
            )  # fmt: skip
        drop_cache(folder)
    wait_for_all()
    return folder


def load_classifier(folder: Path) -> tuple[Classifier, ModelCard]:
    """The trained classifier in a folder, in evaluation mode on the CPU, and its card.

    Raises:
        IntegrityError: A file is missing, or is not the one that the training wrote.
    """
    card = read_card(folder, kind="classify")
    with initial_weights(card.seed):  # so that building draws nothing from the caller's stream
        network = build_classifier(
            card.network,
            n_channels=card.n_channels,
            n_outputs=card.n_outputs,
            spatial_dims=card.spatial_dims,
            size_px=card.size_px,
        )
    return load_weights(folder, network), card


def measure_labels(network: nn.Module, batch: Batch, *, head: Head) -> np.ndarray:
    """Measures `(case, finding, measure)` of validation images; NaN where a mask is needed.

    Args:
        network: In evaluation mode.
        batch: On the network's device.
        head: What the outputs mean.
    """
    raw = network(batch.image).float()
    score = finding_logits(raw, head.exclusive).cpu().double().sigmoid()
    measured = torch.full((*score.shape, len(MEASURES)), torch.nan, dtype=torch.float64)
    measured[..., 0] = head.loss(raw, batch.label).cpu()
    measured[..., 1], measured[..., 2] = score, batch.label.cpu()
    return measured.numpy()


def _new_task(prepared: Prepared, recipe: Recipe, head: Head, on_event: EventSink | None) -> Task:
    def loss_of_batch(raw: Tensor, batch: Batch) -> Tensor:
        return head.loss(raw, batch.label)

    return make_task(
        "classify",
        _new_network(recipe, head, prepared.n_channels, len(prepared.findings)),
        prepared,
        recipe,
        loss=loss_of_batch,
        measure=partial(measure_labels, head=head),
        select_by="auroc",  # a classifier has no Dice
        on_event=on_event,
    )


def _write_scores(
    folder: Path,
    network: nn.Module,
    prepared: Prepared,
    held_out: Mapping[str, Sequence[Case]],
    recipe: Recipe,
    head: Head,
    on_event: EventSink | None,
) -> None:
    # part by part: no test image shares a batch, and its rounding, with a validation image
    scored = [score_cases(network, head, part, recipe, on_event) for part in held_out.values()]
    scores = {case_id: score for part, _ in scored for case_id, score in part.items()}
    rows, fits = score_table(scores, held_out, prepared.findings, recipe, fold=prepared.fold)
    unread = [case for _, bad in scored for case in bad]
    quarantined = list(dict.fromkeys([*prepared.quarantined, *unread]))
    write_quarantine(folder, quarantined)
    record = {"head": recipe.classify.head, "fits": fits, "n_quarantined": len(quarantined)}
    write_scores(folder, rows, record, record_name=RECORD)


def _new_network(recipe: Recipe, head: Head, n_channels: int, n_findings: int) -> Classifier:
    with initial_weights(recipe.seed):
        return build_classifier(
            recipe.network,
            n_channels=n_channels,
            n_outputs=head.n_outputs(n_findings),
            spatial_dims=recipe.image.spatial_dims,
            dropout=recipe.classify.dropout,
            size_px=recipe.image.size_px,
        )
