"""The settings of metric learning."""

from typing import Any, Literal

from pydantic import Field

from segclf.core.settings_base import Positive, Settings


class MetricSettings(Settings):
    """The head `metric`: embeddings in which images of one class lie close together."""

    pairs: str | None = None
    """Table with `case_a`, `case_b` and `similar` (1 or 0), beside the manifest. With it the
    network learns from these pairs alone, and reads no label."""
    loss: str | None = None
    """`arcface` (needs classes), `supcon` (supervised contrastive), `contrastive` or `triplet`;
    None takes `arcface` for classes and `contrastive` for pairs."""
    loss_options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the loss in pytorch-metric-learning."""
    miner: Literal["batch_hard", "multi_similarity", "pair_margin"] | None = None
    """Which pairs of a batch the loss sees; None gives it all. Needs classes."""
    embedding_dim: Positive = 128
    """Length of an embedding, which has norm 1."""
    images_per_class: int = Field(default=4, ge=2)
    """Images of each class in a batch of `train.batch_size`; each class comes equally often."""
    rule: Literal["nearest", "knn", "centroid", "threshold"] = "threshold"
    """Class of the nearest embedding, of most of the `k` nearest, or of the nearest class centroid;
    `threshold` is the centroid again, but a case too far from every embedding is `unknown`."""
    k: Positive = 5
    """Neighbours that vote, for `knn`."""
