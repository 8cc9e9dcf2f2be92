"""Whether a TIFF page has the strips or tiles that its size needs."""

import math
from pathlib import Path

import tifffile

from segclf.io.records import bad_file

UNPACKED, JPEG = 1, 7
MAX_RATIO = 4096
"""More than deflate, LZW and PackBits can shrink."""


def check_parts(page: tifffile.TiffPage, path: Path) -> None:
    """Refuse a page of fewer parts or bytes than its size needs; a decoder would fill in zeros.

    Raises:
        CaseError: `truncated`.
    """
    n_needed = math.prod(page.chunked)
    n_named = min(len(page.dataoffsets), len(page.databytecounts))
    n_bytes = math.prod(page.shape) * page.bitspersample // 8
    n_stored, ratio = path.stat().st_size, 1
    if page.compression != UNPACKED:
        n_stored, ratio = min(sum(page.databytecounts), n_stored), MAX_RATIO
    is_short = page.compression != JPEG and n_stored * ratio < n_bytes
    if n_named >= n_needed and not is_short:
        return
    raise bad_file(
        "truncated",
        path,
        f"the picture needs {n_bytes} bytes in {n_needed} strips or tiles, the file has "
        f"{n_stored} in {n_named}.",
        expected="a whole TIFF file",
        fix="copy or export the file again",
    )
