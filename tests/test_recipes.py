"""Every recipe in configs/ fits the settings, says how to run it, and reads its data."""

import json
import os
import re
from pathlib import Path

import pytest

from segclf.core.config import load_recipe
from segclf.manifest import make_split, read_fold_file, read_manifest

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


def test_there_are_recipes():
    assert {path.stem for path in CONFIGS} >= {
        "ct_ich_2d", "busi_lesion", "busi_malignant", "ct_ich_3d",
    }  # fmt: skip


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_recipe_fits_the_settings_and_its_name(path):
    assert load_recipe(path).name == path.stem


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_recipe_opens_with_its_command_and_what_to_expect(path):
    header = "".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    assert f"--config configs/{path.name}" in header


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_numbers_in_a_header_are_those_of_the_results(path):
    header = "".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    entry = json.loads((ROOT / "docs" / "results.json").read_text()).get(path.stem)
    if entry is None:  # measured by a study of its own, which keeps its numbers
        assert "AUROC" not in header or "no AUROC" in header
        assert "segclf.study.experiments" in header
        return
    measured = {row["method"]: row["estimate"] for row in entry["metrics"] if is_main(row, entry)}
    stated = re.search(r"AUROC (.*?) \(docs/results\.md\)", " ".join(header.split("#")))
    assert stated is not None
    pairs = dict(pair.rsplit(maxsplit=1) for pair in " ".join(stated[1].split()).split(", "))
    assert pairs == {method: f"{value:.3f}" for method, value in measured.items()}
    dice = next(
        row["estimate"]
        for row in entry["overlap"]
        if (row["metric"], row["finding"]) == ("dice", entry["findings"][0])
    )
    assert f"Dice on positives {dice:.3f}" in " ".join(header.replace("#", " ").split())
    assert entry["steps"] == load_recipe(path).train.steps


def is_main(row, entry):
    return row["metric"] == "auroc" and row["finding"] == entry["findings"][0]


@pytest.mark.realdata
@pytest.mark.skipif("SEGCLF_REALDATA" not in os.environ, reason="SEGCLF_REALDATA is not set")
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_recipe_reads_its_real_manifest_and_splits_its_patients(path):
    recipe = load_recipe(path)
    table = read_manifest(recipe, base=path.parent)
    folds = read_fold_file(recipe, base=path.parent)
    split = make_split(table, recipe.split, recipe.seed, fold_table=folds)
    assert len(split) == 5 * len(table.cases)
    parts = split.groupby(["fold", "patient_id"])["split"].nunique()
    assert parts.max() == 1  # no patient is in two parts of a fold
