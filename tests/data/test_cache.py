import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from segclf.core.errors import CaseError
from segclf.core.records import MaskState
from segclf.data import CaseCache, read_case
from segclf.data import cache as cache_module

MIB = 1 / 1024


@pytest.fixture
def reads(monkeypatch):
    """Ids of the cases that were prepared, in order."""
    seen = []

    def counted(case, recipe):
        seen.append(case.case_id)
        return read_case(case, recipe)

    monkeypatch.setattr(cache_module, "read_case", counted)
    return seen


@pytest.fixture
def volume(write_case):
    random = np.random.default_rng(0)
    mask = np.zeros((6, 7, 8), dtype=np.uint8)
    mask[2, 3, 4:6] = 1
    return write_case(
        "v",
        random.normal(size=(6, 7, 8)).astype(np.float32),
        masks=(mask, MaskState.UNKNOWN, MaskState.EMPTY),
        labels=(1.0, np.nan, 0.0),
        file_spacing_mm=(1.0, 1.0, 3.0),
    )


def assert_same(one, other):
    torch.testing.assert_close(one.image, other.image, rtol=0, atol=0)
    torch.testing.assert_close(one.target, other.target, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(one.label, other.label, rtol=0, atol=0, equal_nan=True)
    assert (one.spacing_mm, one.input_shape) == (other.spacing_mm, other.input_shape)
    np.testing.assert_array_equal(one.affine, other.affine)


@pytest.mark.parametrize("cache_gib", [1.0, 0.0])
def test_memory_and_disk_give_back_exactly_what_reading_gave(
    volume, recipe, tmp_path, reads, cache_gib
):
    settings = recipe(image={"spatial_dims": 3, "cache_gib": cache_gib})
    cache = CaseCache([volume], settings, tmp_path / "cache")
    expected = read_case(volume, settings)
    for _ in range(3):
        assert_same(cache.get(volume), expected)
    assert reads == ["v"]
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == (cache_gib == 0)
    assert cache.foreground_px(volume) == (2, None, 0)


def test_memory_is_filled_up_to_the_budget_and_the_rest_goes_to_disk(
    many_cases, recipe, tmp_path, reads
):
    one_case = 24 * 24 * 5  # float32 image, one byte per target pixel
    settings = recipe(image={"cache_gib": 5.5 * one_case / 2**30})
    cache = CaseCache(many_cases, settings, tmp_path / "cache")
    for case in many_cases * 2:
        cache.get(case)
    assert len(reads) == 12
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 12 - 5


def test_two_processes_share_the_budget(many_cases, recipe, tmp_path):
    settings = recipe(image={"cache_gib": 8 * 24 * 24 * 5 / 2**30})
    cache = CaseCache(many_cases, settings, tmp_path / "cache", processes=2)
    for case in many_cases:
        cache.get(case)
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 12 - 4


def test_without_a_folder_what_does_not_fit_is_read_again(many_cases, recipe, reads):
    cache = CaseCache(many_cases, recipe(image={"cache_gib": 0}), None)
    cache.get(many_cases[0])
    cache.get(many_cases[0])
    assert reads == ["c00", "c00"]


def test_a_later_process_uses_the_files_of_an_earlier_one(many_cases, recipe, tmp_path, reads):
    on_disk = recipe(image={"cache_gib": 0})
    CaseCache(many_cases, on_disk, tmp_path / "cache").get(many_cases[0])
    again = CaseCache(many_cases, recipe(), tmp_path / "cache")
    assert_same(again.get(many_cases[0]), read_case(many_cases[0], recipe()))
    assert again.foreground_px(many_cases[0]) == (9,)
    assert reads == ["c00"]


def test_files_are_not_used_for_other_image_settings(many_cases, recipe, tmp_path, reads):
    CaseCache(many_cases, recipe(image={"cache_gib": 0}), tmp_path).get(many_cases[0])
    other = recipe(image={"cache_gib": 0, "size_px": [12, 12]})
    assert CaseCache(many_cases, other, tmp_path).get(many_cases[0]).image.shape == (1, 12, 12)
    assert reads == ["c00", "c00"]


@pytest.mark.parametrize("which", ["image", "mask"])
def test_files_are_not_used_when_the_image_or_mask_changed(
    many_cases, recipe, tmp_path, reads, which
):
    case, on_disk = many_cases[0], recipe(image={"cache_gib": 0})
    CaseCache(many_cases, on_disk, tmp_path).get(case)
    path = case.images[0] if which == "image" else case.masks[0].path
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    CaseCache(many_cases, on_disk, tmp_path).get(case)
    assert reads == ["c00", "c00"]


def test_files_are_not_used_when_the_state_of_a_mask_changed(many_cases, recipe, tmp_path):
    case, on_disk = many_cases[1], recipe(image={"cache_gib": 0})
    assert CaseCache(many_cases, on_disk, tmp_path).foreground_px(case) == (0,)
    unknown = type(case.masks[0])(MaskState.UNKNOWN)
    changed = type(case)(**{**case.__dict__, "masks": (unknown,)})
    assert CaseCache([changed], on_disk, tmp_path).foreground_px(changed) == (None,)


def test_labels_come_from_the_manifest_not_from_the_file(many_cases, recipe, tmp_path):
    case, on_disk = many_cases[0], recipe(image={"cache_gib": 0})
    CaseCache(many_cases, on_disk, tmp_path).get(case)
    changed = type(case)(**{**case.__dict__, "labels": (0.0,)})
    assert CaseCache([changed], on_disk, tmp_path).get(changed).label.tolist() == [0.0]


@pytest.mark.parametrize("damage", [lambda data: data[:100], lambda data: b"", lambda _: b"x" * 99])
def test_a_damaged_file_is_made_again(many_cases, recipe, tmp_path, reads, damage):
    case, on_disk = many_cases[0], recipe(image={"cache_gib": 0})
    CaseCache(many_cases, on_disk, tmp_path / "cache").get(case)
    (path,) = (tmp_path / "cache").rglob("*.safetensors")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert_same(
        CaseCache(many_cases, on_disk, tmp_path / "cache").get(case), read_case(case, recipe())
    )
    assert path.stat().st_size == len(whole)
    CaseCache(many_cases, on_disk, tmp_path / "cache").get(case)
    assert reads == ["c00", "c00"]


def test_a_full_disk_makes_the_cache_slow_but_is_no_error(
    many_cases, recipe, tmp_path, monkeypatch
):
    class Full:
        free = 2**29

    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda _: Full)
    cache = CaseCache(many_cases, recipe(image={"cache_gib": 0}), tmp_path / "cache")
    assert cache.get(many_cases[0]).image.shape == (1, 24, 24)
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_cases_of_others_are_read_but_not_kept(many_cases, recipe, tmp_path, reads):
    cache = CaseCache(many_cases[:1], recipe(), tmp_path / "cache")
    cache.get(many_cases[1])
    cache.get(many_cases[1])
    assert reads == ["c01", "c01"]
    assert not (tmp_path / "cache").exists()


def test_a_bad_case_stays_bad_and_leaves_no_file(many_cases, recipe, tmp_path):
    many_cases[0].images[0].write_bytes(b"not an image")
    cache = CaseCache(many_cases, recipe(image={"cache_gib": 0}), tmp_path / "cache")
    for _ in range(2):
        with pytest.raises(CaseError, match="case c00"):
            cache.get(many_cases[0])
    assert not (tmp_path / "cache").exists()


def test_a_spawned_copy_starts_with_the_whole_budget_and_no_cases(many_cases, recipe, reads):
    cache = CaseCache(many_cases, recipe(), None)
    cache.get(many_cases[0])
    data = pickle.dumps(cache)
    assert len(data) < 20_000
    copy = pickle.loads(data)
    assert_same(copy.get(many_cases[0]), cache.get(many_cases[0]))
    assert reads == ["c00", "c00"]


def test_threads_share_a_cache(many_cases, recipe, tmp_path):
    settings = recipe(image={"cache_gib": 6.5 * 24 * 24 * 5 / 2**30})
    cache = CaseCache(many_cases, settings, tmp_path / "cache")
    with ThreadPoolExecutor(4) as pool:
        samples = list(pool.map(cache.get, many_cases * 4))
    for case, sample in zip(many_cases * 4, samples, strict=True):
        assert_same(sample, read_case(case, settings))
