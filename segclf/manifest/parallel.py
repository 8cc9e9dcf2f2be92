"""A function over many jobs in several threads, in order and without a long queue."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import TypeVar

from segclf.io.guard import reading_pool

J = TypeVar("J")
R = TypeVar("R")
AHEAD = 4
"""Jobs per thread that may be done before their turn; more would fill the memory."""


def map_threads(function: Callable[[J], R], jobs: Sequence[J], *, workers: int) -> Iterator[R]:
    """Results in the order of the jobs.

    Threads are enough: files are decoded by processes of their own (`segclf.io.guard`).

    Args:
        function: Called with one job.
        jobs: What it is called with.
        workers: Threads; up to 1, everything runs in this one.
    """
    if workers <= 1:
        yield from map(function, jobs)
        return
    with reading_pool(workers) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(function, job))
                if len(waiting) > AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
