"""A tiny trained run, on whose copies pseudo-masks are made."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from segclf import pipeline
from segclf.core.atomic import sha256_of, write_json
from segclf.core.runs import Run
from segclf.experiment import new_experiment, open_experiment
from segclf.networks import build_segmenter
from segclf.phantom import PhantomSettings, write_phantom
from segclf.segment import ModelCard

TINY = (
    "train.steps=12",
    "train.batch_size=4",
    "train.validate_every=12",
    "train.checkpoint_every=12",
    "train.warmup_steps=1",
    "train.lr=3e-3",
    "network.options={encoder_depth: 3, decoder_channels: [16, 8, 4]}",
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
        pipeline.summarize_masks(exp, "tau")
    return home


@pytest.fixture
def exp(trained, tmp_path, monkeypatch):
    """A copy of the trained run, in a folder of its own."""
    shutil.copytree(trained, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    (run,) = Path("runs").iterdir()
    return open_experiment(Run(run))


@pytest.fixture
def untrained(tmp_path, monkeypatch):
    """Begin a run on the manifest in a folder, with random weights and fitted t and tau."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)

    def begin(settings, *, n_channels=1, cut=(0.5, 2.0, "px")):
        exp = new_experiment(None, tmp_path / "manifest.csv", "made", [*TINY, *settings])
        for fold in exp.folds():
            _write_model(exp, exp.run.stage("segment", fold=fold), n_channels, seed=fold or 0)
            _write_cuts(exp, fold, cut)
        write_json(exp.run.stage("summarize", "tau") / "summarizer.json", {"fits": _fits(exp, cut)})
        return exp

    return begin


def _write_model(exp, folder, n_channels, seed):
    recipe, findings = exp.recipe, exp.table.findings
    n_outputs = len(findings) + int(recipe.exclusive)
    torch.manual_seed(seed)
    network = build_segmenter(
        recipe.network, n_channels=n_channels, n_outputs=n_outputs,
        spatial_dims=recipe.image.spatial_dims,
    )  # fmt: skip
    folder.mkdir(parents=True)
    save_file(network.state_dict(), folder / "model.safetensors")
    card = ModelCard(
        kind="segment", data="user", findings=findings, exclusive=recipe.exclusive,
        n_channels=n_channels, n_outputs=n_outputs, spatial_dims=recipe.image.spatial_dims,
        size_px=None, network=recipe.network, image=recipe.image, seed=0, fold=None,
        n_train=1, n_val=1, n_quarantined=0, n_steps=1, best_step=1, select_by="auroc",
        precision="fp32", validation={}, sha256=sha256_of(folder / "model.safetensors"),
        recipe=recipe.model_dump(mode="json"), versions={},
    )  # fmt: skip
    (folder / "model.json").write_text(card.model_dump_json())


def _write_cuts(exp, fold, cut):
    """What is looked at of predictions of validation cases: that they are there, and whose."""
    folder = exp.run.stage("predict", "own", fold=fold)
    sha256 = sha256_of(exp.run.stage("segment", fold=fold) / "model.safetensors")
    write_json(folder / "identity.json", {"identity": {"model_sha256": sha256}})
    write_json(folder / "part-00000.json", {})


def _fits(exp, cut):
    t, tau, unit = cut
    return [
        {"finding": finding, "fold": fold, "t": t, "threshold": tau, "unit": unit}
        for finding in exp.table.findings
        for fold in exp.folds()
    ]
