"""What is installed and what the hardware can do; names the fix of a broken installation."""

import os
import subprocess
import sys
from typing import Any

from segclf.core.provenance import hardware, package_version, versions

MISMATCH_SIGN = "torchvision::nms does not exist"


def examine() -> dict[str, Any]:
    """Versions, hardware, devices, threads, number formats and problems, as plain data."""
    facts: dict[str, Any] = {"versions": versions(), "hardware": hardware(), "problems": []}
    problem = torchvision_problem()
    if problem:
        facts["problems"].append(problem)
    try:
        facts["torch"] = _torch_facts()
    except ImportError as error:
        facts["problems"].append(f"torch cannot be imported ({error}): pip install segclf")
    return facts


def torchvision_problem() -> str | None:
    """What is wrong between torch and torchvision and the command that mends it; None if they fit.

    The import runs in a process of its own, because a broken pair can abort the interpreter.
    """
    test = [sys.executable, "-c", "import torchvision"]
    result = subprocess.run(test, capture_output=True, text=True, check=False)  # noqa: S603 (fixed)
    if result.returncode == 0:
        return None
    return mismatch_message(result.stderr.strip().splitlines()[-1] if result.stderr else "")


def mismatch_message(last_line: str) -> str:
    """The sentence and the fix for a torchvision that cannot be imported."""
    cause = "come from different sources" if MISMATCH_SIGN in last_line else "do not work together"
    return (
        f"torch {package_version('torch')} and torchvision {package_version('torchvision')} {cause}"
        f" ({last_line}). Fix: {repair_command()}"
    )


def repair_command() -> str:
    """The pip command that reinstalls a matching pair from one source."""
    torch = (package_version("torch") or "2.15.0").partition("+")[0]
    torchvision = (package_version("torchvision") or "0.29.2").partition("+")[0]
    return f"pip install --force-reinstall torch=={torch} torchvision=={torchvision}"


def _torch_facts() -> dict[str, Any]:
    import torch

    from segclf.training import pick_precision

    cpu = torch.backends.cpu.get_cpu_capability()
    flags = _cpu_flags()
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return {
        "build": torch.__version__,
        "devices": devices,
        "threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "default"),
        "cpu_capability": cpu,
        "bf16_in_hardware": bool(flags & {"amx_bf16", "avx512_bf16"}),
        "amx": "amx_bf16" in flags,
        "precision_auto": pick_precision("auto", torch.device("cpu")),
    }


def _cpu_flags() -> set[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            line = next((line for line in stream if line.startswith("flags")), "")
    except OSError:
        return set()
    return set(line.split())


def doctor_text(facts: dict[str, Any]) -> str:
    """The examination as text for people."""
    lines = [f"{name:<32}{value}" for name, value in facts["versions"].items()]
    lines += [""] + [f"{name:<32}{value}" for name, value in facts["hardware"].items()]
    lines += [""] + [f"{name:<32}{value}" for name, value in facts.get("torch", {}).items()]
    lines += ["", *(f"PROBLEM: {p}" for p in facts["problems"])]
    lines += [] if facts["problems"] else ["no problem found"]
    return "\n".join(lines)
