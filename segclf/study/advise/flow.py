"""`segclf advise`: open the data, look at everything but test cases, and say what follows."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from segclf.core.config import load_recipe
from segclf.core.errors import DataError, UsageError
from segclf.core.runs import find_run
from segclf.experiment import Experiment, open_experiment
from segclf.io.guard import time_limit
from segclf.manifest import CaseTable, make_split, read_fold_file, read_manifest
from segclf.study.advise.groups import associations, columns_of, derived_columns, group_sizes
from segclf.study.advise.look import Progress, describe, look
from segclf.study.advise.verdict import expected_by_theory, judge

Row = dict[str, Any]


@dataclass(frozen=True)
class Opened:
    """The data of a manifest or of a run."""

    table: CaseTable
    split: pd.DataFrame | None
    """None where none can be made, which `note` explains."""
    exp: Experiment | None
    """The run, if one was named."""
    note: str = ""


def open_data(
    manifest: Path | None, config: Path | None, run: str | None, overrides: Sequence[str]
) -> Opened:
    """The cases and the split that a training has, or would make; nothing is written.

    Raises:
        UsageError: Neither a manifest nor a recipe nor a run is named, or the run is not there.
        DataError: The table cannot be used, or no row of it can.
    """
    if run is not None:
        found = find_run(Path(run), needs="config.yaml", made_by="segclf train-seg")
        exp = open_experiment(found, overrides)
        return Opened(exp.table, exp.split, exp)
    if manifest is None and config is None:
        raise UsageError(
            "there is nothing to look at.",
            where="segclf advise",
            expected="--manifest, --config with a recipe that names one, or --run",
            fix="run: segclf advise --manifest manifest.csv",
        )
    base = config.parent if config else Path()
    named = os.path.relpath(manifest, base) if manifest else None
    recipe = load_recipe(config, tuple(overrides), manifest=named)
    table = read_manifest(recipe, base=base, strict=False)
    if not table.cases:
        first = table.problems[0]
        raise DataError(
            f"no row of the manifest can be used; the first: {first.wrong}",
            where=f"row {first.row}, column {first.field!r}",
            expected=first.expected,
            fix="run: segclf check, which lists all problems",
        )
    seed = recipe.seed if recipe.split.seed is None else recipe.split.seed
    try:
        folds = read_fold_file(recipe, base=base)
        return Opened(table, make_split(table, recipe.split, seed, fold_table=folds), None)
    except DataError as error:
        stated = _stated_split(table)
        apart = (
            "no test part is set apart" if stated is None else "no training could use this split"
        )
        return Opened(table, stated, None, f"{apart}: {error.wrong}")


def _stated_split(table: CaseTable) -> pd.DataFrame | None:
    """The manifest's own parts, which hold also where they are too small to train with."""
    if "split" not in table.frame:
        return None
    return table.frame[["case_id", "split"]].assign(fold=pd.NA)


def advise(opened: Opened, on_event: Progress | None = None) -> Row:
    """Everything that a data set says about whether masks pay; plain data. Nothing is trained.

    Test cases are not looked at: neither their files nor their labels change the answer. With
    folds each case tests once, and all are described.

    Args:
        opened: From `open_data`.
        on_event: Told the progress.
    """
    with time_limit(opened.table.recipe.image.decode_limit_s):
        seen = look(opened.table, opened.split, on_event)
    findings, columns = describe(seen), columns_of(seen)
    recipe = opened.table.recipe
    unit = recipe.unit_name if opened.table.has_patients else "case"
    groups, tests = group_sizes(seen, columns), associations(seen, columns, unit=unit)
    numbers: dict[str, Row] = {}
    if opened.exp is not None:
        from segclf.study.advise.runs import run_numbers

        numbers = run_numbers(opened.exp)
    skipped = [p for p in opened.table.problems if p.severity == "error"]
    return {
        "data": recipe.data,
        "unit_name": recipe.unit_name,
        "n_cases": len(seen.table.cases),
        "n_patients": len({case.patient_id for case in seen.table.cases}),
        "has_patients": opened.table.has_patients,
        "looked_at": seen.parts | {"note": opened.note},
        "findings": findings,
        "columns": columns,
        "groups": groups,
        "associations": tests,
        "derived": derived_columns(columns),
        "theory": {name: expected_by_theory(row) for name, row in findings.items()},
        "run": numbers,
        "verdict": {
            name: judge(
                name, row, groups, tests, numbers.get(name),
                unit=unit, class_valued=recipe.mask_class is not None,
            )
            for name, row in findings.items()
        },
        "broken_masks": list(seen.broken),
        "skipped_rows": len({problem.row for problem in skipped}),
    }  # fmt: skip
