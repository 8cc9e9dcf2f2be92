"""`segclf study`: the claims of the method, checked on phantoms or on the user's data."""

from pathlib import Path
from typing import Annotated

import typer

from segclf import options as opt
from segclf.cli.app import app
from segclf.console import answer, say
from segclf.core.runs import RUNS
from segclf.options import refuse

SEEDS = 5
Name = Annotated[str, typer.Argument(help="Name of the study; 'list' names them all.")]
Seeds = Annotated[
    int, typer.Option(min=1, help="Subsets of cases, each with weights of its own; or folds.")
]
Jobs = Annotated[int, typer.Option(min=1, help="Processes, each of which trains.")]
Column = Annotated[
    str | None, typer.Option(help="With --manifest: column of the shortcut or of the subgroup.")
]
Value = Annotated[
    str | None, typer.Option(help="With --column: the value that means present, or '>60'.")
]
Sizes = Annotated[
    str | None, typer.Option(help="With --manifest: numbers of training images, '50,100,200'.")
]
PerMask = Annotated[float | None, typer.Option(help="Minutes that drawing one mask takes.")]
PerLabel = Annotated[float | None, typer.Option(help="Minutes that reading one label takes.")]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder of the studies.")]


@app.command(epilog="Example: segclf study label-efficiency --manifest manifest.csv --seeds 5")
def study(
    name: Name,
    manifest: opt.Manifest = None,
    config: opt.Config = None,
    seeds: Seeds = SEEDS,
    jobs: Jobs = 1,
    column: Column = None,
    value: Value = None,
    sizes: Sizes = None,
    minutes_per_mask: PerMask = None,
    minutes_per_label: PerLabel = None,
    sets: opt.Set = None,
    out: OutFolder = RUNS / "study",
    as_json: opt.Json = False,
) -> None:
    """Check a claim of the method: many small trainings, one page. A second call goes on.

    Without --manifest or --config it runs on phantoms with known truth.
    """
    from segclf.study.science.own import numbers_of
    from segclf.study.science.own_levels import Question
    from segclf.study.science.run import listed, run_named
    from segclf.study.science.source import Source

    if name == "list":
        answer(
            listed(), "\n".join(f"{key}: {text}" for key, text in listed().items()), as_json=as_json
        )
        return
    source = None
    if manifest is not None or config is not None:
        source = Source(config, manifest, tuple(sets or ()))
    else:
        given = {
            "--column": column, "--value": value, "--sizes": sizes, "--set": sets,
            "--minutes-per-mask": minutes_per_mask, "--minutes-per-label": minutes_per_label,
        }  # fmt: skip
        why, fix = "are for data of your own", "name them with --manifest, or leave these out"
        refuse(given, "--manifest", why, fix)
        say("data: phantom (synthetic)")
    if name == "separability":
        given = {"--seeds": seeds != SEEDS, "--jobs": jobs != 1}
        refuse(given, name, "are for the studies that train", "leave them out")
    asked = Question(column, value, numbers_of(sizes), minutes_per_label, minutes_per_mask)
    entry, page, text = run_named(name, out, source, asked, n_seeds=seeds, jobs=jobs)
    answer({**entry, "page": str(page)}, f"{text}\nwrote {page}", as_json=as_json)
    if entry["exit_code"]:
        raise typer.Exit(entry["exit_code"])
