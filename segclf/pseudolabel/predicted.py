"""What a filter is asked, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import nan

import numpy as np

from segclf.core.pseudolabel_settings import PseudolabelSettings
from segclf.core.units import convert_px

KEPT, EMPTY, DROPPED = "kept", "empty", "dropped"
UNCERTAIN = 2
"""File value of a pixel that is not known, in masks of the kind `uncertain`."""
SMALLEST_REST = 1e-6
"""Probability of everything that may be there, below which a pixel is background."""


@dataclass(frozen=True)
class Verdict:
    """What a filter says of one finding in one case."""

    mask: np.ndarray | None
    """(*space) uint8: 1 inside, 0 outside, 2 not known (only with the kind `uncertain`). None
    gives no mask: the finding stays unknown."""
    action: str
    """`kept`, `empty` (known to be empty, whatever was predicted) or `dropped`."""
    reason: str
    """Why, as a code; `REASONS` has the sentence."""
    kind: str = "full"
    """The `mask_kind` of the file: `full` or `uncertain`."""
    confidence: float | None = None
    """What the decision was made by, if by a confidence; for the ledger."""


@dataclass(frozen=True)
class Cut:
    """When a pixel and when an area counts, of one finding; fitted on validation cases."""

    t: float = nan
    tau: float = nan
    unit: str = "px"


@dataclass(frozen=True)
class Predicted:
    """One case as a filter sees it; arrays are on the grid of its input image."""

    raw: np.ndarray
    """(finding, *space): the probabilities as predicted."""
    labels: tuple[float, ...]
    """Per finding: 1, 0, or NaN for not known."""
    cuts: tuple[Cut, ...]
    """Per finding."""
    exclusive: bool = False
    """Findings exclude each other at a pixel."""
    absent: tuple[bool, ...] = ()
    """Exclusive findings that are nowhere but in `taken`: their label is 0, or they are drawn."""
    taken: np.ndarray | None = None
    """(*space) bool: pixels that a person drew as another of the exclusive findings."""
    px_size: float = nan
    """mm2 of a pixel or mm3 of a voxel; NaN if not known."""
    n_findings: tuple[int | None, ...] = ()
    """Per finding, how many of them a report counts; None if it does not say."""
    settings: PseudolabelSettings = field(default_factory=PseudolabelSettings)
    probability: np.ndarray = field(init=False)
    """(finding, *space): `raw`, for exclusive findings given what is known, see `settle`."""

    def __post_init__(self) -> None:
        """Settle the probabilities once."""
        settled = self.raw
        if self.exclusive:
            settled = settle(self.raw, self.absent or (False,) * len(self.raw), self.taken)
        object.__setattr__(self, "probability", settled)

    def mask(self, k: int) -> np.ndarray:
        """(*space) bool: where finding `k` is more probable than its t.

        Of exclusive findings that are both above their t, the more probable one has the pixel, of
        equal ones the first.
        """
        inside = self.probability[k] > np.float64(self.cuts[k].t)
        if self.exclusive and inside.any():
            for other, cut in enumerate(self.cuts):
                if other != k:
                    p, q = self.probability[k], self.probability[other]
                    beats = (q > p) if other > k else (q >= p)
                    inside &= ~(beats & (q > np.float64(cut.t)))
        return inside

    def predicted_mask(self, k: int) -> np.ndarray:
        """(*space) bool: where finding `k` was predicted above its t, as `summarize` counts it."""
        return self.raw[k] > np.float64(self.cuts[k].t)

    def area(self, n_px: int, k: int) -> float:
        """`n_px` pixels in the unit of the finding's tau; NaN if that needs an unknown spacing."""
        shape = self.raw.shape[1:]
        size = np.array(self.px_size)
        n_all = np.array(np.prod(shape))
        unit = self.cuts[k].unit
        return float(convert_px(np.array(n_px), unit=unit, image_px=n_all, px_size=size))

    def empty(self) -> np.ndarray:
        """(*space) uint8 of 0."""
        return np.zeros(self.raw.shape[1:], dtype=np.uint8)


def settle(probability: np.ndarray, absent: Sequence[bool], taken: np.ndarray | None) -> np.ndarray:
    """Probabilities of exclusive findings given that some of them are not there.

    A pixel of an absent finding goes to what may be there, in proportion: p_k / (1 - sum of p of
    the absent ones), where what is missing to 1 is background. So it becomes the next allowed
    finding if that is above its t, else background. Where almost nothing but an absent finding
    was predicted (the rest is below 1e-6), and in `taken`, the pixel is of no other finding.

    Args:
        probability: (finding, *space); the sum over findings is at most 1.
        absent: Per finding.
        taken: (*space) bool, see `Predicted`.

    Returns:
        (finding, *space) float32; 0 for absent findings.
    """
    gone = np.array(absent, dtype=bool)
    if not gone.any():
        return probability
    rest = 1.0 - probability[gone].sum(axis=0, dtype=np.float64)
    may_be = rest >= SMALLEST_REST
    if taken is not None:
        may_be &= ~taken
    settled = np.zeros(probability.shape, dtype=np.float32)
    for k in np.flatnonzero(~gone):
        np.divide(probability[k], rest, out=settled[k], where=may_be, casting="same_kind")
    return np.minimum(settled, 1.0, out=settled)
