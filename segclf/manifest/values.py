"""A metadata column as codes, for counting and comparing."""

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Values:
    """The values of a column, sorted, and which one each case has."""

    codes: np.ndarray
    """Per case: index into the sorted values; -1 where the cell is blank."""
    names: tuple[str, ...]
    """The values as texts, sorted as numbers if they are numbers."""
    numbers: np.ndarray | None
    """Per case, NaN where blank; None for texts."""

    @property
    def is_whole(self) -> bool:
        """Texts and integers, which may be ids; not measured numbers."""
        return self.numbers is None or bool((np.mod(self.numbers[self.codes >= 0], 1) == 0).all())


def values_of(frame: pd.DataFrame, column: str) -> Values:
    """The values of one column of a case frame."""
    series = pd.Series(frame[column])
    if pd.api.types.is_numeric_dtype(series):
        numbers = series.to_numpy(dtype=float, na_value=np.nan)
        known = np.unique(numbers[~np.isnan(numbers)])
        codes = np.where(np.isnan(numbers), -1, np.searchsorted(known, numbers))
        return Values(codes, tuple(f"{number:g}" for number in known), numbers)
    texts = [None if pd.isna(text) else str(text) for text in series.tolist()]
    names = tuple(sorted({text for text in texts if text is not None}))
    index = {name: code for code, name in enumerate(names)}
    codes = np.array([-1 if text is None else index[text] for text in texts], dtype=int)
    return Values(codes, names, None)
