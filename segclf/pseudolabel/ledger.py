"""What became of every case: the ledger, its counts, the side table."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from segclf.core.atomic import write_text
from segclf.core.text import counted, guarded
from segclf.pseudolabel.plan import DRAWN, FREE_EMPTY, Plan, Row

COLUMNS = (
    "case_id", "finding", "action", "reason", "why", "label", "n_findings", "n_px",
    "predicted_px", "predicted_area", "unit", "confidence", "mask_px", "unknown_px", "mask",
    "mask_source", "mask_kind",
)  # fmt: skip
LEDGER_FILE, SIDE_FILE, RECORD_FILE = "ledger.csv", "side.csv", "record.json"
SOURCES = {DRAWN: "drawn", FREE_EMPTY: "empty-by-label"}
Counts = dict[str, dict[str, dict[str, int]]]
"""Finding to action to reason to number of cases."""


def all_rows(plan: Plan, predicted: Iterable[Row]) -> list[Row]:
    """Every line of the ledger, in the order of the manifest; each case and finding once.

    Raises:
        RuntimeError: A case is missing or stands twice; the ledger would not add up.
    """
    place = {finding: k for k, finding in enumerate(plan.findings)}
    lines: dict[str, list[Row]] = {case_id: list(plan.settled[case_id]) for case_id in plan.order}
    for row in predicted:
        lines[row["case_id"]].append(row)
    for case_id, rows in lines.items():
        rows.sort(key=lambda row: place[row["finding"]])
        if [row["finding"] for row in rows] != list(plan.findings):
            raise RuntimeError(f"the ledger of case {case_id!r} does not add up: {rows}")
    return [row for rows in lines.values() for row in rows] + plan.unusable


def count_rows(rows: Sequence[Row], findings: Sequence[str]) -> Counts:
    """How many cases had which outcome, for which reason; sorted."""
    counts: Counts = {finding: {} for finding in findings}
    for row in rows:
        reasons = counts[row["finding"]].setdefault(row["action"], {})
        reasons[row["reason"]] = reasons.get(row["reason"], 0) + 1
    return {
        finding: {action: dict(sorted(reasons.items())) for action, reasons in sorted(of.items())}
        for finding, of in counts.items()
    }


def check_counts(counts: Counts, n_rows: int) -> None:
    """Refuse counts that do not add up to the rows of the manifest, for each finding.

    Raises:
        RuntimeError: They do not.
    """
    for finding, actions in counts.items():
        n = sum(sum(reasons.values()) for reasons in actions.values())
        if n != n_rows:
            raise RuntimeError(f"the ledger of {finding!r} has {n} cases, the manifest {n_rows}.")


def write_ledger(folder: Path, rows: Sequence[Row]) -> None:
    """Write `ledger.csv`; texts that a spreadsheet would run are guarded."""
    safe = [
        {name: guarded(value) if isinstance(value, str) else value for name, value in row.items()}
        for row in rows
    ]
    write_if_new(folder / LEDGER_FILE, _csv(COLUMNS, safe))


def write_side(folder: Path, plan: Plan, rows: Sequence[Row]) -> None:
    """Write `side.csv`: masks, their sources and kinds, for cases of which something is known.

    Validation and test cases and cases that were set aside are not in it, and a cell of a
    finding whose mask was dropped is blank, which leaves the manifest as it is.
    """
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        source = row.get("mask_source") or SOURCES.get(row["action"], "")
        if source:
            case = cells.setdefault(row["case_id"], {"case_id": row["case_id"]})
            finding = row["finding"]
            case[f"mask_{finding}"] = row.get("mask") or ""
            case[f"mask_source_{finding}"] = source
            case[f"mask_kind_{finding}"] = row.get("mask_kind") or ""
    names = [
        f"{column}_{finding}"
        for column in ("mask", "mask_source", "mask_kind")
        for finding in plan.findings
    ]
    write_if_new(folder / SIDE_FILE, _csv(("case_id", *names), list(cells.values())))


def write_if_new(path: Path, text: str) -> None:
    """Write a text unless the file holds it already."""
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


def _csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(
        stream, columns, restval="", extrasaction="ignore", lineterminator="\n",
        quoting=csv.QUOTE_NONNUMERIC,
    )  # fmt: skip
    writer.writeheader()
    writer.writerows(
        {name: "" if value is None else value for name, value in row.items()} for row in rows
    )
    return stream.getvalue()


def counts_text(counts: Counts) -> str:
    """The counts for people, one line per finding and action."""
    lines = []
    for finding, actions in counts.items():
        for action, reasons in actions.items():
            n = sum(reasons.values())
            told = ", ".join(f"{reason} {k}" for reason, k in reasons.items())
            lines.append(f"{finding}: {action.replace('_', ' ')} {counted(n, 'case')} ({told})")
    return "\n".join(lines)
