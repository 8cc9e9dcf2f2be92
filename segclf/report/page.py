"""The report: one self-contained page, and its figures as files beside it."""

from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

import segclf
from segclf.core.atomic import write_text
from segclf.report.appendix import answers, topic_places
from segclf.report.blocks import FigureFiles, Section
from segclf.report.cells import plain_table
from segclf.report.closing import alarms, count_rows, ledger_section, made_section
from segclf.report.content import ReportContent
from segclf.report.planes import chosen_text, plane_caption, plane_figure
from segclf.report.rows import distinct
from segclf.report.sections import Finding, rows_of, show_error, show_finding
from segclf.report.text import plain
from segclf.report.training import training_figure

HERE = Path(__file__).parent
TABLES = (
    *("metrics", "gaps", "comparisons", "decomposition", "size_recall"),
    *("robust", "grid", "overlap"),
)
"""Tables of the content that are shown per finding."""


def write_report(folder: Path, content: ReportContent) -> Path:
    """The page `index.html` in `folder`, with its figures beside it as SVG files.

    The page needs no network and no script, and the same content gives the same bytes. Ids and
    names of the data are escaped; patient ids and folders are not shown. What the content does
    not have, the page has no heading for: score tables from outside make a whole page too.
    """
    folder = Path(folder)
    files = FigureFiles(folder)
    is_exploratory = bool(content.ledger.get("exploratory"))
    rows = {
        name: rows_of(
            getattr(content, name), exploratory=is_exploratory, all_metrics=name == "size_recall"
        )
        for name in TABLES
    }
    metrics, warnings = rows["metrics"], alarms(content)
    findings = [
        show_finding(files, content, finding, rows, f"finding-{place}")
        for place, finding in enumerate(distinct(metrics, "finding"), start=1)
    ]
    made, ledger = made_section(content, metrics), ledger_section(content, metrics)
    planes = [
        files.add("plane", plane_figure(plane), plane_caption(plane)) for plane in content.planes
    ]
    training = (
        files.add(
            "training", training_figure(content.training), "Training curves",
            "The ring marks the weights that were kept.",
        )
        if content.training
        else None
    )  # fmt: skip
    page = _template().render(
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),  # noqa: S704 (our own file)
        version=segclf.__version__,
        title=plain(content.title),
        data=content.data,
        alarms=warnings,
        question=plain(content.question, 2000),
        unit_name=plain(content.unit_name, 30),
        about=[plain(note, 500) for note in content.about],
        # A run made the split itself; of tables from elsewhere nobody knows.
        is_split=bool(content.provenance) and not content.counts.empty,
        counts=plain_table(
            count_rows(content, metrics),
            caption="Test cases" if content.counts.empty else "Cases per split",
        ),
        findings=findings,
        planes=planes,
        chosen=chosen_text(content.planes),
        training=training,
        errors=[show_error(item) for item in content.gallery],
        made=made,
        guidelines=answers(topic_places(_parts(content, findings, [made, ledger]))),
        ledger=ledger,
    )
    write_text(folder / "index.html", page)
    return folder / "index.html"


def _parts(
    content: ReportContent, findings: Sequence[Finding], closing: Sequence[Section]
) -> list[tuple[str, Section]]:
    """Every section that the appendix may point to, with the words before its title."""
    topics = frozenset() if content.counts.empty else frozenset({"counts"})
    parts = [("", Section("question", "Question and data", (), topics))]
    warned = {"alarms"} | ({"exploratory"} if content.ledger.get("exploratory") else set())
    if alarms(content):
        parts.append(("", Section("alarms", "Warnings", (), frozenset(warned))))
    before = len(findings) > 1
    parts += [
        (finding.name if before else "", section)
        for finding in findings
        for section in finding.sections
    ]
    if content.gallery:
        parts.append(("", Section("errors", "Worst errors", (), frozenset({"errors"}))))
    return [*parts, *(("", section) for section in closing)]


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")
