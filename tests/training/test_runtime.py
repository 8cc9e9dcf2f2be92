from types import MappingProxyType

import pytest
import torch

from segclf.core.errors import ConfigError, UsageError
from segclf.core.settings import TrainSettings
from segclf.training import fit, memory_format, pick_precision
from segclf.training.runtime import deterministic, start_fabric

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"bf16": True, "neon": True}, "bf16"),
        ({"avx2": True, "avx512_bf16": False}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_auto_is_bf16_on_processors_that_have_it(monkeypatch, features, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: MappingProxyType(features))
    assert pick_precision("auto", CPU) == expected


@pytest.mark.parametrize(("supported", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_on_cuda_cards_that_have_it_without_emulation(
    monkeypatch, supported, expected
):
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation: supported and not including_emulation,
    )
    assert pick_precision("auto", CUDA) == expected


def test_what_is_asked_for_is_what_is_used():
    assert pick_precision("fp32", CUDA) == "fp32"
    assert pick_precision("bf16", CPU) == "bf16"
    assert pick_precision("fp16", CUDA) == "fp16"
    assert pick_precision("auto", MPS) == "fp32"


def test_fp16_without_cuda_is_refused_with_a_way_out():
    with pytest.raises(ConfigError, match="fp16 training does not work on 'cpu'") as caught:
        pick_precision("fp16", CPU)
    assert "bf16" in caught.value.fix


def test_pictures_are_laid_out_channels_last():
    assert memory_format(2, CPU) == torch.channels_last
    assert memory_format(3, CUDA) == torch.channels_last_3d
    assert memory_format(3, CPU) == torch.contiguous_format


def test_more_devices_than_processes_names_the_command():
    with pytest.raises(UsageError, match="wants 4 devices, but 1 processes were started") as caught:
        start_fabric(TrainSettings(devices=4))
    assert "torchrun --nproc-per-node 4" in caught.value.fix


def test_determinism_ends_with_its_block_also_when_it_fails():
    def fail():
        with deterministic(True):
            assert torch.are_deterministic_algorithms_enabled()
            assert not torch.utils.deterministic.fill_uninitialized_memory
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory
    with deterministic(False):
        assert not torch.are_deterministic_algorithms_enabled()


def test_bf16_weights_stay_in_fp32(tiny, tmp_path):
    run = tiny(precision="bf16", identity={"train.precision": "bf16"}, steps=3)
    seen = []
    run.task.network.register_forward_hook(lambda _m, _i, output: seen.append(output.dtype))
    result = fit(run.task, run.recipe, tmp_path)
    assert torch.bfloat16 in seen
    assert result.precision == "bf16"
    assert {p.dtype for p in run.task.network.parameters()} == {torch.float32}
