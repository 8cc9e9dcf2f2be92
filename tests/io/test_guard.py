"""Decoding elsewhere: the same pixels, and what a crash, a hang or an interrupt costs."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from segclf.core.errors import CaseError
from segclf.io import (
    FORMATS,
    Format,
    Picture,
    decoder,
    guard,
    probe,
    read_image,
    read_mask,
    write_image,
)
from segclf.io.guard import time_limit


def watched(read, path, *, seconds=60):
    with time_limit(seconds):
        return read(path)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.png"
    write_image(path, np.arange(12, dtype=np.uint8).reshape(1, 3, 4))
    return path


def test_pixels_and_headers_are_those_that_are_read_here(tmp_path):
    rng = np.random.default_rng(0)
    affine = np.array([[0, -2, 0, 5], [0.5, 0, 0, 6], [0, 0, -3, 7], [0, 0, 0, 1.0]])
    volume = rng.integers(-9, 9, (1, 4, 5, 6)).astype(np.int16)
    write_image(tmp_path / "v.nii.gz", volume, affine=affine)
    write_image(tmp_path / "m.png", rng.integers(0, 2, (1, 7, 5), dtype=np.uint8))
    write_image(tmp_path / "c.png", rng.integers(0, 255, (3, 7, 5), dtype=np.uint8))
    write_image(tmp_path / "f.npz", rng.normal(size=(1, 6, 3)), spacing_mm=(0.1, 1 / 3))
    for name in ("v.nii.gz", "m.png", "c.png", "f.npz"):
        here, there = read_image(tmp_path / name), watched(read_image, tmp_path / name)
        np.testing.assert_array_equal(there.array, here.array)
        assert there.array.dtype == here.array.dtype
        assert there.array.flags.c_contiguous == here.array.flags.c_contiguous
        assert there.array.flags.writeable
        assert there.spacing_mm == here.spacing_mm
        np.testing.assert_array_equal(there.affine, here.affine)
        header, other = probe(tmp_path / name), watched(probe, tmp_path / name)
        for field in fields(header):  # all of them: a field that is not sent would be lost
            own, sent = getattr(header, field.name), getattr(other, field.name)
            assert type(sent) is type(own), field.name
            np.testing.assert_array_equal(sent, own)
    mask = watched(read_mask, tmp_path / "m.png")
    np.testing.assert_array_equal(mask.array, read_mask(tmp_path / "m.png").array)


def test_an_array_in_column_order_comes_in_it():
    array = np.asfortranarray(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    head, (sent,) = decoder.answer(
        lambda path, limits: Picture(array, None, None), {"path": "x", "limits": {}}
    )
    made = guard._empty(*head["arrays"][0][1:])
    decoder.bytes_of(made)[:] = decoder.bytes_of(sent)
    np.testing.assert_array_equal(made, array)
    assert made.flags.f_contiguous


def test_without_a_limit_files_are_decoded_here(hostile, monkeypatch):
    monkeypatch.setattr(guard, "_take", lambda: pytest.fail("another process was asked"))
    with time_limit(60), time_limit(None):
        assert read_image(hostile / "one.spoil").array.sum() == 4


def test_errors_are_those_that_are_raised_here(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    for path in (tmp_path / "bad.png", tmp_path / "none.png", tmp_path / "a.xyz"):
        with pytest.raises(CaseError) as here:
            read_image(path)
        with pytest.raises(CaseError) as there:
            watched(read_image, path)
        assert (str(there.value), there.value.reason) == (str(here.value), here.value.reason)
        assert there.value.__dict__ == here.value.__dict__


def test_a_crash_of_the_decoder_costs_one_file(hostile, picture):
    for name, how in (("crash", "SIGSEGV"), ("leave", "exit code 7")):
        with pytest.raises(CaseError) as caught:
            watched(read_image, hostile / f"one.{name}")
        assert caught.value.reason == "decoder_crash"
        assert str(caught.value).splitlines() == [
            f"reading the file crashed the decoder ({how}).",
            f"  where:    one.{name}",
            "  expected: a file that can be decoded",
            "  fix:      export the file again",
        ]
    assert watched(read_image, picture).array.sum() == 66


def test_a_decoder_that_hangs_costs_one_file_and_the_limit(hostile, picture):
    began = time.monotonic()
    with pytest.raises(CaseError) as caught:
        watched(read_image, hostile / "one.sleep", seconds=0.5)
    assert time.monotonic() - began < 60
    assert caught.value.reason == "timeout"
    assert str(caught.value).splitlines()[0] == "decoding took more than 0.5 s."
    assert "raise image.decode_limit_s" in caught.value.fix
    assert watched(read_image, picture).array.sum() == 66


def test_a_file_does_not_pay_for_an_earlier_one(hostile):
    watched(read_image, hostile / "one.spoil")
    assert watched(read_image, hostile / "one.suffer").array.max() == 2


def test_what_a_decoder_prints_or_quotes_is_lost(hostile, capfd):
    watched(read_image, hostile / "one.talk")
    with pytest.raises(RuntimeError, match=r"KeyError in the decoder, hostile.py, line \d+$"):
        watched(read_image, hostile / "one.slip")
    assert capfd.readouterr() == ("", "")


def test_a_lack_of_memory_and_a_failing_disk_are_told_as_they_are(hostile, tmp_path):
    with pytest.raises(MemoryError):
        watched(read_image, hostile / "one.full")
    with pytest.raises(OSError, match="Is a directory") as caught:
        guard._result({"system": [21, "Is a directory"]}, [])
    assert caught.value.strerror == "Is a directory"


def test_an_interrupt_leaves_no_answer_to_the_next_file(hostile, picture):
    watched(read_image, picture)

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            watched(read_image, hostile / "one.sleep")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert watched(read_image, picture).array.sum() == 66


def test_a_decoder_that_has_gone_is_replaced(picture):
    watched(read_image, picture)
    os.kill(guard._idle[-1].process.pid, signal.SIGKILL)
    assert watched(read_image, picture).array.sum() == 66


def test_a_format_of_this_process_alone_is_decoded_here(picture, monkeypatch):
    def own(path, limits):
        return Picture(np.full((1, 1, 1), os.getpid(), np.int64), None, None)

    monkeypatch.setitem(FORMATS, ".own", Format("own", own, own, own, None))
    path = picture.rename(picture.with_suffix(".own"))
    assert watched(read_image, path).array.item() == os.getpid()


def run_script(folder, text):
    script = folder / "script.py"
    script.write_text(textwrap.dedent(text))
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(script)], stdout=subprocess.PIPE, text=True
    )


def test_a_script_without_a_main_guard_runs_once(picture):
    process = run_script(
        picture.parent,
        f"""
        from pathlib import Path
        from segclf.io import read_image
        from segclf.io.guard import time_limit
        with time_limit(60):
            print(read_image(Path({str(picture)!r})).array.sum())
        """,
    )
    assert process.communicate(timeout=120)[0] == "66\n"
    assert process.returncode == 0


def test_a_decoder_ends_with_its_caller(picture):
    process = run_script(
        picture.parent,
        f"""
        import time
        from pathlib import Path
        from segclf.io import guard, read_image
        with guard.time_limit(60):
            read_image(Path({str(picture)!r}))
        print(guard._idle[0].process.pid, flush=True)
        time.sleep(600)
        """,
    )
    pid = int(process.stdout.readline())
    os.kill(pid, 0)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and is_running(pid):
        time.sleep(0.05)
    assert not is_running(pid)


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # ended, and waiting for someone to ask
