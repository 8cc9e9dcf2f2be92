"""A trained model on disk: `model.safetensors` and the card `model.json` that describes it."""

import shutil
from pathlib import Path
from typing import Any, Literal, TypeVar

import safetensors
import safetensors.torch
from pydantic import Field, ValidationError
from torch import nn

from segclf.core.atomic import read_json, sha256_of, write_bytes, write_json
from segclf.core.config import Recipe
from segclf.core.errors import IntegrityError
from segclf.core.provenance import versions
from segclf.core.runs import shown
from segclf.core.settings import ImageSettings, NetworkSettings, Settings
from segclf.training.cases import Prepared
from segclf.training.checkpoints import to_bytes
from segclf.training.identity import CHECKPOINTS, MODEL
from segclf.training.state import FitResult, Task

WEIGHTS = "model.safetensors"
MAX_CARD_BYTES = 10_000_000
PRIVATE = ("manifest", "data_root", "side_tables")
"""Settings that name places on the machine of the training; a card does not carry them."""
Network = TypeVar("Network", bound=nn.Module)


class ModelCard(Settings):
    """What has to be known to use trained weights, and how well they did in validation."""

    kind: Literal["segment", "classify"]
    data: Literal["user", "phantom"]
    findings: tuple[str, ...]
    exclusive: bool
    head: str | None = None
    """Of a classifier: its name in HEADS."""
    classes: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Of a classifier of class columns: column to categories, in the order of the outputs."""
    init_from: dict[str, str] | None = None
    """Of a classifier: run and SHA-256 of the segmenter whose encoder it started from."""
    n_channels: int
    n_outputs: int
    spatial_dims: Literal[2, 3]
    size_px: tuple[int, ...] | None
    """Fixed image size, for networks that need to know it."""
    network: NetworkSettings
    image: ImageSettings
    prior: tuple[float, ...] | None = None
    """Share of positive pixels per finding in the training masks."""
    seed: int
    fold: int | None
    n_train: int
    n_val: int
    n_quarantined: int
    """Training and validation cases that could not be used."""
    n_steps: int
    best_step: int
    select_by: str
    precision: str
    validation: dict[str, Any]
    """Numbers of these weights on the validation cases."""
    collapsed: bool = False
    """The masks are useless: Dice on positives is about 0."""
    sha256: str
    """Of `model.safetensors`."""
    recipe: dict[str, Any]
    versions: dict[str, str]


def write_model(
    folder: Path,
    task: Task,
    prepared: Prepared,
    recipe: Recipe,
    result: FitResult,
    **facts: Any,  # noqa: ANN401 (fields of the card)
) -> ModelCard:
    """Write the weights, then the card, which makes the training a finished one.

    Its checkpoints are deleted: they hold several times the memory of the weights, and nothing can
    go on from them.

    Args:
        folder: Where both go.
        task: Its network holds the selected weights.
        prepared: The cases.
        recipe: The experiment.
        result: How the training ended.
        **facts: The other fields of `ModelCard`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / WEIGHTS, to_bytes(task.network.state_dict()))
    # the weights are in the file now: a model needs no pretrained ones to be loaded
    settings = recipe.network.model_copy(update={"pretrained": None})
    plain = recipe.model_dump(mode="json", exclude=set(PRIVATE))
    plain["network"]["pretrained"] = _shown_source(recipe.network.pretrained)
    card = ModelCard(
        kind=task.kind,
        data=recipe.data,
        findings=prepared.findings,
        n_channels=prepared.n_channels,
        n_outputs=int(task.network.n_outputs),  # type: ignore[arg-type] (all ours have it)
        fold=prepared.fold,
        n_train=len(prepared.train),
        n_val=len(prepared.val),
        n_quarantined=len(prepared.quarantined),
        select_by=task.select_by,
        spatial_dims=recipe.image.spatial_dims,
        network=settings,
        image=recipe.image,
        seed=recipe.seed,
        n_steps=result.n_steps,
        best_step=result.best_step,
        precision=result.precision,
        validation=result.validation,
        sha256=sha256_of(folder / WEIGHTS),
        recipe=plain,
        versions=versions(),
        **facts,
    )
    write_json(folder / MODEL, card.model_dump(mode="json"))
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return card


def read_card(folder: Path, *, kind: str) -> ModelCard:
    """The card of a trained model whose weights are the ones it was written for.

    Raises:
        IntegrityError: A file is missing or damaged, the weights have another SHA-256, or the
            model is of another kind.
    """
    path = folder / MODEL
    try:
        if path.stat().st_size > MAX_CARD_BYTES:
            raise ValueError(f"{MODEL} is larger than {MAX_CARD_BYTES} bytes")
        card = ModelCard.model_validate(read_json(path))
    except OSError:
        raise _bad(path, f"there is no trained model: {MODEL} is missing") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise _bad(path, f"{MODEL} cannot be used: {key}: {first['msg']}") from None
    except ValueError as error:
        raise _bad(path, f"{MODEL} cannot be read: {error}") from None
    if card.kind != kind:
        raise _bad(path, f"the model is for {card.kind!r}, not for {kind!r}")
    try:
        found = sha256_of(folder / WEIGHTS)
    except OSError:
        raise _bad(folder / WEIGHTS, f"{WEIGHTS} is missing") from None
    if found != card.sha256:
        raise _bad(
            folder / WEIGHTS, f"{WEIGHTS} has the SHA-256 {found[:12]}…, not {card.sha256[:12]}…"
        )
    return card


def load_weights(folder: Path, network: Network) -> Network:
    """`network` with the weights of `folder` in it, in evaluation mode.

    Raises:
        IntegrityError: The file does not hold the weights of this network.
    """
    try:
        network.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise _bad(folder / WEIGHTS, f"{WEIGHTS} does not fit the network ({first_line})") from None
    return network.eval()


def _shown_source(pretrained: str | None) -> str | None:
    return None if pretrained is None else Path(pretrained).name


def _bad(path: Path, wrong: str) -> IntegrityError:
    return IntegrityError(
        f"{wrong}.",
        where=shown(path),
        expected="the files as the training wrote them",
        fix="train again: segclf train-seg or train-clf (--resume continues an interrupted one)",
    )
