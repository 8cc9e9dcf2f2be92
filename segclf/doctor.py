"""What is installed and what the hardware can do; names the fix of a broken installation."""

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from segclf.core.provenance import hardware, package_version, versions

MISMATCH_SIGN = "torchvision::nms does not exist"
TESTED_PAIR = ("2.15.0", "0.29.2")
"""Versions of torch and torchvision that the tests run with; both from PyPI."""


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
    torch, torchvision = package_version("torch"), package_version("torchvision")
    cause, fix = judge_pair(torch, torchvision, required_torch(), last_line)
    return f"torch {torch} and torchvision {torchvision} {cause} ({last_line}). Fix: {fix}"


def required_torch() -> str:
    """The versions of torch that torchvision's metadata ask for, such as `==2.9.1`; '' if none."""
    try:
        wanted = [Requirement(text) for text in requires("torchvision") or ()]
    except (PackageNotFoundError, InvalidRequirement):
        return ""
    return next((str(one.specifier) for one in wanted if one.name == "torch"), "")


def judge_pair(
    torch: str | None, torchvision: str | None, required: str, last_line: str
) -> tuple[str, str]:
    """What is wrong with an installed pair, and the pip command that mends it.

    Args:
        torch: Installed version; None if it is not installed.
        torchvision: Installed version; None if it is not installed.
        required: From `required_torch`.
        last_line: What the import said.
    """
    if torch is None or torchvision is None:
        return "are not both installed", _install(*TESTED_PAIR)
    pair = torch.partition("+")[0], torchvision.partition("+")[0]
    exact = re.fullmatch(r"==([\d.]+)", required)
    if pair[0] not in SpecifierSet(required):
        cause = f"are different versions: this torchvision wants torch{required}"
        return cause, _install(exact[1], pair[1]) if exact else _install(*TESTED_PAIR)
    is_foreign = (
        MISMATCH_SIGN in last_line or torch.partition("+")[2] != torchvision.partition("+")[2]
    )
    cause = "come from different sources" if is_foreign else "do not work together"
    # a lower bound does not say that the two belong together; an exact version and a test do
    return cause, _install(*(pair if exact else TESTED_PAIR))


def _install(torch: str, torchvision: str) -> str:
    return f"pip install --force-reinstall torch=={torch} torchvision=={torchvision}"


def _torch_facts() -> dict[str, Any]:
    import torch

    from segclf.training.runtime import has_bf16, pick_device, pick_precision

    device = pick_device()
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return {
        "build": torch.__version__,
        "devices": devices,
        "picked": device.type,
        "threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "default"),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "bf16_in_hardware": has_bf16(device),
        "amx": bool(torch.cpu.get_capabilities().get("amx_bf16")),
        "precision_auto": pick_precision("auto", device),
    }


def doctor_text(facts: dict[str, Any]) -> str:
    """The examination as text for people."""
    lines = [f"{name:<32}{value}" for name, value in facts["versions"].items()]
    lines += [""] + [f"{name:<32}{value}" for name, value in facts["hardware"].items()]
    lines += [""] + [f"{name:<32}{value}" for name, value in facts.get("torch", {}).items()]
    lines += ["", *(f"PROBLEM: {p}" for p in facts["problems"])]
    lines += [] if facts["problems"] else ["no problem found"]
    return "\n".join(lines)
