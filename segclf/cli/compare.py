"""Commands that run whole studies: compare."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from segclf import options as opt
from segclf.cli.app import app
from segclf.closing import announce
from segclf.console import answer
from segclf.core.errors import UsageError

Methods = Annotated[
    list[str] | None,
    typer.Option(help="For example tau,mean,softmax; default: some of each kind."),
]
Seeds = Annotated[int, typer.Option(min=1, help="Trainings of every network, each its own seed.")]
Folds = Annotated[
    bool, typer.Option("--folds", help="Cross-validation: 5 folds where the recipe names none.")
]
Reference = Annotated[
    str | None, typer.Option(help="What the others are compared with; default: softmax.")
]
NoEqualTime = Annotated[
    bool, typer.Option("--no-equal-time", help="Do not train cheaper heads again for as long.")
]


N_FOLDS = 5


@app.command(epilog="Example: segclf compare --config recipe.yaml --methods tau,softmax --seeds 5")
def compare(
    config: opt.Config = None,
    manifest: opt.Manifest = None,
    run: opt.RunName = None,
    methods: Methods = None,
    seeds: Seeds = 1,
    folds: Folds = False,
    reference: Reference = None,
    no_equal_time: NoEqualTime = False,
    margin: opt.Margin = None,
    sets: opt.Set = None,
    as_json: opt.Json = False,
) -> None:
    """Train and judge many methods on one split; a second call goes on. Table, page, conclusion."""
    from segclf.experiment import new_experiment
    from segclf.options import settings_of
    from segclf.study.compare.methods import choose_methods, choose_reference

    choose_reference(reference, choose_methods(methods or ()))  # refused before a run is made
    overrides = [*(sets or ()), *settings_of(None, False, None, None, None, margin)]
    if folds:
        recipe = _recipe_file(config, manifest, run)
        overrides += _folds(recipe, overrides)
        _refuse_split(recipe, manifest, overrides)
    exp = new_experiment(config, manifest, run, overrides)
    announce(exp)
    from segclf.study.compare import flow
    from segclf.study.compare.output import comparison_text

    result = flow.compare(
        exp, methods or (), n_seeds=seeds, reference=reference, equal_time=not no_equal_time
    )
    page = result["outputs"]["page"]
    text = f"{comparison_text(result)}\nwrote {page}\nnext: open it in a browser"
    answer(result, text, as_json=as_json)
    if result["exit_code"]:
        raise typer.Exit(result["exit_code"])


def _recipe_file(config: Path | None, manifest: Path | None, run: str | None) -> Path | None:
    """The recipe that `new_experiment` reads."""
    from segclf.core.runs import named_run
    from segclf.experiment import phantom_recipe

    if config is not None or manifest is not None:
        return config
    of_run = named_run(Path(run)).config if run is not None else None
    return of_run if of_run is not None and of_run.is_file() else phantom_recipe()


def _folds(recipe_file: Path | None, overrides: Sequence[str]) -> list[str]:
    """The setting that `--folds` stands for; the recipe's own folds stay."""
    from segclf.core.config import load_recipe

    recipe = load_recipe(recipe_file, tuple(overrides))
    has_folds = recipe.split.folds is not None or recipe.split.fold_file is not None
    return [] if has_folds else [f"split.folds={N_FOLDS}"]


def _refuse_split(
    recipe_file: Path | None, manifest: Path | None, overrides: Sequence[str]
) -> None:
    """Refuse folds of a manifest that says which cases train, before a run is made."""
    from segclf.core.config import load_recipe
    from segclf.manifest import read_manifest

    base = recipe_file.parent if recipe_file else Path()
    recipe = load_recipe(recipe_file, tuple(overrides))
    if manifest is not None:
        recipe = recipe.model_copy(update={"manifest": os.path.relpath(manifest, base)})
    if "split" in read_manifest(recipe, base=base).frame.columns:
        raise UsageError(
            "the manifest says which cases train and which test, so there are no folds.",
            where="--folds",
            expected="a manifest without a column of the role split",
            fix="leave out --folds, or that column",
        )
