"""Peak memory of predicting a volume of 512 x 512 x 400 voxels, with its mask.

    python benchmarks/volume_memory.py [--quick] [--threads 1]

The volume (16 bit) and its mask are written as NIfTI; `predict_cases` then runs in a process of its
own, whose largest resident size is the value, in GB. It reads, scales, slides a window of 256 x
256 x 64 over the volume, and writes all statistics with Dice. Without --quick there are two
volumes, as what is left of one must not add to the next, and a network of 16 channels at full
resolution; with it one volume and a network that is as small as can be: 46 s of the processor,
3.8 GB. The last line is a JSON object {name, value, goal, ok}.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from segclf.core.atomic import sha256_of
from segclf.core.config import Recipe, make_recipe
from segclf.core.records import Case, MaskSource, MaskState
from segclf.core.statstable import read_statistics
from segclf.io import write_image, write_mask
from segclf.networks import build_segmenter, set_output_bias
from segclf.predict import predict_cases
from segclf.training import ModelCard

SHAPE, SPACING_MM = (512, 512, 400), (0.7, 0.7, 1.0)
GOAL_GB = 6.0
SMALL = {"name": "monai_unet", "options": {"channels": [8, 16], "strides": [4], "num_res_units": 0}}
USUAL = {"name": "basicunet", "options": {}}


def main() -> int:
    """Exit code 0 if the goal is met."""
    parser = argparse.ArgumentParser(description="Peak memory of a large volume.")
    parser.add_argument("--quick", action="store_true", help="46 s of the processor")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return inside(options.inside, options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n_volumes = write_data(folder, quick=options.quick)
        start = time.monotonic()
        words = [sys.executable, __file__, "--inside", name, "--threads", str(options.threads)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        seconds = time.monotonic() - start
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = usage.ru_utime + usage.ru_stime
    peak_gb, n_px, true_px = json.loads(done.stdout.splitlines()[-1])
    shape = " x ".join(map(str, SHAPE))
    print(
        f"{n_volumes} volume(s) of {shape}, {options.threads} thread(s): {seconds:.0f} s, "
        f"{cpu_s:.0f} s of the processor, peak {peak_gb:.2f} GB; "
        f"{n_px} voxels, {true_px} of them true"
    )
    is_whole = n_px == int(np.prod(SHAPE)) and true_px == 64**3
    result = {"name": "volume_memory", "value": round(peak_gb, 3), "goal": GOAL_GB}
    result |= {"seconds": round(seconds, 1), "cpu_s": round(cpu_s, 1), "volumes": n_volumes}
    print(json.dumps(result | {"ok": bool(is_whole and peak_gb < GOAL_GB)}))
    return 0 if is_whole and peak_gb < GOAL_GB else 1


def recipe_of(network: dict) -> Recipe:
    """The recipe of the benchmark."""
    values = {
        "findings": ["lesion"],
        "image": {"spatial_dims": 3},
        "network": network,
        "segment": {"patch_px": [256, 256, 64]},
        "predict": {"batch_size": 1, "overlap": 0.0, "precision": "fp32"},
    }
    return make_recipe(values, where="benchmark")


def write_data(folder: Path, *, quick: bool) -> int:
    """Volumes, a mask and an untrained model in `folder`; returns the number of volumes."""
    rng = np.random.default_rng(0)
    slab = rng.integers(-1000, 2000, (1, *SHAPE[:2], 40), dtype=np.int16)
    image = np.tile(slab, (1, 1, 1, SHAPE[2] // 40))
    mask = np.zeros(SHAPE, np.uint8)
    mask[100:164, 100:164, 100:164] = 1
    n_volumes = 1 if quick else 2
    for number in range(n_volumes):
        write_image(folder / f"{number}.nii", image, spacing_mm=SPACING_MM)
    write_mask(folder / "mask.nii", mask, spacing_mm=SPACING_MM)
    network = SMALL if quick else USUAL
    (folder / "recipe.json").write_text(json.dumps(network))
    write_model(folder / "model", recipe_of(network))
    return n_volumes


def write_model(folder: Path, recipe: Recipe) -> None:
    """An untrained segmenter with its card."""
    torch.manual_seed(0)
    network = build_segmenter(recipe.network, n_channels=1, n_outputs=1, spatial_dims=3)
    set_output_bias(network, [0.001], exclusive=False)
    folder.mkdir()
    save_file(dict(network.state_dict()), folder / "model.safetensors")
    card = ModelCard(
        kind="segment", data="phantom", findings=("lesion",), exclusive=False, n_channels=1,
        n_outputs=1, spatial_dims=3, size_px=None, network=recipe.network, image=recipe.image,
        seed=0, fold=None, n_train=0, n_val=0, n_quarantined=0, n_steps=0, best_step=0,
        select_by="dice", precision="fp32", validation={},
        sha256=sha256_of(folder / "model.safetensors"), recipe={}, versions={},
    )  # fmt: skip
    (folder / "model.json").write_text(card.model_dump_json())


def inside(folder: Path, n_threads: int) -> int:
    """Predict the volumes of `folder`; prints peak memory, voxels and true voxels."""
    torch.set_num_threads(n_threads)
    recipe = recipe_of(json.loads((folder / "recipe.json").read_text()))
    mask = MaskSource(MaskState.DRAWN, folder / "mask.nii")
    cases = [
        Case(path.stem, (path,), (mask,), (1.0,), path.stem)
        for path in sorted(folder.glob("[0-9].nii"))
    ]
    result = predict_cases(cases, folder / "model", recipe, folder / "out")
    row = read_statistics(folder / "out").frame.iloc[0]
    assert result.n_quarantined == 0
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # KiB on Linux
    print(json.dumps([peak_gb, int(row["n_px"]), int(row["true_px"])]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
