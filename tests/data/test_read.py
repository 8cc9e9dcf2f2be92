import dataclasses

import numpy as np
import psutil
import pytest
import torch

from segclf.core.errors import CaseError
from segclf.core.records import MaskState
from segclf.data import read_case

RAMP = np.arange(12, dtype=np.uint8).reshape(3, 4)


def test_a_case_comes_with_its_label_target_and_input_geometry(write_case, recipe):
    mask = (RAMP == 11).astype(np.uint8)
    case = write_case("a", RAMP, masks=(mask, MaskState.UNKNOWN), labels=(1.0, np.nan))
    sample = read_case(case, recipe(image={"intensity": "minmax"}))
    np.testing.assert_allclose(sample.image, RAMP[None] / 11, atol=1e-6)
    assert sample.image.dtype == sample.target.dtype == sample.label.dtype == torch.float32
    np.testing.assert_array_equal(sample.target[0], mask)
    assert sample.target[1].isnan().all()
    np.testing.assert_array_equal(sample.label, [1.0, np.nan])
    assert (sample.input_shape, sample.spacing_mm, sample.affine) == ((3, 4), None, None)


def test_channels_are_stacked_from_several_files_or_come_from_one(write_case, recipe):
    apart = write_case("a", RAMP, RAMP[::-1].copy())
    minmax = recipe(image={"intensity": "minmax"})
    stacked = read_case(apart, minmax).image
    np.testing.assert_allclose(stacked, np.stack([RAMP, RAMP[::-1]]) / 11, atol=1e-6)
    colour = np.stack([RAMP, RAMP * 2, RAMP * 3], axis=-1)
    assert read_case(write_case("b", colour), minmax).image.shape == (3, 3, 4)


def test_sixteen_bit_images_keep_every_value(write_case, recipe):
    image = np.arange(0, 60000, 15, dtype=np.uint16).reshape(40, 100)
    sample = read_case(write_case("a", image), recipe(image={"intensity": "minmax"}))
    assert len(sample.image.unique()) == 4000


def test_an_image_is_resized_and_keeps_its_input_shape(write_case, recipe):
    mask = np.zeros((30, 40), dtype=np.uint8)
    mask[7, 9] = 1
    case = write_case("a", np.arange(1200, dtype=np.uint16).reshape(30, 40), masks=(mask,))
    sample = read_case(case, recipe(image={"size_px": [6, 8]}))
    assert sample.image.shape == (1, 6, 8)
    assert sample.target.sum() == 1
    assert sample.target[0, 1, 1] == 1
    assert sample.input_shape == (30, 40)


def test_a_volume_is_resampled_to_a_spacing_and_keeps_its_affine(write_case, recipe):
    volume = np.random.default_rng(0).normal(size=(10, 12, 8)).astype(np.float32)
    case = write_case("a", volume, file_spacing_mm=(1.0, 1.0, 5.0))
    sample = read_case(case, recipe(image={"spatial_dims": 3, "spacing_mm": [2, 2, 2.5]}))
    assert sample.image.shape == (1, 5, 6, 16)
    assert sample.target.shape == (1, 5, 6, 16)
    assert sample.input_shape == (10, 12, 8)
    assert sample.spacing_mm == (1.0, 1.0, 5.0)
    np.testing.assert_array_equal(sample.affine, np.diag([1.0, 1.0, 5.0, 1.0]))


def test_the_spacing_of_the_manifest_serves_files_that_have_none(write_case, recipe):
    case = write_case("a", RAMP, spacing_mm=(2.0, 3.0))
    sample = read_case(case, recipe(image={"spacing_mm": [1.0, 1.0]}))
    assert sample.image.shape == (1, 6, 12)
    assert sample.spacing_mm == (2.0, 3.0)


def refusal(case, settings):
    with pytest.raises(CaseError) as caught:
        read_case(case, settings)
    assert case.case_id in str(caught.value)
    return caught.value.reason, str(caught.value)


def test_nan_pixels_are_refused_with_their_number_and_the_case(write_case, recipe):
    volume = np.zeros((5, 5, 5), dtype=np.float32)
    volume[0, 0, :2] = np.nan, np.inf
    case = write_case("P7", volume)
    reason, text = refusal(case, recipe(image={"spatial_dims": 3}))
    assert reason == "nan_pixels"
    assert "2 of 125 pixels are NaN or infinite" in text


def test_channels_of_different_shape_are_refused(write_case, recipe):
    case = write_case("P7", RAMP, RAMP[:2])
    reason, text = refusal(case, recipe())
    assert reason == "shape_mismatch"
    assert "(2, 4), that of the image (3, 4)" in text


def test_a_volume_in_a_recipe_for_images_is_refused(write_case, recipe):
    case = write_case("P7", np.zeros((5, 5, 5), dtype=np.float32))
    reason, text = refusal(case, recipe())
    assert reason == "wrong_dimensions"
    assert "set image.spatial_dims: 3" in text


def test_a_missing_spacing_names_the_column_that_would_help(write_case, recipe):
    reason, text = refusal(write_case("P7", RAMP), recipe(image={"spacing_mm": [1, 1]}))
    assert reason == "missing_spacing"
    assert "fill the column spacing_mm" in text


def test_a_missing_file_is_the_error_of_one_case(write_case, recipe):
    case = write_case("P7", RAMP)
    case.images[0].unlink()
    assert refusal(case, recipe())[0] == "missing_file"


@pytest.mark.parametrize(
    ("failure", "reason", "words"),
    [
        (PermissionError(13, "Permission denied"), "unreadable", "PermissionError: Permission den"),
        (MemoryError(), "too_large", "more memory than is free"),
    ],
)
def test_a_failing_disk_or_memory_is_the_error_of_one_case(
    write_case, recipe, monkeypatch, failure, reason, words
):
    def fail(path):
        raise failure

    monkeypatch.setattr("segclf.data.read.read_image", fail)
    found, text = refusal(write_case("P7", RAMP), recipe())
    assert found == reason
    assert words in text


def test_a_case_that_does_not_fit_the_free_memory_is_refused_unread(
    write_case, recipe, monkeypatch
):
    case = write_case("P7", np.zeros((100, 100), dtype=np.uint8))
    free = dataclasses.make_dataclass("Free", ["available"])(100_000)  # bytes; 130,000 are needed
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr("segclf.data.read.read_image", lambda path: pytest.fail("was read"))
    reason, text = refusal(case, recipe())
    assert reason == "too_large"
    assert "80% of the free memory" in text


def test_a_grid_that_does_not_fit_the_free_memory_is_refused(write_case, recipe):
    reason, _ = refusal(write_case("P7", RAMP), recipe(image={"size_px": [1_000_000, 1_000_000]}))
    assert reason == "too_large"


def test_without_targets_the_masks_are_not_touched(write_case, recipe):
    case = write_case("a", RAMP, masks=(RAMP,))
    case.masks[0].path.unlink()
    assert read_case(case, recipe(), with_target=False).target.shape == (0, 3, 4)
