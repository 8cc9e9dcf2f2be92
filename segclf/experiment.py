"""Open an experiment: from options to a recipe, its cases, its split and its run folder."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from segclf.core.atomic import atomic_path, write_text
from segclf.core.config import Recipe, load_recipe, recipe_yaml
from segclf.core.errors import IntegrityError, UsageError
from segclf.core.runs import RUNS, Run, find_run, named_run, safe_name, shown
from segclf.core.sameness import (
    DATA_SETTINGS,
    SHARED_SETTINGS,
    differences,
    flat_settings,
)
from segclf.manifest import CaseTable, make_split, read_fold_file, read_manifest
from segclf.phantom import PhantomSettings, write_phantom

PHANTOM = Path("phantom")


@dataclass(frozen=True)
class Experiment:
    """A recipe with its cases, its split and the folder that its stages write to."""

    recipe: Recipe
    table: CaseTable
    split: pd.DataFrame
    run: Run

    def folds(self, only: int | None = None) -> list[int | None]:
        """The folds to work on: `[None]` without folds, else all of them or the one asked for."""
        known = sorted({int(fold) for fold in self.split["fold"].dropna()})
        if only is None:
            return list(known) or [None]
        if only not in known:
            raise UsageError(
                f"there is no fold {only}.",
                where="--fold",
                expected=f"one of {known}" if known else "a recipe with split.folds",
                fix="choose one of these, or leave --fold away",
            )
        return [only]


def new_experiment(
    config: Path | None, manifest: Path | None, run: str | None, overrides: Sequence[str]
) -> Experiment:
    """The experiment that a training command works on; makes its run folder and its split.

    Without a recipe and a manifest, in a folder that has neither, it is the built-in phantom.

    Raises:
        UsageError: Nothing was given but the folder holds data that could be meant.
        IntegrityError: The run folder holds another data set or split.
    """
    named = named_run(Path(run)) if run is not None else None
    if config is None and manifest is None and named is not None and named.config.is_file():
        return _settle(load_recipe(named.config, tuple(overrides)), named, is_training=True)
    if config is None and manifest is None:
        config = phantom_recipe()
    base = config.parent if config else Path()
    recipe = load_recipe(config, tuple(overrides))
    changes: dict[str, str] = {}
    if manifest is not None:
        changes["manifest"] = os.path.relpath(manifest, base)
        if config is None:
            changes["name"] = safe_name(manifest.resolve().parent.name)
    if named is not None:
        changes["name"] = named.path.name
    recipe = recipe.model_copy(update=changes)
    found = named or Run(RUNS / recipe.name)
    return _settle(_moved(recipe, base, found.path), found, is_training=True)


def open_experiment(run: Run, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment of an existing run folder; `overrides` hold for this call alone."""
    return _settle(load_recipe(run.config, tuple(overrides)), run, is_training=False)


def find_experiment(
    config: Path | None,
    run: str | None,
    overrides: Sequence[str],
    *,
    needs: str,
    made_by: str,
) -> Experiment:
    """The experiment that a later stage works on: named by `run` or `config`, else the newest."""
    if run is None and config is not None:
        run = load_recipe(config, tuple(overrides)).name
    return open_experiment(
        find_run(Path(run) if run else None, needs=needs, made_by=made_by), overrides
    )


def with_seed(exp: Experiment, seed: int) -> Experiment:
    """The same cases and split with another seed, in a run folder beside the run's.

    Raises:
        IntegrityError: That folder holds another data set or split.
    """
    recipe = exp.recipe
    if seed == recipe.seed:
        return exp
    split_seed = recipe.seed if recipe.split.seed is None else recipe.split.seed
    name = f"{exp.run.path.name}-seed{seed}"
    changes = {"seed": seed, "name": name}
    split = recipe.split.model_copy(update={"seed": split_seed})
    other = _settle(
        recipe.model_copy(update={**changes, "split": split}),
        Run(exp.run.path.with_name(name)),
        is_training=True,
    )
    if not other.split.astype("str").equals(exp.split.astype("str")):
        raise IntegrityError(
            f"the run {name!r} has another split than {exp.run.path.name!r}.",
            where=shown(other.run.split),
            expected=f"the split of {shown(exp.run.split)}, which all seeds share",
            fix=f"move the folder {shown(other.run.path)} away",
        )
    return other


def experiment_below(exp: Experiment, recipe: Recipe, *parts: str) -> Experiment:
    """The same cases and split in a run folder below the run's, with another recipe.

    Args:
        exp: The run.
        recipe: Its paths are relative to the folder of `exp`.
        parts: Where it lies below that.

    Raises:
        IntegrityError: That folder holds another data set or split.
    """
    run = Run(exp.run.path.joinpath(*parts))
    if not run.split.is_file():
        with atomic_path(run.split) as part:
            exp.split.to_parquet(part, index=False)
    return _settle(_moved(recipe, exp.run.path, run.path), run, is_training=True)


def phantom_recipe() -> Path:
    """Recipe of the phantom data in the current folder, which are written if they are not there.

    Raises:
        UsageError: The folder holds a manifest, recipes or images that the user may have meant.
    """
    recipe = PHANTOM / "recipe.yaml"
    if recipe.is_file():
        return recipe
    kinds = ("*.csv", "*.parquet", "*.yaml", "*.yml", "*.png", "*.nii", "*.nii.gz", "*.dcm")
    own = sorted(path.name for kind in kinds for path in Path().glob(kind))
    if own:
        raise UsageError(
            f"no recipe or manifest was given, but this folder holds {own[0]!r}.",
            where=f"{len(own)} data files in the current folder",
            expected="--config or --manifest; phantom data are used only in an empty folder",
            fix=f"name your data, or write the phantom elsewhere: segclf init phantom {PHANTOM}",
        )
    write_phantom(PHANTOM, PhantomSettings())
    return recipe


def _moved(recipe: Recipe, base: Path, folder: Path) -> Recipe:
    """The recipe with paths relative to `folder`; texts that start with `${…}` stay."""

    def move(text: str | None) -> str | None:
        if text is None or text.startswith("$"):
            return text
        return os.path.relpath(base / text, folder)

    weights, fold_file = recipe.network.pretrained, recipe.split.fold_file
    if weights is not None and (base / weights).is_file():  # else a name, such as `imagenet`
        weights = str((base / weights).resolve())
    return recipe.model_copy(
        update={
            "manifest": move(recipe.manifest),
            "data_root": move(recipe.data_root),
            "split": recipe.split.model_copy(update={"fold_file": move(fold_file)}),
            "network": recipe.network.model_copy(update={"pretrained": weights}),
        }
    )


def _settle(recipe: Recipe, run: Run, *, is_training: bool) -> Experiment:
    """Read the cases, keep or make the split; only training commands change the run's recipe."""
    is_new, notes = not run.path.exists(), run.path / "slices.json"
    if run.config.is_file():
        _require_same(load_recipe(run.config), recipe, run)
    run.path.mkdir(parents=True, exist_ok=True)  # paths of the recipe start from here
    try:
        table = read_manifest(recipe, base=run.path, slice_notes=notes)
        split = _keep_split(recipe, table, run)
    except BaseException:
        if is_new:
            notes.unlink(missing_ok=True)
            run.path.rmdir()  # nothing was begun
        raise
    text = recipe_yaml(recipe)
    if not run.config.is_file() or (is_training and run.config.read_text("utf-8") != text):
        write_text(run.config, text)
    return Experiment(recipe, table, split, run)


def _keep_split(recipe: Recipe, table: CaseTable, run: Run) -> pd.DataFrame:
    """The run's split, made where there is none yet."""
    if not run.split.is_file():
        folds = read_fold_file(recipe, base=run.path)
        seed = recipe.seed if recipe.split.seed is None else recipe.split.seed
        split = make_split(table, recipe.split, seed, fold_table=folds)
        with atomic_path(run.split) as part:
            split.to_parquet(part, index=False)
        return split
    split = pd.read_parquet(run.split)
    if set(split["case_id"]) != {case.case_id for case in table.cases}:
        raise IntegrityError(
            "the manifest lists other cases than the run's split.",
            where=shown(run.split),
            expected=f"the {split['case_id'].nunique()} cases that the run began with",
            fix="start a new run: --run ANOTHER_NAME",
        )
    return split


def _require_same(old: Recipe, new: Recipe, run: Run) -> None:
    for key in DATA_SETTINGS:
        before, now = getattr(old, key), getattr(new, key)
        if before != now:
            raise IntegrityError(
                f"the run {run.path.name!r} was begun with another {key}.",
                where=shown(run.config),
                expected=f"{key} = {before}",
                fix=f"keep it, or start a new run with {key} = {now}: --run ANOTHER_NAME",
            )
    if not any(_has_trained(run)):
        return
    before, now = (flat_settings(recipe, SHARED_SETTINGS) for recipe in (old, new))
    if lines := differences(before, now):
        raise IntegrityError(
            f"the run {run.path.name!r} has networks trained with other settings:\n    "
            + "\n    ".join(lines),
            where=shown(run.config),
            expected="one network, image size, augmentation and budget for all methods of a run",
            fix="put the old values back, or start a new run: --run ANOTHER_NAME",
        )


def _has_trained(run: Run) -> Iterator[Path]:
    """Models and checkpoints of the run; a training that ended before its first has left none."""
    for kind in ("segment", "classify"):
        yield from run.path.glob(f"{kind}/**/model.json")
        yield from run.path.glob(f"{kind}/**/checkpoints/step-*")
