"""Decoding in a process of its own: a decoder that crashes or hangs costs one file, not the run.

The process is a fresh interpreter that imports `segclf.io` and nothing else of the caller's. It is
not forked: a fork of a process with threads (torch, numba) may hang. It is not spawned by
`multiprocessing` either, which runs the caller's main script again. It stays for later files, so
that a file costs a round trip and not a start. What comes back is JSON and raw pixels; nothing is
unpickled. Its output is thrown away: native decoders print what headers say.
"""

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from segclf.core import errors
from segclf.io.decoder import GRACE_S, bytes_of, fill, receive, send
from segclf.io.records import DicomFile, DicomHeaders, Header, Limits, Picture, bad_file

DECODE_LIMIT_S = 60.0
"""Time for one file where no recipe says more."""
PLAIN = {"Picture": Picture, "DicomFile": DicomFile, "DicomHeaders": DicomHeaders}
START_LIMIT_S = 120
"""Time to start an interpreter and import, on a busy machine."""

_thread = threading.local()
_limit_s: ContextVar[float | None] = ContextVar("limit_s")
_idle: list["_Decoder"] = []
_left: list["_Decoder"] = []
_lock = threading.Lock()


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Files that are read in the block are decoded in a process of their own, in that time each.

    None decodes in this process, without a limit; so does a system without POSIX sockets.
    """
    is_possible = os.name == "posix" and bool(sys.executable)
    before = _limit_s.set(seconds if is_possible else None)
    try:
        yield
    finally:
        _limit_s.reset(before)


@contextmanager
def default_limit() -> Iterator[None]:
    """A block of `time_limit(DECODE_LIMIT_S)`, unless the caller is in one, whose limit holds."""
    with time_limit(DECODE_LIMIT_S) if _limit_s.get(0) == 0 else nullcontext():
        yield


def is_watched() -> bool:
    """Whether the caller is in a block of `time_limit`."""
    return _limit_s.get(None) is not None


@contextmanager
def reading_pool(
    n_threads: int, *, begin: Callable[[], object] | None = None
) -> Iterator[ThreadPoolExecutor]:
    """Threads that read files; left by an error, such as Ctrl-C, it does not wait for the files.

    Args:
        n_threads: How many.
        begin: Called in each thread first.
    """
    readers = _Readers()

    def first() -> None:
        _thread.readers = readers
        if begin is not None:
            begin()

    pool = ThreadPoolExecutor(n_threads, initializer=first)
    try:
        yield pool
    except BaseException:
        readers.end()
        pool.shutdown(cancel_futures=True)
        raise
    finally:
        pool.shutdown()


class _Readers:
    """The decoders that the threads of one pool wait for."""

    def __init__(self) -> None:
        self.decoders: set[_Decoder] = set()
        self.is_over = False

    def end(self) -> None:
        """Let no thread wait, or begin, any more."""
        self.is_over = True
        for decoder in [*self.decoders]:
            decoder.process.kill()


@contextmanager
def _awaited(decoder: "_Decoder") -> Iterator[None]:
    """Note that this thread waits for a decoder."""
    readers: _Readers | None = getattr(_thread, "readers", None)
    if readers is None:
        yield
        return
    readers.decoders.add(decoder)
    try:
        if readers.is_over:
            raise KeyboardInterrupt
        yield
    except (OSError, EOFError):
        if readers.is_over:
            raise KeyboardInterrupt from None
        raise
    finally:
        readers.decoders.discard(decoder)


def decode(name: str, path: Path, limits: Limits) -> Any:  # noqa: ANN401 (a record of io.records)
    """What the function `name` of `segclf.io.files` gives for `path`, computed elsewhere.

    A decoder that has read other files before may suffer from one of them; so a file is only
    given up when a fresh one fails as well.

    Args:
        name: `read_image`, `read_mask`, `probe`, `identify` or `whole_headers`.
        path: The file.
        limits: Of its size.

    Raises:
        CaseError: As the function does; `decoder_crash` and `timeout`.
        StoppedError: No process can be started.
    """
    request: dict[str, Any] = {"name": name, "path": os.path.abspath(path)}
    seconds = _limit_s.get(None) or DECODE_LIMIT_S
    request |= {"limits": asdict(limits), "seconds": seconds}
    is_fresh = False
    while True:
        decoder = None if is_fresh else _take()
        is_fresh = decoder is None
        decoder = decoder or _Decoder()
        try:
            with _awaited(decoder):
                answer = decoder.ask(request, seconds)
        except (OSError, EOFError) as lost:
            code = decoder.end()
            if is_fresh:
                raise _lost(path, lost, code, seconds) from None
        except BaseException:  # an interrupt: its answer would come to the next file
            decoder.end()
            raise
        else:
            with _lock:
                _idle.append(decoder)
            return _result(*answer)


class _Decoder:
    """A process that decodes, one file at a time."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.path, self.socket = list(sys.path), ours
        start = "from segclf.io.decoder import serve; serve"
        code = f"import sys; sys.path[:] = {self.path!r}; {start}({theirs.fileno()})"
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        nothing = subprocess.DEVNULL
        try:
            with theirs:
                self.process = subprocess.Popen(  # noqa: S603 (our own interpreter and code)
                    [sys.executable, "-c", code], stdin=nothing, stdout=nothing, stderr=nothing,
                    pass_fds=[theirs.fileno()], env=os.environ | threads,
                )  # fmt: skip
            ours.settimeout(START_LIMIT_S)
            receive(ours)
        except (OSError, EOFError) as error:
            ours.close()
            if hasattr(self, "process"):
                self.end()
            raise errors.StoppedError(
                f"no process that decodes files can be started: {type(error).__name__}.",
                where="image.decode_limit_s",
                expected="memory and processes left for a Python interpreter",
                fix="free some, or decode without protection: image.decode_limit_s: null",
            ) from None

    def ask(self, request: dict[str, Any], seconds: float) -> tuple[dict[str, Any], list[Any]]:
        """The head of the answer, and its arrays."""
        self.socket.settimeout(seconds)
        send(self.socket, request)
        head = receive(self.socket)
        arrays = [_empty(*about) for _, *about in head.get("arrays", ())]
        for array in arrays:
            fill(self.socket, bytes_of(array))
        return head, arrays

    def end(self) -> int | None:
        """End it, and say how it ended: 0 by itself, below 0 by a signal."""
        self.socket.close()
        try:
            code = self.process.wait(0.2)  # a crash takes a moment to be told
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = None
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:  # stuck in the kernel, for example on a dead disk
            _left.append(self)
        return code


def _take() -> _Decoder | None:
    """An idle decoder that still lives and knows the modules that we know."""
    while True:
        with _lock:
            if not _idle:
                return None
            decoder = _idle.pop()
        if decoder.process.poll() is None and decoder.path == sys.path:
            return decoder
        decoder.process.kill()
        decoder.end()


def _lost(path: Path, lost: Exception, code: int | None, seconds: float) -> errors.CaseError:
    if isinstance(lost, TimeoutError):
        return bad_file(
            "timeout",
            path,
            f"decoding took more than {seconds:g} s.",
            expected="a file that is decoded in time",
            fix="export the file again; for a large one raise image.decode_limit_s",
        )
    name = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
    return bad_file(
        "decoder_crash",
        path,
        f"reading the file crashed the decoder ({name}).",
        expected="a file that can be decoded",
        fix="export the file again" + ("; is there enough memory?" if code == -9 else ""),
    )


def _result(head: dict[str, Any], arrays: list[np.ndarray]) -> Any:  # noqa: ANN401
    if "error" in head:
        kind, args, state = head["error"]
        error = getattr(errors, kind)
        raise errors._rebuilt(error, tuple(args), state)  # whole, as between processes
    if "system" in head:
        raise OSError(*head["system"])
    if "memory" in head:
        raise MemoryError
    if "bug" in head:
        raise RuntimeError(head["bug"])
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in head["values"].items()
    }
    values |= {name: array for (name, *_), array in zip(head["arrays"], arrays, strict=True)}
    if head["kind"] in PLAIN:
        return PLAIN[head["kind"]](**values)
    values["dtype"] = np.dtype(values["dtype"])
    return Header(**values)


def _empty(shape: list[int], dtype: str, order: Any) -> np.ndarray:  # noqa: ANN401
    return np.empty(shape, np.dtype(dtype), order)


def _forget() -> None:
    """In a forked process the decoders belong to the parent: start others."""
    global _lock
    _lock = threading.Lock()
    _left.extend(_idle)
    _idle.clear()


@atexit.register
def _end_all() -> None:
    while _idle:
        decoder = _idle.pop()
        decoder.process.kill()
        decoder.end()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
