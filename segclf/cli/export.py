"""The command that writes masks for other tools: export-masks."""

from pathlib import Path
from typing import Annotated

import typer

from segclf import options as opt
from segclf.cli.app import app
from segclf.closing import announce, done, quarantined
from segclf.console import progress
from segclf.core.text import counted


@app.command(
    "export-masks",
    epilog="Example: segclf export-masks --run my_run --rule tau --format dicom --series dicom/",
)
def export_masks(
    kind: Annotated[
        str,
        typer.Option("--format", help="nifti, nrrd, mha, png, or dicom: a SEG and an SR object."),
    ] = "nifti",
    rule: Annotated[
        str, typer.Option(help="Method of the run whose scores and threshold t are taken.")
    ] = "tau",
    t: Annotated[
        float | None,
        typer.Option(help="Probability threshold of a pixel, for rules that decide without one."),
    ] = None,
    case: Annotated[
        list[str] | None, typer.Option(help="Only this case; repeat for more. Default: test cases.")
    ] = None,
    series: Annotated[
        Path | None,
        typer.Option(help="With dicom: folder of the series, each called like its case."),
    ] = None,
    fractional: Annotated[
        bool, typer.Option("--fractional", help="With dicom: probabilities instead of masks.")
    ] = False,
    config: opt.Config = None,
    manifest: opt.Manifest = None,
    run: opt.RunName = None,
    fold: opt.Fold = None,
    sets: opt.Set = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the files; default: export/ in the run.")
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """Masks of scored cases as files for other tools, in the geometry of their images."""
    if kind != "dicom":
        opt.refuse(
            {"--series": series, "--fractional": fractional}, f"--format {kind}",
            "are for DICOM", "add --format dicom",
        )  # fmt: skip
    from segclf.experiment import find_experiment

    exp = find_experiment(
        config, run, sets or (), needs=f"summarize/{rule}/**/scores.parquet",
        made_by=f"segclf summarize --rule {rule}",
    )  # fmt: skip
    announce(exp)
    from segclf.export import Asked, check_format, export  # torch: seconds, once the run is found

    check_format(kind, exp.recipe.image.spatial_dims)
    asked = Asked(rule, t, tuple(case or ()), fold)
    with progress("export") as on_event:
        result = export(
            exp, asked, kind=kind, manifest=manifest, out=out, series=series,
            fractional=fractional, on_event=on_event,
        )  # fmt: skip
    text = f"{counted(result.n_cases, 'case')}, of these {result.n_made} written now"
    done(result.folder, f"read {result.folder / 'index.csv'}", as_json, text)
    quarantined(result.n_quarantined)
