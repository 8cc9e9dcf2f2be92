import numpy as np
import pandas as pd
import pytest

from segclf.core.errors import ConfigError, UsageError
from segclf.core.scoretable import COLUMNS
from segclf.evaluate.rules import (
    Rules,
    chosen_classes,
    derived_classes,
    read_rules,
    rule_probabilities,
    rule_truth,
)

HEADS = {"cover": ["feathers", "fur", "scales"], "mouth": ["bill", "snout"]}
# fur 0.7, bill 0.6; then feathers 0.8, bill 0.9
OF_CATEGORY = {
    "cover=feathers": np.array([0.2, 0.8]),
    "cover=fur": np.array([0.7, 0.15]),
    "cover=scales": np.array([0.1, 0.05]),
    "mouth=bill": np.array([0.6, 0.9]),
    "mouth=snout": np.array([0.4, 0.1]),
}
ANIMALS = """\
classes:
  platypus: {cover: fur, mouth: bill}
  duck: {cover: feathers, mouth: bill}
  beast: {cover: [fur, scales], mouth: snout}
"""


@pytest.fixture
def rules_of(tmp_path):
    def make(text):
        (tmp_path / "rules.yaml").write_text(text)
        return read_rules(tmp_path / "rules.yaml", HEADS)

    return make


def test_a_class_that_nobody_trained_gets_the_product_of_its_attributes(rules_of):
    found = rule_probabilities(OF_CATEGORY, rules_of(ANIMALS))
    by_hand = np.array([[0.7 * 0.6, 0.2 * 0.6, 0.8 * 0.4], [0.15 * 0.9, 0.8 * 0.9, 0.2 * 0.1]])
    np.testing.assert_allclose(found, by_hand / by_hand.sum(1, keepdims=True))


def test_the_remainder_is_what_no_rule_meets(rules_of):
    rules = rules_of(ANIMALS + "other: true\n")
    assert rules.names == ["platypus", "duck", "beast", "other"]
    found = rule_probabilities(OF_CATEGORY, rules)
    np.testing.assert_allclose(found[0], [0.42, 0.12, 0.32, 0.1 * 0.6 + 0.2 * 0.4])
    np.testing.assert_allclose(found.sum(1), 1.0)


def test_impossible_cases_and_ties_have_no_class_and_say_why():
    rules = Rules({"a": {"mouth": ("bill",)}, "b": {"cover": ("fur",)}})
    nothing = {"mouth=bill": np.array([0.0, 0.5]), "cover=fur": np.array([0.0, 0.5])}
    found = rule_probabilities(nothing, rules)
    assert np.isnan(found[0]).all()
    best, reason = chosen_classes(found, rules.names)
    assert best == [None, None]
    assert reason == ["no class is possible", "tie of a and b"]


def test_a_score_table_becomes_a_row_per_case(rules_of):
    rows = [
        {"case_id": f"c{i}", "finding": name, "method": "multihead", "score": value[i],
         "split": "test", "patient_id": f"p{i}", "seed": 0}
        for name, value in OF_CATEGORY.items() for i in range(2)
    ]  # fmt: skip
    rows.append(rows[0] | {"finding": "lesion"})
    scores = pd.DataFrame(rows).reindex(columns=list(COLUMNS)).astype(COLUMNS)
    found = derived_classes(scores, rules_of(ANIMALS))
    assert list(found["predicted"]) == ["platypus", "duck"]
    assert found["probability"].iloc[1] == pytest.approx(0.72 / (0.135 + 0.72 + 0.02))
    assert found["p_duck"].iloc[1] == found["probability"].iloc[1]
    assert list(found["case_id"]) == ["c0", "c1"]


def test_truth_follows_from_known_categories_alone(rules_of):
    known = {
        "cover=feathers": np.array([0.0, 1.0, 0.0, np.nan]),
        "cover=fur": np.array([1.0, 0.0, 0.0, np.nan]),
        "cover=scales": np.array([0.0, 0.0, 1.0, np.nan]),
        "mouth=bill": np.array([1.0, 1.0, 1.0, 1.0]),
        "mouth=snout": np.zeros(4),
    }
    assert rule_truth(known, rules_of(ANIMALS)) == ["platypus", "duck", None, None]
    with_other = rules_of(ANIMALS + "other: true\n")
    assert rule_truth(known, with_other) == ["platypus", "duck", "other", None]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("classes: {a: {cover: fur}, b: {cover: [fur]}}", "'a' and 'b' have the same rule"),
        ("classes: {a: {cover: fur}, b: {cover: fur, mouth: bill}}", "is 'b' is 'a' as well"),
        ("classes: {a: {cover: [], mouth: bill}}", "so it can never be met"),
        ("classes: {a: {cover: true}}", "so it can never be met"),
        ("classes: {a: fur}", "the rule of 'a' is 'fur'"),
        ("classes: {a: {}}", "the rule of 'a' is {}"),
        ("animals: {}", "rules.yaml has no classes"),
        ("classes: {a: {cover: fur}}\nother: maybe", "other = 'maybe'"),
        ("classes: {other: {cover: fur}}\nother: true", "a class is called 'other'"),
        ("classes: {a: {cover: fur}, b: {mouth: bill}}\nother: true", "can both be met"),
    ],
)
def test_rules_that_cannot_work_are_refused(rules_of, text, wrong):
    with pytest.raises(ConfigError, match=wrong) as caught:
        rules_of(text)
    assert "rules.yaml" in caught.value.where
    assert caught.value.fix


@pytest.mark.parametrize(
    ("text", "wrong", "near"),
    [
        ("classes: {a: {covr: fur}}", "no head called 'covr'", "'cover'"),
        ("classes: {a: {cover: furr}}", "no category of cover called 'furr'", "'fur'"),
        ("classes: {a: {cover: fur}}\nthruth: kind", "no key called 'thruth'", "'truth'"),
    ],
)
def test_unknown_names_get_near_ones(rules_of, text, wrong, near):
    with pytest.raises(UsageError, match=wrong) as caught:
        rules_of(text)
    assert near in caught.value.fix


def test_a_rule_file_with_a_repeated_class_is_refused(rules_of):
    with pytest.raises(ConfigError):
        rules_of("classes:\n  a: {cover: fur}\n  a: {cover: scales}\n")
