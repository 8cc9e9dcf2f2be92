"""Goals that were stated before the results, and what came."""

import json
from pathlib import Path

from segclf.study.experiments import STUDIES, comparisons_page
from segclf.study.goals import checked, goal_lines, spent_lines

KEPT = Path(__file__).parents[2] / "docs" / "comparisons.json"


def test_a_goal_is_reached_or_not_or_has_not_run():
    rows = {"softmax": {"robust_auroc": 0.62}}
    goals = [
        checked(("softmax", "robust_auroc", "<=", 0.6), rows),
        checked(("softmax", "robust_auroc", ">=", 0.6), rows),
        checked(("tau", "robust_auroc", ">=", 0.9), rows),
    ]
    assert [goal["reached"] for goal in goals] == [False, True, None]
    (text,) = goal_lines(goals)
    assert "| softmax: robust AUROC <= 0.6 | 0.620 | no |" in text
    assert "| tau: robust AUROC >= 0.9 | not run |  |" in text


def test_the_time_of_all_trainings_stands_beside_the_goal():
    entries = [{"trainings_cpu_s": [52.4, None]}, {"cpu_s": [31.0, 36.6]}, {"other": 1}]
    (text,) = spent_lines(entries)
    assert "at most 60 s a training, and 120 machine-minutes in all" in text
    assert "3 trainings of 2 CPU-minutes in all, the longest 52 CPU-seconds" in text
    assert spent_lines([{"other": 1}]) == []


def test_the_entries_that_were_kept_before_can_still_be_printed():
    text = comparisons_page(json.loads(KEPT.read_text(encoding="utf-8")))
    assert all(f"## {study.title}" in text for study in STUDIES.values())
