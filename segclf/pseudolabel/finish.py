"""The tables of a folder of pseudo-masks, made from the records of its parts."""

import json
from collections.abc import Sequence
from typing import Any

from segclf.core.text import counted
from segclf.pseudolabel.decide import Job
from segclf.pseudolabel.ledger import (
    RECORD_FILE,
    all_rows,
    check_counts,
    count_rows,
    write_if_new,
    write_ledger,
    write_side,
)
from segclf.pseudolabel.parts import sweep, write_quarantine
from segclf.pseudolabel.plan import ASIDE, Plan, Row
from segclf.pseudolabel.predicted import DROPPED


def finish(
    job: Job,
    plan: Plan,
    predicted: Sequence[Row],
    records: Sequence[dict[str, Any]],
    *,
    identity: dict[str, Any],
    cuts: list[dict[str, Any]],
) -> dict[str, Any]:
    """Write `ledger.csv`, `side.csv`, `quarantine.jsonl` and, last, `record.json`; returns that.

    Files that hold the same already are left as they are. Nothing in them depends on what
    validation and test cases hold, only on their ids.

    Args:
        job: Where, and by which filter.
        plan: What was to be done.
        predicted: Ledger lines of the predicted cases.
        records: Of the parts.
        identity: What made the masks.
        cuts: t and tau of each finding, and where they come from.
    """
    rows = all_rows(plan, predicted)
    counts = count_rows(rows, plan.findings)
    n_unusable = len(plan.unusable) // max(1, len(plan.findings))
    check_counts(counts, len(plan.order) + n_unusable)
    sweep(job.folder, records)
    write_ledger(job.folder, rows)
    write_side(job.folder, plan, rows)
    record = {
        "filter": identity["filter"],
        "model_sha256": identity["prediction"]["model_sha256"],
        "fitted_in": "summarize/tau/summarizer.json" if cuts else None,
        "fitted": cuts,
        "made_by": identity,
        "n_cases": len(plan.order) + n_unusable,
        "n_predicted": len(plan.cases),
        "n_quarantined": write_quarantine(job.folder, rows, ASIDE),
        "counts": counts,
    }
    text = json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    write_if_new(job.folder / RECORD_FILE, text)
    return record


def background_only(predicted: Sequence[Row]) -> list[str]:
    """A warning for each finding whose pseudo-masks are all without a pixel of it.

    Masks that a label made empty are right to be so and do not count.

    Args:
        predicted: Ledger lines of the predicted cases.
    """
    masks: dict[str, list[int]] = {}
    for row in predicted:
        if row.get("mask_source") == "pseudo" and row["action"] != DROPPED:
            masks.setdefault(row["finding"], []).append(row["mask_px"])
    return [
        f"none of the {counted(len(px), 'pseudo-mask')} of {finding} has a pixel of it: a network "
        "learns background from them. Train the segmenter longer, or look at t in record.json"
        for finding, px in masks.items()
        if not any(px)
    ]
