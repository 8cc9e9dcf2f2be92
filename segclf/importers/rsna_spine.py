"""RSNA Cervical Spine Fracture Detection (2022): labels per vertebra, a series folder per study.

Source: kaggle.com/competitions/rsna-2022-cervical-spine-fracture-detection/data; Lin et al. 2023,
doi:10.1148/ryai.230034. The segmentations outline vertebrae (1 to 7: C1 to C7), not fractures: a
vertebra that is fractured is where the fracture lies, which is what a mask of kind box says.
"""

from collections import Counter

import numpy as np

from segclf.core.errors import CaseError
from segclf.importers.made import write_made_mask
from segclf.importers.record import Job, Mapping, Row
from segclf.importers.source import case_row, folders, read_table, unusable
from segclf.io import Picture, read_mask

VERTEBRAE = tuple(f"C{number}" for number in range(1, 8))
WHOLE = "patient_overall"
STUDY = "StudyInstanceUID"


def read_rsna_spine(job: Job) -> Mapping:
    """One case per study: fractures of C1 to C7 and of any, with vertebrae as boxes."""
    texts = read_table(job, "train.csv")
    if not {STUDY, WHOLE, *VERTEBRAE} <= {*texts.columns}:
        raise unusable(
            "train.csv",
            f"its columns are {', '.join(texts.columns)}.",
            expected=f"{STUDY}, {WHOLE}, C1 to C7",
        )
    labels = {header: texts.columns[header] for header in (*VERTEBRAE, WHOLE)}
    series = Counter(folders(job, "train_images"))
    for index, (number, study) in enumerate(zip(texts.rows, texts.columns[STUDY], strict=True)):
        where = f"train.csv, row {number}"
        row = case_row(job, study, {"image": f"train_images/{study}"}, where)
        series.pop(study, None)
        if row is None:
            continue
        row["patient_id"] = study
        for header, cells in labels.items():
            row[f"label_{header}"] = _label(job, cells[index], f"{where}, {header}")
        row.update(_vertebrae(job, row, study))
        job.rows.append(row)
    for study in series:
        job.leave_out(f"train_images/{study}", "no_label", "train.csv has no row of this study")
    boxes = job.source / "train_bounding_boxes.csv"
    if boxes.is_file():
        job.leave_out(
            boxes.name, "not_mapped", "boxes on single slices are not used; vertebrae are"
        )
    findings = [*VERTEBRAE, WHOLE]
    columns = {"case_id": STUDY, "image": f"train_images/<{STUDY}>, a DICOM series",
               **{f"label_{name}": name for name in findings},
               "mask_<vertebra>": "the vertebra in segmentations/, where it is fractured: "
               "mask_kind box", "patient_id": STUDY}  # fmt: skip
    job.notes.append(
        "segmentations outline vertebrae; one that is fractured holds the fracture somewhere "
        "(mask_kind box), one that is not has an empty mask by its label; --strict-coarse takes "
        "the whole vertebra"
    )
    recipe = {"findings": findings, "image": {"spatial_dims": 3}, "network": {"name": "segresnet"}}
    return Mapping(recipe, columns)


def _label(job: Job, text: str, where: str) -> str:
    if text in ("0", "1", ""):
        return text
    job.leave_out(where, "bad_label", f"the label is {text[:20]!r}: unknown")
    return ""


def _vertebrae(job: Job, row: Row, study: str) -> Row:
    """The fractured vertebrae of a study, if there is a segmentation."""
    names = [f"segmentations/{study}{ending}" for ending in (".nii", ".nii.gz")]
    name = next((name for name in names if (job.source / name).is_file()), None)
    broken = [v for v in VERTEBRAE if row[f"label_{v}"] == "1"]
    if name is None or not broken:
        return {}
    try:
        picture = read_mask(job.source / name)
    except CaseError as error:
        job.leave_out(name, error.reason, f"mask not mapped: {error.wrong}")
        return {}
    cells: Row = {}
    union = np.zeros(picture.array.shape, dtype=np.uint8)
    for vertebra in broken:
        plane = (picture.array == VERTEBRAE.index(vertebra) + 1).astype(np.uint8)
        if not plane.any():
            job.leave_out(name, "no_pixels", f"{vertebra} is fractured and has no pixel: unknown")
            continue
        union |= plane
        cells |= _made(job, vertebra, study, Picture(plane, picture.spacing_mm, picture.affine))
    if len(cells) == 2 * len(broken):  # else the fracture may lie outside of what is drawn
        whole = Picture(union, picture.spacing_mm, picture.affine)
        cells |= _made(job, WHOLE, study, whole)
    return cells


def _made(job: Job, finding: str, study: str, mask: Picture) -> Row:
    made = write_made_mask(job, finding, study, mask)
    return {f"mask_{finding}": made, f"mask_kind_{finding}": "box"}
