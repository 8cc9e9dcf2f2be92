"""Integer label maps to findings: what each value means, and what every map holds.

Labels of cases follow from their maps: 1 where a finding has a pixel, else 0. Where findings
overlap (nnU-Net's regions) or pixels are to be ignored, no map of one finding per value can say
so, and a file per finding is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segclf.core.errors import CaseError
from segclf.importers.made import write_made_mask
from segclf.importers.record import Cell, Job, Mapping, Row
from segclf.importers.source import finding_name, unusable
from segclf.io import Picture, probe, read_mask

UNCERTAIN = 2
"""What a file of kind `uncertain` holds where nothing is known."""


@dataclass(frozen=True)
class Meaning:
    """Findings and the values of their pixels."""

    values: dict[str, tuple[int, ...]]
    ignore: int | None = None
    """Value of pixels of which nothing is known."""
    is_binary: bool = False
    """One finding, any value above 0."""

    @property
    def needs_files(self) -> bool:
        """Whether a value belongs to several findings, or to none."""
        listed = [value for values in self.values.values() for value in values]
        return len(set(listed)) < len(listed) or self.ignore is not None


def map_labels(job: Job, meaning: Meaning) -> Mapping:
    """Turn the cell `mask` of every row into masks and labels of findings; blank stays unknown.

    A map that cannot be read, or holds a value without a name, is taken out of its row, and the
    reason is kept.
    """
    for row in job.rows:
        text = row.pop("mask", "")
        if isinstance(text, str) and text:
            row.update(_cells(job, row, text, meaning))
    recipe: dict[str, Any] = {"findings": list(meaning.values)}
    if meaning.needs_files:
        columns = {f"mask_{name}": f"pixels {_listed(v)}" for name, v in meaning.values.items()}
    else:
        columns = {"mask": "integer map"}
        if not meaning.is_binary:
            named = [(value, name) for name, values in meaning.values.items() for value in values]
            recipe["mask_values"] = dict(sorted(named))
    return Mapping(recipe, {**columns, **settle_labels(job, list(meaning.values), recipe)})


def settle_labels(job: Job, findings: Sequence[str], recipe: dict[str, Any]) -> dict[str, str]:
    """Keep labels that tell cases apart; where all findings are everywhere the same, drop them."""
    known = {
        name: {row[f"label_{name}"] for row in job.rows if row.get(f"label_{name}")}
        for name in findings
    }
    if any(len(values) == 2 for values in known.values()):
        return {f"label_{name}": "1 if its mask has a pixel, else 0" for name in findings}
    for row in job.rows:
        for name in findings:
            row.pop(f"label_{name}", None)
    if any(known.values()):
        job.notes.append(
            "no finding is present in some cases and absent in others, so there are no labels to "
            "learn: masks only (train.select_by: dice)"
        )
    recipe["train"] = {"select_by": "dice"}
    return {}


def meaning_of_maps(job: Job, prefix: str = "value") -> Meaning:
    """The meaning of maps that nothing explains: binary, or a finding per value that occurs."""
    present: set[int] = set()
    for row in job.rows:
        text = row.get("mask")
        if isinstance(text, str) and text:
            try:
                present |= set(np.unique(read_mask(job.source / text).array).tolist())
            except CaseError:
                continue  # said when the map is read for its labels
    above = sorted(present - {0})
    if present and 0 not in present:
        job.notes.append(
            f"0 is in no mask: if one of {_listed(above)} is the background, call it so in the "
            "recipe: mask_values: {VALUE: background}"
        )
    if above in ([], [1], [255]):
        return Meaning({"target": (1,)}, is_binary=True)
    job.notes.append(
        f"no file says what the mask values mean; each of {_listed(above)} is a finding"
    )
    return Meaning({f"{prefix}_{value}".replace("-", "minus_"): (value,) for value in above})


def named_meaning(names: dict[str, tuple[int, ...]], ignore: int | None, job: Job) -> Meaning:
    """The meaning of maps by the names of another tool; names that change are noted."""
    values: dict[str, tuple[int, ...]] = {}
    for text, pixels in names.items():
        name = finding_name(text, list(values))
        if name != text:
            job.notes.append(f"the label {text!r} is the finding {name}")
        values[name] = pixels
    if not values:
        raise unusable(
            job.source.name,
            "the labels name nothing but background.",
            expected="a label above 0",
        )
    return Meaning(values, ignore)


def image_settings(job: Job) -> dict[str, Any]:
    """The recipe's settings for pictures or volumes, by the first image that can be read.

    Raises:
        DataError: None can.
    """
    first = ""
    for row in job.rows:
        path = next(str(cell) for name, cell in row.items() if name.startswith("image"))
        try:
            n_dims = len(probe(job.source / path).shape) - 1
        except CaseError as error:
            first = first or f"{path}: {error.wrong}"
            continue
        volumes = {"network": {"name": "segresnet"}} if n_dims == 3 else {}
        return {"image": {"spatial_dims": n_dims}, **volumes}
    raise unusable(job.source.name, f"no image can be read. {first}", expected="images")


def _cells(job: Job, row: Row, text: str, meaning: Meaning) -> dict[str, Cell]:
    try:
        picture = read_mask(job.source / text)
        present = set(np.unique(picture.array).tolist())
        _check_values(present, meaning, text)
    except CaseError as error:
        job.leave_out(text, error.reason, f"mask not mapped: {error.wrong}")
        return {}
    cells: dict[str, Cell] = {}
    unsure = meaning.ignore in present
    for name, values in meaning.values.items():
        is_in = picture.array > 0 if meaning.is_binary else np.isin(picture.array, values)
        has = bool(is_in.any())
        cells[f"label_{name}"] = "1" if has else "" if unsure else "0"
        if meaning.needs_files and (has or unsure):
            plane = is_in.astype(np.uint8)
            if unsure:
                plane[picture.array == meaning.ignore] = UNCERTAIN
                cells[f"mask_kind_{name}"] = "uncertain"
            mask = Picture(plane, picture.spacing_mm, picture.affine)
            cells[f"mask_{name}"] = write_made_mask(job, name, str(row["case_id"]), mask)
    return cells if meaning.needs_files else {"mask": text, **cells}


def _check_values(present: set[int], meaning: Meaning, text: str) -> None:
    named = {0, *(value for values in meaning.values.values() for value in values)}
    named |= {meaning.ignore} if meaning.ignore is not None else set()
    is_fine = present <= {0, 255} or present <= {0, 1} if meaning.is_binary else present <= named
    if not is_fine:
        raise CaseError(
            "mask_values",
            f"it holds {_listed(sorted(present - named))}, which nothing names.",
            where=text,
            expected=f"the values {_listed(sorted(named))}",
            fix="name each value",
        )


def _listed(values: Sequence[int] | tuple[int, ...]) -> str:
    shown = ", ".join(map(str, values[:8]))
    return f"{shown}, ..." if len(values) > 8 else shown
