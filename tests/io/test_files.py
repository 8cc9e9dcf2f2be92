"""Choosing a format by suffix."""

import subprocess
import sys

import numpy as np
import pytest

from segclf.core.errors import CaseError
from segclf.io import FORMATS, files, read_image, suffix_of, write_image


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.PNG", ".png"), ("scan.v2.nii.gz", ".nii.gz"), ("scan.1.png", ".png"), ("a.gz", ".gz"),
     ("none", "")],
)  # fmt: skip
def test_the_suffix_is_the_whole_one_in_lower_case(tmp_path, name, suffix):
    assert suffix_of(tmp_path / name) == suffix


@pytest.mark.parametrize("name", ["a.gif", "a.dcm.txt", "a", "a.gz"])
def test_an_unknown_suffix_lists_the_known_ones(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(CaseError, match=r"one of \.png") as caught:
        read_image(tmp_path / name)
    assert caught.value.reason == "unknown_format"


def test_a_missing_file_and_a_folder_have_their_own_reasons(tmp_path):
    (tmp_path / "b.png").mkdir()
    for name, reason in (("a.png", "missing_file"), ("b.png", "not_a_file")):
        with pytest.raises(CaseError) as caught:
            read_image(tmp_path / name)
        assert caught.value.reason == reason
        assert str(tmp_path) not in str(caught.value)


def test_an_upper_case_suffix_is_read(tmp_path):
    write_image(tmp_path / "A.PNG", np.ones((1, 3, 3), np.uint8))
    assert read_image(tmp_path / "A.PNG").array.sum() == 9


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_image(tmp_path / "a.png", np.ones((1, 3, 3), np.uint8))
    with pytest.raises(ValueError, match="float64"):
        write_image(tmp_path / "a.png", np.ones((1, 3, 3)))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert read_image(tmp_path / "a.png").array.sum() == 9


def test_a_format_of_another_package_is_found_by_its_suffix(tmp_path, monkeypatch):
    class Point:
        name = ".raw"

        def load(self):
            return FORMATS[".npy"]

    monkeypatch.setattr("segclf.core.catalog.entry_points", lambda group: [Point()])
    for cache in (files._plugin_suffixes, files._format_by_suffix):
        cache.cache_clear()
    np.save(tmp_path / "a.npy", np.ones((3, 4)))
    (tmp_path / "a.npy").rename(tmp_path / "a.raw")
    with pytest.raises(CaseError, match="cannot be decoded"):
        read_image(tmp_path / "a.raw")  # it reached the plug-in, which expects another suffix
    for cache in (files._plugin_suffixes, files._format_by_suffix):
        cache.cache_clear()


def test_reading_pictures_does_not_wait_for_the_libraries_of_other_formats(tmp_path):
    for name in ("a.png", "a.tif", "a.npz"):
        write_image(tmp_path / name, np.zeros((1, 4, 5), np.uint8))
    code = (
        "import sys; from pathlib import Path; from segclf.io import probe, read_image, read_mask\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    probe(path), read_image(path), read_mask(path)\n"
        "print(sorted({'pydicom', 'nibabel', 'scipy', 'torch', 'pandas'} & {*sys.modules}))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
