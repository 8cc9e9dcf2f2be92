"""For every test: no network beyond this machine, and Ctrl-C as a terminal has it."""

import os
import signal
import socket
import sys

import pytest

from segclf.io import files, guard

_connect = socket.socket.connect


def _only_local(self, address):
    is_inet = self.family in (socket.AF_INET, socket.AF_INET6)
    if is_inet and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise AssertionError(f"a test tried to reach the network: {address}")
    return _connect(self, address)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Fail a test that opens a connection to anything but this machine."""
    monkeypatch.setattr(socket.socket, "connect", _only_local)


@pytest.fixture(scope="session", autouse=True)
def ctrl_c():
    """Undo what a shell does to jobs in the background: they, and their children, ignore Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


HOSTILE = """
import os, signal, sys, time
import numpy as np
from segclf.io import Format, Picture

seen = []

def crash(path, limits):
    os.kill(os.getpid(), signal.SIGSEGV)

def sleep(path, limits):
    time.sleep(600)

def leave(path, limits):
    os._exit(7)

def spoil(path, limits):
    seen.append(path)
    return Picture(np.ones((1, 2, 2), np.uint8), None, None)

def suffer(path, limits):
    if seen:
        os.kill(os.getpid(), signal.SIGABRT)
    return Picture(np.full((1, 2, 2), 2, np.uint8), None, None)

def talk(path, limits):
    os.write(1, b"CANARY"), os.write(2, b"CANARY"), print("CANARY", file=sys.stderr)
    return Picture(np.zeros((1, 2, 2), np.uint8), None, None)

def slip(path, limits):
    raise KeyError("CANARY")

def full(path, limits):
    raise MemoryError

CRASH, SLEEP, LEAVE, SPOIL, SUFFER, TALK, SLIP, FULL = (
    Format(f.__name__, f, f, f, None)
    for f in (crash, sleep, leave, spoil, suffer, talk, slip, full)
)
"""


def hurry(monkeypatch):
    """What sleeps is given up after a second, however slow this machine is with other files."""
    ask = guard._Decoder.ask

    def patient(self, request, seconds):
        name = os.path.basename(request["path"])
        return ask(self, request, 1 if "sleep" in name else max(seconds, 60))

    monkeypatch.setattr(guard._Decoder, "ask", patient)


NAMES = ("crash", "sleep", "leave", "spoil", "suffer", "talk", "slip", "full")


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """An installed package whose readers do what native decoders do on a bad day."""
    site = tmp_path / "site"
    about = site / "hostile-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "hostile.py").write_text(HOSTILE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n")
    lines = [f".{name} = hostile:{name.upper()}" for name in NAMES]
    (about / "entry_points.txt").write_text("\n".join(["[segclf.formats]", *lines]))
    monkeypatch.syspath_prepend(site)
    caches = (files._plugin_suffixes, files._format_by_suffix)
    for cache in caches:
        cache.cache_clear()
    for name in NAMES:
        (tmp_path / f"one.{name}").write_bytes(b"x")
    hurry(monkeypatch)
    yield tmp_path
    for cache in caches:
        cache.cache_clear()
    guard._end_all()


TRAPS = """
import builtins, os, signal, time
plain = builtins.open

def trapped(file, *args, **options):
    name = os.path.basename(file) if isinstance(file, (str, os.PathLike)) else ""
    if name.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name.startswith("sleep"):
        plain(str(file) + ".asleep", "w").close()
        time.sleep(600)
    return plain(file, *args, **options)

builtins.open = trapped
"""


@pytest.fixture
def traps(tmp_path, monkeypatch):
    """Files of any format whose names begin with crash or sleep do that to who decodes them."""
    site = tmp_path / "traps"
    site.mkdir()
    (site / "sitecustomize.py").write_text(TRAPS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *sys.path]))
    hurry(monkeypatch)
    guard._end_all()
    yield tmp_path
    guard._end_all()
