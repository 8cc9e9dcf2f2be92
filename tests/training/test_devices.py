"""Two processes train as one: gloo on the CPU, started as torchrun starts them."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap

import pytest
import safetensors.torch
import torch
from torch import nn

from segclf.training import fit


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def in_two_ranks(work) -> list[int]:
    """Exit codes of two processes that call `work(rank)` in a process group."""
    port, children = free_port(), []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.alarm(100)  # ranks that wait for each other forever are ended
                torch.set_num_threads(1)
                os.environ |= {
                    "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                    "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "test",
                    "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
                }  # fmt: skip
                work(rank)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def plain_network() -> nn.Module:
    """No batch norm and no dropout, so that a shared batch is the same as a whole one."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))


def test_two_ranks_end_where_one_process_ends(tiny, tmp_path):
    single = tiny(network=plain_network(), ema=0.5)
    result = fit(single.task, single.recipe, tmp_path / "one")

    def work(rank):
        run = tiny(network=plain_network(), ema=0.5, devices=2)
        events = []
        shared = fit(run.task, run.recipe, tmp_path / "two", on_event=events.append)
        assert bool(events) == (rank == 0)
        weights = {name: t.contiguous() for name, t in run.task.network.state_dict().items()}
        safetensors.torch.save_file(weights, tmp_path / f"rank{rank}.safetensors")
        (tmp_path / f"rank{rank}.json").write_text(json.dumps(dataclasses.asdict(shared)))

    assert in_two_ranks(work) == [0, 0]
    first, second = (
        safetensors.torch.load_file(tmp_path / f"rank{rank}.safetensors") for rank in range(2)
    )
    for name, expected in single.task.network.state_dict().items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], expected, rtol=1e-4, atol=1e-6)
    shared = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
    assert shared[0] == shared[1]
    assert shared[0]["best_step"] == result.best_step
    assert shared[0]["validation"]["auroc"] == result.validation["auroc"]
    assert shared[0]["validation"]["loss"] == pytest.approx(result.validation["loss"], rel=1e-4)
    one, two = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    assert [line["step"] for line in one] == [line["step"] for line in two]
    assert two[-2]["loss"] == pytest.approx(one[-2]["loss"], rel=1e-4)


def test_a_nan_on_one_rank_stops_both(tiny, tmp_path):
    def work(rank):
        def poison(batch):
            if batch.step == 5 and rank == 1:
                return dataclasses.replace(batch, image=batch.image * float("nan"))
            return batch

        run = tiny(network=plain_network(), devices=2, poison=poison)
        try:
            fit(run.task, run.recipe, tmp_path / "run")
        except Exception as error:
            (tmp_path / f"rank{rank}.txt").write_text(f"{type(error).__name__}: {error}")

    assert in_two_ranks(work) == [0, 0]
    for rank in range(2):
        text = (tmp_path / f"rank{rank}.txt").read_text()
        assert text.startswith("StoppedError: the loss is nan at step 6")
        assert "the last good state is step-00000004" in text


@pytest.mark.nightly
def test_torchrun_starts_both_ranks(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent("""
        import sys
        import torch
        from segclf.core.settings import TrainSettings
        from segclf.training.runtime import start_fabric

        fabric = start_fabric(TrainSettings(devices=2))
        mine = fabric.to_device(torch.tensor(fabric.global_rank + 1.0))
        sys.exit(0 if float(fabric.all_reduce(mine, reduce_op="sum")) == 3.0 else 1)
        """)
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(script)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
