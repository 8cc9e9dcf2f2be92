"""Every branch of every filter on hand-made maps: exact masks, actions and reasons."""

import math

import numpy as np
import pytest
from scipy.special import expit, logit

from segclf.core.pseudolabel_settings import PseudolabelSettings
from segclf.pseudolabel import FILTERS, Cut, Predicted
from segclf.pseudolabel.filters import fewest_above, label_confidence

NAN = float("nan")
TWO_SPOTS = [
    "9900",
    "9000",
    "0006",
    "0066",
]
"""Tenths: a spot of three pixels at 0.9 and one of three at 0.6, which share no face."""


def tenths(rows):
    return np.array([[int(digit) / 10 for digit in row] for row in rows], dtype=np.float32)


def ask(name, maps, labels, *, t=0.5, tau=2.0, unit="px", settings=None, k=0, **more):
    """The verdict of a filter on finding `k` of hand-made maps, given as rows of tenths."""
    raw = np.stack([tenths(rows) if isinstance(rows, list) else rows for rows in maps])
    before = raw.copy()
    predicted = Predicted(
        raw=raw,
        labels=labels,
        cuts=(Cut(t, tau, unit),) * len(maps),
        settings=PseudolabelSettings(**(settings or {})),
        **({"n_findings": (None,) * len(maps)} | more),
    )
    verdict = FILTERS[name].rule(predicted, k)
    np.testing.assert_array_equal(raw, before)  # a filter changes nothing
    return verdict


def rows_of(mask):
    return None if mask is None else ["".join(str(value) for value in row) for row in mask.tolist()]


WHOLE = ["1100", "1000", "0001", "0011"]
NOTHING = ["0000", "0000", "0000", "0000"]
HALF_MM2 = {"unit": "mm2", "px_size": 0.5}
TABLE = [
    # filter, label, further, action, reason, mask
    ("none", NAN, {}, "kept", "no_filter", WHOLE),
    ("none", 0.0, {}, "kept", "no_filter", WHOLE),
    ("none", 1.0, {"t": 0.7}, "kept", "no_filter", ["1100", "1000", "0000", "0000"]),
    ("none", 1.0, {"t": 0.95}, "kept", "no_filter", NOTHING),
    ("label", NAN, {}, "kept", "label_unknown", WHOLE),
    ("label", 1.0, {"tau": 5.0}, "kept", "label_agrees", WHOLE),
    ("label", 1.0, {"tau": 6.0}, "dropped", "label_1_predicted_0", None),
    ("label", 0.0, {"tau": 6.0}, "kept", "label_agrees", WHOLE),
    ("label", 0.0, {"tau": 5.0}, "dropped", "label_0_predicted_1", None),
    ("label", 1.0, {"unit": "mm2"}, "dropped", "no_pixel_size", None),
    ("boosted", 0.0, {}, "empty", "label_0", NOTHING),
    ("boosted", 0.0, {"unit": "mm2"}, "empty", "label_0", NOTHING),
    ("boosted", 1.0, {"tau": 5.0}, "kept", "label_1_above_tau", WHOLE),
    ("boosted", 1.0, {"tau": 6.0}, "dropped", "label_1_not_above_tau", None),
    ("boosted", 1.0, {"tau": 7.0}, "dropped", "label_1_not_above_tau", None),
    ("boosted", 1.0, {"unit": "mm2"}, "dropped", "no_pixel_size", None),
    # six pixels of 0.5 mm2 are 3 mm2; 6 of 16 pixels are 37.5 %
    ("boosted", 1.0, HALF_MM2 | {"tau": 2.9}, "kept", "label_1_above_tau", WHOLE),
    ("boosted", 1.0, HALF_MM2 | {"tau": 3.0}, "dropped", "label_1_not_above_tau", None),
    ("boosted", 1.0, {"unit": "%", "tau": 37.4}, "kept", "label_1_above_tau", WHOLE),
    ("boosted", 1.0, {"unit": "%", "tau": 37.5}, "dropped", "label_1_not_above_tau", None),
    # tau 2: the third largest probability, 0.9, decides; tau 3: the fourth, 0.6
    ("boosted", NAN, {"tau": 2.0}, "kept", "label_unknown_sure", WHOLE),
    ("boosted", NAN, {"tau": 3.0}, "dropped", "label_unknown_unsure", None),
    # tau 6: the seventh is 0, so the case is surely negative, and its small mask stays
    ("boosted", NAN, {"tau": 6.0}, "kept", "label_unknown_sure", WHOLE),
    # t 0.7: negative for tau 3, but the fourth is 0.6: 0.61 sure
    ("boosted", NAN, {"tau": 3.0, "t": 0.7}, "dropped", "label_unknown_unsure", None),
    ("boosted", NAN, {"tau": 16.0}, "kept", "label_unknown_sure", WHOLE),
    ("count", NAN, {}, "dropped", "count_unknown", None),
    ("count", 1.0, {}, "dropped", "count_unknown", None),
    ("count", 0.0, {}, "empty", "label_0", NOTHING),
    ("count", NAN, {"n_findings": (0,)}, "empty", "count_0", NOTHING),
    ("count", 0.0, {"n_findings": (0,)}, "empty", "count_0", NOTHING),
    ("count", 0.0, {"n_findings": (1,)}, "dropped", "count_contradicts_label", None),
    ("count", 1.0, {"n_findings": (0,)}, "dropped", "count_contradicts_label", None),
    ("count", 1.0, {"n_findings": (1,)}, "kept", "most_confident_components",
     ["1100", "1000", "0000", "0000"]),
    ("count", NAN, {"n_findings": (2,)}, "kept", "as_many_components_as_count", WHOLE),
    ("count", 1.0, {"n_findings": (3,)}, "dropped", "fewer_components_than_count", None),
    ("count", 1.0, {"n_findings": (1,), "t": 0.95}, "dropped", "fewer_components_than_count", None),
    ("confidence", NAN, {}, "kept", "sure_pixels", ["1100", "1000", "0002", "0022"]),
    ("confidence", 0.0, {}, "kept", "sure_pixels", ["1100", "1000", "0002", "0022"]),
    ("confidence", 1.0, {"settings": {"uncertain": (0.05, 0.95)}}, "kept", "sure_pixels",
     ["2200", "2000", "0002", "0022"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "label", "more", "action", "reason", "mask"), TABLE)
def test_a_filter_on_two_spots(name, label, more, action, reason, mask):
    verdict = ask(name, [TWO_SPOTS], (label,), **more)
    assert (verdict.action, verdict.reason) == (action, reason)
    assert rows_of(verdict.mask) == mask
    assert verdict.kind == ("uncertain" if name == "confidence" else "full")


def test_the_table_has_every_filter():
    assert {name for name, *_ in TABLE} == set(FILTERS)


def test_a_pixel_at_t_is_outside():
    assert rows_of(ask("none", [np.array([[0.5, 0.5000001]])], (1.0,), t=0.5).mask) == ["01"]


def test_a_map_without_a_sure_pixel_is_dropped():
    verdict = ask("confidence", [["56", "46"]], (1.0,))
    assert (verdict.action, verdict.reason, verdict.mask) == ("dropped", "no_sure_pixel", None)


@pytest.mark.parametrize(("low", "high"), [(0.35, 0.65), (0.2, 0.9)])
def test_an_uncertain_pixel_never_becomes_background(low, high):
    """All 1001 probabilities in steps of 0.001, the bounds themselves among them."""
    p = np.arange(1001, dtype=np.float64).reshape(7, 143) / 1000
    verdict = ask("confidence", [p], (1.0,), settings={"uncertain": (low, high)})
    between = (p >= low) & (p <= high)
    assert (verdict.mask[between] == 2).all()
    assert (verdict.mask[p < low] == 0).all()
    assert (verdict.mask[p > high] == 1).all()
    assert between.sum() == round((high - low) * 1000) + 1


def test_of_equally_confident_components_the_larger_then_the_first_is_kept():
    maps = [["9000", "0099", "0000", "9000"]]
    one = ask("count", maps, (1.0,), n_findings=(1,))
    assert rows_of(one.mask) == ["0000", "0011", "0000", "0000"]
    two = ask("count", maps, (1.0,), n_findings=(2,))
    assert rows_of(two.mask) == ["1000", "0011", "0000", "0000"]


def test_a_confident_pixel_beats_a_large_component():
    verdict = ask("count", [["8880", "8880", "0000", "0009"]], (1.0,), n_findings=(1,))
    assert rows_of(verdict.mask) == ["0000", "0000", "0000", "0001"]


def test_pixels_that_share_a_corner_alone_are_two_components():
    verdict = ask("count", [["9000", "0800", "0000", "0000"]], (1.0,), n_findings=(1,))
    assert rows_of(verdict.mask) == ["1000", "0000", "0000", "0000"]


@pytest.mark.parametrize("name", ["none", "label", "boosted", "count", "confidence"])
def test_a_volume_is_filtered_like_its_slices(name):
    """The two spots in a slice between empty ones: the same pixels, and as many components."""
    flat = tenths(TWO_SPOTS)
    volume = np.stack([np.zeros((4, 4), np.float32), flat, np.zeros((4, 4), np.float32)], axis=2)
    of_slice = ask(name, [TWO_SPOTS], (1.0,), n_findings=(1,))
    of_volume = ask(name, [volume], (1.0,), n_findings=(1,))
    assert of_volume.reason == of_slice.reason
    np.testing.assert_array_equal(of_volume.mask[:, :, 1], of_slice.mask)
    assert not of_volume.mask[:, :, [0, 2]].any()


def test_the_volume_of_a_voxel_counts_in_millilitres():
    volume = np.stack([tenths(TWO_SPOTS)] * 2, axis=2)  # 12 voxels of 500 mm3 are 6 mL
    more = {"unit": "mL", "px_size": 500.0}
    assert ask("boosted", [volume], (1.0,), tau=5.9, **more).action == "kept"
    assert ask("boosted", [volume], (1.0,), tau=6.0, **more).action == "dropped"


def test_each_finding_is_filtered_by_its_own_label_and_cut():
    maps = [tenths(TWO_SPOTS), tenths(["0000", "0990", "0990", "0000"]), tenths(TWO_SPOTS)]
    predicted = Predicted(
        raw=np.stack(maps),
        labels=(1.0, 0.0, NAN),
        cuts=(Cut(0.5, 5.0), Cut(0.5, 0.0), Cut(0.7, 2.0)),
        n_findings=(None,) * 3,
    )
    found = [FILTERS["boosted"].rule(predicted, k) for k in range(3)]
    assert [v.reason for v in found] == ["label_1_above_tau", "label_0", "label_unknown_sure"]
    assert rows_of(found[0].mask) == WHOLE
    assert rows_of(found[1].mask) == NOTHING
    assert rows_of(found[2].mask) == ["1100", "1000", "0000", "0000"]


# Exclusive findings: A, B, and background has what is missing to 1.
A_MAP = ["8540", "1200"]
B_MAP = ["1450", "7100"]


def exclusive(labels, *, absent, name="boosted", k=0, t=(0.3, 0.3), tau=0.0, taken=None):
    predicted = Predicted(
        raw=np.stack([tenths(A_MAP), tenths(B_MAP)]),
        labels=labels,
        cuts=tuple(Cut(each, tau) for each in t),
        exclusive=True,
        absent=absent,
        taken=taken,
        n_findings=(None, None),
    )
    return FILTERS[name].rule(predicted, k)


def test_a_pixel_of_two_exclusive_findings_is_of_the_more_probable_one():
    # (0, 1) is A 0.5, B 0.4: A's; (0, 2) is A 0.4, B 0.5: B's
    both = {"labels": (1.0, 1.0), "absent": (False, False)}
    assert rows_of(exclusive(**both, k=0).mask) == ["1100", "0000"]
    assert rows_of(exclusive(**both, k=1).mask) == ["0010", "1000"]


def test_pixels_of_an_excluded_finding_go_to_the_next_one_or_to_background():
    """B is not there. (0, 0): A 0.8 of 0.9; (0, 1): 0.5 of 0.6; (0, 2): 0.4 of 0.5 = 0.8, taken
    from B; (1, 0): 0.1 of 0.3 = 0.33, above t 0.3 from B; (1, 1): 0.2 of 0.9 = 0.22, background."""
    labels = {"labels": (1.0, 0.0), "absent": (False, True)}
    assert rows_of(exclusive(**labels, k=0).mask) == ["1110", "1000"]
    assert rows_of(exclusive(**labels, k=0, t=(0.4, 0.4)).mask) == ["1110", "0000"]
    of_b = exclusive(**labels, k=1)
    assert (of_b.action, rows_of(of_b.mask)) == ("empty", ["0000", "0000"])


def test_the_area_of_an_exclusive_finding_is_that_of_the_mask_that_would_be_written():
    labels = {"labels": (1.0, 0.0), "absent": (False, True)}
    assert exclusive(**labels, tau=3.0).reason == "label_1_above_tau"
    assert exclusive(**labels, tau=4.0).reason == "label_1_not_above_tau"
    known = {"labels": (1.0, 1.0), "absent": (False, False)}
    assert exclusive(**known, tau=1.0).reason == "label_1_above_tau"
    assert exclusive(**known, tau=2.0).reason == "label_1_not_above_tau"


def test_what_a_person_drew_as_one_finding_is_not_another():
    taken = np.zeros((2, 4), dtype=bool)
    taken[0, 1:3] = True
    found = exclusive((1.0, 1.0), absent=(False, True), k=0, taken=taken)
    assert rows_of(found.mask) == ["1000", "1000"]


def test_a_pixel_of_almost_nothing_but_an_excluded_finding_is_background():
    raw = np.array([[[1e-7, 0.5]], [[1.0, 0.25]]], dtype=np.float32)
    predicted = Predicted(
        raw=raw, labels=(1.0, 0.0), cuts=(Cut(0.5, 0.0),) * 2, exclusive=True, absent=(False, True)
    )
    np.testing.assert_allclose(predicted.probability, [[[0.0, 2 / 3]], [[0.0, 0.0]]], rtol=1e-6)


def test_independent_findings_do_not_exclude_each_other():
    predicted = Predicted(
        raw=np.stack([tenths(A_MAP), tenths(B_MAP)]),
        labels=(1.0, 0.0),
        cuts=(Cut(0.3, 0.0),) * 2,
        absent=(False, True),
    )
    assert rows_of(predicted.mask(0).astype(int)) == ["1110", "0000"]


@pytest.mark.parametrize(("tau", "px_size", "unit"), [
    (0.0, NAN, "px"), (2.5, NAN, "px"), (7.0, NAN, "px"), (0.3, 0.1, "mm2"), (0.7, 0.1, "mm2"),
    (12.5, NAN, "%"), (33.0, NAN, "%"), (2e-4, 0.1, "mL"),
])  # fmt: skip
def test_the_fewest_pixels_above_tau_are_found_by_counting(tau, px_size, unit):
    predicted = Predicted(
        raw=np.zeros((1, 4, 4)), labels=(1.0,), cuts=(Cut(0.5, tau, unit),), px_size=px_size
    )
    counted = next(n for n in range(1, 99) if predicted.area(n, 0) > tau)
    assert fewest_above(predicted, 0) == counted


def test_the_confidence_of_a_label_is_how_far_t_can_move():
    """Against the definition: move t over a fine grid and see when the label changes.

    What counts is how far, as a change of log odds.
    """
    draw = np.random.default_rng(0)
    for tau in (0.0, 3.0, 10.0):
        raw = draw.random((1, 6, 6))
        for t in (0.2, 0.5, 0.8):
            predicted = Predicted(raw=raw, labels=(NAN,), cuts=(Cut(t, tau),))
            positive = bool((raw > t).sum() > tau)
            grid = np.linspace(0, 1, 100_001)
            areas = raw.size - np.searchsorted(np.sort(raw, axis=None), grid, side="right")
            last = grid[areas > tau].max()  # above it the label is negative
            moved = logit(last) - logit(t)
            found = label_confidence(predicted, 0, is_positive=positive)
            assert found == pytest.approx(expit(moved if positive else -moved), abs=5e-5)


@pytest.mark.parametrize(("p", "reason", "confidence"), [
    (0.012, "unsure", 0.546),  # odds 0.01215 against 0.0101 of t: 1.2 : 1
    (0.03, "sure", 0.754),  # 0.03093 against 0.0101: 3.06 : 1
    (0.009, "unsure", 0.527),  # negative: 0.00908, 1 : 1.11
    (0.002, "sure", 0.834),  # negative: 0.00200, 1 : 5.04
])  # fmt: skip
def test_a_small_fitted_t_makes_neither_every_negative_sure_nor_every_positive_unsure(
    p, reason, confidence
):
    verdict = ask("boosted", [np.full((4, 4), p)], (NAN,), t=0.01, tau=2.0)
    assert verdict.reason == f"label_unknown_{reason}"
    assert verdict.confidence == pytest.approx(confidence, abs=5e-4)


def test_the_confidence_is_told_where_it_decides():
    assert ask("boosted", [TWO_SPOTS], (NAN,), tau=3.0).confidence == pytest.approx(0.6)
    assert ask("boosted", [TWO_SPOTS], (1.0,), tau=3.0).confidence is None
    negative = ask("boosted", [TWO_SPOTS], (NAN,), tau=3.0, t=0.7)
    assert negative.confidence == pytest.approx(14 / 23)  # odds 7 / 3 of t, 3 / 2 of the fourth
    assert not math.isnan(negative.confidence)
