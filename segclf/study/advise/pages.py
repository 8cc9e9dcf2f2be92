"""Where the advice is written when the user asks for a page."""

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


def write_page(path: Path, sections: Sequence[Section], figures: Sequence[str] = ()) -> None:
    """The sections as one page, by the suffix."""
    is_html = path.suffix == ".html"
    write_text(path, as_html(sections, figures) if is_html else as_markdown(sections))
