"""Numbers and methods as a sentence writes them."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from segclf.report.text import two_digits
from segclf.study.compare.methods import ON_VAL

Row = Mapping[str, Any]
FEW = 6
"""Comparisons that each have a sentence; where there are more, those that ended alike share one."""
EXTRA, COLLAPSED = "uses extra labels", "collapsed segmenter"


def number(value: float) -> str:
    """Three digits after the point."""
    return f"{value:.3f}"


def rate_text(entry: Row) -> str:
    """Images per second to two digits, as rounds differ by more, with the slowest and fastest."""
    if is_missing(entry.get("images_per_s")):
        return "not recorded"
    ends = entry.get("images_per_s_range")
    text, *more = map(two_digits, (entry["images_per_s"], *(ends or ())))
    return f"{text} ({' to '.join(more)})" if more else text


def interval_of(lo: float | None, hi: float | None) -> str:
    """The ends in brackets, after a space; nothing if they are missing."""
    return "" if is_missing(lo) or is_missing(hi) else f" ({lo:.3f} to {hi:.3f})"


def p_text(row: Row) -> str:
    """The adjusted p value of a comparison, or the raw one where it was not adjusted."""
    if is_missing(row["p_adjusted"]):
        return f"p {p_value(row['p'])}"
    return f"adjusted p {p_value(row['p_adjusted'])}"


def p_value(value: float) -> str:
    """A p value; one that rounds to 0 says below what it is."""
    return "< 0.001" if value < 0.0005 else f"{value:.3f}"


def is_missing(value: object) -> bool:
    """Whether a number is None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def alike(rows: Sequence[Row], key: Callable[[Row], object]) -> list[list[Row]]:
    """Each row alone, or up to `FEW`; where there are more, rows of one key together."""
    if len(rows) <= FEW:
        return [[row] for row in rows]
    groups: dict[object, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return list(groups.values())


def span_of(values: Mapping[str, float]) -> str:
    """The smallest and the largest value, each with its name."""
    least, most = (end(values, key=lambda name: values[name]) for end in (min, max))
    return f"{number(values[least])} ({least}) to {number(values[most])} ({most})"


def short_phrase(name: str, family: str, *, collapsed: bool = False) -> str:
    """How a list names a method: its name, and what has to be known of it."""
    marks = [EXTRA] if family == "trained" and name.endswith(ON_VAL) else []
    marks += [COLLAPSED] if collapsed else []
    return f"{name} ({'; '.join(marks)})" if marks else name


def phrase(name: str, family: str, *, collapsed: bool = False) -> str:
    """How a sentence names a method."""
    short = short_phrase(name, family, collapsed=collapsed)
    if family == "rule":
        return f"segmentation with {short}"
    return f"segmentation with the trained summarizer {short}" if family == "trained" else short
