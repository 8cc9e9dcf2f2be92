"""DeLong's method against a published table, and against pROC's published numbers."""

import csv
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2, norm

from segclf.evaluate.inference.auroc import auroc_of
from segclf.evaluate.inference.compare import compare_independent, compare_paired
from segclf.evaluate.inference.delong import auroc_covariance
from segclf.evaluate.inference.intervals import delong_interval
from segclf.evaluate.metrics.ranking import partial_auroc

TABLE = Path(__file__).with_name("delong1988.csv")
"""43 patients of DeLong et al. (1988), as printed in the SAS/STAT documentation."""
ASAH = Path("/usr/lib/R/site-library/pROC/data/Rdata.rdb")
"""Where Debian's package r-cran-proc puts pROC's example data."""


def ovarian():
    """Scores for albumin, total protein and Kanamycin-Gentamicin, and who had the event."""
    with TABLE.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 43
    scores = [[float(row["alb"]), float(row["tp"]), 10 - float(row["totscore"])] for row in rows]
    return np.array(scores), np.array([row["popind"] == "1" for row in rows])


def test_the_published_table_of_delong_is_reproduced():
    scores, positive = ovarian()
    auroc, covariance = auroc_covariance(scores, positive)
    np.testing.assert_allclose(auroc, [0.7366, 0.6478, 0.7258], atol=5e-5)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), [0.0927, 0.1000, 0.1028], atol=5e-5)
    limits = [delong_interval(auroc_of(column, positive), 0.95) for column in scores.T]
    expected = [[0.5549, 0.9182], [0.4518, 0.8439], [0.5243, 0.9273]]
    np.testing.assert_allclose(limits, expected, atol=5e-5)
    contrast = np.array([[1, 0, -1], [0, 1, -1]])
    difference = contrast @ auroc
    joint = difference @ np.linalg.solve(contrast @ covariance @ contrast.T, difference)
    assert joint == pytest.approx(2.5340, abs=5e-5)
    assert chi2.sf(joint, df=2) == pytest.approx(0.2817, abs=5e-5)


@pytest.fixture(scope="module")
def asah():
    """pROC's 113 patients with subarachnoid haemorrhage, read by R."""
    if not (ASAH.exists() and shutil.which("Rscript")):
        pytest.skip(f"pROC's aSAH data is not here (Debian: r-cran-proc, {ASAH})")
    program = (
        "e <- new.env(); lazyLoad(commandArgs(TRUE)[1], e); d <- e$aSAH; "
        "d$wfns <- as.integer(as.character(d$wfns)); options(digits = 17); write.csv(d)"
    )
    command = ["Rscript", "--vanilla", "-e", program, str(ASAH.with_suffix(""))]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    lines = result.stdout[result.stdout.index('"",') :].splitlines()
    rows = list(csv.DictReader(lines))
    scores = {name: np.array([float(row[name]) for row in rows]) for name in NAMES}
    positive = np.array([row["outcome"] == "Poor" for row in rows])
    is_female = np.array([row["gender"] == "Female" for row in rows])
    assert (positive.sum(), (~positive).sum()) == (41, 72)
    return np.stack([scores[name] for name in NAMES], axis=1), positive, is_female


NAMES = ("wfns", "ndka", "s100b")
# pROC at commit ee2877e, tests/testthat/test-{auc,var,cov,ci.auc,roc.test}.R
AUROC = [0.823678861788618, 0.611957994579946, 0.731368563685637]
VARIANCE = [0.00146991470882363, 0.0031908105493913, 0.00266868245717244]
COVARIANCE = [-0.000532967856762438, -0.000756164938056579, 0.00119615567376754]
PAIRED = [
    (0, 2, 2.20898359144091, 0.0271757822291882, 0.0104061769564846, 0.174214419249478),
    (0, 1, 2.79777591868904, 0.00514557970691098, 0.0634011709339876, 0.3600405634833566),
    (1, 2, -1.39077002573558, 0.164295175223054, -0.2876917446341914, 0.0488706064228094),
]


def test_the_numbers_of_proc_are_reproduced(asah):
    scores, positive, _ = asah
    auroc, covariance = auroc_covariance(scores, positive)
    np.testing.assert_allclose(auroc, AUROC, atol=1e-10)
    np.testing.assert_allclose(np.diag(covariance), VARIANCE, atol=1e-10)
    found = [covariance[0, 1], covariance[1, 2], covariance[2, 0]]
    np.testing.assert_allclose(found, COVARIANCE, atol=1e-10)


def test_the_paired_tests_of_proc_follow_from_the_covariance(asah):
    scores, positive, _ = asah
    auroc, covariance = auroc_covariance(scores, positive)
    for a, b, z, p, lo, hi in PAIRED:
        contrast = np.eye(3)[a] - np.eye(3)[b]
        difference, error = contrast @ auroc, np.sqrt(contrast @ covariance @ contrast)
        assert difference / error == pytest.approx(z, abs=1e-10)
        assert 2 * norm.sf(abs(difference / error)) == pytest.approx(p, abs=1e-10)
        half = norm.ppf(0.975) * error
        np.testing.assert_allclose([difference - half, difference + half], [lo, hi], atol=1e-10)


def test_the_intervals_of_proc_are_reproduced_also_in_a_subgroup(asah):
    scores, positive, is_female = asah
    everyone = delong_interval(auroc_of(scores[:, 1], positive), 0.95)
    np.testing.assert_allclose(everyone, [0.501244999271703, 0.722670989888189], atol=1e-10)
    women = auroc_of(scores[is_female, 1], positive[is_female])
    assert women.value == pytest.approx(0.6671428571, abs=1e-10)
    found = delong_interval(women, 0.95)
    np.testing.assert_allclose(found, [0.5261398281, 0.8081458862], atol=1e-10)


# pROC at commit ee2877e: test-roc.test.R (unpaired, one-sided), test-auc.R (partial areas of wfns)
UNPAIRED = [
    (0, 2, 1.43490640926908, 0.152825378808796),
    (0, 1, 3.10125096778969, 0.00220950791756457),
    (1, 2, -1.55995743389685, 0.120192832430845),
]
PARTIAL = [
    ({"low": 0.9, "high": 1.0}, 0.0334417344173442),
    ({"low": 0.8, "high": 0.9}, 0.0598373983739837),
    ({"low": 0.9, "high": 1.0, "of": "sensitivity"}, 0.0400999322493225),
]


def test_our_paired_and_unpaired_tests_are_those_of_proc(asah):
    scores, positive, _ = asah
    auroc, covariance = auroc_covariance(scores, positive)
    for a, b, z, p, lo, hi in PAIRED:
        variance = covariance[a, a] + covariance[b, b] - 2 * covariance[a, b]
        found = compare_paired(auroc[a] - auroc[b], variance)
        np.testing.assert_allclose(
            [found.z, found.p, found.lo, found.hi], [z, p, lo, hi], atol=1e-10
        )
    for a, b, z, p in UNPAIRED:
        variances = (covariance[a, a], covariance[b, b])
        found = compare_independent(auroc[a] - auroc[b], variances, (113, 113))
        np.testing.assert_allclose([found.z, found.p], [z, p], atol=1e-10)
    one_sided = compare_paired(auroc[0] - auroc[2], PAIRED_VARIANCE)
    assert one_sided.p / 2 == pytest.approx(0.0135878911145941, abs=1e-10)
    same = compare_paired(0.0, 0.0)
    assert (same.z, same.p) == (0.0, 1.0)


PAIRED_VARIANCE = VARIANCE[0] + VARIANCE[2] - 2 * COVARIANCE[2]


def test_partial_areas_are_those_of_proc(asah):
    scores, positive, _ = asah
    for options, expected in PARTIAL:
        found = partial_auroc(positive.astype(int), scores[:, 0], np.ones(113), **options)
        assert found == pytest.approx(expected, abs=1e-10)
