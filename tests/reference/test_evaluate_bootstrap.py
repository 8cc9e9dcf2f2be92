"""The compiled bootstrap against scikit-learn, SciPy, statsmodels and published numbers."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score
from statsmodels.api import OLS

from segclf.evaluate import METRICS
from segclf.evaluate.inference import kernel
from segclf.evaluate.inference.bootstrap_intervals import percentile
from segclf.evaluate.resample import resample
from segclf.evaluate.sample import Sample, Slice, number_patients


def make_sample(label, score, *, owner=None, decision=None):
    """One method, one fold; `owner` is the patient of each case, by default its own."""
    owner = np.arange(len(label)) if owner is None else owner
    zeros = np.zeros(len(label), int)
    patient, stratum_start = number_patients(owner, label == 1, zeros)
    return Sample(
        finding="lesion",
        methods=("m",),
        case_ids=np.arange(len(label)).astype(object),
        case=np.arange(len(label)),
        method=zeros,
        patient=patient,
        score=score,
        positive=label == 1,
        decision=(score > 0.5).astype(float) if decision is None else decision,
        probability=np.full(len(score), np.nan),
        seed=zeros,
        fold=zeros,
        n_seeds=1,
        n_folds=1,
        stratum_start=stratum_start,
    )


def drawn_weights(sample, n_replicates, seed):
    weights = np.empty((int(sample.stratum_start[-1]), n_replicates), np.uint8)
    kernel.draw_weights(sample.stratum_start, np.uint64(seed), 0, weights)
    return weights


@pytest.mark.parametrize("decimals", [1, 12], ids=["ties", "no ties"])
def test_each_replicate_equals_scikit_learn_with_the_drawn_weights(decimals):
    rng = np.random.default_rng(3)
    label = (rng.random(200) < 0.3).astype(int)
    score = np.round(rng.normal(size=200) + label, decimals)
    sample = make_sample(label, score, owner=rng.integers(0, 70, 200))
    group = rng.random(200) < 0.5
    slices = [Slice("all", "all", np.ones(200, bool)), Slice("g", "1", group)]
    found = resample(sample, slices, METRICS, n_boot=40, seed=11)
    weights = drawn_weights(sample, 41, seed=11)[sample.patient]
    assert (weights[:, 0] == 1).all()
    for s, member in enumerate((np.ones(200, bool), group)):
        for b in range(41):
            y, x, w = label[member], score[member], weights[member, b]
            auroc = found.values["auroc"][0, s, 0, 0, b]
            assert auroc == pytest.approx(roc_auc_score(y, x, sample_weight=w), abs=1e-14)
            precision = found.values["average_precision"][0, s, 0, 0, b]
            expected = average_precision_score(y, x, sample_weight=w)
            assert precision == pytest.approx(expected, abs=1e-13)
            counts = confusion_matrix(y, x > 0.5, sample_weight=w).ravel()
            assert (found.counts[0, s, 0, 0, :, b] == counts).all()


def test_the_generator_gives_the_published_numbers_of_splitmix64():
    # First outputs of the reference implementation (Vigna) for the state 1234567.
    golden, state = np.uint64(0x9E3779B97F4A7C15), np.uint64(1234567)
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    with np.errstate(over="ignore"):
        outputs = [kernel.mix64(state + np.uint64(i) * golden) for i in (1, 2, 3)]
    assert [int(z) for z in outputs] == published


def test_draws_are_uniform_and_keep_the_size_of_every_stratum():
    start = np.array([0, 7, 8, 28], np.int64)
    weights = np.empty((28, 4001), np.uint8)
    kernel.draw_weights(start, np.uint64(5), 0, weights)
    for first, last in pairwise(start):
        assert (weights[first:last].sum(axis=0) == last - first).all()
    counts = weights[8:, 1:].sum(axis=1, dtype=int)
    assert stats.chisquare(counts).pvalue > 0.01
    # The number of times one patient is drawn is binomial: P(0) = (1 - 1/20)^20.
    assert (weights[8:, 1:] == 0).mean() == pytest.approx(0.95**20, abs=0.005)


def test_the_auroc_interval_is_that_of_scipys_bootstrap_of_two_samples():
    rng = np.random.default_rng(4)
    label = np.repeat([1, 0], [30, 60])
    score = rng.normal(size=90) + label
    sample = make_sample(label, score)
    slices = [Slice("all", "all", np.ones(90, bool))]
    found = resample(sample, slices, METRICS, n_boot=20000, seed=0).values["auroc"][0, 0, 0, 0]

    def auroc(positive, negative, axis):
        return stats.mannwhitneyu(positive, negative, axis=axis).statistic / (30 * 60)

    scipy = stats.bootstrap(
        (score[:30], score[30:]),
        auroc,
        n_resamples=20000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    lo, hi, n_usable, reason = percentile(found[1:], 0.95)
    assert (n_usable, reason) == (20000, "")
    assert [lo, hi] == pytest.approx(list(scipy.confidence_interval), abs=0.006)
    assert found[1:].std() == pytest.approx(scipy.standard_error, rel=0.05)


def test_the_spread_over_patients_is_the_cluster_robust_standard_error():
    # 120 patients with 5 images each, all right or all wrong together: the image-level standard
    # error is too small by the root of 5; statsmodels' sandwich knows the clusters.
    rng = np.random.default_rng(6)
    owner = np.repeat(np.arange(120), 5)
    hit = np.repeat((rng.random(120) < 0.7).astype(float), 5)
    label = np.ones(600, int)
    sample = make_sample(label, hit, owner=owner, decision=hit)
    slices = [Slice("all", "all", np.ones(600, bool))]
    counts = resample(sample, slices, METRICS, n_boot=4000, seed=2).counts[0, 0, 0, 0]
    sensitivity = counts[3, 1:] / counts[2:, 1:].sum(axis=0)
    fit = OLS(hit, np.ones(600)).fit(cov_type="cluster", cov_kwds={"groups": owner})
    assert sensitivity.std() == pytest.approx(float(fit.bse[0]), rel=0.05)
    naive = np.sqrt(hit.mean() * (1 - hit.mean()) / 600)
    assert sensitivity.std() == pytest.approx(naive * np.sqrt(5), rel=0.05)
