"""The planner: what the masks say, what more would buy, which to draw next."""

from pathlib import Path
from typing import Annotated

import typer

from segclf import options as opt
from segclf.cli.app import app
from segclf.closing import announce
from segclf.console import answer, progress, say
from segclf.core.errors import ExitCode
from segclf.options import refuse

OutPage = Annotated[
    Path | None,
    typer.Option("--out", help="Also write a page, .html or .md; with --next the list, .csv."),
]
Measure = Annotated[
    str | None,
    typer.Option(help="Train at these sizes: per cent of the masks, or '25masks,50masks'."),
]
MeasureLabels = Annotated[
    str | None, typer.Option(help="With --measure: also with fewer labels, in per cent.")
]
Subsets = Annotated[int, typer.Option(help="With --measure: subsets of each size, at least 3.")]
PerMask = Annotated[float | None, typer.Option(help="Minutes that drawing one mask takes.")]
PerLabel = Annotated[float | None, typer.Option(help="Minutes that reading one label takes.")]
Target = Annotated[float | None, typer.Option(help="AUROC to reach at least cost.")]
By = Annotated[
    list[str] | None,
    typer.Option(help="With --next: column whose groups the list balances; repeat for more."),
]
Next = Annotated[
    int | None, typer.Option("--next", help="Name so many training cases to draw next.")
]


@app.command(epilog="Example: segclf advise --manifest manifest.csv --out advice.html")
def advise(
    manifest: opt.Manifest = None,
    config: opt.Config = None,
    run: opt.RunName = None,
    sets: opt.Set = None,
    measure: Measure = None,
    measure_labels: MeasureLabels = None,
    subsets: Subsets = 3,
    minutes_per_mask: PerMask = None,
    minutes_per_label: PerLabel = None,
    target_auroc: Target = None,
    next_cases: Next = None,
    by: By = None,
    fold: opt.Fold = None,
    out: OutPage = None,
    as_json: opt.Json = False,
) -> None:
    """Are masks likely to pay, what would more of them buy, which to draw next? Never reads test.

    Alone it reads the manifest and masks and trains nothing. --measure trains at nested subsets
    of the masks and draws the learning curve; --next lists the cases to draw.
    """
    of_curves = {
        "--measure-labels": measure_labels, "--minutes-per-mask": minutes_per_mask,
        "--minutes-per-label": minutes_per_label, "--target-auroc": target_auroc,
    }  # fmt: skip
    if measure is None:
        refuse(of_curves, "--measure", "belong to learning curves", "add --measure 10,20,40")
    if next_cases is None:
        refuse({"--by": by}, "--next", "balances the list", "add --next 50")
    if measure is None and next_cases is None:
        refuse({"--fold": fold is not None}, "--measure, --next", "is for them", "leave it out")
    if measure is not None and next_cases is not None:
        refuse({"--next": True}, "--measure", "is another question", "ask one after the other")
    if next_cases is not None:
        _next(manifest, config, run, sets or [], next_cases, by or [], fold, out, as_json)
    elif measure is not None:
        from segclf.study.advise.spend import Wish

        wish = Wish(target_auroc, minutes_per_mask, minutes_per_label)
        sizes = (measure, measure_labels, subsets)
        _measure(manifest, config, run, sets or [], sizes, wish, fold, out, as_json)
    else:
        _look(manifest, config, run, sets or [], out, as_json)


def _look(
    manifest: Path | None,
    config: Path | None,
    run: str | None,
    sets: list[str],
    out: Path | None,
    as_json: bool,
) -> None:
    from segclf.study.advise.flow import advise as plan
    from segclf.study.advise.flow import open_data
    from segclf.study.advise.pages import check_page, write_page

    check_page(out)
    opened = open_data(manifest, config, run, sets)
    if opened.table.recipe.data == "phantom":
        say("data: phantom (synthetic)")
    with progress("advise") as on_event:
        advice = plan(opened, on_event)
    from segclf.study.advise.show import as_text
    from segclf.study.advise.words import sections_of

    sections = sections_of(advice)
    text = as_text(sections)
    if out is not None:
        write_page(out, sections, advice["data"])
        text += f"\n\nwrote {out}"
    answer(advice, text, as_json=as_json)
    if advice["broken_masks"] or advice["skipped_rows"]:
        raise typer.Exit(ExitCode.QUARANTINED)


def _measure(
    manifest: Path | None,
    config: Path | None,
    run: str | None,
    sets: list[str],
    sizes: tuple[str, str | None, int],
    wish: object,
    fold: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    from segclf.experiment import new_experiment
    from segclf.study.advise.allowed import check_subsets, check_trainable
    from segclf.study.advise.pages import check_page, write_page
    from segclf.study.advise.spend import check_wish, measure_and_plan, one_fold, sizes_of

    masks, labels, n_subsets = sizes
    check_page(out)
    check_wish(wish)  # type: ignore[arg-type] (a Wish, whose import costs seconds)
    check_subsets(n_subsets)
    exp = new_experiment(config, manifest, run, sets)
    check_trainable(exp.recipe)
    announce(exp)
    fold = one_fold(exp, fold)
    planned = sizes_of(exp, masks, labels, fold)
    result, sections, figures, code = measure_and_plan(exp, planned, n_subsets, wish, fold)  # type: ignore[arg-type]
    from segclf.study.advise.show import as_text

    folder = exp.run.stage("advise", "measure")
    if out is not None:
        write_page(out, sections, result["data"], figures)
    text = f"{as_text(sections)}\n\nwrote {folder}" + (f" and {out}" if out else "")
    answer(result | {"wrote": folder}, text, as_json=as_json)
    if code:
        raise typer.Exit(code)


def _next(
    manifest: Path | None,
    config: Path | None,
    run: str | None,
    sets: list[str],
    n: int,
    by: list[str],
    fold: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    from segclf.study.advise.flow import open_data
    from segclf.study.advise.next_cases import next_cases, next_text, write_list

    opened = open_data(manifest, config, run, sets)
    if opened.table.recipe.data == "phantom":
        say("data: phantom (synthetic)")
    with progress("advise --next") as on_event:
        found = next_cases(opened, n, by=by, fold=fold, on_event=on_event)
    path = write_list(opened, found, out)
    answer(found.as_dict() | {"wrote": path}, next_text(found, path), as_json=as_json)
    if found.quarantined:
        raise typer.Exit(ExitCode.QUARANTINED)
