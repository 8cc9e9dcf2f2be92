"""Equal minutes of annotation as numbers of images."""

import math
from typing import NamedTuple

from segclf.core.errors import UsageError


class Affordable(NamedTuple):
    """Training images for the same minutes of annotation."""

    classifier: int
    segmenter: int


def minutes_to_cases(
    budget_min: float, minutes_per_label: float, minutes_per_mask: float, prevalence: float
) -> Affordable:
    """How many images classifier and segmenter get for the same minutes of annotation.

    The classifier needs a label per image; the segmenter a label per image, and a mask per positive
    one, since the mask of a negative is empty.

    Args:
        budget_min: Minutes of annotation.
        minutes_per_label: To label an image, above 0.
        minutes_per_mask: To draw the mask of a positive image.
        prevalence: Share of positive images.

    Raises:
        UsageError: A number is negative, not finite, or buys no image.
    """
    given = {"budget_min": budget_min, "minutes_per_mask": minutes_per_mask}
    given |= {"minutes_per_label": minutes_per_label, "prevalence": prevalence}
    is_fine = all(math.isfinite(value) and value >= 0 for value in given.values())
    found = Affordable(0, 0)
    if is_fine and prevalence <= 1 and minutes_per_label > 0:
        each = minutes_per_label + prevalence * minutes_per_mask
        found = Affordable(*(math.floor(budget_min / m + 1e-9) for m in (minutes_per_label, each)))
    if min(found) < 1:
        raise UsageError(
            "these minutes buy no image for both.",
            where=", ".join(f"{name} = {value:g}" for name, value in given.items()),
            expected="finite minutes of at least 0, above 0 per label, that buy at least one "
            "image; a prevalence from 0 to 1",
            fix="give a larger budget, or correct the numbers",
        )
    return found
