"""NumPy files: what the axes mean, and files made to hurt."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from segclf.core.errors import CaseError
from segclf.io import Limits, probe, read_image, read_mask, write_image


@pytest.mark.parametrize(
    ("shape", "given"),
    [
        ((20, 30), (1, 20, 30)),
        ((20, 30, 3), (3, 20, 30)),
        ((20, 30, 1), (1, 20, 30)),
        ((2, 20, 30), (2, 20, 30)),
        ((20, 30, 40), (1, 20, 30, 40)),
        ((2, 20, 30, 40), (2, 20, 30, 40)),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_plain_array_is_read_by_its_shape(tmp_path, shape, given, suffix):
    array = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    path = tmp_path / f"a{suffix}"
    (np.save if suffix == ".npy" else np.savez)(path, array)
    picture = read_image(path)
    assert picture.array.shape == given == probe(path).shape
    moved = array if shape[-1] > 4 or len(shape) != 3 else np.moveaxis(array, -1, 0)
    np.testing.assert_array_equal(picture.array, moved.reshape(given))


def test_a_stated_spacing_settles_the_axes(tmp_path):
    np.savez(tmp_path / "a.npz", image=np.zeros((4, 20, 30)), spacing_mm=[5.0, 1.0, 1.0])
    picture = read_image(tmp_path / "a.npz")
    assert picture.array.shape == (1, 4, 20, 30)
    assert picture.spacing_mm == (5.0, 1.0, 1.0)


def test_a_thin_volume_that_we_wrote_stays_a_volume(tmp_path):
    write_image(tmp_path / "a.npz", np.zeros((1, 3, 20, 30), np.uint8))
    assert read_image(tmp_path / "a.npz").array.shape == (1, 3, 20, 30)


def test_fortran_order_and_bools_are_read(tmp_path):
    mask = np.asfortranarray(np.arange(12).reshape(3, 4) > 5)
    np.save(tmp_path / "a.npy", mask)
    picture = read_mask(tmp_path / "a.npy")
    np.testing.assert_array_equal(picture.array, mask)
    assert picture.array.dtype == np.uint8


def test_objects_are_refused_and_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    np.save(tmp_path / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(CaseError, match="holds Python objects"):
        read_image(tmp_path / "a.npy")
    assert not (tmp_path / "canary").exists()


def test_a_small_npz_that_asks_for_74_gib_is_refused(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (100_000, 100_000)}
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("array.npy", header.getvalue())
    with pytest.raises(CaseError, match="100000 x 100000") as caught:
        read_image(tmp_path / "a.npz")
    assert caught.value.reason == "too_large"
    with pytest.raises(CaseError, match="declares 80000000000 bytes") as caught:
        read_image(tmp_path / "a.npz", limits=Limits(area_px=10**11, n_bytes=10**12))
    assert caught.value.reason == "truncated"


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["../../slipped", "/slipped", "C:\\slipped", "slipped"])
def test_members_are_read_where_they_are_and_never_unpacked(tmp_path, name):
    folder = tmp_path / "a/b"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "a.npz", "w") as archive:
        archive.writestr(f"{name}.npy", npy(np.ones((5, 6))))
    assert read_image(folder / "a.npz").array.shape == (1, 5, 6)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.npz"]
    assert not Path("/slipped.npy").exists()


def test_a_zip_bomb_is_refused_by_its_size_and_its_number_of_members(tmp_path):
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("array.npy", npy(np.zeros((3000, 4000))))
    assert bomb.stat().st_size < 100_000  # of 96 MB
    tracemalloc.start()
    with pytest.raises(CaseError, match="3000 x 4000 pixels") as caught:
        read_image(bomb, limits=Limits(n_bytes=10**6))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.reason == "too_large"
    assert peak < 10**6
    with zipfile.ZipFile(tmp_path / "many.npz", "w") as archive:
        for number in range(1001):
            archive.writestr(f"{number}.npy", npy(np.ones((2, 2))))
    with pytest.raises(CaseError, match="the file holds 1001 members"):
        read_image(tmp_path / "many.npz")


def test_a_header_of_four_gigabytes_is_not_read(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x02\x00" + (2**32 - 1).to_bytes(4, "little"))
    with pytest.raises(CaseError):
        read_image(tmp_path / "a.npy")


def test_it_must_be_clear_which_array_is_meant(tmp_path):
    np.savez(tmp_path / "a.npz", left=np.zeros((5, 5)), right=np.zeros((5, 5)))
    with pytest.raises(CaseError, match="the file holds 2"):
        read_image(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", left=np.zeros((5, 5)), mask=np.ones((5, 6)))
    assert read_image(tmp_path / "a.npz").array.shape == (1, 5, 6)


def test_a_bad_spacing_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", array=np.zeros((5, 5)), spacing_mm=[0.0, 1.0])
    with pytest.raises(CaseError, match="positive spacing") as caught:
        read_image(tmp_path / "a.npz")
    assert caught.value.reason == "bad_geometry"


def test_npy_does_not_drop_a_spacing_silently(tmp_path):
    with pytest.raises(ValueError, match="npz holds both"):
        write_image(tmp_path / "a.npy", np.zeros((1, 5, 5)), spacing_mm=(1.0, 1.0))
