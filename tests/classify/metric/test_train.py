import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from segclf.classify import load_classifier, train_classifier
from segclf.classify.metric import (
    classify_cases,
    embed_cases,
    enroll,
    load_embedder,
    read_gallery,
)
from segclf.core.errors import ConfigError, DataError, IntegrityError, UsageError
from segclf.core.scoretable import read_scores
from segclf.manifest import cases_of, image_cases
from segclf.training import read_card

WEIGHTS = ("model.safetensors", "metrics.jsonl")


def test_a_trained_embedding_ends_in_gallery_classes_and_score_table(tones, tmp_path):
    table, split, recipe = tones()
    folder = train_classifier(table, split, recipe, tmp_path / "run")
    gallery = read_gallery(folder, model_sha256=read_card(folder, kind="classify").sha256)
    assert gallery.names == ["dark", "grey", "light"]
    assert gallery.case_ids == tuple(f"c{i}" for i in range(18))
    np.testing.assert_allclose(np.linalg.norm(gallery.vectors, axis=1), 1, atol=1e-6)
    classes = pd.read_parquet(folder / "classes.parquet")
    columns = ["case_id", "split", "truth", "predicted", "similarity", "nearest"]
    assert list(classes.columns) == columns
    known = classes[classes["truth"] != "white"]
    assert (known["truth"] == known["predicted"]).mean() > 0.9
    scores = read_scores(folder)
    assert list(scores["finding"].unique()) == ["tone=dark", "tone=grey", "tone=light"]
    assert scores.groupby("split").size().to_dict() == {"val": 36, "test": 36}
    assert (scores["method"] == "metric").all()
    white = classes.loc[classes["truth"] == "white", "case_id"]
    for _, rows in scores[~scores["case_id"].isin(white)].groupby("finding"):
        assert roc_auc_score(rows["label"], rows["score"]) > 0.9
    assert (scores.loc[scores["case_id"].isin(white), "label"] == 0).all()


def test_the_largest_score_is_that_of_the_nearest_class(tones, tmp_path):
    folder = train_classifier(*tones(metric={"rule": "nearest"}), tmp_path / "run")
    scores = read_scores(folder).pivot(index="case_id", columns="finding", values="score")
    classes = pd.read_parquet(folder / "classes.parquet").set_index("case_id")
    first = scores.idxmax(axis=1).str.removeprefix("tone=")
    assert (first == classes.loc[first.index, "predicted"]).all()
    gallery = json.loads((folder / "gallery.json").read_text())
    class_of = dict(zip(gallery["case_ids"], gallery["classes"], strict=True))
    assert (classes["nearest"].map(class_of) == classes["predicted"]).all()


def test_the_findings_are_classes_where_no_column_is_named(shades, tmp_path):
    table, split, recipe = shades(
        classify={"head": "metric", "metric": {"embedding_dim": 8, "images_per_class": 2}}
    )
    folder = train_classifier(table, split, recipe, tmp_path / "run")
    scores = read_scores(folder)
    assert list(scores["finding"].unique()) == ["bright", "dark"]
    bright = scores[scores["finding"] == "bright"]
    labels = {case.case_id: case.labels[0] for case in table.cases}
    assert (bright["label"] == bright["case_id"].map(labels)).all()


def test_one_finding_is_told_apart_from_its_absence(shades, tmp_path):
    table, split, recipe = shades(
        classify={"head": "metric", "metric": {"embedding_dim": 8, "images_per_class": 2}}
    )
    recipe = recipe.model_copy(update={"findings": ("bright",)})
    from segclf.manifest import read_manifest

    table = read_manifest(recipe, base=tmp_path)
    folder = train_classifier(table, split, recipe, tmp_path / "run")
    assert list(read_scores(folder)["finding"].unique()) == ["bright"]
    assert json.loads((folder / "gallery.json").read_text())["classes"][:2] == ["none", "bright"]


def test_pairs_alone_train_and_no_label_reaches_the_weights(tones, tone_pairs, tmp_path):
    settings = {"rows": tone_pairs, "metric": {"pairs": "pairs.csv", "loss": "contrastive"}}
    table, split, recipe = tones(**settings)
    folder = train_classifier(table, split, recipe, tmp_path / "a")
    classes = pd.read_parquet(folder / "classes.parquet").query("truth != 'white'")
    assert (classes["truth"] == classes["predicted"].where(
        classes["predicted"] != "unknown", classes["truth"])).all()  # fmt: skip
    record = json.loads((folder / "gallery.json").read_text())["unknown"]
    assert record["method"] == "similar against dissimilar pairs"
    assert (record["fitted_on"], record["n"]) == ("val", 12 * 11 // 2)
    blank, split, recipe = tones(blank="all", **settings)
    other = train_classifier(blank, split, recipe, tmp_path / "b")
    for name in WEIGHTS:
        assert (folder / name).read_bytes() == (other / name).read_bytes()
    empty = json.loads((other / "gallery.json").read_text())
    assert (empty["n"], empty["unknown"]) == (0, record)
    assert (pd.read_parquet(other / "classes.parquet")["predicted"] == "unknown").all()
    assert read_scores(other).empty


@pytest.mark.parametrize("loss", ["triplet", "arcface"])
def test_training_repeats_bit_by_bit_and_resumes(tones, tmp_path, loss):
    table, split, recipe = tones(metric={"loss": loss}, train={"steps": 8, "validate_every": 4})
    whole = train_classifier(table, split, recipe, tmp_path / "a")

    def stop(event):
        if event["kind"] == "checkpoint" and event["step"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_classifier(table, split, recipe, tmp_path / "b", on_event=stop)
    train_classifier(table, split, recipe, tmp_path / "b", resume=True)
    for name in ("model.safetensors", "gallery.safetensors", "scores.parquet"):
        assert (whole / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    before = (whole / "model.json").stat().st_mtime_ns
    train_classifier(table, split, recipe, whole, resume=True)
    assert (whole / "model.json").stat().st_mtime_ns == before


def test_test_images_and_classes_never_enter(tones, tmp_path):
    table, split, recipe = tones(train={"steps": 6, "validate_every": 3})
    clean = train_classifier(table, split, recipe, tmp_path / "a")
    test = [f"c{i}" for i in range(30, 42)]
    planted, split, _ = tones(blank=test)
    (tmp_path / "c31.png").write_bytes(b"broken")
    object.__setattr__(planted, "sha256", table.sha256)
    other = train_classifier(planted, split, recipe, tmp_path / "b")
    for name in ("model.safetensors", "metrics.jsonl", "gallery.safetensors", "gallery.json"):
        assert (clean / name).read_bytes() == (other / name).read_bytes()
    val = [read_scores(folder).query("split == 'val'") for folder in (clean, other)]
    pd.testing.assert_frame_equal(val[0].reset_index(drop=True), val[1].reset_index(drop=True))
    assert json.loads((other / "quarantine.jsonl").read_text())["case_id"] == "c31"


def test_a_class_is_enrolled_and_recognised_without_training(tones, tmp_path):
    table, split, recipe = tones(metric={"rule": "nearest"})
    folder = train_classifier(table, split, recipe, tmp_path / "run")
    weights = (folder / "model.safetensors").read_bytes()
    white = [c for c in cases_of(table, split, "test") if c.classes["tone"] == "white"]
    new, rest = white[:1], {case.case_id for case in white[1:]}
    names = enroll(folder, "white", new, table, split, recipe)
    assert names == ["dark", "grey", "light", "white"]
    classes = pd.read_parquet(folder / "classes.parquet").set_index("case_id")
    assert new[0].case_id not in classes.index
    assert (classes.loc[sorted(rest), "predicted"] == "white").all()
    scores = read_scores(folder)
    assert "tone=white" in set(scores["finding"])
    rows = scores[(scores["finding"] == "tone=white") & (scores["split"] == "test")]
    assert set(rows.loc[rows["label"] == 1, "case_id"]) == rest
    assert roc_auc_score(rows["label"], rows["score"]) == 1
    record = json.loads((folder / "classifier.json").read_text())
    assert (record["enrolled"], record["n_left"]) == (["white"], {"enrolled": 1})
    assert (folder / "model.safetensors").read_bytes() == weights
    again, bad = classify_cases(folder, white[1:], recipe)
    assert (list(again["predicted"]), bad) == (["white"] * 2, [])
    with pytest.raises(UsageError, match="the class 'white' is in the gallery already, with 1 "):
        enroll(folder, "white", white[1:], table, split, recipe)


def test_what_cannot_be_enrolled_leaves_the_gallery_as_it_was(tones, tmp_path):
    table, split, recipe = tones(train={"steps": 4, "validate_every": 4})
    folder = train_classifier(table, split, recipe, tmp_path / "run")
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    images = tmp_path / "new"
    images.mkdir()
    with pytest.raises(DataError, match="the folder has no image that can be read"):
        image_cases(images, 1)
    with pytest.raises(DataError, match="there is no image of the class 'new'"):
        enroll(folder, "new", [], table, split, recipe)
    for name in ("n1", "n2"):
        (images / f"{name}.png").write_bytes((tmp_path / "c40.png").read_bytes())
    (images / "n3.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"1 of the 3 images cannot be used; the first: n3"):
        enroll(folder, "new", image_cases(images, 1), table, split, recipe)
    train = cases_of(table, split, "train")
    with pytest.raises(DataError, match="2 of the images is in the gallery already"):
        enroll(folder, "new", train[:2], table, split, recipe)
    (images / "n1.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="the folder has two images called 'n1'"):
        image_cases(images, 1)
    assert before == {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def test_a_gallery_of_another_model_is_not_enrolled_into(tones, tmp_path):
    short = {"steps": 4, "validate_every": 4}
    table, split, recipe = tones(train=short)
    first = train_classifier(table, split, recipe, tmp_path / "a")
    other = recipe.model_copy(update={"seed": 1})
    second = train_classifier(table, split, other, tmp_path / "b")
    for name in ("gallery.json", "gallery.safetensors"):
        (first / name).write_bytes((second / name).read_bytes())
    white = cases_of(table, split, "test")[3:4]
    with pytest.raises(IntegrityError, match="the gallery is from another model"):
        enroll(first, "white", white, table, split, recipe)
    with pytest.raises(IntegrityError, match="the gallery is from another model"):
        classify_cases(first, white, recipe)


def test_an_embedding_does_not_depend_on_its_batch_or_order(tones, tmp_path):
    table, split, recipe = tones(train={"steps": 4, "validate_every": 4})
    network, _ = load_embedder(train_classifier(table, split, recipe, tmp_path / "run"))
    other, card = load_classifier(tmp_path / "run")
    assert (card.head, card.classes) == ("metric", {"tone": ("dark", "grey", "light")})
    mine, theirs = network.state_dict(), other.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    cases = table.cases[:6]
    _, together, _ = embed_cases(network, cases, recipe)
    alone = [embed_cases(network, [case], recipe)[1][0] for case in cases]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    _, backwards, _ = embed_cases(network, cases[::-1], recipe)
    np.testing.assert_allclose(backwards[::-1], together, atol=1e-5)


def test_a_case_of_which_nothing_is_known_changes_no_weight(tones, tmp_path):
    table, split, recipe = tones(blank=["c0"], train={"steps": 6, "validate_every": 3})
    one = train_classifier(table, split, recipe, tmp_path / "a")
    less = replace(table, cases=table.cases[1:])
    other = train_classifier(less, split[split["case_id"] != "c0"], recipe, tmp_path / "b")
    for name in ("model.safetensors", "metrics.jsonl", "gallery.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    assert '"c0"' not in (one / "gallery.json").read_text()


def test_settings_that_cannot_be_are_named(tones, tmp_path):
    for targets, wrong in ((["tone", "x"], "names several columns"), (["x"], "names a column")):
        with pytest.raises(ConfigError, match=wrong) as caught:
            train_classifier(*tones(classify={"targets": targets}), tmp_path / "run")
        assert "tone" in caught.value.expected
    with pytest.raises(ConfigError, match="a batch of 6 cannot hold 4 images"):
        train_classifier(
            *tones(train={"batch_size": 6}, metric={"images_per_class": 4}), tmp_path / "a"
        )
    with pytest.raises(DataError, match="the training cases have no known class"):
        train_classifier(*tones(classify={"targets": []}), tmp_path / "b")


def test_no_class_can_be_called_as_the_verdict_is(tones, tmp_path):
    table, split, recipe = tones()
    cases = [replace(table.cases[0], classes={"tone": "unknown"}), *table.cases[1:]]
    with pytest.raises(ConfigError, match="a metric head is called 'unknown', 1 times") as caught:
        train_classifier(replace(table, cases=tuple(cases)), split, recipe, tmp_path / "run")
    assert caught.value.where == "column class_tone"
    assert "leave the cell blank" in caught.value.fix
    findings = recipe.model_copy(update={"classify": recipe.classify.model_copy(
        update={"targets": ()})})  # fmt: skip
    with pytest.raises(ConfigError, match="called 'unknown'"):
        train_classifier(replace(table, findings=("unknown",)), split, findings, tmp_path / "run")


def test_one_class_is_nothing_to_learn_from(tones, tmp_path):
    others = [f"c{i}" for i in range(18) if i % 3]
    with pytest.raises(DataError, match="the training cases have 1 known class"):
        train_classifier(*tones(blank=others), tmp_path / "run")


def test_another_rule_is_not_another_training(tones, tmp_path):
    table, split, recipe = tones(train={"steps": 4, "validate_every": 4})
    folder = train_classifier(table, split, recipe, tmp_path / "run")
    metric = recipe.classify.metric.model_copy(update={"rule": "knn", "k": 3})
    other = recipe.classify.model_copy(update={"metric": metric})
    again = recipe.model_copy(update={"classify": other})
    assert train_classifier(table, split, again, folder, resume=True) == folder
