"""What must not change the numbers, whatever the data (hypothesis)."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segclf.core.settings import EvaluateSettings
from segclf.evaluate import evaluate_scores
from segclf.evaluate.inference import kernel
from segclf.evaluate.metrics.ranking import (
    PARTIAL_SPECIFICITY,
    auroc,
    average_precision,
    partial_auroc,
)
from segclf.evaluate.resample import _marks

CASES = st.lists(
    st.tuples(st.booleans(), st.integers(-4, 4), st.integers(0, 3)), min_size=1, max_size=25
)


def unpack(cases):
    label, score, weight = (np.array(values) for values in zip(*cases, strict=True))
    return label.astype(int), score.astype(float), weight


def compiled(label, score, weight):
    """AUROC, average precision and partial area by the compiled pass; a case is a patient."""
    order = np.argsort(-score, kind="stable")
    start = np.array([0, len(label)])
    mark = _marks(score[order], label[order] == 1, start)
    found, totals = np.empty((3, 1, 1)), np.empty((1, 2, 1), np.int32)
    weights = weight[:, None].astype(np.uint8)
    rows = (order.astype(np.int32), mark, start, weights)
    kernel.rank_cells(*rows, found[0], found[1], totals)
    assert totals.ravel().tolist() == [weight[label == kind].sum() for kind in (0, 1)]
    kernel.rank_top(*rows, totals, 1 - PARTIAL_SPECIFICITY, found[2])
    return found[:, 0, 0]


@settings(max_examples=200, deadline=None)
@given(CASES)
def test_the_compiled_pass_and_the_plain_definition_agree(cases):
    label, score, weight = unpack(cases)
    plain = [auroc(label, score, weight), average_precision(label, score, weight)]
    plain += [partial_auroc(label, score, weight, low=PARTIAL_SPECIFICITY)]
    np.testing.assert_allclose(compiled(label, score, weight), plain, rtol=1e-12, atol=1e-15)


@settings(max_examples=100, deadline=None)
@given(CASES)
def test_a_monotone_change_of_scores_changes_nothing(cases):
    label, score, weight = unpack(cases)
    np.testing.assert_array_equal(
        compiled(label, np.exp(score / 2), weight), compiled(label, score, weight)
    )


@settings(max_examples=100, deadline=None)
@given(CASES, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(cases, random):
    shuffled = random.sample(cases, len(cases))
    np.testing.assert_array_equal(compiled(*unpack(shuffled)), compiled(*unpack(cases)))


@settings(max_examples=100, deadline=None)
@given(CASES)
def test_swapping_labels_and_the_sign_of_scores_keeps_the_auroc(cases):
    label, score, weight = unpack(cases)
    swapped, kept = compiled(1 - label, -score, weight)[0], compiled(label, score, weight)[0]
    np.testing.assert_allclose(swapped, kept, rtol=1e-15)


@settings(max_examples=100, deadline=None)
@given(CASES)
def test_the_sign_of_scores_alone_mirrors_the_auroc(cases):
    label, score, weight = unpack(cases)
    mirrored = 1 - compiled(label, -score, weight)[0]
    np.testing.assert_allclose(mirrored, compiled(label, score, weight)[0], rtol=1e-13, atol=1e-15)


def test_many_pairs_do_not_overflow():
    # 150,000 x 150,000 pairs exceed 32 bits; every positive wins half its pairs.
    label = np.repeat([1, 0], 150_000)
    assert compiled(label, np.zeros(300_000), np.ones(300_000, int))[0] == 0.5
    assert compiled(label, label.astype(float), np.ones(300_000, int))[0] == 1.0


def test_batches_and_threads_do_not_change_a_replicate(drawn):
    scores, cases = drawn()
    one = evaluate_scores(scores, cases, by=["sex"], settings=EvaluateSettings(n_boot=300))
    many = evaluate_scores(
        scores, cases, by=["sex"], settings=EvaluateSettings(n_boot=300), n_threads=3
    )
    for name in ("metrics", "gaps", "comparisons"):
        assert getattr(one, name).equals(getattr(many, name)), name
    start = np.array([0, 5, 30], np.int64)
    wide, narrow = np.empty((30, 50), np.uint8), np.empty((30, 7), np.uint8)
    kernel.draw_weights(start, np.uint64(9), 0, wide)
    kernel.draw_weights(start, np.uint64(9), 20, narrow)
    assert (wide[:, 20:27] == narrow).all()
