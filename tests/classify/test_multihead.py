import json

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from segclf.classify import find_head, load_classifier, targets_of, train_classifier
from segclf.classify.train import labelled_parts
from segclf.core.errors import ConfigError, DataError, UsageError
from segclf.core.scoretable import read_scores
from segclf.data import eval_batches
from segclf.evaluate import class_predictions


def parts_of(made):
    table, split, recipe = made
    return labelled_parts(find_head(recipe), table, split, recipe, fold=None)


def test_one_network_learns_several_columns_with_missing_cells(kinds, tmp_path):
    made = kinds(train={"steps": 60, "validate_every": 20}, hide=("level", "bars"))
    folder = train_classifier(*made, tmp_path / "run")
    scores = read_scores(folder)
    names = ["bars=none", "bars=some", "level=high", "level=low", "level=mid"]
    assert list(scores["finding"].unique()) == names
    assert (scores["method"] == "multihead").all()
    for head in ("bars", "level"):
        own = scores[scores["finding"].str.startswith(head)]
        np.testing.assert_allclose(own.groupby("case_id")["score"].sum(), 1.0)
    hidden = scores[scores["case_id"] == "c30"]
    assert len(hidden) == 5
    assert hidden["label"].isna().all()
    network, card = load_classifier(folder)
    assert card.classes == {"bars": ("none", "some"), "level": ("high", "low", "mid")}
    assert card.n_outputs == 5
    assert targets_of(card).names == tuple(names)
    val = scores[(scores["split"] == "val") & (scores["finding"] == "level=high")].dropna(
        subset="label"
    )
    assert card.validation["auroc_per_finding"][2] == roc_auc_score(val["label"], val["score"])
    (case,) = [case for case in made[0].cases if case.case_id == "c35"]
    (batch,) = eval_batches([case], made[2], batch_size=1)
    with torch.no_grad():
        expected = network(batch.image)[0, 2:].softmax(0)
    found = scores[(scores["case_id"] == "c35") & scores["finding"].str.startswith("level")]
    np.testing.assert_allclose(found["score"], expected, atol=1e-6)
    predicted = class_predictions(scores).query("head == 'level' and split == 'test'")
    assert (predicted["truth"] == predicted["predicted"])[predicted["truth"].notna()].mean() > 0.8


def test_the_loss_is_the_sum_of_torchs_cross_entropies_over_known_cases(kinds):
    parts, targets = parts_of(kinds(hide=("level",)))
    label = torch.tensor([case.labels for case in parts["train"]])
    raw = torch.randn(len(label), 5)
    batch = type("Batch", (), {"label": label})()
    level = label[:, 2:]
    known = ~level[:, 0].isnan()
    assert 0 < known.sum() < len(label)
    expected = functional.cross_entropy(raw[:, :2], label[:, :2].argmax(1))
    expected = expected + functional.cross_entropy(raw[known, 2:], level[known].argmax(1))
    torch.testing.assert_close(find_head(kinds()[2]).loss(raw, batch, targets), expected)


def test_softmax_learns_the_categories_of_one_column(kinds, tmp_path):
    made = kinds(classify={"head": "softmax", "targets": ["level"], "class_weights": "balanced"})
    folder = train_classifier(*made, tmp_path / "run")
    assert list(read_scores(folder)["finding"].unique()) == ["level=high", "level=low", "level=mid"]
    with pytest.raises(ConfigError, match="one column apart, not of 2") as caught:
        parts_of(kinds(classify={"head": "softmax", "targets": ["level", "bars"]}))
    assert "multihead" in caught.value.fix


def test_targets_choose_columns_and_unknown_ones_get_near_names(kinds):
    _, targets = parts_of(kinds(classify={"targets": ["bars"]}))
    assert targets.names == ("bars=none", "bars=some")
    with pytest.raises(UsageError, match="no class column called 'levle'") as caught:
        parts_of(kinds(classify={"targets": ["levle"]}))
    assert "'level'" in caught.value.fix


def test_a_category_that_training_has_not_seen_is_refused_with_counts(kinds):
    def rename(i, part, level, bars):
        return ("rare" if part == "test" and i % 2 else level), bars

    with pytest.raises(
        DataError, match="'rare' of class_level is in no training case, but in 0 "
    ) as c:
        parts_of(kinds(rename=rename))
    assert "of the validation and 3 of the test cases" in str(c.value)
    assert c.value.expected == "only categories that training has: high, low, mid"
    assert "classify.targets: [bars]" in c.value.fix
    assert "metric" in c.value.fix


def test_the_way_out_names_only_columns_that_can_be_learned(kinds):
    def rename(i, part, _level, _bars):
        return ("rare" if part == "test" and i % 2 else "low"), "some"

    with pytest.raises(DataError, match="class_bars has only the category") as caught:
        parts_of(kinds(rename=rename))
    assert caught.value.fix == "leave the column out: classify.head: sigmoid"


def test_a_column_with_one_category_is_refused(kinds):
    with pytest.raises(DataError, match="class_bars has only the category 'some' in 18 training"):
        parts_of(kinds(rename=lambda _i, _part, level, _bars: (level, "some")))
    with pytest.raises(DataError, match="class_bars has no known category in 18 training"):
        parts_of(kinds(rename=lambda _i, part, level, bars: (level, bars if part == "val" else "")))


def test_without_a_class_column_the_fix_says_how_to_name_one(shades):
    with pytest.raises(DataError, match="no case has a category to learn") as caught:
        parts_of(shades(classify={"head": "multihead"}))
    assert "class.density" in caught.value.fix


def test_class_weights_are_counted_on_training_cases_alone(kinds):
    def rename(_i, part, level, bars):
        return level, (bars if part == "train" else "some")

    plain = parts_of(kinds(classify={"class_weights": "balanced"}))[1]
    other = parts_of(kinds(classify={"class_weights": "balanced"}, rename=rename))[1]
    assert plain.weights == other.weights
    np.testing.assert_allclose(plain.weights, 1.0)  # equal numbers of each


def test_the_record_names_the_method(kinds, tmp_path):
    folder = train_classifier(*kinds(), tmp_path / "run")
    record = json.loads((folder / "classifier.json").read_text())
    assert (record["method"], record["head"]) == ("multihead", "multihead")
