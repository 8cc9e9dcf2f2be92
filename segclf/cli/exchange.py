"""Commands that take data sets of other tools in, and give one back: import, export-dataset."""

from pathlib import Path
from typing import Annotated

import typer

from segclf import options as opt
from segclf.cli.app import app
from segclf.console import answer
from segclf.core.errors import ExitCode

KINDS = (
    "nnunet, msd, monai, siim, isic, busi, rsna-pneumonia, rsna-spine, coco, medmnist, gandlf, "
    "folder, imagefolder"
)


@app.command(name="import", epilog="Example: segclf import siim SIIM --out SIIM/manifest.csv")
def import_command(
    kind: Annotated[str, typer.Argument(help=f"Layout: {KINDS}.")],
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder of the data set.")],
    out: Annotated[Path, typer.Option(help="Manifest to write; the recipe lies beside it.")],
    table: Annotated[
        str | None, typer.Option(help="Table or JSON file in SRC, if several could be meant.")
    ] = None,
    images: Annotated[str | None, typer.Option(help="Folder of images in SRC.")] = None,
    masks: Annotated[
        str | None, typer.Option(help="Folder of masks in SRC, or a pattern: masks/{id}_seg.")
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """A data set in a known layout to a manifest and a recipe; says what was not mapped."""
    from segclf.importers import Options, import_data, import_text

    result = import_data(kind, source, out, Options(table, images, masks))
    train = "train-seg" if result["can_segment"] else "train-clf"
    then = f"segclf check --config {result['recipe']}"
    result |= {"next": then}
    text = (
        f"{import_text(result)}\nnext: {then}    then: segclf {train} --config {result['recipe']}"
    )
    answer(result, text, as_json=as_json)
    if result["left_out"]:
        raise typer.Exit(ExitCode.QUARANTINED)


@app.command(epilog="Example: segclf export-dataset nnunet --run my_run --out Dataset123_Name")
def export_dataset(
    kind: Annotated[str, typer.Argument(help="Layout: nnunet.")],
    out: Annotated[Path, typer.Option(help="New folder of the data set.")],
    config: opt.Config = None,
    manifest: opt.Manifest = None,
    run: opt.RunName = None,
    sets: opt.Set = None,
    channel: Annotated[
        list[str] | None, typer.Option(help="Name of a channel, such as CT; repeat for more.")
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """The cases in another tool's layout; with --run its split too. Says what is not carried."""
    from segclf.importers.export import export_data, export_text

    result = export_data(kind, out, config, manifest, run, tuple(sets or ()), tuple(channel or ()))
    text = f"{export_text(result)}\nwrote {out}\nnext: {result['next']}"
    answer(result | {"wrote": out}, text, as_json=as_json)
    if result["left_out"]:
        raise typer.Exit(ExitCode.QUARANTINED)
