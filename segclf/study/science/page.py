"""A study as one HTML page: the Markdown of its section, and its figures."""

from collections.abc import Sequence
from importlib import resources

from markdown_it import MarkdownIt
from markupsafe import escape


def study_html(title: str, markdown: str, figures: Sequence[str], data: str) -> str:
    """The page; whatever the text holds is shown as text, never as HTML.

    Args:
        title: Of the page.
        markdown: Of the section, with tables.
        figures: SVG texts of our own drawing.
        data: `user` or `phantom`, which the page says.
    """
    css = resources.files("segclf.report").joinpath("page.css").read_text(encoding="utf-8")
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    body = body.replace("<table>", '<div class="scroll"><table>').replace(
        "</table>", "</table></div>"
    )
    drawn = "".join(f"<figure>{figure[figure.index('<svg') :]}</figure>" for figure in figures)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{css}</style></head>\n"
        f'<body><header><h1>{escape(title)}</h1><p class="soft">data: {escape(data)}; research '
        f"use, not diagnosis</p></header><main>{body}{drawn}</main></body></html>\n"
    )
