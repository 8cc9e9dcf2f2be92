"""MedMNIST: an .npz with images and labels of three parts; no masks.

Source: Yang et al. 2023, doi:10.1038/s41597-022-01721-8, and github.com/MedMNIST/MedMNIST,
medmnist/dataset.py: `{train,val,test}_images` (N, 28, 28), (N, 28, 28, 3) or (N, 28, 28, 28) of
uint8, `{train,val,test}_labels` (N, L). What the numbers mean stands in `medmnist.INFO`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from segclf.importers.made import write_made_image
from segclf.importers.record import Job, Mapping, Row
from segclf.importers.source import new_id, pick, unusable, walk
from segclf.io import confine
from segclf.io.arrays import array_shapes, each_row

PARTS = ("train", "val", "test")


def read_medmnist(job: Job) -> Mapping:
    """One case per image; its labels as findings (0/1) or as one class column."""
    found = [name for name in walk(job, deep=False) if name.endswith(".npz")]
    name = pick(job, found, kind=".npz files", expected="one file of MedMNIST")
    path = confine(name, [job.source])
    shapes = array_shapes(path)
    labels: dict[str, np.ndarray] = {}
    for part in PARTS:
        _check(shapes, part, name)
        rows = [row.ravel() for row in each_row(path, f"{part}_labels")]
        labels[part] = np.array(rows).reshape(len(rows), -1)
    values = {int(v) for each in labels.values() for v in np.unique(each)}
    n_columns = labels["train"].shape[1]
    is_binary = values <= {0, 1}
    n_dims = 3 if _is_volume(shapes["train_images"]) else 2
    for part in PARTS:
        for row, label in zip(_rows(job, path, part), labels[part], strict=True):
            row.update(_label(label, is_binary))
            job.rows.append(row)
    job.notes.append("what the label numbers mean stands in medmnist.INFO")
    image = {"image": {"spatial_dims": n_dims}, **(
        {"network": {"name": "segresnet"}} if n_dims == 3 else {})}  # fmt: skip
    columns = {"case_id": "part and number", "image": "<part>_images, written as files",
               "split": "the part: train, val, test"}  # fmt: skip
    if is_binary:
        findings = _findings(n_columns)
        named = {f"label_{f}": f"<part>_labels, column {k}" for k, f in enumerate(findings)}
        return Mapping({"findings": findings, **image}, {**columns, **named})
    head = {"classify": {"head": "softmax", "targets": ["label"]}}
    return Mapping({**head, **image}, {**columns, "class_label": "<part>_labels"})


def _check(shapes: dict[str, tuple[int, ...]], part: str, name: str) -> None:
    images, labels = shapes.get(f"{part}_images"), shapes.get(f"{part}_labels")
    is_fine = images and labels and images[0] == labels[0] and len(labels) <= 2
    if not is_fine or len(images or ()) not in (3, 4):
        raise unusable(
            name,
            f"{part}_images has the shape {images} and {part}_labels {labels}.",
            expected="(N, rows, columns), (N, rows, columns, 3) or (N, x, y, z), and (N, L)",
        )


def _is_volume(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[-1] not in (3, 4)


def _rows(job: Job, path: Path, part: str) -> Iterator[Row]:
    for number, image in enumerate(each_row(path, f"{part}_images")):
        case_id = new_id(job, f"{part}_{number:06d}")
        is_colour = image.ndim == 3 and not _is_volume((1, *image.shape))
        array = np.moveaxis(image, -1, 0) if is_colour else image[None]
        yield {
            "case_id": case_id,
            "image": write_made_image(job, part, case_id, array),
            "split": part,
        }


def _label(label: np.ndarray, is_binary: bool) -> Row:
    if is_binary:
        return {
            f"label_{f}": str(int(v)) for f, v in zip(_findings(len(label)), label, strict=True)
        }
    if len(label) != 1:
        raise unusable(
            "labels",
            f"a label has {len(label)} numbers, not all of them 0 or 1.",
            expected="0 and 1, or one number per image",
        )
    return {"class_label": str(int(label[0]))}


def _findings(n_columns: int) -> list[str]:
    """Names that say what is known: class 1 of two, or the number of the column."""
    return ["class_1"] if n_columns == 1 else [f"class_{k}" for k in range(n_columns)]
