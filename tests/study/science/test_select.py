"""Which cases a level of a study uses, against counts by hand on tables drawn here."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segclf.core.config import SplitSettings
from segclf.core.errors import UsageError
from segclf.core.records import Case, MaskSource, MaskState
from segclf.manifest import CaseTable, make_split
from segclf.study.science.minutes import minutes_to_cases
from segclf.study.science.pool import Draw, PoolError
from segclf.study.science.select import (
    first_cases,
    with_group_share,
    with_prevalence,
    with_target_size,
)

PER_PATIENT = 2


@lru_cache
def drawn_of(share):
    return drawn({"train": 100, "val": 50, "test": 30}, share)


def drawn(sizes, share=0.4, seed=0, blank=()):
    """A table with two cases per patient; both are positive, or the first alone, or none."""
    rng = np.random.default_rng(seed)
    rows, cases = [], []
    for part, n_patients in sizes.items():
        for p in range(n_patients):
            n_positive = 0 if p >= share * n_patients else 1 + p % 2
            site = str(rng.choice(["A", "B"], p=[0.7, 0.3]))
            for image in range(PER_PATIENT):
                case_id = f"{part}{p:03d}-{image}"
                label = float(image < n_positive) if case_id not in blank else np.nan
                patient = f"{part}{p:03d}"
                cases.append(
                    Case(
                        case_id, (Path("x.png"),), (MaskSource(MaskState.UNKNOWN),), (label,),
                        patient,
                    )
                )  # fmt: skip
                rows.append(
                    {
                        "case_id": case_id, "patient_id": patient, "split": part,
                        "label_lesion": label, "site": site,
                        "size": ("small" if p % 3 else "large") if label == 1 else None,
                    }
                )  # fmt: skip
    frame = pd.DataFrame(rows)
    table = CaseTable(tuple(cases), frame, ("lesion",), {}, False, "0" * 64, Path())
    return table, make_split(table, SplitSettings(), 0)


@pytest.fixture(scope="module")
def pool():
    return drawn({"train": 100, "val": 50, "test": 30})


def labels_of(table):
    return {case.case_id: case.labels[0] for case in table.cases}


def share_of(table, ids):
    return np.mean([labels_of(table)[i] for i in ids])


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(8, 200), min_size=2, max_size=4),
    seed=st.integers(0, 5),
    number=st.integers(0, 5),
    share=st.sampled_from([0.05, 0.4, 0.9]),
)
def test_smaller_trainings_are_inside_larger_ones_and_patients_stay_whole(
    sizes, seed, number, share
):
    table, split = drawn_of(share)
    patient = {case.case_id: case.patient_id for case in table.cases}
    before = {"train": set(), "val": set()}
    for n in sorted(sizes):
        found = first_cases(table, split, n, draw=Draw(seed, number))
        # a patient has two images, so the nearest number of whole patients is off by one at most
        assert abs(len(found.train) - n) <= 1
        for part in ("train", "val"):
            now = set(getattr(found, part))
            assert before[part] <= now
            left = {i for i in patient if i.startswith(part)} - now
            assert not {patient[i] for i in now} & {patient[i] for i in left}
            before[part] = now
        assert set(found.test) == {i for i in patient if i.startswith("test")}


def test_the_class_mix_and_the_share_of_validation_follow_the_pool(pool):
    table, split = pool
    for n in (52, 100, 152):
        found = first_cases(table, split, n, draw=Draw(3))
        assert len(found.val) == n / 2
        # of 40 % of the patients, half have one positive image of two and half two: 30 % of images
        assert share_of(table, found.train) == pytest.approx(0.3, abs=0.05)
        assert share_of(table, found.val) == pytest.approx(0.3, abs=0.08)
    whole = first_cases(table, split, 200, draw=Draw(3))
    assert len(whole.train) == 200
    assert len(whole.val) == 100
    assert whole.notes["n_train_positive"] == 60
    assert whole.notes["n_train_patients"] == 100
    assert whole.notes["n_train_partial"] == 0


def test_few_cases_hold_two_patients_of_each_class_also_in_validation():
    table, split = drawn({"train": 100, "val": 50, "test": 30}, share=0.04)
    found = first_cases(table, split, 8, draw=Draw(0))
    for part in ("train", "val"):
        ids = getattr(found, part)
        positive = {i[:-2] for i in ids if labels_of(table)[i] == 1}
        assert len(positive) == 2
        assert len({i[:-2] for i in ids} - positive) == 2


def test_other_seeds_and_numbers_give_other_cases_and_the_same_ones_the_same(pool):
    table, split = pool
    first = first_cases(table, split, 40, draw=Draw(0))
    assert first_cases(table, split, 40, draw=Draw(0)) == first
    assert first_cases(table, split, 40, draw=Draw(0, 1)).train != first.train
    assert first_cases(table, split, 40, draw=Draw(1)).train != first.train
    low = with_prevalence(table, split, 0.1, 40, draw=Draw(0))
    assert with_prevalence(table, split, 0.1, 40, draw=Draw(0, 1)).train != low.train
    assert with_prevalence(table, split, 0.1, 40, draw=Draw(1)).train != low.train


def test_the_order_of_the_rows_does_not_matter(pool):
    table, _ = pool
    turned = CaseTable(
        table.cases[::-1],
        table.frame[::-1].reset_index(drop=True),
        ("lesion",),
        {},
        False,
        "",
        Path(),
    )
    again = make_split(turned, SplitSettings(), 0)
    for choose in (
        lambda t, s: first_cases(t, s, 60, draw=Draw(0)),
        lambda t, s: with_group_share(t, s, "site", "B", 0.2, 60, draw=Draw(0)),
    ):
        patients = [{i[:-2] for i in choose(*given).train} for given in (pool, (turned, again))]
        assert patients[0] == patients[1]


def test_cases_without_a_label_are_not_trained_on_but_stay_in_the_test():
    table, split = drawn(
        {"train": 20, "val": 20, "test": 20}, blank={"train000-0", "train019-1", "test000-0"}
    )
    found = first_cases(table, split, 38, draw=Draw(0))
    assert len(found.train) == 38
    assert not {"train000-0", "train019-1"} & set(found.train)
    assert "test000-0" in found.test


def test_folds_choose_among_their_own_cases():
    table, _ = drawn({"train": 100, "val": 50, "test": 30})
    free = CaseTable(
        table.cases, table.frame.drop(columns="split"), ("lesion",), {}, False, "", Path()
    )
    split = make_split(free, SplitSettings(folds=3), 0)
    for fold in range(3):
        found = first_cases(free, split, 60, draw=Draw(0, fold=fold))
        own = split[split["fold"] == fold].set_index("case_id")["split"]
        for part in ("train", "val", "test"):
            assert {own[i] for i in getattr(found, part)} == {part}
        assert set(found.test) == set(own.index[own == "test"])


@pytest.mark.parametrize("n", [7, 201])
def test_a_number_that_the_pool_cannot_give_is_refused_with_the_limits(pool, n):
    table, split = pool
    with pytest.raises(PoolError) as caught:
        first_cases(table, split, n, draw=Draw(0))
    text = str(caught.value)
    assert f"the training part cannot give {n} cases." in text
    assert "from 8 (those of 2 positive and 2 negative patients) to 200" in text
    assert caught.value.largest == 200


def test_an_unknown_finding_is_refused(pool):
    table, split = pool
    with pytest.raises(PoolError, match="there is no finding 'tumour'") as caught:
        first_cases(table, split, 40, draw=Draw(0, finding="tumour"))
    assert "one of lesion" in str(caught.value)


def test_prevalence_is_set_and_positives_are_nested(pool):
    table, split = pool
    label = labels_of(table)
    before, after = set(), None
    for prevalence, n_positive in ((0.02, 2), (0.03, 3), (0.1, 10), (0.25, 25), (0.5, 50)):
        found = with_prevalence(table, split, prevalence, 100, draw=Draw(0))
        assert len(found.train) == 100
        positive = {i for i in found.train if label[i] == 1}
        negative = set(found.train) - positive
        assert len(positive) == n_positive
        assert before <= positive
        assert after is None or negative <= after
        before, after = positive, negative
        # half of the pool of validation, which has 100 cases; at least two positives
        assert len(found.val) == 50
        n_val = {0.02: 2, 0.03: 2, 0.1: 5, 0.25: 13, 0.5: 25}[prevalence]
        assert sum(label[i] == 1 for i in found.val) == n_val
        assert len(found.test) == 60


def test_validation_is_smaller_where_it_cannot_have_the_prevalence(pool):
    table, split = drawn({"train": 100, "val": 50, "test": 30}, seed=1)
    blank = {c.case_id for c in table.cases if c.case_id.startswith("val") and c.labels[0] == 1}
    few, few_split = drawn({"train": 100, "val": 50, "test": 30}, seed=1, blank=sorted(blank)[:20])
    assert share_of(table, with_prevalence(table, split, 0.5, 100, draw=Draw(0)).val) == 0.5
    found = with_prevalence(few, few_split, 0.5, 100, draw=Draw(0))
    # 30 positives less 20 leave 10, and 10 of 20 (or of 19, rounded up) is the largest half
    assert sum(labels_of(few)[i] == 1 for i in found.val) == 10
    assert len(found.val) in (19, 20)


def test_too_high_a_prevalence_is_refused_with_the_largest_number(pool):
    table, split = pool
    with pytest.raises(PoolError) as caught:
        with_prevalence(table, split, 0.5, 140, draw=Draw(0))
    text = str(caught.value)
    assert "the training part has 60 positive cases, and 70 are needed." in text
    assert "140 training cases, 50 % of them positive" in text
    # 60 positives are half of 120, or of 119 rounded up
    assert "at most 120 training cases" in text
    assert caught.value.largest == 120


def test_too_low_a_prevalence_is_refused(pool):
    table, split = pool
    with pytest.raises(PoolError) as caught:
        with_prevalence(table, split, 0.01, 100, draw=Draw(0))
    assert "the training part would have 1 positive and" in str(caught.value)
    assert "at least 2 of each" in str(caught.value)


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.2])
def test_a_prevalence_outside_0_to_1_is_refused(pool, value):
    with pytest.raises(UsageError, match=f"prevalence is {value:g}"):
        with_prevalence(*pool, value, 100, draw=Draw(0))


def test_the_share_of_a_group_is_set_at_equal_prevalence(pool):
    table, split = pool
    label, site = labels_of(table), table.frame.set_index("case_id")["site"]
    before = set()
    for share in (0, 0.05, 0.1, 0.2):
        found = with_group_share(table, split, "site", "B", share, 100, draw=Draw(0))
        group = {i for i in found.train if site[i] == "B"}
        assert len(found.train) == 100
        # 60 of the 200 cases of the pool are positive, so 30 of 100; shares of 30 and of 70
        assert sum(label[i] == 1 for i in found.train) == 30
        n_positive, n_negative = {0: (0, 0), 0.05: (2, 4), 0.1: (3, 7), 0.2: (6, 14)}[share]
        assert sum(label[i] == 1 for i in group) == n_positive
        assert sum(label[i] == 0 for i in group) == n_negative
        assert found.notes["n_train_positive_with"] == n_positive
        assert found.notes["n_train_negative_with"] == n_negative
        assert found.notes["n_train_positive_without"] == 30 - n_positive
        assert before <= group
        assert len(found.test) == 60
        before = group


def test_a_group_of_positives_alone_cuts_only_these(pool):
    table, split = pool
    size = table.frame.set_index("case_id")["size"]
    found = with_group_share(table, split, "size", "small", 0.1, 50, draw=Draw(0))
    # 30 % of the pool are positive: 15 of 50, of which a tenth is 1.5, rounded up
    assert sum(size[i] == "small" for i in found.train) == 2
    assert sum(size[i] == "large" for i in found.train) == 13
    assert sum(labels_of(table)[i] == 0 for i in found.train) == 35


def test_a_group_that_is_too_small_is_refused_by_name(pool):
    with pytest.raises(PoolError, match=r"positive cases with site = B, and 27 are needed\."):
        with_group_share(*pool, "site", "B", 0.9, 100, draw=Draw(0))


def test_target_sizes_choose_positives_in_every_part_and_the_same_negatives(pool):
    table, split = pool
    label = labels_of(table)
    areas = {i: 0.001 * (1 + n % 4) for n, i in enumerate(sorted(label)) if label[i] == 1}
    negatives = []
    for lo, hi in ((0.0, 0.0025), (0.0025, 0.01)):
        found = with_target_size(table, split, areas, lo, hi, 50, draw=Draw(0))
        for part in ("train", "val", "test"):
            own = [i for i in getattr(found, part) if label[i] == 1]
            assert own
            assert all(lo <= areas[i] < hi for i in own)
        assert len(found.train) == 50
        assert sum(label[i] == 1 for i in found.train) == 15  # 30 % of the pool are positive
        in_test = {i for i in areas if i.startswith("test") and lo <= areas[i] < hi}
        assert {i for i in found.test if label[i] == 1} == in_test
        negatives.append({i for i in (*found.train, *found.test) if label[i] == 0})
    assert negatives[0] == negatives[1]
    half = with_target_size(table, split, areas, 0, 0.0025, 40, draw=Draw(0), prevalence=0.5)
    assert share_of(table, half.train) == 0.5


def test_a_bin_without_targets_is_refused(pool):
    with pytest.raises(PoolError, match="the test part would have 0 positive"):
        with_target_size(*pool, {}, 0.1, 0.2, 50, draw=Draw(0))
    with pytest.raises(UsageError, match=r"the bin from 0\.2 to 0\.1 holds no area"):
        with_target_size(*pool, {}, 0.2, 0.1, 50, draw=Draw(0))


def test_equal_minutes_buy_fewer_images_with_masks():
    # 100 min: at 0.5 min a label 200 images; 0.5 + 0.3 * 5 = 2 min with masks, so 50
    assert minutes_to_cases(100, 0.5, 5, 0.3) == (200, 50)
    assert minutes_to_cases(60, 0.1, 1.4, 0.0) == (600, 600)


@pytest.mark.parametrize(
    "numbers", [(0.1, 0.5, 5, 0.3), (100, 0, 5, 0.3), (100, 1, -1, 0.3), (9, 1, 1, 1.5)]
)
def test_minutes_that_buy_nothing_or_make_no_sense_are_refused(numbers):
    with pytest.raises(UsageError, match="these minutes buy no image for both"):
        minutes_to_cases(*numbers)
