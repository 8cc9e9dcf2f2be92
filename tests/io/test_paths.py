"""Confinement: which path texts of a table are followed."""

import os

import pytest

from segclf.core.errors import CaseError
from segclf.io import confine


@pytest.fixture
def root(tmp_path):
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "images" / "a.png").write_text("a")
    (tmp_path / "secret.txt").write_text("s")
    return tmp_path / "data"


@pytest.mark.parametrize(
    "text", ["images/a.png", "./images/a.png", r"images\a.png", "images//a.png"]
)
def test_a_relative_path_is_made_absolute(root, text):
    assert confine(text, [root]) == root.resolve() / "images" / "a.png"


@pytest.mark.parametrize(
    "text",
    ["../secret.txt", "images/../../secret.txt", "images/../images/a.png", "/etc/passwd",
     r"C:\data\a.png", "C:a.png", r"\\server\share\a.png", r"..\secret.txt", "images/a.png\0.txt"],
)  # fmt: skip
def test_absolute_and_climbing_paths_are_refused(root, text):
    with pytest.raises(CaseError, match="not allowed") as caught:
        confine(text, [root])
    assert caught.value.reason == "outside_root"
    assert "data_root" in caught.value.fix


def test_a_link_is_followed_inside_the_root_and_refused_when_it_leaves(root):
    (root / "inside.png").symlink_to("images/a.png")
    (root / "outside.png").symlink_to("../secret.txt")
    (root / "folder").symlink_to("..")
    assert confine("inside.png", [root]) == root.resolve() / "images" / "a.png"
    for text in ("outside.png", "folder/secret.txt"):
        with pytest.raises(CaseError, match="link that leaves") as caught:
            confine(text, [root])
        assert caught.value.reason == "outside_root"


def test_the_root_itself_may_be_a_link(root, tmp_path):
    (tmp_path / "alias").symlink_to(root)
    assert confine("images/a.png", [tmp_path / "alias"]).name == "a.png"


def test_pipes_folders_and_devices_are_not_files(root):
    os.mkfifo(root / "pipe.png")
    for text in ("pipe.png", "images", "", "."):
        with pytest.raises(CaseError, match="not a regular file") as caught:
            confine(text, [root])
        assert caught.value.reason == "not_a_file"


@pytest.mark.parametrize("text", ["images/b.png", "nothing/a.png", "images/a.png/b", "x" * 5000])
def test_a_missing_file_is_named(root, text):
    with pytest.raises(CaseError, match="does not exist") as caught:
        confine(text, [root])
    assert caught.value.reason == "missing_file"
    assert "'data/'" in caught.value.expected


def test_a_second_root_is_searched_after_the_first(root, tmp_path):
    (tmp_path / "run" / "images").mkdir(parents=True)
    for name in ("a.png", "b.png"):
        (tmp_path / "run" / "images" / name).write_text("run")
    roots = [root, tmp_path / "run"]
    assert confine("images/b.png", roots).read_text() == "run"
    assert confine("images/a.png", roots).read_text() == "a"
