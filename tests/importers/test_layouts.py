"""Every layout, from its files as published to a network that trained two steps and predicted."""

import json

import pandas as pd
import pytest

from segclf import pipeline
from segclf.core.config import load_recipe
from segclf.core.statstable import read_statistics
from segclf.experiment import new_experiment
from segclf.importers import IMPORTERS, import_data
from segclf.manifest import check_manifest, read_manifest
from segclf.stages import predicted_folders

TINY = (
    "train.steps=2", "train.batch_size=4", "train.validate_every=2", "train.warmup_steps=1",
    "train.checkpoint_every=2", "train.precision=fp32", "network.name=monai_unet",
    "split.val_fraction=0.5", "network.options={channels: [8, 8], strides: [2], num_res_units: 0}",
)  # fmt: skip
BY_CLASS = {"imagefolder", "medmnist"}
"""Kinds without masks: a classifier is trained."""
LABELS = {
    "busi": {"malignant": (12, 24, 0), "benign": (12, 24, 0)},
    "coco": {"lung_nodule": (10, 10, 0)},
    "folder": {"target": (10, 10, 0)},
    "gandlf": {"target": (10, 10, 0)},
    "imagefolder": {"target": (0, 0, 20)},
    "isic": {"melanoma": (10, 10, 0), "nevus": (10, 10, 0)},
    "medmnist": {"class_1": (14, 14, 0)},
    "monai": {"target": (10, 10, 0)},
    "msd": {"Anterior": (10, 10, 0), "Posterior": (10, 10, 0)},
    "nnunet": {"PZ": (10, 10, 0), "TZ": (10, 10, 0)},
    "rsna-pneumonia": {"pneumonia": (10, 10, 0)},
    "rsna-spine": {name: (10, 10, 0) for name in ("C1", "C7", "patient_overall")},
    "siim": {"pneumothorax": (10, 10, 0)},
}
"""Positive, negative and unknown cases, by hand from how each tree is built."""


@pytest.mark.parametrize("kind", sorted(IMPORTERS))
def test_a_set_in_its_published_layout_trains_and_predicts(tree, tmp_path, monkeypatch, kind):
    source = tree(kind)
    result = import_data(kind, source, tmp_path / "here" / "manifest.csv")
    counts = {
        name: tuple(found["labels"][state] for state in ("positive", "negative", "unknown"))
        for name, found in result["findings"].items()
    }
    assert {name: counts[name] for name in LABELS[kind]} == LABELS[kind]
    recipe_path = tmp_path / "here" / "manifest.yaml"
    recipe = load_recipe(recipe_path)
    table = read_manifest(recipe, base=recipe_path.parent)
    report = check_manifest(table, workers=1)
    assert [p for p in report.problems if p.severity == "error"] == []
    monkeypatch.chdir(tmp_path)
    exp = new_experiment(recipe_path, None, None, TINY)
    if kind in BY_CLASS:
        pipeline.train_clf(exp, lambda _event: None)
        scores = pd.read_parquet(next(exp.run.path.glob("classify/*/scores.parquet")))
        assert scores["score"].notna().all()
        return
    pipeline.train_seg(exp, lambda _event: None)
    statistics = read_statistics(predicted_folders(exp))
    test = set(exp.split.loc[exp.split["split"] == "test", "case_id"])
    assert test <= set(statistics.frame["case_id"])
    quarantined = list(exp.run.path.rglob("quarantine.jsonl"))
    assert [line for path in quarantined for line in path.read_text().splitlines()] == []


@pytest.mark.parametrize("kind", sorted(IMPORTERS))
def test_every_importer_says_what_it_mapped_and_keeps_patients_of_headers_out(tree, tmp_path, kind):
    result = import_data(kind, tree(kind), tmp_path / "set" / "manifest.csv")
    manifest = pd.read_csv(tmp_path / "set" / "manifest.csv", dtype=str)
    assert result["n_cases"] == len(manifest)
    assert not manifest["case_id"].duplicated().any()
    shown = {name.split("<")[0].rstrip("_") for name in result["columns"]}
    unsaid = [c for c in manifest if not any(c.startswith(name) for name in shown)]
    assert set(unsaid) <= {"mask_kind"}
    text = json.dumps(result)
    assert str(tmp_path) not in text.replace(result["recipe"], "")
    for path in (tmp_path / "set").glob("manifest*"):
        if path.is_file():
            assert "CANARY" not in path.read_text()
