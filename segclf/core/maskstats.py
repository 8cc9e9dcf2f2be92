"""Every mask statistic, defined in NumPy: what prediction stores instead of probability maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from segclf.core.errors import UsageError

LOGIT_THRESHOLDS: np.ndarray = np.linspace(-np.log(999.0), np.log(999.0), 129)
"""Logit of each threshold of the area curve, evenly spaced; the middle one is exactly 0."""
THRESHOLDS: np.ndarray = 1.0 / (1.0 + np.exp(-LOGIT_THRESHOLDS))
"""The 129 probability thresholds t of the area curve, logit-spaced from 0.001 to 0.999; the
middle one (index 64) is 0.5."""
TOP_FRACTIONS = (0.0001, 0.001, 0.01, 0.1)
"""Shares of the most probable pixels whose mean probability is stored (at least one pixel)."""


def _round_down_float32(value: np.ndarray) -> np.ndarray:
    rounded = value.astype(np.float32)
    above = rounded.astype(np.float64) > value
    return np.where(above, np.nextafter(rounded, np.float32(-np.inf)), rounded)


LOGIT_THRESHOLDS_FLOAT32: np.ndarray = _round_down_float32(LOGIT_THRESHOLDS)
"""The largest float32 that is not above each of `LOGIT_THRESHOLDS`. For a float32 logit z,
`z > LOGIT_THRESHOLDS_FLOAT32[j]` and `z > LOGIT_THRESHOLDS[j]` are the same, so that every library
and device counts the same pixels."""


CURVES = ("area_curve", "overlap_curve")
"""Counts at every threshold of the grid, stored beside the columns of `SCALARS`."""


@dataclass(frozen=True)
class MaskStatistics:
    """The statistics of many masks: one row per case and finding.

    `frame` has the columns of `SCALARS`, then those of plug-ins (`segclf.core.mapstats`), and a
    range index; row i of each curve belongs to row i.
    """

    frame: pd.DataFrame
    area_curve: np.ndarray
    """(row, 129) int64: number of pixels with p > THRESHOLDS[j]."""
    overlap_curve: np.ndarray
    """(row, 129) int64: of these, how many are positive in the truth; -1 where truth is unknown."""


def joined(parts: Sequence[MaskStatistics]) -> MaskStatistics:
    """The statistics of several sets of masks, one below the other."""
    return MaskStatistics(
        pd.concat([part.frame for part in parts], ignore_index=True),
        np.concatenate([part.area_curve for part in parts]),
        np.concatenate([part.overlap_curve for part in parts]),
    )


SURFACE_SCALARS = {
    "surface_tolerance_mm": "float64",  # distance up to which outlines agree, for the next one
    "surface_dice": "float64",  # share of both outlines that agrees; 0 where nothing is predicted
    "hd95_mm": "float64",  # 95th percentile of the Hausdorff distance; both at `component_t`
}
"""What prediction measures between outlines, where the truth has a pixel and a spacing in mm is
known; NaN elsewhere, and `hd95_mm` also where nothing is predicted. `segclf.predict.surface`
defines them; rows that were made without may leave them out."""

LOGIT_SCALARS = {
    "mean_logit": "float64",
    "max_logit": "float64",
    **{f"top_logit_{i}": "float64" for i in range(len(TOP_FRACTIONS))},
}
"""Pooled logits, which still rank where probabilities round to 0 or 1; `top_logit_0` is the mean
logit of the top TOP_FRACTIONS[0] of the pixels, and so on."""

SCALARS = {
    "case_id": "string",
    "finding": "string",
    "fold": "Int64",  # missing without folds
    "n_px": "int64",  # pixels of the input image
    "px_size": "float64",  # mm2 of a pixel or mm3 of a voxel; NaN if the file has no spacing
    "is_volume": "bool",
    "mean_p": "float64",
    "max_p": "float64",
    "top_0": "float64",  # mean p of the top TOP_FRACTIONS[0] of the pixels, and so on
    "top_1": "float64",
    "top_2": "float64",
    "top_3": "float64",
    "sum_log1mp": "float64",  # sum over pixels of log(1 - p)
    "lse_logit": "float64",  # log of the sum over pixels of exp(logit)
    **LOGIT_SCALARS,
    "component_t": "float64",  # threshold of the next two
    "largest_component_px": "int64",
    "n_components": "int64",
    "true_px": "Int64",  # positive pixels of the truth; missing where it is unknown
    **SURFACE_SCALARS,
}


def mask_statistics(
    probability: np.ndarray,
    logits: np.ndarray,
    *,
    px_size: float,
    truth: np.ndarray | None = None,
    component_t: float,
) -> dict[str, Any]:
    """All statistics of one finding in one case: the definition that prediction is tested against.

    A pixel is above t when its float32 logit is strictly greater than logit(t). The sigmoid is
    strictly increasing, so in exact arithmetic this is p > t; counting on the logit keeps the
    count free of the rounding of the sigmoid, which differs between libraries and devices.

    Args:
        probability: Sigmoid of `logits`, (*space), best in float64: means and maxima are of it.
        logits: Finite, (*space); read as float32.
        px_size: Area of a pixel in mm2 or volume of a voxel in mm3; NaN if not known.
        truth: 1 or True inside the finding, else 0, (*space); None where it is not known.
        component_t: Threshold at which components are counted, one of `THRESHOLDS`. Pixels that
            share a face (4 neighbours in 2D, 6 in 3D) belong to one component.

    Returns:
        The columns of `SCALARS` except `case_id`, `finding`, `fold` and those of
        `SURFACE_SCALARS`, with `true_px` missing (NA) where the truth is not known, and
        `area_curve` and `overlap_curve` (129, int64).

    Raises:
        ValueError: Shapes differ, the map is empty, a logit is not finite, or the truth holds
            other values than 0 and 1.
    """
    logits = np.asarray(logits, dtype=np.float32)
    probability = np.asarray(probability)
    _check_map(probability, logits, truth)
    flat = probability.astype(np.float64).ravel()
    # np.logaddexp(0, z) = -log(1 - sigmoid(z)), without the cancellation of 1 - p near p = 1.
    wide = logits.astype(np.float64)
    index = threshold_index(component_t)
    largest_px, n_components = components(logits > LOGIT_THRESHOLDS_FLOAT32[index])
    inside = None if truth is None else np.asarray(truth) == 1
    return {
        "n_px": logits.size,
        "px_size": float(px_size),
        "is_volume": logits.ndim == 3,
        "mean_p": float(flat.mean()),
        "max_p": float(flat.max()),
        **dict(zip(TOP_COLUMNS, top_means(flat), strict=True)),
        "mean_logit": float(wide.mean()),
        "max_logit": float(wide.max()),
        **dict(zip(TOP_LOGIT_COLUMNS, top_means(wide.ravel()), strict=True)),
        "sum_log1mp": float(-np.logaddexp(0.0, wide).sum()),
        "lse_logit": float(wide.max() + np.log(np.exp(wide - wide.max()).sum())),
        "component_t": float(THRESHOLDS[index]),
        "largest_component_px": largest_px,
        "n_components": n_components,
        "true_px": pd.NA if inside is None else int(inside.sum()),
        "area_curve": counts_above(logits),
        "overlap_curve": (
            np.full(len(THRESHOLDS), -1) if inside is None else counts_above(logits[inside])
        ),
    }


TOP_COLUMNS = tuple(f"top_{i}" for i in range(len(TOP_FRACTIONS)))
"""Column of the mean probability of each of `TOP_FRACTIONS`."""
TOP_LOGIT_COLUMNS = tuple(f"top_logit_{i}" for i in range(len(TOP_FRACTIONS)))
"""Column of the mean logit of each of `TOP_FRACTIONS`."""


def top_counts(n_px: int) -> tuple[int, ...]:
    """Number of pixels behind each of `TOP_FRACTIONS`: the nearest integer, at least 1."""
    return tuple(max(1, round(fraction * n_px)) for fraction in TOP_FRACTIONS)


def top_means(value: np.ndarray) -> list[float]:
    """Mean of the highest values of a flat array, one mean for each of `TOP_FRACTIONS`."""
    falling = np.sort(value)[::-1]
    return [float(falling[:n_top].mean()) for n_top in top_counts(value.size)]


def counts_above(logits: np.ndarray) -> np.ndarray:
    """(129,) int64: how many float32 logits are strictly above each of `LOGIT_THRESHOLDS`."""
    rising = np.sort(np.asarray(logits, dtype=np.float32), axis=None)
    not_above = np.searchsorted(rising, LOGIT_THRESHOLDS_FLOAT32, side="right")
    return (rising.size - not_above).astype(np.int64)


def components(mask: np.ndarray) -> tuple[int, int]:
    """Pixels of the largest face-connected component of a mask, and the number of components.

    An empty mask has (0, 0): the network looked and found nothing, which is a finding.
    """
    if not mask.any():
        return 0, 0
    from scipy import ndimage  # heavy; most readers of this module need only the constants

    box = bounding_box(mask)  # lesions are small
    component, n_components = cast(tuple[np.ndarray, int], ndimage.label(mask[box]))
    return int(np.bincount(component.ravel())[1:].max()), int(n_components)


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box around the True pixels of a mask, which has at least one."""
    box: tuple[slice, ...] = ()
    for axis in range(mask.ndim):
        inside = mask[box]
        others = tuple(a for a in range(mask.ndim) if a != axis)
        hit = np.flatnonzero(inside.any(axis=others))
        box += (slice(int(hit[0]), int(hit[-1]) + 1),)
    return box


def threshold_index(t: float) -> int:
    """Index of the threshold `t` in `THRESHOLDS`.

    `t` counts as on the grid if it is the grid's value, or that value correctly rounded to 4 or
    more significant digits, as tables and messages print it.

    Raises:
        UsageError: `t` is off the grid; the message names its neighbours.
    """
    nearest = int(np.abs(THRESHOLDS - t).argmin()) if np.isfinite(t) else 0
    printed = {float(f"{THRESHOLDS[nearest]:.{digits}g}") for digits in range(4, 18)}
    if t in printed:
        return nearest
    above = int(np.searchsorted(THRESHOLDS, t))
    around = THRESHOLDS[max(above - 1, 0) : above + 1] if np.isfinite(t) else [0.5]
    raise UsageError(
        f"t = {t:g} is not one of the thresholds at which prediction counts pixels.",
        where="t (probability threshold)",
        expected="one of 129 logit-spaced values from 0.001 to 0.999, 0.5 among them",
        fix="use " + " or ".join(f"{value:.4g}" for value in around),
    )


def make_statistics(rows: Sequence[Mapping[str, Any]]) -> MaskStatistics:
    """The record of many rows; each holds the columns of `SCALARS` and both curves.

    Those of `SURFACE_SCALARS` and `LOGIT_SCALARS` may be absent; they are then missing. Other
    keys are the numbers of plug-ins and become columns as well.
    """
    maybe = dict.fromkeys((*SURFACE_SCALARS, *LOGIT_SCALARS), np.nan)
    rows = [maybe | dict(row) for row in rows]
    extra = sorted({name for row in rows for name in row} - {*SCALARS, *CURVES})
    columns = SCALARS | dict.fromkeys(extra, "float64")
    frame = pd.DataFrame(
        {
            name: pd.Series([row.get(name, np.nan) for row in rows], dtype=dtype)  # pyright: ignore[reportArgumentType] (dtype names)
            if name in extra
            else pd.Series([row[name] for row in rows], dtype=dtype)  # pyright: ignore[reportArgumentType] (dtype names)
            for name, dtype in columns.items()
        }
    )
    area, overlap = (
        np.array([row[name] for row in rows], dtype=np.int64).reshape(-1, len(THRESHOLDS))
        for name in CURVES
    )
    return MaskStatistics(frame, area, overlap)


def _check_map(probability: np.ndarray, logits: np.ndarray, truth: np.ndarray | None) -> None:
    shapes = [np.shape(a) for a in (probability, logits, truth) if a is not None]
    if len(set(shapes)) != 1 or 0 in shapes[0]:
        raise ValueError(f"maps must have one shape and at least one pixel; got {shapes}.")
    if not np.isfinite(logits).all():
        raise ValueError(f"{int((~np.isfinite(logits)).sum())} of {logits.size} logits not finite.")
    if truth is not None and not np.isin(truth, (0, 1)).all():
        raise ValueError(f"truth must be 0 or 1; got {np.unique(truth)[:5].tolist()}.")
