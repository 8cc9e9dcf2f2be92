"""Coarse masks through the commands: trained as they are, as full ones, refined; never as truth."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from segclf.cli import app
from segclf.core.errors import UsageError
from segclf.core.statstable import read_statistics
from segclf.phantom import PhantomSettings, write_phantom

TINY = [
    "--set", "train.steps=2", "--set", "train.batch_size=4", "--set", "train.validate_every=2",
    "--set", "train.warmup_steps=1", "--set", "network={name: monai_unet, options: {channels: "
    "[8, 16], strides: [2]}}",
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a phantom whose training masks are of two kinds; and three runs."""
    home = tmp_path_factory.mktemp("coarse")
    sizes = {"train": 20, "val": 16, "test": 16}
    data = {"n_cases": sizes, "size_px": (32, 32), "area_fraction": 0.02, "area_spread": 0.1}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr("os.fsync", lambda _descriptor: None)
        write_phantom(home / "data", PhantomSettings.model_validate(data))
        table = pd.read_csv(home / "data/manifest.csv")
        drawn = table["mask"].notna()
        number = drawn.groupby(table["split"]).cumsum()
        table["mask_kind"] = np.where(drawn & (number % 2 == 0), "dilated:1", "")
        table.to_csv(home / "data/manifest.csv", index=False)
        config = ["--config", "data/recipe.yaml", *TINY]
        for name, more in (
            ("band", []),
            ("strict", ["--strict-coarse"]),
            ("fine", ["--refine-from", "strict"]),
        ):
            result = CliRunner().invoke(app, ["train-seg", *config, "--run", name, *more])
            assert result.exit_code == 0, result.output
        yield home, table


def test_check_counts_masks_by_kind(home, monkeypatch):
    folder, table = home
    monkeypatch.chdir(folder)
    command = ["check", "data/manifest.csv", "--config", "data/recipe.yaml"]
    result = CliRunner().invoke(app, command)
    n_dilated = int((table["mask_kind"] == "dilated:1").sum())
    n_full = int(table["mask"].notna().sum()) - n_dilated
    assert f"drawn as    {n_dilated} dilated, {n_full} full" in result.output


def test_identity_and_card_say_how_the_masks_were_taken(home):
    folder, _ = home

    def read(name, file):
        return json.loads((folder / "runs" / name / "segment" / file).read_text())

    used = {
        name: {k: v for k, v in read(name, "identity.json").items() if "coarse" in k or "ref" in k}
        for name in ("band", "strict", "fine")
    }
    strict = read("strict", "model.json")["sha256"]
    assert used["band"] == {}
    assert used["strict"] == {"segment.strict_coarse": True}
    assert used["fine"] == {"segment.refine_from": f"sha256:{strict}"}
    assert read("fine", "model.json")["init_from"] == {"run": "strict", "sha256": strict}


def test_predictions_know_the_truth_of_full_masks_alone(home):
    folder, table = home
    statistics = read_statistics(folder / "runs/band/predict/own").frame
    known = statistics.set_index("case_id")["true_px"].notna()
    coarse = table.set_index("case_id").loc[known.index, "mask_kind"] == "dilated:1"
    assert coarse.any()
    assert (known == ~coarse).all()


def test_a_run_is_not_refined_from_itself_or_from_nothing(home, monkeypatch):
    monkeypatch.chdir(home[0])
    command = ["train-seg", "--config", "data/recipe.yaml", *TINY]
    result = CliRunner().invoke(app, [*command, "--run", "a", "--refine-from", "a"])
    assert isinstance(result.exception, UsageError)
    assert "the run 'a' would be refined from itself" in str(result.exception)
    result = CliRunner().invoke(app, [*command, "--run", "a", "--refine-from", "nowhere"])
    assert isinstance(result.exception, UsageError)
    assert "has no trained segmenter" in str(result.exception)
    assert "segment.refine_from = 'nowhere'" in str(result.exception)
