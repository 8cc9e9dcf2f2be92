"""Splits and check reports as plain text."""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from segclf.manifest.cells import PARTS
from segclf.manifest.records import CaseTable


def split_text(split_frame: pd.DataFrame, table: CaseTable) -> str:
    """Cases, patients and positives of each part (and fold) as lines of text."""
    labels = {
        finding: {c.case_id: c.labels[k] for c in table.cases if not math.isnan(c.labels[k])}
        for k, finding in enumerate(table.findings)
    }
    lines = []
    for name, group in _groups(split_frame):
        ids = group["case_id"].to_list()
        positives = []
        for finding, known in labels.items():
            values = [known[case_id] for case_id in ids if case_id in known]
            positives.append(f"{finding} {sum(values):.0f} of {len(values)}")
        n_patients = group["patient_id"].nunique()
        counts = f"{len(ids):>6} cases {n_patients:>6} patients"
        lines.append(f"{name:<13} {counts}   positive: {', '.join(positives)}")
    return "\n".join([*lines, *(f"note: {note}" for note in split_frame.attrs.get("notes", []))])


def _groups(frame: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    parts, folds = frame["split"].to_numpy(), frame["fold"].to_numpy(dtype=float, na_value=-1)
    for fold in np.unique(folds):
        for part in PARTS:
            name = part if fold < 0 else f"fold {fold:.0f} {part}"
            yield name, frame.loc[(parts == part) & (folds == fold)]
