"""The folder of an export: what it was made from, which cases are whole, and its index."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segclf.core.atomic import hash_of, read_json, sha256_of, write_json, write_text
from segclf.core.errors import IntegrityError, UsageError
from segclf.core.mapfiles import file_name
from segclf.core.records import Case
from segclf.core.runs import shown
from segclf.core.text import guarded
from segclf.export.records import RESEARCH_ONLY, Prediction
from segclf.io import series_folder
from segclf.predict.identity import differences, input_hash

IDENTITY = "export.json"
CASE = "case.json"
INDEX = "index.csv"
QUARANTINE = "quarantine.jsonl"
Write = Callable[[Path, Prediction], tuple[list[str], list[dict[str, Any]]]]
"""Writes the files of a case into its folder; gives their names and rows of the index."""


def keep_same(folder: Path, identity: dict[str, Any]) -> None:
    """Say what the files of a folder are made from; refuse one that holds others.

    Raises:
        UsageError: It holds files of something else than this command.
        IntegrityError: It holds masks of other scores, or in another format.
    """
    path = folder / IDENTITY
    if not path.exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(
                "the folder holds other files.",
                where=shown(folder),
                expected="a new folder, or one that this command began",
                fix="choose another: --out FOLDER",
            )
        write_json(path, identity)
        return
    try:
        told = differences(read_json(path), identity)
    except (OSError, ValueError, TypeError):
        told = [f"{IDENTITY} cannot be read"]
    if told:
        raise IntegrityError(
            "the folder holds masks of another kind or of other scores: " + "; ".join(told) + ".",
            where=shown(folder),
            expected="one format, method, score table and network in a folder",
            fix="choose another: --out FOLDER, or move this one away",
        )


def stamp_of(case: Case, series: Path | None) -> str:
    """A hash of the case, and of name, size and time of its files and of those of its series."""
    places = [*case.images]
    if series is not None:
        name = file_name(case.case_id)
        places += [series / name, series / f"{name}.dcm"]
    folders = filter(None, map(series_folder, places))
    inside = [file for folder in folders for file in sorted(folder.iterdir())]
    files = [file for file in (*places, *inside) if file.is_file()]
    stamps = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hash_of([input_hash([case]), stamps])


def is_done(folder: Path, case: Case, stamp: str) -> bool:
    """Whether the files of a case are whole and those that it was made from are the same."""
    place = folder / file_name(case.case_id)
    try:
        record = read_json(place / CASE)
        return record["input"] == stamp and all(
            sha256_of(place / name) == sha256 for name, sha256 in record["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def write_case(folder: Path, found: Prediction, write: Write, stamp: str) -> None:
    """Write the files of a case, then its record, which says that they are whole.

    Files that an earlier or broken call left there are deleted.
    """
    case_id = found.job.case.case_id
    place = folder / file_name(case_id)
    (place / CASE).unlink(missing_ok=True)
    names, rows = write(place, found)
    for stale in sorted(place.iterdir()):
        if stale.name not in names:
            stale.unlink()
    files = {name: sha256_of(place / name) for name in names}
    record = {"case_id": case_id, "input": stamp, "note": RESEARCH_ONLY}
    write_json(place / CASE, {**record, "files": files, "findings": rows})


def finish(folder: Path, aside: list[dict[str, str]]) -> None:
    """Write `index.csv`, a row per finding of each case in the folder, and `quarantine.jsonl`."""
    records = [read_json(path) for path in sorted(folder.glob(f"*/{CASE}"))]
    rows = [
        {"case_id": guarded(record["case_id"]), **row, "finding": guarded(row["finding"])}
        for record in records
        for row in record["findings"]
    ]
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_text(folder / INDEX, text.getvalue())
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in aside)
    if lines:
        write_text(folder / QUARANTINE, lines)
    else:
        (folder / QUARANTINE).unlink(missing_ok=True)
