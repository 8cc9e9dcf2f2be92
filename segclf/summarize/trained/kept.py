"""Scores that are kept: those of the same heads, settings and cases are not computed again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segclf.core.atomic import hash_of, read_json, sha256_of
from segclf.core.records import Case
from segclf.core.scoretable import RECORD, read_record, read_scores
from segclf.core.settings import SummarizeSettings
from segclf.io import file_stamp
from segclf.summarize.trained.card import CARD
from segclf.summarize.trained.parts import Parts

KEY = "scored_with"
"""Name of the hash in the record of the scores."""


def scored_with(
    settings: SummarizeSettings, folders: Sequence[Path], parts: Sequence[Parts]
) -> str:
    """Hash of what decides the scores of held-out cases; their images by size and time of change.

    Args:
        settings: Threshold, calibration and operating points.
        folders: Of the head of each fold; its card names the segmenter.
        parts: Of each fold.
    """
    return hash_of(
        {
            "settings": settings.model_dump(mode="json"),
            "heads": [sha256_of(folder / CARD) for folder in folders],
            "cases": [[_facts(case) for case in (*own.val, *own.test)] for own in parts],
            "n_val": [len(own.val) for own in parts],
        }
    )


def kept_scores(folder: Path, key: str) -> tuple[pd.DataFrame, dict[str, Any]] | None:
    """Scores and record in `folder`, if they were made with `key` and not calibrated since."""
    path = folder / RECORD
    if not path.is_file() or not (folder / "scores.parquet").is_file():
        return None
    record = read_json(path)
    if record.get(KEY) != key or "calibrated" in record:
        return None
    return read_scores(folder), read_record(folder)


def _facts(case: Case) -> list[Any]:
    times = [_stamp(path) for path in case.images]
    cut = [case.cut.stamp] if case.cut else []
    return [case.case_id, case.patient_id, str(case.labels), times, *cut]


def _stamp(path: Path) -> list[Any] | None:
    try:
        return file_stamp(path)
    except OSError:
        return None
