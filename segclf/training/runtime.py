"""Where and how the loop runs: device, number format, memory layout, determinism."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import nn

from segclf.core.config import TrainSettings
from segclf.core.errors import ConfigError, StoppedError, UsageError
from segclf.core.runs import shown
from segclf.data import Batch

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
PrecisionName = Literal["fp32", "bf16", "fp16"]
BF16_CPU_FEATURES = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")
"""Keys of `torch.cpu.get_capabilities()` that mean bf16 arithmetic on x86 and ARM."""


def pick_device() -> torch.device:
    """The kind of device to use: CUDA, else MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def pick_precision(asked: str, device: torch.device) -> PrecisionName:
    """The number format that `asked` means on `device`; `auto` is bf16 where hardware has it.

    Raises:
        ConfigError: fp16 was asked for on a device without fp16 training.
    """
    if asked == "auto":
        return "bf16" if has_bf16(device) else "fp32"
    if asked == "fp16" and device.type != "cuda":
        raise ConfigError(
            f"fp16 training does not work on {device.type!r}.",
            where="train.precision = 'fp16'",
            expected="a CUDA device for fp16",
            fix="use precision auto, bf16 or fp32",
        )
    return {"fp32": "fp32", "bf16": "bf16", "fp16": "fp16"}[asked]  # type: ignore[return-value]


def has_bf16(device: torch.device) -> bool:
    """Whether `device` computes in bf16 itself, without emulation."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        features = torch.cpu.get_capabilities()
        return any(bool(features.get(name)) for name in BF16_CPU_FEATURES)
    return False  # MPS does not say; fp32 is always right there


def start_fabric(settings: TrainSettings) -> Fabric:
    """A launched Fabric for this process: one device, or one rank of a `torchrun` group.

    Raises:
        UsageError: The recipe asks for another number of devices than were started.
        ConfigError: The precision does not fit the device.
    """
    device = pick_device()
    world, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if world != settings.devices:
        raise UsageError(
            f"the recipe wants {settings.devices} devices, but {world} processes were started.",
            where=f"train.devices = {settings.devices}",
            expected="one process per device",
            fix=f"torchrun --nproc-per-node {settings.devices} -m segclf train-seg …, "
            f"or --set train.devices={world}",
        )
    precision = pick_precision(settings.precision, device)
    plugins = None
    if precision != "fp32":
        # given as a plugin, because Fabric logs a line for the equivalent text
        mixed = "bf16-mixed" if precision == "bf16" else "16-mixed"
        plugins = MixedPrecision(mixed, device=device.type)
    fabric = Fabric(
        accelerator=device.type,
        devices=local,
        num_nodes=max(1, world // local),
        strategy=DDPStrategy(gradient_as_bucket_view=True) if world > 1 else "auto",
        plugins=plugins,
    )
    fabric.launch()
    return fabric


def memory_format(spatial_dims: int, device: torch.device) -> torch.memory_format:
    """Layout for images and weights: channels last where convolutions are faster with it."""
    if spatial_dims == 2:
        return torch.channels_last
    return torch.channels_last_3d if device.type == "cuda" else torch.contiguous_format


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on `device`, its images in the layout that convolutions prefer."""
    layout = memory_format(batch.image.ndim - 2, device)
    return replace(
        batch,
        image=batch.image.to(device, memory_format=layout, non_blocking=True),
        target=batch.target.to(device, non_blocking=True),
        label=batch.label.to(device, non_blocking=True),
    )


def device_of(network: nn.Module) -> torch.device:
    """The device that the network's weights are on."""
    return next(network.parameters()).device


@contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """Deterministic kernels inside the block; the caller's settings are put back after it.

    Kernels without a deterministic version (some 3D upsampling on CUDA) warn instead of failing.
    """
    before = torch.are_deterministic_algorithms_enabled()
    warn_before = torch.is_deterministic_algorithms_warn_only_enabled()
    fill_before = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    benchmark_before = torch.backends.cudnn.benchmark
    if enabled:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it at start
        torch.use_deterministic_algorithms(True, warn_only=True)
        # filling every new tensor with NaN guards against reading it too early, but costs time
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not enabled
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_before)
        torch.utils.deterministic.fill_uninitialized_memory = fill_before  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = benchmark_before


@contextmanager
def own_randomness() -> Iterator[None]:
    """The caller's random state is untouched by what the block seeds and draws."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        yield


def is_first_rank() -> bool:
    """Whether this process is the one that writes files."""
    return int(os.environ.get("RANK", 0)) == 0


def wait_for_all() -> None:
    """Wait until every rank has come this far; nothing to wait for with one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()


@contextmanager
def full_disk_stops(
    folder: Path,
    *,
    room_for: str = "the next file; the latest checkpoint is kept",
    fix: str = "add --resume; train.keep_checkpoints=1 needs less",
) -> Iterator[None]:
    """Turn a full disk inside the block into a `StoppedError` that says what is kept."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise StoppedError(
            "the disk is full.",
            where=shown(folder),
            expected=f"room for {room_for}",
            fix=f"free some space and {fix}",
        ) from None
