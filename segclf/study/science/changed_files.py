"""Changed masks as files, and the side table that lays them over a manifest."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.errors import UsageError
from segclf.core.randomness import generator
from segclf.core.records import Case, MaskState
from segclf.data import read_truth
from segclf.io import Grid, grid_of, probe
from segclf.manifest import CaseTable
from segclf.pseudolabel.files import mask_file, write_hard
from segclf.study.science.coarsen import Change, changed_mask, n_kept_pixels, parse_change

UNKNOWN = 2
"""Value of a pixel of which nothing is known, in a mask of the kind `uncertain`."""


def write_changed(
    table: CaseTable, case_ids: Sequence[str], how: str, folder: Path, seed: int
) -> pd.DataFrame:
    """Change the masks of cases; a side table of the manifest that names the new ones.

    Only masks that are truth and have a pixel are changed; all others, and those of cases that are
    not named, stay as the manifest has them. With `missing:<share>` that share of them is replaced
    by masks that know nothing: such a case is still drawn into batches, and teaches nothing there.
    To leave it out of the training instead, blank the masks of `missing_masks` in the manifest.
    A smaller share is inside a larger one. `frame.attrs["notes"]` counts masks (`n_changed`) and
    components that an erosion left one pixel of (`n_kept_pixels`).

    Args:
        table: All cases.
        case_ids: Training and validation cases; test masks are not to be changed.
        how: See `changed_mask`, or `missing:<share>`.
        folder: Gets `masks/`; paths in the table start from here.
        seed: Of the directions, and of which masks are missing.

    Returns:
        Columns `case_id`, and for each finding `mask_<finding>` and `mask_kind_<finding>`, blank
        where nothing changes, for `write_side_table` in `folder`.

    Raises:
        UsageError: There is no such change, or a case is a slice of a volume.
        CaseError: A mask cannot be read.
    """
    change = parse_change(how)
    wanted = set(case_ids)
    cases = [case for case in table.cases if case.case_id in wanted]
    _refuse_slices(cases)
    is_missing = change.name == "missing"
    only = missing_masks(table, case_ids, change.amount, seed) if is_missing else None
    notes = {"how": how, "n_changed": 0, "n_kept_pixels": 0}
    names = [f"{column}_{f}" for f in table.findings for column in ("mask", "mask_kind")]
    rows: list[dict[str, str]] = []
    for case in cases:
        if only is None or case.case_id in only:
            row = _write_case(case, table.findings, change, how, folder, seed, notes)
            rows += [{"case_id": case.case_id} | row] if row else []
    frame = pd.DataFrame(rows, columns=["case_id", *names]).fillna("").astype(str)
    frame.attrs["notes"] = notes
    return frame


def missing_masks(
    table: CaseTable, case_ids: Sequence[str], share: float, seed: int
) -> frozenset[str]:
    """The positive cases with a drawn mask that are to lose it: a share of them, rounded.

    Args:
        table: All cases.
        case_ids: Those among which to choose.
        share: Above 0 and at most 1; a smaller one is inside a larger one.
        seed: Of the order.
    """
    wanted = set(case_ids)
    drawn = [
        case.case_id
        for case in table.cases
        if case.case_id in wanted
        and any(
            source.state is MaskState.DRAWN and source.is_truth and label == 1
            for source, label in zip(case.masks, case.labels, strict=True)
        )
    ]
    order = sorted(drawn, key=lambda case_id: generator(seed, "missing mask", case_id).random())
    return frozenset(order[: math.floor(share * len(order) + 0.5)])


def _write_case(
    case: Case,
    findings: tuple[str, ...],
    change: Change,
    how: str,
    folder: Path,
    seed: int,
    notes: dict[str, Any],
) -> dict[str, str]:
    """Write the masks of a case and count them; the cells of its row."""
    row: dict[str, str] = {}
    grid = grid_of(probe(case.images[0]))
    for finding, plane in zip(findings, _drawn_planes(case, grid), strict=True):
        if plane is None:
            continue
        if change.name == "missing":
            mask = np.full(plane.shape, UNKNOWN, np.uint8)
        else:
            mask = changed_mask(plane, how, seed=seed, case_id=case.case_id).astype(np.uint8)
            notes["n_kept_pixels"] += n_kept_pixels(plane, how)
        name = mask_file(case.case_id, finding, spatial_dims=plane.ndim)
        write_hard(folder / name, mask, spacing_mm=grid.spacing_mm, affine=grid.affine)
        notes["n_changed"] += 1
        row |= {f"mask_{finding}": name, f"mask_kind_{finding}": change.mask_kind}
    return row


def _drawn_planes(case: Case, grid: Grid) -> list[np.ndarray | None]:
    """Per finding (*space) bool where a mask is drawn, is truth and has a pixel; else None."""
    planes = read_truth(case, grid.shape, spacing_mm=grid.spacing_mm, affine=grid.affine)
    return [
        plane == 1
        if plane is not None and source.state is MaskState.DRAWN and plane.any()
        else None
        for plane, source in zip(planes, case.masks, strict=True)
    ]


def _refuse_slices(cases: Sequence[Case]) -> None:
    for case in cases:
        if case.cut is not None:
            raise UsageError(
                "masks of slices of volumes are not changed.",
                where=f"case {case.case_id}",
                expected="cases that are rows of the manifest",
                fix="leave out slices.cut, or export the slices as images",
            )
