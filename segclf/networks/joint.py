"""One encoder with two ends: masks by decoder and head, image labels by pooled deep features."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from segclf.core.config import NetworkSettings
from segclf.networks.parts import Parts, dry_run, freeze
from segclf.networks.segmenter import DRY_RUN_PX, Segmenter, load_if_asked
from segclf.networks.table import build_parts, relayed


class JointOutputs(NamedTuple):
    """What a `JointNetwork` says of a batch."""

    masks: Tensor
    """`(batch, mask output, *space)` logits."""
    image: Tensor
    """`(batch, output)` logits of the image labels."""


class JointNetwork(Segmenter):
    """A segmenter whose deepest features also go through pooling, dropout and a linear layer."""

    def __init__(
        self, parts: Parts, *, n_channels: int, n_masks: int, n_deep: int, n_outputs: int,
        dropout: float,
    ) -> None:  # fmt: skip
        """Put the parts together; `n_deep` features are pooled to `n_outputs` logits."""
        super().__init__(parts, n_channels=n_channels, n_outputs=n_masks)
        self.image_head = nn.Sequential(nn.Dropout(dropout), nn.Linear(n_deep, n_outputs))

    def forward(self, image: Tensor) -> JointOutputs:  # pyright: ignore[reportIncompatibleMethodOverride] (two outputs)
        """Logits of masks and image of `(batch, channel, *space)` of any size."""
        features = self.features(image)
        return JointOutputs(features.logits, self.image_head(features.deep.flatten(2).mean(2)))


class ImageSide(nn.Module):
    """The image logits of a joint network alone, to score with it as with a classifier."""

    def __init__(self, network: nn.Module) -> None:
        """Keep the network."""
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Logits `(batch, output)`."""
        return self.network(image).image


def build_joint(
    settings: NetworkSettings,
    *,
    n_channels: int,
    n_masks: int,
    n_outputs: int,
    spatial_dims: int,
    dropout: float = 0.0,
    size_px: Sequence[int] | None = None,
) -> JointNetwork:
    """A network of both ends on the encoder and decoder that `build_segmenter` makes.

    Args:
        settings: As for the segmenter.
        n_channels: Channels of the image.
        n_masks: Logits per pixel.
        n_outputs: Logits per image.
        spatial_dims: 2 or 3.
        dropout: Share of the pooled features that is dropped in training.
        size_px: Shape of the images if all have the same.

    Raises:
        UsageError: No network has that name.
        ConfigError: The library refuses the settings, or encoder weights do not fit.
    """
    parts = build_parts(
        settings, n_channels=n_channels, n_outputs=n_masks, spatial_dims=spatial_dims
    )
    image_shape = (1, n_channels, *(size_px or (DRY_RUN_PX,) * spatial_dims))
    alone = Segmenter(parts, n_channels=n_channels, n_outputs=n_masks)
    with relayed(settings):
        deep, _ = dry_run(_DeepSide(alone), image_shape)
    network = JointNetwork(
        parts, n_channels=n_channels, n_masks=n_masks, n_deep=deep[1], n_outputs=n_outputs,
        dropout=dropout,
    )  # fmt: skip
    with relayed(settings):
        unused = [set(dry_run(network, image_shape, pick).unused) for pick in (_masks, _image)]
    freeze(network, unused[0] & unused[1])
    load_if_asked(network, settings)
    return network


class _DeepSide(nn.Module):
    """The deep features of a segmenter alone, to learn how many there are."""

    def __init__(self, network: Segmenter) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return self.network.features(image).deep


def _masks(raw: JointOutputs) -> Tensor:
    return raw.masks


def _image(raw: JointOutputs) -> Tensor:
    return raw.image
