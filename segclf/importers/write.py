"""Rows to files: the manifest, its recipe, a side table of made masks, and what was left out.

Everything lies beside the manifest, which appears last: a crash before leaves none. Images of SRC
stay where they are. If SRC is not in the folder of the manifest, SRC is the data root, and masks
that were made are named in a side table, whose paths start from its own folder.
"""

import csv
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segclf.core.atomic import write_text
from segclf.core.config import make_recipe
from segclf.core.errors import UsageError
from segclf.core.runs import safe_name
from segclf.core.strict_yaml import dump_yaml
from segclf.core.text import guarded, visible
from segclf.importers.record import Cell, Job, LeftOut, Made, Mapping, Row
from segclf.importers.source import unusable
from segclf.manifest.cells import NUMBER

ORDER = ("case_id", "image", "mask", "mask_kind", "label", "class", "patient_id", "split", "fold")
HEADER = """\
# Imported by `segclf import {kind}`: what the columns of {manifest} mean.
# Command:  segclf check --config {recipe}    then    segclf {train} --config {recipe}
"""


@dataclass(frozen=True)
class Places:
    """The files of one import."""

    manifest: Path

    def beside(self, ending: str) -> Path:
        """The file or folder whose name is that of the manifest with another ending."""
        return self.manifest.with_name(self.manifest.stem + ending)

    @property
    def recipe(self) -> Path:
        """The recipe."""
        return self.beside(".yaml")

    @property
    def made(self) -> Path:
        """The folder of masks and images that were made."""
        return self.beside("_files")

    @property
    def side(self) -> Path:
        """The side table of made masks, if SRC lies elsewhere."""
        return self.beside("_masks.csv")

    @property
    def new(self) -> Path:
        """The table of images of which nothing is known."""
        return self.beside("_new.csv")

    @property
    def left_out(self) -> Path:
        """What was left out, and why."""
        return self.beside("_left_out.csv")


def refuse_existing(places: Places) -> None:
    """Refuse to write over what is there.

    Raises:
        UsageError: The manifest is no .csv, or one of the files exists.
    """
    if places.manifest.suffix != ".csv":
        raise UsageError(
            f"{places.manifest.name!r} is not the name of a manifest.",
            where="--out",
            expected="a name that ends in .csv",
            fix="for example --out manifest.csv",
        )
    fixed = (places.manifest, places.recipe, places.made, places.side, places.new, places.left_out)
    for path in fixed:
        if os.path.lexists(path):
            raise UsageError(
                f"{path.name!r} exists.",
                where=f"--out {places.manifest.name}",
                expected="a name that is free, also for the recipe and the files beside it",
                fix="choose another name, or remove what is there",
            )


def write_import(job: Job, mapping: Mapping, places: Places, kind: str) -> list[Path]:
    """Write everything beside the manifest, the manifest last; returns what was written.

    Raises:
        DataError: There is no case.
    """
    if not job.rows:
        first = f"; the first reason: {job.left_out[0].why}" if job.left_out else ""
        raise unusable(
            job.source.name,
            f"no case could be imported as {kind}{first}.",
            expected="the layout of docs/import.md",
        )
    folder = places.manifest.parent.resolve()
    cells = [cell for row in [*job.rows, *job.new_rows] for cell in row.items()]
    names_source = any(_is_path(name) and isinstance(cell, str) and cell for name, cell in cells)
    is_apart = names_source and folder != job.source and folder not in job.source.parents
    prefix = "" if is_apart or not names_source else os.path.relpath(job.source, folder)
    recipe: dict[str, Any] = {
        "name": safe_name(places.manifest.stem)[:64].lstrip("._-") or "imported",
        "manifest": places.manifest.name,
        **({"data_root": os.path.relpath(job.source, folder)} if is_apart else {}),
        **mapping.recipe,
    }
    written = [places.manifest, places.recipe]
    rows, side_rows = job.rows, []
    if is_apart:
        rows, side_rows = _split_made(job.rows, mapping.recipe.get("mask_class"))
    if side_rows:
        recipe["side_tables"] = [places.side.name]
    text = HEADER.format(kind=kind, manifest=places.manifest.name, recipe=places.recipe.name,
                         train="train-seg" if has_masks(job) else "train-clf")  # fmt: skip
    make_recipe(recipe, where=f"the recipe of {kind}")  # a mistake of ours would show here
    if any(job.made.iterdir()):
        os.replace(job.made, places.made)
        written.append(places.made)
    for path, table in ((places.side, side_rows), (places.new, job.new_rows)):
        if table:
            write_text(path, table_text(table, "" if path == places.side else prefix, places))
            written.append(path)
    if job.left_out:
        write_text(places.left_out, _reasons(job.left_out))
        written.append(places.left_out)
    write_text(places.recipe, text + dump_yaml(recipe))
    write_text(places.manifest, table_text(rows, prefix, places))
    return written


def has_masks(job: Job) -> bool:
    """Whether any case has a mask, so that a segmenter can be trained."""
    return any(_role(name) == "mask" and cell for row in job.rows for name, cell in row.items())


def table_text(rows: Sequence[Row], prefix: str, places: Places) -> str:
    """CSV that no spreadsheet runs; paths of SRC start with `prefix`."""
    names = sorted({name: None for row in rows for name in row}, key=_place)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_text(name, row.get(name, ""), prefix, places) for name in names])
    return stream.getvalue()


def _text(name: str, cell: Cell, prefix: str, places: Places) -> str:
    if isinstance(cell, Made):
        return f"{places.made.name}/{cell.path}"
    if _is_path(name):
        path = f"{prefix}/{cell}" if cell and prefix not in ("", ".") else cell
        return f"./{path}" if guarded(path) != path else path
    text = visible(cell, instead=" ").strip()
    return text if NUMBER.fullmatch(text) else guarded(text)


def _split_made(rows: Sequence[Row], mask_class: str | None) -> tuple[list[Row], list[Row]]:
    """Rows without made files, and rows of a side table with them and with their kinds.

    A class-valued mask belongs to the finding of its row, which a side table has to name.
    """
    kept, side = [], []
    for row in rows:
        made = {name: cell for name, cell in row.items() if isinstance(cell, Made)}
        kinds = {
            name: cell
            for name, cell in row.items()
            if _role(name) == "mask_kind" and ("mask" + name[len("mask_kind") :] in made)
        }
        kept.append({name: cell for name, cell in row.items() if name not in made | kinds})
        if made:
            own = {f"mask_{row[mask_class]}": made["mask"]} if mask_class else made
            side.append({"case_id": row["case_id"], **own, **kinds})
    return kept, side


def _reasons(left_out: Sequence[LeftOut]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["where", "reason", "why"])
    for each in left_out:
        writer.writerow([guarded(visible(text)) for text in (each.where, each.reason, each.why)])
    return stream.getvalue()


def _role(name: str) -> str:
    found = re.match(r"mask_kind|case_id|patient_id|image|mask|label|class|split|fold", name)
    return found[0] if found else ""


def _is_path(name: str) -> bool:
    return _role(name) in ("image", "mask")


def _place(name: str) -> int:
    role = _role(name)
    return ORDER.index(role) if role in ORDER else len(ORDER)
