"""A stamp changes with every file that is read behind a path."""

import os
from itertools import pairwise

import numpy as np
import pytest
import SimpleITK as sitk

from segclf.io import file_stamp, read_image, write_image


def changed(file):
    """Rewrite a file at its size, a second later."""
    status = file.stat()
    file.write_bytes(bytes(reversed(file.read_bytes())))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def test_a_file_is_its_size_and_its_time_of_change(tmp_path):
    (tmp_path / "a.png").write_bytes(b"12345")
    os.utime(tmp_path / "a.png", ns=(0, 7 * 10**9))
    assert file_stamp(tmp_path / "a.png") == [5, 7 * 10**9]
    with pytest.raises(FileNotFoundError):
        file_stamp(tmp_path / "none.png")


def test_a_slice_of_a_series_that_changes_or_is_added_is_seen(tmp_path):
    folder = tmp_path / "ct"
    folder.mkdir()
    for k in range(3):
        (folder / f"{k}.dcm").write_bytes(b"slice")
    seen = [file_stamp(folder)]
    assert file_stamp(folder) == seen[0]
    changed(folder / "1.dcm")
    seen.append(file_stamp(folder))
    (folder / "3.dcm").write_bytes(b"slice")
    seen.append(file_stamp(folder))
    (folder / "0.dcm").rename(folder / "9.dcm")
    seen.append(file_stamp(folder))
    assert all(one != other for one, other in pairwise(seen))


@pytest.mark.parametrize(("name", "beside"), [("a.mhd", "a.raw"), ("a.nhdr", "a.raw")])
def test_voxels_beside_their_header_are_seen(tmp_path, name, beside):
    volume = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    sitk.WriteImage(sitk.GetImageFromArray(volume), tmp_path / name)
    before = file_stamp(tmp_path / name)
    assert before[2] == beside
    changed(tmp_path / beside)
    assert file_stamp(tmp_path / name) != before
    assert read_image(tmp_path / name).array.shape == (1, 5, 4, 3)
    (tmp_path / name).write_bytes(b"broken")
    assert len(file_stamp(tmp_path / name)) == 2


def test_the_spacing_beside_a_tiff_is_seen(tmp_path):
    path = tmp_path / "a.tif"
    write_image(path, np.zeros((1, 4, 5), np.uint8), spacing_mm=(1.0, 2.0))
    before = file_stamp(path)
    status = path.stat()
    write_image(path, np.zeros((1, 4, 5), np.uint8), spacing_mm=(1.0, 2.5))
    os.utime(path, ns=(0, status.st_mtime_ns))
    assert file_stamp(path) != before
