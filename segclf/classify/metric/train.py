"""Train the embedding, build the gallery of training cases, score val and test."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from segclf.classify.metric.classes import class_of, find_target, metric_targets
from segclf.classify.metric.decide import fit_unknown, separated
from segclf.classify.metric.gallery import Gallery
from segclf.classify.metric.network import MetricNetwork, embed_cases, new_network
from segclf.classify.metric.pairs import Pairs, pairs_within, relations
from segclf.classify.metric.retrieval import MOST_CASES, class_relations, retrieval_numbers
from segclf.classify.metric.sampling import plan_classes, plan_pairs
from segclf.classify.metric.score import Held, write_results
from segclf.classify.start import Start, load_start
from segclf.core.atomic import hash_of
from segclf.core.config import Recipe
from segclf.core.records import Case
from segclf.data import Batch, Plan, eval_batches
from segclf.manifest import CaseTable, cases_of, read_pairs
from segclf.networks import check_network
from segclf.training import Prepared, Task, begin_training, fit, make_task, write_model
from segclf.training.cases import drop_cache, write_quarantine
from segclf.training.checkpoints import to_bytes
from segclf.training.runtime import (
    device_of,
    full_disk_stops,
    is_first_rank,
    to_device,
    wait_for_all,
)
from segclf.training.state import EventSink


@dataclass(frozen=True)
class Truth:
    """What is known about the cases: classes, or pairs."""

    target: str
    """What the classes are of."""
    findings: tuple[str, ...]
    pairs: Pairs | None
    """If there are pairs, training and selection see these alone."""

    def classes(self, cases: Sequence[Case]) -> list[str | None]:
        """The class of each case; None if it is not known."""
        return [class_of(case, self.target, self.findings) for case in cases]


def train_metric(
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

    Encoder, its first weights, augmentation and budget are those of the segmenter of the same
    recipe. The kept weights have the best AUROC of same against different pairs of validation
    cases. The folder gets what `train_classifier` writes, and the gallery of training cases,
    `classes.parquet` with the class of each val and test case, and their embeddings.

    Args:
        table: The cases.
        split: From `make_split`.
        recipe: The experiment; `classify.metric` has what only this head needs.
        folder: Where the model goes.
        fold: The fold whose parts are used; None without folds.
        resume: Continue an interrupted training; a finished one is left as it is.
        start: The segmenter whose encoder it starts from, from `find_start`.
        on_event: Gets the progress as plain data.

    Raises:
        SegclfError: The data, the recipe or the folder do not allow it; see `training.fit`.
    """
    on_event = on_event if is_first_rank() else None
    parts = {part: cases_of(table, split, part, fold) for part in ("train", "val", "test")}
    truth = _truth(table, recipe)
    # labels are no part of a training on pairs, so the categories are not looked up
    targets = None if truth.pairs else metric_targets(parts, table.findings, recipe)
    prepared = begin_training(
        parts["train"],
        parts["val"],
        recipe,
        folder,
        identity_parts=("classify",),
        findings=targets.names if targets else table.findings,
        table_sha256=_hash(table, truth),
        fold=fold,
        facts={} if start is None else {"classify.init_from": start.card.sha256},
        resume=resume,
        check=partial(check_network, recipe.network, spatial_dims=recipe.image.spatial_dims),
        on_event=on_event,
    )
    if prepared is None:
        return folder
    task = _new_task(prepared, recipe, truth, start, on_event)
    result = fit(task, recipe, folder, resume=resume, on_event=on_event)
    if is_first_rank():
        network: MetricNetwork = task.network  # type: ignore[assignment] (from `_new_task`)
        with full_disk_stops(folder):
            # the loss and its weights are not needed again: what is kept is an ordinary classifier
            kept = replace(task, network=network.classifier)
            classes = dict(targets.classes) if targets else {}
            facts: dict[str, Any] = {"classes": classes, "size_px": recipe.image.size_px}
            facts["init_from"] = None if start is None else start.facts
            _write_results(folder, kept, prepared, parts, recipe, truth, on_event)
            write_model(
                folder, kept, prepared, recipe, result, head="metric", exclusive=True, **facts
            )
        drop_cache(folder)
    wait_for_all()
    return folder


def _truth(table: CaseTable, recipe: Recipe) -> Truth:
    text = recipe.classify.metric.pairs
    pairs = None if text is None else read_pairs(text, table)
    return Truth(find_target(recipe, table), table.findings, pairs)


def _hash(table: CaseTable, truth: Truth) -> str:
    """Of everything that training reads beside the images."""
    if truth.pairs is None:
        return table.sha256
    return hash_of([table.sha256, sorted([*key, is_so] for key, is_so in truth.pairs.items())])


def _new_task(
    prepared: Prepared,
    recipe: Recipe,
    truth: Truth,
    start: Start | None,
    on_event: EventSink | None,
) -> Task:
    names = [] if truth.pairs else _names(truth.classes(prepared.train))
    number = {} if truth.pairs else _numbers(prepared.train, truth, names)

    def loss_of_batch(embedding: Tensor, batch: Batch) -> Tensor:
        if truth.pairs is not None:
            known = torch.from_numpy(relations(batch.case_id, truth.pairs))
            return network.loss.of_pairs(embedding, known.to(embedding.device))
        numbers = torch.tensor([number[case_id] for case_id in batch.case_id])
        return network.loss.of_classes(embedding, numbers.to(embedding.device))

    compared = _compared(prepared.val, truth)
    plan = _plan(prepared, recipe, truth)
    network = new_network(recipe, prepared.n_channels, len(names))
    if start is not None:
        load_start(network.classifier, start)
    task = make_task(
        "classify", network, prepared, recipe, loss=loss_of_batch,
        measure=_never, select_by="auroc", plan=plan, on_event=on_event,
    )  # fmt: skip
    return replace(
        task,
        measure=partial(_measure, cases=compared, prepared=prepared, recipe=recipe),
        numbers=partial(retrieval_numbers, relation=_relation(compared, truth)),
    )


def _names(classes: Sequence[str | None]) -> list[str]:
    return sorted({name for name in classes if name is not None})


def _numbers(cases: Sequence[Case], truth: Truth, names: list[str]) -> dict[str, int]:
    place = {name: number for number, name in enumerate(names)}
    known = zip(cases, truth.classes(cases), strict=True)
    return {case.case_id: place[name] for case, name in known if name is not None}


def _plan(prepared: Prepared, recipe: Recipe, truth: Truth) -> Plan:
    if truth.pairs is None:
        return plan_classes(truth.classes(prepared.train), recipe)
    inside = pairs_within(truth.pairs, prepared.train, "train")
    ids = [case.case_id for case in prepared.train]
    return plan_pairs(inside, ids, seed=recipe.seed, batch_size=recipe.train.batch_size)


def _compared(val: Sequence[Case], truth: Truth) -> list[Case]:
    """The validation cases that select: those about which something is known, at most so many."""
    if truth.pairs is not None:
        ids = {case_id for key in pairs_within(truth.pairs, val, "val") for case_id in key}
        cases = [case for case in val if case.case_id in ids]
    else:
        cases = [c for c, name in zip(val, truth.classes(val), strict=True) if name is not None]
    chosen = np.linspace(0, len(cases) - 1, min(len(cases), MOST_CASES)).round().astype(int)
    return [cases[index] for index in chosen]


def _relation(cases: Sequence[Case], truth: Truth) -> np.ndarray:
    if truth.pairs is not None:
        return relations([case.case_id for case in cases], truth.pairs)
    return class_relations(truth.classes(cases), [case.patient_id for case in cases])


def _measure(
    network: nn.Module,
    rank: int,
    world: int,
    *,
    cases: Sequence[Case],
    prepared: Prepared,
    recipe: Recipe,
) -> np.ndarray:
    """Embeddings (case, dim) of this rank's share of the cases; those of other ranks are zero."""
    measured = np.zeros((len(cases), recipe.classify.metric.embedding_dim))
    row = {case.case_id: number for number, case in enumerate(cases)}
    for batch in _batches(cases[rank::world], prepared, recipe):
        for case_id, _, _ in batch.quarantined:
            measured[row[case_id]] = np.nan
        if batch.case_id:
            vectors = network(to_device(batch, device_of(network)).image)
            measured[[row[i] for i in batch.case_id]] = vectors.double().cpu().numpy()
    return measured


def _batches(cases: Sequence[Case], prepared: Prepared, recipe: Recipe) -> Iterator[Batch]:
    size = recipe.predict.batch_size
    return eval_batches(cases, recipe, cache=prepared.cache, batch_size=size, workers=0)


def _never(_network: nn.Module, _batch: Batch) -> np.ndarray:
    raise NotImplementedError("embeddings are measured over all cases at once")


def _write_results(
    folder: Path,
    task: Task,
    prepared: Prepared,
    parts: dict[str, tuple[Case, ...]],
    recipe: Recipe,
    truth: Truth,
    on_event: EventSink | None,
) -> None:
    network: Any = task.network
    known = [c for c in prepared.train if class_of(c, truth.target, truth.findings) is not None]
    cases, vectors, bad = embed_cases(network, known, recipe, on_event)
    gallery = Gallery(
        vectors,
        tuple(case.case_id for case in cases),
        tuple(str(name) for name in truth.classes(cases)),
        model_sha256=hashlib.sha256(to_bytes(network.state_dict())).hexdigest(),
        target=truth.target,
    )
    held = []
    for part in ("val", "test"):
        # part by part: no test image shares a batch, and its rounding, with a validation image
        read, vectors, unread = embed_cases(network, parts[part], recipe, on_event)
        held.append(Held(part, read, vectors, truth.classes(read)))
        bad = [*bad, *unread]
    gallery = replace(gallery, unknown=_fit_unknown(held[0], gallery, recipe, truth))
    quarantined = list(dict.fromkeys([*prepared.quarantined, *bad]))
    write_quarantine(folder, quarantined)
    write_results(folder, gallery, held, recipe, fold=prepared.fold, n_bad=len(quarantined))


def _fit_unknown(val: Held, gallery: Gallery, recipe: Recipe, truth: Truth) -> dict[str, Any]:
    if truth.pairs is None:
        return fit_unknown(val.vectors, val.truth, gallery, recipe.summarize)
    compared = _compared(val.cases, truth)
    relation = _relation(compared, truth)
    row = {case.case_id: number for number, case in enumerate(val.cases)}
    vectors = val.vectors[[row[case.case_id] for case in compared]]
    one_way = np.triu_indices(len(relation), k=1)
    similarity = (vectors @ vectors.T)[one_way]
    record = separated(similarity, relation[one_way], recipe.summarize)
    return {"method": "similar against dissimilar pairs", **record}
