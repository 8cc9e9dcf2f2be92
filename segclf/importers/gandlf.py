"""GaNDLF's data CSV: SubjectID, Channel_0 ..., Label, ValueToPredict.

Source: github.com/mlcommons/GaNDLF, docs/usage.md, "Constructing the Data CSV". Paths are absolute
there; those that lie in SRC are used.
"""

import re

from segclf.importers.labels import image_settings, map_labels, meaning_of_maps
from segclf.importers.metadata import metadata_names, roles_of
from segclf.importers.record import Job, Mapping, Row
from segclf.importers.source import case_row, mask_text, pick, read_table, stem, unusable, walk
from segclf.manifest.cells import NUMBER
from segclf.manifest.sources import Texts

SUBJECT = re.compile(r"(?i)subjectid|patientname|patientid|subject_id|patient_id")
CHANNEL = re.compile(r"(?i)(?:channel|modality|image)_?(?P<number>\d+)")
MASK = re.compile(r"(?i)label|mask|segmentation")
VALUE = re.compile(r"(?i)valuetopredict")
MAX_CLASSES = 50


def read_gandlf(job: Job) -> Mapping:
    """One case per row; a subject may have several."""
    found = [name for name in walk(job, deep=False) if name.lower().endswith(".csv")]
    name = pick(job, found, kind="CSV files", expected="one data CSV")
    texts = read_table(job, name)
    channels = _channels(texts, name)
    subject, mask, value = (_header(texts, pattern) for pattern in (SUBJECT, MASK, VALUE))
    used = {subject, mask, value, *channels} - {None}
    names = metadata_names(job, texts.columns, [header for header in used if header])
    values: list[str] = []
    for index, number in enumerate(texts.rows):
        record = {header: cells[index] for header, cells in texts.columns.items()}
        row = _row(job, f"{name}, row {number}", record, channels, subject, mask)
        if row is not None:
            job.rows.append({**row, **{column: record[h] for h, column in names.items()}})
            values.append(record[value] if value else "")
    if not job.rows:
        return Mapping({}, {})
    columns = {"case_id": subject or "name of the first file"}
    columns |= dict(zip(_columns(len(channels)), channels, strict=True))
    columns |= {"patient_id": subject} if subject else {}
    recipe = image_settings(job)
    predicted = _predicted(job, values, has_masks=mask is not None) if value else Mapping({}, {})
    mapping = map_labels(job, meaning_of_maps(job)) if mask else Mapping({}, {})
    columns |= mapping.columns | predicted.columns
    columns |= {column: header for header, column in names.items()}
    roles = roles_of(names.values()) | predicted.recipe.pop("roles", {})
    return Mapping(
        {**recipe, **mapping.recipe, **predicted.recipe, **({"roles": roles} if roles else {})},
        columns,
    )


def _channels(texts: Texts, name: str) -> list[str]:
    """Headers of the channels, in the order of their numbers."""
    matches = [match for header in texts.columns if (match := CHANNEL.fullmatch(header))]
    if not matches:
        raise unusable(
            name,
            f"its columns are {', '.join(texts.columns)}.",
            expected="Channel_0 (or Modality_0, Image_0), Label, SubjectID",
        )
    return [match[0] for match in sorted(matches, key=lambda match: int(match["number"]))]


def _header(texts: Texts, pattern: re.Pattern[str]) -> str | None:
    return next((header for header in texts.columns if pattern.fullmatch(header)), None)


def _columns(n_channels: int) -> list[str]:
    return ["image"] if n_channels == 1 else [f"image_{k}" for k in range(n_channels)]


def _row(
    job: Job, where: str, record: dict[str, str], channels: list[str], subject: str | None,
    mask: str | None,
) -> Row | None:  # fmt: skip
    images = {c: record[h] for c, h in zip(_columns(len(channels)), channels, strict=True)}
    wanted = record[subject] if subject and record[subject] else stem(record[channels[0]])
    row = case_row(job, wanted, images, where)
    if row is None:
        return None
    if subject:
        row["patient_id"] = record[subject] or str(row["case_id"])
    if mask:
        row["mask"] = (mask_text(job, record[mask], where) or "") if record[mask] else ""
    return row


def _predicted(job: Job, values: list[str], *, has_masks: bool) -> Mapping:
    """ValueToPredict as a label (0/1), a class column, or, if it is a quantity, metadata."""
    plain = [_plain(text) for text in values]
    known = {*plain} - {""}
    if known <= {"0", "1"} and not has_masks:
        name, recipe = "label", {}
    elif len(known) <= MAX_CLASSES and not any("." in text for text in known):
        name = "class_value"
        recipe = {} if has_masks else {"classify": {"head": "softmax", "targets": ["value"]}}
    else:
        name, recipe = "value_to_predict", {"roles": {"value_to_predict": "derived"}}
        job.notes.append("ValueToPredict is a quantity: regression is not done, it is metadata")
    for row, text in zip(job.rows, plain, strict=True):
        row[name] = text
    return Mapping(recipe, {name: "ValueToPredict"})


def _plain(text: str) -> str:
    """Whole numbers without '.0'."""
    return f"{float(text):g}" if NUMBER.fullmatch(text) else text
