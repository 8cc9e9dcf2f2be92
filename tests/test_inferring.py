"""Classes by rules, end to end on a phantom whose test part has combinations of its own."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from segclf import pipeline
from segclf.core.errors import UsageError
from segclf.core.scoretable import read_scores, write_scores
from segclf.evaluate.rules import Rules
from segclf.experiment import new_experiment
from segclf.inferring import accuracy_of, infer_classes, inferred_text
from segclf.phantom import PhantomSettings, write_phantom

FAST = (
    "train.steps=4", "train.batch_size=4", "train.validate_every=4", "train.warmup_steps=1",
    "network.name=monai_unet", "network.options={channels: [8, 16], strides: [2]}",
    "classify.head=multihead", "train.precision=fp32",
)  # fmt: skip
RULES = """\
truth: {truth}
classes:
  low: {{density: L}}
  dense fine: {{density: [M, H], texture: fine}}
  dense coarse: {{density: [M, H], texture: [medium, coarse]}}
"""


@pytest.fixture
def exp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    settings = {
        "size_px": [24, 24], "n_heads": 2, "n_cases": {"train": 24, "val": 12, "test": 20},
        "seed": 1,
    }  # fmt: skip
    write_phantom(tmp_path / "phantom", PhantomSettings.model_validate(settings))
    exp = new_experiment(tmp_path / "phantom" / "recipe.yaml", None, None, FAST)
    pipeline.train_clf(exp, lambda _event: None)
    return exp


def test_classes_metrics_and_rules_of_a_run(exp, tmp_path):
    folder = exp.run.stage("classify", "multihead")
    heads = pd.read_csv(folder / "heads.csv")
    assert list(heads["head"]) == ["density", "texture"]
    assert (heads["n"] == 20).all()
    classes = pd.read_parquet(folder / "predictions.parquet").query("split == 'test'")
    assert len(classes) == 40
    own = classes[classes["head"] == "density"]
    assert heads["accuracy"].iloc[0] == (own["truth"] == own["predicted"]).mean()

    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES.format(truth="null"))
    inferred, record = infer_classes(exp, rules)
    table = pd.read_parquet(inferred / "classes.parquet").query("split == 'test'")
    frame = exp.table.frame.set_index("case_id").loc[table["case_id"]]
    is_low = frame["class_density"] == "L"
    expected = is_low.map({True: "low", False: "dense coarse"})
    expected[~is_low & (frame["class_texture"] == "fine")] = "dense fine"
    assert list(table["truth"]) == list(expected)
    assert record["accuracy"] == (table["predicted"].to_numpy() == expected.to_numpy()).mean()
    assert record["n"] == 20
    assert json.loads((inferred / "inferred.json").read_text())["accuracy"] == record["accuracy"]
    assert record["unseen_in_training"]["reason"] == "no such test case"
    assert f"accuracy (all): {record['accuracy']:.3f}" in inferred_text(record)


def test_classes_that_are_numbers_are_found_beside_a_blank(exp, tmp_path):
    frame = exp.table.frame
    codes = frame["class_density"].map({"L": 1, "M": 2, "H": 3})
    codes.iloc[-1] = np.nan  # 1 is 1.0 in such a column
    numbered = replace(exp, table=replace(exp.table, frame=frame.assign(code=codes)))
    rules = tmp_path / "rules.yaml"
    rules.write_text("truth: code\nclasses: {1: {density: L}, 2: {density: M}, 3: {density: H}}\n")
    _, record = infer_classes(numbered, rules)
    assert (record["n"], record["n_unknown"], record["n_without_rule"]) == (19, 1, 0)
    heads = exp.run.stage("classify", "multihead") / "predictions.parquet"
    own = pd.read_parquet(heads).query("head == 'density' and case_id != @frame.case_id.iloc[-1]")
    own = own.query("split == 'test'")
    assert record["accuracy"] == (own["truth"] == own["predicted"]).mean()


def test_a_truth_column_may_name_classes_without_a_rule(exp, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text("truth: class_density\nclasses: {L: {density: L}, H: {density: H}}\n")
    _, record = infer_classes(exp, rules)
    density = exp.table.frame.merge(exp.split.query("split == 'test'")["case_id"])["class_density"]
    assert record["n"] == int(density.isin(["L", "H"]).sum())
    assert record["n_without_rule"] == int((density == "M").sum())
    left = f"{record['n_without_rule']} left out: their class has no rule"
    assert left in inferred_text(record)
    rules.write_text(rules.read_text() + "other: true\n")
    _, record = infer_classes(exp, rules)
    assert (record["n"], record["n_without_rule"]) == (20, 0)
    assert record["per_class"]["other"]["n"] == int((density == "M").sum())
    rules.write_text("truth: class_densty\nclasses: {L: {density: L}, H: {density: H}}\n")
    with pytest.raises(UsageError, match="no column called 'class_densty'"):
        infer_classes(exp, rules)
    with pytest.raises(UsageError, match="no such file of rules") as caught:
        infer_classes(exp, tmp_path / "nowhere.yaml")
    assert caught.value.where == "--rules nowhere.yaml"


def test_a_class_may_be_new_in_one_fold_and_trained_in_another(exp):
    rules = Rules({"=a": {"density": ("L",)}, "b": {"density": ("M",)}})
    truth = {"c0": "=a", "c1": "b", "c2": "b"}
    folds = [(0, "c0", "test"), (0, "c1", "train"), (1, "c0", "train"), (1, "c1", "test"),
             (0, "c2", "train"), (1, "c2", "train")]  # fmt: skip
    split = pd.DataFrame(folds, columns=["fold", "case_id", "split"]).astype({"fold": "Int64"})
    table = split.query("split == 'test'").assign(
        patient_id=["p0", "p1"], truth=["=a", "b"], predicted=["=a", None]
    )
    record = accuracy_of(table, truth, split, rules, exp)
    assert (record["n"], record["accuracy"], record["n_undecided"]) == (2, 0.5, 1)
    # c0 is judged in fold 0, whose training cases are all b
    assert record["unseen_in_training"]["n"] == record["unseen_in_training"]["accuracy"] == 1
    assert not record["per_class"]["=a"]["in_training"]
    assert "1 undecided, counted as wrong" in inferred_text(record)


def test_no_text_of_the_csv_is_a_formula(exp, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text("classes: {=1+1: {density: L}, b: {density: [M, H]}}\n")
    folder, _ = infer_classes(exp, rules)
    assert set(pd.read_csv(folder / "classes.csv")["truth"]) == {"'=1+1", "b"}
    assert set(pd.read_parquet(folder / "classes.parquet")["truth"]) == {"=1+1", "b"}


def test_a_method_without_class_columns_is_refused(exp, tmp_path):
    with pytest.raises(UsageError, match="'sigmoid' has no scores of class columns") as caught:
        infer_classes(exp, tmp_path / "rules.yaml", method="sigmoid")
    assert "--head multihead" in caught.value.fix


def test_scores_that_are_no_probabilities_are_refused(exp, tmp_path):
    folder = exp.run.stage("classify", "multihead")
    scores = read_scores(folder)
    write_scores(folder, scores.assign(score=scores["score"] - 0.5), {}, record_name="c.json")
    with pytest.raises(UsageError, match="scores of 'multihead' are no probabilities"):
        infer_classes(exp, tmp_path / "rules.yaml")
