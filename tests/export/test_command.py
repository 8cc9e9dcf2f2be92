"""`segclf export-masks`: its words, its exit codes, and being killed."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pandas as pd
from typer.testing import CliRunner

from segclf.cli import app
from segclf.core.errors import ConfigError, UsageError

RUN = ["export-masks", "--run", "r"]


def call(*words, error=None):
    """Run the command in this process; returns (exit code, output)."""
    result = CliRunner().invoke(app, [*RUN, *words])
    if error is not None:
        assert isinstance(result.exception, error), result.output
        return result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_the_command_writes_dicom_objects_and_says_where(volumes, copied, inside):
    exp = copied(volumes[0])
    with inside(exp):
        code, output = call("--format", "dicom", "--json")
        assert code == 0, output
        answer = json.loads(output[output.index("{") : output.rindex("}") + 1])
        assert answer["wrote"] == "runs/r/export/tau/dicom"
        table = pd.read_csv("runs/r/export/tau/dicom/index.csv")
    assert len(table) == 4 * 2
    assert set(table["unit"]) == {"mL"}
    assert table["seg"].notna().all()


def test_cases_that_have_no_dicom_series_are_set_aside_and_the_exit_code_says_so(
    volumes, copied, inside
):
    exp = copied(volumes[0])
    with inside(exp):
        (exp.run.path / "../../all").resolve().mkdir()
        shutil.copytree("ct8", "all/case_8-x")
        code, output = call("--format", "dicom", "--series", "all")
        lines = (exp.run.path / "export/tau/dicom/quarantine.jsonl").read_text().splitlines()
    assert code == 4
    assert "4 cases set aside" in output
    assert {json.loads(line)["reason"] for line in lines} == {"missing_file"}
    assert "CANARY" not in output + "".join(lines)


def test_options_without_effect_and_unknown_words_are_refused(volumes, inside):
    with inside(volumes[0]):
        error = call("--format", "png", "--fractional", error=UsageError)
        assert "add --format dicom" in str(error)
        error = call("--format", "nift", error=UsageError)
        assert "did you mean 'nifti'" in str(error)
        error = call("--rule", "max", error=UsageError)
        assert "segclf summarize --rule max" in str(error)
        error = call("--set", "export.codes.lesion=hemorage", error=ConfigError)
        assert "did you mean 'hemorrhage'" in str(error)


CHILD = """
import sys, time
from segclf.core.runs import Run
from segclf.experiment import open_experiment
from segclf.export import Asked, dicom, export
from pathlib import Path
run, out = map(Path, sys.argv[1:])
save = dicom._save
def slow(dataset, path):
    save(dataset, path)
    print(path.name, flush=True)
    time.sleep(0.5)
dicom._save = slow
export(open_experiment(Run(run)), Asked("tau"), kind="dicom", out=out, on_event=lambda event: None)
"""


def test_a_command_that_was_killed_leaves_whole_files_and_goes_on(volumes, tmp_path):
    from segclf.export import Asked, export

    exp, out = volumes[0], tmp_path / "out"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(exp.run.path), str(out)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert child.stdout is not None
    seen = [child.stdout.readline().strip() for _ in range(3)]  # the second case has its seg alone
    assert seen == ["seg.dcm", "sr.dcm", "seg.dcm"]
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert len(list(out.glob("*/case.json"))) == 1
    assert not (out / "index.csv").exists()
    (whole,) = (path.parent for path in out.glob("*/case.json"))
    before = (whole / "seg.dcm").read_bytes()
    result = export(exp, Asked("tau"), kind="dicom", out=out, on_event=lambda event: None)
    assert (result.n_cases, result.n_made) == (4, 3)
    assert (whole / "seg.dcm").read_bytes() == before
    assert len(pd.read_csv(out / "index.csv")) == 8
    for folder in out.glob("*/"):
        assert {path.name for path in folder.iterdir()} == {"seg.dcm", "sr.dcm", "case.json"}
