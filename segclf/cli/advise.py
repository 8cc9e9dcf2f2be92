"""The planner: what the masks say, what more would buy, which to draw next."""

from pathlib import Path
from typing import Annotated

import typer

from segclf import options as opt
from segclf.cli.app import app
from segclf.console import answer, progress, say
from segclf.core.errors import ExitCode

OutPage = Annotated[
    Path | None, typer.Option("--out", help="Also write a page: .html or .md; with --next a .csv.")
]


@app.command(epilog="Example: segclf advise --manifest manifest.csv --out advice.html")
def advise(
    manifest: opt.Manifest = None,
    config: opt.Config = None,
    run: opt.RunName = None,
    sets: opt.Set = None,
    out: OutPage = None,
    as_json: opt.Json = False,
) -> None:
    """Say whether masks are likely to pay here, and why; reads only, never test cases."""
    from segclf.study.advise.flow import advise as plan
    from segclf.study.advise.flow import open_data
    from segclf.study.advise.pages import check_page, write_page

    check_page(out)
    opened = open_data(manifest, config, run, sets or ())
    if opened.table.recipe.data == "phantom":
        say("data: phantom (synthetic)")
    with progress("advise") as on_event:
        advice = plan(opened, on_event)
    from segclf.study.advise.show import as_text
    from segclf.study.advise.words import sections_of

    sections = sections_of(advice)
    text = as_text(sections)
    if out is not None:
        write_page(out, sections)
        text += f"\n\nwrote {out}"
    answer(advice, text, as_json=as_json)
    if advice["broken_masks"] or advice["skipped_rows"]:
        raise typer.Exit(ExitCode.QUARANTINED)
