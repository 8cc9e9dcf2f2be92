"""MONAI's networks in 2D and 3D, each taken apart into encoder, decoder and head.

MONAI builds and initializes them; only the order in which the pieces call each other is written
here, and a test compares it with MONAI's own `forward`, number by number. Options that a recipe
does not set are small, for a CPU or one GPU.

`monai_unet`, `basicunet` and `dynunet` use group norm where MONAI uses instance norm: after an
instance norm every channel has the same mean in every case, so the global average pooling of the
classifier that shares the encoder would see next to nothing, and the comparison would not be fair.
`options: {norm: instance}` (`norm_name` for `dynunet`) brings it back.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, cast

import torch
from monai.networks.layers.simplelayers import SkipConnection
from monai.networks.nets.attentionunet import AttentionLayer, AttentionUnet
from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.segresnet import SegResNet
from monai.networks.nets.swin_unetr import SwinUNETR
from monai.networks.nets.unet import UNet
from torch import Tensor, nn

from segclf.core.config import NetworkSettings
from segclf.core.errors import ConfigError
from segclf.networks.anisotropic import planned
from segclf.networks.parts import Parts, Stages, Steps
from segclf.networks.smp_networks import check_reserved

GROUP_NORM = ("group", {"num_groups": 8})


def build_monai_unet(
    settings: NetworkSettings, *, n_channels: int, n_outputs: int, spatial_dims: int
) -> Parts:
    """The parts of MONAI's `UNet`, followed by a 1 x 1 convolution as head.

    MONAI's own last layer has residual units with a normalization over the *outputs*: it would
    rescale the logits of each case to the same spread, whether or not anything is there. So the
    network is built with `channels[0]` outputs and the head maps these to logits.
    """
    width = 32 if spatial_dims == 2 else 16
    channels = tuple(width * 2**level for level in range(4))
    options = _options(settings, channels=channels, num_res_units=2, norm=GROUP_NORM)
    options.setdefault("strides", (2,) * (len(options["channels"]) - 1))
    n_shallow = options["channels"][0]
    network = UNet(
        spatial_dims=spatial_dims, in_channels=n_channels, out_channels=n_shallow, **options
    )
    stages, steps, block = [], [], network.model
    while isinstance(block, nn.Sequential) and isinstance(block[1], SkipConnection):
        stages.append(block[0])
        steps.insert(0, ConcatStep(block[2]))
        block = block[1].get_submodule("submodule")
    convolution = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
    return Parts(
        Stages([*stages, block]),
        Steps(steps),
        convolution(n_shallow, n_outputs, kernel_size=1),
        _product(options["strides"][: len(steps)], spatial_dims),
    )


def build_basicunet(
    settings: NetworkSettings, *, n_channels: int, n_outputs: int, spatial_dims: int
) -> Parts:
    """The parts of MONAI's `BasicUNet`."""
    features = (32, 32, 64, 128, 256, 32) if spatial_dims == 2 else (16, 16, 32, 64, 128, 16)
    options = _options(settings, features=features, norm=GROUP_NORM)
    net = BasicUNet(
        spatial_dims=spatial_dims, in_channels=n_channels, out_channels=n_outputs, **options
    )
    return Parts(
        Stages([net.conv_0, net.down_1, net.down_2, net.down_3, net.down_4]),
        Steps([net.upcat_4, net.upcat_3, net.upcat_2, net.upcat_1]),
        net.final_conv,
        (16,) * spatial_dims,
    )


def build_dynunet(
    settings: NetworkSettings, *, n_channels: int, n_outputs: int, spatial_dims: int
) -> Parts:
    """The parts of MONAI's `DynUNet` (nnU-Net's topology), without deep supervision.

    `options: {plan: {patch_px: …, spacing_mm: …}}` stands for strides and kernels that fit voxels
    of that spacing; see `plan_strides`.
    """
    own = planned(settings.options, spatial_dims)
    settings = settings.model_copy(update={"options": own})
    if settings.options.get("deep_supervision"):
        raise ConfigError(
            "dynunet with deep supervision returns several maps, not one.",
            where="network.options.deep_supervision = true",
            expected="logits of the image's size",
            fix="remove deep_supervision from network.options",
        )
    width = 32 if spatial_dims == 2 else 16
    options = _options(settings, strides=(1, 2, 2, 2, 2), norm_name=GROUP_NORM)
    strides = options["strides"]
    options.setdefault("kernel_size", [3] * len(strides))
    options.setdefault("upsample_kernel_size", strides[1:])
    options.setdefault("filters", [min(width * 2**level, 320) for level in range(len(strides))])
    net = DynUNet(
        spatial_dims=spatial_dims, in_channels=n_channels, out_channels=n_outputs, **options
    )
    return Parts(
        Stages([net.input_block, *net.downsamples, net.bottleneck]),
        Steps(list(net.upsamples)),
        net.output_block,
        _product(strides, spatial_dims),
    )


def build_segresnet(
    settings: NetworkSettings, *, n_channels: int, n_outputs: int, spatial_dims: int
) -> Parts:
    """The parts of MONAI's `SegResNet`."""
    check_reserved(settings, ("use_conv_final",))
    options = _options(settings, init_filters=16)
    net = SegResNet(
        spatial_dims=spatial_dims, in_channels=n_channels, out_channels=n_outputs, **options
    )
    before = [net.convInit] if net.dropout_prob is None else [net.convInit, net.dropout]
    first, *stages = net.down_layers
    steps = [AddStep(up, layer) for up, layer in zip(net.up_samples, net.up_layers, strict=True)]
    return Parts(
        Stages([nn.Sequential(*before, first), *stages]),
        Steps(steps),
        net.conv_final,
        (2 ** (len(net.down_layers) - 1),) * spatial_dims,
    )


def build_attentionunet(
    settings: NetworkSettings, *, n_channels: int, n_outputs: int, spatial_dims: int
) -> Parts:
    """The parts of MONAI's `AttentionUnet`."""
    width = 32 if spatial_dims == 2 else 16
    options = _options(settings, channels=tuple(width * 2**level for level in range(4)))
    options.setdefault("strides", (2,) * (len(options["channels"]) - 1))
    net = AttentionUnet(
        spatial_dims=spatial_dims, in_channels=n_channels, out_channels=n_outputs, **options
    )
    first, layer, head = cast(nn.Sequential, net.model)
    stages, steps = [first], []
    while isinstance(layer, AttentionLayer):
        below = layer.submodule
        stage, deeper = below if isinstance(below, nn.Sequential) else (below, None)
        stages.append(stage)
        steps.insert(0, AttentionStep(layer))
        layer = deeper
    divisor_px = _product(options["strides"][: len(steps)], spatial_dims)
    return Parts(Stages(stages), Steps(steps), head, divisor_px)


def build_swinunetr(
    settings: NetworkSettings, *, n_channels: int, n_outputs: int, spatial_dims: int
) -> Parts:
    """The parts of MONAI's `SwinUNETR`; the encoder is its Swin transformer `swinViT`."""
    options = _options(settings, feature_size=24 if spatial_dims == 2 else 12)
    net = SwinUNETR(
        spatial_dims=spatial_dims, in_channels=n_channels, out_channels=n_outputs, **options
    )
    divisor_px = (int(net.patch_size) ** 5,) * spatial_dims
    return Parts(SwinEncoder(net.swinViT, net.normalize), SwinDecoder(net), net.out, divisor_px)


class ConcatStep(nn.Module):
    """Joins skip connection and lower features, then upsamples (`UNet`)."""

    def __init__(self, up: nn.Module) -> None:
        """Keep MONAI's upsampling layer."""
        super().__init__()
        self.up = up

    def forward(self, lower: Tensor, skip: Tensor) -> Tensor:
        """Features at twice the resolution."""
        return self.up(torch.cat([skip, lower], dim=1))


class AddStep(nn.Module):
    """Upsamples, adds the skip connection, then convolves (`SegResNet`)."""

    def __init__(self, up: nn.Module, layer: nn.Module) -> None:
        """Keep MONAI's two layers."""
        super().__init__()
        self.up, self.layer = up, layer

    def forward(self, lower: Tensor, skip: Tensor) -> Tensor:
        """Features at the resolution of `skip`."""
        return self.layer(self.up(lower) + skip)


class AttentionStep(nn.Module):
    """Upsamples and joins a skip connection that the result gates (`AttentionUnet`)."""

    def __init__(self, layer: AttentionLayer) -> None:
        """Keep the layers of MONAI's block, without the deeper block that it contains."""
        super().__init__()
        self.upconv, self.attention, self.merge = layer.upconv, layer.attention, layer.merge

    def forward(self, lower: Tensor, skip: Tensor) -> Tensor:
        """Features at the resolution of `skip`."""
        lower = self.upconv(lower)
        return self.merge(torch.cat([self.attention(g=lower, x=skip), lower], dim=1))


class SwinEncoder(nn.Module):
    """The transformer of `SwinUNETR`; the image goes along for the first skip connection."""

    def __init__(self, transformer: nn.Module, normalize: bool) -> None:
        """Keep MONAI's transformer and whether it normalizes what it returns."""
        super().__init__()
        self.transformer, self.normalize = transformer, normalize

    def forward(self, image: Tensor) -> list[Tensor]:
        """The image and the five feature maps, the deepest last."""
        return [image, *self.transformer(image, self.normalize)]


class SwinDecoder(nn.Module):
    """Skip convolutions and decoder of `SwinUNETR`."""

    def __init__(self, net: SwinUNETR) -> None:
        """Keep MONAI's blocks; `skips` belong to image and feature maps, top first."""
        super().__init__()
        self.skips = nn.ModuleList([net.encoder1, net.encoder2, net.encoder3, net.encoder4])
        self.bottom = net.encoder10
        self.steps = Steps([net.decoder5, net.decoder4, net.decoder3, net.decoder2, net.decoder1])

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Features at the resolution of the image."""
        *upper, last_skip, deepest = features
        skips = [skip(x) for skip, x in zip(self.skips, upper, strict=True)]
        return self.steps([*skips, last_skip, self.bottom(deepest)])


def _options(settings: NetworkSettings, **defaults: Any) -> dict[str, Any]:  # noqa: ANN401 (whatever MONAI takes)
    check_reserved(settings, ("spatial_dims", "in_channels", "out_channels"))
    if settings.pretrained == "imagenet":
        raise ConfigError(
            f"there are no ImageNet weights for MONAI's {settings.name!r}.",
            where="network.pretrained = 'imagenet'",
            expected="null, or the path of a file with encoder weights",
            fix="network.pretrained: null, or a network on an encoder of SMP (network.name: unet)",
        )
    return defaults | settings.options


def _product(strides: Sequence[int | Sequence[int]], spatial_dims: int) -> tuple[int, ...]:
    """How much the strides of all levels shrink each axis."""
    per_axis = [(s,) * spatial_dims if isinstance(s, int) else tuple(s) for s in strides]
    return tuple(prod(axis) for axis in zip(*per_axis, strict=True))
