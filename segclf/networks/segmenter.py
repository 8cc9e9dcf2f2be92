"""The segmenter, an image of any size to logits of that size, and the classifier beside it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from torch import Tensor, nn

from segclf.core.config import NetworkSettings
from segclf.core.errors import ConfigError
from segclf.networks.normalizable import normalizable
from segclf.networks.padding import crop_to, pad_to, padded_shape
from segclf.networks.parts import Parts, dry_run, freeze
from segclf.networks.pretrained import load_encoder
from segclf.networks.table import build_parts, relayed

DRY_RUN_PX = 64
"""Side of the image of a dry run when the recipe fixes no size."""


class Features(NamedTuple):
    """What a segmenter knows about an image, from the output side to the input side."""

    logits: Tensor
    """`(batch, output, *space)`, at the size of the image."""
    shallow: Tensor
    """`(batch, feature, *space)`: the last features of the decoder, which the head reads; some
    architectures keep them at 1/2, 1/4 or 1/8 of the image's resolution."""
    deep: Tensor
    """`(batch, feature, *space)`: the end of the encoder, at the coarsest resolution."""


class Backbone(nn.Module):
    """What segmenter and classifier share: the encoder and the sizes that it accepts."""

    def __init__(self, parts: Parts, n_channels: int) -> None:
        """Keep the encoder of `parts`."""
        super().__init__()
        self.encoder = parts.encoder
        self.n_channels = n_channels
        self.divisor_px, self.minimum_px = parts.divisor_px, parts.minimum_px
        self.deep_of = parts.deep_of

    def padded(self, space: Sequence[int]) -> tuple[int, ...]:
        """Shape to which an image of shape `space` is padded."""
        if len(space) != len(self.divisor_px):
            raise ValueError(
                f"the network is for images (batch, channel, *{len(self.divisor_px)} axes): got "
                f"{len(space)} spatial axes {tuple(space)}."
            )
        return padded_shape(space, self.divisor_px, self.minimum_px)


class Segmenter(Backbone):
    """Encoder, decoder and head; weights are named `encoder.…`, `decoder.…` and `head.…`."""

    def __init__(self, parts: Parts, *, n_channels: int, n_outputs: int) -> None:
        """Put the parts together; `build_segmenter` also tries whether they fit."""
        super().__init__(parts, n_channels)
        self.decoder, self.head = parts.decoder, parts.head
        self.n_outputs = n_outputs

    def forward(self, image: Tensor) -> Tensor:
        """Logits `(batch, output, *space)` of an image `(batch, channel, *space)` of any size."""
        return self.features(image).logits

    def features(self, image: Tensor) -> Features:
        """Logits and the two embeddings of an image `(batch, channel, *space)` of any size.

        Raises:
            ValueError: `image` has another number of axes than the network.
            ConfigError: In training, the batch is too small to be normalized.
        """
        space = image.shape[2:]
        padded = self.padded(space)
        with _normalizable(image):
            state = self.encoder(pad_to(image, padded))
            shallow = self.decoder(state)
            logits = self.head(shallow)
        maps = (logits, shallow, self.deep_of(state))
        return Features(*(crop_to(x, space, padded) for x in maps))


class Classifier(Backbone):
    """The encoder of a segmenter, global average pooling, dropout, one linear layer."""

    def __init__(
        self, parts: Parts, *, n_channels: int, n_deep: int, n_outputs: int, dropout: float = 0.0
    ) -> None:
        """Keep the encoder of `parts`, whose deepest map has `n_deep` features."""
        super().__init__(parts, n_channels)
        self.n_outputs = n_outputs
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(n_deep, n_outputs))

    def forward(self, image: Tensor) -> Tensor:
        """Logits `(batch, output)` of an image `(batch, channel, *space)` of any size."""
        return self.head(self.embed(image))

    def embed(self, image: Tensor) -> Tensor:
        """Means of the deepest features `(batch, feature)`; the decoder is never computed."""
        space = image.shape[2:]
        padded = self.padded(space)
        with _normalizable(image):
            deep = self.deep_of(self.encoder(pad_to(image, padded)))
        return crop_to(deep, space, padded).flatten(2).mean(2)


def build_segmenter(
    settings: NetworkSettings,
    *,
    n_channels: int,
    n_outputs: int,
    spatial_dims: int,
    size_px: Sequence[int] | None = None,
) -> Segmenter:
    """The segmentation network of a recipe, with encoder weights if `settings.pretrained` asks.

    Without `pretrained` nothing is read or downloaded. To rebuild a network whose own weights
    follow, pass settings with `pretrained=None`.

    Args:
        settings: Name, encoder, weights and options.
        n_channels: Channels of the image.
        n_outputs: Logits per pixel: the findings, and one more for background if they exclude
            each other.
        spatial_dims: 2 or 3.
        size_px: Shape of the images if all have the same; some encoders accept one size only.

    Raises:
        UsageError: No network has that name.
        ConfigError: The library refuses the settings, or encoder weights do not fit.
    """
    parts = build_parts(
        settings, n_channels=n_channels, n_outputs=n_outputs, spatial_dims=spatial_dims
    )
    network = Segmenter(parts, n_channels=n_channels, n_outputs=n_outputs)
    space = tuple(size_px or (DRY_RUN_PX,) * spatial_dims)
    with relayed(settings):
        shape, unused = dry_run(network, (1, n_channels, *space))
    if shape != (1, n_outputs, *space):
        raise ConfigError(
            f"the network {settings.name!r} returns maps of shape {shape[1:]} for an image of "
            f"shape {(n_channels, *space)}.",
            where=f"network.options = {settings.options!r}",
            expected=f"one logit per output and pixel: {(n_outputs, *space)}",
            fix="leave out the options that change depth, strides or upsampling",
        )
    freeze(network, unused)
    load_if_asked(network, settings)
    return network


def build_classifier(
    settings: NetworkSettings,
    *,
    n_channels: int,
    n_outputs: int,
    spatial_dims: int,
    dropout: float = 0.0,
    size_px: Sequence[int] | None = None,
) -> Classifier:
    """A classifier on the encoder that `build_segmenter` makes from the same settings.

    With the same random seed both start with the same encoder weights, as with the same
    `settings.pretrained`: the whole network is built, and the decoder is thrown away.

    Args:
        settings: As for the segmenter.
        n_channels: Channels of the image.
        n_outputs: Logits per image.
        spatial_dims: 2 or 3.
        dropout: Share of the pooled features that is dropped in training.
        size_px: Shape of the images if all have the same.

    Raises:
        UsageError: No network has that name.
        ConfigError: The library refuses the settings, or encoder weights do not fit.
    """
    parts = build_parts(
        settings, n_channels=n_channels, n_outputs=n_outputs, spatial_dims=spatial_dims
    )
    backbone = Backbone(parts, n_channels)
    space = backbone.padded(tuple(size_px or (DRY_RUN_PX,) * spatial_dims))
    with relayed(settings):
        shape, unused = dry_run(parts.encoder, (1, n_channels, *space), parts.deep_of)
    freeze(parts.encoder, unused)
    network = Classifier(
        parts, n_channels=n_channels, n_deep=shape[1], n_outputs=n_outputs, dropout=dropout
    )
    load_if_asked(network, settings)
    return network


def load_if_asked(network: Backbone, settings: NetworkSettings) -> None:
    """Put the weights of the file that `settings.pretrained` names into the encoder, if any."""
    # SMP has loaded the ImageNet weights while it built the network
    if settings.pretrained is not None and settings.pretrained != "imagenet":
        load_encoder(network, settings.pretrained)


def _normalizable(image: Tensor) -> AbstractContextManager[None]:
    return normalizable(
        f"a batch of shape {tuple(image.shape)} has",
        where="training step",
        fix="set train.batch_size to 2 or more, or larger images (image.size_px, segment.patch_px)",
    )
