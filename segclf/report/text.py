"""Numbers and foreign texts as a reader sees them."""

import math
import re
from numbers import Integral, Real

from segclf.core.text import visible

LONGEST = 80
_FOLDERS = re.compile(
    r"(?<![\w.:/\\])(?:[A-Za-z]:[\\/]|\\\\|(?:\.\.[\\/])+|~?/)(?:[^\s\\/'\"]+[\\/])*"
)
MISSING = "\N{EN DASH}"


def plain(value: object, longest: int = LONGEST) -> str:
    """`value` as one line of visible text.

    Control characters and those that reorder what follows are taken out, so that an id cannot
    pass itself off as another; long texts are cut in the middle.
    """
    text = visible(str(value), instead=" ")
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def without_folders(text: str) -> str:
    """`text` in which absolute paths, and paths that climb with `..`, keep their last part only."""
    return _FOLDERS.sub("…/", text)


def number(value: object, digits: int = 3) -> str:
    """A whole number, or one with so many digits after the point; a dash if it is missing."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return MISSING if value is None else plain(value)
    if isinstance(value, Integral):
        return f"{int(value):,}"
    return MISSING if math.isnan(value) else f"{float(value):.{digits}f}"


def count(value: object) -> str:
    """A number of things; a dash if it is missing or not a number."""
    if not isinstance(value, Real) or math.isnan(value):
        return MISSING
    return f"{round(float(value)):,}"


def two_digits(value: float) -> str:
    """The value to two significant digits: `0.49`, `7.2`, `120`, `1,300`."""
    return f"{float(f'{value:.2g}'):,.12g}"


def amount(value: float, unit: str = "") -> str:
    """A quantity to three significant digits, with its unit."""
    shown = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{shown} {unit.replace('mm2', 'mm²')}".rstrip()


def probability(value: float) -> str:
    """A probability to three significant digits, and never rounded to 0 or 1."""
    if value < 0.0005:
        return "under 0.0005"
    return "over 0.9995" if value > 0.9995 else f"{value:.3g}"
