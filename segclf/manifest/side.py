"""Side tables: what later stages add to a manifest without rewriting it."""

from dataclasses import dataclass, field
from pathlib import Path

from segclf.core.config import Recipe
from segclf.core.errors import CaseError, ConfigError, DataError
from segclf.core.runs import RUNS
from segclf.io import confine
from segclf.manifest.cells import Column
from segclf.manifest.columns import part_of
from segclf.manifest.sources import Texts

ID = "case_id"
FIXED = (ID, "patient_id", "split", "fold", "volume_id", "slice_index", "spacing_mm")
"""What a side table may not change: which case it is, and where it belongs."""


@dataclass(frozen=True)
class Cells:
    """Texts under canonical names, and the folder that the paths of each cell start from."""

    rows: list[int]
    texts: dict[str, list[str]]
    """Names `image/<k>`, `mask`, `mask_<finding>`, `label_<finding>`, …, metadata headers."""
    headers: dict[str, str]
    """Canonical name to the header that the user knows."""
    folders: list[Path]
    """The data root, then the folder of each side table."""
    folder_of: dict[str, list[int]] = field(default_factory=dict)
    """Mask column to the index in `folders` of each row; absent: all from the data root."""

    def column(self, name: str) -> Column:
        """The column of a canonical name."""
        return Column(self.headers[name], self.rows, self.texts[name])


def named_side_tables(recipe: Recipe, manifest: Path, base: Path) -> list[Path]:
    """The side tables that the recipe names: beside the manifest or below it, or in a run.

    Args:
        recipe: A text that starts with `runs/` may name a file of a run.
        manifest: The table.
        base: Folder of the recipe.

    Raises:
        ConfigError: There is no such file, or it lies elsewhere.
    """
    paths = []
    for text in recipe.side_tables:
        try:
            paths.append(_confined(text, manifest.parent, base))
        except CaseError as error:
            raise ConfigError(
                f"the side table {text!r} cannot be used: {error.wrong}",
                where=f"side_tables: {text!r}",
                expected="a .csv or .parquet file in the manifest's folder or below it, or "
                "runs/NAME/… in a run",
                fix="correct the path; it is relative to the manifest's folder",
            ) from None
    return paths


def _confined(text: str, folder: Path, base: Path) -> Path:
    """The file in `folder`, else, for `runs/…`, in the folder of runs."""
    top, _, rest = text.replace("\\", "/").partition("/")
    try:
        return confine(text, [folder])
    except CaseError as error:
        if error.reason != "missing_file" or top != RUNS.name or not rest:
            raise
        # where the run lies of which this is the recipe, however the current folder is called
        around = [path for path in base.resolve().parents if path.name == RUNS.name][:1]
        return confine(rest, [*around, RUNS])


def overlay(
    cells: Cells, ids: list[str], side: Texts, path: Path, findings: tuple[str, ...]
) -> None:
    """Lay the filled cells of a side table over `cells`; its paths start from its own folder.

    Raises:
        DataError: An id is unknown or stands twice, or a column may not be changed.
    """
    if ID not in side.columns:
        raise _bad_side(path, "it has no column case_id.", "a case_id in each row")
    place = {case_id: index for index, case_id in enumerate(ids)}
    side_ids = side.columns[ID]
    for case_id in side_ids:
        if case_id not in place:
            wrong = f"the case {case_id!r} is not in the manifest."
            raise _bad_side(path, wrong, "ids of the manifest")
    if len(set(side_ids)) < len(side_ids):
        twice = next(case_id for case_id in side_ids if side_ids.count(case_id) > 1)
        raise _bad_side(path, f"the case {twice!r} stands twice.", "each id once")
    cells.folders.append(path.resolve().parent)
    for header, texts in side.columns.items():
        if header == ID:
            continue
        name = _canonical_name(header, path, findings)
        blank = [""] * len(ids)
        column = cells.texts.setdefault(name, blank)
        cells.headers.setdefault(name, header)
        folder_of = cells.folder_of.setdefault(name, [0] * len(ids))
        for case_id, text in zip(side_ids, texts, strict=True):
            if text:
                column[place[case_id]] = text
                folder_of[place[case_id]] = len(cells.folders) - 1
    _bring_kinds(cells, [place[case_id] for case_id in side_ids], side, path, findings)


def _bring_kinds(
    cells: Cells, places: list[int], side: Texts, path: Path, findings: tuple[str, ...]
) -> None:
    """A mask of a side table has the kind and source that stand beside it, or the default ones.

    What the manifest says of the mask that it replaces does not hold for it.
    """
    texts = {_canonical_name(h, path, findings): t for h, t in side.columns.items() if h != ID}
    blank, unset = [""] * len(places), [""] * len(cells.rows)
    for finding in findings:
        for role, default in (("mask_kind", "full"), ("mask_source", "drawn")):
            name = f"{role}_{finding}"
            beside = zip(texts.get(name, blank), texts.get(role, blank), strict=True)
            filled = texts.get(f"mask_{finding}", blank)
            for i, mask, (own, plain) in zip(places, filled, beside, strict=True):
                now = cells.texts.get(name, unset)[i] or cells.texts.get(role, unset)[i] or default
                if mask and now != (own or plain or default):
                    cells.headers.setdefault(name, name)
                    cells.texts.setdefault(name, list(unset))[i] = own or plain or default


def _canonical_name(header: str, path: Path, findings: tuple[str, ...]) -> str:
    role, suffix = part_of(header) or ("", "")
    if header in FIXED or role == "image":
        raise _bad_side(path, f"it holds the column {header!r}.", "masks, labels or metadata")
    if role in ("mask", "label") or (role in ("mask_kind", "mask_source") and suffix):
        suffix = suffix or (findings[0] if len(findings) == 1 else "")
        if suffix not in findings:
            expected = f"{role}_<finding> for {', '.join(findings)}"
            raise _bad_side(path, f"the column {header!r} is of no finding.", expected)
        return f"{role}_{suffix}"
    return header


def _bad_side(path: Path, wrong: str, expected: str) -> DataError:
    return DataError(
        f"the side table {path.name!r} does not fit the manifest: {wrong}",
        where=path.name,
        expected=expected,
        fix="make the table again with the command that wrote it",
    )
