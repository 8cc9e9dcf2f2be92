"""A study as one HTML page: the Markdown of its section, and its figures."""

import re
from collections.abc import Mapping
from importlib import resources

from markdown_it import MarkdownIt
from markupsafe import escape


def study_html(title: str, markdown: str, figures: Mapping[str, str], data: str) -> str:
    """The page; whatever the text holds is shown as text, never as HTML.

    Args:
        title: Of the page.
        markdown: Of the section, with its heading and tables.
        figures: Name to SVG text of our own drawing; it takes the place of the link to it, or
            stands at the end.
        data: `user` or `phantom`, which the page says.
    """
    css = resources.files("segclf.report").joinpath("page.css").read_text(encoding="utf-8")
    text = markdown.split("\n", 1)[1] if markdown.startswith("#") else markdown
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    body = body.replace("<table>", '<div class="scroll"><table>').replace(
        "</table>", "</table></div>"
    )
    for name, svg in figures.items():
        drawn = f"<figure>{svg[svg.index('<svg') :]}</figure>"
        link = re.compile(rf'<p><img src="{re.escape(name)}"[^>]*></p>')
        body = link.sub(lambda _: drawn, body) if link.search(body) else body + drawn  # noqa: B023 (used at once)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{css}</style></head>\n"
        f'<body><header><h1>{escape(title)}</h1><p class="soft">data: {escape(data)}; research '
        f"use, not diagnosis</p></header><main>{body}</main></body></html>\n"
    )
