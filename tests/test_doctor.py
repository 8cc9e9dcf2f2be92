"""What `segclf doctor` says about a pair of torch and torchvision, and about number formats."""

import re
from pathlib import Path
from types import MappingProxyType

import pytest
import torch

from segclf import doctor
from segclf.doctor import TESTED_PAIR, examine, judge_pair, mismatch_message
from segclf.training.runtime import has_bf16

NMS = "RuntimeError: operator torchvision::nms does not exist"
REINSTALL = "pip install --force-reinstall torch=={} torchvision=={}"
TESTED = REINSTALL.format(*TESTED_PAIR)


@pytest.mark.parametrize(
    ("torch_version", "torchvision_version", "required", "line", "cause", "fix"),
    [
        # torchvision says which torch it was built for
        ("2.15.0", "0.24.1", "==2.9.1", NMS,
         "are different versions: this torchvision wants torch==2.9.1",
         REINSTALL.format("2.9.1", "0.24.1")),
        # it names a bound only, which says nothing about the pair that works
        ("2.10.0", "0.29.2", ">=2.14.0", NMS,
         "are different versions: this torchvision wants torch>=2.14.0", TESTED),
        ("2.15.0", "0.25.0", ">=2.10", "ImportError: undefined symbol",
         "do not work together", TESTED),
        ("2.9.1+cpu", "0.24.1", "==2.9.1", NMS, "come from different sources",
         REINSTALL.format("2.9.1", "0.24.1")),
        ("2.15.0+cpu", "0.29.2", ">=2.14.0", "ImportError: undefined symbol",
         "come from different sources", TESTED),
        ("2.15.0", None, "", "ModuleNotFoundError", "are not both installed", TESTED),
    ],
)  # fmt: skip
def test_the_fix_installs_a_pair_that_belongs_together(
    torch_version, torchvision_version, required, line, cause, fix
):
    assert judge_pair(torch_version, torchvision_version, required, line) == (cause, fix)


def test_the_pair_named_as_tested_is_the_one_of_the_constraints():
    text = (Path(__file__).parents[1] / "constraints.txt").read_text()
    pinned = dict(re.findall(r"^(torch|torchvision)==(.+)$", text, flags=re.M))
    assert (pinned["torch"], pinned["torchvision"]) == TESTED_PAIR


@pytest.mark.parametrize(
    ("metadata", "required"),
    [
        (["numpy", "torch==2.9.1", 'scipy; extra == "scipy"'], "==2.9.1"),
        (["torch (>=2.14.0)"], ">=2.14.0"),
        (["torch"], ""),
        (None, ""),
    ],
)
def test_the_wanted_torch_is_read_from_the_metadata_of_torchvision(monkeypatch, metadata, required):
    monkeypatch.setattr(doctor, "requires", lambda _name: metadata)
    assert doctor.required_torch() == required


def test_the_message_names_versions_cause_and_fix(monkeypatch):
    monkeypatch.setattr(doctor, "package_version", {"torch": "2.15.0", "torchvision": "0.24.1"}.get)
    monkeypatch.setattr(doctor, "requires", lambda _name: ["torch==2.9.1"])
    assert mismatch_message(NMS) == (
        "torch 2.15.0 and torchvision 0.24.1 are different versions: this torchvision wants "
        f"torch==2.9.1 ({NMS}). Fix: {REINSTALL.format('2.9.1', '0.24.1')}"
    )


@pytest.mark.parametrize(
    ("features", "expected"),
    [({"bf16": True}, True), ({"avx512_bf16": True}, True), ({"avx2": True}, False)],
)
def test_bf16_of_the_processor_is_what_training_uses(monkeypatch, features, expected):
    monkeypatch.setattr(doctor, "torchvision_problem", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: MappingProxyType(features))
    facts = examine()["torch"]
    assert facts["picked"] == "cpu"
    assert facts["bf16_in_hardware"] is expected is has_bf16(torch.device("cpu"))
    assert facts["precision_auto"] == ("bf16" if expected else "fp32")


@pytest.mark.parametrize(("supported", "precision"), [(True, "bf16"), (False, "fp32")])
def test_the_precision_is_that_of_the_device_that_is_picked(monkeypatch, supported, precision):
    monkeypatch.setattr(doctor, "torchvision_problem", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _index: "a card")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: MappingProxyType({"amx_bf16": not supported})
    )
    facts = examine()["torch"]
    assert facts["devices"] == ["cpu", "a card"]
    assert (facts["picked"], facts["precision_auto"]) == ("cuda", precision)
    assert facts["bf16_in_hardware"] is supported
