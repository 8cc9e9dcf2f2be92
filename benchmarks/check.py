"""`segclf check` on 10,000 PNG rows against a bare Pillow loop; the last line is JSON.

    python benchmarks/check.py [--quick] [--rows 10000] [--workers 2]

Images of 256 x 256 noisy pixels and masks of 0 and 255 are drawn, 600 MB of them for 10,000 rows.
The bare loop opens and decodes the same files one after the other and does nothing else. `check`
decodes them in processes of their own, compares them with each other and with the row, and looks
for copies. Goal: 60 s on two cores for 10,000 rows, and memory that does not grow with the rows.

On a busy machine the wall clock measures the neighbours. Then the value is the processor time of
all processes over two cores, which is what a quiet machine needs at least. `--quick` checks 1000
rows and takes ten times their time; the bare loop reads a tenth of the rows.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from segclf.core.config import make_recipe
from segclf.manifest import check_manifest, read_manifest

GOAL_S, N_CORES, N_ROWS, MAX_GROWTH_MB = 60.0, 2, 10_000, 50
SIDE_PX = 256


def main() -> int:
    """Exit code 0 if the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under 50 s on two cores")
    parser.add_argument("--rows", type=int, default=N_ROWS)
    parser.add_argument("--workers", type=int, default=N_CORES)
    options = parser.parse_args()
    n_rows = 1000 if options.quick else options.rows
    was_quiet = os.getloadavg()[0] < 0.5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder, n_rows)
        bare_cpu_s = time_pillow(folder, max(n_rows // 10, 100)) * N_ROWS
        wall_s, cpu_s, memory_mb = time_check(folder, options.workers)
    wall_s, cpu_s = (seconds * N_ROWS / n_rows for seconds in (wall_s, cpu_s))
    growth_mb = memory_mb[-1] - memory_mb[0]
    value = wall_s if was_quiet else cpu_s / N_CORES
    print(
        f"{n_rows} rows, {options.workers} at once; for {N_ROWS}: {wall_s:.1f} s by the clock, "
        f"{cpu_s:.1f} s of processors, bare Pillow {bare_cpu_s:.1f} s; "
        f"memory {memory_mb[0]:.0f} to {memory_mb[-1]:.0f} MB"
    )
    result = {
        "name": "check",
        "value": round(value, 1),
        "goal": GOAL_S,
        "clock": "wall" if was_quiet else f"processors / {N_CORES}",
        "wall_s": round(wall_s, 1),
        "cpu_s": round(cpu_s, 1),
        "of_bare_pillow": round(cpu_s / bare_cpu_s, 2),
        "growth_mb": round(growth_mb, 1),
        "ok": value <= GOAL_S and growth_mb <= MAX_GROWTH_MB,
    }
    print(json.dumps(result))
    return 0 if result["ok"] else 1


def write_rows(folder: Path, n_rows: int) -> None:
    """A manifest, and an image and a mask for each row."""
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:SIDE_PX, :SIDE_PX]
    lines = ["case_id,image,mask,label,patient_id"]
    for number in range(n_rows):
        centre, radius = rng.integers(40, SIDE_PX - 40, 2), (number % 2) * rng.integers(4, 40)
        inside = (row - centre[0]) ** 2 + (column - centre[1]) ** 2 < radius**2
        image = 100 + 60 * np.sin(row / 40) + 20 * inside + rng.normal(0, 5, inside.shape)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"i{number}.png")
        Image.fromarray(inside.astype(np.uint8) * 255).save(folder / f"m{number}.png")
        lines.append(f"c{number},i{number}.png,m{number}.png,{number % 2},p{number // 3}")
    (folder / "manifest.csv").write_text("\n".join(lines))


def time_pillow(folder: Path, n_rows: int) -> float:
    """Processor seconds per row of a loop that only decodes."""
    began = time.process_time()
    for number in range(n_rows):
        for kind in "im":
            with Image.open(folder / f"{kind}{number}.png") as picture:
                np.asarray(picture)
    return (time.process_time() - began) / n_rows


def time_check(folder: Path, workers: int) -> tuple[float, float, list[float]]:
    """Wall-clock and processor seconds, and MB of all processes after each tenth."""
    memory_mb: list[float] = []
    cpu_at: list[float] = []

    def note(event: dict) -> None:
        if event["step"] % max(event["of"] // 10, 1) == 0:
            memory_mb.append(sum(p.memory_info().rss for p in family()) / 2**20)
            cpu_at.append(used_s())

    began, cpu_began = time.perf_counter(), used_s()
    recipe = make_recipe({"manifest": "manifest.csv"}, where="benchmark")
    report = check_manifest(
        read_manifest(recipe, base=folder, strict=False), workers=workers, progress=note
    )
    wall_s = time.perf_counter() - began
    assert report.n_errors == 0, report.problems[:3]
    return wall_s, max(*cpu_at, used_s()) - cpu_began, memory_mb


def family() -> list[psutil.Process]:
    """This process and the decoders it has started."""
    own = psutil.Process()
    return [own, *own.children(recursive=True)]


def used_s() -> float:
    """Processor seconds of this process and its children, living or gone."""
    gone = resource.getrusage(resource.RUSAGE_CHILDREN)
    alive = sum(sum(process.cpu_times()[:2]) for process in family())
    return alive + gone.ru_utime + gone.ru_stime


if __name__ == "__main__":
    sys.exit(main())
