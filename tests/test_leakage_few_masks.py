"""Test cases never enter what is made with few masks: rounds, pseudo-masks and advice."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from segclf.cli import app
from segclf.experiment import new_experiment
from segclf.phantom import PhantomSettings, write_phantom

SIZES = {"train": 16, "val": 12, "test": 12}
SETTINGS = (
    "train.steps=2", "train.batch_size=4", "train.validate_every=2", "train.warmup_steps=1",
    "network.options={encoder_depth: 3, decoder_channels: [16, 8, 4]}", "predict.precision=fp32",
)  # fmt: skip
STAMPS = ("run.json", "cost.json", "identity.json", "part-00000.json")
"""Files that hold times, or a hash of the whole manifest."""
SEES_TEST = ("predict/own/", "summarize/")
"""Of the run itself: predictions and scores of its test cases as well."""


def segclf(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code in (0, 4), result.exception  # 4: NaN images were set aside, and said
    return result.stdout


def made_in(home: Path, *, nan_test: bool) -> dict[str, bytes | str]:
    """Everything that the commands for few masks write and print."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr("os.fsync", lambda _descriptor: None)
        data = {"n_cases": SIZES, "size_px": (32, 32), "missing_masks": 0.5}
        write_phantom(home / "data", PhantomSettings.model_validate(data))
        new_experiment(home / "data/recipe.yaml", None, "few", SETTINGS)  # makes the split
        if nan_test:
            _spoil(home / "data")
        sets = [word for setting in SETTINGS for word in ("--set", setting)]
        recipe = ("--config", "data/recipe.yaml", "--run", "few", *sets)
        segclf("train-seg", *recipe, "--semi", "pseudo")
        segclf("pseudo-label", "--run", "few", "--filter", "none")
        advice = segclf("advise", "--run", "few", "--json")
        following = segclf("advise", "--run", "few", "--next", "3", "--json")
        run = home / "runs/few"
        files = {
            path.relative_to(run).as_posix(): path.read_bytes()
            for path in run.rglob("*")
            if path.is_file() and path.name not in STAMPS
        }
        files = {name: data for name, data in files.items() if not name.startswith(SEES_TEST)}
        fits = json.loads((run / "summarize/tau/summarizer.json").read_text())["fits"]
        return files | {"fits": json.dumps(fits), "advise": advice, "next": following}


def _spoil(folder: Path) -> None:
    """Images and masks of the test split are NaN at every pixel, labels are not known."""
    table = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    for row in table.index[table["split"] == "test"]:
        for column, shape in (("image", (1, 32, 32)), ("mask", (32, 32))):
            if table.loc[row, column]:
                name = str(Path(str(table.loc[row, column])).with_suffix(".npz"))
                np.savez(folder / name, **{column: np.full(shape, np.nan)})
                table.loc[row, column] = name
        table.loc[row, "label"] = ""
    table.to_csv(folder / "manifest.csv", index=False)


def test_nan_images_masks_and_labels_in_test_change_no_byte(tmp_path_factory):
    clean = made_in(tmp_path_factory.mktemp("clean"), nan_test=False)
    spoiled = made_in(tmp_path_factory.mktemp("spoiled"), nan_test=True)
    kinds = ("segment/model.safetensors", "side.csv", "ledger.csv", ".png", "next.csv")
    for kind in kinds:
        assert any(name.endswith(kind) for name in clean), kind
    assert "rounds/0/segment/model.safetensors" in clean
    assert len(json.loads(str(clean["next"]))["next"]) == 3
    assert clean.keys() == spoiled.keys()
    assert [name for name in clean if clean[name] != spoiled[name]] == []
