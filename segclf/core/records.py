"""The nouns that stages hand to each other."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class MaskState(StrEnum):
    """What is known about the mask of one finding in one case."""

    DRAWN = "drawn"
    EMPTY = "empty"
    """No pixel is positive, known without a drawing: the label is 0, or the class is another."""
    UNKNOWN = "unknown"
    """Nobody drew it and the label does not settle it; losses and metrics leave it out."""


@dataclass(frozen=True)
class MaskSource:
    """Where the mask of one finding comes from."""

    state: MaskState
    path: Path | None = None
    """The file; None unless `state` is DRAWN."""
    values: tuple[int, ...] | None = None
    """Pixel values that belong to the finding; None means every value above 0."""


@dataclass(frozen=True)
class Case:
    """One row of the manifest, checked: paths are absolute and inside an allowed root."""

    case_id: str
    images: tuple[Path, ...]
    """One file per channel, or one file that holds all channels."""
    masks: tuple[MaskSource, ...]
    """One per finding, in the order of the recipe's findings."""
    labels: tuple[float, ...]
    """Per finding: 1.0, 0.0, or NaN for not known."""
    patient_id: str
    """Equal to `case_id` where the manifest has no patient column."""
    classes: dict[str, str] = field(default_factory=dict)
    """Category per exclusive head; a head whose category is not known is absent."""
    spacing_mm: tuple[float, ...] | None = None
    """From the manifest, for files that carry none; axis order of the array."""
    volume_id: str | None = None
    slice_index: int | None = None
