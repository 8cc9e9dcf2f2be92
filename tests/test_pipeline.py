"""The stages together, on a tiny phantom: files, repetition, bad data, and what is told."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from segclf import judging, pipeline
from segclf.core.scoretable import read_record
from segclf.experiment import new_experiment, open_experiment
from segclf.other import other_name, other_than_own
from segclf.phantom import PhantomSettings, write_phantom
from segclf.reporting import make_report

TINY = (
    "train.steps=6",
    "train.batch_size=4",
    "train.validate_every=3",
    "train.checkpoint_every=3",
    "train.warmup_steps=1",
    "evaluate.n_boot=50",
    "evaluate.min_group=2",
)


def ignore(_event):
    """No progress is shown in tests."""


def write_tiny(folder: Path) -> Path:
    sizes = {"train": 16, "val": 16, "test": 24}
    settings = {"n_cases": sizes, "size_px": (32, 32), "area_fraction": 0.02, "area_spread": 0.1}
    write_phantom(folder, PhantomSettings.model_validate(settings))
    return folder / "recipe.yaml"


def train_and_fit(recipe: Path):
    exp = new_experiment(recipe, None, None, TINY)
    pipeline.train_seg(exp, ignore)
    pipeline.train_clf(exp, ignore)
    for rule in ("tau", "mean"):
        pipeline.summarize_masks(exp, rule)
    return exp


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run in which every stage has ended."""
    home = tmp_path_factory.mktemp("flow")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        exp = train_and_fit(write_tiny(home / "data"))
        judging.evaluate(exp)
        make_report(exp, ignore)
    return home


@pytest.fixture
def home(finished, monkeypatch):
    monkeypatch.chdir(finished)
    return finished


def open_finished(home):
    return open_experiment(new_experiment(home / "data/recipe.yaml", None, None, TINY).run)


def files_and_times(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in sorted(folder.rglob("*")) if p.is_file()}


def made_files(run: Path) -> dict[str, int]:
    """What training and predicting write, without the tables that are joined of their scores."""
    made = ("segment", "predict", "classify/sigmoid/model.safetensors", "run.json")
    return {
        path: time
        for path, time in files_and_times(run).items()
        if any(Path(path).is_relative_to(run / name) for name in made)
    }


def test_every_stage_leaves_its_files(home):
    run = open_finished(home).run.path
    for name in (
        "config.yaml", "run.json", "split.parquet", "segment/model.safetensors",
        "segment/metrics.jsonl", "classify/sigmoid/scores.parquet", "predict/own/identity.json",
        "summarize/tau/scores.csv", "summarize/tau/summarizer.json", "evaluate/metrics.csv",
        "evaluate/ledger.json", "evaluate/overlap.csv", "report/index.html",
    ):  # fmt: skip
        assert (run / name).is_file(), name


def test_the_report_and_the_metrics_say_that_the_data_are_synthetic(home):
    run = open_finished(home).run.path
    assert "phantom" in (run / "report/index.html").read_text()
    assert set(pd.read_csv(run / "evaluate/metrics.csv")["data"]) == {"phantom"}


def test_training_and_predicting_again_changes_no_file(home):
    exp = open_finished(home)
    before = made_files(exp.run.path)
    pipeline.train_seg(exp, ignore, resume=True)
    pipeline.train_clf(exp, ignore, resume=True)
    assert before == made_files(exp.run.path)


def test_rules_and_classifier_score_the_same_cases(home):
    scores = judging.score_tables(open_finished(home))
    cases = scores.groupby("method")["case_id"].apply(frozenset)
    assert len(cases) == 3
    assert cases.nunique() == 1
    assert len(cases.iloc[0]) == 16 + 24  # validation and test


def test_another_manifest_is_predicted_summarized_and_evaluated_with_its_bad_image_set_aside(
    home,
):
    exp = open_finished(home)
    other = home / "other"
    shutil.copytree(home / "data", other)
    table = pd.read_csv(other / "manifest.csv").query("split == 'test'")
    table.drop(columns="split").to_csv(other / "manifest.csv", index=False)
    bad = other / table["image"].iloc[0]
    bad.write_bytes(bad.read_bytes()[:60])
    results, n_skipped = pipeline.predict_other(exp, other / "manifest.csv", ignore)
    assert (results[0].n_quarantined, n_skipped) == (1, 0)
    folder, record = pipeline.summarize_masks(exp, "tau", manifest=other / "manifest.csv")
    assert len(pd.read_parquet(folder / "scores.parquet")) == 23
    own = read_record(exp.run.stage("summarize", "tau"))["fits"][0]
    assert (record["fits"][0]["t"], record["fits"][0]["threshold"]) == (own["t"], own["threshold"])
    _, evaluation = judging.evaluate(exp, by=["sex"], manifest=other / "manifest.csv")
    assert evaluation.metrics.query("group_column == 'all'")["n_cases"].max() == 23


def test_a_tree_of_images_is_predicted_and_summarized_as_the_same_cases_of_a_manifest(home):
    exp = open_finished(home)
    table = pd.read_csv(home / "data" / "manifest.csv").query("split == 'test'").iloc[:5]
    for i, image in enumerate(table["image"]):
        place = home / "tree" / f"site{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(home / "data" / image, place / f"{i}.png")
    results, n_skipped = pipeline.predict_other(exp, home / "tree", ignore)
    assert (results[0].n_cases, results[0].n_quarantined, n_skipped) == (5, 0, 0)
    folder, _ = pipeline.summarize_masks(exp, "tau", manifest=home / "tree")
    scores = pd.read_parquet(folder / "scores.parquet").set_index("case_id")["score"]
    assert list(scores.index) == ["site0/0", "site0/2", "site0/4", "site1/1", "site1/3"]
    own = pd.read_parquet(exp.run.stage("summarize", "tau") / "scores.parquet")
    own = own.set_index("case_id")["score"][table["case_id"]]
    assert [scores[f"site{i % 2}/{i}"] for i in range(5)] == pytest.approx(list(own))


def test_the_runs_own_manifest_is_recognized(home):
    exp = open_finished(home)
    assert other_than_own(exp, home / "data" / "manifest.csv") is None


def test_no_patient_id_is_in_any_text_that_a_person_gets(home):
    exp = open_finished(home)
    ids = set(exp.split["patient_id"])
    kinds = {".html", ".json", ".jsonl", ".csv", ".svg", ".yaml"}
    texts = [path for path in exp.run.path.rglob("*") if path.suffix in kinds]
    texts = [path for path in texts if path.name != "scores.csv"]  # the design gives it the column
    assert len(texts) > 10
    # case ids of the phantom start with the patient id, so they are taken out first
    case_ids = sorted(exp.split["case_id"].unique(), key=len, reverse=True)
    for path in texts:
        text = path.read_text()
        for case_id in case_ids:
            text = text.replace(case_id, "")
        leaked = {patient for patient in ids if patient in text}
        assert not leaked, f"{path.relative_to(exp.run.path)}: {sorted(leaked)[:3]}"


def test_manifests_of_the_same_name_in_folders_of_the_same_name_are_kept_apart(tmp_path):
    names = []
    for site in ("a", "b"):
        manifest = tmp_path / site / "data" / "test.csv"
        manifest.parent.mkdir(parents=True)
        manifest.write_text(f"case_id\n{site}1\n")
        names.append(other_name(manifest))
    assert len(set(names)) == 2
    assert all(name.startswith("data-test-") for name in names)
