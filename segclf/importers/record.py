"""What an importer gets and gives: a job with its folders, and rows of a manifest with reasons."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Options:
    """What the user may say about a layout; each importer names those that it knows."""

    table: str | None = None
    """The table or JSON file, relative to SRC."""
    images: str | None = None
    """Folder of images, relative to SRC."""
    masks: str | None = None
    """Folder of masks, or a pattern with `{id}`."""


@dataclass(frozen=True)
class LeftOut:
    """Something in SRC that is not in the manifest, and why."""

    where: str
    """File and row, annotation or item."""
    reason: str
    """Machine-readable, such as `missing_file` or `bad_rle`."""
    why: str


@dataclass(frozen=True)
class Made:
    """A cell that names a file written by the importer, relative to the folder of such files."""

    path: str


Cell = str | Made
Row = dict[str, Cell]


@dataclass
class Job:
    """One import while it runs."""

    source: Path
    """SRC, resolved; nothing outside it is read."""
    made: Path
    """Folder that masks and images are written to, which appears under its name at the end."""
    options: Options = field(default_factory=Options)
    rows: list[Row] = field(default_factory=list)
    """Cases, keyed by columns of the manifest."""
    new_rows: list[Row] = field(default_factory=list)
    """Images of which nothing is known, apart from the manifest: to be predicted."""
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def leave_out(self, where: str, reason: str, why: str) -> None:
        """Say that something in SRC has no place in the manifest."""
        self.left_out.append(LeftOut(where, reason, why.rstrip(".")))


@dataclass(frozen=True)
class Mapping:
    """What the columns of the manifest mean."""

    recipe: dict[str, Any]
    """Settings of the recipe, without manifest and data_root."""
    columns: dict[str, str]
    """Column of the manifest to where it came from, in words."""
