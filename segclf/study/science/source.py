"""The cases that a study draws from: a phantom of its own, or the user's table."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from segclf.core.atomic import hash_of
from segclf.core.config import Recipe, load_recipe
from segclf.core.errors import DataError
from segclf.core.runs import Run
from segclf.experiment import Experiment
from segclf.manifest import CaseTable, make_split, read_fold_file, read_manifest, write_side_table
from segclf.phantom import PhantomSettings, write_phantom
from segclf.study.science.selection import Selection

PHANTOMS = "phantoms"


@dataclass(frozen=True)
class Source:
    """Where a pool comes from; plain data, so that every process opens its own."""

    config: Path | None
    manifest: Path | None = None
    overrides: tuple[str, ...] = ()
    """Settings of all trainings."""

    @property
    def base(self) -> Path:
        """Folder that the paths of the recipe start from."""
        return self.config.parent if self.config else Path()


@dataclass(frozen=True)
class Pool:
    """All cases of a table, and its split."""

    recipe: Recipe
    base: Path
    """Folder that the paths of the recipe start from."""
    table: CaseTable
    split: pd.DataFrame

    @property
    def folds(self) -> list[int]:
        """The folds of the split; none without."""
        return sorted({int(fold) for fold in self.split["fold"].dropna()})


@lru_cache(maxsize=8)
def open_pool(source: Source) -> Pool:
    """Read the cases and make their split, the same in every process.

    Raises:
        DataError: The table has more findings than one, of which a study asks nothing.
    """
    base, recipe = source.base, _recipe(source)
    table = read_manifest(recipe, base=base)
    if len(table.findings) != 1:
        raise DataError(
            f"the table has {len(table.findings)} findings.",
            where=str(recipe.manifest),
            expected="one finding: a study is about one question",
            fix=f"name it: --set findings=[{table.findings[0]}]",
        )
    folds = read_fold_file(recipe, base=base)
    seed = recipe.seed if recipe.split.seed is None else recipe.split.seed
    return Pool(recipe, base, table, make_split(table, recipe.split, seed, fold_table=folds))


def phantom_source(
    folder: Path, settings: Mapping[str, Any], overrides: Sequence[str] = ()
) -> Source:
    """The phantom of these settings; drawn once and shared by the studies that ask for it.

    Args:
        folder: Where phantoms lie.
        settings: Of the phantom.
        overrides: Settings of its recipe.
    """
    full = PhantomSettings.model_validate(settings)
    place = folder / PHANTOMS / hash_of(full.model_dump(mode="json"))[:12]
    if not (place / "recipe.yaml").is_file():
        write_phantom(place, full)
    return Source(place / "recipe.yaml", None, tuple(overrides))


def cell_experiment(
    source: Source,
    selection: Selection,
    folder: Path,
    overrides: Sequence[str],
    change: Callable[[CaseTable, Sequence[str]], pd.DataFrame | None] | None = None,
) -> Experiment:
    """The experiment on the chosen cases, in a folder of its own.

    Args:
        source: Of the pool.
        selection: The cases of each part; the others do not exist for it.
        folder: Of the training.
        overrides: Settings that differ from the recipe's, `train.lr=1e-3`.
        change: Writes other masks of the training and validation cases, and returns the side
            table that names them.
    """
    pool = open_pool(source)
    recipe, table = _recipe(source, overrides), pool.table
    if change is not None:
        side = change(table, (*selection.train, *selection.val))
        if side is not None:
            write_side_table(folder / "masks.parquet", side)
            table = read_manifest(recipe, base=pool.base, side_tables=[folder / "masks.parquet"])
    return Experiment(recipe, table, split_of(selection, table), Run(folder))


def _recipe(source: Source, overrides: Sequence[str] = ()) -> Recipe:
    named = os.path.relpath(source.manifest, source.base) if source.manifest else None
    return load_recipe(source.config, (*source.overrides, *overrides), manifest=named)


def split_of(selection: Selection, table: CaseTable) -> pd.DataFrame:
    """A split as `make_split` makes it, of the chosen cases alone."""
    patient = {case.case_id: case.patient_id for case in table.cases}
    rows = [
        (case_id, patient[case_id], part)
        for part in ("train", "val", "test")
        for case_id in getattr(selection, part)
    ]
    split = pd.DataFrame(rows, columns=pd.Index(["case_id", "patient_id", "split"]))
    return split.assign(fold=pd.array([pd.NA] * len(split), dtype="Int64"))
