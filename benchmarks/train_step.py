"""What a training step costs over a bare PyTorch loop: same network, data and precision.

Both loops run in one process and take turns, step by step: the batches of `fit` come from a
generator that makes one bare step before it hands out the next batch, so the time between two
calls of the generator is a whole step of `fit` (loss check, clipping, schedule, log included).
Prepared batches are used in both, so that data preparation counts in neither. On the CPU the
processor time of this process is counted, so that other programs do not disturb.

The last line is a JSON object {name, value, goal, ok}; the value is the ratio of the medians.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch

from segclf.core.config import NetworkSettings, make_recipe
from segclf.core.randomness import generator
from segclf.data import Batch
from segclf.losses import build_loss
from segclf.networks import build_segmenter
from segclf.training import MEASURES, Task, fit, memory_format, pick_device, pick_precision

GOAL = 1.10
REDUCED = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def main() -> int:
    """Run, print, and tell by the exit code whether the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under a minute on two cores")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    options = parser.parse_args()
    n_steps, size_px, batch_size = (24, 64, 4) if options.quick else (200, 128, 16)
    ours, bare = measure(n_steps, size_px, batch_size, options.precision)
    ratio = statistics.median(ours) / statistics.median(bare)
    print(
        f"{pick_device()} {pick_precision(options.precision, pick_device())}: fit "
        f"{statistics.median(ours) * 1e3:.1f} ms, bare {statistics.median(bare) * 1e3:.1f} ms, "
        f"{len(bare)} steps of {batch_size} x {size_px} px"
    )
    result = {"name": "train_step", "value": round(ratio, 4), "goal": GOAL, "ok": ratio <= GOAL}
    print(json.dumps(result))
    return 0 if result["ok"] else 1


def measure(
    n_steps: int, size_px: int, batch_size: int, precision: str
) -> tuple[list[float], list[float]]:
    """Seconds of each step of `fit` and of the bare loop, without the first tenth."""
    recipe = make_recipe(
        {
            "train": {
                "steps": n_steps, "batch_size": batch_size, "validate_every": 10**6,
                "checkpoint_every": 10**6, "precision": precision,
            }
        },
        where="benchmark",
    )  # fmt: skip
    network = build_segmenter(NetworkSettings(), n_channels=1, n_outputs=1, spatial_dims=2)
    loss = build_loss(recipe.loss, exclusive=False)
    batches = [draw_batch(step, size_px, batch_size) for step in range(4)]
    bare_step = make_bare_step(deepcopy(network), loss, recipe.train.precision)
    ours: list[float] = []
    bare: list[float] = []

    def alternate(start, count, rank, world):
        for step in range(start, start + count):
            batch = batches[step % len(batches)]
            began = now()
            torch.use_deterministic_algorithms(False)  # `fit` turned it on; a bare loop would not
            bare_step(batch)
            torch.use_deterministic_algorithms(recipe.train.deterministic, warn_only=True)
            bare.append(now() - began)
            began = now()
            yield batch
            synchronize()
            ours.append(now() - began)

    task = Task(
        kind="segment",
        network=network,
        spatial_dims=2,
        batches=alternate,
        loss=lambda raw, batch: loss(raw, batch.target),
        measure=lambda network, rank, world: np.ones((1, 1, len(MEASURES))),
        identity={"train.precision": pick_precision(precision, pick_device())},
    )
    with tempfile.TemporaryDirectory() as folder:
        fit(task, recipe, Path(folder))
    warm = n_steps // 10
    return ours[warm:], bare[warm : len(ours)]


def make_bare_step(network, loss, precision):
    """One step as a PyTorch tutorial writes it, with the same precision and layout."""
    device = pick_device()
    reduced = REDUCED[pick_precision(precision, device)]
    network = network.to(device).to(memory_format=memory_format(2, device)).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2, fused=True)

    def step(batch):
        image = batch.image.to(device, memory_format=memory_format(2, device), non_blocking=True)
        target = batch.target.to(device, non_blocking=True)
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=reduced, enabled=reduced is not None):
            raw = network(image)
        value = loss(raw.float(), target)
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        synchronize()

    return step


def draw_batch(step, size_px, batch_size):
    """Noise, with 1 % of the pixels positive."""
    draw = generator("benchmark", step)
    shape = (batch_size, 1, size_px, size_px)
    return Batch(
        image=torch.from_numpy(draw.random(shape, dtype=np.float32)),
        target=torch.from_numpy((draw.random(shape) > 0.99).astype(np.float32)),
        label=torch.ones(batch_size, 1),
        case_id=[f"c{i}" for i in range(batch_size)],
        step=step,
    )


def synchronize():
    """Wait until the device has done its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def now():
    """Seconds on the clock that fits the device."""
    return time.process_time() if pick_device().type == "cpu" else time.perf_counter()


if __name__ == "__main__":
    sys.exit(main())
