"""What a prepared case is, and what a batch of them is."""

from dataclasses import dataclass, field

import numpy as np
import torch


@dataclass(frozen=True)
class Sample:
    """One case as a network sees it, before any random change."""

    image: torch.Tensor
    """(channel, *space) float32, resized and intensity-scaled."""
    target: torch.Tensor
    """(finding, *space) float32 on the grid of `image`: 1, 0, between for soft truth, NaN where
    nothing is known (of a pixel, or the whole plane), -1 inside boxes: not known, but of these
    pixels of one finding at least one is positive."""
    label: torch.Tensor
    """(finding,) float32: 1, 0, or NaN for not known."""
    spacing_mm: tuple[float, ...] | None
    """Distance between pixels of the *input* image, in mm; None if it is not known."""
    input_shape: tuple[int, ...]
    """Spatial shape of the input image. `image` spans the same field of view, so interpolating
    a map with `align_corners=False` to this shape puts it back onto the input's pixels."""
    affine: np.ndarray | None
    """4 x 4 matrix from voxels of the input image to RAS+ mm; None if the file has none."""


@dataclass
class Batch:
    """Cases of equal shape, stacked. Not frozen, so that Fabric can move it between devices."""

    image: torch.Tensor
    """(case, channel, *space) float32."""
    target: torch.Tensor
    """(case, finding, *space) float32, as `Sample.target`."""
    label: torch.Tensor
    """(case, finding) float32; NaN is an unknown label."""
    case_id: list[str]
    step: int
    """Training step, or the number of the group of cases in `eval_batches`."""
    input_shape: list[tuple[int, ...]] = field(default_factory=list)
    """Per case, the spatial shape of the input image; empty in training."""
    spacing_mm: list[tuple[float, ...] | None] = field(default_factory=list)
    """Per case, the spacing of the input image; empty in training."""
    affine: list[np.ndarray | None] = field(default_factory=list)
    """Per case, the affine of the input image; empty in training."""
    quarantined: list[tuple[str, str, str]] = field(default_factory=list)
    """(case_id, reason, message) of cases of this group that could not be read. A batch may hold
    nothing else: then `case_id` is empty."""
