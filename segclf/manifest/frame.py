"""The frame of a case table: one row per case, numbers as numbers, no paths."""

import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from segclf.manifest.cells import (
    Column,
    parse_counts,
    parse_ids,
    parse_labels,
    parse_metadata,
    parse_parts,
)
from segclf.manifest.columns import Layout, part_of
from segclf.manifest.records import Problem
from segclf.manifest.side import Cells

PARSERS: dict[str, Callable[[Column, list[Problem]], list[Any]]] = {
    "patient_id": parse_ids,
    "split": parse_parts,
    "fold": parse_counts,
    "volume_id": lambda column, _: [text or None for text in column.texts],
    "slice_index": parse_counts,
}


def parsed_frame(
    cells: Cells,
    ids: list[str],
    layout: Layout,
    categories: list[str] | None,
    problems: list[Problem],
) -> pd.DataFrame:
    """Parsed columns under canonical names, without paths and spacings.

    Args:
        cells: The texts.
        ids: Case ids, parsed.
        layout: Findings and heads.
        categories: With class-valued masks, the category of each row ('' = not known).
        problems: Cells that do not fit are added here.
    """
    columns: dict[str, Any] = {"case_id": ids, "patient_id": ids}
    for name, parse in PARSERS.items():
        if name in cells.texts:
            columns[name] = parse(cells.column(name), problems)
    for finding in layout.findings:
        name = f"label_{finding}"
        if categories is not None:
            columns[name] = [float(each == finding) if each else math.nan for each in categories]
        elif name in cells.texts:
            columns[name] = parse_labels(cells.column(name), problems)
        else:
            columns[name] = [math.nan] * len(ids)
    for name in ("fold", "slice_index"):
        if name in columns:
            columns[name] = pd.array(columns[name], dtype="Int64")
    for head in layout.classes:
        columns[f"class_{head}"] = [text or None for text in cells.texts[f"class_{head}"]]
    for name, texts in cells.texts.items():
        if name not in columns and not _is_geometry_or_path(name):
            columns[name] = parse_metadata(texts)
    texts = {name: "str" for name in ("case_id", "patient_id", "split", "volume_id")}
    texts |= {f"class_{head}": "str" for head in layout.classes}
    return pd.DataFrame(columns).astype({n: kind for n, kind in texts.items() if n in columns})


def _is_geometry_or_path(name: str) -> bool:
    is_mask = name == "mask" or (part_of(name) or ("",))[0] == "mask"
    return is_mask or name.startswith("image/") or name == "spacing_mm"
