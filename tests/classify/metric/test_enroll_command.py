"""`train-clf --head metric`, then `enroll`, as a user types them."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from segclf.cli import app
from segclf.core.config import recipe_yaml
from segclf.core.errors import DataError, UsageError
from segclf.core.runs import Run
from segclf.core.scoretable import read_scores
from segclf.stages import gallery_method


@pytest.fixture
def run(tones, tmp_path, monkeypatch):
    """Call the command line in a folder with a recipe and a run of a trained metric head."""
    _, _, recipe = tones(train={"steps": 10, "validate_every": 5})
    plain = recipe.model_copy(update={"name": "one"})
    (tmp_path / "recipe.yaml").write_text(recipe_yaml(plain))
    monkeypatch.chdir(tmp_path)

    def call(*words):
        result = CliRunner().invoke(app, list(words))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    call("train-clf", "--config", "recipe.yaml", "--head", "metric")
    return call


def test_a_class_is_enrolled_from_a_folder_and_from_a_manifest(run, tmp_path):
    folder = tmp_path / "runs/one/classify/metric"
    assert set(read_scores(folder)["method"]) == {"metric"}
    assert "nearest" in pd.read_parquet(folder / "classes.parquet").columns
    images = tmp_path / "white"
    images.mkdir()
    (images / "w1.png").write_bytes((tmp_path / "c33.png").read_bytes())
    (images / "notes.txt").write_text("not an image")
    result = run("enroll", "--run", "one", "--class", "white", "--images", "white", "--json")
    assert json.loads(result.stdout)["wrote"] == "runs/one/classify/metric"
    gallery = json.loads((folder / "gallery.json").read_text())
    assert (gallery["enrolled"], gallery["case_ids"][-1]) == (["white"], "w1")
    (tmp_path / "more.csv").write_text("case_id,image\nm1,c37.png\nm2,c41.png\n")
    run("enroll", "--class", "pale", "--images", "more.csv", "--set", "classify.metric.rule=knn")
    gallery = json.loads((folder / "gallery.json").read_text())
    assert (gallery["classes"][-3:], gallery["case_ids"][-2:]) == (
        ["white", "pale", "pale"], ["m1", "m2"],
    )  # fmt: skip
    classes = pd.read_parquet(folder / "classes.parquet")
    assert len(classes) == 24 - 3  # c33, c37 and c41 were enrolled under other names
    assert not {"c33", "c37", "c41"} & set(classes["case_id"])
    assert "unknown" not in set(classes["predicted"])  # knn names one of the classes
    record = json.loads((folder / "classifier.json").read_text())
    assert (record["rule"], record["enrolled"]) == ("knn", ["white", "pale"])
    assert record["n_left"] == {"same image as an enrolled one": 3}
    assert "classify/metric" in json.loads((tmp_path / "runs/one/run.json").read_text())["stages"]


def test_what_cannot_be_enrolled_is_said(run, tmp_path):
    (tmp_path / "bad.csv").write_text("case_id,image\nm1,c37.png\nm2,nowhere.png\n")
    (tmp_path / "good.csv").write_text("case_id,image\nm1,c37.png\n")
    with pytest.raises(DataError, match="1 rows name no usable image") as caught:
        run("enroll", "--class", "new", "--images", "bad.csv")
    assert caught.value.where == "bad.csv, row 3"
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        run("enroll", "--class", "new", "--images", "nowhere.csv")
    with pytest.raises(UsageError, match="the class 'dark' is in the gallery already, with 6"):
        run("enroll", "--class", "dark", "--images", "good.csv")


def test_a_metric_head_starts_from_a_segmenter(run, tones, tmp_path):
    for i in range(42):
        mask = np.zeros((16, 16), np.uint8)
        mask[4:8, 4:8] = 255 * (i % 2)
        Image.fromarray(mask).save(tmp_path / f"m{i}.png")
    lines = (tmp_path / "manifest.csv").read_text().splitlines()
    rows = [lines[0] + ",mask_any", *(f"{x},m{i}.png" for i, x in enumerate(lines[1:]))]
    rows = [rows[0], *(x.replace(",,", f",{i % 2},", 1) for i, x in enumerate(rows[1:]))]
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    short = ("--set", "train.steps=2", "--set", "train.validate_every=1", "--run", "two")
    run("train-seg", "--config", "recipe.yaml", *short)
    run("train-clf", "--run", "two", "--head", "metric", "--set", "classify.init_from=two")
    folder = tmp_path / "runs/two/classify/metric-init"
    assert set(read_scores(folder)["method"]) == {"metric-init"}
    card = json.loads((folder / "model.json").read_text())
    seg = json.loads((tmp_path / "runs/two/segment/model.json").read_text())
    assert card["init_from"] == {"run": "two", "sha256": seg["sha256"]}
    (tmp_path / "new.csv").write_text("case_id,image\nm1,c33.png\n")
    result = run("enroll", "--run", "two", "--class", "new", "--images", "new.csv", "--json")
    assert json.loads(result.stdout)["wrote"] == "runs/two/classify/metric-init"


def test_with_two_galleries_the_last_head_or_the_named_one_is_meant(tmp_path):
    def run_of(method):
        settings = SimpleNamespace(classify=SimpleNamespace(method=method))
        return SimpleNamespace(run=Run(tmp_path), recipe=settings)

    for place in ("metric/fold0", "metric-init/fold0", "sigmoid"):
        (tmp_path / "classify" / place).mkdir(parents=True)
    for place in ("metric/fold0", "metric-init/fold0"):
        (tmp_path / "classify" / place / "gallery.json").touch()
    assert gallery_method(run_of("metric-init")) == "metric-init"
    assert gallery_method(run_of("sigmoid"), "metric") == "metric"
    with pytest.raises(UsageError, match="2 galleries: metric and metric-init") as caught:
        gallery_method(run_of("sigmoid"))
    assert caught.value.fix == "add --method metric"
    with pytest.raises(UsageError, match="no gallery called 'metrics'"):
        gallery_method(run_of("metric"), "metrics")
    (tmp_path / "classify/metric/fold0/gallery.json").unlink()
    assert gallery_method(run_of("sigmoid")) == "metric-init"


def test_without_a_metric_head_there_is_nothing_to_enroll_into(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["enroll", "--class", "x", "--images", "x"])
    assert isinstance(result.exception, UsageError)
    assert result.exception.fix == "run: segclf train-clf --head metric"
