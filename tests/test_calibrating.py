"""Calibration and operating points on score tables that exist already."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.isotonic import IsotonicRegression
from typer.testing import CliRunner

from segclf.calibrating import calibrate_table, calibrated_text, settings_asked, tables_of
from segclf.cli import app
from segclf.core.errors import ConfigError, DataError, UsageError
from segclf.core.operating import fit_points, point_line
from segclf.core.scoretable import COLUMNS, read_record, read_scores, write_scores
from segclf.core.settings import SummarizeSettings


@pytest.fixture
def scores():
    """A score table of two folds: 60 validation and 40 test cases each."""
    tables = []
    for fold in (0, 1):
        rng = np.random.default_rng(fold)
        label = (rng.random(100) < 0.4).astype(float)
        score = np.clip(rng.normal(0.3 + 0.3 * label, 0.2), 0.01, 0.99)
        tables.append(
            pd.DataFrame(
                {
                    "case_id": [f"f{fold}c{i}" for i in range(100)],
                    "finding": "lesion",
                    "method": "mean",
                    "score": score,
                    "decision_value": score,
                    "threshold": 0.5,
                    "decision": (score > 0.5).astype(float),
                    "probability": np.nan,
                    "split": ["val"] * 60 + ["test"] * 40,
                    "fold": fold,
                    "seed": 0,
                    "patient_id": [f"f{fold}p{i}" for i in range(100)],
                    "label": label,
                }
            )
        )
    return pd.concat(tables, ignore_index=True).loc[:, list(COLUMNS)].astype(COLUMNS)


@pytest.fixture
def folder(scores, tmp_path):
    """The folder of a rule in a run."""
    fits = [
        {"finding": "lesion", "fold": fold, "threshold": 0.5, "reason": None, "plane": np.eye(2)}
        for fold in (0, 1)
    ]
    path = tmp_path / "runs" / "mine" / "summarize" / "mean"
    write_scores(path, scores, {"rule": "mean", "fits": fits})
    return path


def test_probabilities_are_fitted_per_fold_on_validation_cases_alone(folder, scores):
    before = read_scores(folder)
    calibrate_table(folder, method="isotonic")
    after = read_scores(folder)
    for _, part in after.groupby("fold"):
        val = part[part["split"] == "val"]
        witness = IsotonicRegression(out_of_bounds="clip").fit(val["score"], val["label"])
        np.testing.assert_allclose(part["probability"], witness.predict(part["score"]), atol=1e-12)
    pd.testing.assert_frame_equal(
        after.drop(columns="probability"), before.drop(columns="probability")
    )
    spoiled = scores.copy()
    spoiled.loc[spoiled["split"] == "test", "label"] = 1.0
    write_scores(folder, spoiled, {"rule": "mean", "fits": []})
    calibrate_table(folder, method="isotonic")
    assert read_scores(folder)["probability"].equals(after["probability"])


def test_operating_points_reach_on_validation_what_the_file_says(folder):
    points = {"rule_out": "sensitivity=0.95", "rule_in": "specificity=0.9", "cheap": "cost=5"}
    _, fits = calibrate_table(folder, points=points)
    table, scores = pd.read_csv(folder / "operating_points.csv"), read_scores(folder)
    assert list(table["point"]) == [*points] * 2
    for row in table.itertuples():
        val = scores[(scores["split"] == "val") & (scores["fold"] == row.fold)]
        above = val["decision_value"] > row.threshold
        assert row.sensitivity == pytest.approx(above[val["label"] == 1].mean())
        assert row.specificity == pytest.approx((~above)[val["label"] == 0].mean())
        assert row.n == 60
    assert table.query("point == 'rule_out'")["sensitivity"].min() >= 0.95
    assert table.query("point == 'rule_in'")["specificity"].min() >= 0.9
    assert scores["decision"].equals((scores["score"] > 0.5).astype(float))
    assert scores["probability"].isna().all()
    assert "mean · lesion, fold 1: rule_in above" in calibrated_text(fits)


def test_a_threshold_below_all_scores_is_said_in_words():
    value, label = np.array([0.02, 0.6, 0.7, 0.9]), np.array([1.0, 0.0, 0.0, 1.0])
    settings = SummarizeSettings(operating_points={"rule_out": "sensitivity=0.95"})
    points = fit_points(value, label, settings)
    assert points["rule_out"]["threshold"] < 0  # the score lies between 0 and 1
    text = point_line("rule_out", points["rule_out"])
    assert text.startswith(
        "rule_out calls every case positive, its threshold lies below all scores"
    )
    assert "-0." not in text


def test_the_record_keeps_what_it_held_and_says_what_was_done(folder):
    calibrate_table(folder, method="platt")
    calibrate_table(folder, method="temperature", points={"a": "sensitivity=0.9"})
    calibrate_table(folder, points={"b": "youden"})
    record = read_record(folder)
    assert record["rule"] == "mean"
    np.testing.assert_array_equal(record["fits"][1]["plane"], np.eye(2))
    assert [fit["calibration"]["method"] for fit in record["fits"]] == ["temperature"] * 2
    assert [set(fit["operating_points"]) for fit in record["fits"]] == [{"a", "b"}] * 2
    assert [step["method"] for step in record["calibrated"]] == ["platt", "temperature", None]
    calibrate_table(folder, method="none")
    assert read_scores(folder)["probability"].isna().all()


def test_a_table_that_does_not_exist_is_named_as_such(tmp_path):
    with pytest.raises(DataError, match="there is no such score table"):
        calibrate_table(tmp_path / "none.csv", method="platt")


def test_a_foreign_table_goes_into_a_folder_of_its_own(scores, tmp_path):
    table = tmp_path / "theirs.csv"
    scores.to_csv(table, index=False)
    before = table.read_bytes()
    with pytest.raises(UsageError, match="not written by segclf"):
        calibrate_table(table, method="platt")
    out, _ = calibrate_table(table, method="platt", out=tmp_path / "new")
    assert table.read_bytes() == before
    assert read_scores(out)["probability"].notna().all()
    fits = json.loads((out / "summarizer.json").read_text())["fits"]
    assert [(fit["method"], fit["fold"]) for fit in fits] == [("mean", 0), ("mean", 1)]


def test_a_run_is_searched_for_the_method(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tables_of("mine", "mean")[0].resolve() == folder
    assert tables_of(None, "mean")[0].resolve() == folder
    with pytest.raises(UsageError, match="did you mean 'mean'"):
        tables_of("mine", "meen")


def test_scores_of_another_manifest_keep_their_probabilities(folder, scores, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_scores(folder / "new-cases-1234", scores.query("split == 'test'"), {"fits": []})
    head = tmp_path / "runs/mine/classify/sigmoid"
    for fold in (0, 1):
        table = scores[scores["fold"] == fold].reset_index(drop=True)
        write_scores(head / f"fold{fold}", table, {"fits": []}, record_name="classifier.json")
    assert [path.name for path in tables_of("mine", "mean")] == ["mean"]
    assert [path.name for path in tables_of("mine", "sigmoid")] == ["fold0", "fold1"]
    calibrate_table(head / "fold1", method="platt")
    assert (head / "fold1/classifier.json").is_file()
    assert not (head / "fold1/summarizer.json").exists()


def test_what_cannot_be_done_is_said(folder):
    with pytest.raises(UsageError, match="nothing is asked for"):
        calibrate_table(folder)
    with pytest.raises(UsageError, match="did you mean 'isotonic'"):
        calibrate_table(folder, method="isotonc")
    for text in ("sensitivity", "sensitivity=1.5", "auroc=1", "cost=-1", "youden=2"):
        with pytest.raises(ConfigError, match="operating point 'x'") as caught:
            calibrate_table(folder, points={"x": text})
        assert caught.value.fix == "for example x: sensitivity=0.95"


def test_no_positive_validation_case_gives_no_curve_and_no_point_and_the_reason(scores, tmp_path):
    scores.loc[scores["split"] == "val", "label"] = 0.0
    write_scores(tmp_path, scores, {"fits": []})
    _, fits = calibrate_table(tmp_path, method="platt", points={"x": "youden"})
    assert fits[0]["calibration"]["reason"] == "all 60 validation cases are negative"
    assert pd.read_csv(tmp_path / "operating_points.csv")["threshold"].isna().all()
    assert "no probability, because all 60" in calibrated_text(fits)


def test_a_recipe_or_a_setting_says_what_no_option_does(tmp_path):
    assert settings_asked(None, "mine", (), None, {}) == ("mine", None, {})
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: mine\nsummarize: {calibrate: isotonic, operating_points: {a: youden}}")
    assert settings_asked(recipe, None, (), None, {}) == ("mine", "isotonic", {"a": "youden"})
    both = settings_asked(recipe, "other", ["summarize.calibrate=none"], "platt", {"b": "cost=2"})
    assert both == ("other", "platt", {"a": "youden", "b": "cost=2"})
    assert settings_asked(None, None, ["summarize.calibrate=none"], None, {})[1] == "none"


@pytest.mark.parametrize(
    ("words", "wrong", "fix"),
    [
        ("calibrate --scores x.csv --run mine", "--run would have no effect", "leave --scores out"),
        ("calibrate --scores x.csv --rule mean", "--rule would have no effect", "leave --scores"),
        ("summarize --rule mean --out x --name y", "--name and --out would have", "add --maps"),
        ("summarize --maps-hold labels", "--maps-hold would have no effect", "add --maps FOLDER"),
        ("summarize --maps m --run r --manifest o.csv", "--manifest would have", "leave --run out"),
        ("summarize --maps m --run r --config c --out x", "--config and --out", "leave --run out"),
    ],
)
def test_options_without_effect_are_refused(words, wrong, fix):
    error = CliRunner().invoke(app, words.split()).exception
    assert isinstance(error, UsageError)
    assert wrong in error.wrong
    assert error.fix.startswith(fix)
