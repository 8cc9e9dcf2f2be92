"""Where the mask of each finding comes from: drawn, empty because the label is 0, or unknown."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segclf.core.config import Recipe
from segclf.core.errors import CaseError
from segclf.core.records import MaskSource, MaskState
from segclf.io import confiner
from segclf.manifest.records import Problem
from segclf.manifest.side import Cells

EMPTY = MaskSource(MaskState.EMPTY)
UNKNOWN = MaskSource(MaskState.UNKNOWN)

Paths = list[Path | None]


@dataclass(frozen=True)
class Files:
    """The mask files that the rows name; None where a cell is blank."""

    own: dict[str, Paths]
    """Finding to its own files."""
    shared: Paths | None
    """Integer maps or class-valued masks of all findings."""

    def of_each_row(self, n_rows: int) -> list[tuple[Path, ...]]:
        """Every mask file of a row, each once."""
        columns = [*self.own.values(), *([self.shared] if self.shared else [])]
        named = ([column[i] for column in columns] for i in range(n_rows))
        return [tuple(dict.fromkeys(path for path in row if path)) for row in named]


def required_files(cells: Cells, name: str, problems: list[Problem]) -> list[Path]:
    """The files of an image column; a blank cell is a problem (and an empty path)."""
    column = cells.column(name)
    blank = column.problem("a path in every row", "fill the cell or remove the row", "missing_file")
    problems += [
        replace(blank, row=row, wrong="the image is blank.")
        for row, text in zip(column.rows, column.texts, strict=True)
        if not text
    ]
    return [path or Path() for path in _resolved(cells, name, problems)]


def named_files(cells: Cells, findings: tuple[str, ...], problems: list[Problem]) -> Files:
    """The mask files of every row."""
    own = {
        finding: _resolved(cells, f"mask_{finding}", problems)
        for finding in findings
        if f"mask_{finding}" in cells.texts
    }
    return Files(own, _resolved(cells, "mask", problems) if "mask" in cells.texts else None)


def mask_sources(
    files: Files,
    labels: np.ndarray,
    categories: list[str] | None,
    findings: tuple[str, ...],
    recipe: Recipe,
) -> list[tuple[MaskSource, ...]]:
    """The source of each finding's mask, row by row.

    Args:
        files: The files that the rows name.
        labels: (row, finding): 1, 0 or NaN.
        categories: With class-valued masks, the category of each row ('' = not known).
        findings: Names, in the order of `labels`.
        recipe: `mask_values` is used.
    """
    n_rows = len(labels)
    columns = []
    for k, finding in enumerate(findings):
        own = files.own.get(finding) or [None] * n_rows
        values = tuple(v for v, name in sorted(recipe.mask_values.items()) if name == finding)
        is_named = bool(values) or not recipe.mask_values
        shared = files.shared if files.shared and is_named else [None] * n_rows
        column = []
        for i in range(n_rows):
            if own[i] is not None:
                column.append(MaskSource(MaskState.DRAWN, own[i]))
            elif categories is not None:
                column.append(_by_class(categories[i], finding, shared[i]))
            elif shared[i] is not None:
                column.append(MaskSource(MaskState.DRAWN, shared[i], values or None))
            else:
                column.append(EMPTY if labels[i, k] == 0 else UNKNOWN)
        columns.append(column)
    return list(zip(*columns, strict=True)) if columns else [()] * n_rows


def _by_class(category: str, finding: str, path: Path | None) -> MaskSource:
    """The mask outlines whatever the row's category is, so that it is empty for all others."""
    if category == "":
        return UNKNOWN
    if category != finding:
        return EMPTY
    return UNKNOWN if path is None else MaskSource(MaskState.DRAWN, path)


def _resolved(cells: Cells, name: str, problems: list[Problem]) -> Paths:
    column = cells.column(name)
    resolvers = [confiner([folder]) for folder in cells.folders]
    folders = cells.folder_of.get(name) or [0] * len(column.rows)
    paths: Paths = []
    for row, text, folder in zip(column.rows, column.texts, folders, strict=True):
        try:
            paths.append(resolvers[folder](text) if text else None)
        except CaseError as error:
            problem = column.problem(error.expected, error.fix, error.reason)
            problems.append(replace(problem, row=row, wrong=error.wrong))
            paths.append(None)
    return paths
