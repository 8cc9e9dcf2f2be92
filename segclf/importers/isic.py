"""ISIC challenges and HAM10000: dermoscopic images, lesion masks, and tables of diagnoses.

Sources: challenge.isic-archive.com/data (2016 to 2018: ISIC_0000000.jpg, ISIC_0000000_segmentation
.png, ground truth and metadata by image_id or image); Tschandl et al. 2018,
doi:10.7910/DVN/DBW86T (HAM10000: lesion_id, image_id, dx). The mask outlines the lesion, whatever
its class.
"""

import re
from dataclasses import replace

from segclf.core.errors import DataError
from segclf.importers.metadata import metadata_names, roles_of
from segclf.importers.record import Job, Mapping
from segclf.importers.source import case_row, image_files, read_table, stem, walk
from segclf.manifest.sources import Texts

IDS = ("image_id", "image_name", "isic_id", "image")
PATIENTS = ("patient_id", "lesion_id")
DIAGNOSES = ("dx", "diagnosis", "diagnosis_1", "benign_malignant")
"""Columns of categories; the first that is there says what the lesion is."""
ONE_HOT = ("MEL", "NV", "BCC", "AK", "AKIEC", "BKL", "DF", "VASC", "SCC")
OF_2017 = ("melanoma", "seborrheic_keratosis")
UNKNOWN = ("unknown", "unk", "na", "nan", "indeterminate")
AUXILIARY = "_superpixels"
MASK = re.compile(r"(?P<image>.+)_segmentation")
CLASS = "diagnosis"

Facts = dict[str, dict[str, str]]
"""Image to column to cell."""


def read_isic(job: Job) -> Mapping:
    """One case per image; its class from the tables, its lesion from the mask."""
    facts, headers = _facts(job)
    images, masks = _files(job)
    names = metadata_names(job, headers, (*IDS, *PATIENTS))
    patient = next((header for header in PATIENTS if header in headers), None)
    has_classes = False
    for image, path in images.items():
        row = case_row(job, image, {"image": path}, path)
        if row is None:
            continue
        row["mask"] = masks.pop(image, "")
        known = facts.pop(image, {})
        if patient:
            row["patient_id"] = known.get(patient) or str(row["case_id"])
        for header, name in names.items():
            text = known.get(header, "")
            row[name] = "" if text.lower() in UNKNOWN else text
        category = _category(known)
        has_classes = has_classes or category != ""
        row["lesion_class"] = category
        job.rows.append(row)
    for image, path in masks.items():
        job.leave_out(path, "missing_file", f"there is no image {image}")
    for image in facts:
        job.leave_out(f"tables, {image}", "missing_file", "there is no image of this row")
    columns = {"case_id": "name of the image", "image": "NAME.jpg",
               "mask": "NAME_segmentation.png"}  # fmt: skip
    if patient:
        columns["patient_id"] = patient
    columns |= {name: header for header, name in names.items()}
    return _mapping(job, columns, names, patient, has_classes)


def _mapping(
    job: Job, columns: dict[str, str], names: dict[str, str], patient: str | None, has_classes: bool
) -> Mapping:
    derived = [
        name
        for header, name in names.items()
        if header in (*DIAGNOSES, *ONE_HOT, *OF_2017, "dx_type") or header.startswith("diagnosis")
    ]
    recipe: dict[str, object] = {"image": {"spatial_dims": 2}}
    if patient == "lesion_id":
        recipe["unit_name"] = "lesion"
    if has_classes:
        recipe |= {"exclusive": True, "mask_class": "lesion_class"}
        columns["lesion_class"] = "the diagnosis (mask_class); blank: unknown"
    else:
        recipe |= {"findings": ["lesion"], "train": {"select_by": "dice"}}
        job.notes.append("no table says what the lesions are: masks only, without labels")
        for row in job.rows:
            row.pop("lesion_class")
    recipe["roles"] = roles_of(names.values(), derived)
    return Mapping(recipe, columns)


def _files(job: Job) -> tuple[dict[str, str], dict[str, str]]:
    """Image name to file, and to the file of its mask."""
    images: dict[str, str] = {}
    masks: dict[str, str] = {}
    n_auxiliary = 0
    for path in image_files(job):
        name = stem(path)
        match = MASK.fullmatch(name)
        target = masks if match else images
        key = match["image"] if match else name
        if name.endswith(AUXILIARY):
            n_auxiliary += 1
        elif key in target:
            job.leave_out(path, "double", f"{target[key]} has the same name")
        else:
            target[key] = path
    if n_auxiliary:
        job.notes.append(f"{n_auxiliary} pictures of superpixels are passed over")
    return images, masks


def _facts(job: Job) -> tuple[Facts, list[str]]:
    """What the tables say of each image, and all their headers."""
    facts: Facts = {}
    headers: dict[str, None] = {}
    for name in walk(job):
        if not name.lower().endswith(".csv"):
            continue
        try:
            texts = _with_headers(read_table(job, name))
        except DataError as error:
            job.leave_out(name, "unreadable", error.wrong)
            continue
        key = next((header for header in IDS if header in texts.columns), None)
        if key is None:
            job.leave_out(name, "columns", f"it has none of the columns {', '.join(IDS)}")
            continue
        headers |= dict.fromkeys(header for header in texts.columns if header != key)
        for index, (row, image) in enumerate(zip(texts.rows, texts.columns[key], strict=True)):
            known = facts.setdefault(image, {})
            for header, cells in texts.columns.items():
                before = known.setdefault(header, cells[index])
                if before != cells[index] and header != key:
                    why = f"{header} is {cells[index]!r}, elsewhere {before!r}"
                    job.leave_out(f"{name}, row {row}", "contradiction", why)
    return facts, list(headers)


def _with_headers(texts: Texts) -> Texts:
    """The table of 2016 has no header: its first row is an image and its class."""
    first = list(texts.columns)
    if len(first) != 2 or not re.fullmatch(r"ISIC_\d+", first[0]):
        return texts
    images, classes = texts.columns.values()
    columns = {"image_id": [first[0], *images], CLASS: [first[1], *classes]}
    return replace(texts, rows=[1, *texts.rows], columns=columns)


def _category(known: dict[str, str]) -> str:
    """The class of the lesion; '' if the tables do not say one."""
    for header in DIAGNOSES:
        text = known.get(header, "").strip()
        if text and text.lower() not in UNKNOWN:
            return re.sub(r"\W+", "_", text).strip("_").lower()
    for headers, otherwise in ((ONE_HOT, ""), (OF_2017, "nevus")):
        cells = {h.lower(): known[h] for h in headers if known.get(h)}
        if cells and all(text in ("0", "1", "0.0", "1.0") for text in cells.values()):
            present = [name for name, text in cells.items() if text.startswith("1")]
            if len(present) == 1:
                return present[0]
            if not present and len(cells) > 1:
                return otherwise
    return ""
