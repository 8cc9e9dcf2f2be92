"""The command `pseudo-label`: what it prints, what it refuses, its exit code."""

import json
import shlex
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from segclf.cli import app
from segclf.core.errors import ConfigError, DataError, UsageError
from segclf.core.runs import Run
from segclf.experiment import open_experiment


def run(*arguments):
    return CliRunner().invoke(app, ["pseudo-label", *arguments])


def test_it_tells_the_counts_of_every_outcome(exp):
    result = run("--run", "phantom", "--filter", "boosted", "--json")
    assert result.exit_code == 0
    value = json.loads(result.stdout)
    assert value["wrote"] == "runs/phantom/pseudolabel/own-boosted"
    (counts,) = value["counts"]
    assert sum(sum(reasons.values()) for reasons in counts["lesion"].values()) == 44
    text = run("--run", "phantom", "--filter", "boosted").stdout
    assert "lesion: held out 24 cases (test 12, val 12)" in text
    assert "read runs/phantom/pseudolabel/own-boosted/ledger.csv" in text


def test_the_command_that_it_names_trains_on_its_masks_with_the_same_split(exp):
    then = json.loads(
        run(
            "--run",
            "phantom",
            "--filter",
            "boosted",
            "--set",
            "pseudolabel.min_confidence=0.5",
            "--json",
        ).stdout
    )["next"]
    read, command = then.split("; ")
    assert read == "read runs/phantom/pseudolabel/own-boosted/ledger.csv"
    program, *arguments = shlex.split(command)
    assert program == "segclf"
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.exception
    trained = open_experiment(Run(Path("runs/phantom-own-boosted")))
    assert (trained.run.path / "segment/model.json").is_file()
    pd.testing.assert_frame_equal(trained.split, exp.split)
    pseudo = {case.case_id for case in trained.table.cases if case.masks[0].is_pseudo}
    side = pd.read_csv(exp.run.path / "pseudolabel/own-boosted/side.csv", dtype=str)
    assert pseudo == set(side.loc[side["mask_source_lesion"] == "pseudo", "case_id"])
    assert len(pseudo) > 3
    sums = {
        json.loads((one.run.path / "segment/model.json").read_text())["sha256"]
        for one in (exp, trained)
    }
    assert len(sums) == 2


def test_bounds_of_the_filter_confidence_are_an_option(exp):
    result = run("--run", "phantom", "--filter", "confidence", "--uncertain", "0.2,0.8")
    assert result.exit_code == 0
    record = json.loads((exp.run.path / "pseudolabel/own-confidence/record.json").read_text())
    assert record["made_by"]["settings"]["uncertain"] == [0.2, 0.8]


def test_bounds_that_do_not_lie_around_a_half_are_refused(exp):
    result = run("--run", "phantom", "--filter", "confidence", "--uncertain", "0.6,0.8")
    assert isinstance(result.exception, ConfigError)
    assert "pseudolabel.uncertain = [0.6, 0.8] does not lie around 0.5" in result.exception.wrong


def test_a_case_that_cannot_be_read_ends_in_exit_code_4(exp):
    case = next(case for case in exp.table.cases if case.masks[0].state == "unknown")
    case.images[0].write_bytes(b"broken")
    result = run("--run", "phantom", "--filter", "none")
    assert result.exit_code == 4
    assert "lesion: quarantined 1 case (unreadable 1)" in result.stdout
    folder = exp.run.path / "pseudolabel/own-none"
    (hint,) = [line for line in result.output.splitlines() if "set aside; why: " in line]
    named = hint.split("why: ")[1].split(", ")
    assert named == ["quarantine.jsonl", "ledger.csv"]
    for name in named:  # each of them tells of the case
        assert case.case_id in (folder / name).read_text()


def test_without_a_run_it_says_what_to_run_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        raise run("--filter", "none").exception
    assert caught.value.fix == "run: segclf train-seg"
    with pytest.raises(UsageError, match="there is no filter called 'bosted'"):
        raise run("--filter", "bosted").exception


@pytest.mark.parametrize(
    "options",
    [
        ["--filter", "none", "--uncertain", "0.2,0.8"],
        ["--filter", "confidence", "--min-confidence", "0"],
    ],
)
def test_an_option_that_the_filter_does_not_read_is_refused(exp, options):
    error = run("--run", "phantom", *options).exception
    assert isinstance(error, UsageError)
    assert f"{options[2]} would have no effect" in str(error)
    assert not exp.run.stage("pseudolabel").exists()


@pytest.mark.parametrize(
    "command", [["pseudo-label"], ["predict"], ["summarize"], ["eval-subgroups"]], ids=str
)
def test_a_manifest_that_is_not_there_is_said_plainly(exp, command):
    arguments = [*command, "--run", "phantom", "--manifest", "nosuch.csv"]
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, DataError)
    assert error.wrong == "the table 'nosuch.csv' cannot be read: No such file or directory."
