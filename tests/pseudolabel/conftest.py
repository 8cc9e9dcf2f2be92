"""A tiny trained run, on whose copies pseudo-masks are made."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from segclf import pipeline
from segclf.experiment import new_experiment, open_experiment
from segclf.phantom import PhantomSettings, write_phantom

TINY = (
    "train.steps=12",
    "train.batch_size=4",
    "train.validate_every=12",
    "train.checkpoint_every=12",
    "train.warmup_steps=1",
    "train.lr=3e-3",
    "predict.part_size=6",
    "predict.batch_size=4",
    "predict.precision=fp32",
)


@pytest.fixture(autouse=True)
def _one_thread():
    """Results are equal bit by bit only for one number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run whose manifest lacks most masks of positive training cases, and some labels."""
    home = tmp_path_factory.mktemp("pseudo")
    sizes = {"train": 20, "val": 12, "test": 12}
    settings = {"n_cases": sizes, "size_px": (32, 32), "area_fraction": 0.03, "area_spread": 0.1}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr("os.fsync", lambda _descriptor: None)
        write_phantom(home / "data", PhantomSettings.model_validate(settings))
        table = pd.read_csv(home / "data/manifest.csv", dtype={"label": "Int64"})
        train = table.index[table["split"] == "train"]
        positive = [i for i in train if table.loc[i, "label"] == 1]
        table.loc[positive[3:], "mask"] = None
        negative = [i for i in train if table.loc[i, "label"] == 0]
        table.loc[[*positive[-2:], *negative[-2:]], "label"] = pd.NA
        table.loc[negative, "mask"] = None
        table["n_findings"] = [1 if i in positive else 0 for i in table.index]
        table.to_csv(home / "data/manifest.csv", index=False)
        exp = new_experiment(home / "data/recipe.yaml", None, None, TINY)
        pipeline.train_seg(exp, lambda _event: None)
    return home


@pytest.fixture
def exp(trained, tmp_path, monkeypatch):
    """A copy of the trained run, in a folder of its own."""
    shutil.copytree(trained, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    (run,) = Path("runs").iterdir()
    from segclf.core.runs import Run

    return open_experiment(Run(run))
