"""What a data set holds, without training and without test cases: counts, areas, prevalence."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.errors import CaseError
from segclf.core.records import Case, MaskSource
from segclf.evaluate.inference.intervals import share_interval, wilson
from segclf.io import read_mask
from segclf.manifest import CaseTable, patient_labels
from segclf.manifest.summary import QUANTILES
from segclf.study.advise.drawn import coarse_masks, drawn_masks, pseudo_masks

CONFIDENCE = 0.95
TEST = "test"
Row = dict[str, Any]
Progress = Callable[[Row], None]


@dataclass(frozen=True)
class Seen:
    """The cases that planning may look at, and what their masks hold."""

    table: CaseTable
    """Without test cases."""
    area: dict[tuple[str, int], float]
    """(case id, finding) to the share of the image that a drawn mask covers."""
    broken: tuple[Row, ...]
    """Masks that could not be read: case, finding, reason, message."""
    parts: Row
    """Which cases were looked at, and how many test cases were not."""


def look(table: CaseTable, split: pd.DataFrame | None, on_event: Progress | None = None) -> Seen:
    """Read every drawn mask outside the test part, one at a time; a broken one is set aside.

    Args:
        table: All cases.
        split: From `make_split`; with folds, or None, no case is set apart for test.
        on_event: Told the progress.
    """
    own, parts = without_test(table, split)
    drawn, coarse = drawn_masks(own), coarse_masks(own)
    area: dict[tuple[str, int], float] = {}
    broken: list[Row] = []
    todo = [case for case in own.cases if case.case_id in drawn]
    for n_done, case in enumerate(todo, start=1):
        findings = [k for k in drawn[case.case_id] if (case.case_id, k) not in coarse]
        try:
            found = area_shares([case.masks[k] for k in findings])
            area |= {(case.case_id, k): share for k, share in zip(findings, found, strict=True)}
        except CaseError as error:
            row = {"case_id": case.case_id, "reason": error.reason, "message": error.wrong}
            broken.append(row)
        if on_event is not None:
            on_event({"kind": "read", "step": n_done, "of": len(todo)})
    return Seen(own, area, tuple(broken), parts)


def without_test(table: CaseTable, split: pd.DataFrame | None) -> tuple[CaseTable, Row]:
    """The table without test cases, and how many cases of which part it holds."""
    if split is None:
        return table, {"of": "all cases", "n_test": 0}
    if len(split["fold"].dropna()):
        return table, {"of": "all cases, since with folds each of them tests once", "n_test": 0}
    part = dict(zip(split["case_id"], split["split"], strict=True))
    keep = [part.get(case.case_id) != TEST for case in table.cases]
    counts = Counter(part.get(c.case_id) for c, k in zip(table.cases, keep, strict=True) if k)
    about = {"of": "training and validation cases", "n_test": len(keep) - sum(keep)}
    return only(table, keep), about | {f"n_{name}": n for name, n in sorted(counts.items()) if name}


def only(table: CaseTable, keep: Sequence[bool]) -> CaseTable:
    """The table with the cases that `keep` marks."""
    return replace(
        table,
        cases=tuple(compress(table.cases, keep)),
        frame=table.frame.loc[list(keep)].reset_index(drop=True),
        rows=tuple(compress(table.rows, keep)),
        mask_files=tuple(compress(table.mask_files, keep)),
    )


def area_shares(sources: Sequence[MaskSource]) -> list[float]:
    """Share of the image that each drawn mask covers.

    Raises:
        CaseError: A file cannot be read, or is binary but holds other values (`mask_values`).
    """
    read: dict[Path, np.ndarray] = {}
    shares = []
    for source in sources:
        assert source.path is not None
        if source.path not in read:
            read[source.path] = read_mask(source.path).array
        values = read[source.path]
        if source.values is not None:
            shares.append(float(np.isin(values, source.values).mean()))
            continue
        highest = int(values.max()) if values.size else 0
        if highest not in (0, 1, 255) or int(np.count_nonzero((values != 0) & (values != highest))):
            raise CaseError(
                "mask_values",
                "the mask holds values that nobody named.",
                where=source.path.name,
                expected="0 and 1, or 0 and 255",
                fix="name each value in the recipe: mask_values, or threshold the mask",
            )
        shares.append(float((values > 0).mean()))
    return shares


def describe(seen: Seen) -> Row:
    """Per finding: labels, prevalence with intervals, states of masks, and areas."""
    table = seen.table
    drawn, pseudo, coarse = drawn_masks(table), pseudo_masks(table), coarse_masks(table)
    patients = patient_labels(table)
    result = {}
    for k, finding in enumerate(table.findings):
        labels = np.array([case.labels[k] for case in table.cases])
        of_patients = np.array([patients[p][k] for p in sorted(patients)])
        states = Counter(_state(case, k, drawn, pseudo) for case in table.cases)
        kinds = Counter(kind for (_, j), kind in coarse.items() if j == k)
        result[finding] = {
            "n_positive": int((labels == 1).sum()),
            "n_negative": int((labels == 0).sum()),
            "n_unknown_labels": int(np.isnan(labels).sum()),
            "n_positive_patients": int((of_patients == 1).sum()),
            "n_negative_patients": int((of_patients == 0).sum()),
            "prevalence": _prevalence(table.cases, k),
            "prevalence_patients": _of_patients(of_patients),
            "masks": {name: states[name] for name in ("drawn", "empty", "unknown", "pseudo")},
            "coarse": dict(sorted(kinds.items())),
            "positives_without_mask": sum(
                case.labels[k] == 1 and k not in drawn.get(case.case_id, ()) for case in table.cases
            ),
            "contradictions": _contradictions(seen, k),
            "area_percent": _areas(a for (_, j), a in seen.area.items() if j == k),
        }
    return result


def _state(
    case: Case, k: int, drawn: dict[str, tuple[int, ...]], pseudo: set[tuple[str, int]]
) -> str:
    if (case.case_id, k) in pseudo:
        return "pseudo"
    return "drawn" if k in drawn.get(case.case_id, ()) else str(case.masks[k].state.value)


def _prevalence(cases: Sequence[Case], k: int) -> Row:
    """Share of positive cases, with an interval that knows that patients have several."""
    hits: dict[str, int] = defaultdict(int)
    known: dict[str, int] = defaultdict(int)
    for case in cases:
        if case.labels[k] in (0.0, 1.0):
            known[case.patient_id] += 1
            hits[case.patient_id] += case.labels[k] == 1
    if not known:
        return {"value": None, "reason": "no label is known"}
    n = np.array([known[p] for p in known], dtype=float)
    positive = np.array([hits[p] for p in known], dtype=float)
    lo, hi, n_effective, how = share_interval(positive, n, CONFIDENCE)
    share = float(positive.sum() / n.sum())
    return {"value": share, "lo": lo, "hi": hi, "n_effective": n_effective, "interval": how}


def _of_patients(labels: np.ndarray) -> Row:
    known = labels[~np.isnan(labels)]
    if not len(known):
        return {"value": None, "reason": "no label is known"}
    lo, hi = wilson(float(known.mean()), len(known), CONFIDENCE)
    return {"value": float(known.mean()), "lo": lo, "hi": hi, "n_effective": len(known)}


def _contradictions(seen: Seen, k: int) -> int:
    """Drawn masks that say something else than the label; not for class-valued masks."""
    if seen.table.recipe.mask_class is not None:
        return 0
    labels = {case.case_id: case.labels[k] for case in seen.table.cases}
    return sum(
        labels[i] in (0.0, 1.0) and (a > 0) != (labels[i] == 1)
        for (i, j), a in seen.area.items()
        if j == k
    )


def _areas(shares: Iterable[float]) -> Row:
    """Quantiles of the area in % of the image, over drawn masks that are not empty."""
    found = np.array([share for share in shares if share > 0])
    if not len(found):
        return {"n": 0, "reason": "no drawn mask with a pixel"}
    quantiles = {name: 100 * float(np.quantile(found, q)) for name, q in QUANTILES.items()}
    return {"n": len(found), **quantiles}
