"""For every test: no network beyond this machine, and Ctrl-C as a terminal has it."""

import signal
import socket

import pytest

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
