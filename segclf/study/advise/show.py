"""Sections as plain text, as Markdown, and as one HTML page that needs nothing else."""

import html
from collections.abc import Sequence
from importlib import resources

from segclf.core.text import visible
from segclf.study.advise.words import Section

TITLE = "Planning the drawing of masks"
MOST_ROWS = 30
"""Rows of a table on the console; pages and --json hold all."""


def as_text(sections: Sequence[Section]) -> str:
    """For the console: tables with aligned columns, of at most 30 rows."""
    lines: list[str] = []
    for section in sections:
        lines += ["", section.title]
        lines += [f"  {sentence}" for sentence in section.text]
        shown = section.rows[:MOST_ROWS]
        if shown:
            cells = [section.head, *shown]
            width = [max(len(row[i]) for row in cells) for i in range(len(section.head))]
            lines += ["  " + _line(row, width) for row in cells]
        if len(section.rows) > MOST_ROWS:
            lines.append(f"  … {len(section.rows) - MOST_ROWS} more rows: --json or --out")
    return "\n".join(lines[1:])


def as_markdown(sections: Sequence[Section], data: str, links: Sequence[str] = ()) -> str:
    """For documents; `links` lead to figures."""
    lines = [f"# {TITLE}", "", f"data: {_kind(data)}", ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        lines += [f"- {_md(sentence)}" for sentence in section.text]
        if section.rows:
            rows = [section.head, ("---",) * len(section.head), *section.rows]
            lines += ["", *(f"| {' | '.join(map(_md, row))} |" for row in rows)]
        lines.append("")
    lines += [f"![Learning curve](<{link}>)\n" for link in links]
    return "\n".join(lines)


def as_html(sections: Sequence[Section], data: str, figures: Sequence[str] = ()) -> str:
    """One page with the style of the report; figures are SVG texts of our own drawing."""
    css = resources.files("segclf.report").joinpath("page.css").read_text(encoding="utf-8")
    body = []
    for section in sections:
        body.append(f"<h2>{_escape(section.title)}</h2>")
        if section.text:
            items = "".join(f"<li>{_escape(sentence)}</li>" for sentence in section.text)
            body.append(f"<ul>{items}</ul>")
        if section.rows:
            body.append(f'<div class="scroll">{_table(section)}</div>')
    body += [f"<figure>{figure[figure.index('<svg') :]}</figure>" for figure in figures]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_escape(TITLE)}</title><style>{css}</style></head>\n"
        f'<body><header><h1>{_escape(TITLE)}</h1><p class="soft">data: {_kind(data)}</p></header>'
        f"<main>{''.join(body)}</main></body></html>\n"
    )


def _kind(data: str) -> str:
    """What pictures these are; a phantom is never taken for patients."""
    return "phantom (synthetic)" if data == "phantom" else data


def _table(section: Section) -> str:
    """Columns with words on the left, columns of numbers on the right."""
    columns = zip(*section.rows, strict=True)
    classes = [
        ' class="text"' if any(cell[:1].isalpha() for cell in cells) else "" for cells in columns
    ]

    def line(tag: str, row: Sequence[str]) -> str:
        cells = zip(classes, row, strict=True)
        inside = "".join(f"<{tag}{css}>{_escape(cell)}</{tag}>" for css, cell in cells)
        return f"<tr>{inside}</tr>"

    rows = "".join(line("td", row) for row in section.rows)
    return f"<table><thead>{line('th', section.head)}</thead><tbody>{rows}</tbody></table>"


def _line(row: Sequence[str], width: Sequence[int]) -> str:
    return "  ".join(cell.ljust(n) for cell, n in zip(row, width, strict=True)).rstrip()


def _md(text: str) -> str:
    return visible(text, instead=" ").replace("|", "\\|")


def _escape(text: str) -> str:
    return html.escape(visible(text, instead=" "))
