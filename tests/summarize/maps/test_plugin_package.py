"""The example package of docs/extend is installed, into a folder of its own, and used."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segclf.core.scoretable import read_scores
from segclf.core.statstable import read_statistics
from segclf.io import write_image

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "docs" / "extend" / "example_summarizer"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment of a process that finds the package; nothing else changes."""
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(PACKAGE, folder / "source")  # building leaves files behind
    command = [
        sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index",
        "--disable-pip-version-check", "--no-compile", "--target", folder / "site", source,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder / "site"), str(ROOT)])}


@pytest.fixture
def segclf(installed, tmp_path):
    """Function: run a command of segclf where the package is installed."""

    def run(*arguments):
        command = [sys.executable, "-m", "segclf", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=installed)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_an_installed_rule_and_an_installed_measure_score_maps(segclf, a_folder, tmp_path):
    manifest = a_folder(4)
    steps = [0.1, 0.7, 0.2, 0.9]
    for i, step in enumerate(steps):
        p = np.full((24, 20), 0.04, np.float32)
        p[4:8, 5:9] += step
        write_image(tmp_path / f"maps/c{i}.npz", p[None], spacing_mm=(0.5, 0.5))
    shared = ("--maps", "maps", "--manifest", manifest, "--out", "out", "--json")
    segclf("summarize", "--rule", "edge", *shared)
    assert read_scores(tmp_path / "out/edge")["score"].tolist() == pytest.approx(steps, rel=1e-5)
    assert "edge_per_mm" in read_statistics(tmp_path / "out/statistics").frame
    answer = segclf("summarize", "--rule", "certainty", *shared)
    assert read_scores(tmp_path / answer["wrote"])["score"].tolist() == pytest.approx(
        [0.0, 16 / 480, 0.0, 16 / 480]  # the background of 0.04 is possible everywhere
    )


def test_the_installed_rules_keep_the_contract_of_rules(installed):
    contract = ROOT / "tests" / "contracts" / "test_summarizers.py"
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header",
        "-k", "certainty or edge", contract,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env=installed, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    n_passed = int(re.search(r"(\d+) passed", done.stdout)[1])
    assert n_passed >= 2 * 18  # both rules, in 2D and 3D
