"""One predicted case to its pseudo-masks: ask the filter, write files, say what was done."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segclf.core.pseudolabel_settings import PseudolabelSettings
from segclf.core.records import Case, MaskState
from segclf.data import Sample
from segclf.predict.feed import Ready
from segclf.pseudolabel.files import mask_file, write_hard, write_soft
from segclf.pseudolabel.plan import Row, is_drawn, line
from segclf.pseudolabel.predicted import (
    DROPPED,
    EMPTY,
    KEPT,
    UNCERTAIN,
    Cut,
    Predicted,
    Verdict,
)
from segclf.pseudolabel.table import Filter

CHANGED = "changed"


@dataclass(frozen=True)
class Job:
    """What is the same for all cases of a set."""

    folder: Path
    filter: Filter
    findings: tuple[str, ...]
    cuts: tuple[Cut, ...]
    settings: PseudolabelSettings
    exclusive: bool
    soft: bool


def as_predicted(
    job: Job, ready: Ready, probability: np.ndarray, counts: tuple[int | None, ...]
) -> Predicted:
    """A case as the filter sees it, from what was read and predicted."""
    case, sample = ready.case, ready.sample
    settles = job.settings.free_empty or job.filter.uses_labels
    drawn = _drawn_planes(ready) if job.exclusive else {}
    absent = tuple(
        k in drawn or (settles and source.state is MaskState.EMPTY)
        for k, source in enumerate(case.masks)
    )
    return Predicted(
        raw=probability,
        labels=case.labels,
        cuts=job.cuts,
        exclusive=job.exclusive,
        absent=absent,
        taken=np.logical_or.reduce(list(drawn.values())) if drawn else None,
        px_size=math.nan if sample.spacing_mm is None else math.prod(sample.spacing_mm),
        n_findings=counts,
        settings=job.settings,
    )


def decide_case(
    job: Job, predicted: Predicted, case: Case, sample: Sample, open_: tuple[int, ...]
) -> tuple[list[Row], list[Path]]:
    """Ledger lines of the findings in `open_`, and the mask files that were written for them."""
    rows, files = [], []
    for k in open_:
        verdict = checked(job.filter.rule(predicted, k), predicted)
        row, path = _carry_out(job, predicted, verdict, case, sample, k)
        rows.append(row)
        files += [path] if path is not None else []
    return rows, files


def _carry_out(
    job: Job, predicted: Predicted, verdict: Verdict, case: Case, sample: Sample, k: int
) -> tuple[Row, Path | None]:
    finding = job.findings[k]
    facts = measured(job, predicted, verdict, k)
    action = verdict.action
    if action == KEPT and verdict.kind == "full" and facts.pop("is_changed"):
        action = CHANGED
    facts.pop("is_changed", None)
    name = mask_file(case.case_id, finding, spatial_dims=len(sample.input_shape))
    mask, kind, source = verdict.mask, verdict.kind, "pseudo"
    if action == EMPTY:
        source = "empty-by-label"
    is_empty = case.masks[k].state is MaskState.EMPTY
    if action == DROPPED and is_empty:  # a blank cell would leave the manifest's empty mask
        mask, kind = np.full_like(predicted.empty(), UNCERTAIN), "uncertain"
    geometry: dict[str, Any] = {"spacing_mm": sample.spacing_mm, "affine": sample.affine}
    path = job.folder / name
    if mask is None or (action == EMPTY and is_empty):
        path, name, kind = None, "", ""
        source = source if action == EMPTY else ""
    elif job.soft and action in (KEPT, CHANGED):
        kind = "soft"
        removed = predicted.mask(k) & (mask == 0)
        soft = np.where(removed, 0.0, predicted.probability[k])
        write_soft(path, soft, bits=job.settings.soft_bits, **geometry)
    else:
        write_hard(path, mask, **geometry)
    label = case.labels[k]
    facts |= {"label": None if math.isnan(label) else int(label)}
    facts |= {"mask": name, "mask_source": source, "mask_kind": kind}
    return line(case.case_id, finding, action, verdict.reason, **facts), path


def checked(verdict: Verdict, predicted: Predicted) -> Verdict:
    """The verdict, if a mask can be written from it.

    Raises:
        ValueError: A filter answers with another action or kind, or a mask that does not fit.
    """
    mask = verdict.mask
    most = UNCERTAIN if verdict.kind == "uncertain" else 1
    is_fine = verdict.action in (KEPT, EMPTY, DROPPED) and verdict.kind in ("full", "uncertain")
    is_fine &= (mask is None) == (verdict.action == DROPPED)
    if mask is not None:
        is_fine &= mask.shape == predicted.raw.shape[1:] and mask.dtype == np.uint8
        is_fine = is_fine and int(mask.max()) <= most
    if is_fine:
        return verdict
    raise ValueError(
        f"a filter answers with action {verdict.action!r}, kind {verdict.kind!r} and "
        + ("no mask" if mask is None else f"a mask of {mask.dtype} {mask.shape} up to {mask.max()}")
        + f" for an image of {predicted.raw.shape[1:]}: expected a uint8 mask of 0 and 1 (2 for "
        "the kind uncertain), and none exactly if it is dropped."
    )


def measured(job: Job, predicted: Predicted, verdict: Verdict, k: int) -> dict[str, Any]:
    """Numbers of the ledger: what was predicted, what is written, and whether they differ."""
    written = None if verdict.mask is None else verdict.mask == 1
    facts: dict[str, Any] = {
        "n_px": int(predicted.raw[k].size),
        "mask_px": None if written is None else int(written.sum()),
        "n_findings": predicted.n_findings[k],
        "confidence": verdict.confidence,
    }
    if verdict.kind == "uncertain" and verdict.mask is not None:
        facts["unknown_px"] = int((verdict.mask == UNCERTAIN).sum())
    if not job.filter.needs_cut:
        return facts
    inside = predicted.predicted_mask(k)
    area = predicted.area(int(inside.sum()), k)
    return facts | {
        "predicted_px": int(inside.sum()),
        "predicted_area": None if math.isnan(area) else area,
        "unit": predicted.cuts[k].unit,
        "is_changed": written is not None and bool((written != inside).any()),
    }


def _drawn_planes(ready: Ready) -> dict[int, np.ndarray]:
    """Where a person drew, pixel by pixel, one of several exclusive findings."""
    return {
        k: plane == 1
        for k, (plane, source) in enumerate(zip(ready.truth, ready.case.masks, strict=True))
        if plane is not None and is_drawn(source)
    }
