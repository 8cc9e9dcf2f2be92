"""Which cases are exported by which network, and at which t: from tables drawn by hand."""

import numpy as np
import pandas as pd
import pytest

from segclf.core.errors import DataError, UsageError
from segclf.core.maskstats import THRESHOLDS
from segclf.core.scoretable import COLUMNS, write_scores
from segclf.export import Asked
from segclf.export.plan import make_jobs

FINDINGS = ("lesion", "bleeding")
T = float(THRESHOLDS[70])


@pytest.fixture
def jobs(volumes, tmp_path):
    """Write a score table of (case, split, fold) rows and plan its export."""

    def plan(rows, *, fits=(), asked=None, drop=0, **record):
        table = pd.DataFrame(
            {
                "case_id": case_id, "finding": finding, "method": "m", "score": 0.25,
                "decision_value": 12.0, "threshold": 10.0, "decision": 1.0, "probability": np.nan,
                "split": split, "fold": fold, "seed": 0, "patient_id": "p", "label": np.nan,
            }
            for case_id, split, fold in rows
            for finding in FINDINGS
        ).astype(COLUMNS)  # fmt: skip
        record = {"fits": [*fits], **record}
        write_scores(tmp_path / "scores", table.iloc[: len(table) - drop], record)
        exp = volumes[0]
        return make_jobs(exp, exp.table, "nothing", tmp_path / "scores", asked or Asked("m"))

    return plan


def told(jobs):
    return [(job.case.case_id, job.fold) for job in jobs]


FOLDS = [("case 9", "test", 0), ("case 8", "test", 1), ("case 9", "val", 1), ("case 8", "val", 0)]


def test_each_case_is_taken_from_the_network_that_tested_it(jobs):
    assert told(jobs(FOLDS)) == [("case 8", 1), ("case 9", 0)]
    assert told(jobs(FOLDS, asked=Asked("m", fold=0))) == [("case 9", 0)]
    assert told(jobs(FOLDS, asked=Asked("m", cases=("case 8",)))) == [("case 8", 1)]
    assert told(jobs(FOLDS, asked=Asked("m", cases=("case 8",), fold=0))) == [("case 8", 0)]


def test_a_case_that_several_networks_tested_needs_a_fold(jobs):
    rows = [("case 9", "test", 0), ("case 9", "test", 1)]
    with pytest.raises(UsageError, match=r"folds \[0, 1\]") as caught:
        jobs(rows)
    assert "--fold 0" in str(caught.value)
    assert told(jobs(rows, asked=Asked("m", fold=1))) == [("case 9", 1)]
    with pytest.raises(UsageError, match="no test case in fold 2"):
        jobs(rows, asked=Asked("m", fold=2))


def test_t_is_that_of_the_finding_and_fold_that_decided(jobs):
    def fit(finding, fold, t):
        return {"finding": finding, "fold": fold, "t": t, "decision_value": "area_above",
                "unit": "mL"}  # fmt: skip

    ts = {(f, k): float(THRESHOLDS[60 + 2 * i + k]) for i, f in enumerate(FINDINGS) for k in (0, 1)}
    found = jobs(FOLDS, fits=[fit(f, k, t) for (f, k), t in ts.items()])
    for job in found:
        assert [score.t for score in job.scores] == [ts[f, job.fold] for f in FINDINGS]
        assert {score.unit for score in job.scores} == {"mL"}
    fits = [fit(f, k, None) | {"reason": "all 4 validation cases are negative"} for f, k in ts]
    with pytest.raises(UsageError, match="no threshold t: all 4 validation cases are negative"):
        jobs(FOLDS, fits=fits)


def test_a_method_without_t_takes_the_one_asked_for_or_that_of_components(jobs, volumes):
    one = [("case 9", "test", None)]
    assert {score.t for score in jobs(one, asked=Asked("m", t=T))[0].scores} == {T}
    (job,) = jobs(one)
    assert {score.t for score in job.scores} == {volumes[0].recipe.predict.component_t}
    assert {(score.unit, score.expected_px) for score in job.scores} == {("", None)}


def test_tables_of_other_maps_or_cases_are_refused(jobs):
    with pytest.raises(DataError, match="maps of this method were made elsewhere"):
        jobs([("case 9", "test", None)], maps={"folder": "x"})
    with pytest.raises(DataError, match="differ in case 'stranger'"):
        jobs([("stranger", "test", None)])
    with pytest.raises(DataError, match="no row of bleeding"):
        jobs([("case 9", "test", None)], drop=1)
