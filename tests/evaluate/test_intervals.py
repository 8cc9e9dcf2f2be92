"""Intervals: against statsmodels, SciPy and other programs, and where they must not break."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from segclf.evaluate.inference.auroc import Auroc, auroc_of
from segclf.evaluate.inference.bootstrap_intervals import bca, percentile
from segclf.evaluate.inference.compare import mover
from segclf.evaluate.inference.intervals import (
    FEW_PATIENTS,
    LOGIT,
    NEWCOMBE,
    WILSON,
    auroc_interval,
    delong_interval,
    effective_cases,
    effective_n,
    logit_interval,
    newcombe5,
    share_interval,
    wilson,
)

CASES = st.lists(
    st.tuples(st.booleans(), st.integers(-3, 3), st.integers(0, 40)), min_size=2, max_size=60
).filter(lambda cases: len({label for label, _, _ in cases}) == 2)


def unpack(cases):
    """Label, score and compact patient codes of drawn cases."""
    label, score, patient = (np.array(values) for values in zip(*cases, strict=True))
    return label.astype(bool), score.astype(float), np.unique(patient, return_inverse=True)[1]


def clustered(n_positive, n_negative, seed=0, shift=1.5):
    """Patients with three images each, positives first."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n_positive + n_negative), 3)
    positive = patient < n_positive
    shared = rng.normal(size=patient.max() + 1)[patient]
    return shared + rng.normal(size=len(patient)) + shift * positive, positive, patient


@pytest.mark.parametrize(
    ("auroc", "m", "n", "lo", "hi"),
    [
        # Roots of the quartic by R's polyroot(), as the package auRoc 0.2 solves method 5.
        (0.85, 10, 90, 0.674811935264, 0.934829238496),
        (0.95, 20, 30, 0.833159787041, 0.985192750292),
        (0.5, 10, 10, 0.273515588190, 0.726484411810),
        (0.99, 50, 450, 0.960834059766, 0.997428065490),
        (0.85, 4.7, 40.2, 0.574923978105, 0.954581449687),
        (1.0, 10, 90, 0.890099247719, 1.0),
        (0.0, 5, 7, 0.0, 0.317210251826),
    ],
)
def test_newcombes_method_5_equals_another_program(auroc, m, n, lo, hi):
    assert newcombe5(auroc, m, n, 0.95) == pytest.approx((lo, hi), abs=1e-11)


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 1), st.floats(0.1, 1e6), st.floats(0.1, 1e6), st.floats(0.5, 0.999))
def test_newcombes_limits_solve_its_equation(auroc, m, n, confidence):
    lo, hi = newcombe5(auroc, m, n, confidence)
    assert 0 <= lo <= auroc <= hi <= 1
    assert lo < hi
    z = stats.norm.ppf((1 + confidence) / 2)
    for t in (lo, hi):
        half_n = max((m + n) / 2 - 1, 0)
        spread = t * (1 - t) * (1 + half_n * ((1 - t) / (2 - t) + t / (1 + t))) / m / n
        assert abs(auroc - t) == pytest.approx(z * math.sqrt(spread), abs=1e-7)
    assert newcombe5(1 - auroc, n, m, confidence) == pytest.approx((1 - hi, 1 - lo), abs=1e-9)


def test_without_cases_or_a_value_there_is_no_interval():
    for found in (
        newcombe5(math.nan, 10, 10, 0.95),
        newcombe5(0.9, 0, 10, 0.95),
        wilson(math.nan, 10, 0.95),
        wilson(0.5, 0, 0.95),
        share_interval(np.zeros(2), np.zeros(2), 0.95)[:2],
        auroc_interval(auroc_of(np.arange(3.0), np.ones(3, bool)), 0.95)[:2],
        logit_interval(auroc_of(np.array([0.0, 1.0]), np.array([False, True])), 0.95),
        delong_interval(auroc_of(np.array([0.0, 1.0]), np.array([False, True])), 0.95),
    ):
        assert np.isnan(found).all()


def test_small_groups_get_newcombe_and_large_ones_the_clustered_variance():
    small = auroc_of(*clustered(FEW_PATIENTS - 1, 90))
    large = auroc_of(*clustered(FEW_PATIENTS, 90))
    assert auroc_interval(small, 0.95)[2] == NEWCOMBE
    assert auroc_interval(large, 0.95)[2] == LOGIT
    m, n = effective_n(small)
    assert auroc_interval(small, 0.95)[:2] == newcombe5(small.value, m, n, 0.95)
    # By hand: Student's t on the logit scale.
    slope = large.value * (1 - large.value)
    half = stats.t.ppf(0.975, 2 * large.n_informative) * math.sqrt(large.variance) / slope
    expected = stats.logistic.cdf(stats.logistic.ppf(large.value) + np.array([-half, half]))
    assert auroc_interval(large, 0.95)[:2] == pytest.approx(tuple(expected), abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(CASES, st.sampled_from([0.8, 0.95, 0.999]))
def test_an_interval_of_an_auroc_holds_it_has_width_and_stays_within_0_and_1(cases, confidence):
    positive, score, patient = unpack(cases)
    found = auroc_of(score, positive, patient)
    lo, hi, _ = auroc_interval(found, confidence)
    assert 0 <= lo <= found.value <= hi <= 1
    assert hi - lo > 0.01
    mirrored = auroc_interval(auroc_of(-score, positive, patient), confidence)
    assert mirrored[:2] == pytest.approx((1 - hi, 1 - lo), abs=1e-9)
    wider = auroc_interval(found, (1 + confidence) / 2)
    assert wider[0] <= lo + 1e-12
    assert wider[1] >= hi - 1e-12


@pytest.mark.parametrize("n_positive", [1, 2, 10, 60])
def test_perfect_separation_is_one_case_per_patient_and_has_width(n_positive):
    # confidenceinterval and others print (1, 1) here.
    _, positive, patient = clustered(n_positive, 90)
    found = auroc_of(positive * 1.0, positive, patient)
    assert found.value == 1.0
    assert effective_n(found) == pytest.approx((n_positive, 90))
    lo, hi, name = auroc_interval(found, 0.95)
    assert (hi, name) == (1.0, NEWCOMBE)
    assert (lo, hi) == newcombe5(1.0, n_positive, 90, 0.95)
    assert lo < 0.98


@pytest.mark.parametrize("n_positive", [1, 2, 10, 60])
def test_ties_everywhere_are_one_case_per_patient_and_have_width(n_positive):
    _, positive, patient = clustered(n_positive, 90)
    found = auroc_interval(auroc_of(np.zeros(len(patient)), positive, patient), 0.95)
    assert found == (*newcombe5(0.5, n_positive, 90, 0.95), NEWCOMBE)


def test_one_error_short_of_perfect_separation_the_interval_hardly_moves():
    _, positive, patient = clustered(10, 90)
    score = positive * 1.0
    perfect = auroc_interval(auroc_of(score, positive, patient), 0.95)
    score[0] = -1  # one of the 30 positive images is below all negatives
    almost = auroc_interval(auroc_of(score, positive, patient), 0.95)
    assert 0 < perfect[0] - almost[0] < 0.06


def test_one_patient_with_all_positives_counts_as_one_case():
    score, positive = np.arange(8.0)[::-1].copy(), np.arange(8) < 3
    found = auroc_of(score, positive, np.array([0, 0, 0, 1, 2, 3, 4, 5]))
    assert math.isnan(found.variance)
    assert effective_n(found) == (1, 5)


def test_patients_with_one_case_each_keep_their_numbers():
    score, positive, _ = clustered(8, 30)
    found = auroc_of(score, positive)
    assert effective_n(found) == pytest.approx((24, 90))


def test_effective_numbers_are_never_above_the_numbers_of_cases():
    # Two methods of a patient that cancel make the clustered variance smaller than the plain one.
    found = Auroc(0.8, 0.001, 0.004, 20.0, 30, 90, 10, 30)
    m, n = effective_n(found)
    assert m < 30
    assert n < 90
    assert effective_n(Auroc(0.8, 0.001, 0.004, 1e9, 30, 90, 10, 30)) == pytest.approx((30, 90))


@pytest.mark.parametrize("n_positive", [10, 40], ids=["small", "large"])
def test_copies_of_every_image_leave_the_clustered_interval_and_shrink_the_plain_one(n_positive):
    score, positive, patient = clustered(n_positive, 90)
    one = auroc_of(score, positive, patient)
    many = auroc_of(*(np.repeat(values, 5) for values in (score, positive, patient)))
    tolerance = 0.01 if n_positive == 10 else 1e-12  # n - 1 in the design effect
    found = auroc_interval(many, 0.95)
    assert found[:2] == pytest.approx(auroc_interval(one, 0.95)[:2], abs=tolerance)
    widths = [np.diff(delong_interval(auroc, 0.95))[0] for auroc in (one, many)]
    assert widths[1] < widths[0] / 2


@pytest.mark.parametrize(
    ("hits", "n", "lo", "hi"),
    [  # Newcombe 1998
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_equals_published_values_and_statsmodels(hits, n, lo, hi):
    assert wilson(hits / n, n, 0.95) == pytest.approx((lo, hi), abs=5e-5)
    for confidence in (0.8, 0.95, 0.99):
        expected = proportion_confint(hits, n, 1 - confidence, method="wilson")
        assert wilson(hits / n, n, confidence) == pytest.approx(expected, abs=1e-14)


def test_wilson_ends_exactly_at_0_and_1():
    assert wilson(0.0, 7.3, 0.95)[0] == 0.0
    assert wilson(1.0, 7.3, 0.95)[1] == 1.0


@pytest.mark.parametrize(
    ("a", "n_a", "b", "n_b", "lo", "hi"),
    [  # Newcombe 1998, method 10
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (6, 7, 2, 7, 0.0582, 0.8062),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (0, 10, 0, 20, -0.1611, 0.2775),
        (10, 10, 0, 20, 0.6791, 1.0),
    ],
)
def test_newcombes_difference_equals_published_values_and_statsmodels(a, n_a, b, n_b, lo, hi):
    one, other = ((k / n, *wilson(k / n, n, 0.95)) for k, n in ((a, n_a), (b, n_b)))
    found = mover(one, other)
    assert found == pytest.approx((lo, hi), abs=5e-5)
    expected = confint_proportions_2indep(a, n_a, b, n_b, method="newcomb", compare="diff")
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_difference_of_symmetric_intervals_adds_their_squares():
    assert mover((0.9, 0.87, 0.93), (0.7, 0.66, 0.74)) == pytest.approx((0.15, 0.25))
    # The limit that matters is that towards the other estimate.
    assert mover((0.9, 0.6, 0.93), (0.7, 0.3, 0.74))[1] == pytest.approx(
        0.2 + math.hypot(0.03, 0.4)
    )


def test_a_share_of_single_cases_has_wilsons_interval():
    hits, cases = np.array([1, 0, 1, 1, 0, 1]), np.ones(6)
    lo, hi, n, name = share_interval(hits, cases, 0.95)
    assert ((lo, hi), n, name) == (wilson(4 / 6, 6, 0.95), 6, WILSON)


def test_with_many_patients_effective_cases_follow_the_clustered_variance_of_statsmodels():
    rng = np.random.default_rng(2)
    cases = 1 + rng.poisson(2, 4000)
    hits = rng.binomial(cases, rng.beta(2, 1, 4000))
    patient = np.repeat(np.arange(4000), cases)
    hit = np.concatenate([np.arange(n) < h for n, h in zip(cases, hits, strict=True)]).astype(float)
    fitted = sm.OLS(hit, np.ones(len(hit))).fit(cov_type="cluster", cov_kwds={"groups": patient})
    share = hit.mean()
    expected = share * (1 - share) / fitted.cov_params()[0, 0]
    assert effective_cases(hits, cases) == pytest.approx(expected, rel=2e-3)
    assert effective_cases(hits, cases) < 0.8 * cases.sum()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=20))
def test_effective_cases_lie_between_1_and_the_number_of_cases(counts):
    cases = np.array([max(pair) for pair in counts])
    hits = np.array([min(pair) for pair in counts])
    n = effective_cases(hits, cases)
    assert (1 <= n <= cases.sum()) or (n == cases.sum() == 0)
    assert n == pytest.approx(effective_cases(cases - hits, cases))
    assert n == effective_cases(np.append(hits, 0), np.append(cases, 0))


def test_where_every_case_counts_those_of_a_patient_are_taken_as_alike():
    # Kish: (sum of sizes)^2 / (sum of squared sizes) = 60^2 / 180 = 20 patients of three images.
    cases = np.full(20, 3)
    for hits in (cases, 0 * cases):
        lo, hi, n, _ = share_interval(hits, cases, 0.95)
        assert n == pytest.approx(20 * (19 / 20) / (59 / 60))
        assert hi - lo > 0.1
    assert effective_cases(np.array([30]), np.array([30])) == 1  # one patient tells of one


def test_percentile_equals_scipy():
    rng = np.random.default_rng(0)
    data = rng.exponential(size=40)
    expected = stats.bootstrap((data,), np.mean, method="percentile", n_resamples=999, rng=rng)
    lo, hi, n, reason = percentile(expected.bootstrap_distribution, 0.95)
    assert (lo, hi) == pytest.approx(tuple(expected.confidence_interval), abs=1e-13)
    assert (n, reason) == (999, "")


def test_bca_equals_scipy():
    rng = np.random.default_rng(0)
    data = rng.exponential(size=40)
    expected = stats.bootstrap((data,), np.mean, method="BCa", n_resamples=999, rng=rng)
    left_out = (data.sum() - data) / 39
    lo, hi, n, _ = bca(data.mean(), expected.bootstrap_distribution, left_out, 0.95)
    assert (lo, hi) == pytest.approx(tuple(expected.confidence_interval), abs=1e-10)
    plain = percentile(expected.bootstrap_distribution, 0.95)
    assert lo - plain[0] > 0.01
    assert n == 999


def test_bca_of_an_auroc_over_strata_equals_scipy_with_two_samples():
    rng = np.random.default_rng(4)
    ill, well = rng.normal(1.2, 1, 25), rng.normal(0, 1, 60)

    def auroc(a, b, axis=-1):
        return (a[..., :, None] > b[..., None, :]).mean(axis=(-2, -1))

    expected = stats.bootstrap(
        (ill, well), auroc, method="BCa", n_resamples=999, vectorized=True, rng=rng
    )
    score, positive = np.append(ill, well), np.repeat([True, False], [25, 60])
    kept = [np.arange(85) != i for i in range(85)]
    left_out = np.array([roc_auc_score(positive[keep], score[keep]) for keep in kept])
    lo, hi, _, _ = bca(
        float(auroc(ill, well)),
        expected.bootstrap_distribution,
        left_out,
        0.95,
        stratum=positive.astype(int),
    )
    assert (lo, hi) == pytest.approx(tuple(expected.confidence_interval), abs=1e-10)


def test_resamples_without_a_class_are_counted_and_do_not_poison_the_quantiles():
    # confidenceinterval returns (nan, nan) for four positives.
    values = np.append(np.linspace(0.6, 0.9, 90), np.full(10, np.nan))
    for lo, hi, n, reason in (
        percentile(values, 0.95),
        bca(0.75, values, np.linspace(0.7, 0.8, 30), 0.95),
    ):
        assert 0.6 < lo < hi < 0.9
        assert (n, reason) == (90, "10 of 100 resamples are undefined")
    values[:41] = np.nan
    assert percentile(values, 0.95)[3] == "no interval: 49 of 100 resamples are defined"


def test_bca_says_why_it_has_no_interval():
    values, left_out = np.linspace(0.6, 0.9, 100), np.linspace(0.7, 0.8, 30)
    assert bca(0.95, values, left_out, 0.95)[3].endswith("every resample lies on one side")
    for bad in (np.full(30, 0.7), np.append(left_out, np.nan)):
        lo, _, _, reason = bca(0.75, values, bad, 0.95)
        assert math.isnan(lo)
        assert reason.endswith("leaving out a patient is undefined or no change")
    same = bca(1.0, np.ones(100), left_out, 0.95, agreed="no errors")
    assert same[3] == "bootstrap interval has no width: no errors"
