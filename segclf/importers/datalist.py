"""Lists of cases in JSON: the Medical Segmentation Decathlon's dataset.json and MONAI's datalists.

Only the values of `image` and `label` are paths. All others are texts, whatever files exist.

Sources: Antonelli et al. 2022, doi:10.1038/s41467-022-30695-9, and medicaldecathlon.com;
docs.monai.io, `monai.data.load_decathlon_datalist` and Auto3DSeg's `datalist.json`.
"""

from collections.abc import Iterator
from typing import Any

from segclf.importers.labels import (
    Meaning,
    image_settings,
    map_labels,
    meaning_of_maps,
    named_meaning,
)
from segclf.importers.metadata import metadata_names, roles_of
from segclf.importers.nnunet import parse_dataset_json
from segclf.importers.parts import settle_parts
from segclf.importers.record import Job, Mapping, Row
from segclf.importers.source import (
    case_row,
    finding_name,
    mask_text,
    pick,
    read_object,
    stem,
    unusable,
    walk,
)

PARTS = {
    "training": "train",
    "train": "train",
    "validation": "val",
    "val": "val",
    "testing": "test",
    "test": "test",
}
"""Key of the list to part."""


def read_msd(job: Job) -> Mapping:
    """Cases of the Decathlon's dataset.json; a file may hold several channels."""
    return _read(job, "dataset.json")


def read_monai(job: Job) -> Mapping:
    """Cases of a datalist: `training`, `validation`, `test`, and folds."""
    found = [name for name in walk(job, deep=False) if name.endswith(".json")]
    return _read(job, pick(job, found, kind="JSON files", expected="one datalist"))


def _read(job: Job, name: str) -> Mapping:
    data = read_object(job, name)
    items = list(_items(job, data, name))
    if not items:
        raise unusable(
            name,
            f"it lists no cases: its keys are {', '.join(map(repr, list(data)[:8]))}.",
            expected=f"a list under {', '.join(PARTS)}",
        )
    channels = _channels(data)
    keys = list(dict.fromkeys(key for _, _, item in items for key in item))
    names = metadata_names(job, keys, ("image", "label", "fold"))
    has_folds = all("fold" in item for _, part, item in items if part == "train")
    for where, part, item in items:
        _add(job, where, part, item, channels, names)
    if not job.rows:
        return Mapping({}, {})
    recipe = image_settings(job)
    mapping = _class_labels(job) or map_labels(job, _meaning(job, data))
    came = {"fold": "key fold"} if _keep_folds(job, has_folds) else settle_parts(job)
    roles = roles_of(names.values())
    images = {key: "key image" for key in job.rows[0] if key.startswith("image")}
    return Mapping(
        {**recipe, **mapping.recipe, **({"roles": roles} if roles else {})},
        {"case_id": "name of the image file", **images, **mapping.columns, **came,
         **{column: f"key {key}" for key, column in names.items()}},
    )  # fmt: skip


def _items(job: Job, data: dict[str, Any], name: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Place, part and keys of each case."""
    for key, part in PARTS.items():
        cases = data.get(key, [])
        for number, item in enumerate(cases if isinstance(cases, list) else []):
            where = f"{name}, {key}[{number}]"
            if isinstance(item, str):
                item = {"image": item}
            if isinstance(item, dict) and "image" in item:
                yield where, part, item
            else:
                job.leave_out(where, "bad_item", "it is no path and has no key image")


def _channels(data: dict[str, Any]) -> tuple[str, ...]:
    names = data.get("channel_names", data.get("modality"))
    return tuple(map(str, names.values())) if isinstance(names, dict) else ()


def _add(
    job: Job, where: str, part: str, item: dict[str, Any], channels: tuple[str, ...],
    names: dict[str, str],
) -> None:  # fmt: skip
    images = item["image"] if isinstance(item["image"], list) else [item["image"]]
    if not images or not all(isinstance(text, str) for text in images):
        job.leave_out(where, "bad_item", "its image is no path or list of paths")
        return
    row = case_row(job, stem(images[0]), _image_columns(images, channels), where)
    if row is None:
        return
    label = item.get("label")
    label = label[0] if isinstance(label, list) and len(label) == 1 else label
    if isinstance(label, str) and label:
        row["mask"] = mask_text(job, label, where) or ""
    elif type(label) in (int, float):
        row["class_label"] = f"{label:g}"
    elif label:
        job.leave_out(where, "bad_item", "its label is neither a path nor a number: not mapped")
    elif part == "test":
        job.new_rows.append(row)
        return
    row.update(_facts(job, where, item, names))
    job.rows.append({**row, "split": part})


def _image_columns(images: list[str], channels: tuple[str, ...]) -> dict[str, str]:
    if len(images) == 1:
        return {"image": images[0]}
    texts = channels if len(channels) == len(images) else [str(k) for k in range(len(images))]
    used: list[str] = []
    for text in texts:
        used.append(finding_name(text, used))
    return {f"image_{name}": path for name, path in zip(used, images, strict=True)}


def _facts(job: Job, where: str, item: dict[str, Any], names: dict[str, str]) -> Row:
    """Fold and metadata of an item; texts stay texts, whatever files exist."""
    cells: Row = {}
    fold = item.get("fold")
    if type(fold) is int and fold >= 0:
        cells["fold"] = str(fold)
    for key, column in names.items():
        value = item.get(key)
        if isinstance(value, str | int | float):
            cells[column] = str(value)
        elif value is not None:
            job.leave_out(f"{where}, {key}", "bad_item", "its value is no text or number")
    return cells


def _meaning(job: Job, data: dict[str, Any]) -> Meaning:
    labels = data.get("labels")
    if not isinstance(labels, dict):
        return meaning_of_maps(job)
    is_by_name = any(not str(key).isdigit() for key in labels)
    named = {"channel_names" if is_by_name else "modality": {"0": "image"}, "labels": labels}
    found = parse_dataset_json(named)
    return named_meaning(found.labels, found.ignore, job)


def _class_labels(job: Job) -> Mapping | None:
    """Numbers under `label` are categories, if no label is a map."""
    given = [row for row in job.rows if "class_label" in row]
    if not given:
        return None
    if any(row.get("mask") for row in job.rows):
        for row in given:
            row.pop("class_label")
            job.leave_out(str(row["case_id"]), "bad_item", "its label is a number, others are maps")
        return None
    for row in job.rows:
        row.pop("mask", None)
    recipe = {"classify": {"head": "softmax", "targets": ["label"]}}
    return Mapping(recipe, {"class_label": "key label, a number per case"})


def _keep_folds(job: Job, has_folds: bool) -> bool:
    """Whether the cells `fold` stay; then the parts go, since the folds are the split."""
    numbers = {int(str(row["fold"])) for row in job.rows if "fold" in row}
    training = [row for row in job.rows if row["split"] == "train"]
    is_numbered = len(numbers) > 1 and numbers == {*range(len(numbers))}
    if has_folds and len(training) == len(job.rows) and is_numbered:
        for row in job.rows:
            row.pop("split", None)
        return True
    if numbers:
        job.notes.append(
            "the folds are not used: they are not numbered 0 to k-1 in every case, or there are "
            "labelled cases outside the list training"
        )
    for row in job.rows:
        row.pop("fold", None)
    return False
