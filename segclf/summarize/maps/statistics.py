"""The mask statistics of a probability map that came as a file, without its logits.

`core.maskstats` defines the statistics, from probabilities and logits. A map has no logits left:
here they are logit(p) with p kept `EDGE` away from 0 and 1. Counts are exactly those of the
definition; sums agree to about 1e-6, since the definition rounds each logit to float32.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.maskstats import (
    LOGIT_THRESHOLDS_FLOAT32,
    THRESHOLDS,
    TOP_COLUMNS,
    TOP_LOGIT_COLUMNS,
    components,
    threshold_index,
    top_counts,
)

EDGE = 2.0**-24
"""Half the distance of 1 to the next float32: what rounds to 1 is nearer than this."""
BLOCK_PX = 2**16
PRODUCT = 32
"""Numbers multiplied before one logarithm: EDGE**32 and its inverse are still float64."""


def as_logits(probability: np.ndarray) -> np.ndarray:
    """Float32 logits of probabilities, finite also at 0 and 1."""
    p = np.clip(np.asarray(probability, dtype=np.float64), EDGE, 1.0 - EDGE)
    return (np.log(p) - np.log1p(-p)).astype(np.float32)


def map_statistics(values: np.ndarray, *, px_size: float, component_t: float) -> dict[str, Any]:
    """What `mask_statistics` says of a map, with `true_px` missing.

    Args:
        values: (*space) probabilities as float32 or float16, or as levels: bool (0 or 1), uint8
            (p = value / 255) or uint16 (p = value / 65535).
        px_size: Area of a pixel in mm2 or volume of a voxel in mm3; NaN if not known.
        component_t: Threshold at which components are counted.
    """
    index = threshold_index(component_t)
    if values.dtype.kind == "f" and values.dtype != np.float16:
        numbers, above = _of_floats(values.astype(np.float32, copy=False), index)
    else:
        numbers, above = _of_levels(values, index)
    largest_px, n_components = components(above) if numbers["area_curve"][index] else (0, 0)
    return {
        "n_px": values.size,
        "px_size": float(px_size),
        "is_volume": values.ndim == 3,
        **numbers,
        "component_t": float(THRESHOLDS[index]),
        "largest_component_px": largest_px,
        "n_components": n_components,
        "true_px": pd.NA,
        "overlap_curve": np.full(len(THRESHOLDS), -1),
    }


def as_probability(values: np.ndarray) -> np.ndarray:
    """Levels (bool, uint8, uint16) or floats as probabilities, float32."""
    if values.dtype.kind == "f":
        return values.astype(np.float32, copy=False)
    top = 1 if values.dtype == bool else np.iinfo(values.dtype).max
    return (values / top).astype(np.float32)


def _of_levels(values: np.ndarray, index: int) -> tuple[dict[str, Any], np.ndarray]:
    """Every statistic from the number of pixels at each level."""
    p, logits, first_above = _levels(values.dtype.name)
    levels = values
    if values.dtype == np.float16:
        levels = values.view(np.uint16) & np.uint16(0x7FFF)  # -0.0 is 0.0
    elif values.dtype == bool:
        levels = values.view(np.uint8)
    count = np.bincount(levels.ravel(), minlength=len(p))
    from_top = np.cumsum(count[::-1])[::-1]  # pixels at this level or above
    area = np.append(from_top, 0)[first_above]
    highest = int(np.flatnonzero(count)[-1])
    wide = logits.astype(np.float64)
    peak = wide[highest]
    numbers = {
        "mean_p": float(count @ p / values.size),
        "max_p": float(p[highest]),
        "sum_log1mp": float(-(count @ np.logaddexp(0.0, wide))),
        "lse_logit": float(
            peak + np.log(count[: highest + 1] @ np.exp(wide[: highest + 1] - peak))
        ),
        "mean_logit": float(count @ wide / values.size),
        "max_logit": float(peak),
        "area_curve": area.astype(np.int64),
    }
    for names, value in ((TOP_COLUMNS, p), (TOP_LOGIT_COLUMNS, wide)):
        for name, n_top in zip(names, top_counts(values.size), strict=True):
            taken = np.minimum(from_top, n_top)  # of the n_top highest, at this level or above
            numbers[name] = float((taken - np.append(taken[1:], 0)) @ value / n_top)
    return numbers, levels >= first_above[index]


@lru_cache(maxsize=4)
def _levels(dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probability and logit of each level, and the first level above each threshold.

    A float16 has a level for each pattern of bits from 0.0 to 1.0, in the same order.
    """
    if dtype == "float16":
        n_levels = int(np.float16(1.0).view(np.uint16)) + 1
        p = np.arange(n_levels, dtype=np.uint16).view(np.float16).astype(np.float64)
    else:
        top = 1 if dtype == "bool" else int(np.iinfo(dtype).max)
        p = np.arange(top + 1) / top
    logits = as_logits(p)
    return p, logits, np.searchsorted(logits, LOGIT_THRESHOLDS_FLOAT32, side="right")


def _of_floats(values: np.ndarray, index: int) -> tuple[dict[str, Any], np.ndarray]:
    """Counts from the sorted map, sums in blocks; beside `values` it takes its size once more."""
    rising = np.sort(values, axis=None)
    cut = _float_cuts()
    total = np.zeros(4)
    for start in range(0, rising.size, BLOCK_PX):
        total += _block_sums(rising[start : start + BLOCK_PX])
    sum_p, sum_odds, log_rest, log_odds = (float(value) for value in total)
    counts = top_counts(rising.size)
    top = rising[-max(counts) :].astype(np.float64)
    top_logits = as_logits(top).astype(np.float64)
    numbers = {
        "mean_p": sum_p / rising.size,
        "max_p": float(top[-1]),
        "sum_log1mp": log_rest,
        "lse_logit": float(np.log(sum_odds)),
        "mean_logit": log_odds / rising.size,
        "max_logit": float(top_logits[-1]),
        "area_curve": (rising.size - np.searchsorted(rising, cut, side="right")).astype(np.int64),
    }
    for names, value in ((TOP_COLUMNS, top), (TOP_LOGIT_COLUMNS, top_logits)):
        for name, n_top in zip(names, counts, strict=True):
            numbers[name] = float(value[-n_top:].mean())
    return numbers, values > cut[index]


def _block_sums(p: np.ndarray) -> np.ndarray:
    """Sums over a block of p, of the odds p / (1 - p), of log(1 - p) and of log odds."""
    wide = p.astype(np.float64)
    sum_p = wide.sum()
    kept = np.clip(wide, EDGE, 1.0 - EDGE, out=wide)
    rest = 1.0 - kept
    odds = np.divide(kept, rest, out=kept)
    return np.array([sum_p, odds.sum(), _log_product(rest), _log_product(odds)])


def _log_product(factors: np.ndarray) -> float:
    """Sum of the logarithms, taken of products of `PRODUCT` numbers each."""
    n_whole = factors.size // PRODUCT * PRODUCT
    products = factors[:n_whole].reshape(PRODUCT, -1).prod(axis=0)
    return float(np.log(products).sum() + np.log(factors[n_whole:]).sum())


@lru_cache(maxsize=1)
def _float_cuts() -> np.ndarray:
    """For each threshold the largest float32 probability whose logit is not above it.

    Bits of positive floats are ordered as the floats are, so that they can be halved.
    """
    low = np.zeros(len(THRESHOLDS), dtype=np.int32)
    high = np.full(len(THRESHOLDS), np.float32(1.0).view(np.int32), dtype=np.int32)
    while (high - low > 1).any():
        middle = low + (high - low) // 2
        is_below = as_logits(middle.view(np.float32)) <= LOGIT_THRESHOLDS_FLOAT32
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    return low.view(np.float32)
