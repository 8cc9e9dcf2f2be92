"""2D networks of segmentation_models_pytorch (SMP): any architecture on any encoder."""

from collections.abc import Sequence
from math import lcm

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from segclf.core.catalog import unknown_name
from segclf.core.config import NetworkSettings
from segclf.core.errors import ConfigError
from segclf.networks.parts import Parts

RESERVED = (
    "encoder_name",
    "encoder_weights",
    "in_channels",
    "classes",
    "activation",
    "aux_params",
)
"""Arguments of SMP that follow from other settings; `activation` and `aux_params` would make
the network return something else than logits."""


def build_smp(
    settings: NetworkSettings, *, n_channels: int, n_outputs: int, spatial_dims: int
) -> Parts:
    """The parts of the SMP architecture called `settings.name` on `settings.encoder`.

    `settings.options` are keyword arguments of the architecture, and of the encoder for names
    that start with `tu-`.

    Raises:
        ConfigError: The image is not 2D, the encoder is unknown, or an option is reserved.
    """
    where = f"network.name = {settings.name!r}, network.encoder = {settings.encoder!r}"
    if spatial_dims != 2:
        raise ConfigError(
            f"the network {settings.name!r} is 2D, but the images are {spatial_dims}D.",
            where=where,
            expected="a network for volumes when image.spatial_dims is 3",
            fix="network.name: basicunet (or dynunet, segresnet, monai_unet, attentionunet, "
            "swinunetr)",
        )
    check_reserved(settings, RESERVED)
    _check_encoder(settings, where)
    options = dict(settings.options)
    if settings.name == "dpt":
        # A vision transformer is built for one size unless told that sizes vary.
        options.setdefault("dynamic_img_size", True)
    imagenet = settings.pretrained == "imagenet"
    network = smp.create_model(
        settings.name,
        encoder_name=settings.encoder,
        # timm encoders (`tu-`) name their weights themselves and want a yes instead of a name.
        encoder_weights=(settings.encoder.startswith("tu-") or "imagenet") if imagenet else None,  # pyright: ignore[reportArgumentType]
        in_channels=n_channels,
        classes=n_outputs,
        **options,
    )
    encoder, decoder, head = (
        network.get_submodule(name) for name in ("encoder", "decoder", "segmentation_head")
    )
    stride: int = getattr(encoder, "output_stride")  # noqa: B009 (nn.Module does not know it)
    if settings.name == "dpt":
        # Its decoder halves the maps of the last block and doubles those of the first, to scales
        # from 1/4 to 1/32 with the usual four blocks.
        n_blocks = len(getattr(encoder, "out_channels"))  # noqa: B009
        stride = lcm(stride, 2 ** (n_blocks + 1))
        return Parts(encoder, TokenDecoder(decoder), head, (stride, stride), deep_of=last_map)
    # The pyramid of PAN halves the deepest map three times.
    least = 8 * stride if settings.name == "pan" else stride
    return Parts(encoder, decoder, head, (stride, stride), (least, least))


def last_map(features: tuple[Sequence[Tensor], Sequence[Tensor | None]]) -> Tensor:
    """The deepest feature map of what the encoder of DPT returns."""
    return features[0][-1]


class TokenDecoder(nn.Module):
    """Decoder of DPT, whose encoder returns feature maps and class tokens side by side."""

    def __init__(self, decoder: nn.Module) -> None:
        """Wrap SMP's decoder of two arguments."""
        super().__init__()
        self.decoder = decoder

    def forward(self, features: tuple[Sequence[Tensor], Sequence[Tensor | None]]) -> Tensor:
        """The fused features at half the resolution of the image."""
        return self.decoder(*features)


def check_reserved(settings: NetworkSettings, reserved: Sequence[str]) -> None:
    """Refuse options that other settings decide.

    Raises:
        ConfigError: `settings.options` holds one of `reserved`.
    """
    clash = sorted(set(settings.options) & set(reserved))
    if clash:
        raise ConfigError(
            f"network.options may not set {', '.join(clash)}.",
            where=f"network.options of {settings.name!r}",
            expected="options of the library's constructor other than " + ", ".join(reserved),
            fix="remove it; channels, findings, encoder and weights have settings of their own",
        )


def _check_encoder(settings: NetworkSettings, where: str) -> None:
    known = smp.encoders.get_encoder_names()
    if settings.encoder not in known and not settings.encoder.startswith("tu-"):
        near = unknown_name(settings.encoder, known, kind="encoder").fix
        raise ConfigError(
            f"SMP has no encoder called {settings.encoder!r}.",
            where=where,
            expected="an encoder of segmentation_models_pytorch, or 'tu-' and the name of a timm "
            "model",
            fix=near if near.startswith("did") else "resnet18, resnet34, efficientnet-b0, …",
        )
