"""Statistics of probability maps that plug-ins add: extra columns beside those of `maskstats`."""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from segclf.core.catalog import lookup
from segclf.core.errors import UsageError
from segclf.core.maskstats import CURVES, SCALARS

MapStatistic = Callable[[np.ndarray, tuple[float, ...] | None], Mapping[str, float]]
"""`(probability (*space), spacing_mm or None) -> {column: number}`; NaN where undefined."""
MAP_STATISTICS: dict[str, MapStatistic] = {}
"""Built in there are none. A package adds one under the entry point `segclf.mask_statistics`."""


def find_map_statistics(names: Sequence[str]) -> dict[str, MapStatistic]:
    """The plug-ins with these names.

    Raises:
        UsageError: No installed package offers one; the message lists near names.
    """
    group = "segclf.mask_statistics"
    kind = "map statistic"
    return {name: lookup(name, MAP_STATISTICS, kind=kind, group=group) for name in names}


def extra_statistics(
    plugins: Mapping[str, MapStatistic],
    probability: np.ndarray,
    spacing_mm: tuple[float, ...] | None,
) -> dict[str, float]:
    """What all of the plug-ins say of one map, as columns of the statistics.

    Args:
        plugins: From `find_map_statistics`.
        probability: (*space), on the image's own grid; a plug-in cannot change it.
        spacing_mm: Distance of pixel centres per axis; None where it is not known.

    Raises:
        UsageError: A plug-in gives something else than numbers under names of its own.
    """
    columns: dict[str, float] = {}
    if plugins:
        probability = probability.view()
        probability.flags.writeable = False
    for name, measure in plugins.items():
        found = measure(probability, spacing_mm)
        for column, value in found.items():
            is_own = re.fullmatch(r"[A-Za-z][A-Za-z0-9_.]*", str(column)) and column not in columns
            is_number = isinstance(value, int | float | np.integer | np.floating)
            if not is_own or column in SCALARS or column in CURVES or not is_number:
                raise UsageError(
                    f"the plug-in gives {column} = {value!r}.",
                    where=f"map statistic {name!r}",
                    expected="numbers (NaN where undefined) under names that nothing else has",
                    fix="rename the column, or return a number",
                )
            columns[column] = float(value)
    return columns
