"""BUSI, Dataset_BUSI_with_GT: benign, malignant and normal ultrasound images with masks.

Source: Al-Dhabyani et al. 2020, Dataset of breast ultrasound images, doi:10.1016/j.dib.2019.104863.
`benign (4).png` has `benign (4)_mask.png`, and `benign (4)_mask_1.png` if there are two lesions.
The mask outlines the lesion, whatever its class.
"""

import re

import numpy as np

from segclf.core.errors import CaseError
from segclf.importers.made import write_made_mask
from segclf.importers.record import Cell, Job, Mapping, Row
from segclf.importers.source import case_row, image_files, stem, unusable
from segclf.io import Picture, read_mask

CLASSES = ("benign", "malignant", "normal")
MASK = re.compile(r"(?P<image>.+)_mask(?:_\d+)?")


def read_busi(job: Job) -> Mapping:
    """One case per image; several masks of one image are merged into a file."""
    base = next(
        (b for b in ("", "Dataset_BUSI_with_GT") if (job.source / b / "benign").is_dir()), None
    )
    if base is None:
        raise unusable(
            job.source.name,
            "there is no folder benign.",
            expected="folders benign, malignant and normal",
        )
    for name in CLASSES:
        folder = f"{base}/{name}".lstrip("/")
        files = image_files(job, folder, deep=False)
        masks: dict[str, list[str]] = {}
        for path in files:
            match = MASK.fullmatch(stem(path))
            if match:
                masks.setdefault(match["image"], []).append(path)
        for path in files:
            if MASK.fullmatch(stem(path)) is None:
                row = case_row(job, stem(path), {"image": path}, path)
                given = masks.pop(stem(path), [])
                if row is not None:
                    job.rows.append({**row, "class_name": name, **_mask(job, row, given, path)})
        for paths in masks.values():
            for path in paths:
                job.leave_out(path, "missing_file", "there is no image of this mask")
    for row in job.rows:
        row["lesion_class"] = row.pop("class_name")
    job.notes.append(
        "the set names no patients, and holds near duplicates: cases of one patient may be in "
        "different parts (Pawlowska et al. 2023, doi:10.1016/j.dib.2023.109247)"
    )
    recipe = {
        "findings": ["malignant", "benign"],
        "exclusive": True,
        "mask_class": "lesion_class",
        "mask_class_empty": ["normal"],
        "unit_name": "image",
        "image": {"spatial_dims": 2},
    }
    columns = {"case_id": "name of the image", "image": "CLASS/NAME.png",
               "mask": "NAME_mask.png; with _mask_1 and further ones merged",
               "lesion_class": "name of the folder (mask_class)"}  # fmt: skip
    return Mapping(recipe, columns)


def _mask(job: Job, row: Row, paths: list[str], image: str) -> dict[str, Cell]:
    if not paths:
        job.leave_out(image, "missing_file", "no mask: unknown")
        return {}
    if len(paths) == 1:
        return {"mask": paths[0]}
    try:
        planes = [read_mask(job.source / path).array > 0 for path in paths]
        if len({plane.shape for plane in planes}) > 1:
            raise CaseError("shape_mismatch", "its masks have different sizes.", where=paths[0],
                            expected="masks of one size", fix="export them again")  # fmt: skip
    except CaseError as error:
        job.leave_out(paths[0], error.reason, f"mask not mapped: {error.wrong}")
        return {}
    job.notes.append(f"{len(paths)} masks of {row['case_id']!r} are merged into one")
    merged = Picture(np.logical_or.reduce(planes), None, None)
    return {"mask": write_made_mask(job, "lesion", str(row["case_id"]), merged)}
