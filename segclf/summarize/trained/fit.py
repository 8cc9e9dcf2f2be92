"""Fit a network head on kept maps, with the loop, budget and selection of every other training."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import xlogy
from torch import nn

from segclf.core.atomic import read_json
from segclf.core.config import Recipe
from segclf.core.errors import ConfigError
from segclf.core.sameness import flat_settings
from segclf.data import Batch, SamplingPlan
from segclf.data.augment import draw_augmentation
from segclf.losses import independent_loss
from segclf.networks.normalizable import normalizable
from segclf.summarize.trained.heads import MapHead
from segclf.summarize.trained.represent import Reader, kept_batch
from segclf.summarize.trained.store import GIB, Store
from segclf.training import (
    MEASURES,
    Task,
    fit,
    initial_weights,
    memory_format,
    pick_device,
    pick_precision,
)
from segclf.training.cost import read_cost
from segclf.training.identity import CHECKPOINTS, FILE
from segclf.training.runtime import device_of
from segclf.training.state import EventSink

MAX_HEAD_GIB = 4.0
"""Most memory that the weights of a head may take, with their gradients and two moments."""


@dataclass(frozen=True)
class Fitted:
    """A network head that was trained, and how that went."""

    network: nn.Module
    facts: dict[str, Any]
    """`n_steps`, `best_step`, `validation_auroc`, `cpu_s`, `loss` of the last steps, and
    `loss_of_prior`: what knowing the share of positives alone gives."""


def fit_network(
    reader: Reader,
    train: Store,
    val: Store,
    recipe: Recipe,
    folder: Path,
    identity: str,
    on_event: EventSink | None,
) -> Fitted:
    """Train the head of `reader` on `train`, keep the weights that rank `val` best.

    An interrupted training of the same thing is continued. Afterwards the folder keeps
    `metrics.jsonl`, and its checkpoints are gone.

    Args:
        reader: What was kept.
        train: Cases to fit on; labels that must have no influence are NaN.
        val: Cases to select on.
        recipe: Budget (`summarize.steps` over `train.steps`) and flips.
        folder: Where the training writes.
        identity: Hash of everything that decides the outcome.
        on_event: Told the progress.
    """
    assert reader.head is not None
    steps = recipe.summarize.steps or recipe.train.steps
    settings = recipe.train.model_copy(update={"steps": steps, "devices": 1})
    recipe = recipe.model_copy(update={"train": settings})
    network = new_network(reader.head, reader.shape, train.label.shape[1], recipe.seed)
    plan = _plan(train.label, recipe)
    prior, loss_of_prior = prior_of(train.label, plan)
    if reader.head.start is not None:
        usable = np.flatnonzero((~np.isnan(train.label)).any(1))
        reader.head.start(network, train.values[usable], prior)
    task = Task(
        kind="classify",
        network=network,
        spatial_dims=recipe.image.spatial_dims,
        batches=partial(_batches, store=train, plan=plan, recipe=recipe),
        loss=lambda raw, batch: independent_loss(raw, batch.label),
        measure=partial(_measure, store=val, batch_size=recipe.predict.batch_size),
        identity={
            **flat_settings(recipe, ("seed", "augment", "train")),
            "train.precision": pick_precision(recipe.train.precision, pick_device()),
            "what": identity,
        },
    )
    _forget_another(folder, task.identity)
    with normalizable(
        f"batches of {recipe.train.batch_size} small maps have",
        where="training step of the summarizer",
        fix="set train.batch_size to 2 or more and train again, or use --rule pool_fc",
    ):
        result = fit(task, recipe, folder, resume=True, on_event=on_event)
    shutil.rmtree(folder / CHECKPOINTS)
    facts = {
        "n_steps": result.n_steps,
        "best_step": result.best_step,
        "validation_auroc": result.validation.get("auroc"),
        "cpu_s": read_cost(folder),
        "loss": _last_loss(folder),
        "loss_of_prior": loss_of_prior,
    }
    return Fitted(network, facts)


def new_network(head: MapHead, shape: tuple[int, ...], n_findings: int, seed: int) -> nn.Module:
    """The untrained head for kept maps of `shape`; its first weights follow from the seed.

    Raises:
        ConfigError: It would need too much memory, or cannot read maps of that shape.
    """
    with torch.device("meta"):  # sizes without memory
        trial = head.build(shape, n_findings)
    n_bytes = 16 * sum(weight.numel() for weight in trial.parameters())
    if n_bytes > MAX_HEAD_GIB * GIB:
        raise ConfigError(
            f"the head would need {n_bytes / GIB:.3g} GiB for maps of "
            f"{' x '.join(map(str, shape))}.",
            where="memory for weights, gradients and moments",
            expected=f"at most {MAX_HEAD_GIB:g} GiB",
            fix="set a smaller summarize.grid_px, or use --rule pool_fc",
        )
    with initial_weights(seed):
        return head.build(shape, n_findings)


@torch.inference_mode()
def network_scores(network: nn.Module, values: np.ndarray) -> np.ndarray:
    """Probability per case and finding, (case, finding) float64, of kept maps in one batch."""
    network.eval()
    device = device_of(network)
    image = torch.from_numpy(values.astype(np.float32))
    image = image.to(device, memory_format=memory_format(image.ndim - 2, device))
    return network(image).double().sigmoid().cpu().numpy()


def _forget_another(folder: Path, identity: dict[str, Any]) -> None:
    """Delete an unfinished training of something else: a rule can be fitted anew at any time."""
    path = folder / FILE
    if path.is_file() and read_json(path) != identity:
        path.unlink()
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        (folder / "metrics.jsonl").unlink(missing_ok=True)


def _plan(label: np.ndarray, recipe: Recipe) -> SamplingPlan:
    """Which cases fill which step; those with no known label are in none."""
    usable = np.flatnonzero((~np.isnan(label)).any(1))
    positive = (label[usable] == 1).any(1)
    pools = tuple(tuple(usable[is_in].tolist()) for is_in in (positive, ~positive))
    share = recipe.train.positive_share
    plan: Callable[..., SamplingPlan] = partial(
        SamplingPlan, recipe.seed, recipe.train.batch_size, note=None
    )
    if share is None or not all(pools):
        return plan(pools=(tuple(usable.tolist()),), first_share=1.0)
    return plan(pools=pools, first_share=share)


def prior_of(label: np.ndarray, plan: SamplingPlan) -> tuple[np.ndarray, float]:
    """Share of positives in batches per finding, and the loss of always answering with it.

    Args:
        label: (case, finding) 1, 0, NaN for not known, of the training cases.
        plan: How batches are drawn from them.

    Returns:
        (finding,), NaN where no label is known; and the cross-entropy over known labels in nats.
    """
    weight = np.zeros(len(label))
    for pool, share in zip(plan.pools, (plan.first_share, 1 - plan.first_share), strict=False):
        weight[list(pool)] = share / len(pool)
    known = weight @ ~np.isnan(label)
    with np.errstate(invalid="ignore"):
        prior = weight @ (label == 1) / known
    entropy = -(xlogy(prior, prior) + xlogy(1 - prior, 1 - prior))
    return prior, float(np.nansum(known * entropy) / known.sum())


def _last_loss(folder: Path) -> float:
    """Mean training loss of the steps up to the last report."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [line["loss"] for line in map(json.loads, lines) if line["kind"] == "train"]
    return losses[-1]


def _batches(
    start_step: int,
    n_steps: int,
    _rank: int,
    _world: int,
    *,
    store: Store,
    plan: SamplingPlan,
    recipe: Recipe,
) -> Iterator[Batch]:
    """Batches of the steps, mirrored along `augment.flip_axes` as images are in training."""
    for step in range(start_step, start_step + n_steps):
        chosen = plan.draw(step)
        rows = [row for row, _ in chosen]
        values = store.values[rows]
        for place, (row, epoch) in enumerate(chosen):
            key = (recipe.seed, epoch, store.case_ids[row])
            flips = draw_augmentation(recipe.augment, values.ndim - 2, *key).flips
            values[place] = np.flip(values[place], tuple(axis + 1 for axis in flips))
        yield kept_batch(values, store.label[rows], [store.case_ids[row] for row in rows], step)


def _measure(
    network: nn.Module, _rank: int, _world: int, *, store: Store, batch_size: int
) -> np.ndarray:
    """Measures `(case, finding, measure)` of the validation cases; the loss is that of all."""
    device = device_of(network)
    raw = [torch.empty(0, store.label.shape[1])]
    for start in range(0, len(store.case_ids), batch_size):
        image = torch.from_numpy(store.values[start : start + batch_size].astype(np.float32))
        image = image.to(device, memory_format=memory_format(image.ndim - 2, device))
        raw.append(network(image).float().cpu())
    logits = torch.cat(raw)
    measured = np.full((*store.label.shape, len(MEASURES)), np.nan)
    label = torch.from_numpy(store.label.astype(np.float32))
    measured[..., MEASURES.index("loss")] = float(independent_loss(logits, label))
    measured[..., MEASURES.index("score")] = logits.double().sigmoid().numpy()
    measured[..., MEASURES.index("label")] = store.label
    return measured
