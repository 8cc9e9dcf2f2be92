"""What every filter of pseudo-masks promises."""

import numpy as np
import pytest

from segclf.pseudolabel import DROPPED, EMPTY, FILTERS, KEPT, Cut, Predicted
from segclf.pseudolabel.decide import checked
from segclf.pseudolabel.table import REASONS


@pytest.fixture(params=sorted(FILTERS))
def rule(request):
    return FILTERS[request.param].rule


def cases():
    """Random maps of two findings, 2D and 3D, over all labels, counts and kinds of findings."""
    draw = np.random.default_rng(0)
    for shape in ((9, 7), (5, 4, 6)):
        for first in (0.0, 1.0, float("nan")):
            for second in (0.0, 1.0, float("nan")):
                for n in (None, 0, 1, 2):
                    for exclusive in (False, True):
                        raw = draw.dirichlet((1, 1, 2), size=shape).astype(np.float32)
                        yield Predicted(
                            raw=np.moveaxis(raw, -1, 0)[:2] * np.float32(0.999),
                            labels=(first, second),
                            cuts=(Cut(0.4, 8.0), Cut(0.2, 0.0)),
                            exclusive=exclusive,
                            absent=(first == 0, second == 0),
                            n_findings=(n, n),
                        )


def test_a_verdict_can_be_written_and_has_a_reason_with_a_sentence(rule):
    for predicted in cases():
        for k in (0, 1):
            verdict = checked(rule(predicted, k), predicted)
            assert verdict.action in (KEPT, EMPTY, DROPPED)
            assert verdict.reason in REASONS
            if verdict.action == EMPTY:
                assert not verdict.mask.any()


def test_it_changes_nothing_and_answers_the_same_again(rule):
    for predicted in cases():
        before = predicted.raw.copy(), predicted.probability.copy()
        first, second = rule(predicted, 0), rule(predicted, 0)
        np.testing.assert_array_equal(predicted.raw, before[0])
        np.testing.assert_array_equal(predicted.probability, before[1])
        assert first.reason == second.reason
        np.testing.assert_array_equal(first.mask, second.mask)


def test_masks_of_exclusive_findings_never_overlap(rule):
    n_both = 0
    for predicted in cases():
        masks = [rule(predicted, k).mask for k in (0, 1)]
        if predicted.exclusive and all(mask is not None for mask in masks):
            assert not ((masks[0] == 1) & (masks[1] == 1)).any()
            n_both += 1
    assert n_both > 3


def test_it_does_not_depend_on_where_in_the_image_something_is(rule):
    """Mirrored along every axis, the same pixels are kept (no two components are equally sure)."""
    for predicted in cases():
        axes = tuple(range(1, predicted.raw.ndim))
        mirrored = Predicted(
            raw=np.flip(predicted.raw, axes),
            labels=predicted.labels,
            cuts=predicted.cuts,
            exclusive=predicted.exclusive,
            absent=predicted.absent,
            n_findings=predicted.n_findings,
        )
        one, other = rule(predicted, 0), rule(mirrored, 0)
        assert one.reason == other.reason
        if one.mask is not None:
            np.testing.assert_array_equal(np.flip(one.mask), other.mask)
