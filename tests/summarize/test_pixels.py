import numpy as np
import pytest
from scipy.special import expit, logsumexp

from segclf.core.errors import UsageError
from segclf.core.maskstats import make_statistics, mask_statistics
from segclf.summarize.pixels import highest, lse, mean, noisy_or, topk


@pytest.fixture
def drawn():
    """Logits of two images of 10 x 20 pixels, their statistics, and their probabilities."""
    logits = np.random.default_rng(0).normal(-2.0, 2.0, size=(2, 10, 20)).astype(np.float32)
    probability = expit(logits.astype(float))
    rows = [
        {"case_id": f"c{i}", "finding": "lesion", "fold": None}
        | mask_statistics(probability[i], logits[i], px_size=np.nan, component_t=0.5)
        for i in range(2)
    ]
    return logits.astype(float), probability, make_statistics(rows)


def test_mean_and_max_are_those_of_the_probability(drawn):
    _, probability, statistics = drawn
    np.testing.assert_allclose(
        mean(statistics, finding="lesion"), [np.average(p) for p in probability]
    )
    np.testing.assert_array_equal(
        highest(statistics, finding="lesion"), [np.sort(p.ravel())[-1] for p in probability]
    )


@pytest.mark.parametrize(("fraction", "n_top"), [(0.0001, 1), (0.001, 1), (0.01, 2), (0.1, 20)])
def test_topk_is_the_mean_of_the_most_probable_pixels(drawn, fraction, n_top):
    _, probability, statistics = drawn
    expected = [np.sort(p.ravel())[-n_top:].mean() for p in probability]
    np.testing.assert_allclose(topk(statistics, finding="lesion", top_fraction=fraction), expected)


def test_topk_refuses_a_share_that_was_not_stored(drawn):
    with pytest.raises(UsageError) as caught:
        topk(drawn[2], finding="lesion", top_fraction=0.02)
    assert caught.value.expected == "one of 0.0001, 0.001, 0.01, 0.1"
    assert caught.value.fix == "--set summarize.top_fraction=0.01"


def test_noisy_or_is_the_log_of_the_product_and_ranks_what_rounds_to_one(drawn):
    _, probability, statistics = drawn
    expected = [-np.log(np.prod(1 - p)) for p in probability]
    score = noisy_or(statistics, finding="lesion")
    np.testing.assert_allclose(score, expected)
    full = np.full((64, 64), 2.0, dtype=np.float32)
    rows = [
        {"case_id": str(i), "finding": "lesion", "fold": None}
        | mask_statistics(expit(logits), logits, px_size=1.0, component_t=0.5)
        for i, logits in enumerate([full, full + 0.1])
    ]
    more = noisy_or(make_statistics(rows), finding="lesion")
    assert (1 - np.exp(-more) == 1.0).all()
    assert more[1] > more[0]


def test_lse_is_that_of_scipy(drawn):
    logits, _, statistics = drawn
    np.testing.assert_allclose(
        lse(statistics, finding="lesion"), [logsumexp(each) for each in logits]
    )


def test_an_unknown_finding_is_named_with_the_nearest(drawn):
    with pytest.raises(UsageError) as caught:
        mean(drawn[2], finding="lesions")
    assert caught.value.fix == "did you mean 'lesion'?"
