import hashlib
import json
import os
import signal
import subprocess
import sys

import pytest

from segclf.core import atomic
from segclf.core.atomic import (
    atomic_path,
    hash_of,
    read_json,
    sha256_of,
    write_bytes,
    write_json,
    write_text,
)

WRITER = """
import os, signal, sys
from segclf.core import atomic

path, step, data = sys.argv[1], sys.argv[2], b"new" * 400_000
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
calls = []
if step == "first fsync":
    os.fsync = die
elif step == "replace":
    os.replace = die
elif step == "second fsync":
    os.fsync = lambda descriptor: calls.append(descriptor) or (die() if len(calls) == 2 else None)
atomic.write_bytes(path, data)
"""


def leftovers(folder):
    return [path.name for path in folder.iterdir() if path.name.endswith(".part")]


def test_the_file_is_flushed_then_renamed_then_the_folder_is_flushed(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor):
        kind = "folder" if os.path.samestat(os.fstat(descriptor), tmp_path.stat()) else "file"
        steps.append(f"fsync {kind}")
        fsync(descriptor)

    def recorded_replace(source, target):
        steps.append("replace")
        replace(source, target)

    monkeypatch.setattr(atomic.os, "fsync", recorded_fsync)
    monkeypatch.setattr(atomic.os, "replace", recorded_replace)
    write_text(tmp_path / "a.txt", "whole")
    assert steps == ["fsync file", "replace", "fsync folder"]
    assert (tmp_path / "a.txt").read_text() == "whole"


@pytest.mark.parametrize(
    ("step", "survivor"),
    [("first fsync", b"old"), ("replace", b"old"), ("second fsync", b"new" * 400_000)],
)
def test_a_process_killed_at_any_step_leaves_the_old_or_the_new_file(tmp_path, step, survivor):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    result = subprocess.run([sys.executable, "-c", WRITER, str(path), step])
    assert result.returncode == -signal.SIGKILL
    assert path.read_bytes() == survivor


def test_a_block_that_fails_keeps_the_old_file_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def half_written():
        with atomic_path(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half_written()
    assert path.read_text() == "old"
    assert leftovers(tmp_path) == []


def test_a_block_that_writes_nothing_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(FileNotFoundError), atomic_path(path):
        pass
    assert path.read_text() == "old"


def test_the_new_file_is_not_seen_before_the_block_ends(tmp_path):
    path = tmp_path / "sub" / "a.txt"
    with atomic_path(path) as part:
        part.write_text("new")
        assert not path.exists()
        assert part.parent == path.parent
    assert path.read_text() == "new"
    assert leftovers(path.parent) == []


def test_two_writers_do_not_share_a_temporary_file(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_path(path) as one, atomic_path(path) as two:
        one.write_text("one")
        two.write_text("two")
    assert one != two
    assert path.read_text() == "one"  # the outer block ended last


def test_json_is_plain_and_refuses_nan(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"b": [1, None], "ä": 0.1})
    assert json.loads(path.read_text(encoding="utf-8")) == {"b": [1, None], "ä": 0.1}
    assert read_json(path) == {"b": [1, None], "ä": 0.1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"b": float("nan")})
    assert read_json(path)["b"] == [1, None]


def test_a_file_hash_is_the_published_one(tmp_path):
    write_bytes(tmp_path / "abc", b"abc")  # FIPS 180-2, appendix B.1
    assert sha256_of(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_the_hash_of_plain_data_does_not_depend_on_the_order_of_keys():
    assert hash_of({"a": 1, "b": [2, 3]}) == hash_of({"b": [2, 3], "a": 1})
    assert hash_of({"a": [1, 2]}) != hash_of({"a": [2, 1]})
    assert hash_of({"a": 1}) == hashlib.sha256(b'{"a": 1}').hexdigest()
