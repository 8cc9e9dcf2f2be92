"""Signals, so that a stopped training ends after its step with a checkpoint."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Remembers the signal that asked the training to stop."""

    def __init__(self) -> None:
        """Nothing has been received."""
        self.received: int | None = None

    def raise_received(self) -> None:
        """Leave with the exception for the signal: exit code 130 for Ctrl-C, 143 for SIGTERM."""
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        if self.received is not None:
            raise SystemExit(128 + self.received)


@contextmanager
def catch_interrupts() -> Iterator[Interrupts]:
    """Inside the block the first Ctrl-C or SIGTERM is only remembered; a second one acts at once.

    Outside the main thread signals cannot be caught and keep their effect.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def remember(number: int, _frame: FrameType | None) -> None:
        interrupts.received = number
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, remember)
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
