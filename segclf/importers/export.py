"""Cases to the layout of another tool: `segclf export-dataset`."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segclf.core.catalog import lookup
from segclf.core.config import Recipe, load_recipe
from segclf.core.errors import UsageError
from segclf.core.runs import find_run
from segclf.importers.export_nnunet import export_nnunet, export_text
from segclf.io.guard import time_limit
from segclf.manifest import CaseTable, read_fold_file, read_manifest
from segclf.manifest.slices import of_rows

__all__ = ["EXPORTERS", "export_data", "export_text"]

EXPORTERS: dict[str, Callable[..., dict[str, Any]]] = {"nnunet": export_nnunet}
"""Kind to exporter: `(table, split, folder, *, channels) -> result`."""


def export_data(
    kind: str,
    out: Path,
    config: Path | None,
    manifest: Path | None,
    run: str | None,
    overrides: tuple[str, ...] = (),
    channels: Sequence[str] = (),
) -> dict[str, Any]:
    """Write the cases of a recipe, a manifest or a run in another layout; returns what was done.

    The split is that of the run, else the manifest's own; else there is none.

    Raises:
        UsageError: Nothing names the cases, or the kind is unknown.
    """
    exporter = lookup(kind, EXPORTERS, kind="layout to export")
    if config is None and manifest is None and run is None:
        raise UsageError(
            "there is nothing to export.",
            where="segclf export-dataset",
            expected="--config, --manifest or --run",
            fix=f"run: segclf export-dataset {kind} --manifest manifest.csv --out {out.name}",
        )
    table, split = _run_cases(run) if run else _own_cases(config, manifest, overrides)
    with time_limit(table.recipe.image.decode_limit_s):
        result = exporter(table, split, out, channels=channels)
    return result | {"next": f"segclf import {kind} {out} --out {out}/manifest.csv (to come back)"}


def _run_cases(run: str) -> tuple[CaseTable, pd.DataFrame]:
    found = find_run(Path(run), needs="split.parquet", made_by="segclf split")
    recipe = load_recipe(found.config)
    if recipe.slices.cut:
        raise UsageError(
            f"the cases of the run {found.path.name!r} are slices, which were cut from volumes.",
            where="segclf export-dataset --run",
            expected="cases that are files",
            fix="give the recipe in place of the run (--config): its volumes are exported",
        )
    table = read_manifest(recipe, base=found.path)
    return table, pd.read_parquet(found.split)


def _own_cases(
    config: Path | None, manifest: Path | None, overrides: tuple[str, ...]
) -> tuple[CaseTable, pd.DataFrame | None]:
    base = config.parent if config else Path()
    named = os.path.relpath(manifest, base) if manifest else None
    recipe: Recipe = of_rows(load_recipe(config, overrides, manifest=named))
    table = read_manifest(recipe, base=base)
    return table, _own_split(table, read_fold_file(recipe, base=base))


def _own_split(table: CaseTable, fold_table: pd.DataFrame | None) -> pd.DataFrame | None:
    """The split that the manifest or the recipe's fold file states; its folds have no val part."""
    frame = table.frame[["case_id", "patient_id"]]
    if "split" in table.frame:
        return frame.assign(split=table.frame["split"], fold=pd.array([None] * len(frame), "Int64"))
    if fold_table is not None:
        of_patient = dict(zip(fold_table["patient_id"], fold_table["fold"], strict=True))
        given = [of_patient.get(patient) for patient in frame["patient_id"]]
    elif "fold" in table.frame:
        given = table.frame["fold"].tolist()
    else:
        return None
    folds = [-1 if each is None or each is pd.NA else int(each) for each in given]
    rows = []
    for fold in sorted({*folds} - {-1}):
        parts = ["test" if each == fold else "train" for each in folds]
        rows.append(frame.assign(split=parts, fold=pd.array([fold] * len(frame), "Int64")))
    return pd.concat(rows, ignore_index=True) if rows else None
