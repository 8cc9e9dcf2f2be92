"""How a command ends when it is interrupted: what is said, and the exit code."""

import signal
import subprocess
import sys

import pytest

from segclf.__main__ import _interrupted

STAND_INS = """
import sys, time, types

def wait(*_arguments, **_options):
    print("ready", flush=True)
    time.sleep(60)

class Stage(types.ModuleType):
    def __getattr__(self, _name):
        return wait

for name in ("starting", "experiment", "demo", "reporting", "doctor"):
    sys.modules[f"segclf.{name}"] = Stage(name)
from segclf.__main__ import main
main()
"""
"""The command line itself, with stages that only wait."""

SAYS = {
    "check m.csv": "nothing was kept, run it again",
    "report": "nothing was kept, run it again",
    "init phantom new": "remove what it wrote and run it again",
    "enroll --class x --images x": "run it again; with folds use --fold for each that lacks the "
    "class",
    "predict": "the same command continues",
    "pseudo-label": "the same command continues",
    "demo": "the same command continues",
    "train-seg": "--resume continues",
    "train-clf": "--resume continues",
}


def interrupted(command: str, number: signal.Signals) -> tuple[int, str]:
    """Exit code and last words of a command that gets a signal while a stage works."""
    arguments = [sys.executable, "-c", STAND_INS, *command.split()]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    return process.returncode, errors


@pytest.mark.parametrize("command", SAYS)
def test_ctrl_c_says_what_to_do_about_this_command(command):
    code, errors = interrupted(command, signal.SIGINT)
    assert errors.splitlines()[-1:] == [f"segclf: interrupted; {SAYS[command]}"]
    assert code == 130


@pytest.mark.parametrize("command", ["check m.csv", "train-seg"])
def test_sigterm_says_the_same_and_has_its_own_code(command):
    code, errors = interrupted(command, signal.SIGTERM)
    assert errors.splitlines()[-1:] == [f"segclf: interrupted; {SAYS[command]}"]
    assert code == 143


def test_a_trained_rule_continues_its_fit():
    assert _interrupted(["summarize", "--rule", "fc"]) == "interrupted; the same command continues"
    assert _interrupted(["study", "shortcut"]) == "interrupted; the same command continues"
