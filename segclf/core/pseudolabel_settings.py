"""The settings of pseudo-masks."""

from typing import Literal

from pydantic import Field, model_validator

from segclf.core.settings_base import Fraction, Settings, Switch


class PseudolabelSettings(Settings):
    """From predictions on cases without a mask to pseudo-masks."""

    filter: str = "boosted"
    """`none`, `label`, `boosted`, `count`, `confidence`, or an installed plug-in."""
    min_confidence: Fraction = 0.65
    """`boosted`, cases whose label is not known: their mask is kept if the confidence of the label
    that it gives is above this. 0.5 is a mask whose label changes as soon as t moves; at 0.65 the
    odds of the decisive pixel are 1.86 times those of t (or of t those of the pixel)."""
    uncertain: tuple[Fraction, Fraction] = Field(default=(0.35, 0.65))
    """`confidence`: pixels with a probability from the first to the second are not known."""
    soft_bits: Literal[8, 16] = 16
    """Depth of the PNG files of soft pseudo-masks of pictures; volumes keep float32."""
    free_empty: Switch = True
    """Cases whose label is 0 keep the empty mask that needs no drawing, whatever the filter; false
    lets the filter decide on them, as semi-supervision does that knows no labels."""

    @model_validator(mode="after")
    def _around_a_half(self) -> "PseudolabelSettings":
        low, high = self.uncertain
        if not 0 < low <= 0.5 <= high < 1:
            raise ValueError(
                f"pseudolabel.uncertain = [{low:g}, {high:g}] does not lie around 0.5 within 0 to 1"
            )
        return self
