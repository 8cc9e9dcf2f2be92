"""Parts of a set of pseudo-masks: each whole, vouched for by a commit record written last."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segclf.core.atomic import hash_of, read_json, sha256_of, write_json
from segclf.core.errors import IntegrityError
from segclf.core.records import Case
from segclf.core.runs import shown
from segclf.predict.identity import differences, input_hash
from segclf.pseudolabel.files import MASKS
from segclf.pseudolabel.ledger import write_if_new
from segclf.pseudolabel.plan import Plan, Row

IDENTITY_FILE, QUARANTINE_FILE = "identity.json", "quarantine.jsonl"


def claim(folder: Path, identity: dict[str, Any]) -> None:
    """Say what makes the pseudo-masks of a folder; refuse one that something else has made.

    Raises:
        IntegrityError: Another model, recipe or filter made them; the message names what differs.
    """
    path = folder / IDENTITY_FILE
    if not path.is_file():
        write_json(path, identity)
        return
    try:
        before = read_json(path)
        changed = differences(before, identity)
    except (OSError, ValueError, AttributeError):
        changed = [f"{IDENTITY_FILE} cannot be read"]
    if changed:
        raise IntegrityError(
            f"the folder holds pseudo-masks of another model or filter: {'; '.join(changed)}.",
            where=shown(folder),
            expected="one model, one recipe and one filter in a folder of pseudo-masks",
            fix="use another run (--run), or delete this folder to make them anew",
        )


def commit_path(folder: Path, index: int) -> Path:
    """The commit record of part `index`: input, ledger lines, and the SHA-256 of its files."""
    return folder / f"part-{index:05d}.json"


def read_part(folder: Path, index: int, *, wanted: str) -> dict[str, Any] | None:
    """The record of a finished part; None if it is missing, of other input, or a file changed."""
    try:
        record = read_json(commit_path(folder, index))
        if record["input"] != wanted:
            return None
        same = all(sha256_of(folder / name) == sha for name, sha in record["files"].items())
        return record if same and isinstance(record["rows"], list) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_part(
    folder: Path, index: int, *, wanted: str, rows: Sequence[Row], files: Sequence[Path]
) -> dict[str, Any]:
    """Vouch for the lines and files of a part; the files are on disk by then."""
    shas = {path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(files)}
    record = {"input": wanted, "rows": list(rows), "files": shas}
    write_json(commit_path(folder, index), record)
    return record


def part_hash(cases: Sequence[Case], plan: Plan, identity: dict[str, Any]) -> str:
    """A hash of all that decides a part: cases, their files, labels and counts, and the rest."""
    known = [
        [case.case_id, [str(label) for label in case.labels], plan.counts[case.case_id],
         plan.open[case.case_id]]
        for case in cases
    ]  # fmt: skip
    return hash_of([input_hash(cases), known, hash_of(identity)])


def sweep(folder: Path, records: Sequence[dict[str, Any]]) -> None:
    """Delete mask files and parts that no record vouches for, as an earlier input left them."""
    kept = {folder / name for record in records for name in record["files"]}
    kept |= {commit_path(folder, index) for index in range(len(records))}
    for path in [*folder.glob("part-*.json"), *folder.glob(f"{MASKS}/*/*"), *folder.glob(MASKS)]:
        if path not in kept and not path.is_dir():
            path.unlink()
    for path in folder.glob(f"{MASKS}/*"):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def write_quarantine(folder: Path, rows: Sequence[Row], action: str) -> int:
    """List the cases that were set aside in `quarantine.jsonl`; returns how many."""
    aside = {row["case_id"]: row for row in rows if row["action"] == action}
    text = "".join(
        json.dumps(
            {"case_id": row["case_id"], "reason": row["reason"], "message": row["why"]},
            ensure_ascii=False,
        )
        + "\n"
        for row in aside.values()
    )
    path = folder / QUARANTINE_FILE
    if aside:
        write_if_new(path, text)
    else:
        path.unlink(missing_ok=True)
    return len(aside)
