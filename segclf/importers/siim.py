"""SIIM-ACR Pneumothorax Segmentation (2019): run lengths in a CSV, DICOM files by their UID.

Source: kaggle.com/c/siim-acr-pneumothorax-segmentation/data. Starts count from the end of the run
before, down the columns; -1 is no pneumothorax; an image with several has several rows.
"""

import numpy as np

from segclf.core.errors import CaseError
from segclf.importers.made import write_made_mask
from segclf.importers.record import Job, Mapping, Row
from segclf.importers.source import by_stem, case_row, pick, read_table, unusable, walk
from segclf.io import Picture, probe
from segclf.io.rle import decode_runs

FINDING = "pneumothorax"
HEADERS = ("ImageId", "EncodedPixels")


def read_siim(job: Job) -> Mapping:
    """One case per image of the CSV; its rows are merged."""
    name = pick(job, _tables(job), kind="CSV files with ImageId and EncodedPixels",
                expected="train-rle.csv or stage_2_train.csv")  # fmt: skip
    texts = read_table(job, name)
    if not {*HEADERS} <= {*texts.columns}:
        raise unusable(
            name,
            f"its columns are {', '.join(texts.columns)}.",
            expected=f"the columns {' and '.join(HEADERS)}",
        )
    files = by_stem(job)
    codes: dict[str, list[tuple[int, str]]] = {}
    for number, image, code in zip(
        texts.rows, *(texts.columns[header] for header in HEADERS), strict=True
    ):
        codes.setdefault(image, []).append((number, code))
    for image, given in codes.items():
        where = f"{name}, row {given[0][0]}"
        path = files.pop(image, None)
        if path is None:
            job.leave_out(where, "missing_file", f"no image called {image} in SRC")
            continue
        row = case_row(job, image, {"image": path}, where)
        if row is not None:
            row.update(_patient(path))
            row.update(_truth(job, row, path, given, name))
            job.rows.append(row)
    for image, path in files.items():
        row = case_row(job, image, {"image": path}, path)
        if row is not None:
            job.new_rows.append(row)
    several = sum(len(given) > 1 for given in codes.values())
    job.notes.append(f"{several} images have several rows, which are merged")
    columns = {
        "case_id": "ImageId",
        "image": "the file called ImageId",
        "mask": "EncodedPixels, merged",
        "label": "0 where EncodedPixels is -1, else 1",
    }
    if any("patient_id" in row for row in job.rows):
        columns["patient_id"] = "folder of the study"
    return Mapping({"findings": [FINDING], "image": {"spatial_dims": 2}}, columns)


def _tables(job: Job) -> list[str]:
    found = []
    for name in walk(job):
        if name.lower().endswith(".csv"):
            with open(job.source / name, "rb") as stream:
                head = stream.readline(1000)
            if b"ImageId" in head and b"EncodedPixels" in head:
                found.append(name)
    training = [name for name in found if "sample_submission" not in name]
    return training or found


def _patient(path: str) -> Row:
    """dicom-images-train/<study>/<series>/<image>.dcm: the study stands for the patient."""
    parts = path.split("/")
    return {"patient_id": parts[-3]} if len(parts) >= 4 else {}


def _truth(job: Job, row: Row, path: str, given: list[tuple[int, str]], name: str) -> Row:
    codes = [(number, code) for number, code in given if code]
    is_none = [code == "-1" for _, code in codes]
    if not codes:
        job.leave_out(f"{name}, row {given[0][0]}", "blank", "EncodedPixels is blank: unknown")
        return {"label": ""}
    if any(is_none):
        if all(is_none):
            return {"label": "0"}
        job.leave_out(f"{name}, row {given[0][0]}", "contradiction",
                      "rows of this image say -1 and a mask: both are unknown")  # fmt: skip
        return {"label": ""}
    try:
        header = probe(job.source / path)
        shape = (header.shape[-2], header.shape[-1])
        merged = np.zeros(shape, dtype=bool)
        for number, code in codes:
            merged |= decode_runs(code, shape, where=f"{name}, row {number}")
    except CaseError as error:
        job.leave_out(error.where, error.reason, f"mask not mapped: {error.wrong}")
        return {"label": "1"}
    made = write_made_mask(job, FINDING, str(row["case_id"]), Picture(merged, None, None))
    return {"label": "1", "mask": made}
