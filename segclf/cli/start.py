"""Commands before the first training: demo, doctor, init, check, split."""

from pathlib import Path
from typing import Annotated

import typer

from segclf import options as opt
from segclf.cli.app import app
from segclf.closing import done
from segclf.console import answer, progress
from segclf.core.errors import ExitCode


@app.command(epilog="Example: segclf demo")
def demo(as_json: opt.Json = False) -> None:
    """The main job on phantom data: segmenter against classifier, with a report."""
    from segclf.demo import run_demo

    result = run_demo()
    answer(result, result["text"], as_json=as_json)


@app.command(epilog="Example: segclf doctor")
def doctor(as_json: opt.Json = False) -> None:
    """Versions, devices, threads, bf16/AMX; names the fix of a broken installation."""
    from segclf.doctor import doctor_text, examine

    facts = examine()
    answer(facts, doctor_text(facts), as_json=as_json)
    if facts["problems"]:
        raise typer.Exit(ExitCode.INTEGRITY)


@app.command(epilog="Example: segclf init phantom my_phantom --set n_cases.train=64")
def init(
    what: Annotated[str, typer.Argument(help="phantom (synthetic data) or recipe.")],
    where: Annotated[Path, typer.Argument(help="Folder for phantom; YAML file for recipe.")],
    sets: opt.Set = None,
    as_json: opt.Json = False,
) -> None:
    """Write a phantom data set, or a recipe with every setting and its default."""
    from segclf.core.catalog import lookup
    from segclf.starting import init_phantom, init_recipe

    starters = {"phantom": init_phantom, "recipe": init_recipe}
    path = lookup(what, starters, kind="thing to init")(where, tuple(sets or ()))
    then = f"segclf train-seg --config {path}"
    answer({"wrote": path, "next": then}, f"wrote {path}\nnext: {then}", as_json=as_json)


@app.command(epilog="Example: segclf check manifest.csv --config recipe.yaml")
def check(
    manifest: Annotated[Path | None, typer.Argument(help="Case table (CSV or Parquet).")] = None,
    config: opt.Config = None,
    sets: opt.Set = None,
    workers: Annotated[int, typer.Option(help="Files read at the same time.")] = 2,
    as_json: opt.Json = False,
) -> None:
    """Read every file and list every problem, with row, field, expectation and fix."""
    from segclf.starting import check_data

    with progress("check") as on_event:
        result, text, exit_code = check_data(manifest, config, tuple(sets or ()), workers, on_event)
    answer(result, text, as_json=as_json)
    raise typer.Exit(exit_code)


@app.command(epilog="Example: segclf split --config recipe.yaml --folds 5")
def split(
    config: opt.Config = None,
    manifest: opt.Manifest = None,
    run: opt.RunName = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validation folds.")] = None,
    sets: opt.Set = None,
    as_json: opt.Json = False,
) -> None:
    """Divide the patients into train, validation and test (or folds), once for the run."""
    from segclf.experiment import new_experiment
    from segclf.manifest import split_text

    more = [f"split.folds={folds}"] if folds else []
    exp = new_experiment(config, manifest, run, [*(sets or ()), *more])
    done(
        exp.run.split,
        f"segclf train-seg --run {exp.run.path.name}",
        as_json,
        split_text(exp.split, exp.table),
    )
