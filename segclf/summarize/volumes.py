"""Statistics of slices to statistics of the volume that they make up.

Exact, as if the maps had been stacked: numbers of pixels, areas at every threshold, overlap with
the truth, means, maxima, log-sums. By a rule: means of the top fractions, from the area curve;
components, which are those of single slices. Not defined: outlines, and the numbers of plug-ins.
"""

from typing import Any

import numpy as np
import pandas as pd

from segclf.core.errors import DataError
from segclf.core.maskstats import (
    LOGIT_THRESHOLDS,
    SCALARS,
    SURFACE_SCALARS,
    THRESHOLDS,
    TOP_COLUMNS,
    TOP_FRACTIONS,
    TOP_LOGIT_COLUMNS,
    MaskStatistics,
)

NEEDED = ("case_id", "volume_id")
SPACING = "slice_spacing_mm"


def stack_slices(
    statistics: MaskStatistics, slices: pd.DataFrame
) -> tuple[MaskStatistics, pd.DataFrame]:
    """One row per volume, finding and fold from the rows of its slices.

    A volume that lacks the statistics of a slice has none itself: a sum over the others would be
    too small without showing it.

    Args:
        statistics: Of slices; rows of cases that `slices` does not name are left out.
        slices: One row per case: `case_id`, `volume_id`, and where known `slice_spacing_mm`, by
            which areas become volumes.

    Returns:
        The statistics, whose `case_id` is the `volume_id`, in the order in which volumes come up;
        and of each volume left out `volume_id`, `fold`, `n_slices` and `n_missing`.

    Raises:
        DataError: A slice has no volume, or slices of a volume counted components at different t.
    """
    _check(slices)
    place_of = {str(case_id): k for k, case_id in enumerate(slices["case_id"])}
    found = [place_of.get(str(case_id), -1) for case_id in statistics.frame["case_id"]]
    place = np.array(found, dtype=np.int64)
    rows = np.flatnonzero(place >= 0)
    frame = statistics.frame.iloc[rows].reset_index(drop=True)
    own = slices.iloc[place[rows]].reset_index(drop=True)
    volume = own["volume_id"].astype("str")
    keys = pd.DataFrame({"v": volume, "finding": frame["finding"], "fold": frame["fold"]})
    group = keys.groupby(["v", "finding", "fold"], sort=False, dropna=False).ngroup().to_numpy()
    n_found = np.bincount(group)
    n_all = slices["volume_id"].astype("str").value_counts()
    n_slices = volume.map(n_all).to_numpy(dtype=np.int64)
    keys = keys.assign(n_slices=n_slices, n_missing=n_slices - n_found[group])
    is_whole = (keys["n_missing"] == 0).to_numpy()
    out = keys.loc[~is_whole].drop(columns="finding").drop_duplicates()
    used = np.flatnonzero(is_whole)
    used = used[np.argsort(group[used], kind="stable")]
    start = np.flatnonzero(np.diff(group[used], prepend=-1))
    thickness = own[SPACING] if SPACING in own else pd.Series(np.nan, index=own.index)
    frame = frame.assign(
        case_id=volume,
        px_size=frame["px_size"] * thickness.to_numpy(dtype=np.float64),
    ).iloc[used]
    out = out.rename(columns={"v": "volume_id"}).reset_index(drop=True)
    area, overlap = statistics.area_curve[rows[used]], statistics.overlap_curve[rows[used]]
    return _stacked(frame.reset_index(drop=True), area, overlap, start), out


def _check(slices: pd.DataFrame) -> None:
    missing = [name for name in NEEDED if name not in slices.columns]
    if missing or slices["volume_id"].isna().to_numpy().any():
        raise DataError(
            f"there is no column {missing[0]!r}." if missing else "a case has no volume.",
            where="the table of cases",
            expected="volume_id in every row: which cases are slices of one volume",
            fix="map it in the recipe, columns: {volume_id: HEADER}, or set slices.cut: true",
        )


def _stacked(
    frame: pd.DataFrame, area: np.ndarray, overlap: np.ndarray, start: np.ndarray
) -> MaskStatistics:
    """Rows of whole volumes, ordered by volume; `start` is the first row of each."""

    def total(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, start) if len(start) else values[:0]

    def highest(name: str) -> np.ndarray:
        values = frame[name].to_numpy()
        return np.maximum.reduceat(values, start) if len(start) else values[:0]

    n_px = total(frame["n_px"].to_numpy())

    def mean(name: str) -> np.ndarray:
        return total(frame[name].to_numpy(dtype=np.float64) * frame["n_px"].to_numpy()) / n_px

    first = frame.iloc[start].reset_index(drop=True)
    counted_at = frame["component_t"].to_numpy()
    if (counted_at != np.repeat(counted_at[start], np.diff(np.append(start, len(frame))))).any():
        raise DataError(
            "slices of one volume counted components at different thresholds.",
            where="component_t of the mask statistics",
            expected="one predict.component_t",
            fix="predict all cases again with one recipe",
        )
    true_px = frame["true_px"].to_numpy(dtype=np.float64, na_value=np.nan)
    unknown = total(np.isnan(true_px).astype(np.int64)) > 0
    area_curve = total(area)
    tops = top_means_of_curves(area_curve, n_px, highest("max_p"), highest("max_logit"))
    columns: dict[str, Any] = {
        **{name: first[name] for name in ("case_id", "finding", "fold", "component_t")},
        "n_px": n_px,
        "px_size": mean("px_size"),
        "is_volume": np.ones(len(start), bool),
        **{name: mean(name) for name in ("mean_p", "mean_logit")},
        **{name: highest(name) for name in ("max_p", "max_logit")},
        "sum_log1mp": total(frame["sum_log1mp"].to_numpy()),
        "lse_logit": _log_sum(frame["lse_logit"].to_numpy(), highest("lse_logit"), start, total),
        **tops,
        "largest_component_px": highest("largest_component_px"),
        "n_components": total(frame["n_components"].to_numpy()),
        "true_px": pd.array(np.where(unknown, 0, total(np.nan_to_num(true_px))), dtype="Int64"),
        **dict.fromkeys(SURFACE_SCALARS, np.nan),
    }
    columns["true_px"][unknown] = pd.NA
    table = pd.DataFrame(columns, columns=pd.Index(SCALARS))
    table = table.astype(SCALARS)
    curve = np.where(unknown[:, None], -1, total(overlap))
    return MaskStatistics(table, area_curve, curve)


def _log_sum(values: np.ndarray, most: np.ndarray, start: np.ndarray, total: Any) -> np.ndarray:  # noqa: ANN401 (a local sum)
    n_slices = np.diff(np.append(start, len(values)))
    return most + np.log(total(np.exp(values - np.repeat(most, n_slices))))


def top_means_of_curves(
    area_curve: np.ndarray, n_px: np.ndarray, max_p: np.ndarray, max_logit: np.ndarray
) -> dict[str, np.ndarray]:
    """Means of p and of the logit over the most probable pixels, from counts above thresholds.

    The sum of the k highest values is the integral over v of min(k, number of pixels above v). It
    is taken by trapezoids between the thresholds of the curve and up to the maximum; the true mean
    of p differs by less than half of the widest step (0.014), that of the logit by less than 0.06,
    and by up to half of what the maximum exceeds 6.9. Logits below that of p = 0.001 count as that
    one, unless all are below: then it is the maximum.

    Args:
        area_curve: (volume, 129) pixels above each of `THRESHOLDS`.
        n_px: (volume,) pixels of the volume.
        max_p: (volume,) highest probability.
        max_logit: (volume,) highest logit.

    Returns:
        A column (volume,) for each name of `TOP_COLUMNS` and `TOP_LOGIT_COLUMNS`.
    """
    found: dict[str, np.ndarray] = {}
    above = np.column_stack([n_px, area_curve])
    knots = np.concatenate([[0.0], THRESHOLDS, [1.0]])
    for i, fraction in enumerate(TOP_FRACTIONS):
        k = np.maximum(1, np.round(fraction * n_px))
        found[TOP_COLUMNS[i]] = _integral(above, knots, max_p, k) / k
        knots_logit = np.append(LOGIT_THRESHOLDS, np.inf)
        rest = LOGIT_THRESHOLDS[0] + _integral(area_curve, knots_logit, max_logit, k) / k
        found[TOP_LOGIT_COLUMNS[i]] = np.minimum(rest, max_logit)
    return found


def _integral(above: np.ndarray, knots: np.ndarray, most: np.ndarray, k: np.ndarray) -> np.ndarray:
    """(volume,) integral of min(k, pixels above v) from the first knot to the maximum `most`."""
    upper = np.minimum(knots[1:], most[:, None])
    width = np.maximum(upper - knots[:-1], 0.0)
    behind = np.column_stack([above[:, 1:], np.zeros(len(above), above.dtype)])
    ends = np.maximum(behind, 1)  # just below the maximum one pixel is left
    low, high = (np.minimum(counts, k[:, None]) for counts in (ends, above))
    return (width * (low + high) / 2).sum(1)
