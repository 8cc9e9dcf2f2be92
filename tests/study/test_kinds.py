"""What the study of untrained classes counts, on a tiny phantom, against scikit-learn."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import sem, t
from sklearn.metrics import accuracy_score, roc_auc_score

from segclf.experiment import new_experiment
from segclf.study import kinds
from segclf.study.experiments import PROOFS, comparisons_page


@pytest.fixture(scope="module")
def entry(tmp_path_factory):
    """Two steps of training on 32 px; the numbers mean nothing, but they are counted."""
    patch = pytest.MonkeyPatch()
    patch.chdir(tmp_path_factory.mktemp("kinds"))
    sizes = {"train": 60, "val": 30, "test": 80}
    tiny = {"size_px": [32, 32], "n_classes": 5, "n_unseen": 2, "n_cases": sizes}
    patch.setattr(kinds, "SETTINGS", kinds.SETTINGS | tiny)
    patch.setattr(kinds, "OVERRIDES", (*kinds.OVERRIDES, "train.steps=2", "train.batch_size=8"))
    patch.setattr(kinds, "N_DRAWS", 2)
    found = kinds.run_kinds(kinds.Path("data/kinds"), n_seeds=1)
    yield found
    patch.undo()


def test_known_and_unknown_are_counted_as_scikit_learn_does(entry):
    recipe = kinds.Path("data/kinds/kinds-phantom1/recipe.yaml")
    settings = (*kinds.OVERRIDES, "seed=1", "split.seed=0")
    exp = new_experiment(recipe, None, "kinds-phantom1", settings)
    table = pd.read_parquet(exp.run.stage("classify", "metric") / "classes.parquet")
    table = table[table["split"] == "test"]
    known = table["truth"].isin(["kind00", "kind01", "kind02"])
    row = entry["seeds"][0]
    assert (row["n_known"], row["n_unknown"]) == (int(known.sum()), int((~known).sum()))
    assert row["known_unknown"] == pytest.approx(roc_auc_score(known, table["similarity"]))
    seen = table[known]
    threshold = json.loads((exp.run.stage("classify", "metric") / "gallery.json").read_text())
    is_called = table["similarity"] <= threshold["unknown"]["threshold"]
    assert row["said_unknown_of_unknown"] == pytest.approx(is_called[~known].mean())
    assert row["said_unknown_of_known"] == pytest.approx(is_called[known].mean())
    assert row["accuracy_known"] == pytest.approx(accuracy_score(seen["truth"], seen["predicted"]))


def test_enrolled_patients_are_not_judged(entry):
    row = entry["seeds"][0]
    assert [one["draw"] for one in row["enrolled"]] == [0, 1]
    for one in row["enrolled"]:
        assert 0 < one["n"] <= row["n_unknown"] - 2 * kinds.N_IMAGES
        assert 0 <= one["accuracy"] <= 1


def test_the_section_says_what_was_found_and_that_nothing_has_run(entry):
    kept = json.loads(json.dumps(entry))
    text = kinds.kinds_section(PROOFS["phantom_kinds"].title, kept)
    mean = np.mean([one["accuracy"] for one in entry["seeds"][0]["enrolled"]])
    assert f"| {mean:.3f} (" in text
    assert "1 trainings of " in text
    assert kinds.kinds_section("Kinds", None) == "## Kinds\n\nNot run.\n"
    page = comparisons_page({"phantom_kinds": kept})
    assert text in page
    assert page.count("Not run.") == page.count("\n## ") - 1
    assert all(proof.title in page for proof in PROOFS.values())


def test_the_section_says_how_many_phantoms_reach_the_goal_and_how_sure_the_mean_is():
    accuracy = [0.81, 0.847, 0.843, 0.763, 0.793]
    known = {"accuracy_known": 1.0, "known_unknown": 0.96, "n_known": 9, "n_unknown": 3}
    known |= {"said_unknown_of_unknown": 0.8, "said_unknown_of_known": 0.1}
    rows = [
        {"seed": i, "enrolled": [{"draw": 0, "n": 9, "accuracy": value}], **known}
        for i, value in enumerate(accuracy)
    ]
    text = kinds.kinds_section("Kinds", {"seeds": rows, "cpu_s": [30.0], "settings": []})
    lo, hi = t.interval(0.95, 4, np.mean(accuracy), sem(accuracy))
    assert (
        f"enrolled 0.811 (95 % {lo:.3f} to {hi:.3f}, t, n = 5), 3 of 5 above 0.8, the mean above it"
        in text
    )
    assert "together" not in text
