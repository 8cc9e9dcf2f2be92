"""Which cases are drawn next: scores by hand, and never from validation or test."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from segclf.core.errors import UsageError
from segclf.phantom import PhantomSettings, write_phantom
from segclf.study.advise.choose import Pool, choose
from segclf.study.advise.flow import open_data
from segclf.study.advise.next_cases import next_cases, next_text, write_list


def pool(**changes):
    """Four cases on a line, two of group 0 and two of group 1, one drawn case at 0 of group 0."""
    values = {
        "doubt": np.array([0.5, 0.9, 0.6, 0.6]),
        "chance": np.ones(4),
        "embedding": np.array([[1.0], [2.0], [3.0], [4.0]]),
        "drawn_embedding": np.array([[0.0]]),
        "groups": np.array([[0], [0], [1], [1]]),
        "drawn_groups": np.array([[0]]),
        "tie": np.arange(4.0),
    }
    return Pool(**values | changes)


def test_scores_by_hand():
    found = choose(pool(), 2)
    # groups: all (3, 2) + 1 -> 4/7, 3/7; drawn (1, 0) + 1 -> 2/3, 1/3; factors 6/7, 9/7
    # diversity 1/4, 2/4, 3/4, 1; scores .107, .386, .579, .771
    assert list(found.order) == [3, 1]
    assert found.score[0] == pytest.approx(0.6 * 1 * 9 / 7)
    assert found.group[0] == pytest.approx(9 / 7)
    # then drawn (1, 1) + 1 -> 1/2, 1/2; factors 8/7, 6/7; distances to 0 or 4: 1, 2, 1
    assert found.diversity[1] == pytest.approx(2 / 4)
    assert found.score[1] == pytest.approx(0.9 * 0.5 * 8 / 7)


def test_without_a_segmenter_groups_decide_and_then_the_seeded_order():
    plain = pool(
        embedding=None, drawn_embedding=None, doubt=np.ones(4), tie=np.array([1.0, 0, 3, 2])
    )
    found = choose(plain, 4)
    assert list(found.order) == [3, 1, 2, 0]  # group 1, then group 0 again leads, and so on
    assert (found.diversity == 1).all()


def test_a_case_that_may_be_negative_counts_by_its_chance():
    found = choose(pool(chance=np.array([1.0, 1.0, 1.0, 0.1])), 1)
    assert list(found.order) == [2]


def test_a_group_changes_a_score_by_a_factor_of_four_at_most():
    groups = np.r_[np.zeros(999), 1].astype(int)[:, None]
    many = Pool(np.ones(1000), np.ones(1000), None, None, groups, groups[:999], np.arange(1000.0))
    # share among all 2 of 2001, among the drawn 1 of 1001: no factor of four
    assert choose(many, 1).group[0] == pytest.approx(2 / 2001 / (1 / 1001))
    rare = Pool(np.ones(500), np.ones(500), None, None, groups[500:] * 0 + 1, groups[:999],
                np.arange(500.0))  # fmt: skip
    assert choose(rare, 1).group[0] == pytest.approx(4.0)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    settings = {
        "n_cases": {"train": 40, "val": 20, "test": 20}, "size_px": (16, 16),
        "missing_masks": 0.5, "missing_labels": 0.2,
    }  # fmt: skip
    write_phantom(tmp_path / "data", PhantomSettings.model_validate(settings))
    return tmp_path / "data"


def test_only_training_cases_without_a_mask_that_may_be_positive_are_named(home):
    opened = open_data(None, home / "recipe.yaml", None, ())
    found = next_cases(opened, 1000)
    table = pd.read_csv(home / "manifest.csv", dtype=str, keep_default_na=False)
    open_ = (table["split"] == "train") & (table["mask"] == "") & (table["label"] != "0")
    assert sorted(row["case_id"] for row in found.rows) == sorted(table.loc[open_, "case_id"])
    known = table.loc[(table["split"] == "train") & (table["label"] != ""), "label"]
    chance = {row["case_id"]: row["chance"] for row in found.rows}
    for _, row in table[open_].iterrows():
        expected = 1 if row["label"] == "1" else (known == "1").mean()
        assert chance[row["case_id"]] == pytest.approx(expected, abs=1e-6)
    again = next_cases(open_data(None, home / "recipe.yaml", None, ()), 1000)
    assert again == found


def test_what_is_said_of_the_order_names_all_that_decides_it(home):
    found = next_cases(open_data(None, home / "recipe.yaml", None, ()), 3)
    assert "order: lack of masks in its groups x chance of a positive, then" in next_text(
        found, None
    )
    modelled = next_text(replace(found, has_model=True), None)
    assert "order: doubt x diversity x lack of masks in its groups x chance" in modelled


def test_nan_files_in_validation_and_test_change_no_byte_of_the_list(home, tmp_path):
    path = tmp_path / "list.csv"
    opened = open_data(None, home / "recipe.yaml", None, ())
    write_list(opened, next_cases(opened, 5), path)
    clean = path.read_bytes()
    table = pd.read_csv(home / "manifest.csv", dtype=str, keep_default_na=False)
    others = table["split"] != "train"
    for name in [*table.loc[others, "image"], *table.loc[others, "mask"]]:
        if name:
            np.save(tmp_path / "nan.npy", np.full((16, 16), np.nan))
            (tmp_path / "nan.npy").replace(home / name)
    opened = open_data(None, home / "recipe.yaml", None, ())
    write_list(opened, next_cases(opened, 5), path)
    assert path.read_bytes() == clean
    rows = pd.read_csv(path)
    assert list(rows["rank"]) == [1, 2, 3, 4, 5]
    assert rows["reason"].str.contains("its groups lack masks").all()
    assert set(rows["data"]) == {"phantom"}
    assert json.loads(json.dumps(next_cases(opened, 2).as_dict()))["data"] == "phantom"


@pytest.mark.parametrize(
    ("n", "options", "message"),
    [
        (0, {}, "0 cases cannot be named"),
        (3, {"by": ["age"]}, "there is no column called 'age'"),
        (3, {"fold": 1}, "there is no fold 1"),
    ],
)
def test_what_cannot_be_listed_is_refused(home, n, options, message):
    with pytest.raises(UsageError, match=message):
        next_cases(open_data(None, home / "recipe.yaml", None, ()), n, **options)


def test_nothing_left_to_draw_is_said(home):
    table = pd.read_csv(home / "manifest.csv", dtype=str, keep_default_na=False)
    table[(table["mask"] != "") | (table["label"] == "0")].to_csv(
        home / "manifest.csv", index=False
    )
    with pytest.raises(UsageError, match="no training case is left to draw"):
        next_cases(open_data(None, home / "recipe.yaml", None, ()), 3)
