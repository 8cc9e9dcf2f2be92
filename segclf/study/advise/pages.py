"""Where the advice is written when the user asks for a page."""

import os
from collections.abc import Sequence
from pathlib import Path

from segclf.core.atomic import write_text
from segclf.core.errors import UsageError
from segclf.study.advise.show import as_html, as_markdown
from segclf.study.advise.words import Section

SUFFIXES = (".html", ".md")


def check_page(path: Path | None) -> None:
    """Refuse a page of another kind before any work is done.

    Raises:
        UsageError: The suffix is neither `.html` nor `.md`.
    """
    if path is not None and path.suffix not in SUFFIXES:
        raise UsageError(
            f"{path.name!r} is not a kind of page.",
            where="--out",
            expected="a file that ends in .html or .md",
            fix="write for example --out advice.html",
        )


def write_page(
    path: Path, sections: Sequence[Section], data: str, figures: Sequence[Path] = ()
) -> None:
    """The sections as one page, by the suffix; a Markdown page links the figures.

    Args:
        path: Of the page.
        sections: From `sections_of`, or of curves.
        data: `user` or `phantom`, which the page says.
        figures: SVG files of our own drawing.
    """
    if path.suffix == ".html":
        drawn = [figure.read_text(encoding="utf-8") for figure in figures]
        write_text(path, as_html(sections, data, drawn))
    else:
        links = [Path(os.path.relpath(figure, path.parent)).as_posix() for figure in figures]
        write_text(path, as_markdown(sections, data, links))
