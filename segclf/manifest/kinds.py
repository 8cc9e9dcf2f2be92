"""How much each mask says (`mask_kind`) and who drew it (`mask_source`), cell by cell."""

from dataclasses import replace

from segclf.core.records import MaskKind, MaskSource, MaskState
from segclf.manifest.cells import NUMBER
from segclf.manifest.records import Problem
from segclf.manifest.side import Cells

KINDS = ("full", "point", "box", "dilated:<r>", "uncertain", "soft")
SOURCES = ("drawn", "empty-by-label", "pseudo")
OF_PREDICTIONS = (MaskKind.UNCERTAIN, MaskKind.SOFT)

Kind = tuple[MaskKind, float | None]


def with_kinds(
    masks: list[tuple[MaskSource, ...]],
    cells: Cells,
    findings: tuple[str, ...],
    problems: list[Problem],
) -> list[tuple[MaskSource, ...]]:
    """The drawn masks with their kinds and sources.

    A cell of `mask_kind_<finding>` wins over one of `mask_kind`; a blank one means `full`.
    `mask_source` goes the same way; blank means `drawn`.

    Args:
        masks: Per row, a source per finding.
        cells: The texts.
        findings: Names, in the order of the sources.
        problems: Cells that do not fit are added here.
    """
    for name in _columns(cells, findings):
        _check(name, cells, problems)
    if not list(_columns(cells, findings)):
        return masks
    result = []
    for i, sources in enumerate(masks):
        row = []
        for finding, source in zip(findings, sources, strict=True):
            if source.state is not MaskState.DRAWN:
                row.append(source)
                continue
            kind, radius_px = parse_kind(_cell(cells, "mask_kind", finding, i)) or (None, None)
            is_pseudo = _cell(cells, "mask_source", finding, i) == "pseudo"
            made = replace(source, kind=kind or MaskKind.FULL, radius_px=radius_px)
            if made.kind in OF_PREDICTIONS and source.values is not None:
                problems.append(_of_map(cells, finding, i, made.kind))
            row.append(replace(made, is_pseudo=is_pseudo))
        result.append(tuple(row))
    return result


def parse_kind(text: str) -> Kind | None:
    """Kind and radius in pixels from a text like `box` or `dilated:5`; None if it is neither."""
    name, colon, radius = text.partition(":")
    if name == MaskKind.DILATED:
        is_number = NUMBER.fullmatch(radius) is not None
        return (MaskKind.DILATED, float(radius)) if is_number and float(radius) > 0 else None
    if colon or name not in (*MaskKind, ""):
        return None
    return MaskKind(name or MaskKind.FULL), None


def _columns(cells: Cells, findings: tuple[str, ...]) -> list[str]:
    names = [f"{role}{of}" for role in ROLES for of in ("", *(f"_{f}" for f in findings))]
    return [name for name in names if name in cells.texts]


ROLES = ("mask_kind", "mask_source")


def _cell(cells: Cells, role: str, finding: str, i: int) -> str:
    blank = [""] * len(cells.rows)
    return cells.texts.get(f"{role}_{finding}", blank)[i] or cells.texts.get(role, blank)[i]


def _check(name: str, cells: Cells, problems: list[Problem]) -> None:
    column = cells.column(name)
    is_kind = name.startswith("mask_kind")
    known = KINDS if is_kind else SOURCES
    like = column.problem(
        f"{', '.join(known[:-1])} or {known[-1]}; blank is {known[0]}",
        f"correct the cell; if the column says something else: roles: {{{column.field}: ignored}}",
        "bad_mask_kind" if is_kind else "bad_mask_source",
    )
    for row, text in zip(column.rows, column.texts, strict=True):
        is_fine = parse_kind(text) is not None if is_kind else text in (*SOURCES, "")
        if not is_fine:
            hint = " (dilated needs a radius in pixels)" if text.startswith("dilated") else ""
            problems.append(replace(like, row=row, wrong=f"{column.field} is {text!r}{hint}."))


def _of_map(cells: Cells, finding: str, i: int, kind: MaskKind) -> Problem:
    return Problem(
        cells.rows[i],
        None,
        f"mask_{finding}",
        f"the mask of kind {kind} is an integer map of several findings.",
        f"a file of its own for {finding}",
        f"name it in a column mask_{finding}",
        reason="bad_mask_kind",
    )
