import json
from dataclasses import replace

import numpy as np
import pytest

from segclf.classify.metric import Gallery, add_class, read_gallery, write_gallery
from segclf.core.errors import DataError, IntegrityError, UsageError

SHA, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def known():
    vectors = np.eye(3, 4, dtype=np.float32)
    return Gallery(vectors, ("x", "y", "z"), ("a", "b", "a"), SHA, "kind", {"threshold": 0.5})


def test_a_gallery_comes_back_from_disk(known, tmp_path):
    write_gallery(tmp_path, known)
    found = read_gallery(tmp_path, model_sha256=SHA)
    np.testing.assert_array_equal(found.vectors, known.vectors)
    assert replace(found, vectors=known.vectors) == known
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "gallery.json", "gallery.safetensors",
    ]  # fmt: skip
    card = json.loads((tmp_path / "gallery.json").read_text())
    assert (card["n"], card["dim"], card["model_sha256"]) == (3, 4, SHA)


def test_an_empty_gallery_comes_back_too(known, tmp_path):
    empty = replace(known, vectors=known.vectors[:0], case_ids=(), classes=())
    write_gallery(tmp_path, empty)
    assert read_gallery(tmp_path, model_sha256=SHA).vectors.shape == (0, 4)


def test_a_gallery_of_another_model_is_refused(known, tmp_path):
    write_gallery(tmp_path, known)
    with pytest.raises(IntegrityError, match="the gallery is from another model") as caught:
        read_gallery(tmp_path, model_sha256=OTHER)
    assert "SHA-256 aaaaaaaaaaaa…" in caught.value.wrong
    assert "bbbbbbbbbbbb…" in caught.value.wrong


@pytest.mark.parametrize("name", ["gallery.json", "gallery.safetensors"])
def test_a_missing_or_damaged_file_is_an_integrity_error(known, tmp_path, name):
    write_gallery(tmp_path, known)
    content = (tmp_path / name).read_bytes()
    for damaged in (content[:-3], b"", content[:-8] + b"\x01" * 8):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(IntegrityError):
            read_gallery(tmp_path, model_sha256=SHA)
    (tmp_path / name).unlink()
    with pytest.raises(IntegrityError, match="there is no gallery"):
        read_gallery(tmp_path, model_sha256=SHA)


def test_after_a_crash_between_the_files_the_old_gallery_is_read(known, tmp_path, monkeypatch):
    write_gallery(tmp_path, known)
    larger = add_class(known, "new", np.eye(1, 4, dtype=np.float32), ["n"])

    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("segclf.classify.metric.gallery.write_json", crash)
    with pytest.raises(KeyboardInterrupt):
        write_gallery(tmp_path, larger)
    assert read_gallery(tmp_path, model_sha256=SHA).case_ids == ("x", "y", "z")


def test_a_class_is_added_behind_the_others(known):
    found = add_class(known, "new", 2 * np.eye(2, 4), ["n1", "n2"])
    assert found.names == ["a", "b", "new"]
    assert (found.case_ids[3:], found.enrolled) == (("n1", "n2"), ("new",))
    np.testing.assert_array_equal(found.vectors[:3], known.vectors)
    assert found.vectors.dtype == np.float32
    assert known.names == ["a", "b"]


def test_a_class_that_is_known_cannot_be_added_again(known):
    with pytest.raises(UsageError, match="the class 'a' is in the gallery already, with 2 images"):
        add_class(known, "a", np.eye(1, 4), ["n"])
    for name in ("unknown", ""):
        with pytest.raises(UsageError, match=f"a class cannot be called '{name}'"):
            add_class(known, name, np.eye(1, 4), ["n"])


def test_a_class_without_images_cannot_be_added(known):
    with pytest.raises(DataError, match="there is no image of the class 'new'"):
        add_class(known, "new", np.empty((0, 4)), [])


def test_a_case_is_in_the_gallery_once(known):
    with pytest.raises(DataError, match=r"1 of the images is in the gallery already.*'y'"):
        add_class(known, "new", np.eye(2, 4), ["n", "y"])
    with pytest.raises(DataError, match=r"1 of the images stands twice.*'n'"):
        add_class(known, "new", np.eye(2, 4), ["n", "n"])


def test_an_index_is_built_once_per_gallery(known, monkeypatch):
    built = []
    monkeypatch.setattr(
        "segclf.classify.metric.gallery.make_search",
        lambda vectors: built.append(len(vectors)) or (lambda queries, k: None),
    )
    assert known.search is known.search
    larger = add_class(known, "new", np.eye(1, 4, dtype=np.float32), ["n"])
    assert larger.search is not known.search
    assert built == [3, 4]
