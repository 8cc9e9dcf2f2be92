"""What the page is built of: sections of texts, tables, figures, and parts that unfold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from segclf.core.atomic import write_text
from segclf.report.cells import Table
from segclf.report.rows import Row
from segclf.report.svg import inline_svg, svg_text

Piece = tuple[str, Any]
"""Kind and value: `text`, `note` (in a softer ink), `list` (of notes), `topic` (a heading),
`points` (a list to be read), `table`, `figure`, `figures` (side by side) or `fold`."""


@dataclass(frozen=True)
class Shown:
    """A figure in the page, and the file beside it."""

    svg: Markup
    file: str
    caption: str
    note: str = ""


@dataclass(frozen=True)
class Fold:
    """Pieces that are shown on demand."""

    summary: str
    pieces: Sequence[Piece]


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it."""

    anchor: str
    title: str
    pieces: Sequence[Piece]
    answers: frozenset[str] = frozenset()
    """Topics that the appendix may point to."""


class FigureFiles:
    """Writes figures as files and numbers them, so that their names and ids are unique."""

    def __init__(self, folder: Path) -> None:
        """Write into `folder`."""
        self.folder = folder
        self.n_figures = 0

    def add(self, kind: str, figure: Figure, caption: str, note: str = "") -> Shown:
        """The figure for the page, after it has been written to a file."""
        self.n_figures += 1
        name = f"{kind}-{self.n_figures}"
        text = svg_text(figure)
        write_text(self.folder / f"{name}.svg", text)
        inline = inline_svg(text, name=name, title=caption)
        svg = Markup(inline)  # noqa: S704 (texts are escaped there)
        return Shown(svg, f"{name}.svg", caption, note)


def tables(
    rows: Sequence[Row] | None, make: Callable[..., Table], caption: str, **options: object
) -> list[Piece]:
    """The table of `rows` as a piece; nothing if there are none."""
    return [("table", make(rows, caption=caption, **options))] if rows else []


def fold(summary: str, pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces that unfold; nothing if there are none."""
    return [("fold", Fold(summary, pieces))] if pieces else []
