"""Mask files to one binary plane per finding; a plane that nobody knows is None."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from segclf.core.errors import CaseError
from segclf.core.records import Case, MaskSource, MaskState
from segclf.data.about import about
from segclf.io import read_mask


def read_truth(case: Case, shape: tuple[int, ...]) -> tuple[np.ndarray | None, ...]:
    """Per finding, the drawn mask on the input image's own grid; None where it is not known.

    Args:
        case: The case whose masks are read.
        shape: Spatial shape of the input image.

    Returns:
        One (*shape) uint8 array of 0 and 1 per finding, never resized; or None.

    Raises:
        CaseError: A mask cannot be read, has another shape (`shape_mismatch`), or holds values
            that nobody named (`mask_values`).
    """
    with about(case):
        return finding_planes(case, shape, named=())


def finding_planes(
    case: Case, shape: tuple[int, ...], *, named: Collection[int]
) -> tuple[np.ndarray | None, ...]:
    """`read_truth` that also refuses values outside `named` and the findings' own values."""
    drawn: dict[Path, np.ndarray] = {}
    for source in case.masks:
        if source.state is MaskState.DRAWN and source.path is not None:
            if source.path not in drawn:
                drawn[source.path] = _read(source.path, shape)
            _check_values(drawn[source.path], source, named)
    return tuple(_plane(source, drawn, shape) for source in case.masks)


def _plane(
    source: MaskSource, drawn: dict[Path, np.ndarray], shape: tuple[int, ...]
) -> np.ndarray | None:
    if source.state is MaskState.UNKNOWN:
        return None
    if source.state is MaskState.EMPTY or source.path is None:
        return np.zeros(shape, dtype=np.uint8)
    values = drawn[source.path]
    plane = values > 0 if source.values is None else np.isin(values, source.values)
    return plane.astype(np.uint8)


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    values = read_mask(path).array
    if values.shape != shape:
        raise CaseError(
            "shape_mismatch",
            f"the mask has shape {values.shape}, the image {shape}.",
            where=f"mask {path.name}",
            expected="a mask on the grid of its image",
            fix="export the mask at the size of the image",
        )
    return values


def _check_values(values: np.ndarray, source: MaskSource, named: Collection[int]) -> None:
    present = {int(value) for value in np.unique(values)}
    if source.values is None:
        is_fine = present <= {0, 1} or present <= {0, 255}
        expected = "a binary mask of 0 and 1, or of 0 and 255"
    else:
        known = {0, *source.values, *named}
        is_fine = not named or present <= known
        expected = f"only the named values {sorted(known)}"
    if not is_fine:
        shown = ", ".join(str(value) for value in sorted(present)[:8])
        raise CaseError(
            "mask_values",
            f"the mask holds the values {shown}{', ...' if len(present) > 8 else ''}.",
            where=f"mask {source.path.name if source.path else ''}",
            expected=expected,
            fix="name each value in the recipe, e.g. mask_values: {1: lesion}",
        )
