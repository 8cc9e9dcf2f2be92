"""The study as a whole: cells are kept, predictions judged, and what is missing reads so."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from segclf.core.errors import StoppedError
from segclf.study.theory import (
    Separability,
    run_separability,
    separability_section,
    separability_svg,
)
from segclf.study.theory.cells import EMBEDDINGS, PIXELS, WEIGHTS, Cell, pixel_cell, plan_cells
from segclf.study.theory.predictions import verdict
from segclf.study.theory.settings import HARD
from segclf.study.theory.summary import exponent_of, mean_of

STUDY = Separability(n_seeds=3)


def level(alpha, rng, *, power=2.0):
    """Numbers of one cell: exactly alpha to a power at image level, constant at pixel level."""
    image = alpha**power * rng.uniform(0.95, 1.05)
    pixel = rng.uniform(0.95, 1.05)
    return {"image_part": image, "image_classifier": image, "image_knn": -0.001,
            "pixel_classifier": pixel, "pixel_knn": pixel, "target": pixel}  # fmt: skip


def law(alpha):
    return {"image": alpha**2, "bound": alpha, "small": alpha**2, "slope": 2.0, "pixel": 1.0,
            "target": 1.0}  # fmt: skip


def made_up(seen, *, clear_power=1.2):
    """Measures that follow the theory, but for lesions that stand out."""

    def shortcut(rng, n):
        return {"image": 1.7, "background": 1.75, "target": 2.5,
                "pixel": list(np.linspace(1.0, 2.0, n) + rng.uniform(-0.02, 0.02))}  # fmt: skip

    def pixels(study, cell):
        seen.append(cell.key)
        rng = np.random.default_rng(cell.seed)
        own = level(cell.area, rng, power=2.0 if cell.regime == HARD else clear_power)
        entry = {"alpha": cell.area, "n_images": 9, "n_target_px": 9, "sd": 1.0}
        entry |= {"ideal": law(cell.area), "law": law(cell.area), "residual": own, "patch": own}
        if cell.regime == HARD:
            found = shortcut(rng, len(study.prevalences))
            more = {"image_without": 0.01, "pixel_without": [1.0, 1.0]}
            entry |= {"context": found, "context_law": found | more}
        return entry

    def weights(study, cell):
        seen.append(cell.key)
        if cell.seed == 1:
            raise StoppedError("the disk is full.", where="x", expected="y", fix="z")
        own = [1 - alpha - 0.01 * cell.seed for alpha in study.mixed]
        numbers = dict.fromkeys(("background", "background_law", "local", "local_law"), 1.0)
        return {"alphas": list(study.mixed), "measured": own, "law": own} | numbers

    def networks(study, cell):
        seen.append(cell.key)
        rng = np.random.default_rng(cell.seed)
        return {
            "alpha": cell.area, "n_images": [5, 5], "cpu_s": [30.0, 20.0],
            "pixels": level(cell.area, rng),
            "classifier": {"image_classifier": cell.area, "image_knn": cell.area},
            "shortcut": shortcut(rng, len(study.prevalences)),
        }  # fmt: skip

    return {PIXELS: pixels, WEIGHTS: weights, EMBEDDINGS: networks}


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


def test_finished_cells_are_kept_failed_ones_tried_again_and_none_costs_another(tmp_path):
    first, again, other = [], [], []
    entry = run_separability(tmp_path, settings=STUDY, measures=made_up(first))
    assert sorted(first) == sorted(cell.key for cell in plan_cells(STUDY))
    json.dumps(entry, allow_nan=False)
    assert entry["cells"]["weights, mixed again, seed 1"] == {
        "state": "failed",
        "reason": "the disk is full",
    }
    assert run_separability(tmp_path, settings=STUDY, measures=made_up(again)) == entry
    assert again == ["weights, mixed again, seed 1"]
    changed = replace(STUDY, n_images=50)
    run_separability(tmp_path, settings=changed, measures=made_up(other), kinds=[WEIGHTS])
    assert other == [f"weights, mixed again, seed {k}" for k in range(3)]


def test_predictions_that_hold_and_one_that_fails_are_told_apart_on_the_page(tmp_path):
    entry = run_separability(tmp_path, settings=STUDY, measures=made_up([]))
    said = {(row["where"], row["what"]): row for row in entry["predictions"]}
    what = "exponent of the area fraction, image level, by its target's part"
    hard = said["pixels, lesion hard to see, residual", what]
    clear = said["pixels, lesion that stands out, residual", what]
    assert hard["verdict"] == "holds"
    assert hard["found"]["value"] == pytest.approx(2)
    assert clear["verdict"] == "fails"
    assert clear["found"]["value"] == pytest.approx(1.2)
    page = separability_section("Separability", entry)
    assert "| pixels, lesion that stands out, residual | " in page
    assert "1 failed" in page
    assert "weights, mixed again, seed 1: the disk is full" in page
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert all(line.replace(r"\|", "").count("|") >= 5 for line in rows)


def test_what_has_not_run_reads_so(tmp_path):
    assert separability_section("Separability", None) == "## Separability\n\nNot run.\n"
    entry = run_separability(tmp_path, settings=STUDY, measures=made_up([]), kinds=())
    assert {row["verdict"] for row in entry["predictions"]} == {"not run"}
    page = separability_section("Separability", entry)
    assert "Features of trained segmenters: not run." in page
    assert "With the shortcut: not run." in page
    assert separability_svg(entry).count(">not run<") == 5


def test_the_figure_shows_laws_bound_and_estimates(tmp_path):
    entry = run_separability(tmp_path, settings=STUDY, measures=made_up([]))
    svg = separability_svg(entry)
    assert "mathdefault" not in svg
    for text in ("image level, bound", "pixel level, neighbours", "bound: 1 - area fraction"):
        assert f">{text}<" in svg
    assert "not run" not in svg


def test_the_interval_is_students_and_one_seed_has_none():
    values = [0.2, 0.5, 0.1, 0.4]
    lo, hi = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert mean_of(values) == pytest.approx({"value": 0.3, "lo": lo, "hi": hi, "n": 4})
    assert mean_of([0.3, None]) == {"value": 0.3, "lo": None, "hi": None, "n": 1}
    assert mean_of([float("nan")])["value"] is None


def test_an_exponent_leaves_out_areas_where_nothing_could_be_measured():
    alphas = np.tile([0.001, 0.01, 0.02, 0.05], (2, 1))
    values = 3 * alphas**1.7
    assert exponent_of(alphas, values)["value"] == pytest.approx(1.7)
    values[1, 0] = -1e-9
    found = exponent_of(alphas, values)
    assert found["value"] == pytest.approx(1.7)
    assert (found["n_areas"], found["n_left_out"]) == (3, 1)
    values[0, 1] = -1e-9
    found = exponent_of(alphas, values)
    assert found["value"] is None
    assert found["reason"] == "fewer than 3 areas with a value above 0 in every seed"


@pytest.mark.parametrize(
    ("lo", "hi", "said"),
    [
        (1.9, 2.2, "holds"),
        (1.0, 1.5, "fails"),
        (1.5, 2.0, "not decided"),
        (None, None, "not decided"),
    ],
)
def test_a_prediction_holds_only_with_its_whole_interval(lo, hi, said):
    assert verdict({"value": 1.9, "lo": lo, "hi": hi}, 1.75, 2.25) == said
    assert verdict({"value": None, "lo": None, "hi": None}, 1.75, 2.25) == "not run"


def test_a_cell_of_pixels_measures_what_the_law_says():
    study = replace(
        STUDY, n_images=60, n_draws=2500, phantom={**STUDY.phantom, "size_px": [64, 64]}
    )
    found = pixel_cell(study, Cell(PIXELS, 0, 0.03))
    json.dumps(found, allow_nan=False)
    # 30 positive images: noise is alike within an image, so that few draws are independent
    assert found["residual"]["pixel_classifier"] == pytest.approx(found["law"]["pixel"], rel=0.35)
    assert found["residual"]["image_part"] == pytest.approx(found["law"]["image"], rel=0.6)
    assert found["law"]["pixel"] < found["ideal"]["pixel"]
    assert found["context_law"]["image"] <= found["context_law"]["bound"]
    assert found["context"]["pixel"][-1] > found["context"]["pixel"][0]
