"""Images per second of one network for eight heads against eight networks; the last line is JSON.

    python benchmarks/multihead.py [--quick]

Heads of three categories on images of 64 x 64, U-Net encoder resnet18, batches of 32, as
`train-clf --head multihead` and eight times `--head softmax` would score them: from images in
memory to probabilities. Blocks of both alternate, so that a busy machine slows both; the median
of the blocks counts. The one network's outputs are split into the softmaxes of its heads inside
the measured time. `--quick` takes fewer blocks. Goal: at least 7 times the images per second.
"""

import argparse
import json
import time
from statistics import median

import torch
from torch import nn

from segclf.classify import Targets
from segclf.classify.head import label_probabilities, new_classifier
from segclf.core.config import make_recipe

GOAL = 7.0
N_HEADS = 8
CATEGORIES = ("a", "b", "c")
BATCH, SIDE_PX = 32, 64


def score_all(networks: list[tuple[nn.Module, Targets]], image: torch.Tensor) -> torch.Tensor:
    """Probabilities of all heads (batch, 24), each network seeing the images once."""
    with torch.inference_mode():
        return torch.cat([label_probabilities(net(image), of) for net, of in networks], dim=1)


def images_per_s(networks: list[tuple[nn.Module, Targets]], image: torch.Tensor, n: int) -> float:
    """Speed over `n` batches."""
    start = time.perf_counter()
    for _ in range(n):
        score_all(networks, image)
    return n * len(image) / (time.perf_counter() - start)


def main() -> None:
    """Run, print what was measured, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer blocks")
    n_blocks = 5 if parser.parse_args().quick else 15
    recipe = make_recipe({"network": {"name": "unet", "encoder": "resnet18"}}, where="benchmark")
    heads = [Targets(classes={f"head{k}": CATEGORIES}) for k in range(N_HEADS)]
    together = Targets(classes={f"head{k}": CATEGORIES for k in range(N_HEADS)})
    one = [(new_classifier(recipe, together, 1).eval(), together)]
    eight = [(new_classifier(recipe, head, 1).eval(), head) for head in heads]
    image = torch.rand(BATCH, 1, SIDE_PX, SIDE_PX)
    assert score_all(one, image).shape == score_all(eight, image).shape == (BATCH, 3 * N_HEADS)
    speeds: tuple[list[float], list[float]] = ([], [])
    for _ in range(n_blocks):
        speeds[0].append(images_per_s(one, image, 8))
        speeds[1].append(images_per_s(eight, image, 1))
    fast, slow = median(speeds[0]), median(speeds[1])
    ratio = median(a / b for a, b in zip(*speeds, strict=True))
    print(f"one network: {fast:.0f} images/s; eight networks: {slow:.0f} images/s")
    result = {
        "name": "multihead_over_eight_networks",
        "value": round(ratio, 2),
        "goal": GOAL,
        "ok": ratio >= GOAL,
        "images_per_s": round(fast, 1),
        "images_per_s_of_eight": round(slow, 1),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
