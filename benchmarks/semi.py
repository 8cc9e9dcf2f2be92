"""What a semi-supervised step costs over a supervised one with the same total number of images.

Both trainings run in one process and take turns, step by step, as in train_step.py: the batches of
the semi-supervised `fit` come from a generator that makes one step of a supervised loop before it
hands out the next batch, so that other programs disturb both alike. Both make the same step of the
same network on the same batches (forward, loss, backward, clipping, AdamW), in the same precision;
half of each batch is unlabelled in the semi-supervised one. On the CPU the processor time of this
process is counted.

The last line is a JSON object {name, value, goal, ok, methods}; the value is the ratio of the
medians of `mean_teacher`. `methods` has the ratio of each method, the memory of all its weights
(network and teacher) in MiB, and how much of that a supervised training does not need.
"""

import argparse
import json
import statistics
import sys
import tempfile
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from train_step import draw_batch, make_bare_step, now, synchronize

from segclf.core.config import make_recipe
from segclf.losses import build_loss
from segclf.networks import build_segmenter
from segclf.pseudolabel.semi import SEMI, Scene
from segclf.training import MEASURES, Task, fit, pick_device, pick_precision

GOAL = 1.6


def main() -> int:
    """Run, print, and tell by the exit code whether the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="mean_teacher alone, under 50 s")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    options = parser.parse_args()
    n_steps, size_px, batch_size = (20, 64, 8) if options.quick else (100, 128, 16)
    methods = ["mean_teacher"]
    if not options.quick:
        methods += ["uncertainty_mean_teacher", "fixmatch", "two_step"]
    found = {}
    for method in methods:
        semi, plain, memory = measure(method, n_steps, size_px, batch_size, options.precision)
        ratio = statistics.median(semi) / statistics.median(plain)
        found[method] = {"ratio": round(ratio, 3), **memory}
        print(
            f"{method}: {statistics.median(semi) * 1e3:.1f} ms, supervised "
            f"{statistics.median(plain) * 1e3:.1f} ms, ratio {ratio:.2f}; {len(plain)} steps of "
            f"{batch_size} x {size_px} px; weights {memory['weights_mib']} MiB, of them beside the "
            f"network {memory['extra_mib']} MiB"
        )
    ratio = found["mean_teacher"]["ratio"]
    result = {"name": "semi", "value": ratio, "goal": GOAL, "ok": ratio <= GOAL, "methods": found}
    print(json.dumps(result))
    return 0 if result["ok"] else 1


def measure(
    method: str, n_steps: int, size_px: int, batch_size: int, precision: str
) -> tuple[list[float], list[float], dict[str, float]]:
    """Seconds of each step of both loops without the first tenth, and MiB of weights."""
    recipe = make_recipe(
        {
            "train": {
                "steps": n_steps, "batch_size": batch_size, "validate_every": 10**6,
                "checkpoint_every": 10**6, "precision": precision,
            },
            "semi": {"method": method, "ramp": 0},
        },
        where="benchmark",
    )  # fmt: skip
    network = build_segmenter(recipe.network, n_channels=1, n_outputs=1, spatial_dims=2)
    loss = build_loss(recipe.loss, exclusive=False)
    batches = [draw_batch(step, size_px, batch_size) for step in range(4)]
    plain_step = make_bare_step(deepcopy(network), loss, precision)
    unknown = {name: (True,) for name in batches[0].case_id[batch_size // 2 :]}
    scene = Scene(recipe, None, (), unknown, False)  # type: ignore[arg-type] (no cases are read)
    semi: list[float] = []
    plain: list[float] = []

    def alternate(start, count, rank, world):
        for step in range(start, start + count):
            batch = replace(batches[step % len(batches)], step=step)
            began = now()
            plain_step(batch)
            plain.append(now() - began)
            half = batch.target.clone()
            half[batch_size // 2 :] = torch.nan
            began = now()
            yield replace(batch, target=half)
            synchronize()
            semi.append(now() - began)

    task = Task(
        kind="segment",
        network=network,
        spatial_dims=2,
        batches=alternate,
        loss=lambda raw, batch: loss(raw, batch.target),
        measure=lambda network, rank, world: np.ones((1, 1, len(MEASURES))),
        identity={"train.precision": pick_precision(precision, pick_device())},
    )
    entry = SEMI[method]
    changed = (entry.before or entry.change)(task, scene)
    with tempfile.TemporaryDirectory() as folder:
        fit(changed, recipe, Path(folder))
    one, all_weights = mib(network), mib(changed.network) * (1 + (changed.ema is not None))
    warm = n_steps // 10
    memory = {"weights_mib": round(all_weights, 1), "extra_mib": round(all_weights - one, 1)}
    return semi[warm:], plain[warm : len(semi)], memory


def mib(network):
    """MiB of its weights and statistics."""
    return sum(t.nbytes for t in network.state_dict().values()) / 2**20


if __name__ == "__main__":
    sys.exit(main())
