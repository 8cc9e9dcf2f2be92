"""A training that is killed and resumed ends with the same bytes as one that is not."""

import os
import random
import signal

import pytest
import torch

from segclf.segment import train_segmenter
from segclf.training import checkpoints, loop

ARTEFACTS = ("model.safetensors", "model.json", "metrics.jsonl")
STEPS = 12
LONG_STEPS = 24


@pytest.fixture(autouse=True)
def one_thread():
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def straight(drawn, tmp_path):
    folder = train_segmenter(*drawn(), tmp_path / "straight")
    return {name: (folder / name).read_bytes() for name in ARTEFACTS}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def train_until_killed(arguments, folder, *, kill) -> bool:
    """Train in a process of its own that `kill` has prepared to die; whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            kill()
            train_segmenter(*arguments, folder, resume=True)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def at_step(step):
    """Die in the middle of the step after `step` steps: before it is counted."""

    def kill():
        real = loop._step

        def last_step(training, batch):
            real(training, batch)
            if training.progress.step == step:
                die()

        loop._step = last_step

    return kill


def check_resumed(drawn, folder, straight):
    train_segmenter(*drawn(), folder, resume=True)
    assert {name: (folder / name).read_bytes() for name in ARTEFACTS} == straight


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_killed_again_and_again_ends_with_the_same_bytes(
    drawn, tmp_path, straight, workers
):
    for step in sorted(random.Random(workers).sample(range(STEPS), 3)):
        arguments = drawn(train={"workers": workers})
        assert train_until_killed(arguments, tmp_path / "killed", kill=at_step(step))
    check_resumed(drawn, tmp_path / "killed", straight)


@pytest.mark.nightly
@pytest.mark.parametrize("workers", [0, 2])
def test_a_kill_at_any_of_twenty_random_steps_changes_nothing(drawn, tmp_path, workers):
    """Nightly, for its time: 20 different steps of 24, each killed and resumed by itself."""
    long = {"steps": LONG_STEPS}
    folder = train_segmenter(*drawn(train=long), tmp_path / "straight")
    straight = {name: (folder / name).read_bytes() for name in ARTEFACTS}
    steps = random.Random(workers).sample(range(LONG_STEPS), 20)
    assert len(set(steps)) == 20
    for step in steps:
        folder = tmp_path / f"killed{step}"
        arguments = drawn(train={**long, "workers": workers})
        assert train_until_killed(arguments, folder, kill=at_step(step))
        train_segmenter(*drawn(train=long), folder, resume=True)
        assert {name: (folder / name).read_bytes() for name in ARTEFACTS} == straight, step


def test_ctrl_c_that_reaches_the_workers_too_changes_nothing(drawn, tmp_path, straight):
    """A terminal sends Ctrl-C to every process of the group."""
    folder = tmp_path / "stopped"
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setsid()
            real = loop._step

            def step(training, batch):
                real(training, batch)
                if training.progress.step == 6:
                    os.killpg(0, signal.SIGINT)

            loop._step = step
            train_segmenter(*drawn(train={"workers": 2}), folder)
        except KeyboardInterrupt:
            code = 130
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130
    assert (folder / "checkpoints/LATEST").read_text() == "step-00000007\n"
    check_resumed(drawn, folder, straight)


@pytest.mark.parametrize("final_name", ["step-00000008", "LATEST"])
def test_a_kill_while_a_checkpoint_is_written_changes_nothing(
    drawn, tmp_path, straight, final_name
):
    """Die just before the folder gets its name, or just before LATEST names the folder."""

    def kill():
        real = os.replace
        names = []

        def replace(source, target):
            names.append(os.path.basename(target))
            if "step-00000008" in names and names[-1] == final_name:
                die()
            real(source, target)

        checkpoints.os.replace = replace

    assert train_until_killed(drawn(), tmp_path / "killed", kill=kill)
    left = {path.name for path in (tmp_path / "killed/checkpoints").iterdir()}
    assert ("step-00000008" in left) == (final_name == "LATEST")
    assert (tmp_path / "killed/checkpoints/LATEST").read_text() == "step-00000005\n"
    check_resumed(drawn, tmp_path / "killed", straight)


def test_a_damaged_latest_checkpoint_is_passed_over_with_a_warning(drawn, tmp_path, straight):
    folder = tmp_path / "killed"
    assert train_until_killed(drawn(), folder, kill=at_step(10))
    with open(folder / "checkpoints/step-00000010/optimizer.safetensors", "r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\xff")
    events = []
    train_segmenter(*drawn(), folder, resume=True, on_event=events.append)
    (message,) = [event["message"] for event in events if event.get("about") == "checkpoint"]
    assert "step-00000010" in message
    assert "optimizer.safetensors has another SHA-256" in message
    assert message.endswith("resuming from step 8")
    assert {name: (folder / name).read_bytes() for name in ARTEFACTS} == straight
