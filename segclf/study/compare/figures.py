"""Numbers and methods as a sentence writes them."""

import math
from collections.abc import Mapping
from typing import Any

from segclf.study.compare.methods import ON_VAL

Row = Mapping[str, Any]
EXTRA = "uses extra labels"


def number(value: float) -> str:
    """Three digits after the point."""
    return f"{value:.3f}"


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


def phrase(name: str, family: str) -> str:
    """How a sentence names a method."""
    if family == "rule":
        return f"segmentation with {name}"
    if family == "trained":
        extra = f" ({EXTRA})" if name.endswith(ON_VAL) else ""
        return f"segmentation with the trained summarizer {name}{extra}"
    return name
