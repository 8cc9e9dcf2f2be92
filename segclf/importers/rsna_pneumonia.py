"""RSNA Pneumonia Detection Challenge (2018): boxes in a CSV, one DICOM file per patient.

Source: kaggle.com/c/rsna-pneumonia-detection-challenge/data; Shih et al. 2019,
doi:10.1148/ryai.2019180041. x and y are the upper left corner, in pixels.
"""

import math

import numpy as np

from segclf.core.errors import CaseError
from segclf.importers.made import write_made_mask
from segclf.importers.record import Job, Mapping, Row
from segclf.importers.source import by_stem, case_row, read_table, unusable, walk
from segclf.io import Picture, probe
from segclf.manifest.cells import NUMBER

FINDING = "pneumonia"
BOX = ("x", "y", "width", "height")
CLASS = "detailed_class"


def read_rsna_pneumonia(job: Job) -> Mapping:
    """One case per patient; the boxes of its rows are one mask of kind box."""
    name = _named(job, "train_labels.csv")
    if name is None:
        raise unusable(
            job.source.name,
            "there is no stage_2_train_labels.csv.",
            expected="stage_2_train_labels.csv and stage_2_train_images/<patientId>.dcm",
        )
    texts = read_table(job, name)
    if not {"patientId", "Target", *BOX} <= {*texts.columns}:
        raise unusable(
            name,
            f"its columns are {', '.join(texts.columns)}.",
            expected=f"patientId, {', '.join(BOX)}, Target",
        )
    files = by_stem(job)
    kinds = _classes(job)
    given: dict[str, list[int]] = {}
    for index, patient in enumerate(texts.columns["patientId"]):
        given.setdefault(patient, []).append(index)
    for patient, indices in given.items():
        where = f"{name}, row {texts.rows[indices[0]]}"
        path = files.pop(patient, None)
        if path is None:
            job.leave_out(where, "missing_file", "no image of this row in SRC")
            continue
        row = case_row(job, patient, {"image": path}, where)
        if row is None:
            continue
        rows = [{h: texts.columns[h][i] for h in ("Target", *BOX)} for i in indices]
        places = [f"{name}, row {texts.rows[i]}" for i in indices]
        row.update(_truth(job, row, path, rows, places))
        row["patient_id"] = patient
        if patient in kinds:
            row[CLASS] = kinds[patient]
        job.rows.append(row)
    for patient, path in files.items():
        new = case_row(job, patient, {"image": path}, path)
        if new is not None:
            job.new_rows.append(new)
    columns = {"case_id": "patientId", "image": "the file called patientId",
               "mask": "x, y, width, height: filled boxes, mask_kind box", "label": "Target",
               "patient_id": "patientId"}  # fmt: skip
    if kinds:
        columns[CLASS] = "class of stage_2_detailed_class_info.csv (derived from truth)"
    roles = {"roles": {CLASS: "derived"}} if kinds else {}
    return Mapping({"findings": [FINDING], "image": {"spatial_dims": 2}, **roles}, columns)


def _named(job: Job, ending: str) -> str | None:
    return next((name for name in walk(job, deep=False) if name.endswith(ending)), None)


def _classes(job: Job) -> dict[str, str]:
    name = _named(job, "detailed_class_info.csv")
    if name is None:
        return {}
    texts = read_table(job, name)
    if not {"patientId", "class"} <= {*texts.columns}:
        job.leave_out(name, "columns", "it lacks the columns patientId and class")
        return {}
    return dict(zip(texts.columns["patientId"], texts.columns["class"], strict=True))


def _truth(job: Job, row: Row, path: str, rows: list[dict[str, str]], places: list[str]) -> Row:
    targets = {given["Target"] for given in rows}
    if len(targets) > 1 or not targets <= {"0", "1", ""}:
        job.leave_out(
            places[0], "contradiction", f"Target is {' and '.join(sorted(targets))}: unknown"
        )
        return {"label": ""}
    label = targets.pop()
    boxes = [(given, place) for given, place in zip(rows, places, strict=True) if given["x"]]
    if label != "1":
        if boxes:
            job.leave_out(places[0], "contradiction", f"a box where Target is {label or 'blank'}")
        return {"label": label}
    try:
        header = probe(job.source / path)
    except CaseError as error:
        job.leave_out(error.where, error.reason, f"boxes not mapped: {error.wrong}")
        return {"label": label}
    mask = np.zeros(header.shape[-2:], dtype=np.uint8)
    for given, place in boxes:
        if not _fill(mask, given):
            shown = ", ".join(f"{h} {given[h]}" for h in BOX)
            job.leave_out(place, "bad_box", f"the box {shown} is not inside the image")
    if not mask.any():
        return {"label": label}
    made = write_made_mask(job, FINDING, str(row["case_id"]), Picture(mask, None, None))
    return {"label": label, "mask": made, "mask_kind": "box"}


def _fill(mask: np.ndarray, given: dict[str, str]) -> bool:
    """Fill one box, cut at the edge of the image; False if nothing of it lies inside."""
    if not all(NUMBER.fullmatch(given[header]) for header in BOX):
        return False
    x, y, width, height = (float(given[header]) for header in BOX)
    if not all(math.isfinite(v) and abs(v) < 1e6 for v in (x, y, width, height)):
        return False
    rows = slice(max(math.floor(y), 0), max(math.ceil(y + height), 0))
    columns = slice(max(math.floor(x), 0), max(math.ceil(x + width), 0))
    if min(width, height) <= 0 or mask[rows, columns].size == 0:
        return False
    mask[rows, columns] = 1
    return True
