"""What the values of an integer map mean: `mask_values` of the recipe."""

from collections.abc import Collection, Mapping

from segclf.core.errors import ConfigError

BACKGROUND = "background"
"""The name in `mask_values` of values that belong to no finding."""


def finding_values(mask_values: Mapping[int, str]) -> dict[int, str]:
    """Pixel value to finding, without the background."""
    return {value: name for value, name in mask_values.items() if name != BACKGROUND}


def known_values(mask_values: Mapping[int, str]) -> set[int]:
    """All values that a map may hold: the named ones, and 0 unless a background is named."""
    implied = set() if BACKGROUND in mask_values.values() else {0}
    return {*mask_values} | implied


def check_mask_values(mask_values: Mapping[int, str], findings: Collection[str]) -> None:
    """Refuse names of pixel values that leave no background or no finding.

    Args:
        mask_values: Of the recipe.
        findings: Those that the recipe lists.

    Raises:
        ConfigError: They do.
    """
    named = finding_values(mask_values)
    if 0 in mask_values and len(named) == len(mask_values):
        raise ConfigError(
            "mask_values names the value 0, and no value is the background.",
            where=f"mask_values = {{0: {mask_values[0]}}}",
            expected=f"values other than 0, or a value that is called {BACKGROUND}",
            fix=f"remove this entry, or name the background, e.g. {{255: {BACKGROUND}}}",
        )
    if (mask_values and not named) or BACKGROUND in findings:
        raise ConfigError(
            f"the name {BACKGROUND!r} is that of pixels of no finding.",
            where=f"findings = {findings or None}, mask_values = {mask_values}",
            expected="a finding with another name",
            fix="name what the other pixels are",
        )
