"""Groups under one method, families and verdicts, through `evaluate_scores`."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats import proportion
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ztost

from segclf.core.settings import EvaluateSettings
from segclf.evaluate import evaluate_scores

FAST = EvaluateSettings(n_boot=200)


@pytest.fixture
def apart(drawn):
    """One image per patient, so that groups share no patient."""
    scores, cases = drawn(n=400)
    return scores.assign(patient_id=scores["case_id"].str.replace("c", "p")), cases


def compare(scores, cases, by, settings=FAST, **options):
    return evaluate_scores(scores, cases, by=by, settings=settings, **options).comparisons


def as_float(row, *names):
    return [float(row[name]) for name in names]


@pytest.mark.parametrize("n_blank", [0, 120], ids=["all decided", "some not decided"])
@pytest.mark.parametrize(("name", "label"), [("sensitivity", 1), ("specificity", 0)])
def test_shares_of_independent_groups_have_newcombes_interval(apart, row, name, label, n_blank):
    scores, cases = apart
    scores["decision"] = scores["decision"].mask(np.arange(400) < n_blank)
    one = row(compare(scores, cases, ["sex"]), kind="groups", metric=name)
    own = (scores["label"] == label) & scores["decision"].notna()
    counts = []
    for sex in "FM":
        part = scores.loc[own & (cases["sex"] == sex)]
        counts += [(part["decision"] == label).sum(), len(part)]
    lo, hi = proportion.confint_proportions_2indep(*counts, method="newcomb", compare="diff")
    assert (one["first"], one["second"]) == ("F", "M")
    assert one["difference"] == pytest.approx(counts[0] / counts[1] - counts[2] / counts[3])
    assert as_float(one, "lo", "hi") == pytest.approx([lo, hi], abs=1e-10)
    assert (one["interval"], one["test"]) == ("MOVER of both intervals",) * 2
    score_test = proportion.test_proportions_2indep(*counts, method="score", compare="diff").pvalue
    assert one["p"] == pytest.approx(score_test, abs=0.03)


def test_the_p_value_of_independent_groups_is_where_their_interval_touches_0(apart, row):
    scores, cases = apart
    for name in ("auroc", "sensitivity"):
        p = row(compare(scores, cases, ["sex"]), kind="groups", metric=name)["p"]
        settings = EvaluateSettings(n_boot=50, confidence=1 - p)
        one = row(compare(scores, cases, ["sex"], settings), kind="groups", metric=name)
        assert min(abs(one["lo"]), abs(one["hi"])) < 1e-6, name
        assert 0.001 < p < 1


def test_aurocs_of_independent_groups_follow_from_both_rows(apart, row):
    scores, cases = apart
    found = evaluate_scores(scores, cases, by=["sex"], settings=FAST)
    one = row(found.comparisons, kind="groups", metric="auroc")
    f, m = (row(found.metrics, group=g, metric="auroc") for g in "FM")
    lower = np.hypot(f["estimate"] - f["lo"], m["hi"] - m["estimate"])
    upper = np.hypot(f["hi"] - f["estimate"], m["estimate"] - m["lo"])
    difference = f["estimate"] - m["estimate"]
    expected = [difference - lower, difference + upper]
    assert as_float(one, "lo", "hi") == pytest.approx(expected, abs=1e-12)


def test_groups_that_share_patients_are_compared_by_the_joint_bootstrap(drawn, row):
    scores, cases = drawn(n=400)  # the side varies within patients
    side = np.where(np.arange(400) % 2, "left", "right")
    found = compare(scores, cases.assign(side=side), ["side", "sex"])
    one = row(found, kind="groups", metric="auroc", group_column="side")
    assert (one["interval"], one["test"]) == ("joint bootstrap",) * 2
    test = row(found, kind="heterogeneity", metric="auroc", group_column="side")
    assert test["test"] == "joint bootstrap, centred"
    # Sex is the same for all images of a patient: labels of patients can be exchanged.
    one = row(found, kind="groups", metric="auroc", group_column="sex")
    assert one["test"] == "MOVER of both intervals"
    test = row(found, kind="heterogeneity", metric="auroc", group_column="sex")
    assert test["test"] == "permutation of patients"


def test_strata_that_share_negatives_are_compared_by_the_joint_bootstrap(apart, row):
    found = compare(*apart, ["target_size"], roles={"target_size": "derived"})
    assert row(found, kind="groups", metric="auroc")["test"] == "joint bootstrap"
    assert row(found, kind="heterogeneity", metric="auroc")["test"] == "joint bootstrap, centred"
    assert "specificity" not in set(found.loc[found["kind"] == "groups", "metric"])


def test_the_permutation_test_agrees_with_scipy(apart, row):
    scores, cases = apart
    settings = EvaluateSettings(n_boot=2000)
    test = row(
        compare(scores, cases, ["sex"], settings), kind="heterogeneity", metric="sensitivity"
    )
    own = scores["label"] == 1
    right, is_f = scores["decision"][own].to_numpy(), (cases["sex"] == "F")[own].to_numpy()

    def gap(a, b, axis):
        return np.abs(a.mean(axis=axis) - b.mean(axis=axis))

    expected = stats.permutation_test(
        (right[is_f], right[~is_f]),
        gap,
        vectorized=True,
        n_resamples=4000,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    assert test["difference"] == pytest.approx(expected.statistic)
    assert test["p"] == pytest.approx(expected.pvalue, abs=0.035)
    assert test["verdict"] == ""


def test_a_difference_that_is_there_is_found_and_named(apart, row):
    scores, cases = apart
    noise = np.random.default_rng(0).normal(size=400)
    score = np.where(cases["sex"] == "F", scores["score"], noise)
    found = compare(scores.assign(score=score, decision_value=scores["score"]), cases, ["sex"])
    one = row(found, kind="groups", metric="auroc")
    assert one["verdict"] == "better"
    assert one["p_adjusted"] < 0.01
    assert row(found, kind="heterogeneity", metric="auroc")["p"] < 0.01


def test_families_are_adjusted_as_in_statsmodels(apart):
    found = compare(*apart, ["site", "sex", "sex*site"])
    families = found.groupby(["family", "adjusted_by"])
    assert {how for _, how in families.groups} == {"Holm", "Benjamini-Hochberg"}
    for (family, how), part in families:
        known = part.loc[part["p"].notna()]
        method = {"Holm": "holm", "Benjamini-Hochberg": "fdr_bh"}[how]
        expected = multipletests(known["p"], method=method)[1]
        np.testing.assert_allclose(known["p_adjusted"], expected, atol=1e-14)
        assert (known["n_tests"] == len(known)).all()
        assert (how == "Holm") == ("intersection" not in family)
    sizes = {family: len(part) for (family, _), part in families}
    assert sizes["groups, auroc"] == 3 + 1  # three pairs of sites, one of sexes
    assert sizes["groups in intersections, auroc"] == 15
    assert sizes["heterogeneity, auroc"] == 2


def test_prespecified_columns_are_one_family_over_all_their_comparisons(apart):
    scores, cases = apart
    both = pd.concat([scores, scores.assign(method="z", score=-scores["score"].abs())])
    settings = EvaluateSettings(n_boot=100, prespecified=("site",))
    found = compare(both, cases, ["site", "sex"], settings)
    family = found.loc[found["family"] == "prespecified groups"]
    assert set(family["group_column"]) == {"site"}
    assert set(family["kind"]) == {"groups", "heterogeneity", "methods"}
    known = family.loc[family["p"].notna()]
    expected = multipletests(known["p"], method="holm")[1]
    np.testing.assert_allclose(known["p_adjusted"], expected, atol=1e-14)
    assert set(found.loc[found["group_column"] == "sex", "family"]).isdisjoint(
        set(family["family"])
    )


def test_an_undefined_comparison_is_a_row_and_counts_in_no_family(apart, row):
    scores, cases = apart
    site = cases["site"].where(np.arange(400) > 6, "tiny")
    found = compare(scores, cases.assign(site=site), ["site"])
    pairs = found.loc[(found["kind"] == "groups") & (found["metric"] == "auroc")]
    assert {*pairs["first"], *pairs["second"]} == {"A", "B", "C"}
    assert (pairs["n_tests"] == 3).all()


@pytest.fixture
def alike(table):
    """Two methods that differ by a known amount of sensitivity, on 2000 patients."""

    def make(shift, n=2000, seed=0):
        rng = np.random.default_rng(seed)
        label = np.repeat([1, 0], n // 2)
        shared = rng.normal(size=n) + 1.5 * label
        one = shared + 0.3 * rng.normal(size=n)
        two = shared + 0.3 * rng.normal(size=n) - shift * label
        return pd.concat([table(label, one, method="a"), table(label, two, method="b")])

    return make


@pytest.mark.parametrize(
    ("shift", "n", "margin", "verdict"),
    [
        (0.0, 2000, 0.05, "equivalent"),
        (0.0, 2000, None, "inconclusive"),
        (0.0, 60, 0.02, "inconclusive"),
        (0.8, 2000, 0.05, "better"),
        (-0.8, 2000, 0.05, "worse"),
        (0.05, 2000, 0.2, "equivalent"),
    ],
)
def test_a_margin_turns_differences_into_verdicts(alike, row, shift, n, margin, verdict):
    margins = {} if margin is None else {"auroc": margin}
    settings = EvaluateSettings(n_boot=50, margins=margins)
    scores = alike(shift, n)
    cases = scores[["case_id"]].drop_duplicates()
    one = row(evaluate_scores(scores, cases, settings=settings).comparisons, metric="auroc")
    assert one["verdict"] == verdict
    if margin is None:
        assert np.isnan([one["margin"], one["p_equivalence"]]).all()
        return
    # Two one-sided tests by hand: the standard error follows from the interval.
    df = n // 2 - 1
    se = (one["hi"] - one["lo"]) / 2 / stats.t(df).ppf(0.975)
    by_hand = max(
        stats.t(df).sf((margin + one["difference"]) / se),
        stats.t(df).sf((margin - one["difference"]) / se),
    )
    assert one["p_equivalence"] == pytest.approx(by_hand, rel=1e-6)


def test_equivalence_of_independent_groups_is_close_to_the_z_tests_of_statsmodels(apart, row):
    scores, cases = apart
    settings = EvaluateSettings(n_boot=50, margins={"sensitivity": 0.2})
    one = row(compare(scores, cases, ["sex"], settings), kind="groups", metric="sensitivity")
    own = scores["label"] == 1
    parts = [scores.loc[own & (cases["sex"] == sex), "decision"] for sex in "FM"]
    p, _, _ = ztost(parts[0], -0.2, 0.2, parts[1], usevar="pooled")
    assert one["p_equivalence"] == pytest.approx(p, rel=0.3)


def test_more_than_eight_groups_are_compared_with_the_largest_alone(drawn):
    scores, cases = drawn(n=1500, n_patients=1500)
    site = np.random.default_rng(0).choice(list("abcdefghij"), 1500, p=[0.19, *[0.09] * 9])
    found = compare(scores, cases.assign(site=site), ["site"], EvaluateSettings(n_boot=50))
    pairs = found.loc[(found["kind"] == "groups") & (found["metric"] == "auroc")]
    assert len(pairs) == 9
    assert set(pairs["second"]) == {"a"}


def test_delong_on_request_compares_groups_as_proc_does(drawn, row):
    # By hand: variances of placement values of cases, and Welch's degrees of freedom of all cases.
    scores, cases = drawn(n=400)  # patients with several images, whom pROC does not know
    settings = EvaluateSettings(n_boot=50, interval="delong")
    one = row(compare(scores, cases, ["sex"], settings), kind="groups", metric="auroc")
    auroc, variance, n = [], [], []
    for sex in "FM":
        part = scores.loc[cases["sex"] == sex]
        ill, well = (part.loc[part["label"] == k, "score"].to_numpy() for k in (1, 0))
        wins = ill[:, None] > well
        auroc.append(wins.mean())
        spread = wins.mean(axis=1).var(ddof=1) / len(ill) + wins.mean(axis=0).var(ddof=1) / len(
            well
        )
        variance.append(spread)
        n.append(len(part))
    difference, total = auroc[0] - auroc[1], sum(variance)
    df = total**2 / sum(v**2 / (k - 1) for v, k in zip(variance, n, strict=True))
    half = stats.t.ppf(0.975, df) * np.sqrt(total)
    p = 2 * stats.t.sf(abs(difference) / np.sqrt(total), df)
    expected = [difference, difference - half, difference + half, p]
    assert as_float(one, "difference", "lo", "hi", "p") == pytest.approx(expected, abs=1e-12)
    assert one["test"] == "DeLong, cases as independent"
