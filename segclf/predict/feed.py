"""Cases to batches for prediction: read ahead, grouped by shape, bad cases set aside."""

import functools
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from segclf.core.config import Recipe
from segclf.core.errors import CaseError
from segclf.core.records import Case
from segclf.data import Sample, read_case, read_truth
from segclf.data.workers import ordered
from segclf.io import probe
from segclf.io.guard import reading_pool, time_limit

Item = TypeVar("Item")
Result = TypeVar("Result")
MAX_BATCH_PX = 2**24
"""Pixels in a batch, and in the batches that wait to be filled: larger images make smaller
batches, so that memory does not grow with the size of a volume times the batch size."""


@dataclass(frozen=True)
class Quarantined:
    """A case that was set aside, and why; without pixels, full paths or patient ids."""

    index: int
    """Its place among the cases asked for."""
    case_id: str
    reason: str
    message: str

    def record(self) -> dict[str, str]:
        """A line of `quarantine.jsonl`."""
        return {"case_id": self.case_id, "reason": self.reason, "message": self.message}


@dataclass(frozen=True)
class Ready:
    """A case that was read."""

    index: int
    """Its place among the cases asked for."""
    case: Case
    sample: Sample
    truth: tuple[np.ndarray | None, ...]
    """Per finding, the drawn mask on the input image's grid; None where it is not known."""


def read_ahead(
    cases: Sequence[Case], recipe: Recipe, *, n_channels: int, with_truth: bool
) -> Iterator[Ready | Quarantined]:
    """Every case in order, read while the caller works on earlier ones.

    At most as many cases as fit a batch wait to be taken, so memory does not grow with `cases`.
    """
    read = functools.partial(
        _read_in_time, cases=cases, recipe=recipe, n_channels=n_channels, with_truth=with_truth
    )
    keys = range(len(cases))
    if recipe.predict.workers > 0:
        yield from ordered(read, keys, workers=recipe.predict.workers)
        return
    n_waiting = recipe.predict.batch_size if recipe.image.spatial_dims == 2 else 1
    yield from in_thread(
        read, keys, n_waiting=n_waiting, alone=lambda index: _is_large(cases[index], recipe)
    )


def _is_large(case: Case, recipe: Recipe) -> bool:
    """Whether the image has so many pixels that no other may be in memory beside it."""
    if case.cut is not None:
        return False
    try:
        with time_limit(recipe.image.decode_limit_s):
            return math.prod(probe(case.images[0]).shape[1:]) > MAX_BATCH_PX
    except (CaseError, OSError):
        return False  # reading it will say why


def in_thread(
    call: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    n_waiting: int,
    alone: Callable[[Item], bool] = lambda _: False,
) -> Iterator[Result]:
    """`call(item)` for each item in order, computed in a thread beside the caller.

    Args:
        call: What is computed.
        items: Taken in the caller's thread.
        n_waiting: Calls that may be open while the caller works.
        alone: Whether no call may be open beside that of an item, nor while the caller works on
            its result.
    """
    with reading_pool(1) as pool:
        futures: deque[Future[Result]] = deque()
        for item in items:
            is_alone = alone(item)
            while is_alone and futures:
                yield futures.popleft().result()
            futures.append(pool.submit(call, item))
            if is_alone or len(futures) > n_waiting:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()


def _read_in_time(index: int, *, recipe: Recipe, **others: Any) -> Ready | Quarantined:  # noqa: ANN401
    with time_limit(recipe.image.decode_limit_s):
        return _read(index, recipe=recipe, **others)


def _read(
    index: int, *, cases: Sequence[Case], recipe: Recipe, n_channels: int, with_truth: bool
) -> Ready | Quarantined:
    case = cases[index]
    try:
        sample = read_case(case, recipe, with_target=False)
        if len(sample.image) != n_channels:
            raise CaseError(
                "channels_differ",
                f"the image has {len(sample.image)} channels, the model {n_channels}.",
                where=f"case {case.case_id}",
                expected="images like those of the training",
                fix="convert the image, or leave the case out",
            )
        truth = _truth(case, sample) if with_truth else ()
        return Ready(index, case, sample, truth)
    except CaseError as error:
        return set_aside(index, case, error)
    except OSError as error:  # the disk failed beneath the decoder
        text = f"the file cannot be read: {type(error).__name__}: {error.strerror}."
        wrong = CaseError(
            "unreadable",
            text,
            where=f"case {case.case_id}",
            expected="a file that the system can read",
            fix="check the disk, then copy the file again",
        )
        return set_aside(index, case, wrong)


def _truth(case: Case, sample: Sample) -> tuple[np.ndarray | None, ...]:
    shape, spacing_mm = sample.input_shape, sample.spacing_mm
    return read_truth(case, shape, spacing_mm=spacing_mm, affine=sample.affine)


def set_aside(index: int, case: Case, error: CaseError) -> Quarantined:
    """The record of a case that cannot be predicted."""
    message = f"{error.wrong} ({error.where}; expected: {error.expected}; fix: {error.fix})"
    for path in (*case.images, *(mask.path for mask in case.masks if mask.path is not None)):
        message = message.replace(str(path), path.name)
    return Quarantined(index, case.case_id, error.reason, message)


def batches(
    ready: Iterator[Ready | Quarantined], batch_size: int
) -> Iterator[list[Ready] | Quarantined]:
    """Cases of equal image shape, together; which ones depends on the order of cases alone.

    Cases whose shape is rare wait for others until `MAX_BATCH_PX` pixels wait; then the oldest
    shape goes as it is.
    """
    waiting: dict[tuple[int, ...], list[Ready]] = {}
    for item in ready:
        if isinstance(item, Quarantined):
            yield item
            continue
        shape = tuple(item.sample.image.shape)
        group = waiting.setdefault(shape, [])
        group.append(item)
        if len(group) >= min(batch_size, MAX_BATCH_PX // math.prod(shape)):
            yield waiting.pop(shape)
        while sum(math.prod(s) * len(g) for s, g in waiting.items()) > MAX_BATCH_PX:
            yield waiting.pop(next(iter(waiting)))
    yield from waiting.values()


def by_input_shape(batch: Sequence[Ready]) -> Iterator[list[int]]:
    """Positions in a batch of cases whose input images have one shape."""
    order = sorted(range(len(batch)), key=lambda i: batch[i].sample.input_shape)
    for _, group in itertools.groupby(order, key=lambda i: batch[i].sample.input_shape):
        yield list(group)


def stack_truth(batch: Sequence[Ready]) -> torch.Tensor | None:
    """(case, finding, *space) float32 of 1 and 0, NaN where not known; None if nothing is known.

    The cases have one input shape.
    """
    if all(plane is None for ready in batch for plane in ready.truth):
        return None
    shape = batch[0].sample.input_shape
    planes = [
        np.full(shape, np.nan, np.float32) if plane is None else plane.astype(np.float32)
        for ready in batch
        for plane in ready.truth
    ]
    return torch.from_numpy(np.stack(planes)).unflatten(0, (len(batch), -1))
