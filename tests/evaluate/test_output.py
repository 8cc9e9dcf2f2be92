import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from segclf.core.errors import UsageError
from segclf.core.settings import EvaluateSettings
from segclf.evaluate import evaluate_scores, evaluation_text, write_evaluation
from segclf.evaluate.output import read_evaluation

FAST = EvaluateSettings(n_boot=50)
DRAWN = EvaluateSettings(n_boot=50, interval="percentile")


@pytest.fixture
def evaluation(drawn):
    scores, cases = drawn(n=400)
    both = pd.concat(
        [scores.assign(method="tau"), scores.assign(method="sigmoid", decision=np.nan)]
    )
    return evaluate_scores(
        both,
        cases,
        by=["sex", "target_size", "target_px"],
        roles={"target_size": "derived", "target_px": "derived"},
        shortcut="tube",
        settings=FAST,
        data="phantom",
    )


def test_the_files_hold_the_tables(evaluation, tmp_path):
    write_evaluation(tmp_path, evaluation)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("comparisons.csv", "decomposition.csv", "evaluation.json", "gaps.csv", "grid.csv"),
        *("groups.parquet", "ledger.json", "metrics.csv", "metrics.parquet", "robust.csv"),
        *("scores.parquet", "size_recall.csv"),
    ]
    marks = ["data", "unit", "caution"]
    from_parquet = pd.read_parquet(tmp_path / "metrics.parquet").drop(columns=marks)
    pd.testing.assert_frame_equal(from_parquet, evaluation.metrics, check_dtype=False)
    from_csv = pd.read_csv(tmp_path / "metrics.csv", keep_default_na=False, na_values=[""])
    np.testing.assert_allclose(from_csv["estimate"], evaluation.metrics["estimate"], rtol=1e-15)
    assert from_csv["n_cases"].tolist() == evaluation.metrics["n_cases"].tolist()


def test_what_was_written_is_read_again_with_its_scores_and_groups(evaluation, tmp_path):
    with pytest.raises(UsageError, match="no finished evaluation"):
        read_evaluation(tmp_path)
    write_evaluation(tmp_path, evaluation)
    found = read_evaluation(tmp_path)
    pd.testing.assert_frame_equal(found["scores"], evaluation.scores.reset_index(drop=True))
    by_case = dict(zip(evaluation.groups["case_id"], evaluation.groups["sex"], strict=True))
    assert found["groups"]["sex"].to_dict() == by_case
    compared = found["comparisons"]["difference"].to_numpy(dtype=float)
    expected = evaluation.comparisons["difference"].to_numpy(dtype=float)
    np.testing.assert_allclose(compared, expected, rtol=1e-14)
    assert found["ledger"]["by"] == evaluation.ledger["by"]


def test_every_file_says_which_data_it_is_from(evaluation, tmp_path):
    write_evaluation(tmp_path, evaluation)
    for path in tmp_path.glob("*.csv"):
        assert set(pd.read_csv(path)["data"]) == {"phantom"}, path.name
    for name in ("ledger.json", "evaluation.json"):
        assert json.loads((tmp_path / name).read_text())["data"] == "phantom"


def test_what_vouched_for_an_earlier_evaluation_goes_first(evaluation, tmp_path, monkeypatch):
    write_evaluation(tmp_path, evaluation)
    (tmp_path / "index.html").write_text("the page of before")
    broken = replace(evaluation, grid=None)  # ends the writing in the middle
    with pytest.raises(AttributeError):
        write_evaluation(tmp_path, broken)
    assert not (tmp_path / "index.html").exists()
    with pytest.raises(UsageError, match="no finished evaluation"):
        read_evaluation(tmp_path)
    write_evaluation(tmp_path, evaluation)
    assert read_evaluation(tmp_path)["ledger"]["data"] == "phantom"


def test_the_json_is_plain_and_short(evaluation, tmp_path):
    write_evaluation(tmp_path, evaluation)
    compact = json.loads((tmp_path / "evaluation.json").read_text(), parse_constant=pytest.fail)
    overall = {(row["method"], row["metric"]): row for row in compact["overall"]}
    assert overall["tau", "auroc"]["estimate"] == overall["sigmoid", "auroc"]["estimate"]
    assert overall["sigmoid", "ppv"]["estimate"] is None
    assert overall["sigmoid", "ppv"]["reason"] == "the score table has no decisions"
    assert {row["quantity"] for row in compact["robust"]} == {
        *("robust", "robust, absent", "aligned", "aligned - robust"),
    }
    columns = {row["group_column"] for row in compact["worst"]}
    assert columns == {"sex", "target_size", "target_px"}


def test_the_ledger_says_what_was_asked_and_what_was_left_out(evaluation, tmp_path):
    write_evaluation(tmp_path, evaluation)
    ledger = json.loads((tmp_path / "ledger.json").read_text())
    assert (ledger["by"], ledger["shortcut"]) == (["sex", "target_size", "target_px"], "tube")
    assert (ledger["n_boot"], ledger["seed"], ledger["unit"]) == (50, 0, "patient")
    entries = {
        (e["method"], e["reason"].partition(":")[0]): e["n_rows"] for e in ledger["exclusions"]
    }
    assert entries == {
        ("sigmoid", "no decision"): 400,
        ("sigmoid", "no probability"): 400,
        ("tau", "no probability"): 400,
    }


def test_the_text_has_the_main_numbers_and_ends_with_what_is_missing(evaluation, row):
    text = evaluation_text(evaluation)
    auroc = row(evaluation.metrics, method="tau", group="all", metric="auroc")
    assert f"{auroc['estimate']:.3f} [{auroc['lo']:.3f}, {auroc['hi']:.3f}]" in text
    assert f"lesion: 400 test cases, {auroc['n_positive']} positive, " in text
    assert f"95% intervals: {auroc['interval']}" in text
    assert "sex = F" in text
    assert "(all negatives)" in text
    assert "aligned - robust" in text
    assert "left out: 400 rows: no decision" in text
    assert text.splitlines()[-1].startswith("not estimated: ")
    assert "nan" not in text.lower()


def test_the_text_begins_with_a_warning_if_images_are_taken_as_independent(table):
    scores = table([1, 0] * 10, np.arange(20) % 7)
    scores["patient_id"] = scores["case_id"]
    text = evaluation_text(evaluate_scores(scores, scores[["case_id"]], settings=DRAWN))
    assert text.startswith("WARNING: images are treated as independent")
    assert "wide, and likely still too narrow (fewer than 50 images of a class)" in text


def test_the_text_shows_the_spread_over_folds(drawn):
    scores, cases = drawn(n=300)
    fold = (scores["patient_id"].str[1:].astype(int) % 3).astype("Int64")
    found = evaluate_scores(scores.assign(fold=fold), cases, settings=FAST)
    assert "    3 folds, AUROC 0." in evaluation_text(found)


def test_an_interval_without_width_reads_as_its_reason(table):
    scores = table([1] * 6 + [0] * 9, [1.0] * 6 + [0.0] * 9)
    text = evaluation_text(evaluate_scores(scores, scores[["case_id"]], settings=DRAWN))
    assert "1.000 [no interval] " in text
    assert "auroc: bootstrap interval has no width: no errors among 6 positive and 9" in text


def test_a_group_that_a_spreadsheet_would_run_is_guarded_and_read_as_it_was(drawn, tmp_path):
    scores, cases = drawn()
    named = cases.assign(sex=cases["sex"].replace({"F": "=1+1", "M": "+cmd"}))
    found = evaluate_scores(scores, named, by=["sex"], settings=FAST)
    write_evaluation(tmp_path, found)
    text = (tmp_path / "metrics.csv").read_text()
    assert ",'=1+1," in text
    assert ",=1+1" not in text
    assert set(read_evaluation(tmp_path)["gaps"]["worst_group"].dropna()) <= {"=1+1", "+cmd"}
