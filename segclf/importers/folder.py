"""Plain folders: pictures in images/, masks in masks/, joined by their names.

A mask is called as its image, with at most a beginning or an ending such as `_mask` or `_seg_2`.
Several masks of one image are merged; folders inside masks/ are findings. DICOM series and folders
per patient, with or without images/, are read by `segclf.importers.tree`.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np

from segclf.core.errors import CaseError, UsageError
from segclf.importers.labels import image_settings, map_labels, meaning_of_maps, settle_labels
from segclf.importers.made import write_made_mask
from segclf.importers.record import Cell, Job, Mapping, Row
from segclf.importers.source import (
    case_row,
    finding_name,
    folders,
    image_files,
    stem,
    unusable,
    walk,
)
from segclf.importers.tree import Given, Tree, look, read_tree
from segclf.io import Picture, grid_of, placed_on, probe, read_mask

IMAGES = ("images", "image", "imgs", "img")
MASKS = ("masks", "mask", "labels", "label", "segmentations", "annotations")
ADDED = r"(?:masks?|seg(?:mentation)?|labels?|gt|annotation|lesion)"
PLAIN = re.compile(rf"(?i)(?:{ADDED}[_-])?(?P<id>.+?)(?:[_-]{ADDED}(?:[_-]?\d{{1,3}})?)?")

Files = dict[str, list[str]]
"""Id of an image to its mask files."""


def read_folder(job: Job) -> Mapping:
    """One case per image; one without a mask has an unknown one."""
    images = _folder(job, job.options.images, IMAGES)
    in_masks = (
        None if "{id}" in (job.options.masks or "") else _folder(job, job.options.masks, MASKS)
    )
    tree = look(job, images, in_masks)
    if tree is not None:
        named = _masks(job, {})["target"] if "{id}" in (job.options.masks or "") else None
        return _of_tree(job, read_tree(job, tree, images, in_masks, named))
    if images is None:
        raise unusable(
            job.source.name,
            "there is no folder of images.",
            expected=f"a folder called {', '.join(IMAGES)}, DICOM series, or a folder per patient "
            "with masks that are called so (ct.nii.gz, ct_seg.nii.gz)",
            fix="name it: --images FOLDER",
        )
    found = {_key(path, images): path for path in image_files(job, images)}
    masks = _masks(job, found)
    given: Given = []
    for key, path in found.items():
        row = case_row(job, key.replace("/", "_"), {"image": path}, path)
        files = {finding: of_id.pop(key, []) for finding, of_id in masks.items()}
        if row is not None:
            job.rows.append(row)
            given.append((row, files))
    for path in (path for of_id in masks.values() for paths in of_id.values() for path in paths):
        job.leave_out(path, "missing_file", f"no image in {images} has this name")
    columns = {"case_id": f"name in {images}", "image": f"{images}/"}
    return _mapped(job, given, list(masks), columns)


def _of_tree(job: Job, tree: Tree) -> Mapping:
    if not any(paths for _, files in tree.given for paths in files.values()):
        job.notes.append("no masks are beside the images: all masks are unknown")
    return _mapped(job, tree.given, tree.findings, tree.columns)


def _mapped(job: Job, given: Given, findings: Sequence[str], columns: dict[str, str]) -> Mapping:
    """Masks and labels of the rows: one map per case if there is no more, else binary masks."""
    if not job.rows:
        return Mapping({}, columns)
    recipe = image_settings(job)
    of_case = [[*files.values()] for _, files in given]
    if len(findings) == 1 and all(len(paths) <= 1 for files in of_case for paths in files):
        for row, files in given:
            row["mask"] = next(iter(next(iter(files.values()))), "")
        mapping = map_labels(job, meaning_of_maps(job))
    else:
        mapping = _binary(job, given, findings)
    return Mapping({**recipe, **mapping.recipe}, {**columns, **mapping.columns})


def _folder(job: Job, named: str | None, known: Sequence[str]) -> str | None:
    """The folder that the user named, or the first that is there under a usual name."""
    if named is not None:
        if not any(walk(job, named.strip("/"))):
            raise UsageError(
                f"the folder {named!r} holds no pictures.",
                where="--images" if known is IMAGES else "--masks",
                expected="a folder in SRC, relative to it",
                fix=f"SRC has the folders {', '.join(folders(job)[:8])}",
            )
        return named.strip("/")
    return next((name for name in folders(job) if name.lower() in known), None)


def _key(path: str, folder: str) -> str:
    """Place and name of a file below a folder, without its suffix."""
    inner = path[len(folder) + 1 :]
    return inner[: inner.rfind("/") + 1] + stem(path)


def _masks(job: Job, found: Collection[str]) -> dict[str, Files]:
    """Per finding, the mask files of each image; files that fit none keep their own name as id."""
    named = job.options.masks
    if named is not None and "{id}" in named:
        before, _, after = named.partition("{id}")
        pattern = re.compile(re.escape(before) + "(?P<id>.+)" + re.escape(after))
        of_id: Files = defaultdict(list)
        for path in image_files(job):
            match = pattern.fullmatch(path[: path.rfind("/") + 1] + stem(path))
            if match:
                of_id[match["id"]].append(path)
        return {"target": of_id}
    folder = _folder(job, named, MASKS)
    if folder is None:
        job.notes.append("there is no folder of masks: all masks are unknown")
        return {"target": {}}
    inner = [sub for sub in folders(job, folder) if not any(k.startswith(f"{sub}/") for k in found)]
    if not inner:
        return {"target": _of_ids(job, folder, found)}
    names: dict[str, Files] = {}
    for sub in inner:
        names[finding_name(sub, list(names))] = _of_ids(job, f"{folder}/{sub}", found)
    for path in image_files(job, folder, deep=False):
        job.leave_out(path, "no_finding", f"it lies beside the folders of findings in {folder}")
    return names


def _of_ids(job: Job, folder: str, found: Collection[str]) -> Files:
    of_id: Files = defaultdict(list)
    for path in image_files(job, folder):
        key = _key(path, folder)
        if key not in found:
            place = key.rfind("/") + 1
            match = PLAIN.fullmatch(key[place:])
            key = key[:place] + match["id"] if match else key
        of_id[key].append(path)
    return of_id


def _binary(job: Job, given: Given, findings: Sequence[str]) -> Mapping:
    """Binary masks, a file per finding; several of one image are merged."""
    for row, files in given:
        for finding, paths in files.items():
            row.update(_cells(job, row, finding, paths))
    recipe = {"findings": list(findings)}
    columns = {f"mask_{f}": "binary masks; several of one image are merged" for f in findings}
    return Mapping(recipe, {**columns, **settle_labels(job, findings, recipe)})


def _cells(job: Job, row: Row, finding: str, paths: Sequence[str]) -> dict[str, Cell]:
    if not paths:
        return {}
    try:
        masks = [read_mask(job.source / path) for path in paths]
        if len(masks) > 1 and any(mask.affine is not None for mask in masks):
            grid = grid_of(probe(job.source / str(row["image"])))  # DICOM SEG may hold a part of it
            masks = [placed_on(mask, grid) for mask in masks]
        if len({mask.array.shape for mask in masks}) > 1:
            raise _not_binary("its masks have different sizes", paths[0])
        for mask in masks:
            values = {int(value) for value in np.unique(mask.array)}
            if not (values <= {0, 1} or values <= {0, 255}):
                raise _not_binary(f"it holds the values {sorted(values)[:8]}", paths[0])
    except CaseError as error:
        job.leave_out(paths[0], error.reason, f"mask not mapped: {error.wrong}")
        return {}
    merged = np.logical_or.reduce([mask.array > 0 for mask in masks])
    label = {f"label_{finding}": "1" if merged.any() else "0"}
    if len(paths) == 1:
        return {f"mask_{finding}": paths[0], **label}
    picture = Picture(merged, masks[0].spacing_mm, masks[0].affine)
    return {f"mask_{finding}": write_made_mask(job, finding, str(row["case_id"]), picture), **label}


def _not_binary(wrong: str, path: str) -> CaseError:
    return CaseError("mask_values", f"{wrong}.", where=path, expected="binary masks of one size",
                     fix="write one file per finding, of 0 and 1")  # fmt: skip
