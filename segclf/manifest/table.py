"""A recipe to its cases: read the manifest, check every row, resolve every path."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path

import pandas as pd

from segclf.core.config import Recipe
from segclf.core.errors import ConfigError, DataError
from segclf.core.pixel_values import check_mask_values
from segclf.core.records import Case
from segclf.io import stem_of
from segclf.io.guard import time_limit
from segclf.manifest.cells import Column, parse_counts, parse_ids, parse_spacings
from segclf.manifest.columns import Layout, missing_column, near, resolve_columns
from segclf.manifest.frame import parsed_frame
from segclf.manifest.images import folder_table
from segclf.manifest.kinds import with_kinds
from segclf.manifest.masks import mask_sources, named_files, required_files
from segclf.manifest.records import CaseTable, Problem, data_error
from segclf.manifest.side import Cells, named_side_tables, overlay
from segclf.manifest.slices import in_slices, of_rows
from segclf.manifest.sources import Texts, expand, parse_table, read_bytes


def read_manifest(
    recipe: Recipe,
    *,
    base: Path = Path("."),
    side_tables: Sequence[Path] = (),
    strict: bool = True,
    need_truth: bool = True,
    slice_notes: Path | None = None,
    n_channels: int | None = None,
) -> CaseTable:
    """The cases of the recipe's manifest, every row checked and every path resolved.

    Files are looked at (they exist, inside the data root) but not read: `check_manifest` does. With
    `slices.cut`, headers and masks of the volumes are, as they say what slices there are. A folder
    in the place of the table stands for the images in it, of which nothing is known.

    Args:
        recipe: Names the manifest and says what its columns mean.
        base: Folder that relative paths in the recipe start from: the recipe's own folder.
        side_tables: Tables of `write_side_table`, laid over the manifest in this order, after
            those that the recipe names.
        strict: False leaves out rows that cannot be used and lists why in `problems`.
        need_truth: False accepts a manifest without the mask, label and class columns that the
            recipe maps, as for new cases.
        slice_notes: JSON file that keeps what slices there are, so that masks are read once.
        n_channels: Of a folder of images: what a case of the run has, see `channel_paths`.

    Raises:
        DataError: The table cannot be used, or (if strict) a row has a problem; the message
            names the first and the number of others.
        ConfigError: The recipe names columns, findings or variables that are not there.
    """
    with time_limit(recipe.image.decode_limit_s):
        table = _read_rows(
            of_rows(recipe), base, side_tables, n_channels, strict=strict, need_truth=need_truth
        )
    return in_slices(table, recipe, slice_notes)


def _read_rows(
    recipe: Recipe, base: Path, side_tables: Sequence[Path], n_channels: int | None, *,
    strict: bool, need_truth: bool,
) -> CaseTable:  # fmt: skip
    path = _manifest_path(recipe, base)
    side_tables = [*named_side_tables(recipe, path, base), *side_tables]
    contents = [read_bytes(each) for each in side_tables]
    if path.is_dir():
        contents.insert(0, folder_table(path, recipe.image.spatial_dims, n_channels))
        recipe = recipe.model_copy(update={"columns": {}})  # the headers are ours
    else:
        contents.insert(0, read_bytes(path))
    raw = parse_table(contents[0], path.name)
    layout = resolve_columns(list(raw.columns), recipe, need_truth=need_truth)
    problems: list[Problem] = []
    categories = _categories(raw, recipe, need_truth=need_truth)
    layout = _with_findings(layout, categories, recipe, problems)
    root = _data_root(recipe, path, base)
    cells = _canonical(raw, layout, root)
    ids = _case_ids(raw, layout, problems)
    for side, content in zip(side_tables, contents[1:], strict=True):
        overlay(cells, ids, parse_table(content, side.name), side, layout.findings)
    _check_roles(raw, recipe, problems)
    frame = parsed_frame(cells, ids, layout, categories, problems)
    cases, files = _cases(cells, frame, layout, categories, recipe, problems)
    problems = _placed(problems, dict(zip(raw.rows, ids, strict=True)))
    errors = [problem for problem in problems if problem.severity == "error"]
    if strict and errors:
        raise data_error(errors, path.name)
    bad_rows = {problem.row for problem in errors}
    keep = [row not in bad_rows for row in raw.rows]
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    return CaseTable(
        cases=tuple(compress(cases, keep)),
        frame=frame.loc[keep].reset_index(drop=True),
        findings=layout.findings,
        roles=_roles(recipe),
        exclusive=recipe.exclusive,
        sha256=digests[0]
        if len(digests) == 1
        else hashlib.sha256("".join(digests).encode()).hexdigest(),
        root=root,
        manifest_sha256=digests[0],
        problems=tuple(problems),
        recipe=recipe,
        rows=tuple(compress(raw.rows, keep)),
        mask_files=tuple(compress(files, keep)),
        has_patients="patient_id" in layout.single,
    )


def _manifest_path(recipe: Recipe, base: Path) -> Path:
    if recipe.manifest is None:
        raise ConfigError(
            "the recipe names no manifest.",
            where="manifest = null",
            expected="the path of a CSV or Parquet table of cases",
            fix="set manifest: in the recipe, or give --manifest",
        )
    return base / expand(recipe.manifest, where="manifest")


def _data_root(recipe: Recipe, manifest: Path, base: Path) -> Path:
    if recipe.data_root is None:
        return manifest.resolve() if manifest.is_dir() else manifest.resolve().parent
    root = (base / expand(recipe.data_root, where="data_root")).resolve()
    if not root.is_dir():
        raise DataError(
            "the data root does not exist.",
            where=f"data_root = {recipe.data_root!r}",
            expected="a folder that holds all files of the manifest",
            fix="correct data_root; it is relative to the recipe",
        )
    return root


def _categories(raw: Texts, recipe: Recipe, *, need_truth: bool) -> list[str] | None:
    """The column that class-valued masks take their class from; None without `mask_class`."""
    if recipe.mask_class is None:
        return None
    if recipe.mask_class in raw.columns:
        return raw.columns[recipe.mask_class]
    if need_truth:
        where = f"mask_class = {recipe.mask_class!r}"
        raise missing_column(recipe.mask_class, raw.columns, where=where)
    return [""] * len(raw.rows)


def _with_findings(
    layout: Layout, categories: list[str] | None, recipe: Recipe, problems: list[Problem]
) -> Layout:
    """The layout with its findings settled and the recipe's names compared with the data."""
    check_mask_values(recipe.mask_values, recipe.findings or ())
    if categories is not None:
        present = sorted({*categories} - {""})
        found = tuple(name for name in present if name not in recipe.mask_class_empty)
        findings = layout.findings or found
        for name in (*findings, *recipe.mask_class_empty):
            if name not in present:
                problems.append(_absent_category(name, present, str(recipe.mask_class)))
        return replace(layout, findings=findings)
    if recipe.mask_values and layout.shared_mask:
        for finding in layout.findings:
            if finding not in layout.masks and finding not in recipe.mask_values.values():
                raise ConfigError(
                    f"no pixel value is named {finding!r}.",
                    where=f"mask_values = {recipe.mask_values}",
                    expected=f"a value for each of {', '.join(layout.findings)}",
                    fix=near(finding, recipe.mask_values.values(), "add the value"),
                )
    return layout


def _absent_category(name: str, present: Sequence[str], column: str) -> Problem:
    return Problem(
        None,
        None,
        column,
        f"no row has the category {name!r}.",
        f"one of {', '.join(present)}",
        near(name, present, "correct the recipe"),
        severity="warning",
        reason="absent_category",
    )


def _canonical(raw: Texts, layout: Layout, root: Path) -> Cells:
    """The cells under canonical names, with the header that each name came from."""
    headers = {f"image/{k}": header for k, header in enumerate(layout.images)}
    headers |= {f"mask_{finding}": header for finding, header in layout.masks.items()}
    headers |= {"mask": layout.shared_mask} if layout.shared_mask else {}
    headers |= {f"label_{finding}": header for finding, header in layout.labels.items()}
    headers |= {f"class_{head}": header for head, header in layout.classes.items()}
    headers |= layout.notes | layout.single
    computed = {"case_id", "patient_id", *(f"label_{finding}" for finding in layout.findings)}
    for header in layout.metadata:
        if headers.get(header) != header:  # a class column may be metadata as well
            taken = header in headers or header in computed
            headers[f"manifest_{header}" if taken else header] = header
    texts = {name: list(raw.columns[header]) for name, header in headers.items()}
    return Cells(raw.rows, texts, headers, [root])


def _case_ids(raw: Texts, layout: Layout, problems: list[Problem]) -> list[str]:
    field = layout.single.get("case_id", layout.images[0])
    column = Column(field, raw.rows, raw.columns[field])
    if "case_id" in layout.single:
        ids, fix = parse_ids(column, problems), "give each case its own id"
    else:
        ids, fix = [_stem(text) for text in column.texts], "add a column case_id"
    twice = column.problem("each case id once", fix, "duplicate_id")
    first: dict[str, int] = {}
    for row, case_id in zip(raw.rows, ids, strict=True):
        if case_id and first.setdefault(case_id, row) != row:
            wrong = f"the case id {case_id!r} also stands in row {first[case_id]}."
            problems.append(replace(twice, row=row, wrong=wrong))
    return ids


def _stem(text: str) -> str:
    return stem_of(text.replace("\\", "/").rstrip("/").rpartition("/")[2])


def _cases(
    cells: Cells,
    frame: pd.DataFrame,
    layout: Layout,
    categories: list[str] | None,
    recipe: Recipe,
    problems: list[Problem],
) -> tuple[list[Case], list[tuple[Path, ...]]]:
    """All rows as cases (rows with problems are incomplete), and the mask files each names."""
    n_rows = len(cells.rows)
    images = [required_files(cells, f"image/{k}", problems) for k in range(len(layout.images))]
    files = named_files(cells, layout.findings, problems)
    labels = frame[[f"label_{finding}" for finding in layout.findings]].to_numpy(dtype=float)
    masks = mask_sources(files, labels, categories, layout.findings, recipe)
    masks = with_kinds(masks, cells, layout.findings, problems)
    spacings: list[tuple[float, ...] | None] = [None] * n_rows
    if "spacing_mm" in cells.texts:
        spacings = parse_spacings(cells.column("spacing_mm"), recipe.image.spatial_dims, problems)
    heads = {head: cells.texts[f"class_{head}"] for head in layout.classes}
    volumes = cells.texts.get("volume_id", [""] * n_rows)
    has_slices = "slice_index" in cells.texts
    slices = parse_counts(cells.column("slice_index"), []) if has_slices else [None] * n_rows
    ids, patients = list(frame["case_id"]), list(frame["patient_id"])
    cases = [
        Case(
            case_id=ids[i],
            images=tuple(channel[i] for channel in images),
            masks=masks[i],
            labels=tuple(labels[i].tolist()),
            patient_id=patients[i],
            classes={head: texts[i] for head, texts in heads.items() if texts[i]},
            spacing_mm=spacings[i],
            volume_id=volumes[i] or None,
            slice_index=slices[i],
            any_place=recipe.allow_affine_mismatch,
        )
        for i in range(n_rows)
    ]
    return cases, files.of_each_row(n_rows)


def _check_roles(raw: Texts, recipe: Recipe, problems: list[Problem]) -> None:
    for header in recipe.roles:
        if header not in raw.columns and header not in recipe.columns:
            fix = near(header, raw.columns, "remove it")
            problem = Column(f"roles.{header}", [], []).problem(
                f"one of {', '.join(raw.columns)}", fix, "unknown_column"
            )
            wrong = f"there is no column {header!r}."
            problems.append(replace(problem, wrong=wrong, severity="warning"))


def _roles(recipe: Recipe) -> dict[str, str]:
    roles: dict[str, str] = {recipe.mask_class: "derived"} if recipe.mask_class else {}
    return roles | dict(recipe.roles)


def _placed(problems: list[Problem], id_of: dict[int, str]) -> list[Problem]:
    """Problems with their case ids, in the order of the table."""
    filled = [
        problem if problem.row is None else replace(problem, case_id=id_of[problem.row] or None)
        for problem in problems
    ]
    return sorted(filled, key=lambda problem: problem.row or 0)
