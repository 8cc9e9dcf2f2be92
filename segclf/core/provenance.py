"""What made a result: versions, seed, recipe, manifest and hardware, in `run.json`."""

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

import segclf
from segclf.core.atomic import hash_of, read_json, write_json
from segclf.core.config import Recipe

PACKAGES = [
    "torch",
    "torchvision",
    "lightning-fabric",
    "monai",
    "segmentation-models-pytorch",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "statsmodels",
    "numba",
    "pyarrow",
    "nibabel",
    "pillow",
    "tifffile",
]


def record_stage(path: Path, recipe: Recipe, *, manifest_sha256: str, stage: str) -> None:
    """Write or update `run.json`: one entry per stage with its recipe, versions and machine."""
    stages: dict[str, Any] = read_json(path)["stages"] if path.is_file() else {}
    stages[stage] = {
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": recipe.seed,
        "recipe_sha256": hash_of(recipe.model_dump(mode="json")),
        "recipe": recipe.model_dump(mode="json"),
        "versions": versions(),
        "hardware": hardware(),
    }
    write_json(path, {"data": recipe.data, "manifest_sha256": manifest_sha256, "stages": stages})


def versions() -> dict[str, str]:
    """Versions of Python, segclf and the packages that numbers depend on."""
    found = {"python": platform.python_version(), "segclf": segclf.__version__}
    return found | {name: package_version(name) or "not installed" for name in PACKAGES}


def package_version(name: str) -> str | None:
    """Installed version of a package, from its metadata; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def hardware() -> dict[str, Any]:
    """Processor, cores and memory; no host or user name."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
    }


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    if sys.platform.startswith("linux"):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
