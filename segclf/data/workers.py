"""A function called for each key, in order, in this process or in several."""

import functools
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from segclf.core.errors import SegclfError

T = TypeVar("T")


class _Calls(Dataset[T | SegclfError], Generic[T]):
    """The map-style data set that DataLoader wants: item k is `call(k)`, or its error."""

    def __init__(self, call: Callable[[int], T]) -> None:
        self.call = call

    def __getitem__(self, key: int) -> T | SegclfError:
        try:
            return self.call(key)
        except SegclfError as error:
            return error  # DataLoader would turn it into a RuntimeError around a traceback


def ordered(
    call: Callable[[int], T],
    keys: Sequence[int],
    *,
    workers: int,
    on_start: Callable[[int], None] | None = None,
) -> Iterator[T]:
    """`call(key)` for every key in order; the same values for any number of workers.

    Args:
        call: A pure function that can be pickled; in a worker torch has one thread.
        keys: What it is called with.
        workers: Processes that work ahead; 0 calls in this process.
        on_start: Called in each worker before its first key with the number of workers.

    Raises:
        SegclfError: Whatever `call` raised, at the place of its key.
    """
    if workers == 0:
        yield from map(call, keys)
        return
    with warnings.catch_warnings():
        # More workers than cores is the user's choice, and may be right when disks are slow.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        loader = DataLoader(
            _Calls(call),
            batch_size=None,
            sampler=keys,
            num_workers=workers,
            worker_init_fn=None if on_start is None else functools.partial(_start, on_start),
            # Its own generator: DataLoader would otherwise draw from torch's global one.
            generator=torch.Generator(),
            # Forking shares imported modules and cached cases at no cost.
            multiprocessing_context="fork" if sys.platform == "linux" else None,
        )
        outcomes = iter(loader)
    try:
        for outcome in outcomes:
            if isinstance(outcome, SegclfError):
                raise outcome
            yield outcome
    finally:
        # The workers end here, by the last reference to them. Left to the collector of cycles
        # (a traceback holds this frame) they would be waited for, five seconds each.
        del outcomes


def _start(on_start: Callable[[int], None], _worker: int) -> None:
    info = torch.utils.data.get_worker_info()
    on_start(info.num_workers if info is not None else 1)
