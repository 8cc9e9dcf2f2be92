"""What the values of an integer map mean: `mask_values` of the recipe."""

from collections.abc import Mapping

BACKGROUND = "background"
"""The name in `mask_values` of values that belong to no finding."""


def finding_values(mask_values: Mapping[int, str]) -> dict[int, str]:
    """Pixel value to finding, without the background."""
    return {value: name for value, name in mask_values.items() if name != BACKGROUND}


def known_values(mask_values: Mapping[int, str]) -> set[int]:
    """All values that a map may hold: the named ones, and 0 unless a background is named."""
    implied = set() if BACKGROUND in mask_values.values() else {0}
    return {*mask_values} | implied
