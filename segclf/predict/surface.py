"""Outlines of a predicted mask and of the truth: how much of them agrees, and how far they part."""

from typing import cast

import numpy as np
from monai.metrics.utils import get_mask_edges, get_surface_distance

from segclf.core.maskstats import bounding_box


def surface_statistics(
    predicted: np.ndarray,
    truth: np.ndarray,
    *,
    spacing_mm: tuple[float, ...],
    tolerance_mm: float,
) -> dict[str, float]:
    """`surface_dice` and `hd95_mm` of one mask against its truth.

    The outline of a mask is its pixels with a face neighbour outside the mask; pixels at the rim
    of the image belong to it. Where nothing is predicted, no part of the true outline is near,
    so `surface_dice` is 0, and `hd95_mm` is NaN: there is no distance to nothing.

    Args:
        predicted: True where the finding is predicted, (*space).
        truth: True inside the finding, on the same grid, with at least one pixel.
        spacing_mm: Distance between pixel centres along each axis.
        tolerance_mm: Largest distance at which a pixel of one outline agrees with the other.

    Returns:
        `surface_dice`: share of the pixels of both outlines that lie within the tolerance of the
        other outline, in [0, 1]. `hd95_mm`: the larger one of the 95th percentiles of the
        distances from each outline to the other. Both equal MONAI's `compute_surface_dice` and
        `compute_hausdorff_distance`, which measure the same distances twice.

    Raises:
        ValueError: The masks or the spacing do not fit each other, or the truth is empty.

    Source:
        Surface Dice by pixels: Seidlitz et al., Med. Image Anal. 80 (2022) 102488, after Nikolov
        et al., arXiv:1809.04430. HD95: Huttenlocher et al., IEEE TPAMI 15 (1993) 850.
    """
    if not predicted.shape == truth.shape or len(spacing_mm) != truth.ndim:
        raise ValueError(
            f"the masks and the spacing must fit each other: got shapes {predicted.shape} and "
            f"{truth.shape}, and spacing_mm = {spacing_mm}."
        )
    if not truth.any():
        raise ValueError("the truth must have a pixel: an empty one has no outline.")
    if not predicted.any():
        return {"surface_dice": 0.0, "hd95_mm": np.nan}
    box = bounding_box(predicted | truth)  # lesions are small; beyond the box all is outside
    outlines = cast(
        tuple[np.ndarray, np.ndarray], get_mask_edges(predicted[box], truth[box], crop=False)
    )
    distances_mm = [
        np.asarray(get_surface_distance(outline, other, spacing=spacing_mm))
        for outline, other in (outlines, outlines[::-1])
    ]
    n_near = sum(int((one <= tolerance_mm).sum()) for one in distances_mm)
    return {
        "surface_dice": n_near / sum(one.size for one in distances_mm),
        "hd95_mm": float(max(np.quantile(one, 0.95) for one in distances_mm)),
    }
