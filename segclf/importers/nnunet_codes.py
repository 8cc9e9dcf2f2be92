"""Masks of a case as one code per pixel, and codes as labels of nnU-Net.

A code has a bit for each finding, so that findings may overlap; -1 is a pixel of which something
is not known.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segclf.core.records import Case, MaskKind, MaskSource, MaskState
from segclf.importers.record import LeftOut
from segclf.io import grid_of, mask_on, probe, read_mask

UNKNOWN = -1
UNCERTAIN = 2
"""Value of unknown pixels in a file of kind `uncertain`."""


@dataclass
class Export:
    """One export while it runs."""

    folder: Path
    findings: tuple[str, ...]
    names: dict[str, str] = field(default_factory=dict)
    """Case id to the name of its files."""
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def is_usable(mask: MaskSource) -> bool:
    """Whether a mask says something of single pixels, and was drawn by a person."""
    kinds = (MaskKind.FULL, MaskKind.UNCERTAIN)
    return mask.state is not MaskState.UNKNOWN and mask.kind in kinds and not mask.is_pseudo


def code_map(case: Case) -> np.ndarray:
    """(*space) codes of the findings at each pixel of the image.

    Raises:
        CaseError: A file cannot be read, or the mask does not lie on the image.
    """
    image = grid_of(probe(case.images[0]))
    codes = np.zeros(image.shape, dtype=np.int64)
    is_unknown = np.zeros(image.shape, dtype=bool)
    for k, source in enumerate(case.masks):
        if not is_usable(source):
            is_unknown[:] = True
        elif source.state is MaskState.DRAWN and source.path is not None:
            mask = mask_on(read_mask(source.path), image, source.path, any_place=case.any_place)
            values = mask.array
            if source.kind is MaskKind.UNCERTAIN:
                is_unknown |= values == UNCERTAIN
                values = values == 1
            is_in = values > 0 if source.values is None else np.isin(values, source.values)
            codes |= is_in.astype(np.int64) << k
    codes[is_unknown & (codes == 0)] = UNKNOWN
    return codes


def labels_of(
    export: Export,
    codes: Sequence[set[int]] | Any,  # noqa: ANN401
) -> tuple[dict[str, Any], dict[int, int], list[int]]:
    """Labels of dataset.json, code to pixel value, and the order of regions ([] without them)."""
    present: set[int] = set().union(*codes) - {0}
    has_unknown = UNKNOWN in present
    present -= {UNKNOWN}
    bits = {1 << k: name for k, name in enumerate(export.findings)}
    if present <= set(bits):
        values = {0: 0, **{bit: k + 1 for k, bit in enumerate(bits)}}
        labels: dict[str, Any] = {name: values[bit] for bit, name in bits.items()}
        order: list[int] = []
    else:
        ordered = sorted(present, key=lambda code: (code.bit_count(), code))
        values = {0: 0, **{code: k + 1 for k, code in enumerate(ordered)}}
        of_finding = {n: [c for c in ordered if c & bit] for bit, n in bits.items()}
        # encompassing regions first: those in most combinations
        sizes = sorted((n for n in of_finding if of_finding[n]), key=lambda n: -len(of_finding[n]))
        labels = {n: [values[c] for c in of_finding[n]] for n in sizes}
        order = _region_order([of_finding[n] for n in sizes], values)
        missing = [name for name, found in of_finding.items() if not found]
        if missing:
            export.notes.append(f"no case has {', '.join(missing)}: not among the regions")
        export.notes.append("findings overlap: they are written as regions")
        if len(present) > len(order):
            export.notes.append(
                "nnU-Net's own maps of integers cannot show every overlap of these regions; "
                "predict with --save_probabilities"
            )
    if has_unknown:
        values[UNKNOWN] = len(values)
        labels["ignore"] = values[UNKNOWN]
    return labels, values, order


def _region_order(regions: Sequence[Sequence[int]], values: dict[int, int]) -> list[int]:
    """The label that stands for each region: its combination of fewest findings not yet taken."""
    order: list[int] = []
    for codes in regions:
        free = [values[code] for code in codes if values[code] not in order]
        order.append(free[0] if free else values[codes[0]])
    return order
