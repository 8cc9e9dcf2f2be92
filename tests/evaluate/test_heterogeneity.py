"""Tests of heterogeneity against scikit-learn, enumeration, SciPy and published formulas."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from segclf.evaluate.inference import permute_kernel
from segclf.evaluate.inference.heterogeneity import bootstrap_heterogeneity, varies_within_patient
from segclf.evaluate.inference.permute import permute_auroc, permute_mean
from segclf.evaluate.sample import number_patients


def clustered(seed, n_patients=60, n_cases=240, n_groups=3, decimals=1, n_blocks=1):
    rng = np.random.default_rng(seed)
    owner = np.sort(np.concatenate([np.arange(n_patients), rng.integers(0, n_patients, n_cases)]))
    positive = rng.random(len(owner)) < np.where(owner % 2, 0.6, 0.0)
    score = np.round(rng.normal(size=len(owner)) + positive, decimals)
    block = (owner // 7) % n_blocks
    patient, start = number_patients(owner, positive, block)
    return score, positive, patient, start, (owner // 2) % n_groups, block


@pytest.mark.parametrize("n_blocks", [1, 2], ids=["one block", "two folds"])
@pytest.mark.parametrize("decimals", [0, 9], ids=["ties", "no ties"])
def test_each_permutation_equals_scikit_learn(decimals, n_blocks):
    score, positive, patient, start, group, block = clustered(
        1, decimals=decimals, n_blocks=n_blocks
    )
    ranking = permute_kernel.make_ranking(score, positive, patient, block)
    own = np.zeros(start[-1], np.uint8)
    own[patient] = group
    shuffled = np.empty((len(own), 5), np.uint8)
    permute_kernel.shuffle_groups(own, start, np.uint64(3), 0, shuffled)
    assert (shuffled[:, 0] == own).all()
    assert (shuffled[:, 1] != own).any()
    auroc = np.empty((3, 5))
    permute_kernel.rank_groups(ranking, shuffled, auroc)
    for b, g in itertools.product(range(5), range(3)):
        member = shuffled[patient, b] == g
        values = []
        for k in range(n_blocks):
            rows = member & (block == k)
            values.append(roc_auc_score(positive[rows], score[rows]))
        assert auroc[g, b] == pytest.approx(np.mean(values), abs=1e-14)


def test_blocks_that_meet_at_a_score_are_not_mixed():
    # The lowest score of the first fold, of a positive, is the highest of the second.
    score = np.array([3.0, 2.0, 1.0, 1.0, 0.0, -1.0])
    positive = np.array([True, False, True, False, True, False])
    block = np.array([0, 0, 0, 1, 1, 1])
    ranking = permute_kernel.make_ranking(score, positive, np.arange(6), block)
    auroc = np.empty((1, 1))
    permute_kernel.rank_groups(ranking, np.zeros((6, 1), np.uint8), auroc)
    assert auroc[0, 0] == 0.5
    assert len(ranking.patient) == 6


def test_shuffled_labels_stay_in_their_stratum_and_are_uniform():
    start = np.array([0, 3, 9], np.int64)
    group = np.array([0, 1, 1, 0, 0, 0, 0, 1, 2], np.uint8)
    shuffled = np.empty((9, 6001), np.uint8)
    permute_kernel.shuffle_groups(group, start, np.uint64(8), 0, shuffled)
    for first, last in itertools.pairwise(start):
        expected = np.sort(group[first:last])[:, None]
        assert (np.sort(shuffled[first:last], axis=0) == expected).all()
    assert stats.chisquare((shuffled[:3, 1:] == 0).sum(axis=1)).pvalue > 0.01
    places = 6 * np.argmax(shuffled[3:, 1:] == 2, axis=0) + np.argmax(shuffled[3:, 1:] == 1, axis=0)
    counts = np.bincount(places, minlength=36).reshape(6, 6)
    assert stats.chisquare(counts[~np.eye(6, dtype=bool)]).pvalue > 0.01
    narrow = np.empty((9, 4), np.uint8)
    permute_kernel.shuffle_groups(group, start, np.uint64(8), 10, narrow)
    assert (narrow == shuffled[:, 10:14]).all()


def test_the_p_of_the_gap_is_that_of_all_exchanges():
    # 6 positive and 6 negative patients, one case each, 2 groups: 20 x 20 ways.
    rng = np.random.default_rng(5)
    positive = np.repeat([True, False], 6)
    score = rng.normal(size=12) + positive
    group = np.tile([0, 1], 6)
    score[group == 1] -= 1.1 * positive[group == 1]
    patient, start = number_patients(np.arange(12), positive, np.zeros(12, int))
    gaps = []
    for chosen in itertools.product(itertools.combinations(range(6), 3), repeat=2):
        member = np.isin(np.arange(12), [*chosen[0], *(6 + i for i in chosen[1])])
        both = [roc_auc_score(positive[rows], score[rows]) for rows in (member, ~member)]
        gaps.append(abs(both[0] - both[1]))
    observed = [roc_auc_score(positive[group == g], score[group == g]) for g in (0, 1)]
    gap = abs(observed[0] - observed[1])
    found = permute_auroc(score, positive, patient, start, group, n_permutations=20_000)
    assert found.gap == pytest.approx(gap, abs=1e-15)
    assert found.p_gap == pytest.approx(np.mean(np.array(gaps) >= gap - 1e-12), abs=0.012)
    assert (found.n_groups, found.n_replicates, found.n_left_out) == (2, 20_000, 0)


def test_means_of_two_groups_have_the_p_of_scipys_permutation_test():
    rng = np.random.default_rng(6)
    value, group = rng.normal(size=40), np.repeat([0, 1], [25, 15])
    value[group == 1] += 0.6
    scipy = stats.permutation_test(
        (value[group == 0], value[group == 1]),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        vectorized=True,
        n_resamples=20_000,
        rng=np.random.default_rng(0),
    )
    found = permute_mean(value, np.arange(40), np.array([0, 40]), group, n_permutations=20_000)
    assert found.gap == pytest.approx(abs(scipy.statistic))
    assert found.p_gap == pytest.approx(scipy.pvalue, abs=0.01)


def test_shares_of_many_single_cases_have_the_p_of_the_chi_square_test():
    rng = np.random.default_rng(7)
    group = rng.integers(0, 4, 3000)
    hit = (rng.random(3000) < np.array([0.8, 0.8, 0.8, 0.76])[group]).astype(float)
    table = np.array([[((group == g) & (hit == h)).sum() for h in (0, 1)] for g in range(4)])
    expected = stats.chi2_contingency(table, correction=False)
    found = permute_mean(hit, np.arange(3000), np.array([0, 3000]), group, n_permutations=5000)
    assert found.q == pytest.approx(expected.statistic, rel=0.05)
    assert found.p_q == pytest.approx(expected.pvalue, abs=0.02)


def test_normal_resamples_give_the_p_of_the_chi_square_distribution():
    rng = np.random.default_rng(8)
    sd = np.array([0.01, 0.02, 0.03, 0.01, 0.02])
    value = 0.8 + np.array([0.006, -0.03, 0.04, 0.01, -0.01])
    drawn = value[:, None] + sd[:, None] * rng.normal(size=(5, 20_000))
    found = bootstrap_heterogeneity(value, drawn, np.full((2, 5), 10**6))
    mean = np.average(value, weights=sd**-2.0)
    q = (((value - mean) / sd) ** 2).sum()
    assert found.q == pytest.approx(q, rel=0.05)
    assert found.p_q == pytest.approx(stats.chi2.sf(found.q, 4), abs=0.01)
    assert found.p_gap == pytest.approx(
        (np.ptp(sd[:, None] * rng.normal(size=(5, 20_000)), axis=0) >= np.ptp(value)).mean(),
        abs=0.02,
    )
    assert found.how == "joint bootstrap, centred"


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_monotone_scores_order_of_rows_and_threads_change_nothing(seed):
    score, positive, patient, start, group, block = clustered(seed, n_cases=60, n_patients=30)
    first = permute_auroc(score, positive, patient, start, group, n_permutations=30, seed=seed)
    order = np.random.default_rng(seed).permutation(len(score))
    again = permute_auroc(
        *(np.exp(score[order]), positive[order], patient[order], start, group[order]),
        **{"block": block[order], "n_permutations": 30, "seed": seed, "n_threads": 3},
    )
    assert first == again


def test_a_group_without_a_class_is_left_out_with_its_patients():
    score, positive, patient, start, group, _ = clustered(3, n_groups=4, decimals=9)
    only_three = group != 3
    kept = permute_auroc(
        *(score[only_three], positive[only_three], patient[only_three], start, group[only_three]),
        n_permutations=200,
    )
    negatives = (group != 3) | ~positive
    found = permute_auroc(
        *(score[negatives], positive[negatives], patient[negatives], start, group[negatives]),
        n_permutations=200,
    )
    coded = permute_auroc(
        *(score, positive, patient, start, np.where(group == 3, -1, group)), n_permutations=200
    )
    assert kept == found == coded
    assert kept.n_groups == 3


def test_groups_that_vanish_in_a_permutation_are_left_out_and_counted():
    # Group 1's only negatives belong to a patient with a positive; elsewhere it has none.
    positive = np.array([1, 0, 1, 1, 1, 1, 0, 0, 0], bool)
    owner = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7])
    group = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0])
    score = np.arange(9.0)[::-1] + np.array([0, 5, 0, -3, 0, 0, 0, 0, 0])
    patient, start = number_patients(owner, positive, np.zeros(9, int))
    found = permute_auroc(score, positive, patient, start, group, n_permutations=500)
    # 2 of 5 positive patients are in group 1; without the first, it has no negative.
    assert found.n_left_out == pytest.approx(500 * 0.6, abs=40)
    assert found.n_replicates == 500 - found.n_left_out
    assert found.reason == f"groups left out of a replicate, in all: {found.n_left_out}"


def test_perfect_groups_do_not_rule_the_test():
    # Complete separation has a variance of 0: inverse-variance weights would be infinite.
    score, positive, patient, start, group, _ = clustered(4, decimals=9)
    score = np.where(group == 0, 10.0 * positive, score)
    found = permute_auroc(score, positive, patient, start, group, n_permutations=100)
    assert np.isfinite(found.q)
    assert 0 < found.p_q <= 1
    perfect = permute_auroc(1.0 * positive, positive, patient, start, group, n_permutations=100)
    assert (perfect.gap, perfect.p_gap, perfect.q, perfect.p_q) == (0.0, 1.0, 0.0, 1.0)


def test_a_group_that_varies_within_a_patient_is_refused():
    score, positive, patient, start, group, _ = clustered(5)
    assert not varies_within_patient(patient, group)
    group = np.where(np.arange(len(group)) == 0, group + 1, group)
    assert varies_within_patient(patient, group)
    with pytest.raises(ValueError, match="use the joint bootstrap"):
        permute_auroc(score, positive, patient, start, group)
    with pytest.raises(ValueError, match="use the joint bootstrap"):
        permute_mean(score, patient, start, group)


def test_one_group_or_undefined_groups_give_no_test():
    score, positive, patient, start, group, _ = clustered(6)
    one = permute_auroc(score, positive, patient, start, 0 * group)
    assert np.isnan([one.gap, one.p_gap, one.q, one.p_q]).all()
    assert one.reason == "undefined: 1 groups with a value, and two are needed"
    none = permute_auroc(score, positive, patient, start, 0 * group - 1)
    assert none.n_groups == 0
    value = np.array([0.8, np.nan, 0.7])
    drawn = np.random.default_rng(0).normal(0.8, 0.01, (3, 50))
    drawn[2, :3] = np.nan
    three = bootstrap_heterogeneity(value, drawn, np.full((1, 3), 20))
    assert (three.n_groups, three.n_replicates, three.n_left_out) == (2, 47, 3)
    assert np.isnan(bootstrap_heterogeneity(value[:2], drawn[:2], np.full(2, 9)).p_q)
