"""The report: one self-contained page, and its figures as files beside it."""

from pathlib import Path

import jinja2
from markupsafe import Markup

import segclf
from segclf.core.atomic import write_text
from segclf.report.content import ReportContent
from segclf.report.curves import training_figure
from segclf.report.planes import chosen_text, plane_caption, plane_figure
from segclf.report.rows import as_rows, distinct
from segclf.report.sections import FigureFiles, show_error, show_finding, show_ledger
from segclf.report.tables import plain_table
from segclf.report.text import plain, without_folders

HERE = Path(__file__).parent


def write_report(folder: Path, content: ReportContent) -> Path:
    """The page `index.html` in `folder`, with its figures beside it as SVG files.

    The page needs no network and no script, and the same content gives the same bytes. Ids and
    names of the data are escaped; patient ids and folders are not shown.
    """
    folder = Path(folder)
    files = FigureFiles(folder)
    metrics = as_rows(content.metrics)
    methods, findings = distinct(metrics, "method"), distinct(metrics, "finding")
    page = _template().render(
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),  # noqa: S704 (our own file)
        version=segclf.__version__,
        title=plain(content.title),
        data=content.data,
        question=plain(content.question, 2000),
        unit_name=plain(content.unit_name, 30),
        about=[plain(note, 500) for note in content.about],
        counts=plain_table(as_rows(content.counts), caption="Cases per split"),
        findings=[show_finding(files, content, finding, methods) for finding in findings],
        planes=[
            files.add("plane", plane_figure(plane), plane_caption(plane))
            for plane in content.planes
        ],
        chosen=chosen_text(content.planes),
        training=files.add("training", training_figure(content.training), "Training curves")
        if content.training
        else None,
        errors=[show_error(item) for item in content.gallery],
        recipe=without_folders(content.recipe),
        provenance=[
            plain_table(
                [{"name": k, "value": without_folders(str(v))} for k, v in values.items()],
                caption=plain(heading),
            )
            for heading, values in content.provenance.items()
        ],
        **show_ledger(content),
    )
    write_text(folder / "index.html", page)
    return folder / "index.html"


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")
