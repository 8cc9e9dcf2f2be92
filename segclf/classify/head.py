"""`Head`: everything in which two kinds of classifiers differ; its defaults fit most of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segclf.classify.score import Scored, score_cases
from segclf.classify.targets import Targets
from segclf.core.config import Recipe
from segclf.core.records import Case
from segclf.data import Batch, CaseCache, Plan, plan_sampling, plan_uniform
from segclf.losses import exclusive_loss, independent_loss
from segclf.networks import Classifier, against_rest, build_classifier
from segclf.training import MEASURES, Prepared
from segclf.training.state import EventSink

Parts = Mapping[str, Sequence[Case]]
"""`train`, `val` and `test` to their cases."""


def label_loss(raw: Tensor, batch: Batch, targets: Targets) -> Tensor:
    """Loss of image labels: the sum over the softmaxes, or of independent outputs.

    Each term is a mean over the cases for which it is known, and 0 if it is for none.
    """
    if not targets.sizes:
        return independent_loss(raw, batch.label, targets.weights)
    if not targets.classes:
        return exclusive_loss(raw, batch.label, targets.weights)
    weights = None if targets.weights is None else raw.new_tensor(targets.weights)
    groups = zip(
        raw.split(targets.sizes, 1),
        batch.label.split(targets.sizes, 1),
        [None] * len(targets.sizes) if weights is None else weights.split(targets.sizes),
        strict=True,
    )
    losses = [exclusive_loss(z, y, None if w is None else w.tolist()) for z, y, w in groups]
    return torch.stack(losses).sum()


def label_probabilities(raw: Tensor, targets: Targets) -> Tensor:
    """Probability per name `(batch, name)`, float64: softmax within a group, else sigmoid."""
    if not targets.sizes:
        return raw.double().sigmoid()
    logits = torch.cat([against_rest(group) for group in raw.split(targets.sizes, 1)], dim=1)
    return (logits if targets.classes else logits[:, 1:]).double().sigmoid()


def plan_balanced(cases: Sequence[Case], recipe: Recipe, cache: CaseCache) -> Plan:
    """Cases with a known label, balanced by `train.positive_share`."""
    return plan_sampling(cases, recipe, task="classify", cache=cache)


def plan_known(cases: Sequence[Case], recipe: Recipe, _cache: CaseCache) -> Plan:
    """Cases with a known class, each equally often: there is no positive among classes."""
    known = [i for i, case in enumerate(cases) if not np.isnan(case.labels).all()]
    return plan_uniform(cases, recipe, known)


def plan_exclusive(cases: Sequence[Case], recipe: Recipe, cache: CaseCache) -> Plan:
    """Of findings the balanced cases; of a class column, `classify.targets`, the known ones."""
    plan = plan_known if recipe.classify.targets else plan_balanced
    return plan(cases, recipe, cache)


def new_classifier(recipe: Recipe, targets: Targets, n_channels: int) -> Classifier:
    """The segmenter's encoder, global average pooling, dropout, one linear layer."""
    return build_classifier(
        recipe.network,
        n_channels=n_channels,
        n_outputs=targets.n_outputs,
        spatial_dims=recipe.image.spatial_dims,
        dropout=recipe.classify.dropout,
        size_px=recipe.image.size_px,
    )


def begin_nothing(_network: nn.Module, _prepared: Prepared, _recipe: Recipe) -> None:
    """Leave the first weights as they are."""


def measure_labels(network: nn.Module, batch: Batch, head: "Head", targets: Targets) -> np.ndarray:
    """Measures `(case, name, measure)` of validation images; NaN where a mask is needed.

    Args:
        network: In evaluation mode.
        batch: On the network's device.
        head: What is trained.
        targets: What the outputs mean.
    """
    raw = network(batch.image).float()
    score = head.probabilities(raw.cpu(), targets)
    measured = torch.full((*score.shape, len(MEASURES)), torch.nan, dtype=torch.float64)
    measured[..., 0] = head.loss(raw, batch, targets).cpu()
    measured[..., 1], measured[..., 2] = score, batch.label.cpu()
    return measured.numpy()


def score_parts(
    network: nn.Module,
    prepared: Prepared,
    held_out: Parts,
    recipe: Recipe,
    head: "Head",
    targets: Targets,
    on_event: EventSink | None,
) -> Scored:
    """The probabilities of the network's outputs; no batch holds cases of two parts."""
    scores, unread = {}, []
    for cases in held_out.values():
        found, bad = score_cases(
            network, cases, recipe, lambda raw: head.probabilities(raw, targets), on_event
        )
        scores |= found
        unread += bad
    return scores, unread


def no_more(_folder: Path, _scored: Scored, _held_out: Parts, _targets: Targets, **_: Any) -> None:  # noqa: ANN401
    """Nothing beside the score table."""


@dataclass(frozen=True)
class Head:
    """One kind of classifier. The cases that it gets carry one label per name of its targets."""

    targets: Callable[[Parts, tuple[str, ...], Recipe], Targets]
    """`(cases by part, findings, recipe)` to what is told apart; raises DataError if it cannot."""
    loss: Callable[[Any, Batch, Targets], Tensor] = label_loss
    """`(raw outputs, batch, targets)` to a scalar. Unknown labels (NaN) have no influence; if
    nothing is known it is 0 with a gradient path."""
    probabilities: Callable[[Tensor, Targets], Tensor] = label_probabilities
    """Raw outputs to scores `(batch, name)` from 0 to 1, each name against all else."""
    build: Callable[[Recipe, Targets, int], nn.Module] = new_classifier
    """`(recipe, targets, channels)` to a network with an `encoder` and `n_outputs`."""
    begin: Callable[[nn.Module, Prepared, Recipe], None] = begin_nothing
    """Changes the first weights by what the training cases say."""
    plan: Callable[[Sequence[Case], Recipe, CaseCache], Plan] = plan_balanced
    """Which training cases each step sees."""
    measure: Callable[..., np.ndarray] = measure_labels
    """Measures of validation cases, see `training.MEASURES`; their AUROC picks the weights.
    Arguments as `measure_labels`."""
    score: Callable[..., Scored] = score_parts
    """Scores of val and test cases, once the weights are chosen; arguments as `score_parts`."""
    more: Callable[..., None] = no_more
    """Writes what this head has beside the score table: `(folder, scored, held_out, targets,
    network=, prepared=, recipe=)`."""
    train: Callable[..., Path] | None = None
    """A training of its own, called like `train_classifier`, for a head that does not learn from
    labels case by case; nothing else than `build` is then asked for."""
