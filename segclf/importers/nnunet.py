"""nnU-Net's raw data sets, version 1 and 2: dataset.json, imagesTr, labelsTr, imagesTs, labelsTs.

Source: documentation/dataset_format.md, region_based_training.md, ignore_label.md and
manual_data_splits.md of github.com/MIC-DKFZ/nnUNet.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from segclf.core.errors import CaseError
from segclf.importers.labels import image_settings, map_labels, named_meaning
from segclf.importers.parts import settle_parts
from segclf.importers.record import Job, Mapping
from segclf.importers.source import (
    case_row,
    finding_name,
    mask_text,
    read_object,
    unusable,
    walk,
)

SPLITS = "splits_final.json"
COLOUR = (".png", ".bmp", ".tif")


@dataclass(frozen=True)
class DatasetJson:
    """What dataset.json says, in one form for both versions."""

    version: int
    channels: tuple[str, ...]
    labels: dict[str, tuple[int, ...]]
    ignore: int | None
    ending: str
    listed: dict[str, Any]
    """Case to its files, where dataset.json lists them (`dataset`)."""


def read_nnunet(job: Job) -> Mapping:
    """Cases of imagesTr with their label maps; imagesTs is the test part if it has labels."""
    found = parse_dataset_json(read_object(job, "dataset.json"))
    meaning = named_meaning(found.labels, found.ignore, job)
    if found.version == 1:
        job.notes.append("dataset.json is of nnU-Net version 1 (labels by number, 'modality')")
    columns = _channel_columns(job, found)
    if found.listed:
        _add_listed(job, found, columns)
    else:
        _add_folder(job, "Tr", found.ending, columns, part="train")
        _add_folder(job, "Ts", found.ending, columns, part="test")
    _add_splits(job)
    if not job.rows:
        return Mapping({}, {})
    recipe = image_settings(job)
    mapping = map_labels(job, meaning)
    split = settle_parts(job)
    if any("fold" in row for row in job.rows):
        split = {"fold": f"the validation parts of {SPLITS}"}
    named = dict(zip(columns, (f"channel {name!r}" for name in found.channels), strict=False))
    if len(columns) < len(found.channels):
        named = {"image": f"channels {', '.join(found.channels)} in one file"}
    return Mapping(
        {**recipe, **mapping.recipe},
        {
            "case_id": "name of the label map",
            **named,
            **mapping.columns,
            **split,
        },
    )


def parse_dataset_json(data: dict[str, Any]) -> DatasetJson:
    """Channels, labels and file ending of dataset.json.

    Raises:
        DataError: A key is missing or has another form.
    """
    channels, labels = data.get("channel_names", data.get("modality")), data.get("labels")
    if not isinstance(channels, dict) or not isinstance(labels, dict) or not channels:
        raise unusable(
            "dataset.json",
            "it has no channel_names (or modality) and labels.",
            expected='"channel_names": {"0": "CT"}, "labels": {"background": 0, "tumour": 1}',
        )
    version = 2 if "channel_names" in data else 1
    by_name: dict[str, tuple[int, ...]] = {}
    for key, value in labels.items():
        name, values = (key, value) if version == 2 else (value, key)
        given = values if isinstance(values, list) else [values]
        pixels = [int(v) for v in given if _is_whole(v)]
        if not isinstance(name, str) or len(pixels) < max(len(given), 1) or name in by_name:
            raise unusable(
                "dataset.json",
                f"the label {key!r}: {value!r} cannot be read.",
                expected='"name": value or [values] (version 2), "value": "name" (version 1)',
            )
        by_name[name] = tuple(pixels)
    ignore = by_name.pop("ignore", None) if version == 2 else None
    kept = {name: pixels for name, pixels in by_name.items() if pixels != (0,)}
    order = sorted(channels, key=lambda key: int(key) if _is_whole(key) else 0)
    listed = data.get("dataset")
    return DatasetJson(
        version,
        tuple(str(channels[key]) for key in order),
        kept,
        ignore[0] if ignore else None,
        str(data.get("file_ending", ".nii.gz")),
        listed if isinstance(listed, dict) else {},
    )


def _is_whole(value: Any) -> bool:  # noqa: ANN401
    return re.fullmatch(r"\d{1,4}", str(value)) is not None and not isinstance(value, bool)


def _channel_columns(job: Job, found: DatasetJson) -> list[str]:
    """A column per channel; one for a colour picture, whose file holds all of them."""
    second = f"_0001{found.ending}"
    is_colour = found.ending in COLOUR and not any(
        name.endswith(second) for name in walk(job, "imagesTr", deep=False)
    )
    if len(found.channels) == 1 or is_colour:
        return ["image"]
    names: list[str] = []
    for channel in found.channels:
        names.append(finding_name(channel, names))
    return [f"image_{name}" for name in names]


def _add_folder(job: Job, part_of_name: str, ending: str, columns: list[str], *, part: str) -> None:
    """Cases of one images folder, with the label maps of the folder beside it."""
    images, labels = f"images{part_of_name}", f"labels{part_of_name}"
    pattern = re.compile(r"(?P<id>.+)_(?P<channel>\d{4})" + re.escape(ending))
    of_case: dict[str, dict[int, str]] = {}
    for name in walk(job, images, deep=False):
        match = pattern.fullmatch(name.rpartition("/")[2])
        if match is None:
            job.leave_out(name, "bad_name", f"its name is not CASE_0000{ending}")
        else:
            of_case.setdefault(match["id"], {})[int(match["channel"])] = name
    maps = {name.rpartition("/")[2]: name for name in walk(job, labels, deep=False)}
    for case, files in of_case.items():
        where = f"{images}/{case}"
        if sorted(files) != [*range(len(columns))]:
            job.leave_out(where, "channels", f"it has the channels {sorted(files)}, not all "
                          f"{len(columns)} of dataset.json")  # fmt: skip
            continue
        text = maps.pop(f"{case}{ending}", None)
        row = case_row(job, case, {c: files[k] for k, c in enumerate(columns)}, where)
        if row is None:
            continue
        if text is None and part == "test":
            job.new_rows.append(row)
            continue
        if text is None:
            job.leave_out(where, "missing_file", f"no label map in {labels}: its mask is unknown")
        job.rows.append(
            {**row, "mask": (text and mask_text(job, text, where)) or "", "split": part}
        )
    for name in maps.values():
        job.leave_out(name, "missing_file", f"no images of this case in {images}")


def _add_listed(job: Job, found: DatasetJson, columns: list[str]) -> None:
    """Cases whose files dataset.json lists (`dataset`), wherever they lie in SRC."""
    for case, files in found.listed.items():
        images = files.get("images") if isinstance(files, dict) else None
        if not isinstance(images, list) or len(images) != len(columns):
            job.leave_out(f"dataset.json, {case}", "channels", "it does not list all channels")
            continue
        where = f"dataset.json, {case}"
        row = case_row(job, case, dict(zip(columns, map(str, images), strict=True)), where)
        if row is not None:
            label = files.get("label")
            text = mask_text(job, str(label), where) if label else ""
            job.rows.append({**row, "mask": text or "", "split": "train"})


def _add_splits(job: Job) -> None:
    """The parts of splits_final.json: one split gives train and val, several give folds."""
    if not (job.source / SPLITS).is_file():
        return
    try:
        splits = read_splits(job)
    except CaseError as error:
        job.leave_out(SPLITS, error.reason, error.wrong)
        return
    rows = {str(row["case_id"]): row for row in job.rows}
    for number, split in enumerate(splits):
        for case in split:
            if case not in rows:
                job.leave_out(
                    f"{SPLITS}, split {number}", "unknown_case", f"there is no case {case!r}"
                )
            elif len(splits) == 1:
                rows[case]["split"] = "val"
            else:
                rows[case]["fold"] = str(number)
    if len(splits) > 1:
        without = [row for row in job.rows if "fold" not in row]
        if without:
            job.notes.append(
                f"no fold column: {len(without)} cases, such as {without[0]['case_id']!r}, are in "
                f"no validation part of {SPLITS}"
            )
            for row in job.rows:
                row.pop("fold", None)
        else:
            for row in job.rows:
                row.pop("split", None)


def read_splits(job: Job) -> list[list[str]]:
    """The validation cases of each split of splits_final.json.

    Raises:
        CaseError: `bad_split`: it has another form, or a case validates twice.
    """
    path = job.source / SPLITS
    wrong = "it is no list of {train: [...], val: [...]}."
    try:
        data = json.loads(path.read_bytes()) if path.stat().st_size < 2**26 else None
        parts = [[str(case) for case in split["val"]] for split in data or ()]
    except (ValueError, TypeError, KeyError, RecursionError):
        parts = []
    cases = [case for part in parts for case in part]
    if parts and len(set(cases)) < len(cases):
        wrong = "a case validates in several splits."
    if not parts or len(set(cases)) < len(cases):
        raise CaseError("bad_split", wrong, where=SPLITS, expected="splits of nnU-Net",
                        fix="correct or remove the file")  # fmt: skip
    return parts
