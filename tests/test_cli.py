"""The command line: help, exit codes, errors for people."""

import json
import re
import subprocess
import sys

import pytest
from typer.main import get_command

from segclf.cli import app
from segclf.options import start_from

COMMANDS = (
    "demo", "doctor", "init", "check", "split", "import", "export-dataset", "train-seg",
    "train-clf", "enroll", "predict", "summarize", "calibrate", "infer-classes", "export-masks",
    "pseudo-label", "eval-subgroups", "report", "compare", "study", "advise",
)  # fmt: skip


def segclf(*arguments, cwd=None, env=None):
    return subprocess.run(
        [sys.executable, "-m", "segclf", *arguments], capture_output=True, text=True, cwd=cwd
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_an_example(command):
    result = segclf(command, "--help")
    assert result.returncode == 0
    assert f"Example: segclf {command}" in result.stdout


def test_help_lists_every_command():
    listed = re.findall(r"^  ([a-z][a-z-]+)  ", segclf("--help").stdout, flags=re.M)
    assert listed == list(COMMANDS)


def test_an_unknown_command_suggests_near_ones_and_is_a_usage_error():
    result = segclf("train-sg")
    assert result.returncode == 2
    assert "train-seg" in result.stderr


def test_an_unknown_option_is_a_usage_error_without_traceback():
    result = segclf("doctor", "--frobnicate")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_an_unknown_setting_names_the_near_one(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("train: {stepz: 3}\n")
    result = segclf("train-seg", "--config", str(recipe), cwd=tmp_path)
    assert result.returncode == 2
    assert "unknown setting 'train.stepz'" in result.stderr
    assert "did you mean 'steps'?" in result.stderr
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback(tmp_path):
    result = segclf("train-seg", "--config", "nothing.yaml", "--debug", cwd=tmp_path)
    assert result.returncode == 2
    assert "Traceback" in result.stderr


def test_a_later_stage_without_a_run_says_what_to_run_first(tmp_path):
    result = segclf("summarize", "--rule", "tau", cwd=tmp_path)
    assert result.returncode == 2
    assert "fix:      run: segclf train-seg" in result.stderr


def test_a_folder_with_data_is_not_taken_for_an_empty_one(tmp_path):
    (tmp_path / "manifest.csv").write_text("image,label\n")
    result = segclf("train-seg", cwd=tmp_path)
    assert result.returncode == 2
    assert "manifest.csv" in result.stderr
    assert not (tmp_path / "phantom").exists()


def test_doctor_answers_in_json_with_versions_and_no_problem():
    result = segclf("doctor", "--json")
    facts = json.loads(result.stdout)
    assert result.returncode == 0
    assert facts["problems"] == []
    assert set(facts["versions"]) >= {"torch", "torchvision", "segclf", "python"}
    assert {"devices", "threads", "bf16_in_hardware", "amx"} <= set(facts["torch"])


def test_doctor_names_the_fix_of_a_torchvision_that_does_not_fit():
    from segclf.doctor import mismatch_message

    text = mismatch_message("RuntimeError: operator torchvision::nms does not exist")
    assert "come from different sources" in text
    assert re.search(r"pip install --force-reinstall torch==[\d.]+ torchvision==[\d.]+$", text)


def test_init_recipe_writes_every_setting_with_its_explanation(tmp_path):
    from segclf.core.config import Recipe, load_recipe

    assert segclf("init", "recipe", "my.yaml", cwd=tmp_path).returncode == 0
    text = (tmp_path / "my.yaml").read_text()
    assert load_recipe(tmp_path / "my.yaml") == Recipe()
    assert "# Share of each batch drawn from cases with a positive label" in text
    assert segclf("init", "recipe", "my.yaml", cwd=tmp_path).returncode == 2  # never overwrites


def test_pretrained_is_one_setting_for_both_networks_and_a_file_is_found_from_here(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "encoder.safetensors").touch()
    assert start_from(None) == []
    assert start_from("imagenet") == ["network.pretrained=imagenet"]
    assert start_from("encoder.safetensors") == [
        f"network.pretrained={tmp_path / 'encoder.safetensors'}"
    ]
    for command in ("train-seg", "train-clf"):
        options = {o for p in get_command(app).commands[command].params for o in p.opts}
        assert "--pretrained" in options
