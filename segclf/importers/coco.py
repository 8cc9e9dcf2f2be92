"""COCO: images, annotations (polygons, run lengths, boxes) and categories in JSON.

Source: cocodataset.org/#format-data; of LVIS (lvisdataset.org) `neg_category_ids` and
`not_exhaustive_category_ids`, which say in which images a category was looked for.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from segclf.core.errors import CaseError
from segclf.importers.made import write_made_mask
from segclf.importers.parts import settle_parts
from segclf.importers.record import Job, Mapping, Row
from segclf.importers.source import (
    case_row,
    finding_name,
    image_files,
    pick,
    read_object,
    stem,
    unusable,
    walk,
)
from segclf.io import Picture, probe
from segclf.io.polygons import draw_polygon
from segclf.io.rle import decode_counts

PARTS = ("train", "val", "test")


def read_coco(job: Job) -> Mapping:
    """One case per image; per category a mask of all its annotations, and a label."""
    names = _tables(job)
    files = image_files(job)
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in files:
        by_name[path.rpartition("/")[2]].append(path)
    findings: dict[str, str] = {}
    used: set[str] = set()
    for name in names:
        data = read_object(job, name)
        _check(data, name)
        categories = _categories(job, data, findings, name)
        part = next((p for p in PARTS if p in name.rpartition("/")[2].lower()), "")
        _add_images(job, data, name, categories, by_name, set(files), part, used)
    rest = [path for path in files if path not in used]
    for path in rest:
        job.leave_out(path, "not_listed", "no JSON lists this image")
    if not job.rows:
        return Mapping({}, {})
    labels = {f"label_{finding}": f"category {text!r}" for text, finding in findings.items()}
    masks = {"mask_<category>": "its annotations, merged; boxes without an outline: mask_kind box"}
    job.notes.append(
        "a category without an annotation in a listed image counts as absent (0), unless the "
        "file says otherwise (neg_category_ids)"
    )
    columns = {"case_id": "name of the image", "image": "file_name", **masks, **labels}
    return Mapping(
        {"findings": list(findings.values()), "image": {"spatial_dims": 2}},
        {**columns, **settle_parts(job)},
    )


def _tables(job: Job) -> list[str]:
    """The JSON files: those of several parts, or one."""
    found = [name for name in walk(job) if name.lower().endswith(".json")]
    if job.options.table is None:
        instances = [n for n in found if n.rpartition("/")[2].startswith("instances_")]
        parts = [n for n in instances or found if any(p in n.rpartition("/")[2] for p in PARTS)]
        if len(parts) > 1:
            return parts
        found = instances or found
    return [pick(job, found, kind="JSON files", expected="one annotation file, or one per part")]


def _check(data: dict[str, Any], name: str) -> None:
    for key in ("images", "annotations", "categories"):
        if not isinstance(data.get(key), list):
            raise unusable(
                name, f"it has no list {key}.", expected="images, annotations and categories"
            )


def _categories(
    job: Job, data: dict[str, Any], findings: dict[str, str], name: str
) -> dict[int, str]:
    """Category id to finding; one name is one finding in all files."""
    of_id: dict[int, str] = {}
    for item in data["categories"]:
        if not isinstance(item, dict) or type(item.get("id")) is not int:
            job.leave_out(f"{name}, categories", "bad_item", "a category has no whole number as id")
            continue
        text = str(item.get("name", item["id"]))
        if text not in findings:
            findings[text] = finding_name(text, list(findings.values()))
            if findings[text] != text:
                job.notes.append(f"the category {text!r} is the finding {findings[text]}")
        of_id[item["id"]] = findings[text]
    return of_id


def _add_images(
    job: Job, data: dict[str, Any], name: str, categories: dict[int, str],
    by_name: dict[str, list[str]], files: set[str], part: str, used: set[str],
) -> None:  # fmt: skip
    of_image: dict[Any, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for number, item in enumerate(data["annotations"]):
        where = f"{name}, annotations[{number}]"
        if not isinstance(item, dict) or _key(item.get("category_id")) not in categories:
            job.leave_out(where, "bad_item", "it names no category of the file")
        else:
            of_image[_key(item.get("image_id"))].append((where, item))
    for number, image in enumerate(data["images"]):
        where = f"{name}, images[{number}]"
        if not isinstance(image, dict) or not isinstance(image.get("file_name"), str):
            job.leave_out(where, "bad_item", "it has no file_name")
            continue
        given = of_image.pop(_key(image.get("id")), [])
        path = _path(job, image["file_name"], name, by_name, files)
        row = case_row(job, stem(image["file_name"]), {"image": path}, where)
        if row is None:
            continue
        used.add(str(row["image"]))
        if part:
            row["split"] = part
        row.update(_truth(job, row, image, given, categories, where))
        job.rows.append(row)
    for key, given in of_image.items():
        for where, _ in given:
            job.leave_out(where, "unknown_case", f"its image {key!r} is not listed")


def _key(value: Any) -> Any:  # noqa: ANN401
    return value if isinstance(value, int | str) else None


def _path(
    job: Job, text: str, name: str, by_name: dict[str, list[str]], files: set[str]
) -> str:  # fmt: skip
    """The file of `file_name`: below --images, SRC or its image folders, else by its name alone."""
    folder = name.rpartition("/")[2].removesuffix(".json").removeprefix("instances_")
    places = (
        [job.options.images] if job.options.images else ["", "images", folder, f"images/{folder}"]
    )
    clean = text.replace("\\", "/").removeprefix("./")
    for place in places:
        candidate = f"{place}/{clean}".lstrip("/") if place else clean
        if candidate in files:
            return candidate
    same = by_name.get(clean.rpartition("/")[2], [])
    return same[0] if len(same) == 1 and not job.options.images else clean


def _truth(
    job: Job, row: Row, image: dict[str, Any], given: list[tuple[str, dict[str, Any]]],
    categories: dict[int, str], where: str,
) -> Row:  # fmt: skip
    """Labels of all findings, and the masks of those that are there."""
    cells: Row = {f"label_{finding}": "0" for finding in categories.values()}
    if "neg_category_ids" in image:  # LVIS: only these were looked for and not found
        looked = {categories.get(c) for c in _list(image["neg_category_ids"])}
        cells = {name: "0" if name[len("label_") :] in looked else "" for name in cells}
    partly = {categories.get(c) for c in _list(image.get("not_exhaustive_category_ids"))}
    of_finding: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for place, item in given:
        of_finding[categories[item["category_id"]]].append((place, item))
    if not of_finding:
        return cells
    try:
        shape = _shape(job, row, image, where)
    except CaseError as error:
        job.leave_out(where, error.reason, f"masks not mapped: {error.wrong}")
        shape = None
    for finding, items in of_finding.items():
        cells[f"label_{finding}"] = "1"
        if shape is not None and finding not in partly:
            cells.update(_mask(job, row, finding, items, shape))
        elif finding in partly:
            job.leave_out(where, "not_exhaustive", f"not all of {finding} is drawn: mask unknown")
    return cells


def _list(value: Any) -> Iterable[int]:  # noqa: ANN401
    return [v for v in value if isinstance(v, int)] if isinstance(value, list) else []


def _shape(job: Job, row: Row, image: dict[str, Any], where: str) -> tuple[int, int]:
    """Rows and columns of the image file, which the JSON has to agree with."""
    header = probe(job.source / str(row["image"]))
    shape = (header.shape[-2], header.shape[-1])
    stated = (image.get("height", shape[0]), image.get("width", shape[1]))
    if len(header.shape) != 3 or stated != shape:
        raise CaseError(
            "shape_mismatch",
            f"the JSON says {stated[0]} x {stated[1]} pixels, the file {shape[0]} x {shape[1]}.",
            where=where,
            expected="the size of the file",
            fix="take the images that were annotated",
        )
    return shape


def _mask(
    job: Job, row: Row, finding: str, items: list[tuple[str, dict[str, Any]]],
    shape: tuple[int, int],
) -> Row:  # fmt: skip
    """The merged mask of one finding; unknown if an annotation of it cannot be read."""
    merged = np.zeros(shape, dtype=bool)
    kinds: Counter[str] = Counter()
    for where, item in items:
        try:
            plane, kind = draw_annotation(item, shape, where=where)
        except CaseError as error:
            job.leave_out(where, error.reason, f"mask of {finding} not mapped: {error.wrong}")
            return {}
        merged |= plane
        kinds[kind] += 1
    made = write_made_mask(job, finding, str(row["case_id"]), Picture(merged, None, None))
    if not kinds["box"]:
        return {f"mask_{finding}": made}
    if kinds["outline"]:
        job.notes.append(f"{row['case_id']}: outlines and boxes of {finding} all count as boxes")
    return {f"mask_{finding}": made, f"mask_kind_{finding}": "box"}


def draw_annotation(
    item: dict[str, Any], shape: tuple[int, int], *, where: str
) -> tuple[np.ndarray, str]:
    """One annotation as a mask (row, column), and whether it is an `outline` or a `box`.

    Raises:
        CaseError: `bad_rle`, `bad_polygon`, `bad_box`, or `bad_item` for another form.
    """
    segmentation = item.get("segmentation")
    if isinstance(segmentation, dict):
        if segmentation.get("size") != list(shape):
            raise _wrong(
                "bad_rle", f"its size is {str(segmentation.get('size'))[:40]}.", where, shape
            )
        return decode_counts(segmentation.get("counts", ()), shape, where=where), "outline"
    if isinstance(segmentation, list) and segmentation:
        merged = np.zeros(shape, dtype=bool)
        for polygon in segmentation:
            merged |= draw_polygon(polygon if isinstance(polygon, list) else (), shape, where=where)
        return merged, "outline"
    box = item.get("bbox")
    if isinstance(box, list) and len(box) == 4 and all(type(v) in (int, float) for v in box):
        x, y, width, height = map(float, box)
        is_inside = 0 <= x < shape[1] and 0 <= y < shape[0] and min(width, height) > 0
        if not is_inside or not max(width, height) < 1e6:
            raise _wrong("bad_box", f"its box is {str(box)[:60]}.", where, shape)
        plane = np.zeros(shape, dtype=bool)
        rows = slice(int(np.floor(y)), int(np.ceil(y + height)))
        plane[rows, int(np.floor(x)) : int(np.ceil(x + width))] = True
        return plane, "box"
    raise _wrong("bad_item", "it has no segmentation and no bbox.", where, shape)


def _wrong(reason: str, wrong: str, where: str, shape: tuple[int, int]) -> CaseError:
    return CaseError(
        reason,
        wrong,
        where=where,
        expected=f"a polygon, run lengths or a box in {shape[0]} x {shape[1]} pixels",
        fix="correct or remove the annotation",
    )
