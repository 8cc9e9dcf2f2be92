"""Read every file of one case and compare them with each other and with the row."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segclf.core.config import Recipe
from segclf.core.errors import CaseError
from segclf.core.pixel_values import finding_values, known_values
from segclf.core.records import Case, MaskKind, MaskSource, MaskState
from segclf.io import (
    Picture,
    check_grid,
    grid_of,
    mask_on,
    read_image,
    read_mask,
    read_soft_mask,
)
from segclf.manifest.kinds import OF_PREDICTIONS
from segclf.manifest.records import Problem, Severity


@dataclass(frozen=True)
class Job:
    """One case, and what else its row names."""

    case: Case
    row: int
    mask_files: tuple[Path, ...]


@dataclass(frozen=True)
class Examined:
    """What the files of a case hold."""

    problems: tuple[Problem, ...]
    shape: tuple[int, ...] | None = None
    """(channel, *space); None if the image cannot be read."""
    dtype: str = ""
    spacing_mm: tuple[float, ...] | None = None
    digest: str | None = None
    """Of shape and pixels of all channels; None for an image of one single value."""
    area_px: tuple[float, ...] = ()
    """Positive pixels per finding; NaN where the mask is not known, coarse, or of a network."""
    value_px: tuple[tuple[int, int], ...] = ()
    """Pixel value above 0, number of pixels, over all mask files that are truth."""
    n_masks: int = 0
    n_masks_255: int = 0
    """Mask files that are read, and how many of them hold 255 for 'positive'."""


def examine(job: Job, recipe: Recipe, findings: Sequence[str]) -> Examined:
    """Everything that `segclf check` wants to know of one case; no error escapes."""
    notes = _Notes(job.row, job.case.case_id)
    image = _examine_images(job.case, notes)
    kinds = {s.path: s for s in job.case.masks if s.path and s.state is MaskState.DRAWN}
    masks = {
        path: _examine_mask(path, kinds.get(path), job.case, image, notes)
        for path in job.mask_files
    }
    if image is not None:
        _check_values(job, masks, kinds, recipe, notes)
    areas = _areas(job.case, masks, image)
    if recipe.mask_class is None:
        _check_labels(job.case, areas, findings, notes)
    _check_marks(job.case, areas, notes)
    if recipe.exclusive:
        _check_overlap(job.case, masks, notes)
    areas = tuple(
        area if source.is_truth else np.nan
        for area, source in zip(areas, job.case.masks, strict=True)
    )
    untrue = {path for path, source in kinds.items() if not source.is_truth}
    read = {p: mask for p, mask in masks.items() if mask is not None and p not in untrue}
    values = Counter[int]()
    for mask in read.values():
        values.update(_value_counts(mask))
    for value in {*recipe.mask_values} - {*finding_values(recipe.mask_values)}:
        values.pop(value, None)
    return Examined(
        problems=tuple(notes.problems),
        shape=None if image is None else image.array.shape,
        dtype="" if image is None else image.array.dtype.name,
        spacing_mm=None if image is None else image.spacing_mm,
        digest=None if image is None else _digest(image.array),
        area_px=areas,
        value_px=tuple(sorted(values.items())),
        n_masks=len(read),
        n_masks_255=sum(int(mask.size > 0 and mask.max() == 255) for mask in read.values()),
    )


class _Notes:
    """The problems of one case, as they are found."""

    def __init__(self, row: int, case_id: str) -> None:
        self.row, self.case_id = row, case_id
        self.problems: list[Problem] = []

    def add(
        self, field: str, reason: str, wrong: str, expected: str, fix: str,
        severity: Severity = "error",
    ) -> None:  # fmt: skip
        self.problems.append(
            Problem(self.row, self.case_id, field, wrong, expected, fix, severity, reason)
        )

    def add_error(self, field: str, error: CaseError) -> None:
        wrong = f"{error.where}: {error.wrong}"
        self.add(field, error.reason, wrong, error.expected, error.fix)


def _examine_images(case: Case, notes: _Notes) -> Picture | None:
    """All channels of a case as one picture; None if they cannot be used together."""
    channels: list[Picture] = []
    for path in case.images:
        try:
            channels.append(read_image(path))
        except CaseError as error:
            notes.add_error("image", error)
    if len(channels) < len(case.images):
        return None
    first = channels[0]
    for path, other in zip(case.images[1:], channels[1:], strict=True):
        try:
            check_grid(grid_of(other), grid_of(first), path, any_place=case.any_place)
        except CaseError as error:
            notes.add_error("image", error)
            return None
    array = np.concatenate([channel.array for channel in channels])
    if array.dtype.kind == "f":
        n_bad = int(array.size - np.isfinite(array).sum())
        if n_bad:
            notes.add(
                "image", "nan_pixels", f"{n_bad} pixels are NaN or infinite.", "finite pixels",
                "replace them, for example by the lowest value of the image",
            )  # fmt: skip
    return Picture(array, first.spacing_mm, first.affine)


def _examine_mask(
    path: Path, source: MaskSource | None, case: Case, image: Picture | None, notes: _Notes
) -> np.ndarray | None:
    """Its integers on the grid of the image; None also for probabilities, which have no area."""
    is_soft = source is not None and source.kind is MaskKind.SOFT
    try:
        mask = read_soft_mask(path) if is_soft else read_mask(path)
        if image is not None:
            grid = grid_of(image)
            grid = replace(grid, spacing_mm=image.spacing_mm or case.spacing_mm)
            mask = mask_on(mask, grid, path, any_place=case.any_place)
    except CaseError as error:
        notes.add_error("mask", error)
        return None
    return None if is_soft else mask.array


def _check_values(
    job: Job,
    masks: dict[Path, np.ndarray | None],
    kinds: dict[Path, MaskSource],
    recipe: Recipe,
    notes: _Notes,
) -> None:
    """Refuse pixel values that nobody named."""
    mapped = {
        source.path
        for source in job.case.masks
        if source.state is MaskState.DRAWN and source.values is not None
    }
    for path, mask in masks.items():
        if mask is None:
            continue
        present = {int(value) for value in np.unique(mask)}
        if path in mapped:
            known = known_values(recipe.mask_values)
            is_fine, expected = present <= known, "the values of mask_values"
        elif path in kinds and kinds[path].kind is MaskKind.UNCERTAIN:
            is_fine, expected = present <= {0, 1, 2}, "0 background, 1 foreground, 2 not known"
        else:
            is_fine, expected = present <= {0, 1} or present <= {0, 255}, "0 and 1, or 0 and 255"
        if not is_fine:
            shown = ", ".join(map(str, sorted(present)[:8])) + (", …" if len(present) > 8 else "")
            notes.add(
                "mask", "mask_values", f"{path.name} holds the values {shown}.", expected,
                "name each value in the recipe, such as mask_values: {1: lesion} (and another "
                "background than 0, -1: background), or threshold the mask",
            )  # fmt: skip


def _areas(
    case: Case, masks: dict[Path, np.ndarray | None], image: Picture | None
) -> tuple[float, ...]:
    areas = []
    for source in case.masks:
        mask = masks.get(source.path) if source.path else None
        if source.state is MaskState.EMPTY:
            areas.append(0.0)
        elif mask is None or image is None:
            areas.append(np.nan)
        else:
            positive = mask > 0 if source.values is None else np.isin(mask, source.values)
            areas.append(float(positive.sum()))
    return tuple(areas)


def _check_labels(
    case: Case, areas: tuple[float, ...], findings: Sequence[str], notes: _Notes
) -> None:
    for finding, label, area, source in zip(findings, case.labels, areas, case.masks, strict=True):
        if source.state is not MaskState.DRAWN or np.isnan(area) or np.isnan(label):
            continue
        if source.is_pseudo or source.kind in OF_PREDICTIONS:
            continue  # a network may be wrong; nobody has to correct it
        if (area > 0) != (label == 1):
            drawn = f"{area:.0f} pixels are drawn" if area else "the mask is empty"
            notes.add(
                f"label_{finding}", "label_mask_contradiction",
                f"the label of {finding} is {label:.0f}, but {drawn}.",
                "label 1 with a drawn mask, label 0 with an empty one",
                "correct one of them; if the mask outlines a lesion of any class, set mask_class",
            )  # fmt: skip


def _check_marks(case: Case, areas: tuple[float, ...], notes: _Notes) -> None:
    for area, label, source in zip(areas, case.labels, case.masks, strict=True):
        if source.kind in (MaskKind.POINT, MaskKind.BOX) and area == 0 and label != 0:
            notes.add(
                "mask", "empty_coarse_mask", f"the mask of kind {source.kind} has no pixel.",
                f"at least one {source.kind}, or label 0",
                "draw it, set the label to 0, or leave the mask cell blank",
            )  # fmt: skip


def _check_overlap(case: Case, masks: dict[Path, np.ndarray | None], notes: _Notes) -> None:
    total: np.ndarray | None = None
    for source in case.masks:
        mask = masks.get(source.path) if source.path else None
        if mask is not None and source.state is MaskState.DRAWN and source.kind is MaskKind.FULL:
            positive = mask > 0 if source.values is None else np.isin(mask, source.values)
            total = positive.astype(np.uint8) if total is None else total + positive
    n_px = 0 if total is None else int((total > 1).sum())
    if n_px:
        notes.add(
            "mask", "overlap", f"{n_px} pixels belong to several findings.",
            "findings that exclude each other", "correct the masks, or set exclusive: false",
        )  # fmt: skip


def _value_counts(mask: np.ndarray) -> dict[int, int]:
    """Pixels per value, without 0."""
    if mask.dtype == np.uint8:
        counts = np.bincount(mask.ravel(), minlength=256)
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts) if value}
    values, counts = np.unique(mask, return_counts=True)
    return {int(v): int(n) for v, n in zip(values, counts, strict=True) if v}


def _digest(array: np.ndarray) -> str | None:
    if array.min() == array.max():
        return None
    head = f"{array.shape} {array.dtype.name} ".encode()
    return hashlib.blake2b(head + np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()
