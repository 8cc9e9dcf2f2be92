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
from segclf.study.theory.predictions import (
    CONVEX,
    DIRECT,
    ESTIMATOR,
    FORMULA,
    counts_of,
    predictions_of,
    verdict,
)
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
    return {"image": alpha**2, "part": alpha**2, "bound": alpha, "small": alpha**2,
            "slope": 2.0, "pixel": 1.0, "target": 1.0}  # fmt: skip


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
    said = {(row["where"], row["what"]): row for row in predictions_of(entry)}
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
    assert {row["verdict"] for row in predictions_of(entry)} == {"not run"}
    page = separability_section("Separability", entry)
    assert "Features of trained segmenters: not run." in page
    assert "With the shortcut: not run." in page
    assert separability_svg(entry).count(">not run<") == 5


def test_kinds_of_predictions_are_apart_and_only_direct_ones_count_as_tests(tmp_path):
    entry = run_separability(tmp_path, settings=STUDY, measures=made_up([]))
    assert "predictions" not in entry  # verdicts are made of the estimates alone
    rows = predictions_of(entry)
    kinds = {row["what"]: row["kind"] for row in rows}
    exponent = "exponent of the area fraction, image level, by"
    assert kinds[f"{exponent} its target's part"] == FORMULA
    assert kinds[f"{exponent} classifier"] == DIRECT
    assert kinds["KL(P1 || P0) over its bound"] == CONVEX
    assert kinds["weight of KL(B1 || B0) at area fraction 0.3"] == CONVEX
    assert kinds["the same, near its bound for a small target (0.03)"] == CONVEX
    assert kinds["KL(T || N) by nearest neighbours, over that of the law"] == ESTIMATOR
    counts = counts_of(rows)
    direct = [row["verdict"] for row in rows if row["kind"] == DIRECT]
    assert sum(counts[DIRECT].values()) == len(direct)
    page = separability_section("Separability", entry)
    said = ", ".join(f"{v}: {n}" for v, n in counts[DIRECT].items())
    assert f"Tests of the theory: of {len(direct)} predictions, {said}." in page
    assert f"The other {len(rows) - len(direct)} rows are no tests of the theory" in page
    assert page.count("| range tested |") == 4


def test_a_weight_near_its_bound_is_a_test_only_if_the_gap_leaves_room_for_failure(tmp_path):
    entry = run_separability(tmp_path, settings=STUDY, measures=made_up([]))
    entry["weights"]["background"] = {"value": 0.3, "lo": 0.29, "hi": 0.31, "n": 2}
    # 1 - 0.03 - H(0.03) / 0.3 is 0.52, below the range, which begins at 0.85 * 0.97
    row = next(row for row in predictions_of(entry) if row["what"].startswith("the same, near"))
    assert row["kind"] == DIRECT


def test_misses_of_the_estimators_show_area_by_area_and_a_law_left_out_is_said(tmp_path):
    entry = run_separability(tmp_path, settings=STUDY, measures=made_up([]))
    curves = entry["pixels"][HARD]
    curves["residual image_part"]["means"][0] = {"value": 9e-6, "lo": 8e-6, "hi": 1e-5, "n": 3}
    curves["law image"]["means"][0] = {"value": 1.8e-5, "lo": 0.9e-5, "hi": 2.7e-5, "n": 3}
    curves["residual image_part"]["exponent"] |= {"value": 2.14, "lo": 2.1, "hi": 2.17}
    rows = {row["what"]: row for row in predictions_of(entry)[::-1]}
    row = rows["KL(P1 || P0) by its target's part, over that of the law as drawn, "
               "area fraction 0.2 %"]  # fmt: skip
    assert row["found"] == pytest.approx({"value": 0.5, "lo": 8 / 18, "hi": 10 / 18, "n": 3})
    assert row["law"] == pytest.approx({"value": 1.0, "lo": 0.5, "hi": 1.5, "n": 3})
    assert (row["verdict"], row["off"]) == ("fails", pytest.approx(-0.5))
    page = separability_section("Separability", entry)
    assert "2.14 (2.1 to 2.17) | 3 | holds; the estimator is off the law by +0.14 |" in page
    assert "0.5 (0.444 to 0.556) | 3 | fails; the estimator is off the law by -0.5 |" in page


def test_the_page_prints_the_ranges_that_were_tested(tmp_path):
    page = separability_section(
        "S", run_separability(tmp_path, settings=STUDY, measures=made_up([]))
    )
    assert "| at most 0.7 | at most 0.735 |" in page  # 5 % for what the estimator may be off
    assert "| 2 | 1.75 to 2.25 |" in page
    assert "| above 0 | at least 0 |" in page
    assert "| at most 1 | 0 to 1 |" in page


def test_an_entry_made_before_the_law_of_the_part_says_what_was_not_computed(tmp_path):
    entry = run_separability(tmp_path, settings=STUDY, measures=made_up([]))
    for curves in entry["pixels"].values():
        del curves["law part"]
    rows = [row for row in predictions_of(entry) if "the law of this part" in row["what"]]
    assert [row["verdict"] for row in rows] == ["not run", "not run"]
    page = separability_section("Separability", entry)
    assert page.count("| not computed |") == len(STUDY.contrasts) * len(STUDY.areas)
    part = next(row for row in predictions_of(entry) if row["kind"] == FORMULA)
    assert part["law"]["value"] == pytest.approx(2)


def test_cells_kept_from_before_the_law_of_the_part_are_read(tmp_path):
    def older(study, cell):
        found = made_up([])[PIXELS](study, cell)
        del found["law"]["part"], found["ideal"]["part"]
        return found

    measures = made_up([]) | {PIXELS: older}
    entry = run_separability(tmp_path, settings=STUDY, measures=measures)
    json.dumps(entry, allow_nan=False)
    assert "not computed" in separability_section("Separability", entry)


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
    # backgrounds of few positive and negative images differ by chance
    assert found["law"]["part"] != pytest.approx(found["law"]["image"], rel=1e-3)
    assert found["ideal"]["part"] == pytest.approx(found["ideal"]["image"])
    assert found["context_law"]["image"] <= found["context_law"]["bound"]
    assert found["context"]["pixel"][-1] > found["context"]["pixel"][0]
