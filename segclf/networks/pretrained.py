"""Encoder weights from a file: read without unpickling objects, fitted, counted, refused."""

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from segclf.core.atomic import atomic_path
from segclf.core.errors import ConfigError

MAX_BYTES = 8 * 1024**3
"""Largest weight file that is read; the largest encoders of the libraries have 5 GB."""
OTHER_PARTS = ("fc.", "classifier.", "last_linear.", "head.", "decoder.", "segmentation_head.")
"""Prefixes of weights that are known not to belong to an encoder; they are left aside."""


class EncoderWeights(NamedTuple):
    """How a weight file was used."""

    n_loaded: int
    """Tensors that went into the encoder."""
    n_adapted: int
    """Those among them whose input channels were changed to the image's."""
    n_left_aside: int
    """Tensors of other parts (decoder, head of a classifier)."""


def load_encoder(network: nn.Module, pretrained: str | Path) -> EncoderWeights:
    """Put the weights of a file into the encoder of a segmenter or classifier, all or none.

    Names may carry the prefix `encoder.`, so the file of a whole segmenter serves too. When the
    image has another number of channels than the first convolution of the file, the weights are
    converted as SMP and timm do it for ImageNet: for one channel they are summed over channels (the
    response to a grey image stays that of its colour copy), else they are taken in turn, times old
    over new number of channels.

    Args:
        network: Has an `encoder` and `n_channels`.
        pretrained: Safetensors, or a `.pt`/`.pth` file with tensors only (it is never unpickled
            into objects).

    Raises:
        ConfigError: The file cannot be read, or a tensor is missing, left over or of another
            shape; the message counts them.
    """
    path = Path(pretrained)
    encoder = network.get_submodule("encoder")
    own = dict(encoder.state_dict())
    given, n_left_aside = _of_encoder(_read(path))
    # older files do not have the counters of batch norm
    missing = [n for n in own if n not in given and not n.endswith("num_batches_tracked")]
    unexpected = [n for n in given if n not in own]
    fitted, misshapen, n_adapted = {}, [], 0
    for name in own.keys() & given.keys():
        tensor = given[name]
        if tensor.shape != own[name].shape and _differs_in_channels(
            tensor,
            own[name],
            int(getattr(network, "n_channels")),  # noqa: B009 (not on nn.Module)
        ):
            tensor = _with_channels(tensor, own[name].shape[1])
            n_adapted += 1
        if tensor.shape != own[name].shape:
            misshapen.append(f"{name} {tuple(given[name].shape)} for {tuple(own[name].shape)}")
        fitted[name] = tensor
    if missing or unexpected or misshapen:
        raise ConfigError(
            f"the weights in {path.name!r} are not those of this encoder: {len(missing)} missing"
            f"{_examples(missing)}, {len(unexpected)} unexpected{_examples(unexpected)}, "
            f"{len(misshapen)} of another shape{_examples(misshapen)}.",
            where=f"network.pretrained = {path.name!r}",
            expected=f"the {len(own)} tensors of the encoder, with or without the prefix "
            "'encoder.'",
            fix="set network.name, network.encoder and network.options to what the weights were "
            "trained with",
        )
    # not encoder.load_state_dict: some encoders of SMP override it and rename again
    nn.Module.load_state_dict(encoder, own | fitted)
    return EncoderWeights(len(fitted), n_adapted, n_left_aside)


def save_encoder(network: nn.Module, path: Path) -> None:
    """Write the encoder of a segmenter or classifier for `load_encoder`, as safetensors."""
    state = network.get_submodule("encoder").state_dict()
    with atomic_path(Path(path)) as part:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, part
        )


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file by name."""
    try:
        n_bytes = path.stat().st_size if path.is_file() else None
        if n_bytes is None or n_bytes > MAX_BYTES:
            raise _unreadable(path, "no such file" if n_bytes is None else f"{n_bytes} bytes")
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, EOFError, ValueError) as error:
        raise _unreadable(path, str(error).splitlines()[0][:200]) from error
    except pickle.UnpicklingError as error:
        raise _unreadable(path, "it holds objects, not only tensors") from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise _unreadable(path, f"it holds a {type(content).__name__}, not named tensors")
    return {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}


def _unreadable(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"the weights in {path.name!r} cannot be read: {why}.",
        where=f"network.pretrained = {path.name!r}",
        expected=f"'imagenet', or a file up to {MAX_BYTES / 1024**3:.0f} GiB: .safetensors, or .pt "
        "and .pth with tensors only",
        fix="correct the path, or save the weights with safetensors.torch.save_file",
    )


def _of_encoder(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], int]:
    """The encoder's tensors without prefix, and how many belong to other parts."""
    inside = {
        name.removeprefix("encoder."): tensor
        for name, tensor in tensors.items()
        if name.startswith("encoder.")
    }
    if not inside:
        inside = {n: tensor for n, tensor in tensors.items() if not n.startswith(OTHER_PARTS)}
    return inside, len(tensors) - len(inside)


def _differs_in_channels(tensor: Tensor, own: Tensor, n_channels: int) -> bool:
    """Whether a weight reads the image and differs in the number of channels alone."""
    return (
        tensor.ndim == own.ndim >= 4
        and own.shape[1] == n_channels
        and tensor.shape[0] == own.shape[0]
        and tensor.shape[2:] == own.shape[2:]
    )


def _with_channels(weight: Tensor, n_channels: int) -> Tensor:
    n_old = weight.shape[1]
    if n_channels == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, [channel % n_old for channel in range(n_channels)]] * (n_old / n_channels)


def _examples(names: Iterable[str]) -> str:
    names = list(names)
    return f" ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})" if names else ""
