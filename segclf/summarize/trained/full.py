"""Whole classification networks whose input picture is the probability map."""

from collections.abc import Sequence

from torch import nn

from segclf.core.errors import ConfigError
from segclf.summarize.trained.heads import MapHead, Space


def build_squeezenet(shape: Sequence[int], n_findings: int) -> nn.Module:
    """SqueezeNet 1.1 of torchvision without dropout and without the ReLU on its logits.

    With that ReLU no logit is below 0, so no probability below one half.

    Raises:
        ConfigError: The maps are volumes, or too small.

    Source:
        Iandola et al., SqueezeNet, arXiv 1602.07360 (2016).
    """
    if len(shape) != 3:
        raise ConfigError(
            "there is no SqueezeNet for volumes.",
            where="rule squeezenet with image.spatial_dims: 3",
            expected="pictures, or a rule that has a 3D twin",
            fix="use --rule resnet50, pool_fc or deep_complex",
        )
    if min(shape[1:]) < SMALLEST_PX:
        raise ConfigError(
            f"maps of {shape[1]} x {shape[2]} px are too small for SqueezeNet.",
            where="rule squeezenet",
            expected=f"at least {SMALLEST_PX} px along each side",
            fix="set a larger image.size_px and train again, or use --rule pool_fc",
        )
    from torchvision.models import squeezenet1_1

    network = squeezenet1_1(weights=None, num_classes=n_findings, dropout=0.0)
    first = network.features[0]
    assert isinstance(first, nn.Conv2d)
    network.features[0] = nn.Conv2d(shape[0], first.out_channels, 3, stride=2)
    network.classifier[2] = nn.Identity()
    return network


def build_resnet50(shape: Sequence[int], n_findings: int) -> nn.Module:
    """ResNet-50 of torchvision for pictures, of MONAI for volumes; the first layer fits the map.

    Source:
        He et al., Deep residual learning, CVPR 2016.
    """
    if len(shape) == 4:
        from monai.networks.nets.resnet import resnet50 as resnet50_3d

        return resnet50_3d(
            pretrained=False, spatial_dims=3, n_input_channels=shape[0], num_classes=n_findings
        )
    from torchvision.models import resnet50

    network = resnet50(weights=None, num_classes=n_findings)
    network.conv1 = nn.Conv2d(shape[0], 64, 7, stride=2, padding=3, bias=False)
    return network


def _own(space: Space, _grid_px: int) -> Space:
    return space


SMALLEST_PX = 17
"""Smallest picture that every layer of SqueezeNet 1.1 accepts."""
SQUEEZENET = MapHead(_own, build_squeezenet, takes_image=True)
RESNET50 = MapHead(_own, build_resnet50, takes_image=True)
