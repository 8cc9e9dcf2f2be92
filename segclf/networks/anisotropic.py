"""Strides and kernels that fit the voxels: a thin axis is not pooled away."""

from collections.abc import Mapping, Sequence
from typing import Any

from segclf.core.errors import ConfigError

LEAST_CELLS = 4
"""Fewest elements of the deepest feature map along an axis that was pooled."""
SAME = 2.0
"""Axes whose spacing is below this many times the smallest are treated alike."""


def plan_strides(
    patch_px: Sequence[int], spacing_mm: Sequence[float]
) -> tuple[list[list[int]], list[list[int]]]:
    """Strides and kernel sizes per level, the first level at full resolution.

    An axis is halved while at least 4 elements are left of it, and only together with those of
    about its spacing: the finer axes go first, until all are alike. A kernel spans an axis once
    its spacing is less than twice the smallest. The last axis that could be halved alone is, if 6
    elements are left.

    Args:
        patch_px: Shape of the training crop.
        spacing_mm: Distance between voxels along each axis, in mm.

    Raises:
        ValueError: A number is not positive, or there is not one for each axis.

    Source:
        Isensee et al., Nat Methods 18 (2021) 203: the rules of nnU-Net for its topology.
    """
    if len(patch_px) != len(spacing_mm) or min(*patch_px, *spacing_mm) <= 0:
        raise ValueError(
            f"a plan needs a positive number per axis: got patch_px = {list(patch_px)} and "
            f"spacing_mm = {list(spacing_mm)}."
        )
    size, spacing = [float(n) for n in patch_px], [float(mm) for mm in spacing_mm]
    strides, kernels = [[1] * len(size)], [_kernel(spacing)]
    while True:
        large = [axis for axis, n in enumerate(size) if n >= 2 * LEAST_CELLS]
        finest = min((spacing[axis] for axis in large), default=0.0)
        halved = [axis for axis in large if spacing[axis] < SAME * finest]
        if not halved or (len(halved) == 1 and size[halved[0]] < 3 * LEAST_CELLS):
            return strides, kernels
        strides.append([2 if axis in halved else 1 for axis in range(len(size))])
        for axis in halved:
            size[axis], spacing[axis] = size[axis] / 2, spacing[axis] * 2
        kernels.append(_kernel(spacing))


def planned(options: Mapping[str, Any], spatial_dims: int) -> dict[str, Any]:
    """Options of a DynUNet with `plan: {patch_px: …, spacing_mm: …}` replaced by what it means.

    Raises:
        ConfigError: The plan does not fit, or is given beside strides or kernels.
    """
    options = dict(options)
    if "plan" not in options:
        return options
    plan = options.pop("plan")
    is_plan = isinstance(plan, Mapping) and set(plan) == {"patch_px", "spacing_mm"}
    values = [list(plan[key]) for key in plan] if is_plan else []
    both = sorted({"strides", "kernel_size", "upsample_kernel_size"} & set(options))
    if both or not is_plan or any(len(v) != spatial_dims or min(v) <= 0 for v in values):
        raise ConfigError(
            f"the plan of the network does not stand alone: {', '.join(both)}."
            if both
            else f"the plan of the network is {plan!r}.",
            where="network.options.plan",
            expected=f"{{patch_px: …, spacing_mm: …}} with {spatial_dims} positive numbers each, "
            "instead of strides and kernels",
            fix="write the training crop and the spacing at which the network sees it",
        )
    strides, kernels = plan_strides(plan["patch_px"], plan["spacing_mm"])
    return options | {"strides": strides, "kernel_size": kernels}


def _kernel(spacing: Sequence[float]) -> list[int]:
    return [3 if mm < SAME * min(spacing) else 1 for mm in spacing]
