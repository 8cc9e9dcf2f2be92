import numpy as np
import pytest

from segclf.core.config import EvaluateSettings
from segclf.evaluate.estimates import Counts, estimate
from segclf.evaluate.metrics import METRICS

ALL_RIGHT, MIXED = np.ones(21), np.append(0.5, np.linspace(0, 1, 20))


@pytest.mark.parametrize(
    ("metric", "n", "min_group", "values", "unit", "reason"),
    [
        ("specificity", (9, 1), 5, MIXED, "patient", "1 negative patient (fewer than 5)"),
        ("specificity", (9, 2), 5, MIXED, "patient", "2 negative patients (fewer than 5)"),
        ("auroc", (1, 1), 5, MIXED, "study", "1 positive and 1 negative studies (fewer than 5)"),
        ("auroc", (1, 9), 5, MIXED, "study", "1 positive study (fewer than 5)"),
        ("specificity", (9, 1), 1, ALL_RIGHT, "eye",
         "bootstrap interval has no width: no errors among 1 negative eye"),
        ("specificity", (9, 1), 1, MIXED, "eye",
         "wide, and likely still too narrow: 1 negative eye"),
        ("specificity", (9, 3), 1, MIXED, "study",
         "wide, and likely still too narrow: 3 negative studies"),
    ],
)  # fmt: skip
def test_one_patient_is_counted_in_the_singular(metric, n, min_group, values, unit, reason):
    counts = Counts(sum(n), sum(n), *n, *n)
    settings = EvaluateSettings(min_group=min_group)
    found = estimate(METRICS[metric], values, counts, settings, unit=unit)
    assert found.reason == reason
