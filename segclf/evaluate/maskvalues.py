"""What the predicted mask of each case is worth: one value per case and metric, or why not."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segclf.core.maskstats import THRESHOLDS, MaskStatistics
from segclf.core.text import counted
from segclf.evaluate.inference.missing import join

NO_SPACING = "no spacing in mm"
NO_PREDICTION = "no pixel is predicted"
NOT_MEASURED = "prediction did not compare outlines"


@dataclass(frozen=True)
class MaskValues:
    """One metric of masks, case by case."""

    value: np.ndarray
    """(case,) NaN where undefined."""
    why: np.ndarray
    """(case,) why a value is undefined; empty where it is defined."""
    t: float
    """Threshold of the masks."""
    tolerance_mm: float = np.nan
    """Distance up to which outlines agree, where that matters."""
    note: str = ""
    """What holds for all cases."""
    unfit: str = ""
    """Why the values cannot be averaged."""

    def left_out(self, among: np.ndarray) -> str:
        """How many of the cases `among` (bool) are undefined, and why; empty if none."""
        n_of = Counter(self.why[among & (self.why != "")].tolist())
        cases = counted(int(among.sum()), "case")
        return join(*(f"{n} of {cases} left out: {why}" for why, n in sorted(n_of.items())))


def mask_values(statistics: MaskStatistics, row: np.ndarray, index: int) -> dict[str, MaskValues]:
    """Every metric of masks for cases with a known truth; those of positives are of these alone.

    Args:
        statistics: Mask statistics.
        row: (case,) the rows that are the cases; one finding.
        index: Of the threshold, in `THRESHOLDS`.

    Returns:
        By name, as in `MASK_METRICS`. The false-positive area is in mm2 (pictures) or mL
        (volumes) where every case has a spacing, else in pixels or voxels.
    """
    frame = statistics.frame.iloc[row]
    area, overlap = (
        curve[row, index].astype(np.float64)
        for curve in (statistics.area_curve, statistics.overlap_curve)
    )
    true_px = frame["true_px"].to_numpy(dtype=np.float64)
    has_target = true_px > 0
    t = float(THRESHOLDS[index])

    def share(part: np.ndarray, whole: np.ndarray) -> MaskValues:
        value = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
        return MaskValues(value, np.where(has_target & (whole == 0), NO_PREDICTION, ""), t)

    values = {
        "dice": share(2 * overlap, area + true_px),
        "pixel_sensitivity": share(overlap, true_px),
        "pixel_precision": share(overlap, area),
        **dict(_surface_values(frame, has_target, t)),
        "image_false_positive_rate": share((area > 0).astype(np.float64), np.ones(len(area))),
    }
    name, px_size = _false_positive_area(frame)
    return values | {name: share(area * px_size, np.ones(len(area)))}


def _false_positive_area(frame: pd.DataFrame) -> tuple[str, np.ndarray | float]:
    """The metric's name, which holds the unit, and the size of a pixel of each case in it."""
    px_size = frame["px_size"].to_numpy(dtype=np.float64)
    if np.isnan(px_size).any():
        return "false_positive_area_px", 1.0
    if frame["is_volume"].to_numpy().any():
        return "false_positive_volume_ml", px_size / 1000
    return "false_positive_area_mm2", px_size


def _surface_values(
    frame: pd.DataFrame, has_target: np.ndarray, t: float
) -> Iterator[tuple[str, MaskValues]]:
    """What prediction measured, at the threshold and tolerance that it had."""
    own, unfit = [], ""
    for name, words in (("component_t", "thresholds"), ("surface_tolerance_mm", "tolerances")):
        used = np.unique(frame[name].to_numpy(dtype=np.float64))  # has one NaN at most
        own.append(float(used[0]) if len(used) == 1 else np.nan)
        if len(used) > 1:
            shown = ", ".join(f"{value:.4g}" for value in used)
            unfit = join(unfit, f"outlines were compared at several {words}: {shown}")
    at_t, tolerance_mm = own
    note = f"at t = {at_t:.4g}, where prediction compared outlines" if at_t != t else ""
    dice = frame["surface_dice"].to_numpy(dtype=np.float64)
    for name in ("surface_dice", "hd95_mm"):
        value = frame[name].to_numpy(dtype=np.float64)
        why = np.select(
            [~np.isnan(value) | ~has_target, frame["px_size"].isna(), np.isnan(dice)],
            ["", NO_SPACING, NOT_MEASURED],
            default=NO_PREDICTION,
        )
        tolerance = tolerance_mm if name == "surface_dice" else np.nan
        yield name, MaskValues(value, why, at_t, tolerance, "" if unfit else note, unfit)
