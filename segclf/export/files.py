"""Hard masks as picture and volume files, in the geometry of the image."""

from pathlib import Path
from typing import Any

import numpy as np

from segclf.core.atomic import sync
from segclf.core.mapfiles import LIKE_THE_IMAGE, MAP_KINDS, file_name
from segclf.export.codes import finding_code
from segclf.export.records import Prediction, measured
from segclf.io import on_stored_grid, probe, write_mask

SUFFIXES = {kind: MAP_KINDS[kind] for kind in ("nifti", "png", "nrrd", "mha")}
WHITE = {"png": 255}
"""Value of the pixels of a finding, so that a person sees them; elsewhere 1."""


def write_masks(
    folder: Path, found: Prediction, *, kind: str
) -> tuple[list[str], list[dict[str, Any]]]:
    """Write a mask of 0 and 1 per finding (of PNG 0 and 255); returns names and rows of the index.

    Args:
        folder: Of the case.
        found: Its masks.
        kind: One of `SUFFIXES`.
    """
    case, masks, affine = found.job.case, found.mask.astype(np.uint8), None
    if kind in LIKE_THE_IMAGE:
        masks, affine = on_stored_grid(masks, probe(case.images[0]), spacing_mm=found.spacing_mm)
    names, rows = [], []
    for score, plane, mask in zip(found.job.scores, masks, found.mask, strict=True):
        name = file_name(score.finding) + SUFFIXES[kind]
        write_mask(folder / name, plane * np.uint8(WHITE.get(kind, 1)), affine=affine)
        sync(folder / name)
        code = finding_code(score.finding, {})
        row = measured(score, code, mask, found.spacing_mm).row()
        names.append(name)
        rows.append({**row, "file": f"{folder.name}/{name}"})
    return names, rows
