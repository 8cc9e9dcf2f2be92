"""Checkpoints without pickle: folders of safetensors and JSON that appear whole or not at all."""

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from segclf.core.atomic import read_json, sha256_of, sync, write_text
from segclf.core.errors import IntegrityError
from segclf.core.runs import shown

LATEST, MANIFEST, STATE = "LATEST", "manifest.json", "state.json"
MAX_JSON_BYTES = 50_000_000
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """One verified checkpoint."""

    folder: Path
    state: dict[str, Any]
    """Plain data: step, best value, early-stopping counters."""
    tensors: dict[str, Tensors]
    """Per part (`model`, `ema`, `optimizer`): name to tensor, on the CPU."""


def save_checkpoint(
    root: Path, step: int, parts: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]
) -> Path:
    """Write `root/step-XXXXXXXX/` and make it the latest; a crash leaves the one before.

    Args:
        root: The folder of all checkpoints of one training.
        step: Steps taken.
        parts: Part name to tensors, each written as `<part>.safetensors`.
        state: Plain data for `state.json`.

    Returns:
        The folder of the checkpoint.
    """
    final = root / folder_name(step)
    part = root / f".{final.name}.{uuid.uuid4().hex[:8]}.part"
    part.mkdir(parents=True)
    try:
        files = {f"{name}.safetensors": to_bytes(tensors) for name, tensors in parts.items()}
        files[STATE] = _json_bytes(state)
        listing = {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in files.items()
        }
        files[MANIFEST] = _json_bytes({"step": step, "files": listing})
        for name, data in files.items():
            _write_synced(part / name, data)
        sync(part)
        if final.exists():  # left by a run that fell back to an earlier checkpoint
            shutil.rmtree(final)
        os.replace(part, final)
        sync(root)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    write_text(root / LATEST, final.name + "\n")
    return final


def load_latest(root: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that is intact, and what was wrong with newer ones.

    None if there is no checkpoint at all.

    Raises:
        IntegrityError: There are checkpoints, but all are damaged.
    """
    names = checkpoint_names(root)
    if not names:
        return None, []
    latest = _read_latest(root)
    order = sorted(names, key=lambda name: (name == latest, name), reverse=True)
    problems = [] if latest in names else [f"{LATEST} names no checkpoint"]
    for name in order:
        try:
            return read_checkpoint(root / name), problems
        except IntegrityError as error:
            problems.append(f"{name}: {error.wrong}")
    raise IntegrityError(
        f"all {len(names)} checkpoints are damaged ({'; '.join(problems)}).",
        where=shown(root),
        expected="at least one whose files have the SHA-256 in its manifest.json",
        fix="restore the folder from a backup, or delete it and train again without --resume",
    )


def read_checkpoint(folder: Path, *, only: tuple[str, ...] | None = None) -> Checkpoint:
    """A checkpoint whose files all have the size and SHA-256 that its manifest says.

    Args:
        folder: `…/checkpoints/step-XXXXXXXX`.
        only: Parts to load; None loads all. All are verified.

    Raises:
        IntegrityError: A file is missing, or is not what was written.
    """
    try:
        if (folder / MANIFEST).stat().st_size > MAX_JSON_BYTES:
            raise ValueError("manifest.json is too large")
        listing = dict(read_json(folder / MANIFEST)["files"])
        for name, entry in listing.items():
            if Path(name).name != name:
                raise ValueError(f"file name {name!r}")
            size = (folder / name).stat().st_size
            if size != entry["bytes"]:
                raise ValueError(f"{name} has {size} bytes instead of {entry['bytes']}")
            if sha256_of(folder / name) != entry["sha256"]:
                raise ValueError(f"{name} has another SHA-256")
        names = [name.removesuffix(".safetensors") for name in listing if name != STATE]
        tensors = {
            name: safetensors.torch.load_file(folder / f"{name}.safetensors")
            for name in names
            if only is None or name in only
        }
        return Checkpoint(folder, read_json(folder / STATE), tensors)
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise IntegrityError(
            f"the checkpoint is damaged ({_reason(error)}).",
            where=shown(folder),
            expected="files with the size and SHA-256 of its manifest.json",
            fix="resume: an earlier checkpoint is used",
        ) from None


def prune(root: Path, *, keep: int) -> None:
    """Delete checkpoints but the latest `keep` and the best one that each of these names.

    Checkpoints newer than the latest (from before a fall-back) stay until they are replaced.
    """
    latest = _read_latest(root) or ""
    names = [name for name in checkpoint_names(root) if name <= latest]
    kept = set(names[-keep:])
    for name in list(kept):
        best = read_json(root / name / STATE).get("best_step")
        kept |= {folder_name(best)} if best is not None else set()
    for name in set(names) - kept:
        shutil.rmtree(root / name)


def clear_parts(root: Path) -> None:
    """Delete what a killed run left half-written."""
    for part in root.glob(".step-*.part"):
        shutil.rmtree(part, ignore_errors=True)


def folder_name(step: int) -> str:
    """Name of the checkpoint after `step` steps."""
    return f"step-{step:08d}"


def checkpoint_names(root: Path) -> list[str]:
    """Names of all checkpoints in a folder, oldest first."""
    return sorted(p.name for p in root.glob("step-*") if re.fullmatch(r"step-\d{8,}", p.name))


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as a safetensors file, in standard layout; the same tensors give the same bytes."""
    plain = {
        name: tensor.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
        for name, tensor in tensors.items()
    }
    return safetensors.torch.save(plain)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """The tensors of an optimizer's state, named `<parameter number>.<quantity>`."""
    return {
        f"{number}.{name}": value
        for number, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Put back what `optimizer_tensors` took; settings stay those of the optimizer.

    Averages get the memory layout of their weight: fused kernels go through both side by side.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        weight = weights[int(number)]
        if value.shape == weight.shape:
            value = torch.empty_like(weight, device="cpu").copy_(value)
        state.setdefault(int(number), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _write_synced(path: Path, data: bytes) -> None:
    with open(path, "xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _read_latest(root: Path) -> str | None:
    try:
        return (root / LATEST).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _json_bytes(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def _reason(error: Exception) -> str:
    """What went wrong, without the path that the system puts into its messages."""
    if isinstance(error, OSError):
        name = Path(str(error.filename)).name if error.filename else ""
        return f"{error.strerror or type(error).__name__}: {name}"
    return f"{type(error).__name__}: {error}"
