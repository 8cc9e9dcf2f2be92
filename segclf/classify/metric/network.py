"""The network of metric learning: the ordinary classifier, whose output has norm 1."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from segclf.classify.metric.losses import MetricLoss
from segclf.classify.score import score_cases
from segclf.core.config import Recipe, make_recipe
from segclf.core.records import Case
from segclf.networks import Classifier, build_classifier
from segclf.training import ModelCard, initial_weights, load_weights, read_card
from segclf.training.cases import Quarantined
from segclf.training.state import EventSink


class MetricNetwork(nn.Module):
    """Images to embeddings; in training the weights of the loss are learned with it."""

    def __init__(self, classifier: Classifier, loss: MetricLoss) -> None:
        """Keep both."""
        super().__init__()
        self.classifier, self.loss = classifier, loss

    def forward(self, image: Tensor) -> Tensor:
        """Embeddings `(batch, dim)`, float32, norm 1."""
        return unit(self.classifier(image))


def unit(raw: Tensor) -> Tensor:
    """Vectors `(batch, dim)` scaled to norm 1, float32."""
    return functional.normalize(raw.float(), dim=1)


def new_network(recipe: Recipe, n_channels: int, n_classes: int) -> MetricNetwork:
    """A network at its start; its encoder starts as the segmenter's of the same recipe."""
    with initial_weights(recipe.seed):
        classifier = build_embedder(recipe, None, n_channels)
        return MetricNetwork(classifier, MetricLoss(recipe.classify.metric, n_classes))


def build_embedder(recipe: Recipe, _targets: object, n_channels: int) -> Classifier:
    """A classifier whose outputs, scaled to norm 1, are embeddings.

    The outputs are centred and scaled over the images of a batch. Pooled features are positive
    and much alike: without it embeddings start as almost one and the same vector, which no loss
    pulls apart within a short training. In evaluation the running means of the training are used,
    so that an image is embedded by itself.

    Source:
        Luo et al., Bag of tricks and a strong baseline for deep person re-identification, CVPR
        workshops 2019, who normalize there too.
    """
    network = build_classifier(
        recipe.network,
        n_channels=n_channels,
        n_outputs=recipe.classify.metric.embedding_dim,
        spatial_dims=recipe.image.spatial_dims,
        dropout=recipe.classify.dropout,
        size_px=recipe.image.size_px,
    )
    network.head.append(nn.BatchNorm1d(network.n_outputs, affine=False))
    return network


def load_embedder(folder: Path) -> tuple[Classifier, ModelCard]:
    """The trained network, whose outputs `unit` turns into embeddings, on the CPU; its card.

    Raises:
        IntegrityError: A file is missing, or is not the one that the training wrote.
    """
    card = read_card(folder, kind="classify")
    recipe = make_recipe(card.recipe, where="model.json")
    recipe = recipe.model_copy(update={"network": card.network, "image": card.image})
    with initial_weights(card.seed):  # so that building draws nothing from the caller's stream
        network = build_embedder(recipe, None, card.n_channels)
    return load_weights(folder, network), card


def embed_cases(
    network: Classifier,
    cases: Sequence[Case],
    recipe: Recipe,
    on_event: EventSink | None = None,
) -> tuple[list[Case], np.ndarray, list[Quarantined]]:
    """The cases that can be read, their embeddings (case, dim), and the cases that cannot.

    Args:
        network: From `load_embedder`, or `MetricNetwork.classifier`.
        cases: What is embedded; masks are not read.
        recipe: How images are prepared.
        on_event: Told the progress as `{"kind": "score", "step": …, "of": …}`.
    """
    found, quarantined = score_cases(network, cases, recipe, unit, on_event)
    read = [case for case in cases if case.case_id in found]
    nothing = np.empty((0, network.n_outputs))
    vectors = np.stack([found[case.case_id] for case in read]) if read else nothing
    return read, vectors.astype(np.float32), quarantined
