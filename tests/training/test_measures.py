import numpy as np
import pytest
import torch
from monai.metrics import compute_dice
from sklearn.metrics import roc_auc_score

from segclf.training import MEASURES, auroc, is_collapsed, validation_numbers
from segclf.training.measures import selection_key

NAN = float("nan")


def measured(*rows):
    """One row per case and one finding: loss, score, label, overlap, predicted, true."""
    return np.array(rows, dtype=float)[:, None, :]


@pytest.mark.parametrize("seed", range(5))
def test_auroc_is_that_of_scikit_learn_with_ties(seed):
    draw = np.random.default_rng(seed)
    score, label = draw.integers(0, 8, 60) / 8, draw.integers(0, 2, 60).astype(float)
    assert auroc(score, label) == pytest.approx(roc_auc_score(label, score), abs=1e-12)


def test_auroc_by_hand():
    # pairs: (0.9, 0.1) won, (0.9, 0.5) won, (0.5, 0.1) won, (0.5, 0.5) tied
    assert auroc(np.array([0.9, 0.5, 0.1, 0.5]), np.array([1.0, 1.0, 0.0, 0.0])) == 3.5 / 4


def test_auroc_leaves_out_what_is_not_known_and_is_none_with_one_class():
    score, label = np.array([0.9, 0.2, NAN, 0.7]), np.array([1.0, 0.0, 0.0, NAN])
    assert auroc(score, label) == 1.0
    assert auroc(score, np.array([1.0, NAN, 0.0, NAN])) is None
    assert auroc(np.array([]), np.array([])) is None


def test_dice_is_the_mean_over_positive_masks_as_monai_computes_it():
    draw = torch.Generator().manual_seed(0)
    predicted = (torch.rand(4, 1, 6, 6, generator=draw) > 0.5).float()
    true = (torch.rand(4, 1, 6, 6, generator=draw) > 0.6).float()
    true[2] = 0  # an empty mask with a false alarm
    rows = [
        [0.1, 0.5, float(t.any()), (p * t).sum(), p.sum(), t.sum()]
        for p, t in zip(predicted, true, strict=True)
    ]
    numbers = validation_numbers(measured(*rows))
    witness = compute_dice(predicted, true)  # NaN where the truth is empty
    assert numbers["dice_positives"] == pytest.approx(float(witness.nanmean()))
    assert (numbers["n_masks_positive"], numbers["n_masks_negative"]) == (3, 1)
    assert numbers["false_positive_rate"] == 1.0


def test_empty_cases_count_as_false_alarms_and_never_in_dice():
    numbers = validation_numbers(
        measured(
            [0.2, 0.9, 1, 3, 4, 4],  # Dice 2 * 3 / 8
            [0.4, 0.1, 0, 0, 0, 0],
            [0.6, 0.2, 0, 0, 5, 0],  # a false alarm
            [0.0, 0.3, NAN, NAN, 2, NAN],  # nothing known
            [NAN] * 6,  # could not be read
        )
    )
    assert numbers["dice_positives"] == 0.75
    assert numbers["false_positive_rate"] == 0.5
    assert numbers["loss"] == pytest.approx((0.2 + 0.4 + 0.6 + 0.0) / 4)
    assert (numbers["n_cases"], numbers["n_unusable"]) == (4, 1)
    assert numbers["auroc"] == 1.0
    assert numbers["undefined"] == {}


def test_what_is_undefined_is_none_with_a_reason():
    numbers = validation_numbers(measured([0.5, 0.3, 0, 0, 0, 0], [0.5, 0.2, 0, 0, 1, 0]))
    assert numbers["dice_positives"] is None
    assert numbers["auroc"] is None
    assert numbers["undefined"] == {
        "dice_positives": "no known validation mask holds a positive pixel",
        "auroc": "no validation case is labelled positive",
    }
    assert selection_key(numbers, "auroc") is None
    assert selection_key(numbers, "dice") is None


def test_auroc_of_several_findings_is_the_mean_of_those_that_are_defined():
    values = np.zeros((4, 3, len(MEASURES)))
    values[:, :, 1] = np.array([[0.1, 0.9, 0.5], [0.2, 0.8, 0.5], [0.3, 0.7, 0.5], [0.4, 0.6, 0.5]])
    values[:, :, 2] = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    numbers = validation_numbers(values)
    assert numbers["auroc_per_finding"] == [1.0, 0.25, None]
    assert numbers["auroc"] == 0.625


@pytest.mark.parametrize(("dice", "expected"), [(0.004, True), (0.2, False), (None, False)])
def test_a_network_whose_masks_miss_everything_has_collapsed(dice, expected):
    assert is_collapsed({"dice_positives": dice}) == expected
