"""Numbers of eight heads against eight networks, by hand and against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

from segclf.study.attributes import accuracies, accuracy_difference, combinations


def decisions(predicted, heads=("density", "texture")):
    """Two images of each of three patients, whose truth is always `a`."""
    rows = [
        {"case_id": f"c{case}", "patient_id": f"p{case // 2}", "head": head, "truth": "a"}
        for head in heads
        for case in range(6)
    ]
    return pd.DataFrame(rows).assign(predicted=list(predicted))


def test_a_class_is_named_by_every_combination_of_three_categories():
    found = combinations()
    assert len(found) == 27
    expected = {"texture": "coarse", "habitus": "tall", "stripes": "none"}
    assert found["coarse-tall-none"] == expected


def test_accuracies_are_means_over_seeds():
    one, again = decisions("aaabbbaaaaab"), decisions("aaaaaabbbbbb")
    rows = {row["head"]: row for row in accuracies([one, again], [again, again])}
    texture = one[one["head"] == "texture"]
    expected = (accuracy_score(texture["truth"], texture["predicted"]) + 0) / 2
    assert rows["texture"]["multihead"] == pytest.approx(expected)
    assert rows["density"]["multihead"] == pytest.approx((0.5 + 1.0) / 2)
    assert rows["texture"]["own"] == 0.0
    assert rows["density"]["n"] == 6


def test_the_difference_is_of_the_same_cases_and_resampled_by_patient():
    one, own = decisions("aabbbbaaaaab"), decisions("aaaaaaaabbaa")
    found = accuracy_difference([one], [own.sample(frac=1, random_state=0)])
    assert found["multihead"] == pytest.approx(7 / 12)
    assert found["own"] == pytest.approx(10 / 12)
    assert found["difference"] == pytest.approx(-3 / 12)
    per_patient = np.array([0.0, 0.0, -3.0]), np.array([4, 4, 4])
    assert per_patient[0].sum() / per_patient[1].sum() == found["difference"]
    assert found["lo"] == pytest.approx(-0.75)
    assert found["hi"] == pytest.approx(0.0)
    assert found["n_patients"] == 3
