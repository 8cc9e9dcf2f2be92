"""NETWORKS: every network by name, and the one place where a refusal becomes an error text."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from segclf.core.catalog import lookup
from segclf.core.config import NetworkSettings
from segclf.core.errors import ConfigError, SegclfError
from segclf.networks.monai_networks import (
    build_attentionunet,
    build_basicunet,
    build_dynunet,
    build_monai_unet,
    build_segresnet,
    build_swinunetr,
)
from segclf.networks.parts import Parts
from segclf.networks.smp_networks import build_smp

NETWORKS: dict[str, Callable[..., Parts]] = {
    "unet": build_smp,
    "unetplusplus": build_smp,
    "manet": build_smp,
    "linknet": build_smp,
    "fpn": build_smp,
    "pspnet": build_smp,
    "deeplabv3": build_smp,
    "deeplabv3plus": build_smp,
    "pan": build_smp,
    "upernet": build_smp,
    "segformer": build_smp,
    "dpt": build_smp,
    "monai_unet": build_monai_unet,
    "basicunet": build_basicunet,
    "dynunet": build_dynunet,
    "segresnet": build_segresnet,
    "attentionunet": build_attentionunet,
    "swinunetr": build_swinunetr,
}
"""Name to builder: `(settings, *, n_channels, n_outputs, spatial_dims) -> Parts`."""


def build_parts(
    settings: NetworkSettings, *, n_channels: int, n_outputs: int, spatial_dims: int
) -> Parts:
    """Encoder, decoder and head of the network that the recipe names.

    Raises:
        UsageError: No network has that name.
        ConfigError: The library refuses the encoder or an option.
    """
    build = lookup(settings.name, NETWORKS, kind="network", group="segclf.networks")
    with relayed(settings):
        return build(
            settings, n_channels=n_channels, n_outputs=n_outputs, spatial_dims=spatial_dims
        )


def check_network(settings: NetworkSettings, *, spatial_dims: int) -> None:
    """Refuse, before images are read, a network that cannot be built; no weights are loaded.

    Raises:
        UsageError: No network has that name.
        ConfigError: The library refuses the encoder or an option.
    """
    scratch = settings.model_copy(update={"pretrained": None})
    build_parts(scratch, n_channels=1, n_outputs=1, spatial_dims=spatial_dims)


@contextmanager
def relayed(settings: NetworkSettings) -> Iterator[None]:
    """Turn what a library raises while a network is built or tried into a ConfigError."""
    try:
        yield
    except SegclfError:
        raise
    except ImportError as error:
        raise _refused(settings, error, fix="install the package that the message names") from error
    except OSError as error:
        if settings.pretrained != "imagenet":
            raise
        raise ConfigError(
            f"the ImageNet weights of {settings.encoder!r} could not be downloaded "
            f"({_first_line(error)}).",
            where="network.pretrained = 'imagenet'",
            expected="access to the weights' server, or the weights in the local cache",
            fix="train from scratch (network.pretrained: null), or bring encoder weights as a "
            "file and name its path in network.pretrained",
        ) from error
    except (ValueError, TypeError, KeyError, RuntimeError, AssertionError) as error:
        raise _refused(settings, error, fix=_fix_for(settings, str(error))) from error


def _refused(settings: NetworkSettings, error: Exception, *, fix: str) -> ConfigError:
    return ConfigError(
        f"the network {settings.name!r} refuses its settings: {_first_line(error)}",
        where=f"network.name = {settings.name!r}, network.encoder = {settings.encoder!r}, "
        f"network.options = {settings.options!r}",
        expected="settings that the library's constructor accepts",
        fix=fix,
    )


def _fix_for(settings: NetworkSettings, message: str) -> str:
    if "must start with 'tu-'" in message:
        return "network.encoder: tu-vit_tiny_patch16_224 (a timm vision transformer)"
    if "doesn't match model" in message:
        return "set network.options.img_size to image.size_px, or choose an encoder for any size"
    if settings.pretrained == "imagenet" and "pretrained" in message:
        return "choose an encoder with ImageNet weights, e.g. network.encoder: resnet18"
    if "unexpected keyword" in message:
        return "remove that option from network.options"
    return "correct network.options, or choose another network.name or network.encoder"


def _first_line(error: Exception) -> str:
    # str(KeyError) is the repr of its argument
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0][:300]
