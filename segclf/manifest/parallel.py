"""A function over many jobs in several processes, where a crash costs one job, not the run."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import TypeVar

J = TypeVar("J")
R = TypeVar("R")


def map_isolated(
    function: Callable[[J], R],
    jobs: Sequence[J],
    *,
    workers: int,
    crashed: Callable[[J], R],
    chunk: int = 8,
) -> Iterator[R]:
    """Results in the order of the jobs; a job whose process dies gives `crashed(job)`.

    A decoder written in C may take its whole process down. After such a death the chunk that
    was next is repeated one job at a time, each in a process of its own.

    Args:
        function: Picklable; called with one job.
        jobs: Picklable.
        workers: Processes; up to 1, everything runs in this one and a crash is not caught.
        crashed: The result for a job that took its process down.
        chunk: Jobs handed to a process at once.
    """
    if workers <= 1:
        yield from map(function, jobs)
        return
    start = 0
    while start < len(jobs):
        chunks = [jobs[at : at + chunk] for at in range(start, len(jobs), chunk)]
        try:
            with _pool(workers) as pool:
                for results in pool.map(partial(_each, function), chunks):
                    start += len(results)
                    yield from results
        except BrokenProcessPool:
            for job in jobs[start : start + chunk]:
                yield _alone(function, job, crashed)
            start += chunk


def _each(function: Callable[[J], R], jobs: Sequence[J]) -> list[R]:
    return [function(job) for job in jobs]


def _alone(function: Callable[[J], R], job: J, crashed: Callable[[J], R]) -> R:
    try:
        with _pool(1) as pool:
            return pool.submit(function, job).result()
    except BrokenProcessPool:
        return crashed(job)


def _pool(workers: int) -> ProcessPoolExecutor:
    # spawned, not forked: a fork of a process with threads (torch, numba) may hang
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
