"""Figures as SVG text: drawn without global state, the same bytes every time, inks by name."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INKS = {
    "ink": "#1c2127",
    "soft": "#5b6470",
    "rule": "#d3d9e0",
    "series-0": "#0060a8",
    "series-1": "#c04f00",
    "series-2": "#007a5a",
    "series-3": "#a8407f",
    "series-4": "#806000",
    "series-5": "#2a8fbf",
    "series-6": "#5c4fb0",
    "series-7": "#6a6a6b",
}
"""Name of a colour, which the page may change for dark screens, to its value on paper. The series
are told apart without red against green, and lines differ in dashes and markers too."""
DASHES = ("-", "--", "-.", ":", "-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_STYLE: Any = {  # matplotlib types each key by its own name
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and selected
    "svg.hashsalt": "segclf",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.edgecolor": INKS["soft"],
    "axes.labelcolor": INKS["ink"],
    "axes.titlecolor": INKS["ink"],
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.8,
    "text.color": INKS["ink"],
    "xtick.color": INKS["soft"],
    "ytick.color": INKS["soft"],
    "grid.color": INKS["rule"],
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure that belongs to no window and no list of figures."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
    figure.patch.set_alpha(0)
    return figure


def series_ink(number: int) -> str:
    """The colour of a series; the ninth is again like the first."""
    return INKS[f"series-{number % 8}"]


@contextmanager
def styled() -> Iterator[None]:
    """A context in which axes and texts take the style of the report."""
    with mpl.rc_context(_STYLE):
        yield


def svg_text(figure: Figure) -> str:
    """The figure as a standalone SVG file; the same figure gives the same text."""
    stream = io.StringIO()
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Only widths are guessed with this font; the reader's own font draws every script.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        FigureCanvasSVG(figure).print_svg(
            stream, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
        )
    return stream.getvalue()


def inline_svg(text: str, *, name: str, title: str) -> str:
    """A standalone SVG made fit for a page: unique ids, a title, colours by name.

    Args:
        text: From `svg_text`.
        name: Starts every id, so that figures of one page do not share any.
        title: What the figure shows, for those who cannot see it; escaped here.
    """
    body = text[text.index("<svg") :]
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)  # it would style the page
    body = re.sub(r"<[^>]*>", lambda tag: _page_tag(tag[0], name), body)
    head, rest = body.split(">", 1)
    head = re.sub(r' (width|height)="([\d.]+)pt"', "", head)
    width_pt = re.search(r'viewBox="0 0 ([\d.]+)', head)
    size = f' style="max-width:{float(width_pt[1]) * 4 / 3:.0f}px"' if width_pt else ""
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = f'role="img" aria-labelledby="{name}-title"{size}'
    return f'{head} {shown}><title id="{name}-title">{label}</title>{rest}'


def _page_tag(tag: str, name: str) -> str:
    """A tag with its ids made unique, its colours named, and the font of the page."""
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    tag = tag.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    tag = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font: \1 var(--sans)", tag)
    for ink, value in INKS.items():
        tag = tag.replace(value, f"var(--{ink})")
    return tag
