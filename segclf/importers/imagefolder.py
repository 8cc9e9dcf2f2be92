"""A folder per class, alone or below folders of parts: torchvision's ImageFolder.

Source: pytorch.org/vision, `torchvision.datasets.ImageFolder`: root/dog/xxx.png,
root/cat/nsdf3/asd932_.png; with parts, root/train/dog/xxx.png. A DICOM series is one image.
"""

from segclf.importers.labels import image_settings
from segclf.importers.parts import settle_parts
from segclf.importers.record import Job, Mapping, Row
from segclf.importers.series import Image, find_series, of_one_kind, patients
from segclf.importers.source import case_row, folders, stem, unusable, walk
from segclf.io import FORMATS, suffix_of

PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val",
         "validation": "val", "test": "test", "testing": "test"}  # fmt: skip


def read_imagefolder(job: Job) -> Mapping:
    """One case per image; its class is the name of its folder."""
    top = folders(job)
    parts = {name: PARTS[name.lower()] for name in top if name.lower() in PARTS}
    has_parts = bool(parts) and len(parts) == len(top)
    roots = [(name, part) for name, part in parts.items()] if has_parts else [("", "")]
    names: dict[str, None] = {}
    rows: dict[Image, Row] = {}
    for root, part in roots:
        for name in folders(job, root):
            folder = f"{root}/{name}".lstrip("/")
            names[name] = None
            for image in _images(job, folder):
                wanted = "_".join(filter(None, [part, name, image.key.replace("/", "_")]))
                row = case_row(job, wanted, {"image": image.path}, image.path)
                if row is not None:
                    rows[image] = {**row, "class_label": name, **({"split": part} if part else {})}
    has_series = any(image.series for image in rows)
    of_patient, source = patients([*rows]) if has_series else ({}, "")
    job.rows.extend(
        row | ({"patient_id": of_patient[image]} if of_patient else {})
        for image, row in rows.items()
    )
    used = {row["image"] for row in job.rows} | {each.where for each in job.left_out}
    used |= {file for image in rows for file in image.files}
    for path in walk(job):
        if path not in used:
            if suffix_of(path) in FORMATS:
                job.leave_out(path, "no_class", "it is in no folder of a class")
            else:
                job.leave_out(path, "unknown_format", "it is no picture")
    if len(names) < 2:
        raise unusable(
            job.source.name,
            f"there are the classes {', '.join(names) or '(none)'}.",
            expected="at least two folders, one per class",
        )
    if not job.rows:
        return Mapping({}, {})
    recipe = image_settings(job)
    recipe["classify"] = {"head": "softmax", "targets": ["label"]}
    columns = {"case_id": "class and name of the file", "image": "the files",
               "class_label": "name of the folder"}  # fmt: skip
    columns |= {"patient_id": source} if of_patient else {}
    return Mapping(recipe, {**columns, **settle_parts(job)})


def _images(job: Job, folder: str) -> list[Image]:
    """Pictures of a class by path, or its DICOM series."""
    found = find_series(job, folder)
    below = len(folder) + 1
    plain = [Image(path, path[below : path.rfind("/") + 1] + stem(path)) for path in found.pictures]
    return of_one_kind(job, [*found.images, *plain], folder) if found.images else plain
