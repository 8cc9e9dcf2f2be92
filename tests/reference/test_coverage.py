"""The simulated coverage of the intervals and errors of the tests still hold for the code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["coverage", "errors"])
def test_a_few_cells_drawn_anew_are_compatible_with_the_table(name):
    call = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--quick"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        call, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["ok"]


def test_every_judged_cell_of_the_table_lies_within_its_goal():
    table = json.loads((ROOT / "docs" / "coverage.json").read_text())
    cells = {
        f"{n}/{9 * n} patients, AUROC {auroc}, ICC {icc}, {labels} labels"
        for n in (10, 50, 200)
        for auroc in (0.85, 0.95)
        for icc in (0.5, 0.8)
        for labels in ("constant", "mixed")
    }
    found = {key: table["auroc"][key] for key in cells}
    assert len(found) == 24
    for key, cell in found.items():
        assert 0.925 <= cell["rate"] <= 0.975, key
        assert cell["n_draws"] >= 5000
