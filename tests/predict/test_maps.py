"""Probability maps as files."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segclf.core.errors import UsageError
from segclf.core.mapfiles import map_path
from segclf.core.mapstats import MAP_STATISTICS
from segclf.core.statstable import read_statistics
from segclf.maps import summarize_maps
from segclf.predict import predict_cases, predict_maps
from segclf.predict.maps import as_stored, check_map_kind


@pytest.mark.parametrize(("kind", "dtype", "top"), [("png", np.uint8, 255), ("png16", None, 65535)])
def test_png_maps_are_the_probabilities_at_their_depth(
    kind, dtype, top, a_recipe, a_model, some_cases, tmp_path
):
    recipe, cases = a_recipe(findings=["a", "b"]), some_cases(2, n_findings=2)
    model = a_model(recipe, findings=("a", "b"))
    predict_cases(cases, model, recipe, tmp_path / "own", save_maps=kind)
    expected = dict(predict_maps(cases, model, recipe))
    for case in cases:
        for i, finding in enumerate("ab"):
            stored = np.asarray(Image.open(tmp_path / f"own/maps/{case.case_id}/{finding}.png"))
            assert stored.shape == (40, 48)
            assert dtype is None or stored.dtype == dtype
            np.testing.assert_allclose(stored / top, expected[case.case_id][i], atol=0.51 / top)


def test_npz_maps_carry_the_spacing(a_recipe, a_model, some_cases, tmp_path):
    recipe, cases = a_recipe(), some_cases(1)
    predict_cases(cases, a_model(recipe), recipe, tmp_path / "own", save_maps="npz")
    with np.load(tmp_path / "own/maps/case0/lesion.npz", allow_pickle=False) as file:
        arrays = dict(file)
    assert any(np.array_equal(value, [0.5, 0.25]) for value in arrays.values())


def test_maps_asked_for_later_are_made_with_the_same_statistics(
    a_recipe, a_model, some_cases, tmp_path
):
    recipe, cases = a_recipe(), some_cases(3)
    model, folder = a_model(recipe), tmp_path / "own"
    predict_cases(cases, model, recipe, folder)
    before = (folder / "part-00000.parquet").read_bytes()
    result = predict_cases(cases, model, recipe, folder, save_maps="nifti")
    assert result.n_parts_made == 1
    assert len(list((folder / "maps").rglob("*.nii.gz"))) == 3
    assert (folder / "part-00000.parquet").read_bytes() == before


def test_probabilities_are_rounded_to_the_nearest_step():
    plane = np.array([0.0, 0.5 / 255 - 1e-6, 0.5 / 255 + 1e-6, 1.0])
    assert as_stored(plane, "png").tolist() == [0, 0, 1, 255]
    assert as_stored(plane, "png16").tolist() == [0, 128, 129, 65535]
    assert as_stored(plane, "npz").dtype == np.float32


def test_ids_that_lose_characters_do_not_share_a_file(tmp_path):
    paths = {map_path(tmp_path, case_id, "a", "png") for case_id in ("a/b", "a_b", "a:b", "../b")}
    assert len(paths) == 4
    assert all(path.resolve().is_relative_to(tmp_path) for path in paths)
    assert tmp_path / "a_b" / "a.png" in paths


def test_kinds_that_cannot_be_are_refused_with_a_fix():
    with pytest.raises(UsageError, match="did you mean 'nifti'"):
        check_map_kind("nifty", 2)
    with pytest.raises(UsageError, match="use --save-maps nifti"):
        check_map_kind("png", 3)
    check_map_kind(None, 3)


def test_a_plug_in_that_measures_maps_adds_its_columns(
    a_recipe, a_model, some_cases, tmp_path, monkeypatch
):
    seen = []

    def spread(probability, spacing_mm):
        seen.append((probability, spacing_mm))
        return {"spread": float(np.ptp(probability))}

    monkeypatch.setitem(MAP_STATISTICS, "spread", spread)
    recipe, cases = a_recipe(predict={"statistics": ["spread"]}), some_cases(2)
    model = a_model(recipe)
    predict_cases(cases, model, recipe, tmp_path / "own")
    frame = read_statistics(tmp_path / "own").frame.set_index("case_id")
    for case_id, probability in predict_maps(cases, model, recipe):
        assert frame["spread"][case_id] == pytest.approx(np.ptp(probability[0]), rel=1e-6)
    assert len(seen) == 2
    assert not any(probability.flags.writeable for probability, _ in seen)


def test_a_plug_in_that_is_not_installed_is_refused_before_anything_runs(
    a_recipe, a_model, some_cases, tmp_path
):
    recipe = a_recipe(predict={"statistics": ["sharpness"]})
    with pytest.raises(UsageError, match="no map statistic called 'sharpness'"):
        predict_cases(some_cases(1), a_model(recipe), recipe, tmp_path / "own")


@pytest.mark.parametrize(
    ("kind", "rel"), [("npz", 1e-5), ("nifti", 1e-5), ("png16", 2e-3), ("png", 0.2)]
)
def test_saved_maps_come_back_as_the_statistics_of_prediction(
    kind, rel, a_recipe, a_model, some_cases, tmp_path
):
    recipe, cases = a_recipe(findings=["a", "b"]), some_cases(3, n_findings=2)
    predict_cases(
        cases, a_model(recipe, findings=("a", "b")), recipe, tmp_path / "own", save_maps=kind
    )
    own = read_statistics(tmp_path / "own")
    rows = [
        {"case_id": c.case_id, "image": f"images/{c.images[0].name}", "label_a": 1, "label_b": 0}
        for c in cases
    ]
    pd.DataFrame(rows).assign(spacing_mm="0.5 0.25").to_csv(tmp_path / "cases.csv", index=False)
    out = tmp_path / "out"
    summarize_maps(tmp_path / "own/maps", "mean", manifest=tmp_path / "cases.csv", out=out)
    back = read_statistics(out / "statistics")
    assert back.frame[["case_id", "finding"]].equals(own.frame[["case_id", "finding"]])
    for name in ("mean_p", "max_p", "top_2", "sum_log1mp", "lse_logit", "mean_logit"):
        np.testing.assert_allclose(back.frame[name], own.frame[name], rtol=rel, err_msg=name)
    assert back.frame["px_size"].tolist() == own.frame["px_size"].tolist() == [0.125] * 6
    if rel == 1e-5:  # floats; pixels may lie between a threshold and the nearest level
        np.testing.assert_array_equal(back.area_curve, own.area_curve)
        np.testing.assert_array_equal(back.frame["n_components"], own.frame["n_components"])
