"""A fitted head on disk: its numbers, and the card that says what they belong to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
from torch import nn

from segclf.core.atomic import atomic_path, read_json, sha256_of, write_bytes, write_json
from segclf.core.errors import IntegrityError
from segclf.core.runs import shown
from segclf.summarize.trained.fit import network_scores, new_network
from segclf.summarize.trained.heads import Arrays, MapHead, StatisticsHead
from segclf.summarize.trained.table import find_trained
from segclf.training import pick_device
from segclf.training.checkpoints import to_bytes

CARD = "card.json"
MAX_BYTES = 2**32

StatisticsModels = dict[str, Arrays]
"""Finding to the arrays of its model."""


@dataclass(frozen=True)
class Head:
    """A fitted head that can score."""

    card: dict[str, Any]
    scores: Callable[[np.ndarray], np.ndarray]
    """Kept cases `(case, *shape)` to `(case, finding)` probabilities; NaN for a finding that could
    not be fitted."""


def save_head(
    folder: Path, fitted: nn.Module | StatisticsModels | None, card: Mapping[str, Any]
) -> None:
    """Write `head.safetensors`, `head.json` or `head.npz`, then `card.json`, which completes it.

    Args:
        folder: Where both go; heads of other kinds are removed.
        fitted: A network, or the model of each finding; None if nothing could be fitted.
        card: Plain data.
    """
    (folder / CARD).unlink(missing_ok=True)
    for path in folder.glob("head.*"):
        path.unlink()
    name = None
    if isinstance(fitted, nn.Module):
        name = "head.safetensors"
        write_bytes(folder / name, to_bytes(fitted.state_dict()))
    elif fitted is not None:
        head = find_trained(card["rule"]).load()
        name = f"head{head.suffix}"
        _write_arrays(folder / name, fitted)
    sha256 = None if name is None else sha256_of(folder / name)
    write_json(folder / CARD, {**card, "file": name, "sha256": sha256})


def read_card(folder: Path) -> dict[str, Any] | None:
    """The card in `folder`; None if no head was finished there.

    Raises:
        IntegrityError: It cannot be read, or the head is not the one it was written for.
    """
    path = folder / CARD
    if not path.is_file():
        return None
    try:
        card = read_json(path)
        name, sha256 = card["file"], card["sha256"]
        if name not in (None, "head.safetensors", "head.json", "head.npz"):
            raise ValueError(f"file = {name!r}")
        if name is not None and (folder / name).stat().st_size > MAX_BYTES:
            raise ValueError(f"{name} is larger than {MAX_BYTES} bytes")
        found = None if name is None else sha256_of(folder / name)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _bad(path, f"the card of the head cannot be used ({error})") from None
    if found != sha256:
        raise _bad(folder / str(name), f"{name} is not the file that the card names")
    return card


def load_head(folder: Path, card: dict[str, Any], *, segmenter_sha256: str) -> Head:
    """The head that `card` describes, on the device that is used.

    Args:
        folder: Of `card`.
        card: From `read_card`.
        segmenter_sha256: Of the segmenter whose maps it is going to read.

    Raises:
        IntegrityError: It was fitted on maps of another segmenter, or its file does not fit.
    """
    if card["segmenter_sha256"] != segmenter_sha256:
        raise IntegrityError(
            "the head was fitted on maps of another segmenter "
            f"(SHA-256 {card['segmenter_sha256'][:12]}…, not {segmenter_sha256[:12]}…).",
            where=shown(folder / CARD),
            expected="the segmenter of the run, unchanged since",
            fix=f"fit it anew: segclf summarize --rule {card['rule']}",
        )
    head = find_trained(card["rule"]).load()
    findings, usable = card["findings"], [f not in card["not_fitted"] for f in card["findings"]]
    if card["file"] is None:
        return Head(card, lambda values: np.full((len(values), len(findings)), np.nan))
    try:
        if isinstance(head, MapHead):
            network = new_network(head, tuple(card["shape"]), len(findings), card["seed"])
            network.load_state_dict(safetensors.torch.load_file(folder / card["file"]))
            score = partial(network_scores, network.to(pick_device()).eval())
        else:
            models = _read_arrays(folder / card["file"])
            score = partial(statistics_scores, head, models, findings)
    except (OSError, RuntimeError, ValueError, KeyError, safetensors.SafetensorError) as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise _bad(folder / card["file"], f"{card['file']} does not fit ({first})") from None
    return Head(card, lambda values: np.where(usable, score(values), np.nan))


def statistics_scores(
    head: StatisticsHead, models: StatisticsModels, findings: list[str], values: np.ndarray
) -> np.ndarray:
    """Probability per case and finding of features (case, finding, feature); NaN without model."""
    scores = np.full(values.shape[:2], np.nan)
    for number, finding in enumerate(findings):
        if finding in models:
            scores[:, number] = head.probability(models[finding], values[:, number])
    return scores


def _write_arrays(path: Path, models: StatisticsModels) -> None:
    if path.suffix == ".json":
        plain = {
            f: {name: a.tolist() for name, a in arrays.items()} for f, arrays in models.items()
        }
        write_json(path, plain)
        return
    flat = {f"{name}/{f}": array for f, arrays in models.items() for name, array in arrays.items()}
    with atomic_path(path) as part, open(part, "wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **flat)  # pyright: ignore[reportArgumentType] (names are not keywords)


def _read_arrays(path: Path) -> StatisticsModels:
    if path.suffix == ".json":
        plain = read_json(path)
        return {f: {name: np.array(a) for name, a in arrays.items()} for f, arrays in plain.items()}
    models: StatisticsModels = {}
    with np.load(path, allow_pickle=False) as flat:
        for key in flat.files:
            name, _, finding = key.partition("/")
            models.setdefault(finding, {})[name] = flat[key]
    return models


def _bad(path: Path, wrong: str) -> IntegrityError:
    return IntegrityError(
        f"{wrong}.",
        where=shown(path),
        expected="the files as `segclf summarize` wrote them",
        fix=f"delete the folder {shown(path.parent)} and fit again",
    )
