"""Commands that run whole studies: compare."""

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

    overrides = [*(sets or ()), *settings_of(None, False, None, None, None, margin)]
    overrides += _folds(config, run, overrides) if folds else []
    exp = new_experiment(config, manifest, run, overrides)
    if folds and exp.folds() == [None]:
        raise UsageError(
            "the manifest says which cases train and which test, so there are no folds.",
            where="--folds",
            expected="a manifest without a column of the role split",
            fix="leave out --folds, or that column",
        )
    announce(exp)
    from segclf.study.compare import flow  # torch: seconds, paid once the run is found
    from segclf.study.compare.output import comparison_text

    result = flow.compare(
        exp, methods or (), n_seeds=seeds, reference=reference, equal_time=not no_equal_time
    )
    page = result["outputs"]["page"]
    text = f"{comparison_text(result)}\nwrote {page}\nnext: open it in a browser"
    answer(result, text, as_json=as_json)
    if result["exit_code"]:
        raise typer.Exit(result["exit_code"])


def _folds(config: Path | None, run: str | None, overrides: Sequence[str]) -> list[str]:
    """The setting that `--folds` stands for; the recipe's own folds stay."""
    from segclf.core.config import load_recipe
    from segclf.core.runs import named_run

    of_run = named_run(Path(run)).config if run is not None and config is None else None
    recipe = load_recipe(of_run if of_run and of_run.is_file() else config, tuple(overrides))
    has_folds = recipe.split.folds is not None or recipe.split.fold_file is not None
    return [] if has_folds else [f"split.folds={N_FOLDS}"]
