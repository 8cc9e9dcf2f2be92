"""Rows of a manifest that are volumes to one case per slice, and slices with their neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.atomic import read_json, write_json
from segclf.core.config import Recipe, SliceSettings
from segclf.core.errors import CaseError, ConfigError
from segclf.core.records import Case, Cut, MaskKind, MaskSource, MaskState
from segclf.io import plane_axes, probe, read_mask
from segclf.io.guard import time_limit
from segclf.io.slices import stamp_of
from segclf.manifest.records import CaseTable

SPACING = "slice_spacing_mm"
"""Column with the distance between slices of a volume, in mm."""
ABOUT_EQUAL = 0.99
AXES = ("x", "y", "z")


@dataclass(frozen=True)
class _Slices:
    """What slices a volume has; plain data, as it is kept."""

    axis: int
    n_slices: int
    spacing_mm: tuple[float, ...] | None
    """Of the volume, per axis."""
    positive: list[list[int] | None]
    """Per finding, slices with a drawn pixel; None where no full mask says so."""


def of_rows(recipe: Recipe) -> Recipe:
    """The recipe by which the rows of the manifest are read: as volumes, if they are cut."""
    if not recipe.slices.cut:
        return recipe
    volumes = {"spatial_dims": 3, "size_px": None, "spacing_mm": None}
    image = recipe.image.model_copy(update=volumes)
    return recipe.model_copy(update={"image": image, "slices": SliceSettings()})


def in_slices(table: CaseTable, recipe: Recipe, notes: Path | None = None) -> CaseTable:
    """The table as `recipe.slices` says: each volume cut, or each slice with its neighbours.

    The label of a slice is that of its mask where a full one was drawn; 0 where the volume's is;
    else it is not known. A volume that cannot be read becomes one case, which is set aside when it
    is read.

    Args:
        table: Read with `of_rows(recipe)`.
        recipe: The experiment.
        notes: JSON file that keeps what slices there are, as long as the files do not change.
    """
    if recipe.slices.cut:
        with time_limit(recipe.image.decode_limit_s):
            return _cut(table, recipe, notes)
    return _with_neighbours(table, recipe) if recipe.slices.neighbours else table


def _cut(table: CaseTable, recipe: Recipe, notes: Path | None) -> CaseTable:
    known = _read_notes(notes)
    now = {case.case_id: _stamp(case, recipe) for case in table.cases}
    found = {
        case.case_id: _Slices(**known[case.case_id][1])
        if case.case_id in known and known[case.case_id][0] == now[case.case_id]
        else _slices_of(case, recipe)
        for case in table.cases
    }
    kept = {name: [stamp, found[name].__dict__] for name, stamp in now.items()}
    if notes is not None and kept != known:
        write_json(notes, kept)
    own = [found[case.case_id] for case in table.cases]
    place = np.repeat(np.arange(len(own)), [slices.n_slices for slices in own])
    cases = tuple(
        _slice(case, slices, index, recipe)
        for case, slices in zip(table.cases, own, strict=True)
        for index in range(slices.n_slices)
    )
    return replace(
        table,
        cases=cases,
        frame=_frame(table, cases, own, place),
        roles={SPACING: "acquisition", "slice_index": "acquisition"} | table.roles,
        recipe=recipe,
        rows=tuple(table.rows[i] for i in place) if table.rows else (),
        mask_files=tuple(table.mask_files[i] for i in place) if table.mask_files else (),
        source=table,
    )


def _frame(
    table: CaseTable, cases: Sequence[Case], own: Sequence[_Slices], place: np.ndarray
) -> pd.DataFrame:
    """The rows of the volumes, one for each slice, with the slices' own ids and labels."""
    across = [np.nan if s.spacing_mm is None else s.spacing_mm[s.axis] for s in own]
    frame = table.frame.iloc[place].reset_index(drop=True)
    columns: dict[str, Any] = {
        "case_id": pd.array([case.case_id for case in cases], dtype=frame["case_id"].dtype),
        "volume_id": pd.array([case.volume_id for case in cases], dtype=frame["case_id"].dtype),
        "slice_index": pd.array([case.slice_index for case in cases], dtype="Int64"),
        SPACING: np.array(across)[place],
    }
    labels = np.array([case.labels for case in cases], dtype=float)
    labels = labels.reshape(len(cases), len(table.findings))
    columns |= {f"label_{name}": labels[:, k] for k, name in enumerate(table.findings)}
    return frame.assign(**columns)


def _slice(case: Case, slices: _Slices, index: int, recipe: Recipe) -> Case:
    labels = [
        float(index in positive) if positive is not None else 0.0 if label == 0 else np.nan
        for positive, label in zip(slices.positive, case.labels, strict=True)
    ]
    spacing_mm = case.spacing_mm
    if spacing_mm is not None:
        spacing_mm = tuple(spacing_mm[axis] for axis in plane_axes(slices.axis))
    settings = recipe.slices
    return replace(
        case,
        case_id=f"{case.case_id}#{index}",
        labels=tuple(labels),
        spacing_mm=spacing_mm,
        volume_id=case.case_id,
        slice_index=index,
        cut=Cut(slices.axis, index, slices.n_slices, settings.neighbours, settings.edge),
    )


def _slices_of(case: Case, recipe: Recipe) -> _Slices:
    """What slices a volume has, by its header and its masks."""
    unknown: list[list[int] | None] = [None] * len(case.masks)
    try:
        header = probe(case.images[0])
        shape = header.shape[1:]
        if len(shape) != 3:
            return _Slices(2, 1, None, unknown)
        spacing_mm = header.spacing_mm or case.spacing_mm
        axis = _axis(recipe.slices.axis, spacing_mm)
        drawn = [_positive(mask, axis) for mask in case.masks]
    except CaseError:
        return _Slices(2, 1, None, unknown)
    spacing = None if spacing_mm is None else tuple(float(each) for each in spacing_mm)
    return _Slices(axis, int(shape[axis]), spacing, drawn)


def _axis(name: str, spacing_mm: tuple[float, ...] | None) -> int:
    if name != "auto":
        return AXES.index(name)
    if spacing_mm is None or spacing_mm[2] >= ABOUT_EQUAL * max(spacing_mm):
        return 2
    return int(np.argmax(spacing_mm))


def _positive(mask: MaskSource, axis: int) -> list[int] | None:
    """Slices with a drawn pixel of a full mask; none of an empty one; None where nobody knows."""
    if mask.state is MaskState.EMPTY:
        return []
    if mask.state is MaskState.UNKNOWN or mask.kind is not MaskKind.FULL or mask.path is None:
        return None
    values = read_mask(mask.path).array
    is_drawn = values > 0 if mask.values is None else np.isin(values, mask.values)
    others = tuple(each for each in range(3) if each != axis)
    return [int(index) for index in np.flatnonzero(is_drawn.any(axis=others))]


def _stamp(case: Case, recipe: Recipe) -> list[Any]:
    """What the slices of a volume follow from, as JSON holds it."""
    masks = [
        [mask.state.value, mask.kind.value, list(mask.values or ()), list(_stamp_of(mask.path))]
        for mask in case.masks
    ]
    return [list(stamp_of(case.images[0])), masks, recipe.slices.axis, list(case.spacing_mm or ())]


def _stamp_of(path: Path | None) -> tuple[str | int, ...]:
    return () if path is None else stamp_of(path)


def _read_notes(path: Path | None) -> dict[str, Any]:
    try:
        return read_json(path) if path is not None and path.is_file() else {}
    except ValueError:
        return {}  # damaged: read the volumes again


def _with_neighbours(table: CaseTable, recipe: Recipe) -> CaseTable:
    """Each slice with the files of its neighbours before and behind its own, as channels.

    Raises:
        ConfigError: A case has no volume or place, or the neighbours beyond the ends shall be 0.
    """
    if recipe.slices.edge == "zero" or recipe.image.spatial_dims != 2:
        raise ConfigError(
            "neighbours of slices that are files of their own stand for those beyond the ends.",
            where=f"slices.edge = {recipe.slices.edge!r}, image.spatial_dims = "
            f"{recipe.image.spatial_dims}",
            expected="slices.edge: repeat and image.spatial_dims: 2; zeros need slices.cut",
            fix="set slices.edge: repeat",
        )
    place = {(case.volume_id, case.slice_index): case for case in table.cases}
    if any(None in key for key in place) or len(place) < len(table.cases):
        raise ConfigError(
            "not every case says which slice of which volume it is, each once.",
            where=f"slices.neighbours = {recipe.slices.neighbours}",
            expected="the columns volume_id and slice_index filled in every row, or volumes and "
            "slices.cut: true",
            fix="map them in the recipe: columns: {volume_id: HEADER, slice_index: HEADER}",
        )
    n_sides = recipe.slices.neighbours

    def images(case: Case) -> tuple[Path, ...]:
        before = after = case.images
        found = list(case.images)
        for offset in range(1, n_sides + 1):  # a slice that is missing is stood for by the nearest
            low = place.get((case.volume_id, (case.slice_index or 0) - offset))
            high = place.get((case.volume_id, (case.slice_index or 0) + offset))
            before, after = (
                one.images if one else other for one, other in ((low, before), (high, after))
            )
            found = [*before, *found, *after]
        return tuple(found)

    cases = tuple(replace(case, images=images(case)) for case in table.cases)
    return replace(table, cases=cases, recipe=recipe, source=table)
