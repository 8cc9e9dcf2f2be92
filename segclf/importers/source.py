"""Reading SRC: files found, tables and JSON parsed, every path kept inside."""

import json
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from segclf.core.errors import CaseError, DataError, UsageError
from segclf.core.text import visible
from segclf.importers.record import Job, Row
from segclf.io import FORMATS, confine, suffix_of
from segclf.manifest.sources import Texts, parse_table, read_bytes

MAX_JSON_BYTES = 2**30


def walk(job: Job, folder: str = "", *, deep: bool = True) -> Iterator[str]:
    """Files of SRC as texts relative to it, sorted, without hidden ones; links are not followed."""
    try:
        entries = sorted(os.scandir(job.source / folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        name = f"{folder}/{entry.name}" if folder else entry.name
        if entry.name.startswith((".", "__MACOSX")):
            continue
        if entry.is_dir(follow_symlinks=False):
            if deep:
                yield from walk(job, name)
        else:
            yield name


def image_files(job: Job, folder: str = "", *, deep: bool = True) -> list[str]:
    """Files of SRC whose suffix names a picture format."""
    return [name for name in walk(job, folder, deep=deep) if suffix_of(name) in FORMATS]


def folders(job: Job, folder: str = "") -> list[str]:
    """Folders in a folder of SRC, by name; links and hidden ones are left out."""
    path = job.source / folder
    if not path.is_dir():
        return []
    found = (e.name for e in os.scandir(path) if e.is_dir(follow_symlinks=False))
    return sorted(name for name in found if not name.startswith((".", "__MACOSX")))


def by_stem(job: Job) -> dict[str, str]:
    """Name to picture file; of several with one name the first, and the others are said."""
    files: dict[str, str] = {}
    for path in image_files(job):
        if stem(path) in files:
            job.leave_out(path, "double", f"{files[stem(path)]} has the same name")
        else:
            files[stem(path)] = path
    return files


def stem(name: str) -> str:
    """The name of a file without folders and without the suffix of its format."""
    base = name.rpartition("/")[2]
    suffix = suffix_of(base)
    return base[: len(base) - len(suffix)] if suffix else base


def inside(job: Job, text: str) -> str:
    """A path of a foreign table as a text relative to SRC; absolute ones if they lie in SRC.

    Raises:
        CaseError: `outside_root`, `missing_file`, `not_a_file`, or `bad_name` for a name that a
            manifest cannot hold.
    """
    text = text.strip().replace("\\", "/")
    root = job.source.as_posix().rstrip("/") + "/"
    text = text.removeprefix(root)
    text = re.sub(r"^(?:\./)+", "", re.sub(r"/{2,}", "/", text) if text[:1] != "/" else text)
    if visible(text) != text or any(part != part.strip() for part in text.split("/")):
        raise CaseError(
            "bad_name",
            f"the name {visible(text, instead='?')!r} holds hidden characters or blanks at its "
            "ends.",
            where=visible(text, instead="?"),
            expected="names that stay the same in a table",
            fix="rename the file",
        )
    confine(text, [job.source])
    return text


def new_id(job: Job, wanted: str) -> str:
    """`wanted` as a case id that no other case has; a second one gets the ending _2."""
    text = unicodedata.normalize("NFC", visible(wanted)).strip() or "case"
    number, unique = 1, text
    while unique in job.ids:
        number += 1
        unique = f"{text}_{number}"
    if number > 1:
        job.notes.append(f"the id {text!r} stands several times; one case is called {unique!r}")
    job.ids.add(unique)
    return unique


def case_row(job: Job, wanted: str, images: dict[str, str], where: str) -> Row | None:
    """A row with its id and images; None, with the reason kept, if an image cannot be named.

    Args:
        job: Gets the reason.
        wanted: Id of the case.
        images: Column (`image` or `image_<channel>`) to path.
        where: Place in SRC, for the reason.
    """
    try:
        named = {column: inside(job, text) for column, text in images.items()}
    except CaseError as error:
        job.leave_out(where, error.reason, error.wrong)
        return None
    return {"case_id": new_id(job, wanted), **named}


def mask_text(job: Job, text: str, where: str) -> str | None:
    """A mask's path relative to SRC; None, with the reason kept, if it cannot be named."""
    try:
        return inside(job, text)
    except CaseError as error:
        job.leave_out(where, error.reason, f"its mask is not mapped: {error.wrong}")
        return None


def read_table(job: Job, name: str) -> Texts:
    """A CSV of SRC as texts.

    Raises:
        DataError: It is not inside SRC or cannot be read.
    """
    return parse_table(read_bytes(_existing(job, name)), name)


def read_object(job: Job, name: str) -> dict[str, Any]:
    """The object in a JSON file of SRC.

    Raises:
        DataError: It is not inside SRC, larger than 1 GiB, or no JSON object.
    """
    path = _existing(job, name)
    if path.stat().st_size > MAX_JSON_BYTES:
        raise unusable(
            name, f"the file has {path.stat().st_size} bytes.", expected="at most 1 GiB of JSON"
        )
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise unusable(
            name, f"the file is no JSON: {str(error)[:200]}.", expected="JSON in UTF-8"
        ) from None
    if not isinstance(value, dict):
        raise unusable(name, f"the file holds a {type(value).__name__}.", expected="a JSON object")
    return value


def pick(job: Job, candidates: Sequence[str], *, kind: str, expected: str) -> str:
    """The one file that `--table` names, or the only candidate.

    Raises:
        UsageError: None or several files could be meant.
    """
    if job.options.table is not None:
        return job.options.table
    if len(candidates) == 1:
        return candidates[0]
    raise UsageError(
        f"SRC holds {len(candidates) or 'no'} {kind}: {', '.join(candidates[:8])}."
        if candidates
        else f"SRC holds no {kind}.",
        where=job.source.name,
        expected=expected,
        fix="name it: --table FILE (relative to SRC)" if candidates else "look at docs/import.md",
    )


def unusable(
    where: str, wrong: str, *, expected: str, fix: str = "look at docs/import.md"
) -> DataError:
    """The error for a file of SRC that no case can be made of."""
    return DataError(wrong, where=where, expected=expected, fix=fix)


def finding_name(text: str, taken: Sequence[str] = ()) -> str:
    """A label of another tool as the name of a finding: letters, digits and `_`, not yet taken."""
    base = re.sub(r"\W+", "_", visible(text)).strip("_") or "finding"
    number, name = 1, base
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    return name


def _existing(job: Job, name: str) -> Path:
    try:
        return confine(name, [job.source])
    except CaseError as error:
        raise DataError(
            error.wrong, where=error.where, expected=error.expected, fix="correct --table"
        ) from None
