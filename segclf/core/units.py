"""Areas and volumes with their units, as users write them: `20px`, `35mm2`, `1.5mL`, `0.1%`."""

import re
from dataclasses import dataclass

import numpy as np

from segclf.core.errors import UsageError

UNITS = {"px": "px", "mm2": "mm2", "mm²": "mm2", "ml": "mL", "%": "%"}


@dataclass(frozen=True)
class Area:
    """An amount of image: pixels, mm2, mL, or per cent of the image."""

    value: float
    unit: str

    def __str__(self) -> str:
        """As the user would type it."""
        return f"{repr(self.value).removesuffix('.0')}{self.unit}"


def parse_area(text: str) -> Area:
    """The area that `text` names.

    Raises:
        UsageError: There is no number, or the unit is not px, mm2, mL or %.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([A-Za-z%²0-9]*)\s*", text)
    unit = UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None or not np.isfinite(float(match[1])):
        raise UsageError(
            f"{text!r} is not an area.",
            where="--tau",
            expected="a number and a unit: px, mm2, mL or %",
            fix="write for example 20px, 35mm2, 1.5mL or 0.1%",
        )
    return Area(float(match[1]), unit)


def convert_px(
    n_px: np.ndarray, *, unit: str, image_px: np.ndarray, px_size: np.ndarray
) -> np.ndarray:
    """Pixel counts expressed in `unit`; NaN where that needs a pixel size that is not known.

    Args:
        n_px: Counts of pixels or voxels.
        unit: `px`, `mm2`, `mL` or `%`.
        image_px: Number of pixels of the whole image, broadcast against `n_px`.
        px_size: Area of a pixel in mm2 (2D) or volume of a voxel in mm3 (3D), NaN if unknown.

    Raises:
        ValueError: `unit` is none of these.
    """
    n_px = np.asarray(n_px, dtype=np.float64)
    if unit == "px":
        return n_px
    if unit == "%":
        return 100.0 * n_px / image_px
    if unit not in ("mm2", "mL"):
        raise ValueError(f"unit must be px, mm2, mL or %; got {unit!r}.")
    return n_px * px_size if unit == "mm2" else n_px * px_size / 1000.0
