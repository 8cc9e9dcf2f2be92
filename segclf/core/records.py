"""The nouns that stages hand to each other."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

BOX = -1.0
"""Target of a pixel inside a box: not known by itself, but of all such pixels of one finding in
one case at least one is positive."""


class MaskState(StrEnum):
    """What is known about the mask of one finding in one case."""

    DRAWN = "drawn"
    EMPTY = "empty"
    """No pixel is positive, known without a drawing: the label is 0, or the class is another."""
    UNKNOWN = "unknown"
    """Nobody drew it and the label does not settle it; losses and metrics leave it out."""


class MaskKind(StrEnum):
    """How much a mask file says about each pixel; docs/masks.md says what each becomes."""

    FULL = "full"
    """Every pixel."""
    POINT = "point"
    """Foreground at the drawn pixels, nothing within a radius of them, background elsewhere."""
    BOX = "box"
    """Background outside; inside nothing, but that some pixel is foreground."""
    DILATED = "dilated"
    """Drawn too large by up to a radius: nothing within it of the edge."""
    UNCERTAIN = "uncertain"
    """0 background, 1 foreground, 2 not known: a filtered pseudo-mask."""
    SOFT = "soft"
    """A probability per pixel."""


@dataclass(frozen=True)
class MaskSource:
    """Where the mask of one finding comes from."""

    state: MaskState
    path: Path | None = None
    """The file; None unless `state` is DRAWN."""
    values: tuple[int, ...] | None = None
    """Pixel values that belong to the finding; None means every value above 0."""
    kind: MaskKind = MaskKind.FULL
    radius_px: float | None = None
    """Of DILATED, in pixels of the file."""
    is_pseudo: bool = False
    """A network drew it."""

    @property
    def is_truth(self) -> bool:
        """Whether predictions may be judged by it: known, at every pixel, and by a person."""
        is_known = self.state is not MaskState.UNKNOWN
        return is_known and self.kind is MaskKind.FULL and not self.is_pseudo

    @property
    def stamp(self) -> list[str | float | None]:
        """What it adds to hashes of a case: nothing for a full, drawn mask."""
        if self.kind is MaskKind.FULL and not self.is_pseudo:
            return []
        return [self.kind.value, self.radius_px, "pseudo" if self.is_pseudo else None]


@dataclass(frozen=True)
class Cut:
    """Which slice of its files a case is; see `segclf.core.slice_settings`."""

    axis: int
    """Axis of the volume, (x, y, z) in RAS+, that the slices follow each other along."""
    index: int
    n_slices: int
    neighbours: int = 0
    edge: str = "repeat"

    @property
    def stamp(self) -> list[int | str]:
        """What it adds to hashes of a case."""
        return [self.axis, self.index, self.n_slices, self.neighbours, self.edge]


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
    any_place: bool = False
    """The files may state different places and spacings; only their shapes are compared."""
    cut: Cut | None = None
    """The case is this slice of its files, which are volumes; None: it is all of them."""


def with_truth_only(case: Case) -> Case:
    """The case with every mask that is not truth (coarse, or of a network) not known."""
    if all(mask.is_truth or mask.state is MaskState.UNKNOWN for mask in case.masks):
        return case
    unknown = MaskSource(MaskState.UNKNOWN)
    return replace(case, masks=tuple(m if m.is_truth else unknown for m in case.masks))
