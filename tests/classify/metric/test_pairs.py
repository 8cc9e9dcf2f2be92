import numpy as np
import pytest

from segclf.classify.metric.pairs import pairs_within, relations
from segclf.classify.metric.sampling import plan_pairs
from segclf.core.config import make_recipe
from segclf.core.errors import ConfigError, DataError
from segclf.core.randomness import generator
from segclf.manifest import read_manifest, read_pairs

PAIRS = {("a", "b"): True, ("a", "c"): False, ("b", "d"): False}


@pytest.fixture
def table(tmp_path):
    rows = ["case_id,image,label"]
    for name in "abcd":
        (tmp_path / f"{name}.png").write_bytes(b"")
        rows.append(f"{name},{name}.png,1")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    return read_manifest(make_recipe({"manifest": "manifest.csv"}, where="test"), base=tmp_path)


def read(table, *rows, header="case_a,case_b,similar"):
    (table.root / "pairs.csv").write_text("\n".join([header, *rows]) + "\n")
    return read_pairs("pairs.csv", table)


def test_a_table_of_pairs_is_read_whatever_the_order_of_a_pair(table):
    assert read(table, "b,a,1", "a,c,0", "a,b,1", "d,b,0") == PAIRS


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("a,x,1", "the case 'x' is not in the manifest"),
        ("a,a,1", "the case 'a' is paired with itself"),
        ("a,b,yes", "similar = 'yes' does not fit"),
        ("a,b,", "similar = '' does not fit"),
        ("c,a,1", "the pair 'c' and 'a' is both similar and dissimilar"),
    ],
)
def test_a_row_that_cannot_be_is_named(table, row, wrong):
    with pytest.raises(DataError, match=wrong) as caught:
        read(table, "a,c,0", row)
    assert caught.value.where == "pairs.csv, row 3"


def test_a_missing_column_and_a_missing_file_are_named(table):
    with pytest.raises(DataError, match="there is no column 'similar'"):
        read(table, "a,b,1", header="case_a,case_b,same")
    with pytest.raises(ConfigError, match=r"the table of pairs 'no.csv' cannot be used"):
        read_pairs("no.csv", table)
    with pytest.raises(ConfigError, match="cannot be used"):
        read_pairs("../pairs.csv", table)


def test_pairs_of_a_part_have_both_cases_in_it(table):
    cases = [case for case in table.cases if case.case_id != "d"]
    assert pairs_within(PAIRS, cases, "train") == {("a", "b"): True, ("a", "c"): False}
    with pytest.raises(DataError, match="the val part has 1 similar and 0 dissimilar pairs"):
        pairs_within(PAIRS, cases[:2], "val")
    with pytest.raises(DataError, match="the val part has 0 similar and 0 dissimilar pairs"):
        pairs_within(PAIRS, cases[2:], "val")


@pytest.mark.parametrize("extra", [0, 100])
def test_relations_are_known_for_listed_pairs_alone(extra):
    pairs = PAIRS | {(f"x{i}", f"y{i}"): True for i in range(extra)}  # few or many in the table
    nan = np.nan
    expected = [
        [nan, 1, 0, nan, 1],
        [1, nan, nan, 0, nan],
        [0, nan, nan, nan, nan],
        [nan, 0, nan, nan, 0],
        [1, nan, nan, 0, nan],
    ]
    found = relations(list("abcdb"), pairs)  # the fifth is the second once more
    np.testing.assert_array_equal(found, expected)


def test_a_batch_has_as_many_similar_as_dissimilar_pairs_and_each_comes_equally_often():
    ids = [f"c{i}" for i in range(12)]
    pairs = {(ids[i], ids[i + 6]): i < 2 for i in range(6)}
    plan = plan_pairs(pairs, ids, seed=3, batch_size=8)
    seen = []
    for step in range(6):
        drawn = [index for index, _ in plan.draw(step)]
        couples = list(zip(drawn[::2], drawn[1::2], strict=True))
        assert sum(pairs[ids[a], ids[b]] for a, b in couples) == 2
        seen += couples
    counts = [seen.count((i, i + 6)) for i in range(6)]
    assert counts == [6, 6, 3, 3, 3, 3]
    again = plan_pairs(pairs, ids, seed=3, batch_size=8)
    generator(3, "something else").random()
    assert again.draw(5) == plan.draw(5)
    other = plan_pairs(pairs, ids, seed=4, batch_size=8)
    assert [other.draw(step) for step in range(9)] != [plan.draw(step) for step in range(9)]


def test_a_case_that_comes_again_is_changed_in_another_way():
    plan = plan_pairs(PAIRS, list("abcd"), seed=0, batch_size=4)
    epochs = [epoch for step in range(4) for index, epoch in plan.draw(step)[:2]]
    assert epochs == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_batch_that_cannot_hold_both_kinds_of_pairs_is_refused():
    with pytest.raises(ConfigError, match="a batch of 6 cannot hold") as caught:
        plan_pairs(PAIRS, list("abcd"), seed=0, batch_size=6)
    assert caught.value.fix == "set train.batch_size: 8"
