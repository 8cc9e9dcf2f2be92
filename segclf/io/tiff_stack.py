"""What the pages of a TIFF file are, and how far apart: OME, ImageJ, and a JSON file beside it.

TIFF itself has no field for a third axis or for a spacing in mm. Pages of a plain file are the
slices of a volume. Only texts of the file's own first page are read: metadata may name other
files, and a reader that followed them would leave the data root.
"""

import json
import math
import os
import re
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tifffile

from segclf.core.atomic import write_json
from segclf.io.records import bad_file

MAX_PAGES = 100_000
MAX_SIDECAR_BYTES = 2**16
TO_MM = {
    "mm": 1.0, "cm": 10.0, "m": 1e3, "nm": 1e-6,
    "µm": 1e-3, "μm": 1e-3, "um": 1e-3, "micron": 1e-3, "microns": 1e-3, r"\u00b5m": 1e-3,
}  # fmt: skip
"""The micro sign, the Greek letter, and how ImageJ writes it."""
CHANNEL_SUFFIX = re.compile(r"_\d{4}$")


@dataclass(frozen=True)
class Stack:
    """How the pages of a file are counted."""

    n_slices: int
    n_channels: int = 1
    """Channels in pages of their own; further ones may be the samples of a pixel."""
    is_channel_first: bool = True
    """The page after the first is the next channel, not the next slice."""
    spacing_mm: tuple[float, ...] | None = None
    """Of (slice, row, column), or of (row, column) of a single slice."""

    def page(self, channel: int, number: int) -> int:
        """The page of a channel of a slice."""
        if self.is_channel_first:
            return number * self.n_channels + channel
        return channel * self.n_slices + number


def stack_of(tiff: tifffile.TiffFile, samples: int, path: Path) -> Stack:
    """What the file says of its pages; the spacing of the JSON file beside it wins.

    Args:
        tiff: The open file.
        samples: Values per pixel of a page.
        path: Its path.

    Raises:
        CaseError: `unreadable` for frames of time, or for other pages than are stated;
            `bad_geometry` for an impossible spacing.
    """
    n_pages, page = len(tiff.pages), tiff.pages[0]
    assert isinstance(page, tifffile.TiffPage)
    text = page.description[: 2**20]
    if "<OME" in text:
        stack, n_times = _ome(text, samples)
    elif text.startswith("ImageJ="):
        stack, n_times = _imagej(text, page)
    else:
        stack, n_times = Stack(n_pages), 1
    n_stated = stack.n_slices * stack.n_channels * n_times
    if n_times > 1 or n_stated != n_pages or n_pages > MAX_PAGES:
        raise bad_file(
            "unreadable",
            path,
            f"the TIFF file holds {n_pages} pages; it states {n_times} times, "
            f"{stack.n_slices} slices and {stack.n_channels} channels.",
            expected="a picture or the slices of one volume, in one file",
            fix="write each time as a file of its own, for example as NIfTI",
        )
    spacing_mm = _of_sidecar(path) or stack.spacing_mm
    if spacing_mm is not None and stack.n_slices == 1:
        spacing_mm = spacing_mm[-2:]
    if spacing_mm is not None and stack.n_slices > 1 and len(spacing_mm) < 3:
        spacing_mm = None
    return replace(stack, spacing_mm=spacing_mm)


def sidecar(path: Path) -> Path | None:
    """The JSON file beside a TIFF file, named as nnU-Net names it, that states a spacing.

    It has the stem of the file, or that without a channel number (`a_0000.tif`: `a.json`).
    """
    stems = dict.fromkeys([path.stem, CHANNEL_SUFFIX.sub("", path.stem)])
    found = (path.with_name(stem + ".json") for stem in stems)
    return next((file for file in found if "spacing" in _content(file)), None)


def write_sidecar(path: Path, spacing_mm: tuple[float, ...] | None) -> None:
    """Write the spacing of an array (*space) beside `path`; without one, remove an old one.

    Raises:
        ValueError: A JSON file of something else stands there.
    """
    beside = path.with_suffix(".json")
    is_ours = "spacing" in _content(beside)
    if spacing_mm is None:
        if is_ours:
            beside.unlink()
        return
    if beside.exists() and not is_ours:
        raise ValueError(f"{beside.name!r} holds no spacing, and is not overwritten.")
    stored = spacing_mm if len(spacing_mm) == 2 else spacing_mm[::-1]
    write_json(beside, {"spacing": [float(mm) for mm in stored]})


def _content(file: Path) -> dict[str, Any]:
    """The mapping in a small regular JSON file; empty if it is none."""
    try:
        status = os.lstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_SIDECAR_BYTES:
            return {}
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _of_sidecar(path: Path) -> tuple[float, ...] | None:
    """(slice, row, column) as nnU-Net has it, or (row, column)."""
    file = sidecar(path)
    if file is None:
        return None
    values = _content(file)["spacing"]
    is_list = isinstance(values, list) and len(values) in (2, 3)
    if not is_list or not all(_is_length(value) for value in values):
        raise bad_file(
            "bad_geometry",
            path,
            f"{file.name} states no spacing of 2 or 3 positive numbers.",
            expected='{"spacing": [slice, row, column]} in mm',
            fix="correct the file, or remove it",
        )
    return tuple(float(value) for value in values)


def _is_length(value: Any) -> bool:  # noqa: ANN401 (from JSON)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value > 0


def _ome(text: str, samples: int) -> tuple[Stack, int]:
    """From the first `Pixels` element; its channels may be the samples of a pixel."""
    found = re.search(r"<(?:\w+:)?Pixels\b([^>]*)>", text)
    fields = dict(re.findall(r'(\w+)="([^"]*)"', found[1] if found else ""))
    n_slices, n_channels, n_times = (int(fields[f"Size{axis}"]) for axis in "ZCT")
    order = fields["DimensionOrder"]
    sizes = [
        _in_mm(fields.get(f"PhysicalSize{axis}"), fields.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "ZYX"
    ]
    n_pages = max(1, n_channels // samples)
    return Stack(n_slices, n_pages, order.find("C") < order.find("Z"), _known(sizes)), n_times


def _imagej(text: str, page: tifffile.TiffPage) -> tuple[Stack, int]:
    """From the lines of ImageJ; channels come first, then slices."""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    n_channels, n_times = int(fields.get("channels", "1")), int(fields.get("frames", "1"))
    n_slices = int(fields.get("slices", "1"))
    unit = fields.get("unit", "")
    sizes = [_in_mm(fields.get("spacing"), unit)]
    for name in ("YResolution", "XResolution"):
        tag = page.tags.get(name)
        n_px, length = tag.value if tag is not None else (0, 1)
        sizes.append(_in_mm(str(length / n_px), unit) if n_px else None)
    return Stack(n_slices, n_channels, True, _known(sizes)), n_times


def _in_mm(text: str | None, unit: str) -> float | None:
    """A length in mm; None if it is missing, no length, or in pixels."""
    try:
        value = float(text or "") * TO_MM[unit.strip().lower()]
    except (ValueError, KeyError):
        return None
    return value if _is_length(value) else None


def _known(sizes: list[float | None]) -> tuple[float, ...] | None:
    """(slice, row, column), or (row, column) if only these are known."""
    known = [size for size in (sizes if sizes[0] is not None else sizes[1:]) if size is not None]
    return tuple(known) if len(known) == (3 if sizes[0] is not None else 2) else None
