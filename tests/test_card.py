"""The three commands of the design card, as a user types them, on a small phantom."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from segclf.experiment import PHANTOM
from segclf.phantom import PhantomSettings, write_phantom

FAST = {"steps": 4, "batch_size": 4, "validate_every": 2, "checkpoint_every": 2, "warmup_steps": 1}


def segclf(folder, *words):
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    call = [sys.executable, "-m", "segclf", *words]
    root = str(Path(__file__).parents[1])
    env = os.environ | threads | {"PYTHONPATH": root}
    return subprocess.run(
        call, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder whose phantom is small and has a recipe of a few steps."""
    folder = tmp_path_factory.mktemp("card")
    sizes = {"train": 16, "val": 16, "test": 24}
    settings = {"n_cases": sizes, "size_px": (32, 32), "area_fraction": 0.02, "area_spread": 0.1}
    write_phantom(folder / PHANTOM, PhantomSettings.model_validate(settings))
    recipe = folder / PHANTOM / "recipe.yaml"
    plain = yaml.safe_load(recipe.read_text())
    plain["train"] |= FAST
    recipe.write_text(yaml.safe_dump(plain))
    return folder


COMMANDS = [
    (("train-seg",), "wrote runs/phantom/segment", "next: segclf summarize --rule tau"),
    (
        ("summarize", "--rule", "tau"),
        "wrote runs/phantom/summarize/tau",
        "next: segclf eval-subgroups",
    ),
    (("eval-subgroups",), "wrote runs/phantom/evaluate", "next: segclf report"),
    (("report",), "wrote runs/phantom/report/index.html", "next: open it in a browser"),
    (
        ("train-clf", "--run", "phantom"),
        "wrote runs/phantom/classify/sigmoid",
        "next: segclf eval-subgroups --run phantom",
    ),
]


def test_the_commands_run_in_order_and_end_with_what_was_written_and_what_comes_next(folder):
    for words, wrote, then in COMMANDS:
        done = segclf(folder, *words)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-2:] == [wrote, then]
        assert done.stderr.splitlines()[0] == "data: phantom (synthetic) · run: runs/phantom"
        assert (folder / wrote.removeprefix("wrote ")).exists()
    # the classifier's scores are newer than the evaluation, so the page would mix the two
    stale = segclf(folder, "report", "--run", "phantom")
    assert stale.returncode == 2
    assert "classify/sigmoid/scores.parquet" in stale.stderr
    assert "run: segclf eval-subgroups --run phantom" in stale.stderr
    again = segclf(folder, "train-seg")
    assert again.returncode == 2
    assert "--resume" in again.stderr
    for words in (("eval-subgroups", "--run", "phantom"), ("report", "--run", "phantom")):
        assert segclf(folder, *words).returncode == 0
    page = (folder / "runs/phantom/report/index.html").read_text()
    assert "the thresholds were fitted on cases of the split" in page
    assert "tube equals" in page


def test_a_wrong_group_a_wrong_bin_and_a_wrong_run_are_four_lines_each(folder):
    for words, says in (
        (("eval-subgroups", "--by", "sexx"), "did you mean 'sex'"),
        (("eval-subgroups", "--by", "age_years:[0,40"), "ascending intervals"),
        (("eval-subgroups", "--shortcut", "tub"), "did you mean 'tube'"),
        (("eval-subgroups", "--scores", "no.csv"), "cannot be read"),
        (("summarize", "--run", "phantm"), "did you mean 'phantom'"),
        (("summarize", "--rule", "tua"), "did you mean 'tau'"),
    ):
        done = segclf(folder, *words)
        assert done.returncode in (2, 3), done.stderr
        assert says in done.stderr
        assert "Traceback" not in done.stderr


def test_an_image_that_cannot_be_read_is_set_aside_and_the_exit_code_says_so(folder):
    table = pd.read_csv(folder / PHANTOM / "manifest.csv")
    name = table.query("split == 'train'")["image"].iloc[0]
    image = folder / PHANTOM / name
    whole = image.read_bytes()
    image.write_bytes(whole[:60])
    for words in (("train-seg", "--run", "damaged"), ("train-clf", "--run", "damaged")):
        done = segclf(folder, *words, "--config", f"{PHANTOM}/recipe.yaml")
        assert done.returncode == 4, done.stderr
        assert "1 case set aside" in done.stderr
        assert done.stdout.splitlines()[-2].startswith("wrote runs/damaged/")
    image.write_bytes(whole)
