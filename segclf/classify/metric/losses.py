"""LOSSES and MINERS of metric learning: those of pytorch-metric-learning, by short names."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from segclf.core.catalog import lookup
from segclf.core.errors import ConfigError, MissingExtraError
from segclf.core.metric_settings import MetricSettings

Options = Mapping[str, Any]


def supcon(n_classes: int, dim: int, options: Options) -> nn.Module:
    """Supervised contrastive loss: each image against all others of its batch, temperature 0.1.

    Source:
        Khosla et al., Supervised contrastive learning, NeurIPS 2020.
    """
    return _library("losses").SupConLoss(**{"temperature": 0.1} | dict(options))


def contrastive(n_classes: int, dim: int, options: Options) -> nn.Module:
    """Contrastive loss: same ones to distance 0, different ones to at least `neg_margin`.

    Source:
        Hadsell, Chopra and LeCun, Dimensionality reduction by learning an invariant mapping,
        CVPR 2006.
    """
    return _library("losses").ContrastiveLoss(**{"pos_margin": 0, "neg_margin": 1} | dict(options))


def triplet(n_classes: int, dim: int, options: Options) -> nn.Module:
    """Triplet loss: the same one nearer than the different one by `margin`.

    Source:
        Schroff, Kalenichenko and Philbin, FaceNet, CVPR 2015; margin 0.2 as there.
    """
    return _library("losses").TripletMarginLoss(**{"margin": 0.2} | dict(options))


def arcface(n_classes: int, dim: int, options: Options) -> nn.Module:
    """Additive angular margin: a classifier on the sphere, with one learned vector per class.

    Margin in degrees. Scale 16: with the 64 of faces the gradient of few classes vanishes early.

    Source:
        Deng et al., ArcFace, CVPR 2019.
    """
    options = {"margin": 28.6, "scale": 16} | dict(options)
    return _library("losses").ArcFaceLoss(num_classes=n_classes, embedding_size=dim, **options)


LOSSES: dict[str, Callable[[int, int, Options], nn.Module]] = {
    "supcon": supcon,
    "contrastive": contrastive,
    "triplet": triplet,
    "arcface": arcface,
}
"""Name of `classify.metric.loss` to a builder `(n_classes, dim, options)`; a plug-in registers
under `segclf.metric_losses`."""
MINERS = {
    "batch_hard": "BatchHardMiner",
    "multi_similarity": "MultiSimilarityMiner",
    "pair_margin": "PairMarginMiner",
}
"""Name of `classify.metric.miner` to the class: per image the farthest same and the nearest
different one; pairs that are hard compared with the others of their anchor; pairs on the wrong
side of a margin."""
NEEDS_CLASSES = ("arcface",)
"""Losses that pairs alone cannot train."""


class MetricLoss(nn.Module):
    """A loss with its miner; part of the network in training, since some losses have weights."""

    def __init__(self, settings: MetricSettings, n_classes: int) -> None:
        """Build both from the settings; `n_classes` is 0 if there are pairs alone.

        Raises:
            UsageError: No loss has that name.
            ConfigError: The loss refuses its options, or pairs cannot train it.
            MissingExtraError: pytorch-metric-learning is not installed.
        """
        super().__init__()
        default = "arcface" if settings.pairs is None else "contrastive"
        name = settings.loss or default
        build = lookup(name, LOSSES, kind="metric loss", group="segclf.metric_losses")
        if settings.pairs is not None:
            _check_for_pairs(name, settings.miner)
        try:
            self.loss = build(n_classes, settings.embedding_dim, settings.loss_options)
        except TypeError as error:
            raise ConfigError(
                f"the loss {name!r} refuses its options: {error}.",
                where=f"classify.metric.loss_options = {settings.loss_options!r}",
                expected="keyword arguments of the loss in pytorch-metric-learning",
                fix="correct or remove them",
            ) from None
        miner = settings.miner
        self.miner = None if miner is None else getattr(_library("miners"), MINERS[miner])()

    def of_classes(self, embedding: Tensor, number: Tensor) -> Tensor:
        """Loss of a batch whose classes are known.

        Args:
            embedding: (case, dim), norm 1.
            number: (case,) int64, the class.
        """
        mined = None if self.miner is None else self.miner(embedding, number)
        return self.loss(embedding, number, mined)

    def of_pairs(self, embedding: Tensor, similar: Tensor) -> Tensor:
        """Loss of a batch of which pairs are known; 0, with a gradient path, if none is.

        Args:
            embedding: (case, dim), norm 1.
            similar: (case, case) symmetric; 1, 0, or NaN for not known, as on the diagonal.
        """
        anchor, same = (similar == 1).nonzero(as_tuple=True)
        other_anchor, different = (similar == 0).nonzero(as_tuple=True)
        known = (anchor, same, other_anchor, different)
        return self.loss(embedding, indices_tuple=known) + 0.0 * embedding.sum()


def _check_for_pairs(loss: str, miner: str | None) -> None:
    for name, value in (("loss", loss), ("miner", miner)):
        if value is not None and (name == "miner" or value in NEEDS_CLASSES):
            usable = "no miner (null)" if name == "miner" else "supcon, contrastive or triplet"
            raise ConfigError(
                f"{name} = {value!r} needs classes, but there are pairs alone.",
                where=f"classify.metric.{name}",
                expected=usable,
                fix=f"set classify.metric.{name}: {'null' if name == 'miner' else 'contrastive'}, "
                "or take out classify.metric.pairs",
            )


def _library(part: str) -> Any:  # noqa: ANN401 (a module)
    """A module of pytorch-metric-learning, which takes seconds to import."""
    try:
        return importlib.import_module(f"pytorch_metric_learning.{part}")
    except ImportError:
        raise MissingExtraError(
            "pytorch_metric_learning", extra="metric", needed_for="the head metric"
        ) from None
