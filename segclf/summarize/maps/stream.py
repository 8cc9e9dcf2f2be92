"""Maps of many cases to parts of mask statistics: read in threads, with bounded memory."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.atomic import hash_of, read_json, write_text
from segclf.core.errors import CaseError
from segclf.core.mapstats import extra_statistics, find_map_statistics
from segclf.core.maskstats import make_statistics
from segclf.core.records import Case
from segclf.core.statstable import (
    SCHEMA_VERSION,
    commit_path,
    part_path,
    read_commit,
    read_identity,
    write_identity,
    write_part,
)
from segclf.io.guard import DECODE_LIMIT_S, reading_pool, time_limit
from segclf.summarize.maps.find import CaseFiles
from segclf.summarize.maps.read import CaseMaps, Meaning, read_maps
from segclf.summarize.maps.statistics import as_probability, map_statistics

PART_CASES = 512
WAITING_PER_THREAD = 2
"""Results that may wait behind a slow case; they are rows, not pixels."""
EventSink = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Measure:
    """How maps are measured."""

    meaning: Meaning
    component_t: float
    plugins: tuple[str, ...] = ()
    decode_limit_s: float | None = DECODE_LIMIT_S
    """Time for one file, `image.decode_limit_s`; no part of what is measured."""


def stream_maps(
    maps: Path,
    files: dict[str, CaseFiles],
    cases: Sequence[Case],
    measure: Measure,
    folder: Path,
    *,
    n_threads: int,
    on_event: EventSink | None = None,
) -> dict[str, int]:
    """Write the statistics of all maps to Parquet parts in `folder`; finished ones stay.

    A thread holds the maps of one case at a time and about as much again for a sorted copy. A case
    that cannot be used is set aside with a reason and does not stop the others. Parts of the same
    files (names, sizes and times), measured in the same way, are not made again.

    Args:
        maps: Folder of the map files.
        files: Files of each case, from `find_maps`.
        cases: Those with files, in the order of the rows.
        measure: What the numbers mean, and what is measured.
        folder: Where parts, `identity.json` and `quarantine.jsonl` go.
        n_threads: Cases read at the same time.
        on_event: Told the progress.

    Returns:
        `cases` with statistics and those `quarantined`, counted.
    """
    identity = {
        "schema": SCHEMA_VERSION,
        "findings": list(measure.meaning.findings),
        "mask_values": {str(k): name for k, name in measure.meaning.mask_values.items()},
        "hold": measure.meaning.hold,
        "component_t": measure.component_t,
        "statistics": list(measure.plugins),
    }
    parts = [cases[start : start + PART_CASES] for start in range(0, len(cases), PART_CASES)]
    _start(folder, identity, len(parts))
    n_done = 0
    for index, part in enumerate(parts):
        wanted = {
            "identity": hash_of(identity),
            "input": hash_of([_stamp(maps, files[case.case_id], case) for case in part]),
        }
        record = read_commit(folder, index) or {}
        if any(record.get(key) != value for key, value in wanted.items()):
            found = list(
                _measured(maps, files, part, measure, n_threads, _counter(n_done, cases, on_event))
            )
            aside = [row for rows in found for row in rows if "reason" in row]
            rows = [row for rows in found for row in rows if "reason" not in row]
            counts = {"cases": len(part) - len(aside), "quarantined": aside}
            write_part(folder, index, make_statistics(rows), wanted | counts)
        n_done += len(part)
    return _close(folder, len(parts))


def _start(folder: Path, identity: dict[str, Any], n_parts: int) -> None:
    """Forget parts that were measured in another way, or are too many."""
    before = read_identity(folder)
    is_same = before is not None and before["hash"] == hash_of(identity)
    known = {part_path(folder, index).stem for index in range(n_parts)} if is_same else set()
    for path in sorted(folder.glob("part-*.*")):  # .json before .parquet
        if path.stem not in known:
            path.unlink()
    write_identity(folder, identity, n_parts)


def _measured(
    maps: Path,
    files: dict[str, CaseFiles],
    cases: Sequence[Case],
    measure: Measure,
    n_threads: int,
    count: Callable[[], None],
) -> Iterator[list[dict[str, Any]]]:
    """The rows of each case in order, or one row that says why there are none."""
    with reading_pool(n_threads) as pool:
        waiting: deque[Future[list[dict[str, Any]]]] = deque()
        for case in cases:
            waiting.append(pool.submit(_rows, maps, files[case.case_id], case, measure))
            if len(waiting) > WAITING_PER_THREAD * n_threads:
                yield waiting.popleft().result()
                count()
        while waiting:
            yield waiting.popleft().result()
            count()


def _rows(maps: Path, files: CaseFiles, case: Case, measure: Measure) -> list[dict[str, Any]]:
    try:
        with time_limit(measure.decode_limit_s):
            found = read_maps(maps, files, case, measure.meaning)
        return [
            _row(case, finding, plane, found, measure)
            for finding, plane in zip(measure.meaning.findings, found.planes, strict=True)
        ]
    except CaseError as error:
        message = f"{error.wrong} ({error.where}; expected: {error.expected}; fix: {error.fix})"
        return [{"case_id": case.case_id, "reason": error.reason, "message": message}]
    except OSError as error:  # the disk failed beneath the decoder
        message = f"a file cannot be read: {type(error).__name__}: {error.strerror}"
        return [{"case_id": case.case_id, "reason": "unreadable", "message": message}]


def _row(
    case: Case, finding: str, plane: np.ndarray, found: CaseMaps, measure: Measure
) -> dict[str, Any]:
    px_size = float("nan") if found.spacing_mm is None else float(np.prod(found.spacing_mm))
    numbers = map_statistics(plane, px_size=px_size, component_t=measure.component_t)
    plugins = find_map_statistics(measure.plugins)
    extra = {}
    if plugins:
        extra = extra_statistics(plugins, as_probability(plane), found.spacing_mm)
    return {"case_id": case.case_id, "finding": finding, "fold": pd.NA, **numbers, **extra}


def _stamp(maps: Path, files: CaseFiles, case: Case) -> list[Any]:
    paths = [*(maps / path for path in files.paths()), *case.images[:1]]
    stamps = []
    for path in paths:
        try:
            status = path.stat()
            stamps.append([path.name, status.st_size, status.st_mtime_ns])
        except OSError:
            stamps.append([path.name, None])
    return [case.case_id, case.spacing_mm, str(files.problem), stamps]


def _counter(
    n_before: int, cases: Sequence[Case], on_event: EventSink | None
) -> Callable[[], None]:
    n_done = n_before

    def count() -> None:
        nonlocal n_done
        n_done += 1
        if on_event is not None:
            on_event({"kind": "maps", "step": n_done, "of": len(cases)})

    return count


def _close(folder: Path, n_parts: int) -> dict[str, int]:
    """Bring `quarantine.jsonl` up to date with the commit records, and count."""
    records = [read_json(commit_path(folder, index)) for index in range(n_parts)]
    aside = [case for record in records for case in record["quarantined"]]
    path = folder / "quarantine.jsonl"
    path.unlink(missing_ok=True)
    if aside:
        write_text(path, "".join(json.dumps(case, ensure_ascii=False) + "\n" for case in aside))
    return {
        "cases": sum(record["cases"] for record in records),
        "quarantined": len(aside),
    }
