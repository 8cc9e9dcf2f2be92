"""Kept cases on disk while a head is trained: one memory-mapped array, deleted afterwards."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from segclf.core.errors import ConfigError
from segclf.core.records import Case
from segclf.predict.engine import Engine
from segclf.predict.feed import Quarantined
from segclf.summarize.trained.represent import Kept, Reader, read_kept
from segclf.training.runtime import full_disk_stops
from segclf.training.state import EventSink

GIB = 2**30
CHUNK_BYTES = 2**24


@dataclass(frozen=True)
class Source:
    """Cases, and the frozen segmenter that reads them."""

    engine: Engine
    cases: Sequence[Case]


@dataclass(frozen=True)
class Store:
    """The cases of one part that could be read; their order follows from their ids."""

    case_ids: list[str]
    values: np.ndarray
    """(case, *shape), memory-mapped."""
    label: np.ndarray
    """(case, finding) 1, 0, NaN for not known."""
    mean_p: np.ndarray
    """(case, finding) mean probability of the maps."""
    quarantined: list[Quarantined]


def fill_store(
    path: Path, reader: Reader, sources: Sequence[Source], tell: Callable[[int], None]
) -> Store:
    """Read the cases of all sources into the file `path`; memory holds one batch at a time.

    Args:
        path: A new file, as large as `check_size` says.
        reader: What is kept of a case.
        sources: Cases; no case twice.
        tell: Told how many more cases have been read.

    Raises:
        ConfigError: The file would be larger than `summarize.store_gib`.
        StoppedError: The disk has no room for it.
    """
    label_of = {case.case_id: case.labels for source in sources for case in source.cases}
    n_findings = len(sources[0].engine.card.findings)
    check_size(reader, len(label_of), sources[0].engine.recipe.summarize.store_gib)
    values = _allocate(path, (len(label_of), *reader.shape), reader.dtype)
    case_ids: list[str] = []
    mean_p, quarantined = [np.empty((0, n_findings))], []
    for kept in read_sources(reader, sources, tell):
        if isinstance(kept, Quarantined):
            quarantined.append(kept)
            continue
        values[len(case_ids) : len(case_ids) + len(kept.case_ids)] = kept.values
        case_ids += kept.case_ids
        mean_p.append(kept.mean_p)
    label = np.array([label_of[case_id] for case_id in case_ids], dtype=np.float64)
    return Store(
        case_ids,
        values[: len(case_ids)],
        label.reshape(-1, n_findings),
        np.concatenate(mean_p),
        quarantined,
    )


def read_sources(
    reader: Reader, sources: Sequence[Source], tell: Callable[[int], None]
) -> Iterator[Kept | Quarantined]:
    """The cases of each source by its own segmenter, in the order of their ids."""
    for source in sources:
        cases = sorted(source.cases, key=lambda case: case.case_id)
        for kept in read_kept(source.engine, reader, cases):
            tell(1 if isinstance(kept, Quarantined) else len(kept.case_ids))
            yield kept


def check_size(reader: Reader, n_cases: int, limit_gib: float) -> None:
    """Refuse a store that is larger than the recipe allows, before anything is read.

    Raises:
        ConfigError: It would be.
    """
    n_bytes = n_cases * prod(reader.shape) * np.dtype(reader.dtype).itemsize
    if n_bytes > limit_gib * GIB:
        shape = " x ".join(map(str, reader.shape))
        raise ConfigError(
            f"what is kept of {n_cases} cases ({shape} each) needs {n_bytes / GIB:.3g} GiB.",
            where=f"summarize.store_gib = {limit_gib:g}",
            expected=f"at most {limit_gib:g} GiB while a summarizer is trained",
            fix=f"--set summarize.store_gib={n_bytes / GIB * 1.1:.3g} if the disk has the room, a "
            "smaller summarize.grid_px, or --rule pool_fc, which keeps little",
        )


def _allocate(path: Path, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """A writable array in a new file whose room on the disk is taken at once.

    Writing to a memory-mapped file on a full disk ends the process; asking first raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    n_bytes = max(prod(shape), 1) * np.dtype(dtype).itemsize
    with (
        full_disk_stops(
            path.parent,
            room_for=f"{n_bytes / GIB:.3g} GiB of maps while the summarizer is trained",
            fix="run the same command again",
        ),
        open(path, "wb") as stream,
    ):
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, n_bytes)
        else:  # macOS has no such call
            for start in range(0, n_bytes, CHUNK_BYTES):
                stream.write(bytes(min(CHUNK_BYTES, n_bytes - start)))
    if prod(shape) == 0:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype=dtype, mode="r+", shape=shape)


def teller(kind: str, n_cases: int, on_event: EventSink | None) -> Callable[[int], None]:
    """A function that is told how many more cases were read, and tells the caller how many were."""
    n_done = 0

    def tell(n_more: int) -> None:
        nonlocal n_done
        n_done += n_more
        if on_event is not None:
            on_event({"kind": kind, "step": n_done, "of": n_cases})

    return tell
