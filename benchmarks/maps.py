"""Time from a folder of probability maps to scores, by kind of file; the last line is JSON.

    python benchmarks/maps.py [--quick]

1,000 maps of 512 x 512 (smooth, a few lesions each) with PNG images of the same size, through
`segclf.maps.summarize_maps`: matching, reading, every mask statistic, the rule tau, score table.
8-bit PNG and uncompressed float16 npz have the goal of 10 s on two cores; compressed npz, as
nnU-Net writes it, and 16-bit PNG are stated. Memory is the growth of the process's peak while maps
are read. `--quick` times 200 maps of the first two kinds and scales up.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from segclf.io import write_image
from segclf.maps import summarize_maps

GOAL_S = 10.0
N_MAPS = 1000
SIDE_PX = 512
N_DRAWN = 20
KINDS = {"png8": True, "npz_float16": True, "npz_float16_compressed": False, "png16": False}
"""Kind of file: whether the goal is for it."""


def draw_maps(rng: np.random.Generator) -> list[np.ndarray]:
    """A few maps as a segmenter makes them: a smooth background and rare lesions."""
    maps = []
    for _ in range(N_DRAWN):
        noise = ndimage.gaussian_filter(rng.normal(size=(SIDE_PX, SIDE_PX)), 10)
        texture = ndimage.gaussian_filter(rng.normal(size=(SIDE_PX, SIDE_PX)), 2)
        logits = 3 * noise / noise.std() + 0.3 * texture / texture.std() - 7
        maps.append(1 / (1 + np.exp(-logits)))
    return maps


def write_maps(folder: Path, maps: list[np.ndarray], kind: str, n_maps: int) -> None:
    """`n_maps` files; each drawn map stands for many."""
    folder.mkdir(parents=True)
    for i in range(n_maps):
        p, path = maps[i % len(maps)], folder / f"case{i}"
        if kind == "png8":
            write_image(path.with_suffix(".png"), np.rint(p * 255).astype(np.uint8)[None])
        elif kind == "png16":
            write_image(path.with_suffix(".png"), np.rint(p * 65535).astype(np.uint16)[None])
        else:
            both = np.stack([1 - p, p]).astype(np.float16)[:, None]
            save = np.savez_compressed if kind.endswith("compressed") else np.savez
            save(path.with_suffix(".npz"), probabilities=both)


def write_manifest(folder: Path, n_maps: int, rng: np.random.Generator) -> Path:
    """A manifest whose cases share one image file."""
    write_image(folder / "image.png", np.zeros((1, SIDE_PX, SIDE_PX), np.uint8))
    frame = pd.DataFrame(
        {
            "case_id": [f"case{i}" for i in range(n_maps)],
            "image": "image.png",
            "label": rng.integers(0, 2, n_maps),
            "split": np.where(np.arange(n_maps) % 2, "val", "test"),
        }
    )
    frame.to_csv(folder / "cases.csv", index=False)
    return folder / "cases.csv"


def time_kind(folder: Path, manifest: Path, kind: str) -> dict[str, float]:
    """Wall and processor seconds, and MiB that the peak memory grew by."""
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    result = summarize_maps(
        folder / kind, "tau", manifest=manifest, out=folder / f"out-{kind}", n_threads=2
    )
    assert result.n_quarantined == 0
    return {
        "wall_s": time.perf_counter() - start_s,
        "cpu_s": time.process_time() - start_cpu_s,
        "peak_growth_mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) / 1024,
    }


def main() -> None:
    """Run, print what was measured, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 maps of two kinds")
    quick = parser.parse_args().quick
    rng = np.random.default_rng(0)
    n_maps = N_MAPS // 5 if quick else N_MAPS
    kinds = [kind for kind, has_goal in KINDS.items() if has_goal or not quick]
    maps, found = draw_maps(rng), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = write_manifest(folder, n_maps, rng)
        write_maps(folder / "warm", maps[:4], "npz_float16", 4)
        write_maps(folder / "warm-png", maps[:4], "png8", 4)
        for kind in ("warm", "warm-png"):
            time_kind(folder, manifest, kind)
        for kind in kinds:
            write_maps(folder / kind, maps, kind, n_maps)
            found[kind] = time_kind(folder, manifest, kind)
            scale = N_MAPS / n_maps
            scaled = {k: v * scale if k.endswith("_s") else v for k, v in found[kind].items()}
            found[kind] = {k: round(v, 2) for k, v in scaled.items()}
            print(f"{N_MAPS} maps of {SIDE_PX} x {SIDE_PX}, {kind}: {found[kind]}")
    slowest = max(found[kind]["wall_s"] for kind in kinds if KINDS[kind])
    result = {
        "name": "maps_1000_of_512px_s",
        "value": slowest,
        "cpu_s": max(found[kind]["cpu_s"] for kind in kinds if KINDS[kind]),
        "goal": GOAL_S,
        "ok": slowest <= GOAL_S,
        "kinds": found,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
