"""Trap sets by dropping cases, against scikit-learn's phi and counts by hand."""

import math
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import matthews_corrcoef

from segclf.core.config import SplitSettings, load_recipe
from segclf.core.errors import UsageError
from segclf.core.records import Case, MaskSource, MaskState
from segclf.manifest import CaseTable, make_split, read_manifest
from segclf.study.science.feature import feature_of
from segclf.study.science.pool import Draw, PoolError
from segclf.study.science.trap import with_shortcut

CELLS = ("positive with", "positive without", "negative with", "negative without")
EVEN = (40, 40, 40, 40)


def table_of(train, val, test, per_patient=1):
    """A table with these numbers of cases per cell (see CELLS), patients within a cell."""
    rows, cases = [], []
    for part, sizes in (("train", train), ("val", val), ("test", test)):
        for cell, n in enumerate(sizes):
            for i in range(n):
                case_id, patient = f"{part}-{cell}-{i}", f"{part}-{cell}-{i // per_patient}"
                label, tube = float(cell < 2), int(cell % 2 == 0)
                state = (MaskSource(MaskState.UNKNOWN),)
                cases.append(Case(case_id, (Path("x.png"),), state, (label,), patient))
                rows.append((case_id, patient, part, label, tube, 20.5 + 50 * tube))
    names = ["case_id", "patient_id", "split", "label_lesion", "tube", "age"]
    frame = pd.DataFrame(rows, columns=names)
    table = CaseTable(tuple(cases), frame, ("lesion",), {}, False, "", Path())
    return table, make_split(table, SplitSettings(), 0)


def arrays(table, ids):
    frame = table.frame.set_index("case_id").loc[list(ids)]
    return frame["label_lesion"].to_numpy() == 1, frame["tube"].to_numpy() == 1


def counts(notes, part):
    return tuple(notes[f"n_{part}_{cell.replace(' ', '_')}"] for cell in CELLS)


def test_the_shortcut_goes_with_the_label_in_training_and_against_it_in_the_test():
    table, split = table_of(EVEN, (20,) * 4, EVEN)
    rhos = (0.5, 0.75, 1.0)
    for rho in rhos:
        found = with_shortcut(table, split, "tube", None, rho, rhos=rhos, draw=Draw(0))
        for part, expected in (("train", rho), ("val", rho), ("test", 1 - rho)):
            label, tube = arrays(table, getattr(found, part))
            assert np.mean(label == tube) == expected
            assert np.mean(label) == 0.5
            # at rho 1 the 40 (20) positives with and the 40 (20) negatives without are all there is
            assert len(label) == (40 if part == "val" else 80)
            assert counts(found.notes, part) == (
                (label & tube).sum(), (label & ~tube).sum(),
                (~label & tube).sum(), (~label & ~tube).sum(),
            )  # fmt: skip
            assert found.notes[f"phi_{part}"] == pytest.approx(matthews_corrcoef(label, tube))
            assert found.notes[f"phi_{part}_before"] == 0


def test_counts_by_hand_of_an_uneven_pool():
    # 30 positives (24 with), 70 negatives (14 with): prevalence 0.3; n cases have 0.3 n positives
    pool = (24, 6, 14, 56)
    table, split = table_of(pool, pool, pool)
    rhos = (0.5, 0.9)
    found = {r: with_shortcut(table, split, "tube", None, r, rhos=rhos, draw=Draw(0)) for r in rhos}
    # At 0.5 half the positives are without: at most 6 of 12 or 13, and half the negatives with:
    # 14 of 28 or 29 of 0.7 n. The largest n: 0.3 n rounds to at most 12, as 13 needs 7 with and 6
    # without (7 of 13 are with, rounded up), so 13 fits and 14 does not: n = 44 or 45 have 13.2 and
    # 13.5. Negatives: n = 41 has 12 and 29 (15 with: too many), 40 has 12 and 28. So n = 40.
    for part, with_half, with_most in (
        ("train", (6, 6, 14, 14), (11, 1, 3, 25)),
        ("val", (6, 6, 14, 14), (11, 1, 3, 25)),
    ):
        assert counts(found[0.5].notes, part) == with_half
        assert counts(found[0.9].notes, part) == with_most
    # In the test at 0.9: 90 % of the positives without, at most 6; so 7 positives (1 with), as 0.7
    # rounds to 1; 90 % of the negatives with, at most 14, so at most 16 negatives (14.4, rounded to
    # 14). n = 23 has 6.9, rounded to 7, and 16.
    assert counts(found[0.9].notes, "test") == (1, 6, 14, 2)
    assert counts(found[0.5].notes, "test") == (4, 3, 8, 8)


@settings(max_examples=30, deadline=None)
@given(
    cells=st.lists(st.tuples(*(st.integers(4, 30),) * 4), min_size=3, max_size=3),
    rhos=st.lists(st.sampled_from([0.3, 0.5, 0.6, 0.8, 0.95]), min_size=1, max_size=3, unique=True),
    seed=st.integers(0, 3),
)
def test_all_levels_have_as_many_cases_and_phi_agrees_with_scikit_learn(cells, rhos, seed):
    table, split = table_of(*cells)
    sizes = set()
    for rho in rhos:
        try:
            found = with_shortcut(table, split, "tube", None, rho, rhos=rhos, draw=Draw(seed))
        except PoolError:  # at every level, or at none
            sizes.add(None)
            continue
        sizes.add(tuple(len(getattr(found, part)) for part in ("train", "val", "test")))
        for part in ("train", "val", "test"):
            label, tube = arrays(table, getattr(found, part))
            phi = found.notes[f"phi_{part}"]
            assert phi == pytest.approx(matthews_corrcoef(label, tube)) or phi is None
            assert (phi is None) == (len({*tube}) == 1)
            before = arrays(table, [c.case_id for c in table.cases if c.case_id.startswith(part)])
            assert abs(label.sum() - before[0].mean() * len(label)) <= 0.5 + 1e-9
            agrees = 1 - rho if part == "test" else rho
            assert abs((label & tube).sum() - agrees * label.sum()) <= 0.5 + 1e-9
            assert abs((~label & tube).sum() - (1 - agrees) * (~label).sum()) <= 0.5 + 1e-9
    assert len(sizes) == 1


def test_fewer_cases_are_inside_more_of_them_and_validation_shrinks_with_them():
    table, split = table_of(EVEN, EVEN, EVEN)
    made = [
        with_shortcut(table, split, "tube", None, 0.75, n, rhos=(0.5, 0.75), draw=Draw(0))
        for n in (20, 40, 60, None)
    ]
    for few, more in pairwise(made):
        assert set(few.train) < set(more.train)
        assert set(few.val) < set(more.val)
        assert few.test == more.test
    # 53 of each class at 0.75: 40 with (39.75, rounded up) and 13 without; 54 would need 41 with
    assert [len(one.train) for one in made] == [20, 40, 60, 106]
    assert [len(one.val) for one in made] == [20, 40, 60, 106]


def test_patients_whose_cases_agree_are_whole_but_for_the_edges_of_a_cell():
    table, split = table_of((40, 40, 40, 40), (40,) * 4, (40,) * 4, per_patient=4)
    found = with_shortcut(table, split, "tube", None, 0.9, 40, rhos=(0.9,), draw=Draw(0))
    kept = pd.Series(
        [i.rsplit("-", 1)[0] + str(int(i.rsplit("-", 1)[1]) // 4) for i in found.train]
    )
    # cells of 18, 2, 2 and 18 cases: 2 begin with one case each of two patients; of 18 cases, four
    # patients are whole and one gives two
    whole = (kept.value_counts() == 4).sum()
    assert whole == 8
    assert found.notes["n_train_partial"] == kept.nunique() - whole == 6


def test_a_number_can_be_the_feature():
    table, split = table_of(EVEN, EVEN, EVEN)
    by_tube = with_shortcut(table, split, "tube", None, 0.9, rhos=(0.9,), draw=Draw(0))
    for value in (">60", "> 60.0", ">=70.5", 70.5):
        assert with_shortcut(table, split, "age", value, 0.9, rhos=(0.9,), draw=Draw(0)) == by_tube
    young = feature_of(table, "age", "<60")
    assert young == {c.case_id: c.case_id.split("-")[1] in "13" for c in table.cases}


def test_cases_with_a_blank_cell_are_dropped():
    table, split = table_of(EVEN, EVEN, EVEN)
    frame = table.frame.copy()
    frame["tube"] = frame["tube"].astype(float)
    frame.loc[[0, 1], "tube"] = math.nan
    holed = CaseTable(table.cases, frame, ("lesion",), {}, False, "", Path())
    for column, value in (("tube", None), ("tube", ">0.5")):
        found = with_shortcut(holed, split, column, value, 0.9, rhos=(0.9,), draw=Draw(0))
        assert not {"train-0-0", "train-0-1"} & set(found.train)


def test_too_small_a_pool_is_refused_with_its_counts():
    table, split = table_of(EVEN, EVEN, (30, 0, 9, 30))
    with pytest.raises(PoolError) as caught:
        with_shortcut(table, split, "tube", None, 0.9, rhos=(0.5, 0.9), draw=Draw(0))
    text = str(caught.value)
    assert "the test part cannot give 4 cases at every rho of 0.5, 0.9." in text
    assert (
        "tube: 30 positive with, 0 positive without, 9 negative with, 30 negative without" in text
    )
    assert "ask for fewer cases (--sizes)" in text
    table, split = table_of(EVEN, EVEN, EVEN)
    with pytest.raises(PoolError, match="the training part cannot give 100 cases") as caught:
        with_shortcut(table, split, "tube", None, 1.0, 100, rhos=(1.0,), draw=Draw(0))
    assert caught.value.largest == 80


def test_a_rho_that_is_no_level_and_a_column_that_does_not_fit_are_refused():
    table, split = table_of(EVEN, EVEN, EVEN)
    with pytest.raises(UsageError, match=r"rho is 0\.7, the levels are 0\.5, 0\.9"):
        with_shortcut(table, split, "tube", None, 0.7, rhos=(0.5, 0.9), draw=Draw(0))
    with pytest.raises(UsageError, match="column 'age' is not a column of 0 and 1"):
        feature_of(table, "age")
    with pytest.raises(UsageError, match="'tub'") as caught:
        feature_of(table, "tub", ">1")
    assert "tube" in str(caught.value)
    with pytest.raises(PoolError, match="the column 'split' does not hold numbers alone"):
        feature_of(table, "split", ">1")
    with pytest.raises(UsageError, match="no case has tube = 7"):
        feature_of(table, "tube", 7)


@pytest.mark.realdata
def test_real_slices_with_and_without_a_fracture_are_counted():
    data = os.environ.get("SEGCLF_REALDATA")
    if not data:
        pytest.skip("SEGCLF_REALDATA is not set")
    recipe = load_recipe(Path(__file__).parents[3] / "configs" / "ct_ich_2d.yaml")
    table = read_manifest(recipe)
    folds = pd.read_csv(Path(data) / "ct_ich_folds.csv", dtype={"patient_id": str})
    split = make_split(table, recipe.split, 0, fold_table=folds)
    manifest = pd.read_csv(Path(data) / "ct_ich_2d" / "manifest.csv").set_index("image")
    manifest.index = [Path(name).stem for name in manifest.index]
    found = with_shortcut(
        table, split, "skull_fracture", None, 0.9, rhos=(0.9,), draw=Draw(0, fold=2)
    )
    for part, rho in (("train", 0.9), ("val", 0.9), ("test", 0.1)):
        own = manifest.loc[list(getattr(found, part))]
        agree = own["label"] == own["skull_fracture"]
        assert agree.mean() == pytest.approx(rho, abs=1 / len(own))
        phi = matthews_corrcoef(own["label"], own["skull_fracture"])
        assert found.notes[f"phi_{part}"] == pytest.approx(phi)
