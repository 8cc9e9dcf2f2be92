"""Slices of volumes, against nibabel's own slicer and plain indexing."""

import nibabel
import numpy as np
import pytest
import torch

from segclf.core.errors import CaseError, ConfigError
from segclf.core.records import Case, Cut, MaskKind, MaskSource, MaskState
from segclf.data import CaseCache, own_pictures, read_case, read_truth
from segclf.io import plane_of, read_image, slices, volume_of
from segclf.io.slices import VolumeStore

SHAPE = (5, 6, 7)


@pytest.fixture
def volume(tmp_path):
    """A random volume with an oblique, flipped affine, its mask, and their cases."""
    random = np.random.default_rng(1)
    array = random.integers(0, 1000, SHAPE).astype(np.int16)
    mask = (random.random(SHAPE) < 0.1).astype(np.uint8)
    affine = np.array([[0, -2.0, 0.1, 4], [1.5, 0, 0, 5], [0, 0.2, 3.0, 6], [0, 0, 0, 1]])
    for name, stored in (("image", array), ("mask", mask)):
        nibabel.save(nibabel.Nifti1Image(stored, affine), tmp_path / f"{name}.nii.gz")
    ras = nibabel.as_closest_canonical(nibabel.Nifti1Image(array, affine))

    def case(axis=2, index=0, *, state=MaskState.DRAWN, kind=MaskKind.FULL, **cut):
        source = MaskSource(state, tmp_path / "mask.nii.gz", kind=kind)
        return Case(
            f"v#{index}", (tmp_path / "image.nii.gz",), (source,), (1.0,), "v",
            volume_id="v", slice_index=index, cut=Cut(axis, index, ras.shape[axis], **cut),
        )  # fmt: skip

    case.ras, case.folder = ras, tmp_path
    case.mask = nibabel.as_closest_canonical(nibabel.Nifti1Image(mask, affine)).get_fdata()
    return case


@pytest.fixture
def cut(recipe):
    """A recipe that cuts volumes."""
    return lambda **image: recipe(slices={"cut": True}, image={"intensity": "minmax", **image})


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_is_what_a_file_of_that_slice_alone_would_be(volume, cut, axis):
    index = 3
    window = tuple(slice(index, index + 1) if k == axis else slice(None) for k in range(3))
    nibabel.save(volume.ras.slicer[window], volume.folder / "one.nii.gz")
    alone = read_image(volume.folder / "one.nii.gz")
    [own] = own_pictures(volume(axis, index), 0)
    np.testing.assert_array_equal(own.array, alone.array)
    np.testing.assert_allclose(own.affine, alone.affine, atol=1e-5)
    np.testing.assert_allclose(own.spacing_mm, alone.spacing_mm, rtol=1e-5)
    sample = read_case(volume(axis, index), cut(intensity="window", window=[0, 1000]))
    np.testing.assert_allclose(sample.image, alone.array / 1000, atol=1e-6)
    assert sample.input_shape == alone.array.shape[1:]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_slices_of_a_volume_stack_to_the_volume_again(axis):
    array = np.arange(24).reshape(2, 3, 4)
    planes = np.stack([plane_of(array, axis, k) for k in range(array.shape[axis])])
    np.testing.assert_array_equal(volume_of(planes, axis), array)


def test_the_target_of_a_slice_is_the_slice_of_the_mask(volume, cut):
    for index in (0, 4, SHAPE[2] - 1):
        case = volume(2, index)
        expected = volume.mask[:, :, index].T[::-1, ::-1]
        np.testing.assert_array_equal(read_case(case, cut()).target[0], expected)
        np.testing.assert_array_equal(read_truth(case, expected.shape)[0], expected)
    empty = volume(2, 1, state=MaskState.EMPTY)
    assert not read_truth(empty, expected.shape)[0].any()
    assert read_truth(volume(state=MaskState.UNKNOWN), expected.shape) == (None,)


def test_a_box_of_a_volume_promises_nothing_of_one_of_its_slices(volume, cut):
    index = int(volume.mask.sum((0, 1)).argmax())
    target = read_case(volume(2, index, kind=MaskKind.BOX), cut()).target[0].numpy()
    drawn = volume.mask[:, :, index].T[::-1, ::-1] == 1
    assert drawn.any()
    assert np.isnan(target[drawn]).all()  # in the whole volume these are -1: one is positive
    assert not (target < 0).any()


def test_neighbours_are_channels_in_the_order_of_the_slices(volume, recipe):
    wanted = recipe(
        slices={"cut": True, "neighbours": 1}, image={"intensity": "window", "window": [0, 1000]}
    )
    values = volume.ras.get_fdata().transpose(2, 1, 0)[:, ::-1, ::-1] / 1000
    middle = read_case(volume(2, 3, neighbours=1), wanted).image
    np.testing.assert_allclose(middle, values[2:5], atol=1e-6)
    first = read_case(volume(2, 0, neighbours=1), wanted)
    np.testing.assert_allclose(first.image, values[[0, 0, 1]], atol=1e-6)
    assert first.target.shape[0] == 1  # of the slice itself
    last = volume(2, SHAPE[2] - 1, neighbours=2, edge="zero")
    image = read_case(last, recipe(slices={"cut": True, "neighbours": 2, "edge": "zero"})).image
    assert image.shape[0] == 5
    assert (image[3:] == 0).all()
    assert (image[2] != 0).any()


def test_the_affine_is_that_of_the_slice_itself_and_not_of_a_neighbour(volume, recipe):
    wanted = recipe(slices={"cut": True, "neighbours": 2}, image={"intensity": "minmax"})
    [alone] = own_pictures(volume(2, 3), 0)
    sample = read_case(volume(2, 3, neighbours=2), wanted)
    np.testing.assert_array_equal(sample.affine, alone.affine)
    [shown] = own_pictures(volume(2, 3, neighbours=2), 2)
    np.testing.assert_array_equal(shown.array, alone.array)


@pytest.mark.parametrize("mode", ["percentile", "minmax", "zscore"])
def test_intensities_are_scaled_by_the_whole_volume(volume, cut, mode):
    values = volume.ras.get_fdata()
    if mode == "zscore":
        expected = (values - values.mean()) / values.std()
    else:
        ends = (0.5, 99.5) if mode == "percentile" else (0, 100)
        lower, upper = np.percentile(values, ends)
        expected = (values - lower) / (upper - lower)
    image = read_case(volume(2, 2), cut(intensity=mode)).image[0]
    np.testing.assert_allclose(image, expected[:, :, 2].T[::-1, ::-1], atol=1e-5)


def test_a_volume_is_decoded_once_for_all_of_its_slices(volume, cut, monkeypatch):
    n_reads = []
    monkeypatch.setattr(slices, "_STORES", {})
    plain = slices.read_image
    monkeypatch.setattr(slices, "read_image", lambda path: n_reads.append(path) or plain(path))
    for index in range(SHAPE[2]):
        read_case(volume(2, index), cut(intensity="window", window=[0, 1]))
    assert len(n_reads) == 1


def test_the_store_drops_the_oldest_volumes_beyond_its_budget():
    store, made = VolumeStore(100), []

    def get(name, n_bytes):
        return store.get(name, lambda: (made.append(name) or name, n_bytes))

    for name in "aabab":
        assert get(name, 40) == name
    assert made == ["a", "b"]
    get("c", 40)  # 120 bytes: a, used before b, goes
    get("b", 40)
    get("a", 40)
    assert made == ["a", "b", "c", "a"]
    get("huge", 1000)
    get("a", 40)  # two are kept whatever their size
    assert made == ["a", "b", "c", "a", "huge"]


def test_a_cached_slice_is_not_taken_for_another(volume, cut, tmp_path):
    cases = [volume(2, 1), volume(2, 1, neighbours=1)]
    recipe = cut(cache_gib=0)
    stamps = {CaseCache(cases, recipe, tmp_path / "c")._made_from(case) for case in cases}
    assert len(stamps) == 2


def test_a_volume_that_changed_or_is_none_says_so(volume, cut):
    with pytest.raises(CaseError, match="7 slices, not 6") as caught:
        read_case(Case(**{**volume().__dict__, "cut": Cut(2, 0, 6)}), cut())
    assert caught.value.reason == "slices_changed"
    flat = volume.folder / "flat.nii.gz"
    nibabel.save(volume.ras.slicer[:, :, :1], flat)
    with pytest.raises(CaseError, match="cannot be cut into slices"):
        read_case(Case(**{**volume().__dict__, "images": (flat,)}), cut())


def test_a_volume_that_does_not_fit_the_memory_is_refused(volume, cut, monkeypatch):
    monkeypatch.setattr("segclf.data.read.MEMORY_SHARE", 1e-15)
    with pytest.raises(CaseError, match="volume of this slice needs") as caught:
        read_case(volume(), cut())
    assert caught.value.reason == "too_large"


def test_missing_voxels_elsewhere_do_not_spoil_a_slice(volume, cut):
    array = volume.ras.get_fdata().astype(np.float32)
    array[:, :, 0] = np.nan
    path = volume.folder / "nan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(array, volume.ras.affine), path)
    case = Case(**{**volume(2, 3).__dict__, "images": (path,)})
    assert torch.isfinite(read_case(case, cut()).image).all()


def test_slices_of_a_3d_network_are_refused(volume, recipe):
    with pytest.raises(ConfigError, match="slices are pictures"):
        read_case(volume(), recipe(slices={"cut": True}, image={"spatial_dims": 3}))
