"""Numbers cut into bins: those that the user wrote, or quantiles."""

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from segclf.core.errors import UsageError

OUTSIDE = "outside the bins"
NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_BIN = re.compile(rf"\s*([\[(])\s*({NUMBER})?\s*,\s*({NUMBER})?\s*([\])])\s*(,|$)")
_QUANTILES = re.compile(r"\s*quantiles\s*=\s*([0-9]+)\s*")
MAX_QUANTILES = 20


@dataclass(frozen=True)
class Bin:
    """An interval of numbers; `text` is how the user wrote it."""

    text: str
    low: float
    high: float
    holds_low: bool
    holds_high: bool

    def contains(self, values: np.ndarray) -> np.ndarray:
        """True where a value lies in the interval; NaN never does."""
        above = values >= self.low if self.holds_low else values > self.low
        return above & (values <= self.high if self.holds_high else values < self.high)


def parse_bins(text: str, values: pd.Series, *, where: str) -> tuple[Bin, ...]:
    """The bins that a text such as `[0,40),[40,)` or `quantiles=4` asks for, ascending.

    Quantiles are those of the known values; bins that would hold the same values are one.

    Raises:
        UsageError: The text cannot be read, bins are empty or overlap, or values are not numbers.
    """
    if not is_number(values):
        example = next((str(value) for value in values.dropna()), "nothing")
        raise UsageError(
            "bins were given for a column that is not numeric.",
            where=where,
            expected=f"numbers only; found {example!r}",
            fix="leave the bins out, or correct the values",
        )
    asked = _QUANTILES.fullmatch(text)
    if asked:
        return _quantile_bins(values, int(asked[1]), where=where)
    bins, end = [], 0
    while end < len(text):
        match = _BIN.match(text, end)
        if match is None:
            raise _bad_bins(f"{text[end:]!r} is not an interval.", where=where)
        low = float(match[2]) if match[2] else -np.inf
        high = float(match[3]) if match[3] else np.inf
        new = Bin(match[0].rstrip(", "), low, high, match[1] == "[", match[4] == "]")
        if low > high or (low == high and not (new.holds_low and new.holds_high)):
            raise _bad_bins(f"the interval {new.text} is empty.", where=where)
        if bins and (bins[-1].high > low or (bins[-1].holds_high and bins[-1].high == low)):
            raise _bad_bins(f"{bins[-1].text} and {new.text} overlap or descend.", where=where)
        bins.append(new)
        end = match.end()
    return tuple(bins)


def _bad_bins(wrong: str, *, where: str) -> UsageError:
    return UsageError(
        wrong,
        where=where,
        expected=f"ascending intervals that do not overlap, or 2 to {MAX_QUANTILES} quantiles",
        fix="write for example 'age_years:[0,40),[40,60),[60,)' or 'age_years:quantiles=4'",
    )


def code_bins(values: pd.Series, bins: tuple[Bin, ...]) -> tuple[list[str], np.ndarray]:
    """Names of the bins and of the rest, and the code of each case; -1 where it has no value."""
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    code = np.full(len(numbers), len(bins))
    for index, interval in enumerate(bins):
        code[interval.contains(numbers)] = index
    code[np.isnan(numbers)] = -1
    return [*(interval.text for interval in bins), OUTSIDE], code


def _quantile_bins(values: pd.Series, n_bins: int, *, where: str) -> tuple[Bin, ...]:
    numbers = values.dropna().to_numpy(dtype=np.float64)
    if not 2 <= n_bins <= MAX_QUANTILES or not len(numbers):
        raise _bad_bins(f"{n_bins} quantiles of {len(numbers)} values cannot be cut.", where=where)
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, n_bins + 1)))
    if len(edges) < 2:
        raise _bad_bins(f"all {len(numbers)} values are {edges[0]:g}.", where=where)
    found = []
    for low, high in pairwise(edges.tolist()):
        is_last = high == edges[-1]
        text = f"[{low:.4g},{high:.4g}{']' if is_last else ')'}"
        found.append(Bin(text, low, high, holds_low=True, holds_high=is_last))
    return tuple(found)


def is_number(values: pd.Series) -> bool:
    """True for a column of numbers, not of true and false."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def suggest_bins(values: pd.Series) -> str:
    """Three bins of about equal size with round limits, as `--by` reads them."""
    numbers = values.dropna().astype(np.float64)
    cuts = sorted({float(f"{q:.2g}") for q in numbers.quantile([1 / 3, 2 / 3])})
    ends = ["", *(f"{cut:g}" for cut in cuts), ""]
    parts = [f"{'[' if low else '('}{low},{high})" for low, high in pairwise(ends)]
    return ",".join(parts)
