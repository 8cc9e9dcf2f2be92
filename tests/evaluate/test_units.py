"""What is drawn independently, and where thresholds come from, through `evaluate_scores`."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_curve

from segclf.core.errors import DataError, UsageError
from segclf.core.settings import EvaluateSettings
from segclf.evaluate import evaluate_scores, evaluation_text, write_evaluation


@pytest.fixture
def nested(drawn):
    """Images in volumes of 4, two volumes to a patient; scores of a volume go together."""
    scores, cases = drawn(n=480)
    volume, patient = np.arange(480) // 4, np.arange(480) // 8
    rng = np.random.default_rng(3)
    label = (rng.random(60) < 0.4).astype(float)[patient]
    shared = 0.7 * rng.normal(size=120)[volume] + 1.2 * rng.normal(size=60)[patient]
    score = shared + 0.4 * rng.normal(size=480) + label
    scores = scores.assign(
        label=label, score=score, decision_value=score, decision=(score > 0.5).astype(float)
    )
    scores["patient_id"] = [f"p{i}" for i in patient]
    return scores, cases.assign(volume_id=[f"v{i}" for i in volume])


def evaluate_by(nested, unit, **options):
    settings = EvaluateSettings(n_boot=50, unit=unit, **options)
    return evaluate_scores(*nested, settings=settings)


def test_the_unit_is_what_is_drawn_independently(nested, row):
    found = {unit: evaluate_by(nested, unit) for unit in ("case", "volume", "patient")}
    aurocs = {unit: row(one.metrics, metric="auroc") for unit, one in found.items()}
    n = {unit: one["n_patients"] for unit, one in aurocs.items()}
    assert n == {"case": 480, "volume": 120, "patient": 60}
    width = {unit: one["hi"] - one["lo"] for unit, one in aurocs.items()}
    assert width["case"] < 0.7 * width["volume"]
    assert width["volume"] < 0.95 * width["patient"]
    assert len({one["estimate"] for one in aurocs.values()}) == 1
    units = {unit: one.ledger["unit"] for unit, one in found.items()}
    assert units == {"case": "image", "volume": "volume", "patient": "patient"}


def test_taking_cases_as_the_unit_is_the_interval_of_a_table_without_patients(nested, row):
    scores, cases = nested
    without = scores.assign(patient_id=scores["case_id"])
    expected = evaluate_scores(without, cases, settings=EvaluateSettings(n_boot=50))
    found = evaluate_by(nested, "case")
    pd.testing.assert_frame_equal(found.metrics, expected.metrics)
    assert found.ledger["images_independent"]
    assert "images are treated as independent" in found.ledger["notes"][0]
    assert evaluation_text(found).startswith("WARNING: images are treated as independent")
    assert not evaluate_by(nested, "volume").ledger["images_independent"]


def test_resampled_intervals_name_the_unit(nested, row):
    for unit, word in (("case", "image"), ("volume", "volume"), ("patient", "patient")):
        found = evaluate_by(nested, unit, interval="percentile").metrics
        assert row(found, metric="auroc")["interval"] == f"percentile, {word} bootstrap"


def test_a_case_table_without_volumes_is_refused_with_its_columns(nested):
    scores, cases = nested
    with pytest.raises(UsageError, match="volume_id") as caught:
        evaluate_by((scores, cases.drop(columns="volume_id")), "volume")
    assert "--unit volume" in str(caught.value)
    assert "age_years" in str(caught.value)


def test_a_case_without_a_volume_is_refused_with_its_id_and_their_number(nested):
    scores, cases = nested
    cases.loc[[7, 9], "volume_id"] = None
    with pytest.raises(DataError, match="2 rows have no volume, such as case 'c0007'") as caught:
        evaluate_by((scores, cases), "volume")
    assert "fill the column, or use --unit patient" in str(caught.value)
    with pytest.raises(DataError, match="80 rows have no volume, such as case 'c0400'"):
        evaluate_by((scores, cases[:400].assign(volume_id="v")), "volume")


@pytest.fixture
def split(drawn):
    """The first half of the cases is validation; a threshold of 9 calls nothing."""
    scores, cases = drawn(n=400, threshold=9.0)
    return scores.assign(split=np.where(np.arange(400) < 200, "val", "test")), cases


def test_thresholds_from_validation_cases_are_frozen_for_all_groups(split, row):
    scores, cases = split
    val, test = (scores.loc[scores["split"] == name] for name in ("val", "test"))
    fpr, tpr, _ = roc_curve(val["label"], val["score"])
    settings = EvaluateSettings(n_boot=50, threshold_from="val")
    found = evaluate_scores(scores, cases, by=["sex"], settings=settings)
    (record,) = found.ledger["thresholds"]
    called = val["score"] > record["threshold"]
    youden = called[val["label"] == 1].mean() - called[val["label"] == 0].mean()
    assert youden == pytest.approx((tpr - fpr).max())
    assert record["fitted_on"] == "val"
    for group in ("all", "F", "M"):
        own = test.loc[(cases["sex"][test.index] == group) | (group == "all")]
        expected = (own.loc[own["label"] == 1, "score"] > record["threshold"]).mean()
        one = row(found.metrics, group=group, metric="sensitivity")
        assert one["estimate"] == pytest.approx(expected, abs=1e-14)
    own = evaluate_scores(scores, cases, settings=EvaluateSettings(n_boot=50))
    assert row(own.metrics, metric="sensitivity")["estimate"] == 0.0  # the table's own decisions


def test_no_test_case_moves_a_threshold(split):
    scores, cases = split
    settings = EvaluateSettings(n_boot=50, threshold_from="val:specificity=0.9")
    is_test = scores["split"] == "test"
    moved = scores["score"].where(~is_test, -scores["score"])
    other = scores.assign(score=moved, label=scores["label"].where(~is_test, 1 - scores["label"]))
    found = [
        evaluate_scores(part, cases, settings=settings).ledger["thresholds"]
        for part in (scores, other)
    ]
    assert found[0][0]["threshold"] == found[1][0]["threshold"]


def test_thresholds_from_test_cases_are_refused(split):
    with pytest.raises(UsageError, match="--exploratory, which marks every output"):
        evaluate_scores(*split, settings=EvaluateSettings(n_boot=50, threshold_from="test"))


def test_exploratory_thresholds_mark_what_is_written(split, tmp_path):
    settings = EvaluateSettings(n_boot=50, threshold_from="test", exploratory=True)
    found = evaluate_scores(*split, settings=settings)
    assert found.ledger["exploratory"] is True
    assert any(note.startswith("EXPLORATORY") for note in found.ledger["notes"])
    assert "WARNING: EXPLORATORY" in evaluation_text(found)
    write_evaluation(tmp_path, found)
    for name in ("ledger.json", "evaluation.json"):
        assert "EXPLORATORY" in (tmp_path / name).read_text()
    # Allowed is not used: thresholds from validation cases stay unmarked.
    allowed = EvaluateSettings(n_boot=50, threshold_from="val", exploratory=True)
    found = evaluate_scores(*split, settings=allowed)
    assert found.ledger["exploratory"] is False
    assert not any("EXPLORATORY" in note for note in found.ledger["notes"])
