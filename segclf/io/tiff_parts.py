"""Whether a TIFF page has the strips or tiles that its size needs."""

import math
from pathlib import Path

import tifffile

from segclf.io.records import bad_file


def check_parts(page: tifffile.TiffPage, path: Path) -> None:
    """Refuse a page of fewer parts than its size needs; a decoder would fill them in one by one.

    Raises:
        CaseError: `truncated`.
    """
    n_needed = math.prod(page.chunked)
    n_named = min(len(page.dataoffsets), len(page.databytecounts))
    if n_named >= n_needed:
        return
    raise bad_file(
        "truncated",
        path,
        f"the picture needs {n_needed} strips or tiles, the file names {n_named}.",
        expected="a whole TIFF file",
        fix="copy or export the file again",
    )
