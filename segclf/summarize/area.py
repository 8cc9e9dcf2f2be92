"""Rules that look at an area: of all pixels above t, or of the largest connected component."""

import numpy as np

from segclf.core.errors import UsageError
from segclf.core.maskstats import MaskStatistics, threshold_index
from segclf.core.units import convert_px
from segclf.summarize.pixels import rows_of, values_of


def area_above(
    stats: MaskStatistics, *, finding: str, t: float | None, unit: str = "px"
) -> np.ndarray:
    """Area of the pixels with p > t, (case,), in `unit`.

    Args:
        stats: Statistics of many masks.
        finding: Which finding.
        t: Probability threshold, a value of the grid; None for 0.5.
        unit: `px`, `mm2`, `mL` or `%` of the image.

    Raises:
        UsageError: t is off the grid, or the unit does not fit the images.
    """
    column = threshold_index(0.5 if t is None else t)
    rows = rows_of(stats, finding)
    check_unit(stats, rows, unit)
    return in_unit(stats.area_curve[rows, column], stats, rows, unit)


def largest_component(stats: MaskStatistics, *, finding: str) -> np.ndarray:
    """Pixels of the largest connected component of the mask, (case,); 0 for an empty mask.

    The mask is p > t at the t at which prediction counted components (`predict.component_t`).
    See `area_above` for the arguments.
    """
    return values_of(stats, finding, "largest_component_px")


def component_area(
    stats: MaskStatistics, *, finding: str, t: float | None = None, unit: str = "px"
) -> np.ndarray:
    """Area of the largest connected component, (case,), in `unit`.

    Args:
        stats: Statistics of many masks.
        finding: Which finding.
        t: None, or the t at which prediction counted components.
        unit: `px`, `mm2`, `mL` or `%` of the image.

    Raises:
        UsageError: Components were counted at another t, or at several, or the unit does not fit.
    """
    rows = rows_of(stats, finding)
    counted_at = np.unique(values_of(stats, finding, "component_t"))
    wanted = counted_at[:1] if t is None else np.array([t])
    if len(counted_at) > 1 or threshold_index(wanted[0]) != threshold_index(counted_at[0]):
        raise UsageError(
            "the largest component was counted at t = "
            + ", ".join(f"{value:.4g}" for value in counted_at[:5])
            + ("." if t is None else f", not at {t:.4g}."),
            where="rule largest_component",
            expected="masks that were all predicted with one component_t, and --t equal to it",
            fix="leave --t out, or predict again with --set predict.component_t="
            + (f"{counted_at[0]:.4g}" if t is None else f"{t:.4g}"),
        )
    check_unit(stats, rows, unit)
    return in_unit(largest_component(stats, finding=finding), stats, rows, unit)


def in_unit(n_px: np.ndarray, stats: MaskStatistics, rows: np.ndarray, unit: str) -> np.ndarray:
    """Pixel counts of the statistics' `rows`, (row,), in `unit`."""
    return convert_px(
        n_px,
        unit=unit,
        image_px=stats.frame["n_px"].to_numpy()[rows],
        px_size=stats.frame["px_size"].to_numpy()[rows],
    )


def check_unit(stats: MaskStatistics, rows: np.ndarray, unit: str) -> None:
    """Refuse a unit that the images of these rows cannot be measured in."""
    if unit in ("px", "%"):
        return
    is_volume = stats.frame["is_volume"].to_numpy(dtype=bool)[rows]
    wrong_kind = is_volume if unit == "mm2" else ~is_volume
    if wrong_kind.any():
        kind, other = ("volumes", "mL") if unit == "mm2" else ("2D images", "mm2")
        raise UsageError(
            f"{int(wrong_kind.sum())} of {len(rows)} cases are {kind}, which have no size in "
            f"{unit}.",
            where=f"tau in {unit}",
            expected="mm2 for 2D images, mL for volumes, px or % for both",
            fix=f"give tau in {other}, px or %",
        )
    n_unknown = int(np.isnan(stats.frame["px_size"].to_numpy()[rows]).sum())
    if n_unknown:
        raise UsageError(
            f"{n_unknown} of {len(rows)} cases have no known pixel size.",
            where=f"tau in {unit}",
            expected="a spacing in every image file, or spacing_mm in the manifest",
            fix="fill spacing_mm in the manifest and predict again, or give tau in px or %",
        )
